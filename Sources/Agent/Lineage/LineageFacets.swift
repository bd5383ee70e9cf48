import JSON
import Replication

/// OpenLineage's facets as JSON. Each names its own schema, of the version whose fields it uses.
struct LineageFacets: Sendable {
    static let eventSchema = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

    /// Who tells it: `urn:millrace:0.1.0`.
    let producer: String

    init(version: String) { producer = "urn:millrace:\(version)" }

    private func facet(_ name: String, _ version: String, _ members: [JSONValue.Member]) -> JSONValue {
        .object(
            [
                ("_producer", .string(producer)),
                ("_schemaURL", .string("https://openlineage.io/spec/facets/\(version)/\(name).json#/$defs/\(name)")),
            ] + members)
    }

    // MARK: Runs and jobs

    func error(_ message: String) -> JSONValue {
        facet(
            "ErrorMessageRunFacet", "1-0-1",
            [("message", .string(message)), ("programmingLanguage", .string("Swift"))])
    }

    func engine(_ version: String) -> JSONValue {
        facet(
            "ProcessingEngineRunFacet", "1-1-1", [("version", .string(version)), ("name", .string("millrace"))])
    }

    func parent(_ run: String, namespace: String, job: String) -> JSONValue {
        facet(
            "ParentRunFacet", "1-2-0",
            [
                ("run", .object([("runId", .string(run))])),
                ("job", .object([("namespace", .string(namespace)), ("name", .string(job))])),
            ])
    }

    /// - Parameter period_s: seconds between events of one that goes on; nil: it has an end.
    func jobType(_ type: String, period_s: Int64?) -> JSONValue {
        let pattern: [JSONValue.Member] = [
            ("eventTrigger", .string(period_s == nil ? "EVENT_BASED" : "PERIODIC")),
            // An event may leave out what an earlier one has said and what is so still.
            ("eventContentMode", .string("ACCUMULATIVE")),
        ]
        return facet(
            "JobTypeJobFacet", "2-0-4",
            [
                ("processingType", .string(period_s == nil ? "BATCH" : "STREAMING")),
                ("integration", .string("MILLRACE")), ("jobType", .string(type)),
                ("emissionPattern", .object(pattern + (period_s.map { [("windowDuration", .integer($0))] } ?? []))),
            ])
    }

    // MARK: Datasets

    func datasetType(_ type: String) -> JSONValue {
        facet("DatasetTypeDatasetFacet", "1-0-1", [("datasetType", .string(type))])
    }

    func schema(_ columns: [LineageColumn]) -> JSONValue {
        let fields = columns.enumerated().map { index, column in
            JSONValue.object(
                [("name", .string(column.name))] + (column.type.map { [("type", .string($0))] } ?? [])
                    + [("ordinal_position", .integer(index + 1))])
        }
        return facet("SchemaDatasetFacet", "1-2-0", [("fields", .array(fields))])
    }

    /// - Parameter filtered: columns of the source that say which rows are there.
    func columnLineage(
        _ columns: [LineageColumn], from sources: [LineageDataset], filtered: [String]
    ) -> JSONValue {
        let fields = columns.filter { !$0.from.isEmpty }.map { column -> JSONValue.Member in
            let inputs = column.from.flatMap { name, way in
                sources.map { input($0, name, Self.transformation(way)) }
            }
            var members: [JSONValue.Member] = [("inputFields", .array(inputs))]
            // How it was told before fields had transformations of their own.
            let ways = Set(column.from.map(\.way))
            if ways == [.same] { members.append(("transformationType", .string("IDENTITY"))) }
            if ways == [.hashed] { members.append(("transformationType", .string("MASKED"))) }
            return (column.name, .object(members))
        }
        var members: [JSONValue.Member] = [("fields", .object(fields))]
        if !filtered.isEmpty {
            let filter = JSONValue.object([
                ("type", .string("INDIRECT")), ("subtype", .string("FILTER")), ("masking", .bool(false)),
            ])
            members.append(
                ("dataset", .array(filtered.flatMap { name in sources.map { input($0, name, filter) } })))
        }
        return facet("ColumnLineageDatasetFacet", "1-2-0", members)
    }

    private func input(_ dataset: LineageDataset, _ field: String, _ transformation: JSONValue) -> JSONValue {
        .object([
            ("namespace", .string(dataset.namespace)), ("name", .string(dataset.name)), ("field", .string(field)),
            ("transformations", .array([transformation])),
        ])
    }

    private static func transformation(_ way: LineageColumn.Way) -> JSONValue {
        let (subtype, description): (String, String) =
            switch way {
            case .same: ("IDENTITY", "")
            case .hashed: ("TRANSFORMATION", "SHA-256 of its text")
            case .document: ("TRANSFORMATION", "a member of the row's JSON")
            }
        return .object([
            ("type", .string("DIRECT")), ("subtype", .string(subtype)), ("description", .string(description)),
            ("masking", .bool(way == .hashed)),
        ])
    }

    // MARK: Counts and verdicts

    func inputStatistics(rows: Int) -> JSONValue {
        facet("InputStatisticsInputDatasetFacet", "1-0-0", [("rowCount", .integer(rows))])
    }

    func outputStatistics(rows: Int) -> JSONValue {
        facet("OutputStatisticsOutputDatasetFacet", "1-0-2", [("rowCount", .integer(rows))])
    }

    func qualityMetrics(rows: Int64) -> JSONValue {
        facet(
            "DataQualityMetricsInputDatasetFacet", "1-0-3",
            [("rowCount", .integer(rows)), ("columnMetrics", .object([]))])
    }

    func assertions(_ assertions: [LineageAssertion]) -> JSONValue {
        facet(
            "DataQualityAssertionsDatasetFacet", "1-1-0", [("assertions", .array(assertions.map(\.json)))])
    }
}

/// Something that was found to be so of a dataset, or not.
struct LineageAssertion: Sendable, Equatable {
    /// What kind it is: `not_null`, `equals_source`.
    var assertion: String
    var success: Bool
    var column: String?
    /// Failing is an error, else a warning.
    var isHard = true
    var name: String?
    var expected: String?
    var actual: String?

    var json: JSONValue {
        var members: [JSONValue.Member] = [("assertion", .string(assertion)), ("success", .bool(success))]
        if let column { members.append(("column", .string(column))) }
        members.append(("severity", .string(isHard ? "error" : "warn")))
        for (key, value) in [("name", name), ("expected", expected), ("actual", actual)] {
            if let value { members.append((key, .string(value))) }
        }
        return .object(members)
    }
}

import JSON
import Replication

/// What of a pipeline a run is of; the last part of its job's name, and its type.
enum LineageJob: String, Sendable, CaseIterable {
    case run, backfill, sweep, late, quality

    var type: String {
        switch self {
        case .run: "REPLICATION"
        case .backfill: "BACKFILL"
        case .sweep: "SWEEP"
        case .late: "RECONCILIATION"
        case .quality: "QUALITY"
        }
    }
}

/// One run of a job.
struct LineageRunKey: Sendable, Equatable {
    /// A UUID.
    var id: String
    var job: LineageJob
    /// Seconds between its events, of one that goes on until it is stopped; nil: it has an end.
    var period_s: Int64?
    /// The run that it is a part of.
    var parent: Parent?

    struct Parent: Sendable, Equatable {
        var id: String
        var job: LineageJob
    }
}

/// One event on its way: JSON in one line.
struct LineageEvent: Sendable, Equatable {
    enum Kind: String, Sendable {
        case start = "START", running = "RUNNING", complete = "COMPLETE", fail = "FAIL", abort = "ABORT"
    }

    var kind: Kind
    var run: String
    var text: String
}

/// How a run ended. Messages are as the user meets them: without cell values or secrets.
enum LineageOutcome: Sendable, Equatable {
    case complete
    case failed(String)
    /// It was stopped before its end, by a person or by another agent.
    case aborted(String?)

    var kind: LineageEvent.Kind {
        switch self {
        case .complete: .complete
        case .failed: .fail
        case .aborted: .abort
        }
    }

    var message: String? {
        switch self {
        case .complete: nil
        case .failed(let message): message
        case .aborted(let message): message
        }
    }
}

/// Makes events. Pure: the time and the run are given.
struct LineageEventBuilder: Sendable {
    let facts: LineageFacts
    let facets: LineageFacets

    init(_ facts: LineageFacts) {
        self.facts = facts
        facets = LineageFacets(version: facts.version)
    }

    func name(_ job: LineageJob) -> String { "\(facts.layout.pipeline).\(job.rawValue)" }

    func event(
        _ kind: LineageEvent.Kind, _ run: LineageRunKey, at time_us: Int64, inputs: [JSONValue], outputs: [JSONValue],
        message: String? = nil
    ) -> LineageEvent {
        var runFacets: [JSONValue.Member] = [("processing_engine", facets.engine(facts.version))]
        if let parent = run.parent {
            runFacets.append(
                ("parent", facets.parent(parent.id, namespace: facts.namespace, job: name(parent.job))))
        }
        if let message { runFacets.append(("errorMessage", facets.error(message))) }
        let json = JSONValue.object([
            ("eventType", .string(kind.rawValue)),
            ("eventTime", .string(Moment.text(time_us) ?? "1970-01-01T00:00:00.000000Z")),
            ("run", .object([("runId", .string(run.id)), ("facets", .object(runFacets))])),
            (
                "job",
                .object([
                    ("namespace", .string(facts.namespace)), ("name", .string(name(run.job))),
                    ("facets", .object([("jobType", facets.jobType(run.job.type, period_s: run.period_s))])),
                ])
            ),
            ("inputs", .array(inputs)), ("outputs", .array(outputs)), ("producer", .string(facets.producer)),
            ("schemaURL", .string(LineageFacets.eventSchema)),
        ])
        return LineageEvent(kind: kind, run: run.id, text: json.serialized)
    }

    // MARK: Datasets

    /// A dataset with its facets; an empty set of them is left out.
    func dataset(
        _ dataset: LineageDataset, _ facets: [JSONValue.Member] = [], input: [JSONValue.Member] = [],
        output: [JSONValue.Member] = []
    ) -> JSONValue {
        var members: [JSONValue.Member] = [
            ("namespace", .string(dataset.namespace)), ("name", .string(dataset.name)),
        ]
        for (key, value) in [("facets", facets), ("inputFacets", input), ("outputFacets", output)] where !value.isEmpty
        {
            members.append((key, .object(value)))
        }
        return .object(members)
    }

    /// How much of a table an event tells.
    enum Part: Sendable { case nothing, counts, all }

    /// What replication reads: tables, topics or the file, each once. Counts are of all tables that come out of one, also of
    /// those that aren't told.
    func inputs(_ tables: [LineageTable], _ part: (LineageTable) -> Part) -> [JSONValue] {
        var order: [LineageDataset] = []
        var readers: [LineageDataset: [LineageTable]] = [:]
        for table in tables {
            for source in facts.sources(of: table) {
                if readers[source] == nil { order.append(source) }
                readers[source, default: []].append(table)
            }
        }
        return order.compactMap { source in
            let tables = readers[source] ?? []
            let parts = tables.map(part)
            guard parts.contains(where: { $0 != .nothing }) else { return nil }
            var members: [JSONValue.Member] = []
            if parts.contains(.all) {
                var seen = Set<String>()
                let columns = tables.flatMap { $0.sourceColumns(typed: isTyped) }.filter {
                    seen.insert($0.name).inserted
                }
                members.append(("datasetType", facets.datasetType(sourceType)))
                if !columns.isEmpty { members.append(("schema", facets.schema(columns))) }
            }
            // Of a table that comes out of several topics it isn't known what came out of which.
            let isCounted = tables.allSatisfy { facts.sources(of: $0).count == 1 }
            let count = tables.reduce(0) { $0 + max(0, $1.ledger.read) }
            return dataset(
                source, members, input: isCounted ? [("inputStatistics", facets.inputStatistics(rows: count))] : [])
        }
    }

    private var isTyped: Bool {
        if case .postgres = facts.source { true } else { false }
    }

    private var sourceType: String {
        switch facts.source {
        case .postgres: "TABLE"
        case .kafka: "TOPIC"
        case .file: "FILE"
        }
    }

    /// What replication writes: current and raw of each table; and its live view, which is what is read.
    func outputs(_ tables: [LineageTable], _ part: (LineageTable) -> Part) -> [JSONValue] {
        tables.flatMap { table -> [JSONValue] in
            let part = part(table)
            guard part != .nothing else { return [] }
            let isFull = part == .all, sources = facts.sources(of: table), layout = facts.layout
            let target = table.definition.target
            func relation(
                _ schema: String, _ type: String, rows: Int?, filtered: [String], _ columns: () -> [LineageColumn]
            ) -> JSONValue {
                var members: [JSONValue.Member] = []
                if isFull {
                    let columns = columns()
                    members = [("datasetType", facets.datasetType(type)), ("schema", facets.schema(columns))]
                    if !sources.isEmpty {
                        members.append(
                            ("columnLineage", facets.columnLineage(columns, from: sources, filtered: filtered)))
                    }
                }
                return dataset(
                    facts.warehouse(schema, target), members,
                    output: rows.map { [("outputStatistics", facets.outputStatistics(rows: $0))] } ?? [])
            }
            var all: [JSONValue] = []
            if layout.hasCurrent, table.definition.hasShape {
                all.append(
                    relation(layout.current, "TABLE", rows: table.written, filtered: table.filtered) {
                        table.currentColumns(facts.engine)
                    })
                if isFull {
                    all.append(
                        relation(layout.live, "VIEW", rows: nil, filtered: table.filtered) {
                            table.liveColumns(facts.engine)
                        })
                }
            }
            if layout.hasRaw {
                all.append(
                    relation(layout.raw, "TABLE", rows: table.appended, filtered: []) {
                        table.rawColumns(facts.engine)
                    })
            }
            return all
        }
    }
}

import JSON
import Postgres
import Replication
import Testing

@testable import Agent

@Suite("Lineage: events")
struct LineageEventTests {
    private let run = LineageRunKey(id: "018bcfe5-6800-7000-8000-000000000000", job: .run, period_s: 300)

    @Test("are what they are, to the letter")
    func golden() {
        var facts = LineageFixture.facts()
        facts.layout.hasRaw = false
        let builder = LineageEventBuilder(facts)
        let table = LineageFixture.table(read: 3, applied: 2)
        let event = builder.event(
            .running, run, at: 1_700_000_000_123_456, inputs: builder.inputs([table]) { _ in .all },
            outputs: Array(builder.outputs([table]) { _ in .all }.prefix(1)))
        let facet = { (name: String, version: String) in
            """
            {"_producer":"urn:millrace:9.9","_schemaURL":"https://openlineage.io/spec/facets/\(version)/\(name).json#/$defs/\(name)"
            """
        }
        let source = #""namespace":"postgres://db:5432","name":"shop.public.orders""#
        let same = #"[{"type":"DIRECT","subtype":"IDENTITY","description":"","masking":false}]"#
        let hashed =
            #"[{"type":"DIRECT","subtype":"TRANSFORMATION","description":"SHA-256 of its text","masking":true}]"#
        let filter = #"[{"type":"INDIRECT","subtype":"FILTER","masking":false}]"#
        let ours = [
            ("is_deleted", "BOOLEAN"), ("deleted_at", "TIMESTAMP WITH TIME ZONE"),
            ("_source_updated_at", "TIMESTAMP WITH TIME ZONE"), ("_loaded_at", "TIMESTAMP WITH TIME ZONE"),
            ("_version_epoch", "BIGINT"), ("_version_commit", "BIGINT"), ("_version_seq", "BIGINT"),
            ("_version_columns", "VARCHAR"),
        ].enumerated().map { #"{"name":"\#($1.0)","type":"\#($1.1)","ordinal_position":\#($0 + 3)}"# }
        #expect(
            event.text == """
                {"eventType":"RUNNING","eventTime":"2023-11-14T22:13:20.123456Z",\
                "run":{"runId":"018bcfe5-6800-7000-8000-000000000000","facets":{"processing_engine":\
                \(facet("ProcessingEngineRunFacet", "1-1-1")),"version":"9.9","name":"millrace"}}},\
                "job":{"namespace":"jobs","name":"shop.run","facets":{"jobType":\(facet("JobTypeJobFacet", "2-0-4")),\
                "processingType":"STREAMING","integration":"MILLRACE","jobType":"REPLICATION","emissionPattern":\
                {"eventTrigger":"PERIODIC","eventContentMode":"ACCUMULATIVE","windowDuration":300}}}},\
                "inputs":[{\(source),"facets":{"datasetType":\(facet("DatasetTypeDatasetFacet", "1-0-1")),\
                "datasetType":"TABLE"},"schema":\(facet("SchemaDatasetFacet", "1-2-0")),"fields":[\
                {"name":"id","type":"bigint","ordinal_position":1},{"name":"email","ordinal_position":2}]}},\
                "inputFacets":{"inputStatistics":\(facet("InputStatisticsInputDatasetFacet", "1-0-0")),"rowCount":3}}}],\
                "outputs":[{"namespace":"duckdb:///srv/w.duckdb","name":"w.shop.orders","facets":{"datasetType":\
                \(facet("DatasetTypeDatasetFacet", "1-0-1")),"datasetType":"TABLE"},"schema":\
                \(facet("SchemaDatasetFacet", "1-2-0")),"fields":[{"name":"id","type":"BIGINT","ordinal_position":1},\
                {"name":"email","type":"VARCHAR","ordinal_position":2},\(ours.joined(separator: ","))]},"columnLineage":\
                \(facet("ColumnLineageDatasetFacet", "1-2-0")),"fields":{"id":{"inputFields":[{\(source),"field":"id",\
                "transformations":\(same)}],"transformationType":"IDENTITY"},"email":{"inputFields":[{\(source),\
                "field":"email","transformations":\(hashed)}],"transformationType":"MASKED"}},"dataset":[{\(source),\
                "field":"id","transformations":\(filter)}]}},"outputFacets":{"outputStatistics":\
                \(facet("OutputStatisticsOutputDatasetFacet", "1-0-2")),"rowCount":2}}}],\
                "producer":"urn:millrace:9.9","schemaURL":"https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"}
                """)
    }

    @Test("tell of current, of its live view under the names that it shows, and of raw with whole rows in its images")
    func relations() throws {
        var table = LineageFixture.table(read: 5)
        table.ledger.duplicate = 1
        table.ledger.quarantined = 1
        table.definition.shown = [ShownColumn("mail", of: "email"), ShownColumn("id", of: "id")]
        table.definition.columns[1].sourceName = "mail"
        table.hashed = []
        let builder = LineageEventBuilder(LineageFixture.facts())
        let event = try LineageFixture.json(
            builder.event(
                .complete, run, at: 0, inputs: builder.inputs([table]) { _ in .all },
                outputs: builder.outputs([table]) { _ in .all }))
        #expect(event["outputs"]?.names == ["w.shop.orders", "w.shop_live.orders", "w.shop_raw.orders"])
        let live = event.dataset("outputs", "w.shop_live.orders")
        #expect(live?.at("facets", "datasetType", "datasetType")?.string == "VIEW")
        #expect(live?.at("facets", "schema", "fields")?.names == ["mail", "id"])
        #expect(
            live?.at("facets", "columnLineage", "fields", "mail", "inputFields", "0", "field")?.string == "mail",
            "the source's name")
        #expect(live?["outputFacets"] == nil)
        let raw = event.dataset("outputs", "w.shop_raw.orders")
        #expect(raw?.at("outputFacets", "outputStatistics", "rowCount")?.int64 == 3)
        let lineage = try #require(raw?.at("facets", "columnLineage", "fields"))
        #expect(lineage.members?.map(\.key) == ["key", "other_key", "before", "after"])
        #expect(lineage.at("key", "inputFields")?.array?.map { $0["field"]?.string } == ["id"])
        #expect(lineage.at("after", "inputFields")?.array?.map { $0["field"]?.string } == ["id", "mail"])
    }

    @Test("have the warehouse's own types")
    func types() {
        var definition = LineageFixture.table().definition
        definition.columns = [
            Column(name: "id", type: .json), Column(name: "n", type: .numeric(precision: 50, scale: 2)),
            Column(name: "t", type: .timestamp(digits: 3)), Column(name: "e", type: .other("public.mood")),
            Column(name: "a", type: .array(.integer)),
        ]
        let table = LineageTable(definition: definition, ledger: LedgerEntry(table: definition.source))
        let types = { (engine: LineageFacts.Engine) in table.currentColumns(engine).prefix(5).map(\.type) }
        #expect(types(.duckdb) == ["JSON", "VARCHAR", "TIMESTAMP", "VARCHAR", "INTEGER[]"])
        #expect(types(.postgres) == ["jsonb", "numeric(50,2)", "timestamp(3)", "public.mood", "integer[]"])
        #expect(table.currentColumns(.postgres).suffix(8).map(\.type).first == "boolean")
    }

    @Test("Columns that the source has no more come from nowhere")
    func goneColumns() {
        var table = LineageFixture.table(columns: ["old"])
        table.definition.columns[2].keptFor = 1
        table.definition.retired = [Column(name: "older", type: .integer)]
        let columns = table.currentColumns(.duckdb)
        #expect(columns.first { $0.name == "old" }?.from.isEmpty == true)
        #expect(columns.last?.name == "older" && columns.last?.from.isEmpty == true)
        #expect(table.sourceColumns(typed: true).map(\.name) == ["id", "email"])
    }

    @Test("Names that mean something in JSON or a URL are names")
    func hostileNames() throws {
        let name = "a\"b\\\n\u{0}\u{7F}é.{}$%2F@"
        let table = LineageFixture.table(TableID(schema: name, table: name), columns: [name])
        let builder = LineageEventBuilder(LineageFixture.facts())
        let event = builder.event(
            .start, run, at: 0, inputs: builder.inputs([table]) { _ in .all },
            outputs: builder.outputs([table]) { _ in .all })
        #expect(!event.text.utf8.contains(UInt8(ascii: "\n")), "a line of a file")
        let json = try LineageFixture.json(event)
        #expect(json["inputs"]?.names == ["shop.\(name).\(name)"])
        #expect(json["outputs"]?.names.first == "w.shop.\(name)")
        #expect(json.at("outputs", "0", "facets", "columnLineage", "fields", name) != nil)
    }

    @Test("A topic's count is of all tables that come out of it, each told once")
    func topics() throws {
        let builder = LineageEventBuilder(LineageFixture.facts(.kafka("kafka://b:1", catalog: nil)))
        var (a, b) = (LineageFixture.table(read: 2), LineageFixture.table(.init(schema: "public", table: "b"), read: 3))
        let inputs = JSONValue.array(builder.inputs([a, b]) { $0.id == a.id ? .counts : .nothing })
        #expect(inputs.names == ["shop.public.orders"])
        #expect(inputs.at("0", "inputFacets", "inputStatistics", "rowCount")?.int64 == 5)
        #expect(inputs.at("0", "facets") == nil)
        // What came out of which of several isn't known.
        b.topics = ["other", "shop.public.orders"]
        let several = JSONValue.array(builder.inputs([a, b]) { _ in .all })
        #expect(several.names == ["shop.public.orders", "other"])
        #expect(several.array?.allSatisfy { $0["inputFacets"] == nil } == true)
        #expect(several.at("0", "facets", "schema", "fields")?.names == ["id", "email"], "each column once")
        #expect(
            several.at("0", "facets", "schema", "fields", "0", "type") == nil, "a topic's fields have no types here")
        a.topics = []
        #expect(builder.inputs([a]) { _ in .all }.isEmpty)
        let outputs = JSONValue.array(builder.outputs([a]) { _ in .all })
        #expect(outputs.at("0", "facets", "schema") != nil && outputs.at("0", "facets", "columnLineage") == nil)
    }

    // MARK: Sweeps and expectations

    private func record(_ differences: Int, snapshot: String = "s") -> SweepRecord {
        SweepRecord(
            table: LineageFixture.orders, startedAt_us: 0, finishedAt_us: 0, snapshot: snapshot, position: 0x16B3748,
            rows: 7, columns: ["id"], uncovered: [], digestSource: "", digestWarehouse: "", missing: differences,
            extra: 0, different: 0, moved: 0, repaired: 4)
    }

    private func report(_ record: SweepRecord?) -> SweepReport {
        var report = SweepReport()
        report.tables = [.init(source: "public.orders", record: record)]
        return report
    }

    @Test("A sweep says of the warehouse's table whether it equals the source, and as of where")
    func sweeps() {
        let builder = LineageEventBuilder(LineageFixture.facts())
        let table = LineageFixture.table().definition
        let sweep = LineageSweep(builder, .compare, [table])
        #expect(JSONValue.array(sweep.inputs(nil)).names == ["shop.public.orders", "w.shop.orders"])
        #expect(sweep.outputs(report(record(0))).isEmpty)
        for (differences, success) in [(0, true), (2, false)] {
            let found = JSONValue.array(sweep.inputs(report(record(differences)))).at("1", "inputFacets")
            let assertion = found?.at("dataQualityAssertions", "assertions", "0")
            #expect(assertion?["assertion"]?.string == "equals_source" && assertion?["success"]?.bool == success)
            #expect(assertion?["name"]?.string == "equals source as of position 0/16B3748")
            #expect(assertion?["actual"]?.string == "\(differences) rows differ, 0 never stood still")
            #expect(found?.at("dataQualityMetrics", "rowCount")?.int64 == 7)
        }
        let uncompared = JSONValue.array(sweep.inputs(report(nil)))
        #expect(uncompared.at("1", "inputFacets") == nil)
    }

    @Test("Without a source to ask it is raw that current is held against; what is mended is written")
    func foldsAndRepairs() {
        let builder = LineageEventBuilder(LineageFixture.facts(.file("/in")))
        let table = LineageFixture.table().definition
        let repair = LineageSweep(builder, .repair, [table])
        let found = report(record(0, snapshot: SweepRecord.fold))
        let inputs = JSONValue.array(repair.inputs(found))
        #expect(inputs.names == ["w.shop_raw.orders", "w.shop.orders"])
        #expect(
            inputs.at("1", "inputFacets", "dataQualityAssertions", "assertions", "0", "name")?.string
                == "equals what raw says")
        #expect(
            JSONValue.array(repair.outputs(found)).at("0", "outputFacets", "outputStatistics", "rowCount")?.int64 == 4)
        let late = LineageSweep(builder, .late, [table])
        var mended = report(nil)
        mended.tables[0].late = .init(rows: 9, mended: 2)
        #expect(late.job == .late)
        #expect(
            JSONValue.array(late.outputs(mended)).at("0", "outputFacets", "outputStatistics", "rowCount")?.int64 == 2)
    }

    @Test("An expectation's verdict is an assertion, without the rows that fail")
    func expectations() {
        let builder = LineageEventBuilder(LineageFixture.facts())
        var table = QualityReport.Table(source: "public.orders", target: "shop_live.orders")
        var failing = QualityReport.Rule(Expectation(.notNull("email"), severity: .soft))
        failing.verdict = .fail
        failing.rows = 10
        failing.failing = 3
        failing.keys = ["{\"id\":\"secret\"}"]
        var unknown = QualityReport.Rule(Expectation(.notNull("id")))
        unknown.fail(.unknown, "the warehouse is away")
        table.rules = [failing, unknown]
        var report = QualityReport(fingerprint: "f")
        report.tables = [table, QualityReport.Table(source: "public.none")]
        let inputs = JSONValue.array(LineageQuality.inputs(report, builder))
        #expect(inputs.names == ["w.shop_live.orders"])
        #expect(
            inputs.at("0", "inputFacets", "dataQualityAssertions", "assertions")?.serialized
                == #"[{"assertion":"not_null","success":false,"column":"email","severity":"warn","expected":"mostly 1","actual":"3 of 10 rows fail"}]"#
        )
        #expect(!inputs.serialized.contains("secret"))
    }
}

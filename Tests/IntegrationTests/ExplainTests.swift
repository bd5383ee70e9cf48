import Agent
import Foundation
import JSON
import Replication
import Testing

/// The history of one row, through both warehouses.
@Suite struct ExplainTests {
    private func explain(_ run: PipelineRun, _ table: String, _ key: String) async throws -> ExplainReport {
        let setup = try run.setup
        return try await run.looking { warehouse, _ in
            try await setup.control(warehouse, catalog: nil, running: nil).explain(table, key: key)
        }
    }

    @Test(arguments: Engine.allCases) func everyEventInTheOrderOfVersions(engine: Engine) async throws {
        let file = try #require(CorpusFile.all.first { $0.name == "basic" })
        let folder = try TestFolder()
        // The newest comes first.
        try folder.write(try file.lines().reversed(), to: "events.jsonl")
        let run = try await file.run(
            "explain", engine, path: folder.path("events.jsonl"), rest: "batch: { max_rows: 2 }\n", folder: folder)
        try await run.untilEnd()
        let report = try await explain(run, "orders", "1")
        #expect(report.source == "public.orders" && report.key == "{\"order_id\":1}" && report.isDeleted == false)
        #expect(report.events.map(\.operation) == ["r", "u", "u"])
        #expect(
            report.events.map(\.version) == report.events.map(\.version).sorted { $0.lexicographicallyPrecedes($1) })
        #expect(report.events.last?.verdict == .current)
        #expect(report.events.dropLast().allSatisfy { $0.verdict != .current })
        #expect(report.events.contains { $0.verdict == .superseded && $0.lateness_ms != nil })
        #expect(report.events.allSatisfy { $0.sourceTransaction != nil && $0.batch != nil && !$0.position.isEmpty })
        #expect(Set(report.events.compactMap(\.batch)).count > 1)
        let last = try JSONValue(parsing: report.events.last?.after ?? "")
        #expect(last["order_id"]?.int64 == 1 && last["status"]?.string == "paid")
        #expect(ExplainReport(json: try JSONValue(parsing: report.json.serialized)) == report)
        #expect(try await explain(run, "public.orders", "{\"order_id\": 1}") == report)
        await #expect(throws: CommandFailure.self) { _ = try await explain(run, "orders", "4711") }
        await #expect(throws: (any Error).self) { _ = try await explain(run, "orders", "'; drop table x; --") }
    }

    @Test(arguments: Engine.allCases) func whatStandsStillAndWhatIsDeleted(engine: Engine) async throws {
        let file = try #require(CorpusFile.all.first { $0.name == "basic_noschema" })
        let run = try await file.run(
            "explain2", engine, path: Corpus.path("basic_noschema.jsonl"), folder: TestFolder())
        try await run.untilEnd()
        let deleted = try await run.looking { warehouse, layout in
            try await warehouse.query(
                "select order_id from \(layout.current).orders where is_deleted order by 1 limit 1", rows_max: 1
            ).rows[0][0]
        }
        let report = try await explain(run, "orders", try #require(deleted))
        #expect(report.isDeleted == true && report.events.last?.operation == "d")
        #expect(report.events.last?.verdict == .current)
    }
}

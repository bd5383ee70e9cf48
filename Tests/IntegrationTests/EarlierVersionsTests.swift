import ChildProcess
import Foundation
import Replication
import Testing
import ThrowawayPostgres

/// Warehouses as the programs of earlier versions of `_millrace` left them, in the middle of a file: this one goes on as if
/// it had made them. `Fixtures/earlier/README.md` says how they were made.
@Suite struct EarlierVersionsTests {
    private static let versions = [1, 2, 3, 4, 5, 6, 7]
    private static let folder = Corpus.folder.deletingLastPathComponent().appending(path: "earlier")
    /// Lines of the file that the earlier program had read, with the one that can't be read behind the 40th.
    private static let read = 71
    /// It knew holds.
    private static let holds = 4
    /// Whose columns' types the pipeline file would have had to tell.
    private static let untyped: Set<String> = ["public.dtpk", "public.numpk"]
    private static let cut = Data(
        #"{"topic":"dbz.public.single","partition":0,"offset":900,"key":"{\"id\":1}","value":"{\"before\":"}"#.utf8)

    @Test(arguments: versions, Engine.allCases) func goesOn(version: Int, engine: Engine) async throws {
        try await Turns.shared.one { try await goOn(version, engine) }
    }

    private func goOn(_ version: Int, _ engine: Engine) async throws {
        let folder = try TestFolder()
        let file = try #require(CorpusFile.all.first { $0.name == "pk_update" })
        var lines = try file.lines()
        lines.insert(Self.cut, at: 40)
        try folder.write(lines, to: "events.jsonl")
        let run = try await restore(version, engine, folder)

        try await run.looking { warehouse, _ in
            let ledger = try await warehouse.ledger()
            #expect(ledger.tables.allSatisfy { $0.addsUp })
            let positions = try await warehouse.checkpoints().map(\.position)
            #expect(positions == [Int64(Self.read)])
            let freshness = try await warehouse.freshness()
            #expect(freshness.isEmpty)
            let holds = try await warehouse.holds().count
            #expect(holds == (version >= Self.holds ? 1 : 0))
        }
        let before = try await run.looking { warehouse, _ in try await total(warehouse) }
        #expect(before.read + before.control == Self.read)
        let status = try await run.untilEnd()
        #expect(status.events + status.control == lines.count - Self.read, "what was read is not read again")
        try await run.writing { warehouse, _ in
            for hold in try await warehouse.holds() {
                let table = try #require(try await warehouse.knownTables().first { $0.source == hold.table })
                while try await !warehouse.release(table, hold.kind, limit: 5).isDone {}
            }
            let after = try await total(warehouse)
            #expect(after.read + after.control == lines.count)
            let settled = try await warehouse.ledger().tables
            #expect(settled.allSatisfy { $0.addsUp && $0.deferred == 0 })
            let aside = try await warehouse.quarantine()
            #expect(aside.count == 1 && aside[0].entry.value != nil)
            // What is new works on what is old.
            let record = FreshnessRecord(
                table: TableID(schema: "public", table: "single"), status: .fresh, since_us: 1_000, seenAt_us: 1_000)
            try await warehouse.record(freshness: [record])
            let freshness = try await warehouse.freshness()
            #expect(freshness == [record])
            let single = try #require(try await warehouse.knownTables().first { $0.source.table == "single" })
            let report = try await warehouse.erase(
                ErasureRequest(table: single, key: "{\"id\":-1}", reason: "a test's"))
            #expect(report.foundNothing)
        }
        try await file.expectEqual(run, leavingOut: Self.untyped, "version \(version)")
        // Everything once more is known.
        try await run.writing { warehouse, _ in
            try await warehouse.set(positions: [TopicPartition(topic: "file:events.jsonl", partition: 0): 0])
        }
        let again = try await run.untilEnd()
        let counts = again.tables.values.reduce(into: LedgerEntry(table: nil)) { $0 += $1.ledger }
        #expect(counts.applied == 0 && counts.duplicate == counts.read - counts.quarantined, "\(counts)")
        try await file.expectEqual(run, leavingOut: Self.untyped, "version \(version), once more")
    }

    private func total(_ warehouse: any Warehouse) async throws -> (read: Int, control: Int) {
        let (tables, control) = try await warehouse.ledger()
        return (tables.reduce(0) { $0 + $1.read }, control)
    }

    private func restore(_ version: Int, _ engine: Engine, _ folder: TestFolder) async throws -> PipelineRun {
        let golden = Self.folder.appending(path: "millrace-\(version)")
        func unpack(_ name: String, to target: String) throws {
            try Command.data(of: ["gzip", "-dc", "\(golden.path)\(name).gz"]).write(
                to: folder.url.appending(path: target))
        }
        var warehouse = "duckdb: { path: golden.duckdb, memory_limit: 512MiB }"
        switch engine {
        case .duckdb: try unpack(".duckdb", to: "golden.duckdb")
        case .postgres:
            let server = try await SharedServer.shared.theServer()
            let database = "earlier_\(version)"
            try await server.psql("CREATE DATABASE \(database)")
            try unpack(".sql", to: "golden.sql")
            try await server.psql("\\i '\(folder.path("golden.sql"))'", database: database)
            warehouse = "postgres: { url: \"\(server.url(database: database))\" }"
        }
        return PipelineRun(
            file: """
                pipeline: shop
                source: { file: { path: events.jsonl } }
                warehouse: { \(warehouse) }
                """, "shop", engine, environment: [:], folder: folder)
    }
}

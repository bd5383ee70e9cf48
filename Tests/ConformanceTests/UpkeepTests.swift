import Replication
import ReplicationTestKit
import Testing

/// What is done from time to time keeps sums, and what is still needed.
@Suite struct UpkeepTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()

    /// Years later: everything is old by then.
    private func upkeep(rows_max: Int = 7, keepsRaw: Bool = false) -> Upkeep {
        var upkeep = Upkeep(now_us: 4_102_444_800_000_000, rawAge_us: keepsRaw ? nil : 2 * 86_400_000_000)
        upkeep.rows_max = rows_max
        return upkeep
    }

    private func finish(_ subject: Subject, _ upkeep: Upkeep) async throws -> (sum: UpkeepStep, steps: Int) {
        var steps = 0
        let sum = try await upkeep.run(on: subject.warehouse) {
            steps += 1
            return true
        }
        return (sum, steps)
    }

    @Test(arguments: Engine.stored) func theLedgerRollsUpToHours(engine: Engine) async throws {
        let subject = try await engine.warehouse("upledger")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        var random = SeededRandom(seed: 4)
        let history = ModelHistory(seed: 4)
        let batches = suite.cut(history.events, &random)
        _ = try await suite.replicate(batches, model, into: subject)
        let ledger = "select count(*), count(source_range), sum(read) from _millrace.ledger where pipeline = 'upledger'"
        // Of three hours, and of half a year before.
        // Batches are numbered by the clock: every third of them, not those whose number can be divided by three.
        func move(_ rest: Int, by interval: String) -> String {
            """
            update _millrace.ledger set committed_at = committed_at - interval '\(interval)'
            where pipeline = 'upledger' and batch in (select batch from (
              select batch, row_number() over (order by batch) as place from _millrace.ledger
              where pipeline = 'upledger') as numbered where place % 3 = \(rest));
            """
        }
        #expect(batches.count >= 3)
        try await subject.execute(move(0, by: "1 hour") + "\n" + move(1, by: "180 days"))
        let before = try await subject.warehouse.ledger().tables
        let recent = Upkeep(now_us: 1_000_000_000_000)
        #expect(try await finish(subject, recent).sum.ledgerRows == 0, "nothing is old yet")
        let (sum, _) = try await finish(subject, upkeep(keepsRaw: true))
        // DuckDB takes what is old together when its file is opened, which the change behind its back did.
        #expect(engine == .duckdb ? sum.ledgerRows > 0 : sum.ledgerRows == batches.count)
        let rows = try await subject.warehouse.query(ledger, rows_max: 1).rows[0]
        // The clock may have struck meanwhile.
        #expect((3...6).contains(Int(rows[0] ?? "") ?? 0) && rows[1] == "0", "\(rows)")
        #expect(Int(rows[2] ?? "") == history.events.count)
        #expect(try await subject.warehouse.ledger().tables == before)
        #expect(try await finish(subject, upkeep(keepsRaw: true)).sum.ledgerRows == 0, "once")
        await subject.close()
    }

    @Test(arguments: Engine.stored) func rawGoesAsFarAsItsRetention(engine: Engine) async throws {
        let subject = try await engine.warehouse("upraw", suspectsRestore: true)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        var random = SeededRandom(seed: 6)
        let history = ModelHistory(seed: 6, shape: .init(keys: 40, steps: 400, truncates: false))
        _ = try await suite.replicate(suite.cut(history.events, &random), model, into: subject)
        let young = Upkeep(now_us: 1_000_000_000_000, rawAge_us: 2 * 86_400_000_000)
        #expect(try await finish(subject, young).sum.rawRows == 0)
        let versions = try await subject.versions(model, key: "id")

        let (sum, steps) = try await finish(subject, upkeep(rows_max: 60))
        #expect(sum.rawRows == history.events.count && sum.kept.isEmpty && steps > 5)
        #expect(try await subject.rawCount(model).rows == 0)
        #expect(try await subject.live(model, order: "id") == history.expected)
        // Everything once more: older than what is there, and no sign of another source.
        let again = try await suite.replicate(suite.cut(history.events, &random), model, into: subject)
        #expect(again.applied == 0 && again.deferred == 0 && again.addsUp)
        #expect(try await subject.warehouse.holds().isEmpty)
        #expect(try await subject.live(model, order: "id") == history.expected)
        #expect(try await subject.versions(model, key: "id") == versions)
        await subject.close()
    }

    @Test(arguments: Engine.stored) func whatIsStillNeededStays(engine: Engine) async throws {
        let subject = try await engine.warehouse("upneeded")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: 1) }
        // A row with a column that never came.
        let partial = EventSpec(.update, model.source, version(5), after: [.int(1), .int(1), .unchanged])
        _ = try await suite.replicate([[partial]], model, into: subject)
        var sum = try await finish(subject, upkeep()).sum
        #expect(sum.rawRows == 0 && sum.kept[model.source]?.contains("value never came") == true)
        let whole = EventSpec(.update, model.source, version(6), after: [.int(1), .int(1), .text("x")])
        _ = try await suite.replicate([[whole]], model, into: subject)

        try await subject.warehouse.hold([model.source], .paused, reason: "a test's")
        let more = EventSpec(.update, model.source, version(7), after: [.int(1), .int(2), .text("y")])
        _ = try await suite.replicate([[more]], model, into: subject)
        sum = try await finish(subject, upkeep()).sum
        #expect(sum.rawRows == 0 && sum.kept[model.source]?.contains("held") == true)
        #expect(try await subject.warehouse.release(model, .paused).isDone)
        sum = try await finish(subject, upkeep()).sum
        #expect(sum.rawRows == 3 && sum.kept.isEmpty)
        #expect(try await subject.live(model, order: "id") == [["id": "1", "n": "2", "note": "\"y\""]])
        await subject.close()
    }
}

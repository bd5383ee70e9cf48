import Replication
import ReplicationTestKit
import Testing

/// Folding rows from raw again changes nothing where nothing was wrong, and mends what was, in every warehouse.
@Suite struct RefoldTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()

    private func subject(_ engine: Engine, _ name: String) async throws -> Subject {
        let subject = try await engine.warehouse(name)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        return subject
    }

    private func request(_ way: RefoldRequest.Way, _ ids: Range<Int64> = 0..<6) -> RefoldRequest {
        RefoldRequest(
            table: model, keys: ids.map { "{\"id\":\($0)}" }, way: way, options: ReleaseOptions(),
            reconciles: 0..<Int64.max / 2)
    }

    @Test(arguments: Engine.allCases) func nothingWrongNothingChanged(engine: Engine) async throws {
        for seed in UInt64(0)..<8 {
            let history = ModelHistory(seed: seed)
            var random = SeededRandom(seed: seed &+ 3)
            let events = (history.events + history.events.prefix(20)).shuffled(using: &random)
            let subject = try await subject(engine, "refold\(seed)")
            _ = try await suite.replicate(suite.cut(events, &random), model, into: subject) { _ in }
            let (live, versions) = (
                try await subject.live(model, order: "id"), try await subject.versions(model, key: "id")
            )
            #expect(live == history.expected, "\(engine), seed \(seed)")
            let ledger = try await subject.warehouse.ledger().tables
            #expect(try await subject.warehouse.refold(request(.over)) == 0, "\(engine), seed \(seed)")
            #expect(try await subject.live(model, order: "id") == live, "\(engine), seed \(seed): over")
            #expect(try await subject.versions(model, key: "id") == versions, "\(engine), seed \(seed): over")
            _ = try await subject.warehouse.refold(request(.anew))
            #expect(try await subject.live(model, order: "id") == live, "\(engine), seed \(seed): anew")
            #expect(try await subject.versions(model, key: "id") == versions, "\(engine), seed \(seed): anew")
            #expect(try await subject.warehouse.ledger().tables == ledger, "no event is counted twice")
            let late = try await subject.warehouse.lateKeys(model.source, 0..<Int64.max / 2, limit: 100)
            #expect(late.isEmpty, "\(engine), seed \(seed): all are reconciled")
            await subject.close()
        }
    }

    /// Behind the warehouse's back a row is missing, older, of other values, deleted, alive, and one is nobody's.
    @Test(arguments: Engine.stored) func whatWasWrongIsMended(engine: Engine) async throws {
        let history = ModelHistory(seed: 11, shape: .init(keys: 6, steps: 60, truncates: false))
        var random = SeededRandom(seed: 4)
        let subject = try await subject(engine, "refoldmend")
        _ = try await suite.replicate(suite.cut(history.events, &random), model, into: subject) { _ in }
        let ids = history.rows.keys.sorted()
        try #require(ids.count >= 3)
        let gone = try #require((0..<6).first { history.rows[$0] == nil })
        let table = "\"\(subject.layout.current)\".\"\(model.target)\""
        try await subject.execute(
            """
            DELETE FROM \(table) WHERE id = \(ids[0]);
            UPDATE \(table) SET n = -5, note = 'forged' WHERE id = \(ids[1]);
            UPDATE \(table) SET is_deleted = true WHERE id = \(ids[2]);
            UPDATE \(table) SET is_deleted = false WHERE id = \(gone);
            INSERT INTO \(table) (id, n, is_deleted, _version_epoch, _version_commit, _version_seq)
            VALUES (77, 1, false, 0, 5, 6);
            """)
        // What is missing alone, as nothing that stands there is touched.
        #expect(try await subject.warehouse.refold(request(.over, 0..<80)) == 1, "\(engine)")
        var live = try await subject.live(model, order: "id")
        #expect(live.contains { $0["id"] == "77" } && live.contains { $0["n"] == "-5" }, "\(engine)")
        _ = try await subject.warehouse.refold(request(.anew, 0..<80))
        live = try await subject.live(model, order: "id")
        // What raw doesn't know stays: it may have a gap that nobody noted.
        #expect(live.filter { $0["id"] != "77" } == history.expected, "\(engine)")
        #expect(live.contains { $0["id"] == "77" }, "\(engine)")
        // Nor is a row taken back that is newer than all that raw has of it.
        try await subject.execute("UPDATE \(table) SET n = 99, _version_commit = 999999 WHERE id = \(ids[0])")
        _ = try await subject.warehouse.refold(request(.anew, 0..<80))
        #expect(try await subject.live(model, order: "id").contains { $0["n"] == "99" }, "\(engine)")
        await subject.close()
    }

    @Test(arguments: Engine.allCases) func aTableThatStandsStillIsLeftAlone(engine: Engine) async throws {
        let subject = try await subject(engine, "refoldheld")
        try await subject.warehouse.hold([model.source], .paused, reason: "a test's")
        await #expect(throws: ReplicationError.self) { try await subject.warehouse.refold(request(.over)) }
        await subject.close()
    }
}

import Replication
import ReplicationTestKit
import Testing

/// What a sweep read at the source is written over what stands there, in every warehouse, unless more is known of a row
/// than was read; and whatever comes then, again or anew, ends as it would have.
@Suite struct MendTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()

    private func event(
        _ operation: Operation, _ id: Int64, _ n: Int64, _ commit: Int64, _ seq: Int64, transaction: Int64 = -1
    ) -> EventSpec {
        let version = Version(epoch: 0, commit: commit, seq: seq)
        return operation == .delete
            ? EventSpec(.delete, model.source, version, before: [.int(id), .absent, .absent], transaction: transaction)
            : EventSpec(
                operation, model.source, version, after: [.int(id), .int(n), .text("of \(id)")],
                transaction: transaction)
    }

    private func subject(_ engine: Engine, _ name: String, _ events: [EventSpec]) async throws -> Subject {
        let subject = try await engine.warehouse(name)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        _ = try await suite.replicate([events], model, into: subject)
        return subject
    }

    private func rows(_ subject: Subject) async throws -> [String] {
        try await subject.live(model, order: "id").map { "\($0["id"] ?? "") \($0["n"] ?? "")" }
    }

    private func mend(_ events: [EventSpec], _ unseen: RowMend.Unseen, isAboveStored: Bool) -> RowMend {
        RowMend(BatchBuilder([model]).batch(events), unseen: unseen, isAboveStored: isAboveStored)
    }

    @Test(arguments: Engine.allCases) func whatIsNewerStays(engine: Engine) async throws {
        let events = (1...4).map { event(.create, $0, $0, 10, 2 * $0) } + [event(.update, 2, 22, 25, 2)]
        let subject = try await subject(engine, "mend", events)
        let reads = [
            event(.read, 1, 100, 30, 0), event(.read, 2, 200, 30, 0), event(.delete, 3, 0, 30, 0),
            event(.read, 5, 500, 30, 0),
        ]
        let outcome = try await subject.warehouse.mend(mend(reads, .since(20), isAboveStored: false))
        #expect(outcome.unmended == [#"{"id":2}"#], "\(engine)")
        #expect(outcome.ledger.first?.read == 3 && outcome.ledger.first?.applied == 3, "\(engine)")
        #expect(try await rows(subject) == ["1 100", "2 22", "4 4", "5 500"], "\(engine)")
        // Nothing that was before brings it back, and what comes wins.
        _ = try await suite.replicate([events.shuffled(), [event(.update, 1, 7, 31, 2)]], model, into: subject)
        #expect(try await rows(subject) == ["1 7", "2 22", "4 4", "5 500"], "\(engine)")
        // Raw says the same.
        let request = RefoldRequest(
            table: model, keys: (1...5).map { "{\"id\":\($0)}" }, way: .anew, options: ReleaseOptions())
        _ = try await subject.warehouse.refold(request)
        #expect(try await rows(subject) == ["1 7", "2 22", "4 4", "5 500"], "\(engine)")
        await subject.close()
    }

    /// Through Kafka versions lie behind their commits: a row is written just above what is known of it.
    @Test(arguments: Engine.allCases) func aRowIsWrittenAboveWhatIsKnown(engine: Engine) async throws {
        let events = [
            event(.create, 1, 1, 10, 16, transaction: 100), event(.create, 2, 2, 10, 32, transaction: 205),
            event(.create, 3, 3, 10, 48, transaction: 150), event(.delete, 4, 0, 10, 64, transaction: 101),
        ]
        let subject = try await subject(engine, "mendabove", events)
        let extent = try #require(SnapshotExtent("150:200:150"))
        let reads =
            (1...3).map { event(.read, $0, 100 * $0, 5, 0) } + [
                event(.read, 4, 400, 5, 0), event(.read, 6, 600, 5, 0),
            ]
        let outcome = try await subject.warehouse.mend(
            mend(reads, .outside(extent, from_us: 0, taken_us: .max), isAboveStored: true))
        #expect(Set(outcome.unmended) == [#"{"id":2}"#, #"{"id":3}"#], "\(engine)")
        #expect(try await rows(subject) == ["1 100", "2 2", "3 3", "4 400", "6 600"], "\(engine)")
        let versions = try await subject.versions(model, key: "id")
        #expect(versions.contains { $0.compactMap { $0 }.joined(separator: " ").contains("18") }, "\(versions)")
        // The next record of the log stands behind that.
        _ = try await suite.replicate(
            [events, [event(.update, 1, 8, 10, 80), event(.delete, 4, 0, 10, 96)]], model, into: subject)
        #expect(try await rows(subject) == ["1 8", "2 2", "3 3", "6 600"], "\(engine)")
        await subject.close()
    }

    @Test(arguments: Engine.allCases) func aTableThatStandsStillIsLeftAlone(engine: Engine) async throws {
        let subject = try await subject(engine, "mendheld", [event(.create, 1, 1, 10, 2)])
        try await subject.warehouse.hold([model.source], .paused, reason: "a test's")
        await #expect(throws: ReplicationError.self) {
            try await subject.warehouse.mend(
                mend([event(.read, 1, 9, 30, 0)], .since(20), isAboveStored: false))
        }
        await subject.close()
    }
}

import Replication
import ReplicationTestKit
import Testing

/// A source that was restored from a backup says everything at positions that are lower than what the warehouse has.
@Suite struct RestoreTests {
    private let model = ModelHistory.definition
    private let busy = TopicPartition(topic: "a:model", partition: 0)
    private let quiet = TopicPartition(topic: "a:model", partition: 1)

    /// An agent's hold on two partitions of one topic.
    private final class Feed {
        let subject: Subject
        let model: TableDefinition
        var claims: [TopicPartition: Checkpoint] = [:]
        var sum = LedgerEntry(table: nil)

        init(_ subject: Subject, _ model: TableDefinition) {
            self.subject = subject
            self.model = model
        }

        func claim(_ partitions: [TopicPartition]) async throws {
            for claim in try await subject.warehouse.claim(partitions, owner: "test") {
                claims[claim.partition] = claim
            }
        }

        func apply(_ events: [EventSpec], of partition: TopicPartition, again: Bool = false) async throws {
            let claim = claims[partition] ?? Checkpoint(partition: partition)
            let from = again ? (claim.position ?? 0) - Int64(events.count) : claim.position ?? 0
            var builder = BatchBuilder([model])
            builder.partition = partition
            let to = from + Int64(events.count)
            let outcome = try await subject.warehouse.apply(
                builder.batch(events, from: from),
                advancing: [
                    CheckpointAdvance(
                        partition: partition, from: claim.position, to: to, token: claim.token, spans: [0])
                ])
            claims[partition]?.position = to
            for entry in outcome.ledger { sum += entry }
        }

        func release() async throws {
            while true {
                let step = try await subject.warehouse.release(model, .restored, limit: 37)
                for entry in step.outcome.ledger { sum += entry }
                if step.isDone { return }
            }
        }
    }

    private func change(
        _ operation: Replication.Operation, _ id: Int64, _ n: Int64, at commit: Int64, epoch: Int64 = 0, time_s: Int64
    ) -> EventSpec {
        let row: [Cell] = [.int(id), .int(n), .null]
        return EventSpec(
            operation, model.source, .change(epoch: epoch, commit: commit, place: commit),
            before: operation == .delete ? row : nil, after: operation == .delete ? nil : row,
            time_us: time_s * 1_000_000)
    }

    /// 20 rows in the busy partition up to position 1000; one row in the quiet one, at position 10.
    private func begin(_ engine: Engine, _ name: String, hasRaw: Bool = true) async throws -> Feed {
        let subject = try await engine.warehouse(name, hasRaw: hasRaw, suspectsRestore: true)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        let feed = Feed(subject, model)
        try await feed.claim([busy, quiet])
        try await feed.apply([change(.create, 100, 1, at: 10, time_s: 10)], of: quiet)
        try await feed.apply((1...20).map { change(.create, $0, 0, at: 600 + $0 * 20, time_s: 1000 + $0) }, of: busy)
        return feed
    }

    /// What the restored source says: each row changed some times, row 1 deleted, a row of a new key.
    private func restored(epoch: Int64 = 0, from: Int64 = 301, rounds: Int64 = 12) -> [EventSpec] {
        var events: [EventSpec] = []
        var commit = from
        for round in 1...rounds {
            for id in Int64(2)...20 {
                events.append(change(.update, id, round, at: commit, epoch: epoch, time_s: 5000 + commit))
                commit += 1
            }
        }
        events.append(change(.delete, 1, 0, at: commit, epoch: epoch, time_s: 5000 + commit))
        events.append(change(.create, 21, 7, at: commit + 1, epoch: epoch, time_s: 5000 + commit + 1))
        return events
    }

    private func cut(_ events: [EventSpec]) -> [[EventSpec]] {
        stride(from: 0, to: events.count, by: 31).map { Array(events[$0..<min($0 + 31, events.count)]) }
    }

    private func values(_ feed: Feed) async throws -> [String: String] {
        let live = try await feed.subject.live(model, order: "id")
        return Dictionary(uniqueKeysWithValues: live.map { ($0["id"] ?? "", $0["n"] ?? "") })
    }

    @Test(arguments: Engine.allCases) func aRestoredSourceIsHeldAndGoesOnInANewEpoch(engine: Engine) async throws {
        let feed = try await begin(engine, "restored")
        let warehouse = feed.subject.warehouse
        let before = try await values(feed)
        let events = restored()
        for batch in cut(events) { try await feed.apply(batch, of: busy) }
        let held = try await warehouse.holds()
        #expect(held.map(\.kind) == [.restored] && held.first?.table == model.source, "\(engine)")
        #expect(try await values(feed) == before, "\(engine): current stands still")
        #expect(feed.sum.superseded < RestoreSuspicion.events_min && feed.sum.deferred > 100, "\(engine): \(feed.sum)")
        // The quiet partition's events are of after the restore too, though nothing in them steps back.
        try await feed.apply([change(.update, 100, 2, at: 400, time_s: 6000)], of: quiet)

        try await warehouse.beginEpoch()
        await #expect { try await feed.apply([], of: busy) } throws: { ($0 as? ReplicationError)?.kind == .fenced }
        let epochs = try await warehouse.epochs()
        #expect(epochs.newest == 1 && epochs.beginnings.first?.offsets == [busy: 20], "\(engine): \(epochs)")
        // Between the last event of before and the first of after.
        let from_us = try #require(epochs.beginnings.first?.from_us)
        #expect(from_us > 1_020_000_000 && from_us < 5_301_000_000, "\(engine)")
        try await feed.claim([busy, quiet])
        #expect(try await warehouse.holds().count == 1, "\(engine): still held")
        // What comes now has the epoch by where it stands; known events are known.
        try await feed.apply(restored(epoch: 1), of: busy, again: true)
        #expect(feed.sum.duplicate == events.count, "\(engine): \(feed.sum)")
        try await feed.release()
        #expect(try await warehouse.holds().isEmpty)

        var wanted = Dictionary(uniqueKeysWithValues: (2...20).map { ("\($0)", "12") })
        wanted["21"] = "7"
        wanted["100"] = "2"
        #expect(try await values(feed) == wanted, "\(engine)")
        try await feed.apply([change(.update, 5, 99, at: 900, epoch: 1, time_s: 9000)], of: busy)
        wanted["5"] = "99"
        #expect(try await values(feed) == wanted, "\(engine): later ones win by their place in the new epoch")
        let ledger = try #require(try await warehouse.ledger().tables.first { $0.table == model.source })
        #expect(ledger.addsUp && ledger.deferred == 0 && ledger.superseded == 0, "\(engine): \(ledger)")
        let raw = try await feed.subject.rawCount(model)
        #expect(raw.rows == 21 + events.count + 2 && raw.events == raw.rows, "\(engine)")
        await feed.subject.close()
    }

    /// Nobody decides until the source has passed its old positions. A table comes to be known meanwhile; a row that the
    /// filter says no to was made; the command is given twice.
    @Test(arguments: Engine.allCases) func theDecisionComesLate(engine: Engine) async throws {
        let feed = try await begin(engine, "restoredlate")
        let warehouse = feed.subject.warehouse
        var events = restored(rounds: 12)
        for commit in Int64(600)...1400 {
            events.append(change(.update, 2 + commit % 19, commit, at: commit, time_s: 6000 + commit))
        }
        events.append(change(.create, 500, -1, at: 1401, time_s: 7500))
        for batch in cut(events) { try await feed.apply(batch, of: busy) }
        #expect(try await warehouse.holds().count == 1)
        try await warehouse.beginEpoch()
        let epochs = try await warehouse.epochs()
        #expect(epochs.beginnings.map(\.offsets) == [[busy: 20]], "\(engine): \(epochs)")
        #expect(try await warehouse.holds().map(\.epoch) == [1])
        let filter = Positive()
        while true {
            let step = try await warehouse.release(model, .restored, ReleaseOptions(limit: 100, filter: filter))
            for entry in step.outcome.ledger { feed.sum += entry }
            if step.isDone { break }
        }
        var wanted = ["100": "1", "21": "7"]
        for commit in Int64(1382)...1400 { wanted["\(2 + commit % 19)"] = "\(commit)" }
        // Before the suspicion nothing was asked of it; what is deferred keeps what was said then.
        wanted["500"] = "-1"
        #expect(try await values(feed) == wanted, "\(engine)")
        let ledger = try #require(try await warehouse.ledger().tables.first { $0.table == model.source })
        #expect(ledger.addsUp && ledger.deferred == 0 && ledger.applied >= 0, "\(engine): \(ledger)")
        await feed.subject.close()
    }

    private struct Positive: RowFilter {
        var columns: [String] { ["n"] }
        func judge(_ value: (Int) -> FilterValue) -> FilterVerdict {
            guard case .number(let digits) = value(0) else { return .undecided }
            return digits.first == 0x2D ? .reject : .pass
        }
    }

    /// Records put aside, and replayed when their rows are newer: no sign of anything.
    @Test(arguments: Engine.allCases) func aReplayRaisesNoSuspicion(engine: Engine) async throws {
        let feed = try await begin(engine, "restoredreplay")
        let builder = BatchBuilder([model])
        for batch in cut(restored()) {
            _ = try await feed.subject.warehouse.apply(builder.batch(batch), advancing: [])
        }
        #expect(try await feed.subject.warehouse.holds().isEmpty)
        await feed.subject.close()
    }

    @Test(arguments: Engine.allCases) func aRedeliveryStaysSuperseded(engine: Engine) async throws {
        let feed = try await begin(engine, "redelivery")
        let warehouse = feed.subject.warehouse
        let before = try await values(feed)
        let events = restored()
        for batch in cut(events) { try await feed.apply(batch, of: busy) }
        #expect(try await warehouse.holds().count == 1)
        try await warehouse.acceptRedelivery()
        try await feed.release()
        var wanted = before
        // Nothing newer was ever said of these two.
        wanted["21"] = "7"
        #expect(try await values(feed) == wanted, "\(engine)")
        let behind = feed.sum.superseded + feed.sum.compacted
        #expect(feed.sum.addsUp && feed.sum.deferred == 0 && behind == events.count - 1, "\(engine)")
        // More of it raises no suspicion for a day.
        for batch in cut(restored(from: 302, rounds: 15)) { try await feed.apply(batch, of: busy) }
        #expect(try await warehouse.holds().isEmpty, "\(engine)")
        await feed.subject.close()
    }

    /// Newer events in between, events that raw knows, few keys, reads: the normal course of things.
    @Test(arguments: Engine.allCases) func whatIsNoSuspicion(engine: Engine) async throws {
        let feed = try await begin(engine, "nosuspicion")
        let warehouse = feed.subject.warehouse
        var commit: Int64 = 1001
        for batch in cut(restored(rounds: 20)) {
            try await feed.apply(batch + [change(.update, 20, commit, at: commit, time_s: commit)], of: busy)
            commit += 1
        }
        #expect(try await warehouse.holds().isEmpty, "\(engine): the partition moves on")
        let known = (1...20).map { change(.create, $0, 0, at: 600 + $0 * 20, time_s: 1000 + $0) }
        for _ in 0..<8 { try await feed.apply(known, of: busy) }
        #expect(try await warehouse.holds().isEmpty, "\(engine): once more the same")
        for at in 0..<200 { try await feed.apply([change(.update, 3, 5, at: 200 + Int64(at), time_s: 9)], of: busy) }
        #expect(try await warehouse.holds().isEmpty, "\(engine): one key")
        #expect(feed.sum.superseded > 200, "\(feed.sum)")
        await feed.subject.close()
    }

    @Test(arguments: Engine.allCases) func withoutRawARestoredSourceStopsThePipeline(engine: Engine) async throws {
        let feed = try await begin(engine, "restorednoraw", hasRaw: false)
        try await feed.apply([change(.update, 5, 1, at: 549, time_s: 900)], of: busy)
        #expect(feed.sum.superseded == 1, "\(engine): late, and written before")
        await #expect { try await feed.apply([change(.update, 5, 1, at: 549, time_s: 5000)], of: busy) } throws: {
            ($0 as? ReplicationError)?.kind == .permanent
        }
        await feed.subject.close()
    }
}

import Replication
import ReplicationTestKit
import Testing

/// Late events are applied like any other, measured and listed, in every warehouse.
@Suite struct LateEventsTests {
    private let model = ModelHistory.definition
    private let partition = TopicPartition(topic: "model", partition: 0)

    private func event(_ operation: Operation, _ id: Int64, at commit: Int64, note: Cell = .text("v")) -> EventSpec {
        let version =
            operation == .read
            ? Version(epoch: 0, commit: commit, seq: 0) : .change(epoch: 0, commit: commit, place: id)
        return EventSpec(operation, model.source, version, after: [.int(id), .int(commit), note])
    }

    private func apply(_ batches: [[EventSpec]], to subject: Subject) async throws -> LedgerEntry {
        let claim = try await subject.warehouse.claim([partition], owner: "test")[0]
        var builder = BatchBuilder([model])
        builder.partition = partition
        var position = claim.position
        var sum = LedgerEntry(table: nil)
        for events in batches {
            let to = (position ?? 0) + Int64(events.count)
            let outcome = try await subject.warehouse.apply(
                builder.batch(events, from: position ?? 0),
                advancing: [
                    CheckpointAdvance(partition: partition, from: position, to: to, token: claim.token, spans: [0])
                ])
            position = to
            for entry in outcome.ledger { sum += entry }
        }
        return sum
    }

    @Test(arguments: Engine.allCases) func areMeasuredAndListed(engine: Engine) async throws {
        let subject = try await engine.warehouse("late", allowedLateness_us: [model.source.description: 6_000_000])
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        // A source's clock tells the commit's number as seconds.
        var sum = try await apply(
            [
                [event(.create, 1, at: 10), event(.create, 2, at: 10), event(.read, 5, at: 15)],
                [event(.update, 1, at: 20)],
            ], to: subject)
        #expect(sum.late == 0 && sum.tooLate == 0, "\(engine): in order nothing is late")
        let late = [
            event(.update, 1, at: 15), event(.create, 3, at: 12), event(.update, 2, at: 5, note: .unchanged),
            // What a snapshot read is newer than isn't late.
            event(.update, 5, at: 14),
        ]
        sum = try await apply([late], to: subject)
        #expect(sum.late == 3 && sum.tooLate == 2 && sum.superseded == 3 && sum.applied == 1, "\(engine): \(sum)")
        sum = try await apply([late], to: subject)
        #expect(sum.duplicate == 4 && sum.late == 0, "\(engine): a second delivery is no late event")
        #expect(sum.addsUp)
        let stored = try await subject.warehouse.ledger().tables.first { $0.table == model.source }
        if engine == .memory {
            let memory = try #require(subject.warehouse as? MemoryWarehouse)
            let listed = await memory.tables.late
            #expect(listed.map(\.behindRow_us) == [5_000_000, nil, 5_000_000])
            #expect(listed.map(\.behindWatermark_us) == [5_000_000, 8_000_000, 15_000_000])
            #expect(listed.map(\.isTooLate) == [false, true, true])
        } else {
            #expect(stored?.late == 3 && stored?.tooLate == 2)
            let rows = try await subject.warehouse.query(
                """
                select op, cast(key as varchar), _version_commit, behind_row_ms, behind_watermark_ms, superseded, too_late,
                reconciled_at is null from _millrace.late_events where pipeline = 'late' order by _version_commit
                """, rows_max: 10
            ).rows
            let wanted: [[String?]] = [
                ["u", "{\"id\":2}", "5", "5000", "15000", "true", "true", "true"],
                ["c", "{\"id\":3}", "12", nil, "8000", "false", "true", "true"],
                ["u", "{\"id\":1}", "15", "5000", "5000", "true", "false", "true"],
            ]
            let plain = rows.map { $0.map { $0 == "t" ? "true" : $0 == "f" ? "false" : $0 } }
            #expect(plain == wanted, "\(engine)")
        }
        let live = try await subject.live(model, order: "id")
        #expect(live.map { $0["n"] } == ["20", "10", "12", "15"], "\(engine): each row is its newest")
        await subject.close()
    }

    /// Without raw a second delivery looks the same as a late event.
    @Test(arguments: Engine.allCases) func withoutRawOnlyTheClockTells(engine: Engine) async throws {
        let subject = try await engine.warehouse("lateless", hasRaw: false)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        let sum = try await apply(
            [[event(.create, 1, at: 10)], [event(.update, 1, at: 20)], [event(.update, 1, at: 15)]], to: subject)
        #expect(sum.superseded == 1 && sum.late == 0, "\(engine)")
        await subject.close()
    }
}

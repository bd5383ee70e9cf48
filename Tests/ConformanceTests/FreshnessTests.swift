import Replication
import ReplicationTestKit
import Testing

/// `_millrace.freshness`: a row for each time in which a table's status was one.
@Suite struct FreshnessTests {
    private static let orders = TableID(schema: "public", table: "orders")
    private static let items = TableID(schema: "it's", table: "it\"ems")
    private static let start: Int64 = 1_800_000_000_000_000
    private static let second: Int64 = 1_000_000

    private func record(
        _ table: TableID, _ status: FreshnessStatus?, since second: Int64, seen: Int64? = nil
    ) -> FreshnessRecord {
        var record = FreshnessRecord(
            table: table, status: status, since_us: Self.start + second * Self.second,
            seenAt_us: Self.start + (seen ?? second) * Self.second)
        record.completeAsOf_us = record.seenAt_us - 7 * Self.second
        record.changedAt_us = record.seenAt_us - 900 * Self.second
        record.maxStaleness_us = 900 * Self.second
        record.staleness_us = 1500 * 1000
        record.reason = status == .stale ? "it's stalled" : nil
        record.channel = "#data-alerts"
        return record
    }

    @Test(arguments: Engine.allCases) func whatIsSoAndWhatWas(engine: Engine) async throws {
        let subject = try await engine.warehouse("freshness")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        #expect(try await warehouse.freshness().isEmpty)
        try await warehouse.record(freshness: [])
        try await warehouse.record(freshness: [
            record(Self.orders, .fresh, since: 1), record(Self.items, nil, since: 2),
        ])
        #expect(
            try await warehouse.freshness() == [
                record(Self.items, nil, since: 2), record(Self.orders, .fresh, since: 1),
            ])

        // What is known goes on, and how it began stays.
        var later = record(Self.orders, .fresh, since: 50, seen: 60)
        later.staleness_us = 0
        later.channel = "#others"
        later.maxStaleness_us = 60 * Self.second
        try await warehouse.record(freshness: [later])
        var known = record(Self.orders, .fresh, since: 1, seen: 60)
        (known.channel, known.maxStaleness_us) = ("#others", 60 * Self.second)
        #expect(try await warehouse.freshness().last == known)
        if engine != .memory {
            // An agent that knows less, or nothing.
            var older = record(Self.orders, .fresh, since: 1)
            try await warehouse.record(freshness: [older])
            (older.completeAsOf_us, older.changedAt_us) = (nil, nil)
            try await warehouse.record(freshness: [older])
            let kept = try await warehouse.freshness().last
            #expect(kept?.completeAsOf_us == known.completeAsOf_us && kept?.changedAt_us == known.changedAt_us)
            #expect(kept?.seenAt_us == known.seenAt_us)
        }

        // Two changes that waited for the warehouse, and what is so then.
        let changes = [
            record(Self.orders, .stale, since: 70), record(Self.orders, .fresh, since: 80),
            record(Self.orders, .fresh, since: 80, seen: 90),
        ]
        try await warehouse.record(freshness: changes)
        #expect(try await warehouse.freshness().last == record(Self.orders, .fresh, since: 80, seen: 90))
        if engine != .memory {
            let rows = try await warehouse.query(
                """
                select status, until = (select min(n.since) from _millrace.freshness n where n.pipeline = f.pipeline \
                and n.source_table = f.source_table and n.since > f.since) from _millrace.freshness f \
                where pipeline = 'freshness' and source_table = 'orders' order by since
                """, rows_max: 10
            ).rows
            #expect(rows.map { $0[0] } == ["FRESH", "STALE", "FRESH"])
            #expect(
                rows.dropLast().allSatisfy { $0[1]?.first == "t" } && rows.last.map { $0[1] == nil } == true, "\(rows)")

            // What is over for long goes with the next change.
            try await warehouse.record(freshness: [record(Self.orders, .stale, since: 85 + 90 * 86_400)])
            let left = try await warehouse.query(
                "select count(*) from _millrace.freshness where pipeline = 'freshness' and source_table = 'orders'",
                rows_max: 1)
            #expect(left.rows == [["2"]])
        }
        await subject.close()
    }

    /// A source transaction in parts is under way: what is written beside it is durable at once, and it goes on.
    @Test(arguments: Engine.stored) func besideATransactionInParts(engine: Engine) async throws {
        let subject = try await engine.warehouse("freshnessparts")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        let table = TableDefinition(
            source: Self.orders, target: "orders",
            columns: [
                Column(name: "id", type: .bigint, isKey: true, nullable: false), Column(name: "note", type: .text),
            ], key: [0])
        try await warehouse.ensure([table])
        let partition = TopicPartition(topic: "t", partition: 0)
        let claim = try await warehouse.claim([partition], owner: "test")
        func part(_ key: Int64, _ to: Int64) -> (ChangeBatch, CheckpointAdvance) {
            let event = EventSpec(
                .create, Self.orders, Version(epoch: 0, commit: 7, seq: 2 * key), after: [.int(key), .text("x")])
            var builder = BatchBuilder([table])
            builder.partition = partition
            let advance = CheckpointAdvance(
                partition: partition, from: nil, to: to, token: claim[0].token, spans: [0])
            return (builder.batch([event]), advance)
        }
        let (first, begun) = part(1, 5)
        _ = try await warehouse.apply(first, advancing: [begun], part: .first, probesAll: false)
        try await warehouse.record(freshness: [record(Self.orders, .fresh, since: 1)])
        #expect(try await warehouse.freshness().count == 1)
        let (last, end) = part(2, 5)
        _ = try await warehouse.apply(last, advancing: [end], part: .last, probesAll: false)
        #expect(try await warehouse.checkpoints().map(\.position) == [5])
        #expect(try await warehouse.freshness().count == 1)
        await subject.close()
    }
}

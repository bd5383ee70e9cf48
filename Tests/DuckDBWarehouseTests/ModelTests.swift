import DuckDB
import Replication
import ReplicationTestKit
import Testing

/// The same generated histories through this warehouse and through the reference in memory.
@Suite struct ModelTests {
    @Test(arguments: 0..<8 as Range<UInt64>)
    func aShuffledHistoryEndsAsTheReferenceDoes(seed: UInt64) async throws {
        let history = ModelHistory(seed: seed, shape: .init(keys: 5, steps: 60))
        var random = SeededRandom(seed: seed ^ 0x5EED)
        let shop = try await WarehouseFixture([ModelHistory.definition])
        let memory = MemoryWarehouse(layout: shop.layout)
        try await memory.ensure([ModelHistory.definition])
        _ = try await memory.claim([shop.builder.partition], owner: "test")

        // Some come twice, in any order, in batches of any size.
        var events = history.events + history.events.filter { _ in random.chance(20) }
        if seed % 2 == 1 { events.shuffle(using: &random) }
        var position: Int64?
        while !events.isEmpty {
            let some = Array(events.prefix(1 + random.below(12)))
            events.removeFirst(some.count)
            let start = position ?? 0
            let ours = try await shop.apply(shop.builder.batch(some, from: start))
            let theirs = try await memory.apply(
                shop.builder.batch(some, from: start),
                advancing: [
                    CheckpointAdvance(
                        partition: shop.builder.partition, from: position, to: start + Int64(some.count), token: 1,
                        spans: [0])
                ])
            position = start + Int64(some.count)
            #expect(ours.ledger == theirs.ledger)
        }
        try await compare(shop, memory)

        let live = try await shop.rows("SELECT id, n, note FROM shop_live.model ORDER BY id")
        let expected = history.rows.sorted { $0.key < $1.key }.map { "\($0.key)|\($0.value.n)|\($0.value.note ?? "∅")" }
        #expect(live == expected)
        try await compareHistory(shop, history)
    }

    private func compare(_ shop: WarehouseFixture, _ memory: MemoryWarehouse) async throws {
        let tables = await memory.tables
        let theirs = (tables.current[ModelHistory.table] ?? [:]).values.map { row in
            [
                row.values["id"] ?? "∅", "\(row.isDeleted)", "\(row.version.epoch)", "\(row.version.commit)",
                "\(row.version.seq)", row.columnVersions.isEmpty ? "∅" : row.columnVersions.json,
                row.isDeleted ? "" : row.values["n"] ?? "∅",
            ].joined(separator: "|")
        }
        let ours = try await shop.rows(
            """
            SELECT id, is_deleted, _version_epoch, _version_commit, _version_seq, _version_columns, \
            CASE WHEN is_deleted THEN '' ELSE coalesce(CAST(n AS VARCHAR), '∅') END FROM shop.model
            """)
        #expect(ours.sorted() == theirs.sorted())
        let count = try await shop.rows("SELECT count(*) FROM shop_raw.model")
        #expect(count == ["\(tables.raw[ModelHistory.table]?.count ?? 0)"])
    }

    /// The history's open intervals are the live rows, but for values that lie under another key.
    private func compareHistory(_ shop: WarehouseFixture, _ history: ModelHistory) async throws {
        let open = try await shop.rows("SELECT id, n FROM shop_history.model WHERE is_current ORDER BY id")
        #expect(open == history.rows.sorted { $0.key < $1.key }.map { "\($0.key)|\($0.value.n)" })
        let overlaps = try await shop.rows(
            "SELECT count(*) FROM shop_history.model WHERE NOT is_current AND (valid_to IS NULL OR valid_to < valid_from)"
        )
        #expect(overlaps == ["0"])
    }
}

import DuckDB
import Replication
import ReplicationTestKit
import Testing

@Suite struct MergeTests {
    private let current = """
        SELECT id, status, note, is_deleted, epoch_us(deleted_at)::BIGINT, _version_commit FROM shop.orders ORDER BY id
        """

    @Test func newRowsAreInserted() async throws {
        let shop = try await WarehouseFixture([.orders])
        let outcome = try await shop.apply([
            create(1, .text("new"), .null, at: 10), create(2, .text("paid"), .text("x"), at: 11),
        ])
        #expect(outcome.ledger.first?.applied == 2)
        #expect(
            try await shop.rows(current) == ["1|new|∅|false|∅|10", "2|paid|x|false|∅|11"])
        #expect(try await shop.rows("SELECT * FROM shop_live.orders ORDER BY id") == ["1|new|∅", "2|paid|x"])
        let times = try await shop.rows(
            "SELECT epoch_us(_source_updated_at)::BIGINT, _loaded_at IS NOT NULL, _version_epoch, _version_seq, _version_columns FROM shop.orders WHERE id = 1"
        )
        #expect(times == ["10000000|true|0|2|∅"])
    }

    @Test func aNewerVersionWinsAndAnOlderLoses() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        try await shop.apply([update(1, .text("c"), .null, at: 30)])
        let late = try await shop.apply([update(1, .text("b"), .null, at: 20)])
        #expect(late.ledger.first?.superseded == 1)
        #expect(try await shop.rows(current) == ["1|c|∅|false|∅|30"])
    }

    @Test func theSameEventsAgainChangeNothing() async throws {
        let shop = try await WarehouseFixture([.orders])
        let specs = [create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 11), delete(2, at: 12)]
        try await shop.apply(specs)
        let before = try await shop.rows(current)
        let again = try await shop.apply(specs)
        #expect(again.ledger.first?.duplicate == 3)
        #expect(again.rows == 0)
        #expect(try await shop.rows(current) == before)
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["3"])
    }

    @Test func withoutRawTheSameEventsAreSuperseded() async throws {
        let layout = WarehouseLayout(pipeline: "shop", hasRaw: false)
        let shop = try await WarehouseFixture([.orders], layout: layout)
        let specs = [create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 11)]
        try await shop.apply(specs)
        let again = try await shop.apply(specs)
        #expect(again.ledger.first?.superseded == 2)
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["2"])
    }

    @Test func aDeleteKeepsTheLastValues() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("kept"), at: 10), create(2, .text("b"), .null, at: 11)])
        let outcome = try await shop.apply([delete(1, at: 20)])
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await shop.rows(current) == ["1|a|kept|true|20000000|20", "2|b|∅|false|∅|11"])
        #expect(try await shop.rows("SELECT id FROM shop_live.orders") == ["2"])
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 1, deleted: 1, incomplete: 0))
    }

    @Test func aDeleteOfARowNeverSeenMakesAKeyOnlyRow() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([delete(7, at: 20)])
        #expect(try await shop.rows(current) == ["7|∅|∅|true|20000000|20"])
        // An older insert that comes late can't raise it.
        try await shop.apply([create(7, .text("a"), .null, at: 10)])
        #expect(try await shop.rows(current) == ["7|∅|∅|true|20000000|20"])
    }

    @Test func aNewerInsertRevives() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("n"), at: 10)])
        try await shop.apply([delete(1, at: 20)])
        try await shop.apply([create(1, .text("b"), .null, at: 30)])
        #expect(try await shop.rows(current) == ["1|b|∅|false|∅|30"])
    }

    @Test func oneBatchMixesAllCases() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply((1...6).map { create($0, .text("s\($0)"), .text("n\($0)"), at: 100 + $0) })
        let outcome = try await shop.apply([
            create(9, .text("new"), .null, at: 200), update(1, .text("full"), .null, at: 201), delete(2, at: 202),
            update(3, .text("masked"), .unchanged, at: 203), update(4, .text("late"), .null, at: 50),
            update(8, .text("lone"), .unchanged, at: 204),
        ])
        #expect(outcome.ledger.first?.applied == 5)
        #expect(outcome.ledger.first?.superseded == 1)
        #expect(
            try await shop.rows("SELECT id, status, note, is_deleted, _version_columns FROM shop.orders ORDER BY id")
                == [
                    "1|full|∅|false|∅", "2|s2|n2|true|∅", "3|masked|n3|false|{\"note\":[0,103,2]}", "4|s4|n4|false|∅",
                    "5|s5|n5|false|∅", "6|s6|n6|false|∅", "8|lone|∅|false|{\"note\":[null]}", "9|new|∅|false|∅",
                ])
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 7, deleted: 1, incomplete: 1))
    }

    @Test func aLateEventFillsWhatIsOlderThanIt() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([update(1, .text("b"), .unchanged, at: 30)])
        let fill = try await shop.apply([create(1, .text("a"), .text("toast"), at: 10)])
        #expect(fill.ledger.first?.superseded == 1)
        #expect(fill.ledger.first?.filled == 1)
        #expect(try await shop.rows(current) == ["1|b|toast|false|∅|30"])
        // Times and flags stay those of the newer event.
        #expect(try await shop.rows("SELECT epoch_us(_source_updated_at)::BIGINT FROM shop.orders") == ["30000000"])
        #expect(try await shop.warehouse.counts(.orders).incomplete == 0)
        // One that is newer than the column but older than the row fills too; an older one doesn't.
        try await shop.apply([update(1, .text("x"), .text("newer toast"), at: 20)])
        try await shop.apply([update(1, .text("x"), .text("too old"), at: 15)])
        #expect(try await shop.rows(current) == ["1|b|newer toast|false|∅|30"])
    }

    @Test func nullsAreNotUnknown() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("x"), at: 10)])
        try await shop.apply([update(1, .null, .unchanged, at: 20)])
        #expect(try await shop.rows(current) == ["1|∅|x|false|∅|20"])
        #expect(try await shop.warehouse.counts(.orders).incomplete == 0)
    }

    @Test func aTruncateDeletesWhatIsOlder() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("x"), at: 10), create(2, .text("b"), .null, at: 30)])
        let outcome = try await shop.apply([truncate(at: 20)])
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await shop.rows(current) == ["1|a|x|true|20000000|20", "2|b|∅|false|∅|30"])
        // A key first seen below the floor becomes a deleted row.
        try await shop.apply([create(3, .text("c"), .null, at: 15), create(4, .text("d"), .null, at: 25)])
        #expect(
            try await shop.rows("SELECT id, is_deleted, _version_commit FROM shop.orders ORDER BY id") == [
                "1|true|20", "2|false|30", "3|true|20", "4|false|25",
            ])
    }

    @Test func aTruncateThatComesLateTakesOlderColumnsAway() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("old"), at: 10)])
        try await shop.apply([update(1, .text("b"), .unchanged, at: 30)])
        #expect(try await shop.rows(current) == ["1|b|old|false|∅|30"])
        let outcome = try await shop.apply([truncate(at: 20)])
        #expect(outcome.ledger.first?.filled == 1)
        #expect(try await shop.rows(current) == ["1|b|∅|false|∅|30"])
        #expect(try await shop.warehouse.counts(.orders).incomplete == 1)
    }

    @Test func compositeAndTextKeysMatch() async throws {
        let table = TableDefinition(
            source: TableID(schema: "public", table: "lines"), target: "lines",
            columns: [
                Column(name: "code", type: .text, isKey: true, nullable: false),
                Column(name: "n", type: .numeric(precision: 10, scale: 2), isKey: true, nullable: false),
                Column(name: "at", type: .date, isKey: true), Column(name: "v", type: .integer),
            ], key: [1, 0, 2])
        let shop = try await WarehouseFixture([table])
        func row(_ code: String, _ n: String, _ date: Cell, _ v: Int64, _ commit: Int64) -> EventSpec {
            EventSpec(.update, table.source, version(commit), after: [.text(code), .text(n), date, .int(v)])
        }
        try await shop.apply([row("a", "1.50", .text("2024-01-01"), 1, 10), row("a", "1.50", .null, 2, 11)])
        try await shop.apply([row("a", "1.50", .text("2024-01-01"), 3, 20), row("a", "1.50", .null, 4, 21)])
        #expect(try await shop.rows("SELECT v FROM shop.lines ORDER BY v") == ["3", "4"])
    }

    @Test func manyRowsGoThroughAllChunks() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply((1...5000).map { create($0, .text("status \($0)"), .text("note of row \($0)"), at: $0) })
        try await shop.apply((1...5000).filter { $0 % 2 == 0 }.map { delete($0, at: 10_000 + $0) })
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 2500, deleted: 2500, incomplete: 0))
        #expect(
            try await shop.rows(
                "SELECT count(*) FROM shop.orders WHERE note = 'note of row ' || id AND status = 'status ' || id")
                == ["5000"])
    }

    @Test func stageAndVerdictsAreEmptyBetweenBatches() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        try await shop.apply([delete(1, at: 20)])
        let left = try await shop.rows(
            "SELECT table_name FROM duckdb_tables() WHERE temporary AND estimated_size > 0")
        #expect(left == [])
    }
}

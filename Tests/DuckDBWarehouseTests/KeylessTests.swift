import DuckDB
import Replication
import ReplicationTestKit
import Testing

@Suite struct KeylessTests {
    private let table = TableDefinition.log.source
    private let state = "SELECT line, n, is_deleted, _version_commit FROM shop.log ORDER BY line, n, _version_commit"

    private func cells(_ line: String, _ n: Int64) -> [Cell] { [.text(line), .int(n)] }
    private func insert(_ line: String, _ n: Int64, at commit: Int64, ordinal: Int64 = 0) -> EventSpec {
        EventSpec(.create, table, version(commit), after: cells(line, n), ordinal: ordinal)
    }
    private func end(_ line: String, _ n: Int64, at commit: Int64, ordinal: Int64 = 0) -> EventSpec {
        EventSpec(.delete, table, version(commit), before: cells(line, n), ordinal: ordinal)
    }

    @Test func twinsAreTwoRows() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([insert("a", 1, at: 10), insert("a", 1, at: 10, ordinal: 1), insert("b", 2, at: 11)])
        #expect(try await shop.rows(state) == ["a|1|false|10", "a|1|false|10", "b|2|false|11"])
        let outcome = try await shop.apply([end("a", 1, at: 20)])
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await shop.rows(state) == ["a|1|false|10", "a|1|true|20", "b|2|false|11"])
        #expect(try await shop.warehouse.counts(.log) == TableCounts(live: 2, deleted: 1, incomplete: 0))
    }

    @Test func theOldestTwinEnds() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([insert("a", 1, at: 30), insert("a", 1, at: 10)])
        // Only the row of 10 is older than 20.
        try await shop.apply([end("a", 1, at: 20)])
        #expect(try await shop.rows(state) == ["a|1|true|20", "a|1|false|30"])
        let lost = try await shop.apply([end("a", 1, at: 25)])
        #expect(lost.quarantined == 1)
        #expect(try await shop.warehouse.quarantine().first?.entry.operation == .delete)
    }

    @Test func anUpdateEndsOneAndAddsOne() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([insert("a", 1, at: 10)])
        let outcome = try await shop.apply([
            EventSpec(.update, table, version(20), before: cells("a", 1), after: cells("a", 2))
        ])
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await shop.rows(state) == ["a|1|true|20", "a|2|false|20"])
        #expect(try await shop.rows("SELECT * FROM shop_live.log") == ["a|2"])
    }

    @Test func anUnmatchedUpdateIsTakenBack() async throws {
        let shop = try await WarehouseFixture([.log])
        let outcome = try await shop.apply([
            insert("b", 1, at: 5), EventSpec(.update, table, version(20), before: cells("a", 1), after: cells("a", 2)),
        ])
        #expect(outcome.ledger.first?.quarantined == 1)
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await shop.rows(state) == ["b|1|false|5"])
    }

    @Test func withoutRawARedeliveryIsKnownByItsNames() async throws {
        let shop = try await WarehouseFixture([.log], layout: WarehouseLayout(pipeline: "shop", hasRaw: false))
        let specs = [insert("a", 1, at: 10), insert("a", 1, at: 10, ordinal: 1), end("a", 1, at: 20)]
        try await shop.apply(specs)
        let again = try await shop.apply(specs)
        #expect(again.ledger.first?.superseded == 3)
        #expect(try await shop.rows(state) == ["a|1|false|10", "a|1|true|20"])
    }

    @Test func rowsOfTheSameBatchEnd() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([insert("a", 1, at: 10), end("a", 1, at: 11), insert("a", 1, at: 12)])
        #expect(try await shop.rows(state) == ["a|1|true|11", "a|1|false|12"])
    }

    @Test func aTruncateEndsAllOlderRows() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([insert("a", 1, at: 10), insert("b", 1, at: 30), end("b", 1, at: 40)])
        try await shop.apply([EventSpec(.truncate, table, version(35))])
        #expect(try await shop.rows(state) == ["a|1|true|35", "b|1|true|40"])
    }

    @Test func theHistoryHasTheInterval() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([insert("a", 1, at: 10), insert("b", 1, at: 12), end("a", 1, at: 20)])
        let history = try await shop.rows(
            """
            SELECT line, n, epoch_us(valid_from)::BIGINT, epoch_us(valid_to)::BIGINT, is_current \
            FROM shop_history.log ORDER BY line
            """)
        #expect(history == ["a|1|10000000|20000000|false", "b|1|12000000|∅|true"])
    }
}

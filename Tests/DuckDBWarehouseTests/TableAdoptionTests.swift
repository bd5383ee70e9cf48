import DuckDB
import Replication
import ReplicationTestKit
import Testing

@Suite struct TableAdoptionTests {
    private let orders: TableDefinition = {
        var table = TableDefinition.orders
        table.existing = .adopt
        return table
    }()

    private func foreign(_ sql: String) async throws -> WarehouseFixture {
        let shop = try await WarehouseFixture([])
        try await outside(shop, "CREATE SCHEMA shop; \(sql)")
        return shop
    }

    private func outside(_ shop: WarehouseFixture, _ sql: String) async throws {
        await shop.warehouse.close()
        let connection = try await Connection.open(path: shop.path)
        try await connection.run(sql, purpose: "as somebody else")
        await connection.close()
        try await shop.warehouse.open(readOnly: false)
    }

    private func failure(_ body: () async throws -> Void) async -> ReplicationError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? ReplicationError
        }
    }

    @Test func incompleteRowsOfAnotherPipelineAreFound() async throws {
        let shop = try await foreign(
            """
            CREATE TABLE shop.shop.orders (id BIGINT, status VARCHAR, note VARCHAR, _version_columns VARCHAR);
            INSERT INTO shop.shop.orders VALUES (1, 's', NULL, '{"note":[1,2,3,null]}'), (2, 's', 'n', NULL)
            """)
        try await shop.warehouse.ensure([orders])
        #expect(try await shop.warehouse.incompleteKeys(orders, limit: 10) == [#"{"id":"1"}"#])
    }

    @Test func textsThatAreNoTimesAreNull() async throws {
        let shop = try await foreign(
            """
            CREATE TABLE shop.shop.orders (id BIGINT, _ab_cdc_deleted_at VARCHAR, _airbyte_extracted_at TIMESTAMP);
            INSERT INTO shop.shop.orders VALUES (0, '2026-01-02T03:04:05Z', '2026-01-02 00:00:00'),
                (1, '2026-01-02 03:04:05.25+02', NULL), (2, '2026-02-29T00:00:00Z', NULL), (3, 'secret', NULL), (4, NULL, NULL)
            """)
        try await shop.warehouse.ensure([orders])
        #expect(
            try await shop.rows(
                "SELECT id, is_deleted, epoch_us(deleted_at), epoch_us(_loaded_at) FROM shop.orders ORDER BY id") == [
                    "0|true|1767323045000000|1767312000000000", "1|true|1767315845250000|∅", "2|true|∅|∅", "3|true|∅|∅",
                    "4|false|∅|∅",
                ])
    }

    @Test func timesSince1970AreExact() async throws {
        let shop = try await foreign(
            """
            CREATE TABLE shop.shop.orders (id BIGINT, __deleted VARCHAR, __source_ts_ns BIGINT);
            INSERT INTO shop.shop.orders VALUES (1, 'true', 1767398400123457999), (2, 'false', 1767398400123457999)
            """)
        try await shop.warehouse.ensure([orders])
        #expect(
            try await shop.rows(
                "SELECT is_deleted, epoch_us(deleted_at), epoch_us(_source_updated_at) FROM shop.orders ORDER BY id")
                == [
                    "true|1767398400123457|1767398400123457", "false|∅|1767398400123457",
                ])
    }

    /// The engine would refuse a row that replaces one within a transaction, and can't drop the constraint.
    @Test func aTableWithAPrimaryKeyIsCopied() async throws {
        let shop = try await foreign(
            """
            CREATE TABLE shop.shop.orders (id BIGINT PRIMARY KEY, status VARCHAR, made VARCHAR NOT NULL, n INTEGER DEFAULT 5);
            INSERT INTO shop.shop.orders VALUES (1, 'old', 'm', 1), (2, 'old', 'm', 2)
            """)
        let adoption = try #require(try await shop.warehouse.adoption(of: orders))
        #expect(adoption.isCopied && adoption.rows == 2 && adoption.plan.freed == ["made"])
        try await shop.warehouse.ensure([orders])
        try await shop.claim()
        shop.builder.definitions = [orders]
        try await shop.apply([
            update(1, .text("new"), .null, at: 1), delete(2, at: 2), create(3, .text("c"), .null, at: 3),
        ])
        #expect(
            try await shop.rows("SELECT id, status, made, n, is_deleted FROM shop.orders ORDER BY id") == [
                "1|new|m|1|false", "2|old|m|2|true", "3|c|∅|5|false",
            ])
        #expect(
            try await shop.rows("SELECT id, status, made, n FROM shop.orders_replaced_1 ORDER BY id") == [
                "1|old|m|1", "2|old|m|2",
            ])
    }

    @Test func columnsThatTheEngineComputesStayComputed() async throws {
        let shop = try await foreign(
            """
            CREATE TABLE shop.shop.orders (id BIGINT, status VARCHAR, mine INTEGER DEFAULT 5,
                "so Long" INTEGER GENERATED ALWAYS AS (length(status)));
            INSERT INTO shop.shop.orders VALUES (1, 'old', 1)
            """)
        try await shop.warehouse.ensure([orders])
        try await shop.claim()
        shop.builder.definitions = [orders]
        try await shop.apply([update(1, .text("newer"), .null, at: 1), create(2, .text("c"), .null, at: 2)])
        #expect(
            try await shop.rows(#"SELECT id, status, mine, "so Long" FROM shop.orders ORDER BY id"#) == [
                "1|newer|1|5", "2|c|5|1",
            ])
    }

    @Test func aTableWithIndexesIsRefused() async throws {
        let shop = try await foreign(
            "CREATE TABLE shop.shop.orders (id BIGINT); CREATE UNIQUE INDEX mine ON shop.shop.orders (id)")
        let error = await failure { try await shop.warehouse.ensure([orders]) }
        #expect(error?.kind == .configuration)
        #expect(error?.remedy == #"DROP INDEX "shop"."mine";"#)
    }

    /// It is somebody else's, and was told to be used.
    @Test func dropLeavesAnAdoptedTable() async throws {
        let shop = try await foreign(
            "CREATE TABLE shop.shop.orders (id BIGINT, mine INTEGER); INSERT INTO shop.shop.orders VALUES (1, 7)")
        try await shop.warehouse.ensure([orders])
        // Also when it is forgotten and adopted once more.
        try await shop.warehouse.drop(tables: false)
        try await shop.warehouse.ensure([orders])
        #expect(try await shop.warehouse.knownTables().map(\.existing) == [.adopt])
        try await shop.warehouse.drop(tables: true)
        #expect(try await shop.rows("SELECT id, mine FROM shop.orders") == ["1|7"])
    }
}

import DuckDB
import Foundation
import Replication
import ReplicationTestKit
import Testing

@Suite struct QueryTests {
    private func refused(_ shop: WarehouseFixture, _ sql: String) async -> ReplicationError? {
        do {
            _ = try await shop.warehouse.query(sql, rows_max: 10)
            return nil
        } catch {
            return error as? ReplicationError
        }
    }

    @Test func onlyQueriesRun() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        let statements = [
            "DELETE FROM shop.orders", "SELECT 1; DELETE FROM shop.orders", "DROP TABLE shop.orders", "COMMIT",
            "CREATE TABLE t AS SELECT 1", "SET threads = 1", "ATTACH 'x.duckdb'", "COPY shop.orders TO 'x.csv'",
            "CHECKPOINT",
            "EXPLAIN ANALYZE DELETE FROM shop.orders", "PRAGMA database_list", "INSTALL httpfs", "BEGIN",
            "INSERT INTO shop.orders DEFAULT VALUES RETURNING id", "", "selec 1", "SELECT nope FROM shop.orders",
            "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM read_text('/etc/hostname')",
            "SELECT * FROM glob('/*')", "SELECT 1) AS r; DROP TABLE shop.orders; --",
        ]
        for statement in statements {
            #expect(await refused(shop, statement) != nil, "\(statement)")
        }
        #expect(try await shop.rows("SELECT id FROM shop.orders") == ["1"])
        // And the writer goes on.
        try await shop.apply([create(2, .text("b"), .null, at: 11)])
    }

    @Test func cellsComeAsTextOrLiterals() async throws {
        let shop = try await WarehouseFixture([])
        let result = try await shop.warehouse.query(
            """
            SELECT 1 AS i, 1.50::DECIMAL(5,2) AS d, true AS b, 'x"y' AS t, 2.5::DOUBLE AS f, 'nan'::DOUBLE AS nan,
            '-inf'::FLOAT AS inf, NULL AS n, [1, NULL] AS l, {'a': 'q"'} AS s, MAP {'k': 'v'} AS m,
            TIMESTAMPTZ '2024-02-29 12:00:00+02' AS z, DATE '2024-02-29' AS y, '\\xDE\\xAD'::BLOB AS x,
            '{"a": 1.10}'::JSON AS j, INTERVAL 1 DAY AS v, 12345678901234567890123456789::HUGEINT AS h, [12345678901234567890.12::DECIMAL(30,2)] AS ld,
            -0.5::DECIMAL(2,2) AS q
            -- a comment; with a semicolon
            """, rows_max: 10)
        #expect(
            result.rows == [
                [
                    "1", "1.50", "true", "x\"y", "2.5", "\"nan\"", "\"-inf\"", nil, "[1,null]", #"{"a":"q\""}"#,
                    #"{"k":"v"}"#,
                    "2024-02-29 10:00:00+00", "2024-02-29", "\\xdead", #"{"a": 1.10}"#, "1 day",
                    "12345678901234567890123456789",
                    "[12345678901234567890.12]", "-0.50",
                ]
            ])
        let literals: Set = ["i", "d", "b", "f", "nan", "inf", "l", "s", "m", "j", "h", "ld", "q"]
        for column in result.columns where column.name != "n" {
            #expect((column.kind == .literal) == literals.contains(column.name), "\(column.name)")
        }
    }

    @Test func oddShapesWork() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 11)])
        #expect(try await shop.rows("SELECT 1 AS a, 2 AS a, 3 AS \"x\"\"y\";") == ["1|2|3"])
        #expect(try await shop.rows("FROM shop_live.orders SELECT id ORDER BY id DESC") == ["2", "1"])
        #expect(try await shop.rows("WITH q AS (SELECT count(*) AS n FROM shop.orders) SELECT n FROM q") == ["2"])
        #expect(try await shop.rows("VALUES (1), (2)") == ["1", "2"])
        #expect(try await shop.rows("DESCRIBE shop_live.orders").first?.hasPrefix("id|BIGINT") == true)
        #expect(try await shop.rows("SELECT * FROM shop.orders WHERE false").isEmpty)
    }

    @Test func tooManyRowsAreAnError() async throws {
        let shop = try await WarehouseFixture([])
        #expect(await refused(shop, "SELECT * FROM range(11)")?.message.contains("more than 10 rows") == true)
        #expect(await refused(shop, "SELECT * FROM range(10)") == nil)
    }

    @Test func aReadOnlyWarehouseReadsWithoutWriting() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        await shop.warehouse.close()
        let reader = DuckDBWarehouse(path: shop.path, layout: shop.layout, threads: 1)
        try await reader.open(readOnly: true)
        #expect(try await reader.query("SELECT id FROM shop.orders", rows_max: 1).rows == [["1"]])
        #expect(try await reader.ledger().tables.first?.applied == 1)
        #expect(try await reader.checkpoints().first?.position == 1)
        await #expect(throws: ReplicationError.self) { try await reader.ensure([.log]) }
        await #expect(throws: ReplicationError.self) { _ = try await reader.claim([], owner: "x") }
        await reader.close()
    }

    @Test func withoutAFileNothingWasReplicated() async throws {
        let shop = try await WarehouseFixture([])
        let path = shop.path + ".none"
        let reader = DuckDBWarehouse(path: path, layout: shop.layout, threads: 1)
        #expect(await reader.preflight().allSatisfy { $0.level == .ok })
        try await reader.open(readOnly: true)
        #expect(try await reader.knownTables().isEmpty)
        #expect(try await reader.checkpoints().isEmpty)
        #expect(try await reader.ledger().tables.isEmpty)
        #expect(try await reader.quarantine().isEmpty)
        #expect(try await reader.counts(.orders) == TableCounts(live: 0, deleted: 0, incomplete: 0))
        #expect(try await reader.foreignTable(at: .orders) == nil)
        await reader.close()
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}

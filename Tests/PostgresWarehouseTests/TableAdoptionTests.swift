import Postgres
import Replication
import ReplicationTestKit
import Testing

@Suite struct TableAdoptionTests {
    private let orders: TableDefinition = {
        var table = TableDefinition.orders
        table.existing = .adopt
        return table
    }()

    private func adopted(_ columns: String, _ rows: String) async throws -> WarehouseFixture {
        try await WarehouseFixture(
            [orders],
            before:
                "CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint, status text, note text, \(columns)); INSERT INTO shop.orders VALUES \(rows);"
        )
    }

    @Test func textsThatAreNoTimesAreNull() async throws {
        let times = [
            "2026-01-02T03:04:05Z", "2026-01-02 03:04:05.25+02", "2024-02-29T00:00:00", "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z", "secret", "",
        ]
        let rows = times.enumerated().map { "(\($0.offset), 's', 'n', '\($0.element)')" } + ["(99, 's', 'n', NULL)"]
        let shop = try await adopted("_ab_cdc_deleted_at varchar", rows.joined(separator: ", "))
        #expect(
            try await shop.rows("SELECT id, is_deleted, deleted_at AT TIME ZONE 'UTC' FROM shop.orders ORDER BY id")
                == [
                    "0|t|2026-01-02 03:04:05", "1|t|2026-01-02 01:04:05.25", "2|t|2024-02-29 00:00:00", "3|t|",
                    "4|t|", "5|t|", "6|t|", "7|t|", "99|f|",
                ])
        #expect(
            try await shop.rows("SELECT _ab_cdc_deleted_at FROM shop.orders WHERE id = 6") == ["secret"], "theirs stay")
    }

    @Test func incompleteRowsOfAnotherPipelineAreFound() async throws {
        let shop = try await adopted(
            "_version_columns text", #"(1, 's', NULL, '{"note":[1,2,3,null]}'), (2, 's', 'n', NULL)"#)
        #expect(try await shop.warehouse.incompleteKeys(orders, limit: 10) == [#"{"id" : "1"}"#])
        let whole = try await adopted("_version_columns text", "(1, 's', 'n', NULL)")
        #expect(try await whole.rows("SELECT is_sparse FROM _millrace.tables") == ["f"])
    }

    @Test func timesSince1970AreExact() async throws {
        let shop = try await adopted(
            "__deleted text, __source_ts_us bigint",
            "(1, 's', 'n', 'true', 1767398400123457), (2, 's', 'n', 'FALSE', 1767398400123457), (3, 's', 'n', NULL, NULL)"
        )
        #expect(
            try await shop.rows(
                "SELECT id, is_deleted, deleted_at AT TIME ZONE 'UTC', _source_updated_at AT TIME ZONE 'UTC' FROM shop.orders ORDER BY id"
            )
                == [
                    "1|t|2026-01-03 00:00:00.123457|2026-01-03 00:00:00.123457",
                    "2|f||2026-01-03 00:00:00.123457",
                    "3|f||",
                ])
    }

    @Test func aKeyOfColumnsThatNobodyFillsIsRefused() async throws {
        let shop = try await WarehouseFixture(
            [], before: "CREATE SCHEMA shop; CREATE TABLE shop.orders (id bigint, _fivetran_id text PRIMARY KEY);")
        #expect(await kind { try await shop.warehouse.ensure([orders]) } == .configuration)
        let adoption = try await shop.warehouse.adoption(of: orders)
        #expect(adoption?.refusal?.message.contains("has the column _fivetran_id") == true)
    }

    @Test func lookingWritesNothing() async throws {
        let shop = try await WarehouseFixture(
            [],
            before: """
                CREATE SCHEMA shop;
                CREATE TABLE shop.orders (id bigint, status text NOT NULL, _airbyte_raw_id varchar NOT NULL);
                INSERT INTO shop.orders VALUES (1, 's', 'r'), (1, 't', 'r'), (1, 'u', 'r'), (2, 's', 'r'), (2, 's', 'r');
                """)
        let adoption = try #require(try await shop.warehouse.adoption(of: orders))
        #expect(adoption.rows == 5 && adoption.repeatedKeys == 2 && adoption.repeatedRows == 5)
        #expect(adoption.plan.freed == ["_airbyte_raw_id"] && adoption.plan.tight == ["status"])
        #expect(adoption.findings("o").map(\.level) == [.error])
        #expect(adoption.findings("o")[0].message == "shop.orders has several rows with one key: 2 keys have 5 rows")
        #expect(try await shop.warehouse.hasForeignRows(at: orders))
        #expect(
            try await shop.rows(
                "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = 'orders'")
                == ["3"])
    }

    @Test func whatIsOursOrAbsentIsNotAdopted() async throws {
        let shop = try await WarehouseFixture([.orders])
        #expect(try await shop.warehouse.adoption(of: orders) == nil)
        #expect(try await !shop.warehouse.hasForeignRows(at: orders))
        var other = orders
        other.source.table = "others"
        other.target = "others"
        #expect(try await shop.warehouse.adoption(of: other) == nil)
        #expect(try await !shop.warehouse.hasForeignRows(at: other))
    }
}

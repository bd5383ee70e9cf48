import DuckDB
import Foundation
import Replication
import ReplicationTestKit
import Testing

@Suite struct EnsureTests {
    private func failure(_ body: () async throws -> Void) async -> ReplicationError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? ReplicationError
        }
    }

    /// Runs SQL in the file while the warehouse is closed.
    private func outside(_ shop: WarehouseFixture, _ sql: String) async throws {
        await shop.warehouse.close()
        let connection = try await Connection.open(path: shop.path)
        try await connection.run(sql, purpose: "as somebody else")
        await connection.close()
        try await shop.warehouse.open(readOnly: false)
    }

    @Test func itIsIdempotent() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        for _ in 0..<2 { try await shop.warehouse.ensure([.orders, .log]) }
        try await shop.reopen()
        try await shop.warehouse.ensure([.orders, .log])
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.tables") == ["2"])
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["1"])
    }

    @Test func columnsAreAdded() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("x"), at: 10)])
        var wider = TableDefinition.orders
        wider.columns.append(Column(name: "Betrag (€)", type: .numeric(precision: 12, scale: 2)))
        wider.columns.append(Column(name: "tags", type: .array(.text)))
        try await shop.warehouse.ensure([wider])
        #expect(try await shop.warehouse.knownTables() == [wider])
        shop.builder.definitions = [wider]
        try await shop.apply([
            EventSpec(
                .update, wider.source, version(20),
                after: [.int(1), .text("b"), .unchanged, .text("12.50"), .json(#"["u","v"]"#)])
        ])
        #expect(try await shop.rows("SELECT * FROM shop_live.orders") == [#"1|b|x|12.50|["u","v"]"#])
        #expect(
            try await shop.rows(#"SELECT note, "Betrag (€)", is_current FROM shop_history.orders ORDER BY valid_from"#)
                == ["x|∅|false", "x|12.50|true"])
        // An older, narrower definition doesn't take them away.
        try await shop.warehouse.ensure([wider])
        #expect(try await shop.rows(#"SELECT "Betrag (€)" FROM shop.orders"#) == ["12.50"])
    }

    @Test func aForeignTableIsRefused() async throws {
        let shop = try await WarehouseFixture([])
        try await outside(shop, "CREATE SCHEMA shop; CREATE TABLE shop.shop.Orders (id BIGINT, status VARCHAR)")
        let found = try await shop.warehouse.foreignTable(at: .orders)
        #expect(found?.map(\.name) == ["id", "status"])
        #expect(found?.map(\.type) == [.bigint, .text])
        let error = await failure { try await shop.warehouse.ensure([.orders]) }
        #expect(error?.kind == .configuration && error?.table == TableDefinition.orders.source)
        #expect(error?.remedy?.contains("adopt") == true)
        // Nothing was made.
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.tables") == ["0"])
        #expect(
            try await shop.rows("SELECT schema_name FROM duckdb_tables() WHERE schema_name LIKE 'shop%'") == ["shop"])
    }

    @Test func aForeignTableIsAdopted() async throws {
        var orders = TableDefinition.orders
        orders.existing = .adopt
        let shop = try await WarehouseFixture([])
        try await outside(
            shop,
            """
            CREATE SCHEMA shop; CREATE TABLE shop.shop.orders (id BIGINT, status VARCHAR, mine INTEGER);
            INSERT INTO shop.shop.orders VALUES (1, 'old', 7), (2, 'old', 8)
            """)
        try await shop.warehouse.ensure([orders])
        #expect(try await shop.warehouse.foreignTable(at: orders) == nil)
        #expect(try await shop.warehouse.counts(orders) == TableCounts(live: 2, deleted: 0, incomplete: 0))
        try await shop.claim()
        shop.builder.definitions = [orders]
        // No version is older than any.
        try await shop.apply([update(1, .text("new"), .unchanged, at: 1), delete(2, at: 2)])
        #expect(
            try await shop.rows("SELECT id, status, note, is_deleted, _version_commit FROM shop.orders ORDER BY id")
                == [
                    "1|new|∅|false|1", "2|old|∅|true|2",
                ])
        #expect(try await shop.rows("SELECT mine FROM shop.orders ORDER BY id") == ["7", "8"], "what isn't ours stays")
    }

    @Test func duplicatesInAnAdoptedTableAreFound() async throws {
        var orders = TableDefinition.orders
        orders.existing = .adopt
        let shop = try await WarehouseFixture([])
        try await outside(
            shop,
            """
            CREATE SCHEMA shop; CREATE TABLE shop.shop.orders (id BIGINT);
            INSERT INTO shop.shop.orders VALUES (1), (1)
            """)
        let refused = await failure { try await shop.warehouse.ensure([orders]) }
        #expect(refused?.kind == .configuration)
        #expect(refused?.message.contains("several rows with one key: 1 key has 2 rows") == true)
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.tables") == ["0"])
        try await outside(shop, "DELETE FROM shop.shop.orders; INSERT INTO shop.shop.orders VALUES (1)")
        try await shop.warehouse.ensure([orders])
        // Made meanwhile, by whom it may be.
        try await outside(shop, "INSERT INTO shop.shop.orders (id) VALUES (1)")
        try await shop.claim()
        shop.builder.definitions = [orders]
        let error = await failure { try await shop.apply([update(1, .text("new"), .null, at: 1)]) }
        #expect(error?.kind == .configuration)
        #expect(error?.message.contains("several rows with one key") == true)
    }

    @Test func anAdoptedColumnOfAnotherTypeIsRefused() async throws {
        var orders = TableDefinition.orders
        orders.existing = .adopt
        let shop = try await WarehouseFixture([])
        try await outside(shop, "CREATE SCHEMA shop; CREATE TABLE shop.shop.orders (id INTEGER)")
        let error = await failure { try await shop.warehouse.ensure([orders]) }
        #expect(error?.kind == .configuration)
        #expect(error?.message.contains("column id is INTEGER") == true)
    }

    @Test func aForeignTableIsSetAside() async throws {
        var orders = TableDefinition.orders
        orders.existing = .replace
        let shop = try await WarehouseFixture([])
        try await outside(
            shop,
            """
            CREATE SCHEMA shop; CREATE TABLE shop.shop.orders (x INTEGER); INSERT INTO shop.shop.orders VALUES (5);
            CREATE TABLE shop.shop.orders_replaced_1 (y INTEGER);
            CREATE SCHEMA shop_live; CREATE VIEW shop.shop_live.orders AS SELECT 1 AS one
            """)
        try await shop.warehouse.ensure([orders])
        #expect(try await shop.rows("SELECT x FROM shop.orders_replaced_2") == ["5"])
        #expect(try await shop.rows("SELECT one FROM shop_live.orders_replaced_1") == ["1"])
        #expect(try await shop.rows("SELECT count(*) FROM shop_live.orders") == ["0"])
        // Now it is ours.
        try await shop.warehouse.ensure([orders])
        #expect(
            try await shop.rows("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'orders_replaced_%'") == [
                "2"
            ])
    }

    @Test func anotherPipelinesTableIsRefused() async throws {
        let shop = try await WarehouseFixture([.orders])
        await shop.warehouse.close()
        let other = DuckDBWarehouse(
            path: shop.path, layout: WarehouseLayout(pipeline: "second", current: "shop", raw: "second_raw"), threads: 1
        )
        try await other.open(readOnly: false)
        var orders = TableDefinition.orders
        orders.existing = .replace
        let error = await failure { try await other.ensure([orders]) }
        #expect(error?.kind == .configuration)
        #expect(error?.message.contains("belongs to pipeline shop") == true)
        await other.close()
    }

    @Test func namesThatTheEngineTakesForOneAreRefused() async throws {
        let shop = try await WarehouseFixture([])
        var table = TableDefinition.orders
        table.columns.append(Column(name: "NOTE", type: .text))
        #expect(await failure { try await shop.warehouse.ensure([table]) }?.kind == .configuration)
        var marked = TableDefinition.orders
        marked.columns.append(Column(name: "Is_Deleted", type: .boolean))
        let error = await failure { try await shop.warehouse.ensure([marked]) }
        #expect(error?.message.contains("metadata column") == true)
        var twin = TableDefinition.orders
        twin.source.schema = "other"
        twin.target = "ORDERS"
        #expect(await failure { try await shop.warehouse.ensure([.orders, twin]) }?.kind == .configuration)
    }

    @Test func otherMetadataNamesWork() async throws {
        var table = TableDefinition.orders
        table.columns[1].name = "is_deleted"
        table.metadata = MetadataNames(
            isDeleted: "_fivetran_deleted", deletedAt: "gone \"at\"", sourceUpdatedAt: "u'p",
            loadedAt: "_fivetran_synced")
        let shop = try await WarehouseFixture([table])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        try await shop.apply([delete(1, at: 20)])
        try await shop.apply([truncate(at: 30)])
        let rows = try await shop.rows(
            #"SELECT is_deleted, _fivetran_deleted, epoch_us("gone ""at""")::BIGINT, "u'p" = "gone ""at""" FROM shop.orders"#
        )
        #expect(rows == ["a|true|30000000|true"])
        #expect(try await shop.warehouse.knownTables() == [table])
    }

    @Test func hostileNamesAreOnlyNames() async throws {
        let names = [
            #"a"b"#, "it's", "x; DROP TABLE t; --", "select", "with space", "ünïcödé 😀", "/slash~tilde", "c0", "s_ord",
            "0",
            #"back\slash"#, "null]", "%", "\"", "",
        ].filter { !$0.isEmpty }
        let table = TableDefinition(
            source: TableID(schema: #"pu"bl'ic"#, table: #"ta"ble"#), target: #"ta"b'le; --"#,
            columns: [Column(name: #"i"d'"#, type: .bigint, isKey: true, nullable: false)]
                + names.map { Column(name: $0, type: .text) }, key: [0])
        let layout = WarehouseLayout(
            pipeline: "shop", current: #"cur"r'ent"#, raw: "ra w", live: "li;ve", history: "hi\"st")
        let shop = try await WarehouseFixture([table], layout: layout)
        let values = names.indices.map { Cell.text("v\($0)") }
        try await shop.apply([EventSpec(.create, table.source, version(10), after: [.int(1)] + values)])
        try await shop.apply([
            EventSpec(.update, table.source, version(20), after: [.int(1)] + names.map { _ in Cell.unchanged })
        ])
        try await shop.apply([
            EventSpec(.delete, table.source, version(30), before: [.int(1)] + names.map { _ in Cell.unchanged })
        ])
        let expected = "1|" + names.indices.map { "v\($0)" }.joined(separator: "|")
        let current = try await shop.rows(#"SELECT * FROM "cur""r'ent"."ta""b'le; --""#)
        #expect(current.count == 1 && current[0].hasPrefix(expected + "|true|"))
        let history = try await shop.rows(#"SELECT * FROM "hi""st"."ta""b'le; --" ORDER BY valid_from"#)
        #expect(history.count == 2 && history.allSatisfy { $0.hasPrefix(expected + "|") })
        try await shop.warehouse.drop(tables: true)
        #expect(
            try await shop.rows(
                "SELECT count(*) FROM duckdb_tables() WHERE schema_name <> '_millrace' AND NOT temporary") == ["0"])
    }

    @Test func aSchemaAndTheFileMayHaveOneName() async throws {
        // The fixture's file is shop.duckdb, its schema shop.
        let shop = try await WarehouseFixture([.orders])
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["0"])
        let findings = await shop.warehouse.preflight()
        #expect(findings.contains { $0.level == .warning && $0.message.contains("called like the schema") })
    }

    @Test func dropTakesThePipelineAway() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        try await shop.warehouse.drop(tables: false)
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["1"])
        #expect(try await shop.warehouse.knownTables().isEmpty)
        #expect(try await shop.warehouse.checkpoints().isEmpty)
        // The tables are nobody's now; adopting takes them over again.
        #expect(await failure { try await shop.warehouse.ensure([.orders]) }?.kind == .configuration)
        var orders = TableDefinition.orders
        orders.existing = .adopt
        var log = TableDefinition.log
        log.existing = .adopt
        try await shop.warehouse.ensure([orders, log])
        #expect(try await shop.rows("SELECT count(*) FROM shop_live.orders") == ["1"])
        try await shop.warehouse.drop(tables: true)
        #expect(try await shop.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name LIKE 'shop%'") == [])
        #expect(
            try await shop.rows("SELECT DISTINCT schema_name FROM duckdb_schemas() WHERE schema_name = 'shop'") == [])
    }

    @Test func layersMayBeMissing() async throws {
        let raw = try await WarehouseFixture([.orders], layout: WarehouseLayout(pipeline: "shop", hasCurrent: false))
        try await raw.apply([create(1, .text("a"), .null, at: 10), truncate(at: 11)])
        #expect(
            try await raw.rows("SELECT op, after FROM shop_raw.orders ORDER BY op") == [
                #"c|{"id":1,"status":"a","note":null}"#, "t|∅",
            ])
        #expect(try await raw.warehouse.counts(.orders) == TableCounts(live: 0, deleted: 0, incomplete: 0))
        #expect(try await raw.rows("SELECT count(*) FROM shop_history.orders") == ["1"])
        // Current is added later.
        await raw.warehouse.close()
        let both = DuckDBWarehouse(path: raw.path, layout: WarehouseLayout(pipeline: "shop"), threads: 1)
        try await both.open(readOnly: false)
        try await both.ensure([.orders])
        #expect(try await both.counts(.orders) == TableCounts(live: 0, deleted: 0, incomplete: 0))
        await both.close()
    }
}

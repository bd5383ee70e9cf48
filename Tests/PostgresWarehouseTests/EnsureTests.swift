import Postgres
import Replication
import ReplicationTestKit
import Testing

@Suite struct EnsureTests {
    private func orders(_ existing: ExistingPolicy) -> TableDefinition {
        var table = TableDefinition.orders
        table.existing = existing
        return table
    }

    private let foreign = """
        CREATE SCHEMA shop;
        CREATE TABLE shop.orders (id bigint, status text NOT NULL, theirs int DEFAULT 5);
        INSERT INTO shop.orders VALUES (1, 'old', 1), (2, 'old', 2);
        """

    @Test func whatIsMadeIsKnownAndStays() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        try await shop.warehouse.ensure([.orders, .log])
        #expect(try await shop.warehouse.knownTables() == [.log, .orders])
        #expect(try await shop.warehouse.foreignTable(at: .orders) == nil)
        #expect(try await shop.orders() == ["1|a|∅|f|∅|1|∅"])
        #expect(
            try await shop.rows(
                "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'shop_raw' AND table_name = 'orders'"
            )
                == [
                    "event_id op key other_key before after unchanged _version_epoch _version_commit _version_seq position source_tx source_ts loaded_at"
                ])
    }

    @Test func columnsAreAddedBehindAndViewsFollowUnderWhatDependsOnThem() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        try await shop.cluster.psql(
            "CREATE VIEW public.mine AS SELECT l.id, h.is_current FROM shop_live.orders l JOIN shop_history.orders h USING (id)",
            database: shop.database)
        var wide = TableDefinition.orders
        wide.columns.append(Column(name: "amount", type: .numeric(precision: 5, scale: 2)))
        try await shop.warehouse.ensure([wide])
        shop.builder = BatchBuilder([wide])
        try await shop.apply([
            EventSpec(.update, wide.source, version(2), after: [.int(1), .text("b"), .null, .text("1.50")])
        ])
        #expect(try await shop.rows("SELECT * FROM shop_live.orders") == ["1|b||1.50"])
        #expect(
            try await shop.rows("SELECT amount, is_current FROM shop_history.orders ORDER BY valid_from") == [
                "|f", "1.50|t",
            ])
        #expect(try await shop.rows("SELECT count(*) FROM public.mine") == ["2"])
        // An agent that knows fewer columns takes none away.
        try await shop.warehouse.ensure([.orders])
        #expect(try await shop.warehouse.knownTables() == [wide])
    }

    @Test func aTableInOurPlaceIsAnErrorUnlessToldOtherwise() async throws {
        let shop = try await WarehouseFixture([], before: foreign)
        #expect(
            try await shop.warehouse.foreignTable(at: .orders)?.map(\.name) == ["id", "status", "theirs"])
        #expect(await kind { try await shop.warehouse.ensure([.log, orders(.error)]) } == .configuration)
        #expect(try await shop.warehouse.knownTables().isEmpty, "all of it was rolled back")

        try await shop.warehouse.ensure([orders(.replace)])
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders_replaced_1") == ["2"])
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["0"])
        try await shop.warehouse.ensure([orders(.replace)])
        #expect(try await shop.rows("SELECT to_regclass('shop.orders_replaced_2') IS NULL") == ["t"])
    }

    @Test func anAdoptedTableKeepsItsRowsWhichAreOlderThanEverything() async throws {
        let shop = try await WarehouseFixture([orders(.adopt)], before: foreign)
        shop.builder = BatchBuilder([.orders])
        #expect(try await shop.rows("SELECT id, status FROM shop_live.orders ORDER BY id") == ["1|old", "2|old"])
        let outcome = try await shop.apply([
            update(1, .text("new"), .text("n"), at: 1), delete(2, at: 2), create(3, .text("c"), .null, at: 3),
        ])
        #expect(outcome.ledger.first?.applied == 3)
        #expect(
            try await shop.rows("SELECT id, status, theirs, is_deleted FROM shop.orders ORDER BY id")
                == ["1|new|1|f", "2|old|2|t", "3|c|5|f"])
        // A row of nothing but its key doesn't fit their NOT NULL: that event is put aside, nothing else.
        let refused = try await shop.apply([delete(9, at: 4), create(4, .text("d"), .null, at: 5)])
        #expect(refused.ledger.first?.quarantined == 1)
        #expect(refused.ledger.first?.applied == 1)
        try await shop.warehouse.drop(tables: true)
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["4"], "it isn't ours to drop")
    }

    @Test func anAdoptedTableWithOneKeyTwiceIsRefused() async throws {
        let shop = try await WarehouseFixture([], before: foreign + "INSERT INTO shop.orders VALUES (1, 'twice');")
        #expect(await kind { try await shop.warehouse.ensure([orders(.adopt)]) } == .configuration)
    }

    @Test func pipelinesDoNotShareATable() async throws {
        let shop = try await WarehouseFixture([.orders])
        let other = PostgresWarehouse(url: shop.url, layout: WarehouseLayout(pipeline: "other", current: "shop"))
        try await other.open(readOnly: false)
        #expect(await kind { try await other.ensure([.orders]) } == .configuration)
        var twin = TableDefinition.orders
        twin.source.schema = "elsewhere"
        #expect(await kind { try await shop.warehouse.ensure([twin]) } == .configuration)
        await other.close()
    }

    @Test func namesThatPostgresWouldCutAreRefused() async throws {
        let shop = try await WarehouseFixture([])
        var table = TableDefinition.orders
        table.target = String(repeating: "ü", count: 32)
        #expect(await kind { try await shop.warehouse.ensure([table]) } == .configuration)
        table = .orders
        table.columns.append(Column(name: String(repeating: "x", count: 64), type: .text))
        #expect(await kind { try await shop.warehouse.ensure([table]) } == .configuration)
        table = .orders
        table.columns.append(Column(name: "deleted_at", type: .text))
        #expect(await kind { try await shop.warehouse.ensure([table]) } == .configuration)
    }

    @Test func hostileNamesAreOnlyNames() async throws {
        let name = #"o"; DROP TABLE x; --'\ $1 %s"#
        let table = TableDefinition(
            source: TableID(schema: #"s'"\"#, table: name), target: name,
            columns: [
                Column(name: #"k"k"#, type: .bigint, isKey: true), Column(name: #"v'\"; --"#, type: .text),
                Column(name: "valid_from", type: .text), Column(name: "c0", type: .text),
                Column(name: "t", type: .text),
                Column(name: "key", type: .text), Column(name: "_ord", type: .text),
            ], key: [0])
        let layout = WarehouseLayout(pipeline: #"pi"p'e"#)
        let shop = try await WarehouseFixture([table], layout: layout)
        let values: [Cell] = [.text("v"), .text("f"), .text("c"), .text("t"), .text("k"), .text("o")]
        try await shop.apply([EventSpec(.create, table.source, version(1), after: [.int(1)] + values)])
        try await shop.apply([
            EventSpec(.update, table.source, version(2), after: [.int(1), .unchanged] + values.dropFirst())
        ])
        try await shop.apply([EventSpec(.truncate, table.source, version(3))])
        let known = try await shop.warehouse.knownTables()
        #expect(known == [table])
        #expect(try await shop.warehouse.counts(table) == TableCounts(live: 0, deleted: 1, incomplete: 0))
        let history = try await shop.warehouse.query(
            #"SELECT "v'\""; --", "valid_from" FROM "pi""p'e_history"."o""; DROP TABLE x; --'\ $1 %s" ORDER BY _valid_from"#,
            rows_max: 10)
        #expect(history.rows == [["v", "f"], ["v", "f"]])
        try await shop.warehouse.drop(tables: true)
        #expect(try await shop.rows("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pi%'") == ["0"])
    }

    @Test func dropTakesAwayWhatIsOurs() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        try await shop.warehouse.drop(tables: true)
        #expect(try await shop.rows("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'shop%'") == ["0"])
        #expect(try await shop.warehouse.knownTables().isEmpty)
        #expect(try await shop.warehouse.checkpoints().isEmpty)
        #expect(try await shop.warehouse.ledger().tables.isEmpty)
    }

    @Test func aNewerSchemaIsRefused() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.cluster.psql("UPDATE _millrace.meta SET version = 99", database: shop.database)
        #expect(await kind { try await shop.warehouse.open(readOnly: false) } == .environment)
        #expect(await kind { try await shop.warehouse.open(readOnly: true) } == .environment)
    }

    @Test func anOlderSchemaIsBroughtUpToDate() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        try await shop.cluster.psql(
            """
            DROP TABLE _millrace.holds, _millrace.deferred, _millrace.epochs, _millrace.erasures, _millrace.sweeps,
            _millrace.schema_changes, _millrace.gates, _millrace.freshness;
            ALTER TABLE _millrace.quarantine DROP COLUMN rule, DROP COLUMN event_id, DROP COLUMN _version_epoch,
            DROP COLUMN _version_commit, DROP COLUMN _version_seq, DROP COLUMN row_key, DROP COLUMN marks,
            DROP COLUMN json_nulls; ALTER TABLE _millrace.tables DROP COLUMN has_put_aside;
            ALTER TABLE _millrace.tables DROP COLUMN has_erasures, DROP COLUMN raw_from, DROP COLUMN evolution;
            DROP TABLE _millrace.late_events; ALTER TABLE _millrace.ledger DROP COLUMN late, DROP COLUMN too_late;
            DELETE FROM _millrace.meta; INSERT INTO _millrace.meta (version) VALUES (2)
            """, database: shop.database)
        await shop.warehouse.close()
        try await shop.warehouse.open(readOnly: true)
        #expect(try await shop.warehouse.ledger().tables.map(\.applied) == [1], "it can be read as it is")
        await shop.warehouse.close()
        try await shop.warehouse.open(readOnly: false)
        try await shop.claim()
        try await shop.apply([create(1, .text("b"), .null, at: 20), create(2, .text("b"), .null, at: 20)])
        try await shop.apply([update(1, .text("late"), .null, at: 15)])
        let ledger = try await shop.warehouse.ledger().tables
        #expect(ledger.map(\.applied) == [3] && ledger.map(\.late) == [1])
        #expect(try await shop.rows("SELECT max(version) FROM _millrace.meta") == ["8"])
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.late_events") == ["1"])
    }

    @Test func readingWritesNothing() async throws {
        let shop = try await WarehouseFixture([])
        try await shop.cluster.psql("DROP SCHEMA _millrace CASCADE", database: shop.database)
        try await shop.warehouse.open(readOnly: true)
        #expect(try await shop.warehouse.knownTables().isEmpty)
        #expect(try await shop.warehouse.checkpoints().isEmpty)
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 0, deleted: 0, incomplete: 0))
        #expect(await kind { try await shop.warehouse.ensure([.orders]) } != nil)
        #expect(try await shop.rows("SELECT count(*) FROM pg_namespace WHERE nspname = '_millrace'") == ["0"])
    }

    @Test func aMissingRightNamesTheGrant() async throws {
        let shop = try await WarehouseFixture([])
        try await shop.cluster.psql(
            "CREATE ROLE \"wr\(shop.database)\" LOGIN; GRANT USAGE ON SCHEMA _millrace TO \"wr\(shop.database)\"; GRANT ALL ON ALL TABLES IN SCHEMA _millrace TO \"wr\(shop.database)\"",
            database: shop.database)
        let weak = PostgresWarehouse(
            url: shop.cluster.url(database: shop.database, user: "wr\(shop.database)"), layout: shop.layout)
        let findings = await weak.preflight()
        #expect(findings.contains { $0.level == .error && $0.remedy?.hasPrefix("GRANT CREATE ON DATABASE") == true })
        try await weak.open(readOnly: false)
        do {
            try await weak.ensure([.orders])
            Issue.record("made without the right")
        } catch let error as ReplicationError {
            #expect(error.kind == .environment)
            #expect(error.remedy == "GRANT CREATE ON DATABASE \"\(shop.database)\" TO \"wr\(shop.database)\";")
        }
        await weak.close()
        #expect(await shop.warehouse.preflight().allSatisfy { $0.level == .ok })
    }

    @Test func anUnreachableServerIsSaid() async throws {
        let nowhere = PostgresWarehouse(
            url: "postgres://postgres@127.0.0.1:1/x", layout: WarehouseLayout(pipeline: "shop"))
        #expect(await kind { try await nowhere.open(readOnly: false) } == .passing)
        #expect(await nowhere.preflight().map(\.level) == [.error])
        let cluster = try await SharedCluster.cluster
        let missing = PostgresWarehouse(
            url: cluster.url(database: "no_such_database"), layout: WarehouseLayout(pipeline: "shop"))
        #expect(await kind { try await missing.open(readOnly: false) } == .environment)
    }
}

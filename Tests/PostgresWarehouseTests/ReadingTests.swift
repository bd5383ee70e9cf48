import Replication
import ReplicationTestKit
import Testing

@Suite struct ReadingTests {
    @Test func cellsAreWhatTheyAreInJSON() async throws {
        let shop = try await WarehouseFixture([])
        let result = try await shop.warehouse.query(
            """
            SELECT 1::bigint AS n, true AS yes, false AS no, 1.50 AS d, 'NaN'::float8 AS f, '{"a":
             1}'::json AS j, 'x' AS t, NULL::int AS nothing, now() IS NOT NULL AS b -- comment
            """, rows_max: 1)
        #expect(result.columns.map(\.name) == ["n", "yes", "no", "d", "f", "j", "t", "nothing", "b"])
        #expect(result.rows == [["1", "true", "false", "1.50", "NaN", "{\"a\":  1}", "x", nil, "true"]])
        #expect(
            result.columns.map { $0.kind == .literal }
                == [true, true, true, true, false, true, false, true, true])
    }

    /// Whoever asks next finds it free at once, though the server ends the connection in its own time.
    @Test func aSnapshotsLockEndsWithIt() async throws {
        let shop = try await WarehouseFixture([])
        let lock = try #require(RawReplay.lock(pipeline: "shop", engine: "postgres"))
        for _ in 0..<200 {
            let snapshot = try await shop.warehouse.snapshot()
            let other = try await shop.warehouse.snapshot()
            #expect(try await snapshot.rows(lock) == [["t"]])
            #expect(try await other.rows(lock) == [["f"]])
            await snapshot.close()
            #expect(try await other.rows(lock) == [["t"]])
            await other.close()
        }
    }

    @Test func aQueryReadsOnly() async throws {
        let shop = try await WarehouseFixture([.orders])
        let warehouse = shop.warehouse
        for sql in [
            "DELETE FROM shop.orders", "SELECT 1; DROP TABLE shop.orders", "COMMIT", "SELECT 1 INTO shop.x",
            "WITH d AS (DELETE FROM shop.orders RETURNING 1) SELECT * FROM d",
            "EXPLAIN ANALYZE DELETE FROM shop.orders",
            "SELECT nextval('_millrace.quarantine_id_seq')", "", "COPY shop.orders TO PROGRAM 'true'", "SELEC 1",
            "DISCARD ALL",
        ] {
            #expect(await kind { _ = try await warehouse.query(sql, rows_max: 10) } != nil, "\(sql)")
        }
        #expect(try await warehouse.query("SHOW server_encoding;", rows_max: 10).rows == [["UTF8"]])
        #expect(try await warehouse.query("/* c */ explain (costs off) SELECT 1", rows_max: 10).rows == [["Result"]])
        #expect(try await warehouse.query("VALUES (1), (2);\n", rows_max: 2).rows.count == 2)
        // Nothing is left behind that the next batch would notice.
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        #expect(
            await kind { _ = try await warehouse.query("SELECT generate_series(1, 1000000000)", rows_max: 5) }
                == .configuration)
    }

    @Test func theLedgerIsSummedByTable() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        let batch = shop.builder.batch([create(1, .text("a"), .null, at: 1), create(1, .text("b"), .null, at: 2)])
        batch.control = 3
        try await shop.apply(batch)
        try await shop.apply([
            EventSpec(.create, TableDefinition.log.source, version(3), after: [.text("x"), .int(1)]),
            update(1, .text("c"), .null, at: 4),
        ])
        let ledger = try await shop.warehouse.ledger()
        #expect(ledger.control == 3)
        #expect(ledger.tables.map { $0.table?.table } == ["log", "orders"])
        #expect(ledger.tables.map(\.read) == [1, 3])
        #expect(ledger.tables.map(\.applied) == [1, 2])
        #expect(ledger.tables.map(\.compacted) == [0, 1])
        #expect(
            try await shop.rows("SELECT source_range FROM _millrace.ledger WHERE control > 0")
                == [#"[{"topic":"test","partition":0,"from":null,"to":2}]"#])
    }

    @Test func aQuarantinedRecordComesBackWhole() async throws {
        let shop = try await WarehouseFixture([.orders])
        let batch = shop.builder.batch([create(1, .text("a"), .null, at: 1)])
        batch.quarantined = [
            QuarantineEntry(
                table: nil, partition: TopicPartition(topic: "t\\x\ty", partition: 3), offset: 9, reason: "no\nJSON",
                key: [0, 255, 92], value: [], headers: #"[["a","b"]]"#)
        ]
        batch.readUnknown = 1
        try await shop.apply(batch)
        let found = try await shop.warehouse.quarantine()
        #expect(found.count == 1)
        let entry = try #require(found.first?.entry)
        #expect(entry.table == nil && entry.partition == TopicPartition(topic: "t\\x\ty", partition: 3))
        #expect(entry.offset == 9 && entry.reason == "no\nJSON" && entry.headers == #"[["a","b"]]"#)
        #expect(entry.key == [0, 255, 92] && entry.value == [] && entry.operation == nil)
        let ledger = try await shop.warehouse.ledger()
        #expect(ledger.tables.first { $0.table == nil }?.quarantined == 1)
    }
}

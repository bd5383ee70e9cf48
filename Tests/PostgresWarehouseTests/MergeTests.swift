import Postgres
import Replication
import ReplicationTestKit
import Testing

@Suite struct MergeTests {
    @Test func newRowsAreInserted() async throws {
        let shop = try await WarehouseFixture([.orders])
        let outcome = try await shop.apply([
            create(1, .text("new"), .null, at: 10), create(2, .text("tab\there \\N \r\n"), .text("x"), at: 11),
        ])
        #expect(outcome.ledger.first?.applied == 2)
        #expect(outcome.rows == 2)
        #expect(
            try await shop.rows("SELECT id, status = E'tab\\there \\\\N \\r\\n', note FROM shop.orders ORDER BY id")
                == ["1|f|", "2|t|x"])
        #expect(
            try await shop.rows(
                """
                SELECT extract(epoch FROM _source_updated_at)::int, _loaded_at > now() - interval '1 hour', \
                _version_epoch, _version_seq, _version_columns IS NULL, deleted_at IS NULL FROM shop.orders WHERE id = 1
                """) == ["10|t|0|2|t|t"])
        #expect(try await shop.rows("SELECT id FROM shop_live.orders ORDER BY id") == ["1", "2"])
    }

    @Test func aNewerVersionWinsAndAnOlderLoses() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10), create(2, .text("x"), .null, at: 10)])
        try await shop.apply([update(1, .text("c"), .null, at: 30)])
        let late = try await shop.apply([update(1, .text("b"), .null, at: 20), update(2, .text("y"), .null, at: 20)])
        #expect(late.ledger.first?.superseded == 1)
        #expect(late.ledger.first?.applied == 1)
        #expect(try await shop.orders() == ["1|c|∅|f|∅|30|∅", "2|y|∅|f|∅|20|∅"])
    }

    @Test(arguments: [true, false]) func theSameEventsAgainChangeNothing(hasRaw: Bool) async throws {
        let shop = try await WarehouseFixture([.orders], layout: WarehouseLayout(pipeline: "shop", hasRaw: hasRaw))
        let specs = [
            create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 11), delete(2, at: 12),
            delete(3, at: 13), update(4, .text("t"), .unchanged, at: 14),
        ]
        try await shop.apply(specs)
        let before = try await shop.rows("SELECT * FROM shop.orders ORDER BY id")
        let again = try await shop.apply(specs)
        // With raw the ids are known; without it the versions lose, and of one key two coalesce.
        #expect(again.ledger.first?.duplicate == (hasRaw ? 5 : 0))
        #expect(again.ledger.first?.superseded == (hasRaw ? 0 : 4))
        #expect(again.rows == 0)
        #expect(try await shop.rows("SELECT * FROM shop.orders ORDER BY id") == before)
        if hasRaw { #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["5"]) }
    }

    @Test func aDeleteKeepsTheLastValuesAndANewerInsertRevives() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("kept"), at: 10), create(2, .text("b"), .null, at: 11)])
        let outcome = try await shop.apply([delete(1, at: 20), delete(2, at: 5)])
        #expect(outcome.ledger.first?.applied == 1)
        #expect(outcome.ledger.first?.superseded == 1)
        #expect(try await shop.orders() == ["1|a|kept|t|20|20|∅", "2|b|∅|f|∅|11|∅"])
        #expect(try await shop.rows("SELECT id FROM shop_live.orders") == ["2"])
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 1, deleted: 1, incomplete: 0))
        try await shop.apply([create(1, .text("again"), .null, at: 30)])
        #expect(try await shop.orders() == ["1|again|∅|f|∅|30|∅", "2|b|∅|f|∅|11|∅"])
    }

    @Test func aDeleteOfARowNeverSeenMakesAKeyOnlyRow() async throws {
        let shop = try await WarehouseFixture([.orders])
        let outcome = try await shop.apply([delete(7, at: 20), delete(8, at: 20)])
        #expect(outcome.ledger.first?.applied == 2)
        try await shop.apply([create(7, .text("late"), .null, at: 10)])
        #expect(try await shop.orders() == ["7|∅|∅|t|20|20|∅", "8|∅|∅|t|20|20|∅"])
    }

    @Test func unchangedColumnsKeepTheirValueAndTheirVersion() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("long"), at: 10)])
        try await shop.apply([update(1, .text("b"), .unchanged, at: 20)])
        #expect(try await shop.orders() == [#"1|b|long|f|∅|20|{"note":[0,10,2]}"#])
        // Late, but newer than the column: the row's version stays, the column is filled.
        let late = try await shop.apply([update(1, .text("x"), .text("later"), at: 15)])
        #expect(late.ledger.first?.superseded == 1)
        #expect(late.ledger.first?.filled == 1)
        #expect(try await shop.orders() == [#"1|b|later|f|∅|20|{"note":[0,15,2]}"#])
        try await shop.apply([update(1, .text("c"), .text("whole"), at: 30)])
        #expect(try await shop.orders() == ["1|c|whole|f|∅|30|∅"])
    }

    @Test func anUnknownColumnIsCountedUntilItIsFilled() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([update(1, .text("b"), .unchanged, at: 20), update(2, .text("b"), .unchanged, at: 20)])
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 2, deleted: 0, incomplete: 2))
        let filled = try await shop.apply([create(1, .text("a"), .text("arrived"), at: 10), delete(2, at: 30)])
        #expect(filled.ledger.first?.filled == 1)
        #expect(filled.ledger.first?.applied == 1)
        #expect(
            try await shop.orders() == [#"1|b|arrived|f|∅|20|{"note":[0,10,2]}"#, "2|b|∅|t|30|30|∅"])
        #expect(try await shop.warehouse.counts(.orders) == TableCounts(live: 1, deleted: 1, incomplete: 0))
    }

    @Test func aTruncateDeletesWhatIsOlderAndLeavesAFloor() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 30)])
        let outcome = try await shop.apply([truncate(at: 20)])
        #expect(outcome.ledger.first?.applied == 1)
        try await shop.apply([create(3, .text("below the floor"), .null, at: 15), create(4, .text("d"), .null, at: 25)])
        #expect(
            try await shop.orders() == [
                "1|a|∅|t|20|20|∅", "2|b|∅|f|∅|30|∅", "3|below the floor|∅|t|20|20|∅", "4|d|∅|f|∅|25|∅",
            ])
        #expect(
            try await shop.rows("SELECT floor_commit, extract(epoch FROM floor_time)::int FROM _millrace.tables")
                == ["20|20"])
    }

    @Test func aLateTruncateVoidsColumnsThatAreOlder() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .text("old"), at: 10), update(1, .text("b"), .unchanged, at: 30)])
        let outcome = try await shop.apply([truncate(at: 20)])
        #expect(outcome.ledger.first?.filled == 1)
        #expect(try await shop.orders() == [#"1|b|∅|f|∅|30|{"note":[0,20,2,null]}"#])
    }

    @Test func aMovedKeyTakesItsUnchangedColumnsAlong() async throws {
        let shop = try await WarehouseFixture([.orders])
        let table = TableDefinition.orders.source
        var create2 = version(20)
        create2.seq += 1
        try await shop.apply([create(1, .text("a"), .text("toast"), at: 10)])
        try await shop.apply([
            EventSpec(
                .delete, table, version(20), before: [.int(1), .unchanged, .unchanged],
                otherKey: [.int(2), .unchanged, .unchanged]),
            EventSpec(
                .create, table, create2, after: [.int(2), .text("b"), .unchanged],
                otherKey: [.int(1), .unchanged, .unchanged]),
        ])
        #expect(try await shop.rows("SELECT * FROM shop_live.orders") == ["2|b|toast"])
        #expect(try await shop.rows("SELECT new_key, old_key FROM _millrace.moves") == [#"{"id":2}|{"id":1}"#])
        // A later fill of the donor reaches the new key.
        try await shop.apply([update(1, .text("x"), .text("newer toast"), at: 15)])
        #expect(try await shop.rows("SELECT * FROM shop_live.orders") == ["2|b|newer toast"])
    }

    @Test func aKeyBringsItsOwnLook() async throws {
        let table = TableDefinition(
            source: TableID(schema: "public", table: "prices"), target: "prices",
            columns: [
                Column(name: "price", type: .numeric(precision: nil, scale: 0), isKey: true),
                Column(name: "n", type: .integer),
            ], key: [0])
        let shop = try await WarehouseFixture([table])
        try await shop.apply([EventSpec(.create, table.source, version(1), after: [.text("1.0"), .int(1)])])
        try await shop.apply([EventSpec(.update, table.source, version(2), after: [.text("1.00"), .int(2)])])
        try await shop.apply([EventSpec(.delete, table.source, version(3), before: [.text("1.000"), .unchanged])])
        #expect(try await shop.rows("SELECT price, n, is_deleted FROM shop.prices") == ["1.000|2|t"])
    }

    /// The reference and this warehouse, event by event over many histories.
    @Test func agreesWithTheReference() async throws {
        let shop = try await WarehouseFixture([])
        for seed in UInt64(100)..<112 {
            var definition = ModelHistory.definition
            definition.target = "model\(seed)"
            let layout = WarehouseLayout(pipeline: "p\(seed)")
            let tested = PostgresWarehouse(url: shop.url, layout: layout)
            let reference = MemoryWarehouse(layout: layout)
            var random = SeededRandom(seed: seed)
            let events = ModelHistory(seed: seed, shape: .init(keys: 4, steps: 60)).events.shuffled(using: &random)
            let builder = BatchBuilder([definition])
            var tokens: [Int64] = []
            for warehouse in [tested, reference] as [any Warehouse] {
                try await warehouse.open(readOnly: false)
                try await warehouse.ensure([definition])
                tokens.append(try await warehouse.claim([builder.partition], owner: "t")[0].token)
            }
            var position: Int64?
            while (position ?? 0) < events.count {
                let from = Int(position ?? 0)
                let to = min(events.count, from + 1 + random.below(9))
                var ledgers: [[LedgerEntry]] = []
                for (warehouse, token) in zip([tested, reference] as [any Warehouse], tokens) {
                    let advance = CheckpointAdvance(
                        partition: builder.partition, from: position, to: Int64(to), token: token, spans: [0])
                    ledgers.append(
                        try await warehouse.apply(
                            builder.batch(Array(events[from..<to]), from: Int64(from)), advancing: [advance]
                        ).ledger)
                }
                #expect(ledgers[0] == ledgers[1], "seed \(seed), events \(from)..<\(to)")
                position = Int64(to)
            }
            let rows = try await shop.rows(
                """
                SELECT CASE WHEN is_deleted THEN concat('{"id":', id, '} deleted ', _version_epoch, '/', \
                _version_commit, '/', _version_seq, ' ', (extract(epoch FROM deleted_at) * 1000000)::bigint) \
                ELSE concat('{"id":', id, '} ', _version_epoch, '/', _version_commit, '/', _version_seq, ' ', \
                coalesce(_version_columns, '{}'), ' id=', id, ' n=', coalesce(n::text, 'null'), ' note=', \
                coalesce(to_json(note)::text, 'null')) END FROM p\(seed).model\(seed)
                """)
            let expected = await reference.tables.convergent(definition.source)
            #expect(rows.sorted() == expected, "seed \(seed)")
            await tested.close()
        }
    }
}

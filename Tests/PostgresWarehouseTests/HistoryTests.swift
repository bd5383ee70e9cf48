import Replication
import ReplicationTestKit
import Testing

@Suite struct HistoryTests {
    private func history(_ shop: WarehouseFixture) async throws -> [String] {
        try await shop.rows(
            """
            SELECT id, coalesce(status, '∅'), coalesce(note, '∅'), extract(epoch FROM valid_from)::int, \
            coalesce(extract(epoch FROM valid_to)::int::text, '∅'), is_current FROM shop_history.orders \
            ORDER BY id, valid_from
            """)
    }

    @Test func statesFollowEachOtherInVersionOrder() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([update(1, .text("b"), .null, at: 20)])
        try await shop.apply([create(1, .text("a"), .text("n"), at: 10), delete(1, at: 30)])
        try await shop.apply([create(1, .text("again"), .null, at: 40), create(2, .text("x"), .null, at: 15)])
        let found = try await history(shop)
        #expect(
            found == [
                "1|a|n|10|20|f", "1|b|∅|20|30|f", "1|again|∅|40|∅|t", "2|x|∅|15|∅|t",
            ])
    }

    @Test func unchangedColumnsTakeTheLastValueAndRealNullsStay() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([
            create(1, .text("a"), .text("long"), at: 10), update(1, .text("b"), .unchanged, at: 20),
            update(1, .text("c"), .null, at: 30), update(1, .text("d"), .unchanged, at: 40),
            delete(1, at: 50), update(1, .text("e"), .unchanged, at: 60),
        ])
        let found = try await history(shop)
        #expect(
            found == [
                "1|a|long|10|20|f", "1|b|long|20|30|f", "1|c|∅|30|40|f", "1|d|∅|40|50|f", "1|e|∅|60|∅|t",
            ])
    }

    @Test func aTruncateClosesWhatIsOlder() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([
            create(1, .text("a"), .text("n"), at: 10), create(2, .text("b"), .null, at: 30),
            update(1, .text("c"), .unchanged, at: 40), truncate(at: 20),
        ])
        let found = try await history(shop)
        #expect(
            found == ["1|a|n|10|20|f", "1|c|∅|40|∅|t", "2|b|∅|30|∅|t"])
    }

    @Test func aMovedKeyIsFollowedThroughItsMoves() async throws {
        let shop = try await WarehouseFixture([.orders])
        let table = TableDefinition.orders.source
        func move(_ from: Int64, _ to: Int64, at commit: Int64) -> [EventSpec] {
            var made = version(commit)
            made.seq += 1
            return [
                EventSpec(
                    .delete, table, version(commit), before: [.int(from), .unchanged, .unchanged],
                    otherKey: [.int(to), .unchanged, .unchanged]),
                EventSpec(
                    .create, table, made, after: [.int(to), .text("at \(commit)"), .unchanged],
                    otherKey: [.int(from), .unchanged, .unchanged]),
            ]
        }
        try await shop.apply(
            [create(1, .text("a"), .text("toast"), at: 10)] + move(1, 2, at: 20) + move(2, 3, at: 30)
                + [update(3, .text("z"), .unchanged, at: 40)])
        let found = try await history(shop)
        #expect(
            found == [
                "1|a|toast|10|20|f", "2|at 20|toast|20|30|f", "3|at 30|toast|30|40|f", "3|z|toast|40|∅|t",
            ])
        #expect(try await shop.rows("SELECT * FROM shop_live.orders") == ["3|z|toast"])
    }

    @Test func rawHoldsWhatTheEventHeld() async throws {
        let shop = try await WarehouseFixture([.orders])
        let table = TableDefinition.orders.source
        try await shop.apply([
            EventSpec(
                .update, table, version(7), before: [.int(1), .text("old"), .unchanged],
                after: [.int(1), .text("q\"\\\n"), .unchanged]),
            delete(2, at: 8), truncate(at: 9),
            EventSpec(.create, table, version(10), after: [.int(3), .absent, .null]),
        ])
        #expect(
            try await shop.rows(
                """
                SELECT op, coalesce(key::text, '∅'), coalesce(before::text, '∅'), coalesce(after::text, '∅'), \
                coalesce(unchanged::text, '∅'), _version_epoch, _version_commit, _version_seq, position, \
                source_tx IS NULL, extract(epoch FROM source_ts)::int, \
                loaded_at BETWEEN now() - interval '1 hour' AND now() + interval '1 minute' \
                FROM shop_raw.orders ORDER BY _version_commit
                """)
                == [
                    #"u|{"id":1}|{"id":1,"status":"old"}|{"id":1,"status":"q\"\\\n"}|["note"]|0|7|2|test:0:0|t|7|t"#,
                    #"d|{"id":2}|{"id":2}|∅|∅|0|8|2|test:0:1|t|8|t"#, "t|∅|∅|∅|∅|0|9|2|test:0:2|t|9|t",
                    #"c|{"id":3}|∅|{"id":3,"note":null}|∅|0|10|2|test:0:3|t|10|t"#,
                ])
        let id = try await shop.rows("SELECT event_id FROM shop_raw.orders WHERE op = 'd'")
        let batch = shop.builder.batch([delete(2, at: 8)])
        #expect(id == [batch.events[0].id.text])
    }
}

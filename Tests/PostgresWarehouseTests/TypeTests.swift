import Replication
import ReplicationTestKit
import Testing

@Suite struct TypeTests {
    private func roundTrip(
        _ shop: WarehouseFixture, _ table: TableDefinition, _ rows: [[Cell]]
    ) async throws -> [String] {
        try await shop.apply(
            rows.enumerated().map { index, cells in
                EventSpec(
                    .create, table.source, version(Int64(index) + 1), after: [.int(Int64(index))] + cells)
            })
        return try await shop.rows(
            """
            SELECT \(table.columns.dropFirst().map { "coalesce(\"\($0.name)\"::text, '∅')" }.joined(separator: ", ")) \
            FROM shop.types ORDER BY id
            """)
    }

    @Test func numbersComeBackAsTheyWere() async throws {
        let table = TableDefinition.of([
            ("s", .smallint), ("i", .integer), ("b", .bigint), ("r", .real), ("d", .double),
            ("n", .numeric(precision: nil, scale: 0)), ("m", .numeric(precision: 12, scale: 2)), ("flag", .boolean),
        ])
        let shop = try await WarehouseFixture([table])
        let digits = String(repeating: "9", count: 200) + "." + String(repeating: "1", count: 100)
        let found = try await roundTrip(
            shop, table,
            [
                [
                    .int(-32768), .int(2_147_483_647), .int(.min), .text("1.5"), .text("-0"), .text(digits),
                    .text("0.01"), .bool(true),
                ],
                [
                    .int(32767), .int(-2_147_483_648), .int(.max), .text("Infinity"), .text("NaN"), .text("NaN"),
                    .text("NaN"), .bool(false),
                ],
                [.null, .null, .null, .null, .text("1.7976931348623157e308"), .null, .text("-9999999999.99"), .null],
            ])
        #expect(
            found == [
                "-32768|2147483647|-9223372036854775808|1.5|-0|\(digits)|0.01|true",
                "32767|-2147483648|9223372036854775807|Infinity|NaN|NaN|NaN|false",
                "∅|∅|∅|∅|1.7976931348623157e+308|∅|-9999999999.99|∅",
            ])
        // Raw has them exactly too, and history reads them back.
        #expect(
            try await shop.rows(
                "SELECT count(*) FROM shop_history.types h JOIN shop.types c ON h.id = c.id AND (h.n, h.d) IS NOT DISTINCT FROM (c.n, c.d)"
            )
                == ["3"])
    }

    @Test func timesComeBackAsTheyWere() async throws {
        let table = TableDefinition.of([
            ("d", .date), ("t", .time), ("tz", .timetz), ("ts", .timestamp(digits: 6)), ("z", .timestamptz),
            ("iv", .interval),
        ])
        let shop = try await WarehouseFixture([table])
        let found = try await roundTrip(
            shop, table,
            [
                [
                    .text("0044-03-15 BC"), .text("24:00:00"), .text("12:00:00.000001+05:30"), .text("infinity"),
                    .text("-infinity"), .text("1 year 2 mons -3 days +04:05:06.7"),
                ],
                [
                    .text("5874897-12-31"), .text("00:00:00"), .text("00:00:00-15:59"), .text("4713-01-01 00:00:00 BC"),
                    .text("294276-12-31 23:59:59.999999+00"), .text("-178000000 years"),
                ],
            ])
        #expect(
            found == [
                "0044-03-15 BC|24:00:00|12:00:00.000001+05:30|infinity|-infinity|1 year 2 mons -3 days +04:05:06.7",
                "5874897-12-31|00:00:00|00:00:00-15:59|4713-01-01 00:00:00 BC|294276-12-31 23:59:59.999999+00|-178000000 years",
            ])
    }

    @Test func textsAndDocumentsComeBackAsTheyWere() async throws {
        let table = TableDefinition.of([
            ("t", .text), ("b", .bytea), ("u", .uuid), ("j", .json), ("jb", .jsonb), ("a", .array(.text)),
            ("ai", .array(.integer)), ("k", .unknown), ("v", .other("varchar(20)")), ("e", .other("no_such_type")),
            ("bits", .other("bit varying(8)")), ("net", .other("inet")),
        ])
        let shop = try await WarehouseFixture([table])
        let found = try await roundTrip(
            shop, table,
            [
                [
                    .text(#"\N \. \\ ünï"#), .text(#"\x00ff"#), .text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
                    .json(#"{"b":1,  "a":"\u0000"}"#), .json(#"{"b":1.50,"a":[null]}"#),
                    .json(#"["x y",null,"q\"\\"]"#),
                    .json("[[1,2],[3,null]]"), .json(#"{"any":"thing"}"#), .text("twenty"), .text("plain"),
                    .text("101"),
                    .text("10.0.0.0/8"),
                ],
                [
                    .text(""), .text(#"\x"#), .null, .json("null"), .json("null"), .json("[]"), .null, .text("text"),
                    .null, .null, .null, .null,
                ],
            ])
        #expect(
            found == [
                #"\N \. \\ ünï|\x00ff|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{"b":1,  "a":"\u0000"}|{"a": [null], "b": 1.50}|{"x y",NULL,"q\"\\"}|{{1,2},{3,NULL}}|{"any":"thing"}|twenty|plain|101|10.0.0.0/8"#,
                #"|\x|∅|null|null|{}|∅|"text"|∅|∅|∅|∅"#,
            ])
        let types = try await shop.rows(
            """
            SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'shop.types'::regclass \
            AND attname IN ('v', 'e', 'bits', 'net', 'k') ORDER BY attname
            """)
        #expect(types == ["bit varying(8)", "text", "json", "inet", "character varying(20)"])
    }

    @Test func enumsAndDomainsAreUsedWhereTheyExist() async throws {
        var table = TableDefinition.of([("m", .other("mood")), ("c", .other("citext")), ("ms", .array(.other("mood")))])
        table.columns[2].isKey = true
        table.key = [2]
        let shop = try await WarehouseFixture(
            [table], before: "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE EXTENSION citext")
        try await shop.apply([
            EventSpec(
                .create, table.source, version(1), after: [.int(1), .text("sad"), .text("Bob"), .json(#"["ok"]"#)])
        ])
        try await shop.apply([
            EventSpec(
                .update, table.source, version(2), after: [.int(1), .text("ok"), .text("bob"), .json(#"["ok","sad"]"#)])
        ])
        #expect(try await shop.rows("SELECT m, c, ms FROM shop.types") == ["ok|bob|{ok,sad}"])
        #expect(try await shop.rows("SELECT pg_typeof(m) FROM shop.types") == ["mood"])
        #expect(
            try await shop.rows("SELECT c, m, is_current FROM shop_history.types ORDER BY valid_from") == [
                "Bob|sad|f", "bob|ok|t",
            ])
    }

    @Test func keysThatHaveNoOrderAreKeptInAFormThatHas() async throws {
        let table = TableDefinition(
            source: TableID(schema: "public", table: "types"), target: "types",
            columns: [
                Column(name: "j", type: .json, isKey: true), Column(name: "x", type: .other("xml"), isKey: true),
                Column(name: "n", type: .integer),
            ], key: [0, 1])
        let shop = try await WarehouseFixture([table])
        try await shop.apply([
            EventSpec(.create, table.source, version(1), after: [.json(#"{"a":1}"#), .text("<a/>"), .int(1)])
        ])
        try await shop.apply([
            EventSpec(.update, table.source, version(2), after: [.json(#"{"a":1}"#), .text("<a/>"), .int(2)])
        ])
        #expect(try await shop.rows("SELECT pg_typeof(j), pg_typeof(x), n FROM shop.types") == ["jsonb|text|2"])
    }

    @Test func aMissingCitextKeyIsSaid() async throws {
        let table = TableDefinition(
            source: TableID(schema: "public", table: "types"), target: "types",
            columns: [Column(name: "c", type: .other("citext"), isKey: true)], key: [0])
        let shop = try await WarehouseFixture([])
        #expect(await kind { try await shop.warehouse.ensure([table]) } == .configuration)
    }

    @Test func aValueThatTheEngineRefusesIsPutAsideAlone() async throws {
        let table = TableDefinition.of([("v", .other("varchar(5)")), ("n", .integer)])
        let shop = try await WarehouseFixture([table])
        func event(_ id: Int64, _ text: String) -> EventSpec {
            EventSpec(.create, table.source, version(id), after: [.int(id), .text(text), .int(1)])
        }
        let outcome = try await shop.apply(
            (1...40).map { event($0, $0 == 7 || $0 == 31 ? "much too long" : "ok") })
        #expect(outcome.ledger.first?.quarantined == 2)
        #expect(outcome.ledger.first?.applied == 38)
        #expect(try await shop.rows("SELECT count(*) FROM shop.types") == ["38"])
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.types") == ["38"])
        let set = try await shop.warehouse.quarantine()
        #expect(set.map(\.entry.offset) == [6, 30])
        #expect(set.first?.entry.reason.contains("column v") == true, "\(set.first?.entry.reason ?? "")")
        #expect(set.first?.entry.reason.contains("much too long") == false)
        try await shop.warehouse.settleQuarantine(set.map(\.id), as: .discarded)
        #expect(try await shop.warehouse.quarantine().map(\.state) == [.discarded, .discarded])
    }

    @Test func aKeyTooLongForAnIndexIsPutAside() async throws {
        let table = TableDefinition(
            source: TableID(schema: "public", table: "types"), target: "types",
            columns: [Column(name: "k", type: .text, isKey: true)], key: [0])
        let shop = try await WarehouseFixture([table])
        var random = SeededRandom(seed: 1)
        let long = (0..<4000).map { _ in String(random.next(), radix: 36) }.joined()
        let outcome = try await shop.apply([
            EventSpec(.create, table.source, version(1), after: [.text(long)]),
            EventSpec(.create, table.source, version(2), after: [.text("short")]),
        ])
        #expect(outcome.ledger.first?.quarantined == 1)
        #expect(try await shop.rows("SELECT k FROM shop.types") == ["short"])
    }
}

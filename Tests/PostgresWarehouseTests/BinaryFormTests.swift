import Replication
import ReplicationTestKit
import Testing

/// Values go to the server in binary as far as their text is read here; what the server reads of the text itself is what
/// must stand in the table. Through the stage (few rows) and through COPY into current (many).
@Suite struct BinaryFormTests {
    private static let types: [(String, ColumnType)] = [
        ("flag", .boolean), ("s", .smallint), ("i", .integer), ("b", .bigint), ("r", .real), ("d", .double),
        ("n", .numeric(precision: nil, scale: 0)), ("m", .numeric(precision: 30, scale: 6)), ("t", .text),
        ("v", .other("character varying(12)")), ("c", .other("character(6)")), ("y", .bytea), ("u", .uuid),
        ("day", .date), ("clock", .time), ("ts", .timestamp(digits: 6)), ("short", .timestamp(digits: 3)),
        ("z", .timestamptz), ("j", .json), ("k", .jsonb),
    ]

    /// A text of the type as Postgres prints it.
    private func text(_ type: ColumnType, _ random: inout SeededRandom) -> String {
        func digits(_ most: Int) -> String {
            let count = random.below(most) + 1
            let text = (0..<count).map { _ in String(random.below(4) == 0 ? 0 : random.below(10)) }.joined()
            return text
        }
        func two(_ most: Int) -> String { let n = random.below(most); return n < 10 ? "0\(n)" : "\(n)" }
        func day() -> String {
            "\(1 + random.below(9))\(digits(1))\(two(100))-0\(1 + random.below(9))-\(10 + random.below(19))"
        }
        func clock() -> String {
            "\(two(24)):\(two(60)):\(two(60))" + (random.below(2) == 0 ? "" : ".\(digits(6))")
        }
        let sign = random.below(3) == 0 ? "-" : ""
        switch type {
        case .boolean: return random.below(2) == 0 ? "t" : "f"
        case .smallint: return sign + String(random.below(32768))
        case .integer: return sign + String(random.below(2_147_483_648))
        case .bigint: return sign + digits(18)
        case .real:
            return ["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e+38", "0.1"][safe: random.below(20)]
                ?? Float(bitPattern: UInt32(truncatingIfNeeded: random.next()) & 0xBF7F_FFFF).description
        case .double:
            return ["NaN", "Infinity", "-0", "5e-324", "1.7976931348623157e+308"][safe: random.below(20)]
                ?? Double(bitPattern: random.next() & 0xBFEF_FFFF_FFFF_FFFF).description
        case .numeric(nil, _):
            if random.below(20) == 0 { return "NaN" }
            return sign + digits(random.below(10) == 0 ? 300 : 12) + (random.below(2) == 0 ? "" : ".\(digits(30))")
        case .numeric: return sign + digits(20) + (random.below(2) == 0 ? "" : ".\(digits(6))")
        case .bytea: return "\\x" + (0..<random.below(9)).map { _ in two(100) }.joined()
        case .uuid:
            return "\(two(100))00aBcD-\(two(100))ef-4\(two(10))0-\(two(100))00-\(two(100))0123456789"
        case .date: return ["infinity", "-infinity", "0044-03-15 BC", "5874897-12-31"][safe: random.below(20)] ?? day()
        case .time: return random.below(20) == 0 ? "24:00:00" : clock()
        case .timestamp:
            return ["infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"][
                safe: random.below(30)] ?? "\(day()) \(clock())"
        case .timestamptz:
            return ["infinity", "4713-01-02 00:00:00+00 BC"][safe: random.below(30)]
                ?? "\(day()) \(clock())\(["+00", "+05:30", "-08", "+01:22:30"][random.below(4)])"
        case .json, .jsonb: return #"{"a": [1, 2.50, null, "\\u00e9 "# + digits(4) + #""]}"#
        case .other(let name): return name.hasPrefix("character(") ? "ab \(two(100))" : "tab\tü\\\(digits(4))"
        default: return "back\\slash\ttab\n€ \(digits(9))"
        }
    }

    @Test(arguments: [40, 600]) func whatTheServerReadsIsWhatIsStored(rows: Int) async throws {
        let table = TableDefinition.of(Self.types, "forms")
        let shop = try await WarehouseFixture([table])
        var random = SeededRandom(seed: 7)
        var texts: [[String?]] = []
        for _ in 0..<rows {
            texts.append(Self.types.map { random.below(12) == 0 ? nil : text($0.1, &random) })
        }
        try await shop.apply(
            texts.enumerated().map { index, row in
                EventSpec(
                    .create, table.source, version(Int64(index) + 1),
                    after: [.int(Int64(index))] + row.map { $0.map { .text($0) } ?? .null })
            })
        let literals = texts.enumerated().map { index, row in
            "(\(index), \(row.map { $0.map { "'\($0.replacing("'", with: "''"))'" } ?? "NULL" }.joined(separator: ", ")))"
        }
        let names = Self.types.map(\.0)
        let expected = zip(names, Self.types).map { "e.\($0)::\(Self.sql($1.1))::text" }
        let differing = try await shop.rows(
            """
            SELECT id, name FROM (VALUES \(literals.joined(separator: ",\n"))) AS e(id, \(names.joined(separator: ", ")))
            JOIN shop.forms c USING (id) CROSS JOIN LATERAL (VALUES \
            \(zip(names, expected).map { "('\($0)', c.\($0)::text, \($1))" }.joined(separator: ", "))) AS v(name, found, wanted)
            WHERE found IS DISTINCT FROM wanted ORDER BY 1, 2
            """)
        #expect(differing == [])
        #expect(try await shop.rows("SELECT count(*) FROM shop.forms") == ["\(rows)"])
    }

    private static func sql(_ type: ColumnType) -> String { type.sql }

    /// What the server refuses of a text is refused, and not stored as something else.
    @Test(arguments: [
        (ColumnType.real, "1e-50"), (.double, "1e-400"), (.date, "0000-01-01"), (.date, "-0044-03-15"),
        (.timestamp(digits: 6), "0000-01-01 00:00:00"), (.timestamptz, "+2024-01-01 00:00:00+00"), (.smallint, "32768"),
        (.integer, "1e3"), (.uuid, "0"), (.boolean, "2"), (.bytea, "\\xabc"), (.time, "25:00:00"), (.jsonb, "{"),
    ])
    func whatTheServerRefusesIsRefused(type: ColumnType, text: String) async throws {
        let table = TableDefinition.of([("v", type)], "refused")
        let shop = try await WarehouseFixture([table])
        let outcome = try await shop.apply([
            EventSpec(.create, table.source, version(1), after: [.int(1), .text(text)]),
            EventSpec(.create, table.source, version(2), after: [.int(2), .null]),
        ])
        #expect(outcome.ledger.reduce(0) { $0 + $1.quarantined } == 1)
        #expect(try await shop.rows("SELECT id, v IS NULL FROM shop.refused") == ["2|t"])
    }

    /// What a user made of our table: values go in as its columns take them.
    @Test func columnsOfOtherTypesTakeTheirOwnForm() async throws {
        let table = TableDefinition.of([("n", .bigint), ("at", .timestamptz), ("t", .text), ("e", .text)], "changed")
        let shop = try await WarehouseFixture([table])
        _ = try await shop.rows(
            """
            CREATE TYPE mood AS ENUM ('sad', 'happy'); DROP VIEW shop_live.changed; DROP VIEW shop_history.changed;
            ALTER TABLE shop.changed ALTER n TYPE double precision, ALTER at TYPE timestamp, ALTER t TYPE varchar(20), \
            ALTER e TYPE mood USING e::mood
            """)
        try await shop.apply(
            (1...700).map { id in
                EventSpec(
                    .create, table.source, version(Int64(id)),
                    after: [
                        .int(Int64(id)), .int(Int64(id)), .text("2024-01-02 03:04:05+00"), .text("t"), .text("sad"),
                    ])
            })
        #expect(
            try await shop.rows("SELECT count(*), sum(n), min(at), max(at), max(t), max(e) FROM shop.changed")
                == ["700|245350|2024-01-02 03:04:05|2024-01-02 03:04:05|t|sad"])
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

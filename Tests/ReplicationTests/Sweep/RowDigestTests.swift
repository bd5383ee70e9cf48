import Testing

@testable import Replication

@Suite struct RowDigestTests {
    private static func composite(_ fields: (String, ColumnType)...) -> ColumnType {
        let type = CompositeType(name: "public.pair", fields: fields.map { .init($0.0, $0.1) })
        return type.map(ColumnType.composite) ?? .unknown
    }

    private static func text(_ column: SweepColumn, _ side: SweepSide, _ warehouse: SweepDialect) -> String? {
        RowDigest([column], warehouse: warehouse).text(of: column, on: side)
    }

    // MARK: Queries

    @Test func aSetIsOneRowOfTexts() {
        let digest = RowDigest(
            [SweepColumn("id", .bigint, isKey: true), SweepColumn("note", .text)], warehouse: .duckdb)
        #expect(
            digest.set(of: "public.shop", on: .source, where: "id > 1 OR false") == """
                SELECT count(*)::text, coalesce(sum(high), 0)::text, coalesce(sum(low), 0)::text \
                FROM (SELECT (b::bit(64))::bigint AS high, ((b << 64)::bit(64))::bigint AS low FROM \
                (SELECT ('x' || md5(concat((t."id")::text, ',', octet_length((t."note")::text), ':', \
                (t."note")::text)))::bit(128) AS b FROM public.shop AS t WHERE (id > 1 OR false) OFFSET 0) AS hashes) \
                AS halves
                """)
        #expect(
            digest.set(of: "live.shop", on: .warehouse) == """
                SELECT CAST(count(*) AS VARCHAR), \
                CAST(coalesce(sum(CAST(CAST(unhex(left(h, 16)) AS BIT) AS BIGINT)), 0) AS VARCHAR), \
                CAST(coalesce(sum(CAST(CAST(unhex(right(h, 16)) AS BIT) AS BIGINT)), 0) AS VARCHAR) \
                FROM (SELECT md5(concat(CAST(t."id" AS VARCHAR), ',', strlen(t."note"), ':', t."note")) AS h \
                FROM (SELECT t."id", t."note" FROM live.shop AS t) AS t) AS hashes
                """)
    }

    @Test func rowsHaveTheirKeysBeforeTheHash() {
        let digest = RowDigest(
            [SweepColumn("n", .integer), SweepColumn("b", .bytea, isKey: true)], warehouse: .postgres)
        let query = """
            SELECT encode(t."b", 'hex'), md5(concat((t."n")::text, ',', encode(t."b", 'hex'), ',')) AS h FROM x AS t
            """
        #expect(digest.rows(of: "x", on: .source) == query)
        #expect(digest.rows(of: "x", on: .warehouse) == query)
    }

    @Test(arguments: [
        (#"a"b"#, #"t."a""b""#), ("Ünï \"\u{301}", "t.\"Ünï \"\"\u{301}\""),
        ("x'); DROP TABLE t; --", #"t."x'); DROP TABLE t; --""#),
    ]) func namesAreQuoted(name: String, quoted: String) {
        let column = SweepColumn(name, .integer)
        #expect(Self.text(column, .source, .duckdb) == "(\(quoted))::text")
        #expect(Self.text(column, .warehouse, .duckdb) == "CAST(\(quoted) AS VARCHAR)")
        let field = SweepColumn("c", Self.composite((name, .integer)))
        #expect(Self.text(field, .source, .duckdb)?.contains("(t.\"c\").\(quoted.dropFirst(2))") == true)
        let literal = "'\(name.replacing("'", with: "''"))'"
        #expect(Self.text(field, .warehouse, .duckdb)?.contains("struct_extract(t.\"c\", \(literal))") == true)
    }

    /// Names of a list's elements, where a column begins as they would.
    @Test func elementsHaveNamesOfTheirOwn() {
        let list = SweepColumn("list", .array(.text))
        let plain = RowDigest([list], warehouse: .duckdb)
        #expect(plain.text(of: list, on: .warehouse)?.contains("FOR _x0 IN t.\"list\"") == true)
        let odd = RowDigest([list, SweepColumn("__X0", .text)], warehouse: .duckdb)
        #expect(odd.text(of: list, on: .warehouse)?.contains("FOR ___x0 IN t.\"list\"") == true)
    }

    /// A function of Postgres takes a hundred arguments.
    @Test func wideRows() {
        let columns = (0..<1600).map { SweepColumn("c\($0)", .integer) }
        let query = RowDigest(columns, warehouse: .postgres).rows(of: "x", on: .source)
        #expect(query.split(separator: "concat(").allSatisfy { $0.split(separator: ", ").count <= 100 })
        #expect(columns.allSatisfy { query.contains("(t.\"\($0.name)\")::text, ','") })
    }

    /// A server without the hash, another order of bytes, another engine: what both have.
    @Test(arguments: [
        ("t", "t", "1", "1", true), ("t", "f", "1", "1", false), ("f", "t", "1", "1", false),
        ("t", "t", "1", "2", false),
    ])
    func serversMustHashAlike(there: String, here: String, theirs: String, mine: String, isSame: Bool) async throws {
        func server(_ has: String, _ hash: String) -> (String) async throws -> [[String?]] {
            { sql in
                guard sql.contains("to_regprocedure") else {
                    // A server that hasn't got it refuses.
                    guard has == "t" else { throw CancellationError() }
                    return [[hash]]
                }
                return [[has]]
            }
        }
        let (source, warehouse) = (server(there, theirs), server(here, mine))
        #expect(try await RowHash.common(engine: "postgres", source, warehouse) == (isSame ? .records : .texts))
        #expect(try await RowHash.common(engine: "duckdb", source, warehouse) == .texts)
    }

    // MARK: What is compared

    @Test func whatHasNoTextIsLeftToValues() {
        let columns = [
            SweepColumn("a", .unknown), SweepColumn("b", .array(.unknown)), SweepColumn("c", .text),
            SweepColumn("d", .unknown, isHashed: true),
        ]
        for warehouse in [SweepDialect.postgres, .duckdb] {
            let digest = RowDigest(columns, warehouse: warehouse)
            // A Postgres' array is compared by its text, whatever is in it.
            #expect(digest.uncovered.map(\.name) == (warehouse == .duckdb ? ["a", "b"] : ["a"]))
            let query = digest.values(of: "x", on: .warehouse, digest.uncovered)
            #expect(query.contains(#"t."a""#))
        }
    }

    @Test func hashesAreComparedWithHashes() {
        let column = SweepColumn("mail", .other("character(5)"), isHashed: true)
        #expect(
            Self.text(column, .source, .duckdb) == """
                encode(sha256(convert_to(CASE WHEN num_nulls(t."mail") = 0 THEN concat(t."mail") END, 'UTF8')), 'hex')
                """)
        #expect(
            Self.text(column, .warehouse, .duckdb) == """
                CASE WHEN t."mail" = '' OR contains(t."mail", ',') THEN '!' || md5(t."mail") ELSE t."mail" END
                """)
    }

    static let pairs: [(ColumnType, ColumnType, Bool)] = [
        (.integer, .bigint, true), (.integer, .numeric(precision: nil, scale: 0), false), (.real, .double, false),
        (.numeric(precision: 12, scale: 2), .numeric(precision: 14, scale: 2), true),
        (.numeric(precision: 12, scale: 2), .numeric(precision: 14, scale: 4), false),
        (.numeric(precision: nil, scale: 0), .numeric(precision: 14, scale: 4), true),
        (.timestamp(digits: 3), .timestamp(digits: 6), true), (.timestamp(digits: 6), .timestamptz, false),
        (.json, .jsonb, false), (.text, .array(.integer), true), (.other("mood"), .text, true),
        (.array(.array(.integer)), .array(.integer), true), (.array(.integer), .array(.real), false),
        (.array(.integer), .text, false),
    ]

    @Test(arguments: pairs) func aSourceOfAnotherType(mine: ColumnType, theirs: ColumnType, isCovered: Bool) {
        let column = SweepColumn("c", mine, sourceType: theirs)
        #expect(RowDigest([column], warehouse: .duckdb).columns.isEmpty != isCovered)
    }

    @Test func fieldsThatTheSourceLostAreLeftOut() throws {
        let inner = Self.composite(("kept", .integer), ("lost", .text))
        let now = Self.composite(("kept", .integer), ("new", .text))
        let column = SweepColumn("c", .array(inner), sourceType: .array(now))
        for side in [SweepSide.source, .warehouse] {
            let text = try #require(Self.text(column, side, .duckdb))
            #expect(text.contains("kept") && !text.contains("lost") && !text.contains("new"))
        }
        let none = SweepColumn("c", inner, sourceType: Self.composite(("new", .text)))
        #expect(Self.text(none, .source, .duckdb) == nil)
    }
}

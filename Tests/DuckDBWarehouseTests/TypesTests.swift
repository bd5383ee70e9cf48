import DuckDB
import Foundation
import Replication
import ReplicationTestKit
import Testing

@Suite struct TypesTests {
    /// One value through stage, current, raw and the history view.
    private func roundTrip(
        _ type: ColumnType, _ values: [(Field.Kind?, String, Int64)], expecting expected: [String?],
        sqlType: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let table = TableDefinition.of([("v", type)])
        let shop = try await WarehouseFixture([table])
        let batch = shop.builder.batch(
            values.indices.map {
                EventSpec(.create, table.source, version(Int64($0 + 1)), after: [.int(Int64($0)), .null])
            })
        for (index, value) in values.enumerated() {
            guard let kind = value.0 else { continue }
            let field: Field =
                switch kind {
                case .text, .json: .stretch(kind, batch.arena.append(value.1))
                case .bytes: .stretch(kind, Array(value.1.utf8).withUnsafeBytes { batch.arena.append($0) })
                default: Field(kind: kind, bits: value.2)
                }
            batch.fields[Int(batch.events[index].after) + 1] = field
        }
        let outcome = try await shop.apply(batch)
        #expect(outcome.quarantined == 0, sourceLocation: sourceLocation)
        for view in ["shop.types", "shop_live.types", "shop_history.types"] {
            let rows = try await shop.warehouse.query(
                "SELECT CAST(v AS VARCHAR) FROM \(view) ORDER BY id", rows_max: 100)
            #expect(rows.rows.map { $0[0] } == expected, "\(view)", sourceLocation: sourceLocation)
        }
        let column = try await shop.rows(
            "SELECT data_type FROM duckdb_columns() WHERE schema_name = 'shop' AND table_name = 'types' AND column_name = 'v'"
        )
        #expect(column == [sqlType], sourceLocation: sourceLocation)
        // The history's types are current's.
        let types = try await shop.rows(
            "SELECT DISTINCT typeof(v) FROM (SELECT v FROM shop.types UNION ALL SELECT v FROM shop_history.types)")
        #expect(types == [sqlType], sourceLocation: sourceLocation)
    }

    private func text(_ values: [String?]) -> [(Field.Kind?, String, Int64)] {
        values.map { ($0 == nil ? nil : .text, $0 ?? "", 0) }
    }
    private func json(_ values: [String?]) -> [(Field.Kind?, String, Int64)] {
        values.map { ($0 == nil ? nil : .json, $0 ?? "", 0) }
    }
    private func bits(_ kind: Field.Kind, _ values: [Int64?]) -> [(Field.Kind?, String, Int64)] {
        values.map { ($0 == nil ? nil : kind, "", $0 ?? 0) }
    }

    @Test func integers() async throws {
        try await roundTrip(
            .smallint, bits(.int, [-32768, 32767, nil]), expecting: ["-32768", "32767", nil], sqlType: "SMALLINT")
        try await roundTrip(
            .integer, bits(.int, [.init(Int32.min), .init(Int32.max)]), expecting: ["-2147483648", "2147483647"],
            sqlType: "INTEGER")
        try await roundTrip(
            .bigint, bits(.int, [.min, .max]), expecting: ["-9223372036854775808", "9223372036854775807"],
            sqlType: "BIGINT")
        try await roundTrip(.boolean, bits(.bool, [0, 1, nil]), expecting: ["false", "true", nil], sqlType: "BOOLEAN")
    }

    @Test func floats() async throws {
        let values = [0.1, -1.5, .nan, .infinity, -.infinity, 1e308, .leastNonzeroMagnitude].map {
            Int64(bitPattern: $0.bitPattern)
        }
        try await roundTrip(
            .double, bits(.double, values), expecting: ["0.1", "-1.5", "nan", "inf", "-inf", "1e+308", "5e-324"],
            sqlType: "DOUBLE")
        try await roundTrip(
            .real, bits(.double, [Double(Float(0.1)), .nan].map { Int64(bitPattern: $0.bitPattern) }),
            expecting: ["0.1", "nan"], sqlType: "FLOAT")
    }

    @Test func decimals() async throws {
        let wide = String(repeating: "9", count: 28) + "." + String(repeating: "9", count: 10)
        try await roundTrip(
            .numeric(precision: 38, scale: 10), text([wide, "-" + wide, "0", "1.5", nil]),
            expecting: [wide, "-" + wide, "0.0000000000", "1.5000000000", nil], sqlType: "DECIMAL(38,10)")
        try await roundTrip(
            .numeric(precision: 4, scale: 4), text(["0.9999", "-.5"]), expecting: [".9999", "-.5000"],
            sqlType: "DECIMAL(4,4)")
        // What DECIMAL can't be declared for keeps its digits as text.
        try await roundTrip(
            .numeric(precision: nil, scale: 0),
            text(["NaN", "1.10", "123456789012345678901234567890123456789012345.6700"]),
            expecting: ["NaN", "1.10", "123456789012345678901234567890123456789012345.6700"], sqlType: "VARCHAR")
        try await roundTrip(
            .numeric(precision: 3, scale: 6), text(["0.000999"]), expecting: ["0.000999"], sqlType: "VARCHAR")
        try await roundTrip(
            .numeric(precision: 4, scale: -2), text(["999900"]), expecting: ["999900"], sqlType: "VARCHAR")
        try await roundTrip(.numeric(precision: 60, scale: 2), text(["1.00"]), expecting: ["1.00"], sqlType: "VARCHAR")
    }

    @Test func texts() async throws {
        let values: [String?] = [
            "", "é😀", "tab\tnl\nquote\"'\\", String(repeating: "x", count: 100_000), nil, "NULL", "#millrace#1",
        ]
        try await roundTrip(.text, text(values), expecting: values, sqlType: "VARCHAR")
        try await roundTrip(.other("inet"), text(["::1/128"]), expecting: ["::1/128"], sqlType: "VARCHAR")
        try await roundTrip(.timetz, text(["24:00:00+00"]), expecting: ["24:00:00+00"], sqlType: "VARCHAR")
        let uuid = "00112233-4455-6677-8899-aabbccddeeff"
        try await roundTrip(.uuid, text([uuid, nil]), expecting: [uuid, nil], sqlType: "UUID")
    }

    @Test func blobs() async throws {
        try await roundTrip(
            .bytea, [(.bytes, "", 0), (.bytes, "a\u{0}b", 0), (nil, "", 0), (.text, "\\x00ff", 0)],
            expecting: ["", "a\\x00b", nil, "\\x00\\xFF"], sqlType: "BLOB")
    }

    @Test func dates() async throws {
        try await roundTrip(
            .date, bits(.date, [0, 19_782, .max, .min, -719_163, -2_440_588, 2_145_042_905]),
            expecting: [
                "1970-01-01", "2024-02-29", "infinity", "-infinity", "0001-12-31 (BC)", "4714-11-24 (BC)",
                "5874897-12-31",
            ], sqlType: "DATE")
        try await roundTrip(
            .time, bits(.time, [0, 86_400_000_000, 1]), expecting: ["00:00:00", "24:00:00", "00:00:00.000001"],
            sqlType: "TIME")
    }

    @Test func moments() async throws {
        let values: [Int64?] = [0, 1_709_210_096_123_456, .max, .min, -62_135_596_800_000_001, nil]
        try await roundTrip(
            .timestamp(digits: 6), bits(.timestamp, values),
            expecting: [
                "1970-01-01 00:00:00", "2024-02-29 12:34:56.123456", "infinity", "-infinity",
                "0001-12-31 (BC) 23:59:59.999999",
                nil,
            ], sqlType: "TIMESTAMP")
        try await roundTrip(
            .timestamptz, bits(.timestamptz, values),
            expecting: [
                "1970-01-01 00:00:00+00", "2024-02-29 12:34:56.123456+00", "infinity", "-infinity",
                "0001-12-31 (BC) 23:59:59.999999+00", nil,
            ], sqlType: "TIMESTAMP WITH TIME ZONE")
    }

    @Test func intervals() async throws {
        try await roundTrip(
            .interval,
            text([
                "1 year 2 mons 3 days 04:05:06.789012", "-1 years -2 mons +3 days -04:05:06", "-178000000 years",
                "00:00:00", nil,
            ]),
            expecting: [
                "1 year 2 months 3 days 04:05:06.789012", "-1 year -2 months 3 days -04:05:06", "-178000000 years",
                "00:00:00", nil,
            ],
            sqlType: "INTERVAL")
    }

    @Test func documents() async throws {
        let values: [String?] = [
            #"{"a":1.10,"b":[true,null,"1.5"],"big":12345678901234567890.123}"#, "[]", #""text 7""#, "7.00",
            #"{"a\"b":"x\\\"1","e":1e5}"#, nil,
        ]
        try await roundTrip(.jsonb, json(values), expecting: values, sqlType: "JSON")
        try await roundTrip(.unknown, json([#"{"x":1.0}"#]), expecting: [#"{"x":1.0}"#], sqlType: "JSON")
    }

    @Test func arrays() async throws {
        try await roundTrip(
            .array(.integer), json(["[1,null,-2]", "[]", nil]), expecting: ["[1, NULL, -2]", "[]", nil],
            sqlType: "INTEGER[]")
        try await roundTrip(
            .array(.text), json([#"["a","b,c","NULL",null,"q\"\\","é\n]}"]"#]),
            expecting: [#"[a, 'b,c', 'NULL', NULL, 'q"\\', 'é"# + "\n" + "]}']"], sqlType: "VARCHAR[]")
        try await roundTrip(
            .array(.numeric(precision: 30, scale: 2)), json(["[12345678901234567890.12,1.5]"]),
            expecting: ["[12345678901234567890.12, 1.50]"], sqlType: "DECIMAL(30,2)[]")
        try await roundTrip(
            .array(.numeric(precision: nil, scale: 0)), json(["[1.10,\"NaN\"]"]), expecting: ["[1.10, NaN]"],
            sqlType: "VARCHAR[]")
        try await roundTrip(
            .array(.boolean), json(["[true,false,null]"]), expecting: ["[true, false, NULL]"], sqlType: "BOOLEAN[]")
        try await roundTrip(
            .array(.timestamptz), json([#"["2024-02-29T12:34:56+00:00","infinity","0044-03-15T10:00:00+00:00 BC"]"#]),
            expecting: ["['2024-02-29 12:34:56+00', infinity, '0044-03-15 (BC) 10:00:00+00']"],
            sqlType: "TIMESTAMP WITH TIME ZONE[]")
        try await roundTrip(
            .array(.bytea), json([#"["\\xdead","\\x"]"#]), expecting: [#"['\\xDE\\xAD', '']"#], sqlType: "BLOB[]")
        try await roundTrip(
            .array(.double), json([#"[1.5,"NaN","-Infinity"]"#]), expecting: ["[1.5, nan, -inf]"], sqlType: "DOUBLE[]")
        try await roundTrip(
            .array(.jsonb), json([#"[{"a":1.10},null,"x"]"#]), expecting: [#"[{"a":1.10}, NULL, "x"]"#],
            sqlType: "JSON[]")
        try await roundTrip(
            .array(.interval), json([#"["1 day","+3 days"]"#]), expecting: ["[1 day, 3 days]"], sqlType: "INTERVAL[]")
    }

    @Test func maps() async throws {
        try await roundTrip(
            .other("hstore"), text([#""a"=>"1", "b, c"=>NULL, "q\"\\"=>"=>", "e"=>"""#, "", nil]),
            expecting: [#"{a=1, 'b, c'=NULL, 'q"\\'='=>', e=''}"#, "{}", nil], sqlType: "MAP(VARCHAR, VARCHAR)")
    }

    private static func composite(_ fields: (String, ColumnType)...) throws -> ColumnType {
        try #require(
            CompositeType(name: "public.t", fields: fields.map { .init($0.0, $0.1) }).map(ColumnType.composite))
    }

    @Test func composites() async throws {
        let inner = try Self.composite(("x,\"y'\\", .text), ("n", .numeric(precision: 20, scale: 3)))
        try await roundTrip(
            inner,
            text([
                #"("a ""b"" \\ {},'[]=",12345678901234567.125)"#, "(,)", "(NULL,)", #"("",0)"#, nil,
                "(#millrace#1,0.001)",
            ]),
            expecting: [
                #"{'x,"y\'\\': 'a "b" \\ {},\'[]=', 'n': 12345678901234567.125}"#, #"{'x,"y\'\\': NULL, 'n': NULL}"#,
                #"{'x,"y\'\\': 'NULL', 'n': NULL}"#, #"{'x,"y\'\\': '', 'n': 0.000}"#, nil,
                #"{'x,"y\'\\': #millrace#1, 'n': 0.001}"#,
            ], sqlType: #"STRUCT("x,""y'\" VARCHAR, n DECIMAL(20,3))"#)
        // Out of raw, with members in any order.
        try await roundTrip(
            .array(inner), json([#"[{"n":1.5,"x,\"y'\\":"a"},null,{}]"#, "[]"]),
            expecting: [#"[{'x,"y\'\\': a, 'n': 1.500}, NULL, {'x,"y\'\\': NULL, 'n': NULL}]"#, "[]"],
            sqlType: #"STRUCT("x,""y'\" VARCHAR, n DECIMAL(20,3))[]"#)
        let deep = try Self.composite(
            ("j", .jsonb), ("js", .array(.json)), ("b", .bytea), ("t", .timestamptz), ("i", .interval),
            ("h", .other("hstore")), ("f", .double),
            ("all", .array(try Self.composite(("m", .array(.array(.integer)))))))
        try await roundTrip(
            deep,
            text([
                #"("{""a"":1.10}","{""[1.10]"",NULL}","\\xdead","0044-03-15 10:00:00+00 BC","+1 day","""a""=>""1""",NaN,"{""(\\""{{1,2}}\\"")""}")"#
            ]),
            expecting: [
                #"{'j': '{"a":1.10}', 'js': [[1.10], NULL], 'b': '\\xDE\\xAD', 't': '0044-03-15 (BC) 10:00:00+00', "#
                    + #"'i': 1 day, 'h': {a=1}, 'f': nan, 'all': [{'m': [[1, 2]]}]}"#
            ],
            sqlType:
                "STRUCT(j JSON, js JSON[], b BLOB, t TIMESTAMP WITH TIME ZONE, i INTERVAL, h MAP(VARCHAR, VARCHAR), "
                + "f DOUBLE, \"all\" STRUCT(m INTEGER[][])[])")
    }

    @Test func rowsOfOtherFieldsGoToTheQuarantine() async throws {
        let table = TableDefinition.of([
            ("v", try Self.composite(("a", .integer), ("b", .numeric(precision: 4, scale: 2))))
        ])
        let shop = try await WarehouseFixture([table])
        // Made again, under the engine's own name of the type.
        try await shop.warehouse.ensure([table])
        let values = ["(1,2,3)", "(1)", "x", "(1,NaN)", "(1,2.5)"]
        let outcome = try await shop.apply(
            values.enumerated().map { n, value in
                EventSpec(.create, table.source, version(Int64(n + 1)), after: [.int(Int64(n)), .text(value)])
            })
        #expect(outcome.quarantined == 4)
        let rows = try await shop.rows("SELECT id, CAST(v AS VARCHAR) FROM shop.types")
        #expect(rows == ["4|{'a': 1, 'b': 2.50}"])
        let reasons = try await shop.warehouse.quarantine().map(\.entry.reason)
        #expect(reasons.count { $0.contains("not a row of the fields") } == 3, "\(reasons)")
        #expect(reasons.count { $0.contains("DECIMAL(4,2) can hold") } == 1, "\(reasons)")
        #expect(reasons.allSatisfy { $0.contains("column v") })
    }

    @Test func nestedArraysGoToTheQuarantine() async throws {
        let table = TableDefinition.of([("v", .array(.integer))])
        let shop = try await WarehouseFixture([table])
        let outcome = try await shop.apply([
            EventSpec(.create, table.source, version(1), after: [.int(1), .json("[[1,2],[3,4]]")]),
            EventSpec(.create, table.source, version(2), after: [.int(2), .json("[5]")]),
        ])
        #expect(outcome.quarantined == 1)
        #expect(try await shop.rows("SELECT id, v FROM shop.types") == ["2|[5]"])
        #expect(try await shop.warehouse.quarantine().first?.entry.reason.contains("other dimensions") == true)
    }

    @Test func rawHasTheDecodedValues() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([
            EventSpec(
                .update, TableDefinition.orders.source, version(10), before: [.int(1), .text("a"), .absent],
                after: [.int(1), .null, .unchanged]),
            delete(2, at: 11),
        ])
        #expect(
            try await shop.rows(
                """
                SELECT op, key, other_key, before, after, unchanged, _version_epoch, _version_commit, _version_seq, \
                position, source_tx, epoch_us(source_ts)::BIGINT, loaded_at IS NOT NULL FROM shop_raw.orders ORDER BY op
                """) == [
                    #"d|{"id":2}|∅|{"id":2}|∅|∅|0|11|2|test:0:1|∅|11000000|true"#,
                    #"u|{"id":1}|∅|{"id":1,"status":"a"}|{"id":1,"status":null}|["note"]|0|10|2|test:0:0|∅|10000000|true"#,
                ])
        let types = try await shop.rows(
            "SELECT data_type FROM duckdb_columns() WHERE schema_name = 'shop_raw' ORDER BY column_index")
        #expect(types.count == WarehouseSchema.rawColumns.count && types[0] == "UUID" && types[2] == "JSON")
    }
}

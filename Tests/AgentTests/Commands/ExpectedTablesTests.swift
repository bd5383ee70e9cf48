import JSON
import Replication
import Testing

@testable import Agent

@Suite("Expected tables")
struct ExpectedTablesTests {
    /// Expected JSON, what an engine says, the type.
    static let equal: [(String, String?, ColumnType)] = [
        ("null", nil, .text), ("1", "1", .integer), ("1.00", "1", .numeric(precision: 12, scale: 2)),
        ("-0.010", "-0.01", .numeric(precision: nil, scale: 0)), ("1e3", "1000.00", .numeric(precision: nil, scale: 0)),
        ("12345678901234567890.123456789", "12345678901234567890.1234567890", .numeric(precision: nil, scale: 0)),
        ("\"NaN\"", "nan", .numeric(precision: nil, scale: 0)), ("\"NaN\"", "nan", .double),
        ("\"-Infinity\"", "-inf", .double), ("0.1", "0.1", .double), ("1e-07", "1e-7", .real), ("-0", "-0.0", .double),
        ("true", "t", .boolean), ("true", "true", .boolean), ("false", "0", .boolean),
        ("\"2026-11-22T09:32:32.2\"", "2026-11-22 09:32:32.200", .timestamp(digits: 3)),
        ("\"2026-11-22T09:32:32.199789+00:00\"", "2026-11-22 12:32:32.199789+03", .timestamptz),
        ("\"2026-11-22T00:00:00+00:00\"", "2026-11-21 18:30:00-05:30", .timestamptz),
        ("\"0044-03-15T10:00:00+00:00 BC\"", "0044-03-15 10:00:00+00 (BC)", .timestamptz),
        ("\"infinity\"", "infinity", .timestamptz), ("\"-infinity\"", "-infinity", .date),
        ("\"0044-03-15 BC\"", "0044-03-15 (BC)", .date), ("\"24:00:00\"", "24:00:00", .time),
        ("\"12:30:00.5\"", "12:30:00.500", .time), ("\"12:30:00+00\"", "12:30:00+00:00", .timetz),
        ("\"1 year 2 mons 3 days 04:05:06.789\"", "14 months 3 days 04:05:06.789000", .interval),
        ("\"-04:05:06\"", "-04:05:06", .interval), ("\"00:00:00\"", "00:00:00", .interval),
        ("\"\\\\xDEADbeef\"", "\\xdeadbeef", .bytea), ("\"ABC\"", "ABC", .text), ("\"\"", "", .text),
        ("{\"b\": 1.50, \"a\": [1, null]}", "{\"a\":[1,null],\"b\":1.50}", .jsonb),
        ("\"{\\\"a\\\": 1}\"", "{\"a\":1}", .json), ("\"text\"", "\"text\"", .jsonb),
        ("[1, null, 3]", "{1,NULL,3}", .array(.integer)), ("[1, null, 3]", "[\"1\",null,\"3\"]", .array(.integer)),
        ("[\"a b\", \"x,y\", \"NULL\", \"q\\\"q\"]", "{\"a b\",\"x,y\",\"NULL\",\"q\\\"q\"}", .array(.text)),
        ("[[1, 2], [3, 4]]", "{{1,2},{3,4}}", .array(.integer)), ("[]", "{}", .array(.text)),
        ("[1.50]", "[\"1.5\"]", .array(.numeric(precision: 5, scale: 2))),
        ("{\"a\": 1}", "{\"a\":1}", .unknown), ("\"x\"", "\"x\"", .unknown), ("\"x\"", "x", .unknown),
        ("\"AbC0\"", "abc0", .uuid), ("\"1.5\"", "1.5", .real), ("\"$1.00\"", "$1.00", .other("money")),
        ("\"[(1,2),(3.5,-4)]\"", "[(1.0,2.0),(3.50,-4.0)]", .other("path")),
        ("{\"b\": \"x \\\"y\", \"a\": null}", "\"a\"=>NULL, \"b\"=>\"x \\\"y\"", .other("hstore")),
        ("{\"b\": \"1\", \"a\": null}", "{\"a\":null,\"b\":\"1\"}", .other("hstore")), ("{}", "", .other("hstore")),
    ]

    static let different: [(String, String?, ColumnType)] = [
        ("null", "", .text), ("\"\"", nil, .text), ("1", "2", .integer),
        ("1.1", "1.10001", .numeric(precision: nil, scale: 0)),
        ("12345678901234567890.1", "12345678901234567891.1", .numeric(precision: nil, scale: 0)),
        ("0", "-0.0", .double), ("0.1", "0.10000000000000001665", .text), ("true", "f", .boolean),
        ("\"2026-11-22T09:32:32.199789+00:00\"", "2026-11-22 09:32:32.199788+00", .timestamptz),
        ("\"2026-11-22T09:32:32\"", "2026-11-22 09:32:33", .timestamp(digits: 6)),
        ("\"1 mon\"", "30 days", .interval), ("\"a\"", "A", .text), ("\"a\"", "a ", .text),
        ("{\"a\": 1.5}", "{\"a\": 1.50}", .jsonb), ("{\"a\": \"1\"}", "{\"a\": 1}", .jsonb),
        ("[1, 2]", "{2,1}", .array(.integer)),
        ("[null]", "{\"NULL\"}", .array(.text)), ("\"\\\\xde\"", "\\xdf", .bytea),
        ("\"12:30:00+00\"", "12:30:00+01", .timetz), ("\"(1,2)\"", "(1,2.5)", .other("point")),
        ("\"(1,2)\"", "[1,2]", .other("point")), ("{\"a\": \"1\"}", "\"a\"=>\"2\"", .other("hstore")),
        ("{\"a\": null}", "\"a\"=>\"NULL\"", .other("hstore")),
    ]

    @Test("are equal whoever wrote them", arguments: equal)
    func equality(_ json: String, _ actual: String?, _ type: ColumnType) throws {
        let expected = Canonical.text(expected: try JSONValue(parsing: json), type: type)
        #expect(expected == actual.map { Canonical.text(actual: $0, type: type) })
    }

    @Test("and different where they are", arguments: different)
    func difference(_ json: String, _ actual: String?, _ type: ColumnType) throws {
        let expected = Canonical.text(expected: try JSONValue(parsing: json), type: type)
        #expect(expected != actual.map { Canonical.text(actual: $0, type: type) })
    }

    private let definition = TableDefinition(
        source: TableID(schema: "public", table: "t"), target: "t",
        columns: [
            Column(name: "note", type: .text), Column(name: "id", type: .bigint, isKey: true),
            Column(name: "old", type: .text),
        ], key: [1])

    private func differences(_ rows: [[String?]], keyless: Bool = false) throws -> [String] {
        let expected = try ExpectedTables(
            json: #"{"public.t":[{"id":1,"note":"a"},{"id":2,"note":null},{"id":3,"note":"c"}]}"#)
        var definition = definition
        if keyless { definition.key = [] }
        #expect(expected.definition(of: expected.tables[0], in: [definition]) != nil)
        return ExpectedTables.differences(expected.tables[0], definition: definition, rows: rows).map(\.description)
    }

    @Test("Rows are matched by key, in any order, and cells compared")
    func keyed() throws {
        #expect(try differences([["c", "3", nil], ["a", "1", "x"], [nil, "2", nil]]).isEmpty)
        let found = try differences([["c", "3", nil], ["b", "1", nil], ["", "2", nil], ["d", "4", nil]])
        #expect(
            found == [
                "public.t row 1e0 column note: different", "public.t row 2e0 column note: different",
                "public.t row 4e0: extra",
            ])
        #expect(
            try differences([["a", "1", nil], ["a", "1", nil], ["c", "3", nil]]) == [
                "public.t row 2e0: missing", "public.t row 1e0: extra",
            ])
    }

    @Test("Rows without a key are matched by content, twins counted")
    func keyless() throws {
        #expect(try differences([["c", "3", nil], ["a", "1", "x"], [nil, "2", nil]], keyless: true).isEmpty)
        #expect(try differences([["c", "3", nil], ["c", "3", nil], [nil, "2", nil]], keyless: true).count == 2)
    }

    @Test("A table or column that isn't there is told, unless none is wanted")
    func missing() throws {
        let expected = try ExpectedTables(json: #"{"public.t":[{"id":1,"gone":2}],"public.empty":[]}"#)
        #expect(ExpectedTables.differences(expected.tables[0], definition: nil, rows: []).map(\.kind) == [.noTable])
        #expect(ExpectedTables.differences(expected.tables[1], definition: nil, rows: []).isEmpty)
        let found = ExpectedTables.differences(expected.tables[0], definition: definition, rows: [[nil, "1", nil]])
        #expect(found.map(\.kind) == [.noColumn])
        #expect(
            ExpectedTables.differences(
                expected.tables[0], definition: definition, rows: [[nil, "1", nil]], leavingOut: ["gone"]
            ).isEmpty)
    }

    @Test("Names are quoted in the query")
    func query() {
        var definition = definition
        definition.target = "a\"; drop"
        definition.columns[0].type = .bytea
        let sql = ExpectedTables.query(definition, layout: WarehouseLayout(pipeline: "shop"), engine: "duckdb")
        #expect(sql.hasSuffix("FROM \"shop_live\".\"a\"\"; drop\""))
        #expect(sql.contains("lower(hex(\"note\"))"))
    }
}

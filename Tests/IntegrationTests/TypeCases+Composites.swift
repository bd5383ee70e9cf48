extension TypeCases {
    private static let place = TypeForm.row([
        ("street", .text), ("number", .text), ("at", .text), ("tags", .list(.text)),
    ])
    private static let inner = TypeForm.row([("a b", .text), ("q\"'\\", .text), ("n", .decimal)])
    private static let outer = TypeForm.row([
        ("i", inner), ("all_i", .list(inner)), ("m", .text), ("c", .decimal), ("cs", .list(.decimal)), ("j", .json),
        ("b", .bytes), ("t", .moment), ("d", .date), ("ti", .interval), ("h", .map), ("f", .float),
        ("flags", .list(.bool)), ("times", .list(.moment)), ("u", .text), ("num", .text), ("boxes", .list(.text)),
        ("k", .list(.json)), ("grid", .nested), ("p", place),
    ])

    private static let placeType = #"STRUCT(street VARCHAR, number INTEGER, "at" VARCHAR, tags VARCHAR[])"#
    private static let innerType = #"STRUCT("a b" VARCHAR, "q""'\" INTEGER, n DECIMAL(20,3))"#
    private static let outerType =
        "STRUCT(i \(innerType), all_i \(innerType)[], m VARCHAR, c DECIMAL(12,2), cs DECIMAL(12,2)[], j JSON, b BLOB, "
        + "t TIMESTAMP WITH TIME ZONE, d DATE, ti INTERVAL, h MAP(VARCHAR, VARCHAR), f DOUBLE, flags BOOLEAN[], "
        + "times TIMESTAMP[], u UUID, num VARCHAR, boxes VARCHAR[], k JSON[], grid INTEGER[][], p \(placeType))"

    /// Text that every kind of quoting trips over.
    private static let hostile = "E'q\"\\\\ (x), {y}, [z] ''s'' NULL\\n\\t=>:#millrace#1 ü😀 '"

    static let composites: [TypeCase] = [
        TypeCase(
            "composite", "place",
            [
                "ROW('a \"b\", (c)', 1, '(1,2)', '{x,\"y z\"}')", "ROW(NULL, NULL, NULL, NULL)",
                "ROW('', -1, NULL, '{}')", "ROW('NULL', NULL, NULL, '{NULL,\"NULL\",\"\"}')",
                "ROW(\(hostile), -2147483648, '(1e-300,-0)', ARRAY[\(hostile), 'null'])",
                "ROW(repeat('long \"', 20000), 1, NULL, NULL)",
            ],
            beyond: ["ROW('x', 1, NULL, '{{a},{b}}')"], duckdb: placeType, form: place, isKey: false,
            declared: "text"),
        TypeCase(
            "a_composite", "place[]",
            [
                "ARRAY[ROW('x,y', 1, NULL, NULL)::place, NULL, ROW(NULL, NULL, NULL, NULL)::place, ROW(\(hostile), 2, NULL, '{a}')::place]",
                "'{}'",
            ],
            duckdb: "\(placeType)[]", form: .list(place), isKey: false, declared: "text[]"),
        TypeCase(
            "inner", "\"Inner Row\"",
            [
                "ROW('x', 1, 12345678901234567.125)", "ROW(\(hostile), NULL, -0.001)",
                "ROW('#millrace#1', 0, 99999999999999999.999)",
            ],
            beyond: ["ROW('x', 1, 'NaN')"], duckdb: innerType, form: inner, isKey: false, declared: "text"),
        TypeCase(
            "outer", "outer_row",
            [
                """
                ROW(ROW(\(hostile), 1, 12345678901234567.125), ARRAY[ROW(\(hostile), NULL, 0.1)::"Inner Row", NULL, \
                ROW(NULL, NULL, NULL)::"Inner Row"], 'it''s "bad"', 9999999999.99, '{1.50,NULL}', \
                '{"a": [1.10, "x,\\"y\\"", {"()": null}], "n": 123456789012345678901234567890.10}', '\\x00ff5c22', \
                '2024-02-29 12:00:00.000001+05:30', '0044-03-15 BC', '-1 year 2 days -00:00:01.5', 'a=>1, "b, c"=>NULL', \
                'NaN', '{t,NULL,f}', '{infinity,2024-02-29 12:00:00.5,0044-03-15 10:00:00 BC}', \
                '00112233-4455-6677-8899-aabbccddeeff', '123456789012345678901234567890.1234567890', \
                '{(1,1),(0,0);(3,3),(2,2)}', ARRAY['{"k": [1.10, "}"]}', NULL, '"s"']::json[], '{{1,2},{3,NULL}}', \
                ROW(\(hostile), 7, '(1,2)', ARRAY[\(hostile)]))
                """,
                "ROW(NULL, '{}', NULL, NULL, NULL, '[]', '\\x', '-infinity', 'infinity', '0', '', '-Infinity', '{}', '{}', NULL, 'NaN', NULL, NULL, '{}', ROW(NULL, NULL, NULL, NULL))",
                "ROW(\(Array(repeating: "NULL", count: 20).joined(separator: ", ")))",
            ],
            duckdb: outerType, form: outer, isKey: false, declared: "text"),
        TypeCase(
            "a_outer", "outer_row[]",
            [
                """
                ARRAY[ROW(NULL, ARRAY[ROW(\(hostile), 1, 0.5)::"Inner Row"], 'ok', 1, NULL, '{"x": 1.10}', '\\xff', NULL, NULL, NULL, NULL, \
                0.1, '{f}', NULL, NULL, 1.10, NULL, NULL, NULL, ROW('p', 1, NULL, '{a,"b c"}')), NULL]::outer_row[]
                """
            ], duckdb: "\(outerType)[]", form: .list(outer), isKey: false, declared: "text[]"),
        TypeCase(
            "domain_composite", "home", ["ROW('x', 1, NULL, '{a}')"], duckdb: placeType, form: place, isKey: false,
            declared: "text"),
        TypeCase(
            "table_row", "row_of_table", ["ROW(1, ROW(2, 3))", "ROW(NULL, NULL)"],
            duckdb: "STRUCT(x INTEGER, y VARCHAR)",
            form: .row([("x", .text), ("y", .text)]), isKey: false, declared: "text"),
        // What DuckDB has no row for.
        TypeCase("row_without", "row_without", ["ROW()"], isKey: false, declared: "text"),
        TypeCase("row_of_case", "row_of_case", ["ROW(1, 2)"], declared: "text"),
        TypeCase(
            "a_row_of_case", "row_of_case[]", ["ARRAY[ROW(1, NULL)::row_of_case]"], duckdb: "VARCHAR[]",
            form: .list(.text), declared: "text[]"),
    ]

    /// Keys keep the text: they are equal byte by byte.
    static let compositeKeys: [TypeCase] = [
        TypeCase(
            "composite", "key_row", ["ROW('a \"b\", (c)', 1)", "ROW('', NULL)", "ROW(NULL, NULL)"], declared: "text"),
        TypeCase(
            "a_composite", "key_row[]", ["ARRAY[ROW('x,y', 1)::key_row, NULL]", "'{}'"], duckdb: "VARCHAR[]",
            form: .list(.text), declared: "text[]"),
    ]
}

import JSON
import Testing

@testable import Replication

@Suite struct FieldTextTests {
    enum Value: Sendable {
        case field(Field)
        case text(String)
        case json(String)
        case bytes([UInt8])

        func field(in sample: Sample) -> Field {
            switch self {
            case .field(let field): field
            case .text(let text): sample.text(text)
            case .json(let text): sample.json(text)
            case .bytes(let bytes): sample.bytes(bytes)
            }
        }
    }

    /// A value, its type, and what PostgreSQL 15 says: its text and its `to_jsonb`.
    static let values: [(Value, ColumnType, String, String)] = [
        (.field(.bool(true)), .boolean, "t", "true"), (.field(.bool(false)), .boolean, "f", "false"),
        (.field(.int(-32_768)), .smallint, "-32768", "-32768"),
        (.field(.int(.min)), .bigint, "-9223372036854775808", "-9223372036854775808"),
        (.field(.int(.max)), .bigint, "9223372036854775807", "9223372036854775807"),
        (.field(.int(0)), .integer, "0", "0"),
        (.field(.int(5)), .numeric(precision: 5, scale: 0), "5", "5"),
        (.field(.int(26)), .other("oid"), "26", "\"26\""),
        (.text("1.500"), .numeric(precision: nil, scale: 0), "1.500", "1.500"),
        (.text("NaN"), .numeric(precision: 4, scale: 2), "NaN", "\"NaN\""),
        (.text("-Infinity"), .numeric(precision: nil, scale: 0), "-Infinity", "\"-Infinity\""),
        (.field(.double(12.5)), .numeric(precision: 4, scale: 2), "12.5", "12.5"),
        (
            .text("a\"b\\c\n\t\u{1}\u{7f}/é😀\u{2028}\u{8}\u{c}\r"), .text,
            "a\"b\\c\n\t\u{1}\u{7f}/é😀\u{2028}\u{8}\u{c}\r",
            "\"a\\\"b\\\\c\\n\\t\\u0001\u{7f}/é😀\u{2028}\\b\\f\\r\""
        ),
        (.text(""), .text, "", "\"\""), (.bytes([0, 0xFF, 0x1A, 0xA1]), .bytea, "\\x00ff1aa1", "\"\\\\x00ff1aa1\""),
        (.bytes([]), .bytea, "\\x", "\"\\\\x\""),
        (
            .text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), .uuid,
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""
        ),
        (.text("01:02:03.000001+02:30"), .timetz, "01:02:03.000001+02:30", "\"01:02:03.000001+02:30\""),
        (.text("1 year 2 mons"), .interval, "1 year 2 mons", "\"1 year 2 mons\""),
        (.json("{\"b\":1, \"a\":[2]}"), .json, "{\"b\":1, \"a\":[2]}", "{\"b\":1, \"a\":[2]}"),
        (.json("\"x\""), .jsonb, "\"x\"", "\"x\""), (.text("[1,2)"), .other("int4range"), "[1,2)", "\"[1,2)\""),
        (.json("[1,null,3]"), .array(.integer), "{1,NULL,3}", "[1,null,3]"),
        (.json("[]"), .array(.integer), "{}", "[]"),
        (.json("[[1, 2], [3, 4]]"), .array(.integer), "{{1,2},{3,4}}", "[[1, 2], [3, 4]]"),
        (.json("[true,false,null]"), .array(.boolean), "{t,f,NULL}", "[true,false,null]"),
    ]

    @Test(arguments: values)
    func textAndJSON(_ value: Value, _ type: ColumnType, _ postgres: String, _ json: String) throws {
        let sample = Sample()
        let field = value.field(in: sample)
        #expect(sample.postgres(field, type) == postgres)
        #expect(sample.json(field, type) == json)
        #expect(FieldMisfit.reason(field, type, in: sample.arena) == nil)
        let back = try #require(try sample.decode(json, type))
        #expect(sample.postgres(back, type) == postgres)
        #expect(sample.json(back, type) == json)
    }

    /// Literals as PostgreSQL 15 prints them.
    @Test(arguments: [
        ("{1,NULL,3}", ColumnType.integer, "[1,null,3]"), ("[2:3]={5,6}", .integer, "[5,6]"), ("{}", .text, "[]"),
        ("{{1,2},{3,4}}", .integer, "[[1,2],[3,4]]"),
        (
            #"{"a,b",NULL,"NULL","","x\"y\\z"," sp","{}",a b}"#, .text,
            #"["a,b",null,"NULL","","x\"y\\z"," sp","{}","a b"]"#
        ),
        (#"{"{\"a\": 1}","[1, 2]","null","\"s\"",3}"#, .jsonb, #"[{"a": 1},[1, 2],null,"s",3]"#),
        (
            #"{"2024-02-29 10:34:56.12+00",infinity,"0044-03-15 00:00:00+00 BC"}"#, .timestamptz,
            #"["2024-02-29T10:34:56.12+00:00","infinity","0044-03-15T00:00:00+00:00 BC"]"#
        ),
        ("{t,f,NULL}", .boolean, "[true,false,null]"),
        ("{NaN,1.50,NULL}", .numeric(precision: nil, scale: 0), #"["NaN",1.50,null]"#),
        (#"{"\\x00ff","\\x"}"#, .bytea, #"["\\x00ff","\\x"]"#), ("{1e+15,-0}", .double, "[1e+15,-0]"),
        ("{1,2", .integer, #""{1,2""#), ("{1}}", .integer, #""{1}}""#), ("nope", .integer, #""nope""#),
        ("{,}", .text, #""{,}""#),
    ])
    func literalsBecomeJSON(_ literal: String, _ element: ColumnType, _ json: String) throws {
        let sample = Sample()
        let field = sample.text(literal)
        #expect(sample.postgres(field, .array(element)) == literal)
        #expect(sample.json(field, .array(element)) == json)
        #expect(throws: Never.self) { try JSONValue(parsing: json) }
    }

    @Test(arguments: [
        (
            #"["a,b",null,"NULL","","x\"y\\z"," sp","{}"]"#, ColumnType.text,
            #"{"a,b",NULL,"NULL","","x\"y\\z"," sp","{}"}"#
        ),
        (#"["\u0022\u005c\n\/é\ud83d\ude00"]"#, .text, "{\"\\\"\\\\\n/é😀\"}"),
        (
            #"[{"a": 1}, [1, 2], null, "s", 3, true, ""]"#, .jsonb,
            #"{"{\"a\": 1}","[1, 2]",NULL,"\"s\"",3,"true","\"\""}"#
        ),
        (#"["","","","",""]"#, .jsonb, #"{"\"\"","\"\"","\"\"","\"\"","\"\""}"#),
        (#"["\\x00ff"]"#, .bytea, #"{"\\x00ff"}"#),
        (#"["NaN", 1.50]"#, .numeric(precision: nil, scale: 0), #"{"NaN",1.50}"#),
        ("{}", .text, "{}"), ("[1", .integer, "[1"), ("[1]]", .integer, "[1]]"),
        (#"["\ud800"]"#, .text, #"["\ud800"]"#),
        ("[[[[[[[1]]]]]]]", .integer, "[[[[[[[1]]]]]]]"),
    ])
    func arraysBecomeLiterals(_ json: String, _ element: ColumnType, _ literal: String) {
        let sample = Sample()
        #expect(sample.postgres(sample.json(json), .array(element)) == literal)
    }

    @Test func textThatIsNotOfItsTypeStaysValidJSON() {
        let sample = Sample()
        let numeric = ColumnType.numeric(precision: nil, scale: 0)
        #expect(sample.json(sample.text(".5"), numeric) == "0.5")
        #expect(sample.json(sample.text("+07"), numeric) == "7")
        #expect(sample.json(sample.text("nan"), numeric) == "\"NaN\"")
        #expect(sample.json(sample.text("1 apple"), numeric) == "\"1 apple\"")
        #expect(sample.json(sample.text("1e199999"), numeric) == "1e199999")
        #expect(sample.json(sample.text(".1e199999"), numeric) == "\".1e199999\"")
        #expect(sample.json(sample.text("true"), .boolean) == "true")
        #expect(sample.json(sample.text("maybe"), .boolean) == "\"maybe\"")
        #expect(sample.json(sample.text("soon"), .date) == "\"soon\"")
        #expect(sample.json(sample.text("2024-02-29 12:00:00+02"), .timestamptz) == "\"2024-02-29T10:00:00+00:00\"")
        #expect(sample.json(.null, .text) == "null")
        #expect(sample.json(.absent, .text) == "null")
        #expect(sample.json(.unchanged, .text) == "null")
        #expect(sample.json(Field(kind: .timestamp, bits: 0), .text) == "\"1970-01-01 00:00:00\"")
        #expect(sample.json(sample.json("[1]"), .text) == "\"[1]\"")
        #expect(sample.json(.bool(true), .text) == "\"t\"")
    }

    @Test func longStringsAreEscapedInPieces() throws {
        var random = SampleGenerator(seed: 5)
        for length in [4095, 4096, 4097, 20_000] {
            let text = (0..<length).map { _ in ["a", "\"", "\n", "é", "😀"].randomElement(using: &random) ?? "" }
                .joined()
            let sample = Sample()
            let json = sample.json(sample.text(text), .text)
            #expect(try JSONValue(parsing: json).string == text)
        }
    }

    @Test func jsonNull() {
        let sample = Sample()
        #expect(FieldText.isJSONNull(sample.json(" null "), in: sample.arena))
        #expect(!FieldText.isJSONNull(sample.json("nulls"), in: sample.arena))
        #expect(!FieldText.isJSONNull(sample.json("\"null\""), in: sample.arena))
        #expect(!FieldText.isJSONNull(.null, in: sample.arena))
    }

    @Test(arguments: [
        ("\"x\"", ColumnType.integer), ("1.5", .integer), ("32768", .smallint), ("\"maybe\"", .boolean),
        ("true", .integer), ("\"2024-02-30\"", .date), ("\"00ff\"", .bytea), ("\"\\\\xf\"", .bytea),
        ("\"\\\\xzz\"", .bytea),
        ("1e400", .double), ("{}", .text), ("{}", .array(.integer)), ("\"x\"", .numeric(precision: nil, scale: 0)),
        ("\"\\ud800\"", .text), ("1", .date), ("9223372036854775808", .bigint),
    ])
    func decodingRefuses(_ json: String, _ type: ColumnType) throws {
        let sample = Sample()
        #expect(try sample.decode(json, type) == nil)
    }

    @Test func decodingKeepsWhatItCannotKnow() throws {
        let sample = Sample()
        let string = try #require(try sample.decode(#""a\n""#, .unknown))
        #expect(string.kind == .json)
        #expect(sample.postgres(string, .unknown) == #""a\n""#)
        let null = try #require(try sample.decode("null", .json))
        #expect(null.kind == .null)
        let text = try #require(try sample.decode(#""a\n""#, .text))
        #expect(sample.postgres(text, .text) == "a\n")
    }

    /// What raw has of before a column became one of texts.
    @Test(arguments: [
        ("531", ColumnType.text, "531"), ("12.50", .text, "12.50"),
        ("-9223372036854775808", .text, "-9223372036854775808"),
        ("true", .text, "true"), ("false", .other("character varying(10)"), "false"),
        ("1.5", .other("character varying(10)"), "1.5"),
    ])
    func literalsAreTextsOfATextColumn(_ json: String, _ type: ColumnType, _ text: String) throws {
        let sample = Sample()
        let field = try #require(try sample.decode(json, type))
        #expect(sample.postgres(field, type) == text)
    }

    @Test(
        arguments: [
            (Value.field(.int(32_768)), ColumnType.smallint, false), (.field(.int(-32_768)), .smallint, true),
            (.field(.int(1 << 31)), .integer, false), (.text("a\0b"), .text, false),
            (.text("aaaaaaaaaaaa\0"), .text, false),
            (.text("aaaaaaaaaaaaaaaa"), .text, true), (.text("\0aaaaaaaaaaaa"), .other("citext"), false),
            (.text("123.45"), .numeric(precision: 5, scale: 2), true),
            (.text("1234.5"), .numeric(precision: 5, scale: 2), false),
            (.text("1.234"), .numeric(precision: 5, scale: 2), false),
            (.text("1.2300"), .numeric(precision: 5, scale: 2), true),
            (.text("00001234.5e-1"), .numeric(precision: 5, scale: 2), true),
            (.text("0.0012"), .numeric(precision: 2, scale: 4), true),
            (.text("0.0123"), .numeric(precision: 2, scale: 4), false),
            (.text("12300"), .numeric(precision: 4, scale: -2), true),
            (.text("12345"), .numeric(precision: 4, scale: -2), false),
            (.text("1.23e4"), .numeric(precision: 4, scale: -2), true),
            (.text("NaN"), .numeric(precision: 5, scale: 2), true),
            (.text("Infinity"), .numeric(precision: 5, scale: 2), false),
            (.text("Infinity"), .numeric(precision: nil, scale: 0), true),
            (.text("1e131072"), .numeric(precision: nil, scale: 0), false),
            (.field(.int(123)), .numeric(precision: 2, scale: 0), false),
            (.field(.double(1.25)), .numeric(precision: 3, scale: 2), true),
            (.field(.double(1.255)), .numeric(precision: 3, scale: 2), false), (.field(.double(1e39)), .real, false),
            (.field(.double(.infinity)), .real, true), (.field(Field(kind: .date, bits: -2_440_589)), .date, false),
            (.field(Field(kind: .date, bits: 2_145_042_906)), .date, false),
            (.field(Field(kind: .date, bits: .max)), .date, true),
            (.field(Field(kind: .time, bits: 86_400_000_001)), .time, false),
            (.field(Field(kind: .time, bits: -1)), .time, false),
            (.field(Field(kind: .timestamp, bits: -210_866_803_200_000_001)), .timestamp(digits: 6), false),
            (.field(Field(kind: .timestamp, bits: 1_001)), .timestamp(digits: 3), false),
            (.field(Field(kind: .timestamp, bits: 1_000)), .timestamp(digits: 3), true),
            (.field(Field(kind: .timestamp, bits: 0)), .timestamptz, false),
            (.field(Field(kind: .date, bits: 0)), .timestamp(digits: 6), false),
            (.field(.bool(true)), .integer, false), (.field(.int(1)), .boolean, false), (.field(.int(1)), .text, true),
            (.field(.null), .integer, true), (.field(.unchanged), .integer, true), (.text("no"), .uuid, false),
            (.text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), .uuid, true), (.text("12:00:00"), .timetz, false),
            (.json("{\"a\":"), .json, false), (.json("{\"a\":1}x"), .json, false), (.json("01"), .json, false),
            (.json(""), .json, false),
            (.json(#"{"a":"\u0000"}"#), .json, true), (.json(#"{"a":"\u0000"}"#), .jsonb, false),
            (.json(#""\ud800""#), .jsonb, false), (.json(#""\ud83d\ude00""#), .jsonb, true),
            (.json("[[1,2],[3]]"), .array(.integer), false),
            (.json("[[1,2],[3,4]]"), .array(.integer), true), (.json("[1,[2]]"), .array(.integer), false),
            (.json("[[1],2]"), .array(.integer), false),
            (.json("[[],[]]"), .array(.integer), false), (.json("[[],[]]"), .array(.jsonb), true),
            (.json("[1,\"x\"]"), .array(.integer), false),
            (.json("[32768]"), .array(.smallint), false), (.json("{}"), .array(.integer), false),
            (.json("[\"2024-02-30\"]"), .array(.date), false),
            (.json(#"["\u0000"]"#), .array(.text), false), (.json("[{}]"), .array(.text), false),
            (.bytes([1]), .integer, false),
            (.text("99999"), .smallint, false), (.text("x"), .double, false), (.text("1e999"), .double, false),
            (.text("{1}"), .array(.integer), true),
            (.text("1"), .array(.integer), false),
            (.json(String(repeating: "[", count: 63) + String(repeating: "]", count: 63)), .json, false),
        ] as [(Value, ColumnType, Bool)])
    func misfits(_ value: Value, _ type: ColumnType, _ fits: Bool) {
        let sample = Sample()
        let reason = FieldMisfit.reason(value.field(in: sample), type, in: sample.arena)
        #expect((reason == nil) == fits, "\(reason ?? "fits")")
    }
}

import JSON
import Testing

@testable import Replication

@Suite struct CompositeTextTests {
    private static func composite(_ fields: (String, ColumnType)...) -> ColumnType {
        CompositeType(name: "public.t", fields: fields.map { .init($0.0, $0.1) }).map(ColumnType.composite) ?? .unknown
    }

    private static let address = composite(("street", .text), ("zip code", .integer))
    private static let nested = composite(
        ("at", .timestamptz), ("home", address), ("all", .array(address)), ("j", .jsonb), ("flags", .array(.boolean)))

    /// Literals as PostgreSQL 15 prints them, and its `to_jsonb` of them.
    static let values: [(String, ColumnType, String)] = [
        ("(x,1)", address, #"{"street":"x","zip code":1}"#),
        ("(,)", address, #"{"street":null,"zip code":null}"#),
        (#"("",-2)"#, address, #"{"street":"","zip code":-2}"#),
        (#"("a ""b"" \\ (c), ",)"#, address, #"{"street":"a \"b\" \\ (c), ","zip code":null}"#),
        ("(NULL,)", address, #"{"street":"NULL","zip code":null}"#),
        ("(\"x\ny\t\",7)", address, #"{"street":"x\ny\t","zip code":7}"#),
        ("()", composite(("a", .text)), #"{"a":null}"#), (#"("")"#, composite(("a", .text)), #"{"a":""}"#),
        (
            #"("2024-02-29 12:00:00.5+00","(""x, y"",1)","{""(\\""a \\""\\""b\\"",)"",NULL}","{""k"": 1.10}","{t,f,NULL}")"#,
            nested,
            #"{"at":"2024-02-29T12:00:00.5+00:00","home":{"street":"x, y","zip code":1},"#
                + #""all":[{"street":"a \"b","zip code":null},null],"j":{"k": 1.10},"flags":[true,false,null]}"#
        ),
        (
            "(infinity,,{},,)", nested,
            #"{"at":"infinity","home":null,"all":[],"j":null,"flags":null}"#
        ),
        (
            #"{"(x,1)",NULL,"(,)"}"#, .array(address),
            #"[{"street":"x","zip code":1},null,{"street":null,"zip code":null}]"#
        ),
        (
            "(12345678901234567890.1200,NaN,1e+22,\"\\\\x00ff\")",
            composite(
                ("n", .numeric(precision: nil, scale: 0)), ("m", .numeric(precision: 4, scale: 2)), ("f", .double),
                ("b", .bytea)),
            #"{"n":12345678901234567890.1200,"m":"NaN","f":1e+22,"b":"\\x00ff"}"#
        ),
    ]

    @Test(arguments: values)
    func literalsAndJSON(_ literal: String, _ type: ColumnType, _ json: String) throws {
        let sample = Sample()
        let field = sample.text(literal)
        #expect(sample.postgres(field, type) == literal)
        #expect(sample.json(field, type) == json)
        #expect(FieldMisfit.reason(field, type, in: sample.arena) == nil)
        let back = try #require(try sample.decode(json, type))
        #expect(back.kind == .json)
        #expect(FieldMisfit.reason(back, type, in: sample.arena) == nil)
        #expect(sample.postgres(back, type) == literal, "quoted as Postgres quotes")
        #expect(sample.json(back, type) == json)
    }

    /// Other quoting that Postgres' input function takes.
    @Test(arguments: [
        (#"(a"b,"c,1)"#, #"{"street":"ab,c","zip code":1}"#), (#"(\(\,\),2)"#, #"{"street":"(,)","zip code":2}"#),
        (#"("\"",2)"#, #"{"street":"\"","zip code":2}"#), (#"( x ,1)"#, #"{"street":" x ","zip code":1}"#),
    ])
    func anyQuotingIsRead(literal: String, json: String) {
        let sample = Sample()
        #expect(sample.json(sample.text(literal), Self.address) == json)
    }

    /// Nothing is lost, and raw stays JSON.
    @Test(arguments: [
        "", "(", ")", "()", "(x)", "(x,1", "(x,1,2)", "x,1", "(x,1)y", #"("x,1)"#, #"(x\"#, "(x,1))", "{x,1}",
    ])
    func textThatIsNoLiteralIsAString(literal: String) throws {
        let sample = Sample()
        let json = sample.json(sample.text(literal), Self.address)
        #expect(try JSONValue(parsing: json).string == literal)
        #expect(sample.json(sample.text("(a,b)"), Self.address) == #"{"street":"a","zip code":"b"}"#)
    }

    /// A field that was dropped and another added at the source: the text stands where the JSON is due.
    @Test(arguments: ["{", "1]", "\"", "}{", "nul"]) func brokenJSONInAFieldIsAString(text: String) throws {
        let sample = Sample()
        let type = Self.composite(("j", .json), ("a", .array(.jsonb)))
        let quoted = text.replacing("\"", with: "\"\"")
        let json = sample.json(
            sample.text("(\"\(quoted)\",\"{\"\"\(quoted.replacing("\"\"", with: "\\\\\"\""))\"\"}\")"), type)
        let value = try JSONValue(parsing: json)
        #expect(value["j"]?.string == text)
        #expect(value["a"]?.array?.first?.string == text)
    }

    @Test(
        arguments: [
            (#"{"street":"x"}"#, nil), (#"{"zip code":1,"street":"x"}"#, nil), (#"{"more":null}"#, nil), ("{}", nil),
            (#"{"more":1}"#, "has a value in the field \"more\" that the column lacks"),
            ("[1]", "not an object of public.t"), (#""(x,1)""#, "not an object of public.t"),
            (#"{"street":"x"} "#, nil), (#"{"street":"x"}}"#, "not an object of public.t"),
        ] as [(String, String?)])
    func fieldsAreToldByName(json: String, reason: String?) {
        let sample = Sample()
        #expect(FieldMisfit.reason(sample.json(json), Self.address, in: sample.arena) == reason)
        let array = sample.json("[\(json)]")
        #expect(FieldMisfit.reason(array, .array(Self.address), in: sample.arena) == nil || reason != nil)
    }

    /// A row that had other fields when it was written has those in its text.
    @Test func theObjectsFieldsMakeTheLiteral() {
        let sample = Sample()
        #expect(sample.postgres(sample.json(#"{"zip code": 1, "street": "x y"}"#), Self.address) == #"(1,"x y")"#)
        #expect(
            sample.postgres(sample.json(#"{"zip code": 1, "more": "(", "no": null}"#), Self.address) == #"(1,"(",)"#)
    }

    /// Out of raw and back, whatever is in it: the text is the one that Postgres prints.
    @Test func generatedRowsSurvive() throws {
        var random = SampleGenerator(seed: 3)
        for _ in 0..<500 {
            let type = ColumnType.random(depth: 0, &random)
            guard type.composite != nil, let literal = PostgresPrinter.text(type, &random) else { continue }
            let sample = Sample()
            let json = sample.json(sample.text(literal), type)
            _ = try JSONValue(parsing: json)
            let back = try #require(try sample.decode(json, type), "\(json)")
            #expect(sample.postgres(back, type) == literal, "\(type.stored): \(json)")
            #expect(sample.json(back, type) == json)
        }
    }
}

/// Values as Postgres' output functions write them, made apart from what is tested.
private enum PostgresPrinter {
    /// Nil: NULL.
    static func text(_ type: ColumnType, _ random: inout SampleGenerator) -> String? {
        if Int.random(in: 0..<6, using: &random) == 0 { return nil }
        switch type {
        case .composite(let composite):
            let fields = composite.fields.map { field -> String in
                guard let value = text(field.type, &random) else { return "" }
                guard
                    value.isEmpty
                        || value.unicodeScalars.contains(where: {
                            "\"\\(), \t\n\r\u{b}\u{c}".unicodeScalars.contains($0)
                        })
                else { return value }
                return "\"" + escaped(value, quote: "\"\"", backslash: "\\\\") + "\""
            }
            return "(" + fields.joined(separator: ",") + ")"
        case .array:
            // As declared: of one length in each dimension.
            var dimensions = 0
            var element = type
            while case .array(let inner) = element {
                dimensions += 1
                element = inner
            }
            if Int.random(in: 0..<5, using: &random) == 0 || dimensions > 6 { return "{}" }
            return array(element, Array(repeating: Int.random(in: 1...2, using: &random), count: dimensions), &random)
        case .text: return String.hostile(&random)
        case .integer, .bigint: return String(Int.random(in: -99...99, using: &random))
        case .boolean: return Bool.random(using: &random) ? "t" : "f"
        case .numeric, .double: return ["1.50", "-0.001", "NaN", "12345678901234567.125"].randomElement(using: &random)
        case .timestamptz:
            return ["2024-02-29 12:00:00.5+00", "infinity", "0044-03-15 00:00:00+00 BC"].randomElement(using: &random)
        case .timestamp: return ["2024-02-29 12:00:00", "-infinity"].randomElement(using: &random)
        case .date: return ["2024-02-29", "0044-03-15 BC"].randomElement(using: &random)
        case .jsonb: return [#"{"a": [1.10, "x,\"y"]}"#, "[]", "\"s\"", "12", "true"].randomElement(using: &random)
        case .bytea: return ["\\x", "\\x00ff"].randomElement(using: &random)
        case .interval: return "1 day -00:00:01"
        default: return "(1,2)"
        }
    }

    private static func array(_ element: ColumnType, _ lengths: [Int], _ random: inout SampleGenerator) -> String {
        let items = (0..<lengths[0]).map { _ -> String in
            if lengths.count > 1 { return array(element, Array(lengths.dropFirst()), &random) }
            guard let value = text(element, &random) else { return "NULL" }
            guard
                value.isEmpty || value.lowercased() == "null"
                    || value.unicodeScalars.contains(where: { "\"\\{}, \t\n\r\u{b}\u{c}".unicodeScalars.contains($0) })
            else { return value }
            return "\"" + escaped(value, quote: "\\\"", backslash: "\\\\") + "\""
        }
        return "{" + items.joined(separator: ",") + "}"
    }

    private static func escaped(_ text: String, quote: String, backslash: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += quote
            case "\\": out += backslash
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}

import Testing

@testable import Replication

@Suite struct CompositeTypeTests {
    private static func composite(_ name: String, _ fields: (String, ColumnType)...) -> ColumnType {
        CompositeType(name: name, fields: fields.map { .init($0.0, $0.1) }).map(ColumnType.composite) ?? .unknown
    }

    private static let address = composite("public.address", ("street", .text), ("zip code", .integer))

    static let types: [(ColumnType, String)] = [
        (address, #"public.address{"street" text,"zip code" integer}"#),
        (.array(.array(address)), #"public.address{"street" text,"zip code" integer}[][]"#),
        (
            composite(
                "t", ("a", .numeric(precision: 12, scale: 2)), ("b", .array(.array(.timestamp(digits: 3)))),
                ("c", .array(address)), ("d", .other("character varying(5)")), ("e", .unknown)),
            #"t{"a" numeric(12,2),"b" timestamp(3)[][],"c" public.address{"street" text,"zip code" integer}[],"#
                + #""d" character varying(5),"e" unknown}"#
        ),
        (
            composite(
                #"public."we{ird, ""t}ype""#, (#"quote"s "" "#, .text), ("{}[],() '\\", .other(#"public."x{"",""}""#)),
                ("\u{301}mark", .json), (" blanks  two ", .other("\"Odd  Type\""))),
            #"public."we{ird, ""t}ype"{"quote""s """" " text,"{}[],() '\" public."x{"",""}","#
                + "\"\u{301}mark\" json,\" blanks  two \" \"Odd  Type\"}"
        ),
    ]

    @Test(arguments: types) func storedFormsReadBack(type: ColumnType, stored: String) {
        #expect(type.stored == stored)
        #expect(ColumnType(stored: stored) == type)
        #expect(ColumnType(sql: stored) == type)
        #expect(!type.sql.contains("text,"), "what users see is the name alone")
    }

    @Test func generatedTypesReadBack() {
        var random = SampleGenerator(seed: 11)
        for _ in 0..<2000 {
            let type = ColumnType.random(depth: 0, &random)
            #expect(ColumnType(stored: type.stored) == type, "\(type.stored)")
        }
    }

    /// A definition of before composites were known, and what isn't a stored form.
    @Test(arguments: [
        "public.address", "public.\"a{b\"", "\"a{b}\"", "x{}", #"x{"a" text"#, #"x{"a" text}y"#, #"x{"a" text,}"#,
        #"x{a text}"#,
        #"x{"a"text}"#, #"x{"a" text}[2]"#, #"x{"a" text,"A" text}"#, #"{"a" text}"#, "ENUM('a{')",
    ])
    func otherNamesStayNames(name: String) {
        #expect(ColumnType(stored: name) == .other(name))
    }

    @Test func whatNoStructCanHoldIsNone() {
        #expect(CompositeType(name: "t", fields: []) == nil)
        #expect(CompositeType(name: "t", fields: [.init("a", .text), .init("A", .text)]) == nil)
        #expect(CompositeType(name: "t", fields: [.init("ä", .text), .init("Ä", .text)]) != nil)
    }

    @Test func laterFieldsGoBehindThoseThatAreThere() {
        let before = Self.composite("t", ("a", .integer), ("in", .array(Self.address)), ("b", .text))
        let country = Self.composite("public.address", ("country", .text), ("street", .text))
        let after = Self.composite("t", ("c", .date), ("a", .bigint), ("in", .array(country)))
        let wider = Self.composite("public.address", ("street", .text), ("zip code", .integer), ("country", .text))
        #expect(
            before.widened(by: after)
                == Self.composite("t", ("a", .integer), ("in", .array(wider)), ("b", .text), ("c", .date)))
        #expect(before.widened(by: before) == before)
        #expect(ColumnType.array(before).widened(by: .array(after)) == .array(before.widened(by: after)))
        #expect(before.widened(by: Self.composite("other", ("x", .text))) == before)
        #expect(before.widened(by: Self.composite("t", ("A", .text))) == before, "no STRUCT has a and A")
        #expect(ColumnType.other("t").widened(by: after) == .other("t"))
        let many = (0..<CompositeType.fields_max).map { CompositeType.Field("f\($0)", .text) }
        let full = CompositeType(name: "t", fields: many).map(ColumnType.composite) ?? .unknown
        #expect(full.widened(by: after) == full)
    }

    @Test func keysKeepTheText() {
        #expect(Self.address.withoutComposites == .other("public.address"))
        #expect(ColumnType.array(Self.address).withoutComposites == .array(.other("public.address")))
        #expect(ColumnType.array(.integer).withoutComposites == .array(.integer))
    }
}

extension ColumnType {
    /// With hostile names, composites and arrays in each other.
    static func random(depth: Int, _ random: inout SampleGenerator) -> ColumnType {
        let plain: [ColumnType] = [
            .text, .integer, .bigint, .boolean, .numeric(precision: 20, scale: 3), .numeric(precision: nil, scale: 0),
            .double, .timestamptz, .timestamp(digits: 6), .date, .jsonb, .bytea, .interval, .other("point"),
        ]
        switch Int.random(in: 0..<(depth < 3 ? 6 : 3), using: &random) {
        case 3:
            let element = ColumnType.random(depth: depth + 1, &random)
            // `to_jsonb` doesn't tell the dimensions of json[][] from JSON's own arrays.
            if case .array(.jsonb) = element { return element }
            return .array(element)
        case 4, 5:
            let count = Int.random(in: 1...4, using: &random)
            let fields = (0..<count).map { n in
                CompositeType.Field(String.hostile(&random) + String(n), .random(depth: depth + 1, &random))
            }
            let quoted = String.hostile(&random).utf8.split(separator: 0x22, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\"\"")
            let name = "public.\"\(quoted)t\""
            return CompositeType(name: name, fields: fields).map(ColumnType.composite) ?? .text
        default: return plain[Int.random(in: 0..<plain.count, using: &random)]
        }
    }
}

extension String {
    /// What quoting rules trip over.
    static func hostile(_ random: inout SampleGenerator) -> String {
        let pieces = [
            "\"", "\\", ",", "(", ")", "{", "}", "[", "]", " ", "'", "\n", "\t", "a", "B", "null", "NULL", "ä", "😀",
            "\u{301}", "1", "=>", ";",
        ]
        return (0..<Int.random(in: 0...6, using: &random)).map { _ in
            pieces[Int.random(in: 0..<pieces.count, using: &random)]
        }.joined()
    }
}

import Testing

@testable import JSON

@Suite("JSON as RFC 8259 has it")
struct ConformanceTests {
    static let accepted = [
        "null", "true", "false", "0", "-0", " 1 ", "-1", "1.5", "-0.0", "1E21", "1e+2", "1.0e-2", "[]", "{}", " [ ] ",
        #""""#, #""a""#, #""\"\\\/\b\f\n\r\t""#, #""\u0041\u00e9\u20AC\uD83D\uDE00""#, #""\u0000""#, "\"\u{7F}\"",
        "\"täble ñ \u{1F600}\"", "[1]", "[1,2]", "[[],[[]],{}]", #"{"a":1}"#, #"{"a":1,"a":2}"#, #"{"":0}"#,
        "\t{\r\n\"a\" : [ 1 , 2 ] }\n", "12345678901234567890123456789", "[\"\u{2028}\"]",
        "0.00000000000000000000000000001", "[0,-0,0.0,10,100000000,12345678,123456789]", "\"\u{FFFF}\"",
    ]

    static let refused: [(String, JSONError.Reason)] = [
        ("", .empty), (" \n", .empty), ("[", .truncated), ("{", .truncated), (#"{"a""#, .truncated),
        (#"{"a":"#, .truncated), (#"{"a":1"#, .truncated), (#"{"a":1,"#, .truncated), (#"{"a":tru"#, .truncated),
        (#"{"a":"b"#, .truncated), ("[1", .truncated), ("[1,", .truncated), ("\"", .truncated), (#""\"#, .truncated),
        ("[1,]", .badStructure), ("[,1]", .badStructure), ("[1 2]", .badStructure), (#"{"a" 1}"#, .badStructure),
        (#"{"a":1,}"#, .badStructure), (#"{"a":}"#, .badStructure), (#"{1:1}"#, .badStructure),
        (#"{"a":1]"#, .badStructure), (#"["a":1]"#, .badStructure), ("]", .badStructure), (":", .badStructure),
        (#"{"a"}"#, .badStructure), (#"{:1}"#, .badStructure), ("{,}", .badStructure), ("[1}", .badStructure),
        (#"{"a":1 "b":2}"#, .badStructure), ("{null:1}", .badStructure),
        ("1 2", .trailingContent), ("{}{}", .trailingContent), ("[]]", .trailingContent), ("null,", .trailingContent),
        ("01", .badNumber), ("-", .badNumber), ("1.", .badNumber), ("-01", .badNumber), ("1e", .badNumber),
        ("1e+", .badNumber), ("1.e1", .badNumber), ("0x1", .badNumber), ("1a", .badNumber), ("--1", .badNumber),
        ("1_0", .badNumber), ("1e1.5", .badNumber), ("[-a]", .badNumber), ("12345678:", .trailingContent),
        (".5", .badLiteral), ("+1", .badLiteral), ("nul", .badLiteral), ("nulll", .badLiteral), ("True", .badLiteral),
        ("NaN", .badLiteral), ("Infinity", .badLiteral), ("'a'", .badLiteral), ("[a]", .badLiteral),
        ("/**/1", .badLiteral), ("\u{FEFF}1", .badLiteral), ("nullx", .badLiteral), ("[true\"\"]", .badLiteral),
        ("[\u{0C}1]", .badLiteral), ("[1\u{0C}]", .badStructure), ("[1\u{1}]", .badNumber), ("\u{A0}1", .badLiteral),
        (#""\x""#, .badString), (#""\u12""#, .badString), (#""\u12G4""#, .badString), (#""\U0041""#, .badString),
        ("\"a\nb\"", .badString), ("\"a\tb\"", .badString), ("\"\u{0}\"", .badString), (#"{"\q":1}"#, .badString),
        (#"["a"b]"#, .badStructure), (#"["a""b"]"#, .badStructure),
    ]

    @Test(arguments: accepted)
    func accepts(text: String) throws {
        let value = try JSONValue(parsing: text)
        #expect(value == ReferenceJSON.parse(Array(text.utf8)))
        #expect(try JSONValue(parsing: value.serialized) == value)
    }

    @Test(arguments: refused)
    func refuses(text: String, why: JSONError.Reason) throws {
        #expect(try reason(text) == why)
        #expect(ReferenceJSON.parse(Array(text.utf8)) == nil)
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22], [0x22, 0x80, 0x22], [0x31, 0xC3],
        ] as [[UInt8]])
    func refusesWhatIsNotUTF8(bytes: [UInt8]) throws {
        let padded = Padded(bytes)
        defer { withExtendedLifetime(padded) {} }
        #expect(throws: JSONError.self) { try JSONParser().parse(padded.document) }
    }

    @Test func depthIsBounded() throws {
        let deepest = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(try reason(deepest) == nil)
        #expect(try reason("[\(deepest)]") == .tooDeep)
        #expect(try reason(String(repeating: #"{"a":"#, count: 65)) == .tooDeep)
        #expect(try reason(String(repeating: "[", count: 3_000_000)) == .tooDeep)
        #expect(try reason(String(repeating: "[]", count: 1_000_000)) == .trailingContent)
    }

    @Test func depthIsBoundedInSkippedParts() throws {
        let parser = try JSONParser(skipping: ["s"])
        defer { withExtendedLifetime(parser) {} }
        func tooDeep(_ levels: Int) -> JSONError.Reason? {
            let nest = String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
            let padded = Padded(Array(#"{"s":\#(nest)}"#.utf8))
            defer { withExtendedLifetime(padded) {} }
            do {
                _ = try parser.parse(padded.document)
                return nil
            } catch {
                return error.reason
            }
        }
        #expect(tooDeep(63) == nil)
        #expect(tooDeep(64) == .tooDeep)
    }

    @Test func whatLiesBehindTheDocumentIsNotRead() throws {
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        for text in ["12", "-", "[1", "tru", "\"ab", "{\"a\":1", "1."] {
            for padding: UInt8 in [0x30, 0x22, 0x5D, 0x7D, 0x65] {
                let padded = Padded(Array(text.utf8), padding: padding)
                defer { withExtendedLifetime(padded) {} }
                let tape = try? parser.parse(padded.document)
                #expect((tape != nil) == (text == "12"))
                #expect(tape.map { $0.rawValue(0).count } ?? 2 == 2)
            }
        }
    }
}

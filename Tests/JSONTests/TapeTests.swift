import Testing

@testable import JSON

@Suite("The tape")
struct TapeTests {
    @Test func namesValuesInDocumentOrder() throws {
        let padded = Padded(Array(#" {"a":[1,{"b":"x\n"}], "c\u0064":null,"e":2.5}"#.utf8))
        defer { withExtendedLifetime(padded) {} }
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        let tape = try parser.parse(padded.document)
        #expect(tape.kind(tape.root) == .object)
        #expect(tape.childCount(tape.root) == 3)
        #expect(tape.next(tape.root) == tape.count)
        let members = Array(tape.children(tape.root))
        #expect(members.map { tape.key($0) } == ["a", "cd", "e"])
        #expect(members.map { tape.kind($0) } == [.array, .null, .fraction])
        #expect(tape.isKeyEscaped(members[1]) && tape.key(members[1], equals: "cd"))
        #expect(!tape.key(members[1], equals: "cx") && !tape.key(members[0], equals: "ab"))
        #expect(String(decoding: tape.rawValue(members[0]), as: UTF8.self) == #"[1,{"b":"x\n"}]"#)
        #expect(tape.children(members[0]).map { tape.kind($0) } == [.integer, .object])
        let b = try #require(tape.find("b", in: 3))
        #expect(tape.isEscaped(b) && tape.string(b) == "x\n")
        #expect(tape.find("b", in: tape.root) == nil)
        #expect(tape.find("b", in: members[1]) == nil)
        #expect(tape.key(tape.root) == nil && tape.rawKey(tape.root).isEmpty)
        #expect(tape.string(members[2]) == nil && tape.int64(members[2]) == nil)
    }

    @Test(arguments: [
        ("9223372036854775807", Int64.max), ("-9223372036854775808", Int64.min), ("0", 0), ("-0", 0), ("-1", -1),
        ("9007199254740993", 9_007_199_254_740_993), ("9223372036854775808", nil), ("-9223372036854775809", nil),
        ("18446744073709551616", nil), ("99999999999999999999999", nil), ("1.0", nil), ("1e3", nil), ("\"1\"", nil),
    ])
    func integersAreExactOrNil(text: String, wanted: Int64?) throws {
        let padded = Padded(Array(text.utf8))
        defer { withExtendedLifetime(padded) {} }
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        let tape = try parser.parse(padded.document)
        #expect(tape.int64(tape.root) == wanted)
    }

    @Test func skippedMembersAreOneToken() throws {
        let parser = try JSONParser(skipping: ["schema"])
        defer { withExtendedLifetime(parser) {} }
        let first = Padded(Samples.all[2])
        defer { withExtendedLifetime(first) {} }
        var tape = try parser.parse(first.document)
        let id = tape.skippedID
        #expect(id != 0)
        for _ in 0..<3 {
            let schema = try #require(tape.find("schema", in: tape.root))
            #expect(tape.kind(schema) == .skipped && Array(tape.children(schema)) == [])
            #expect(tape.childCount(tape.root) == 2)
            let payload = try #require(tape.find("payload", in: tape.root))
            #expect(tape.string(try #require(tape.find("op", in: payload))) == "c")
            #expect(tape.skippedID == id)
            let raw = try JSONValue(tape, schema)
            #expect(raw["name"] == "dbz.public.t.Envelope")
            tape = try parser.parse(first.document)
        }
        let other = Padded(Array(Samples.schemed.replacing("public.t", with: "public.u").utf8))
        defer { withExtendedLifetime(other) {} }
        #expect(try parser.parse(other.document).skippedID != id)
        #expect(try parser.parse(first.document).skippedID == id)
    }

    @Test func onlyContainersAtTheTopAreSkipped() throws {
        let parser = try JSONParser(skipping: ["schema"])
        defer { withExtendedLifetime(parser) {} }
        let texts = [#"{"schema":null,"a":1}"#, #"{"a":{"schema":{"b":1}}}"#, #"[{"schema":{}}]"#, #"{"schema":"x"}"#]
        for text in texts {
            let padded = Padded(Array(text.utf8))
            defer { withExtendedLifetime(padded) {} }
            let tape = try parser.parse(padded.document)
            #expect(!(0..<tape.count).contains { tape.kind($0) == .skipped })
            #expect(tape.skippedID == 0)
        }
    }

    @Test func skippedPartsAreBalanced() throws {
        let parser = try JSONParser(skipping: ["s"])
        defer { withExtendedLifetime(parser) {} }
        for text in [#"{"s":[1,2}}"#, #"{"s":{"a":[}]}"#, #"{"s":[[]}"#, #"{"s":[[]"#, #"{"s":["]"}"#] {
            let padded = Padded(Array(text.utf8))
            defer { withExtendedLifetime(padded) {} }
            #expect(throws: JSONError.self) { try parser.parse(padded.document) }
        }
        // Behind another member it is skipped too, only not remembered.
        let later = Padded(Array(#"{"a":1,"s":["]",{"x":"}"}],"b":2}"#.utf8))
        defer { withExtendedLifetime(later) {} }
        let tape = try parser.parse(later.document)
        #expect(tape.children(0).map { tape.kind($0) } == [.integer, .skipped, .integer] && tape.skippedID == 0)
    }

    @Test func moreSchemasThanAreRemembered() throws {
        let parser = try JSONParser(skipping: ["schema"])
        defer { withExtendedLifetime(parser) {} }
        var ids: Set<UInt32> = []
        for round in 0..<3 {
            for i in 0..<50 {
                let padded = Padded(Array(#"{"schema":{"n":\#(i)},"payload":\#(round)}"#.utf8))
                defer { withExtendedLifetime(padded) {} }
                let tape = try parser.parse(padded.document)
                ids.insert(tape.skippedID)
                #expect(tape.int64(try #require(tape.find("payload", in: 0))) == Int64(round))
                #expect(try JSONValue(tape, 1) == ["n": .number("\(i)")])
            }
        }
        #expect(!ids.contains(0) && ids.count >= 50)
    }

    @Test func largeDocumentsAndSmallOnesAfterThem() throws {
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        let large = Padded(Array("[\(String(repeating: "\"0123456789\",", count: 1_000_000))0]".utf8))
        defer { withExtendedLifetime(large) {} }
        let tape = try parser.parse(large.document)
        #expect(tape.count == 1_000_002 && tape.childCount(0) == 65535)
        for sample in Samples.all { #expect(parsed(sample, with: parser) == ReferenceJSON.parse(sample)) }
    }

    @Test func uncheckedEscapesCanBeCheckedLater() throws {
        let parser = try JSONParser(checksEscapes: false)
        defer { withExtendedLifetime(parser) {} }
        let padded = Padded(Array(#"{"a":"\x","b":["\n"],"\q":1}"#.utf8))
        defer { withExtendedLifetime(padded) {} }
        let tape = try parser.parse(padded.document)
        #expect(tape.children(0).map { tape.escapesAreValid($0) } == [false, true, false])
        #expect(tape.string(1) == nil)
    }
}

import Testing

@testable import JSON

@Suite("JSON strings")
struct StringTests {
    func unescaped(_ text: String) -> String? {
        let raw = Array(text.utf8)
        return raw.withUnsafeBytes { raw in
            withUnsafeTemporaryAllocation(byteCount: max(raw.count, 1), alignment: 1) { room in
                room.baseAddress.flatMap { JSONString.unescape(raw, into: $0) }
                    .map { String(decoding: room[..<$0], as: UTF8.self) }
            }
        }
    }

    @Test(arguments: [
        ("", ""), ("plain", "plain"), (#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{C}\n\r\t"), (#"\u0041\u00e9\u20ac"#, "Aé€"),
        (#"\uD83D\uDE00 and \uDBFF\uDFFF"#, "\u{1F600} and \u{10FFFF}"), (#"täble ñ\n"#, "täble ñ\n"),
        (#"0123456789abcdef\n0123456789abcdef\t"#, "0123456789abcdef\n0123456789abcdef\t"),
        (#"{\"a\":\"\\\"\\\\n\"}"#, #"{"a":"\"\\n"}"#), (#"\\\\\\\\\\\\\\\\"#, #"\\\\\\\\"#), (#"\u0000"#, "\0"),
        (#"\uD7FF\uE000\uFFFF"#, "\u{D7FF}\u{E000}\u{FFFF}"),
    ])
    func unescapes(raw: String, wanted: String) { #expect(unescaped(raw) == wanted) }

    @Test(arguments: [
        #"\uD83D"#, #"\uDE00"#, #"\uD83Dx"#, #"\uD83D\n"#, #"\uD83D\uD83D"#, #"\uDE00\uD83D"#, #"\uD83D\u0041"#,
        #"\x"#, #"\"#, #"\u"#, #"\u12"#, #"\u12g4"#, #"abcdefghijk\"#, #"\uD83D\uDE0"#, #"\u+123"#, #"\N"#,
    ])
    func refuses(raw: String) { #expect(unescaped(raw) == nil) }

    /// Neither reads nor writes outside of its bounds, whatever the lengths: guarded by neighbours.
    @Test func staysInItsBounds() {
        for length in 0..<40 {
            for at in 0...length {
                let before = String(repeating: "a", count: at)
                let behind = String(repeating: "b", count: length - at)
                let raw = Array((before + "\\n" + behind).utf8)
                var room = [UInt8](repeating: 0xEE, count: raw.count + 16)
                let written = raw.withUnsafeBytes { raw in
                    room.withUnsafeMutableBytes { room in
                        room.baseAddress.flatMap { JSONString.unescape(raw, into: $0 + 8) }
                    }
                }
                #expect(written == length + 1)
                #expect(room[..<8].allSatisfy { $0 == 0xEE } && room[(8 + raw.count)...].allSatisfy { $0 == 0xEE })
            }
        }
    }

    @Test func halfAPairIsNoText() throws {
        let padded = Padded(Array(#"{"\uD800":"\uDC00"}"#.utf8))
        defer { withExtendedLifetime(padded) {} }
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        let tape = try parser.parse(padded.document)
        #expect(tape.string(1) == nil && tape.key(1) == nil && !tape.key(1, equals: "x"))
        #expect(throws: JSONError(reason: .loneSurrogate, offset: 11)) { try JSONValue(tape, 0) }
    }

    @Test func whatIsEscapedReadsBack() throws {
        var random = SeededBytes(seed: 7)
        for _ in 0..<2000 {
            let scalars = (0..<Int.random(in: 0...40, using: &random)).map { _ -> UnicodeScalar in
                let small = Bool.random(using: &random)
                return UnicodeScalar(UInt32.random(in: 0...(small ? 0x7F : 0x10FFFF), using: &random)) ?? "\\"
            }
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars)
            let json = JSONValue.string(text).serialized
            #expect(try JSONValue(parsing: json).string?.unicodeScalars.elementsEqual(scalars) == true)
            #expect(json.utf8.allSatisfy { $0 >= 0x20 })
        }
    }
}

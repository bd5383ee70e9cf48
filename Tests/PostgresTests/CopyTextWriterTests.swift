import Testing

@testable import Postgres

@Suite struct CopyTextWriterTests {
    private func text(_ writer: CopyTextWriter) -> String { String(decoding: writer.bytes, as: UTF8.self) }

    @Test func fieldsOfAllKinds() throws {
        let writer = CopyTextWriter()
        writer.field("a\tb\\c\nd\re")
        writer.null()
        writer.field("")
        writer.field(Int64.min)
        writer.field(UInt64.max)
        writer.field(0)
        writer.field(true)
        [UInt8]([0, 10, 255]).withUnsafeBytes { writer.bytea($0) }
        try writer.endLine()
        writer.field(false)
        Array("\\N".utf8).withUnsafeBytes { writer.encodedField($0) }
        try writer.endLine()
        #expect(
            text(writer)
                == "a\\tb\\\\c\\nd\\re\t\\N\t\t-9223372036854775808\t18446744073709551615\t0\tt\t\\\\x000aff\nf\t\\N\n"
        )
    }

    @Test func numbersOfEveryLength() throws {
        let writer = CopyTextWriter()
        var number: UInt64 = 1
        for _ in 0..<19 {
            for candidate in [number - 1, number, number + 1] {
                writer.removeAll()
                writer.field(candidate)
                #expect(text(writer) == String(candidate))
                writer.removeAll()
                writer.field(-Int64(candidate))
                #expect(text(writer) == String(-Int64(candidate)))
            }
            number *= 10
        }
    }

    /// Against a plain implementation, all bytes in all places of the eight that are looked at together.
    @Test func escapesAsByteByByte() {
        var random = SystemRandomNumberGenerator()
        let writer = CopyTextWriter(flushAt: 1024)
        let interesting: [UInt8] = [0x5C, 0x09, 0x0A, 0x0D, 0x01, 0x0E, 0x08, 0x5D, 0x5B, 0x89, 0xDC, 0x7F, 0xFF, 0x61]
        for length in 0..<400 {
            let bytes = (0..<length).map { _ in
                Bool.random(using: &random) ? interesting.randomElement(using: &random) ?? 0 : UInt8.random(in: 0...255)
            }
            var expected: [UInt8] = []
            for byte in bytes {
                switch byte {
                case 0x5C: expected += [0x5C, 0x5C]
                case 0x09: expected += Array("\\t".utf8)
                case 0x0A: expected += Array("\\n".utf8)
                case 0x0D: expected += Array("\\r".utf8)
                default: expected.append(byte)
                }
            }
            writer.removeAll()
            bytes.withUnsafeBytes { writer.field($0) }
            #expect(Array(writer.bytes) == expected)
        }
    }

    @Test func handsOnWhenFullAndKeepsOrder() throws {
        let writer = CopyTextWriter(flushAt: 1000)
        var pieces: [Int] = []
        var all: [UInt8] = []
        writer.sink = { bytes in
            pieces.append(bytes.count)
            all += bytes
        }
        for number in 0..<1000 {
            writer.field(number)
            try writer.endLine()
        }
        try writer.flush()
        #expect(String(decoding: all, as: UTF8.self) == (0..<1000).map { "\($0)\n" }.joined())
        #expect(pieces.dropLast().allSatisfy { $0 >= 1000 && $0 < 1010 })
    }
}

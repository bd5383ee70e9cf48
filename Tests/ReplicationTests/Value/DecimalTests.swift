import Testing

@testable import Replication

@Suite struct DecimalTests {
    static func text(_ bytes: [UInt8], scale: Int) -> String? {
        let arena = ByteArena()
        return bytes.withUnsafeBytes { DecimalText.append(twosComplement: $0, scale: scale, to: arena) }
            .map(arena.string)
    }

    static func plain(_ text: String) -> String? {
        let arena = ByteArena(capacity: 64)
        return DecimalText.appendPlain(arena.append(text), of: arena, to: arena).map(arena.string)
    }

    static func normalized(_ text: String) -> String? {
        let arena = ByteArena(capacity: 64)
        return DecimalText.appendNormalized(arena.append(text), of: arena, to: arena).map(arena.string)
    }

    @Test(
        arguments: [
            ([0x00], 0, "0"), ([0x00], 2, "0.00"), ([0xFF], 0, "-1"), ([0x80], 0, "-128"), ([0x7F], 2, "1.27"),
            ([0x04, 0xD2], 2, "12.34"), ([0xFB, 0x2E], 6, "-0.001234"), ([0x7B], -2, "12300"), ([0x00], -2, "0"),
            ([0x00, 0xE1], 2, "2.25"),
            ([0x7F] + Array(repeating: 0xFF, count: 15), 0, "170141183460469231731687303715884105727"),
            ([0x80] + Array(repeating: 0x00, count: 15), 38, "-1.70141183460469231731687303715884105728"),
            ([0x80] + Array(repeating: 0x00, count: 16), 0, "-43556142965880123323311949751266331066368"),
            ([0xFF] + Array(repeating: 0x00, count: 16), 0, "-340282366920938463463374607431768211456"),
            (Array(repeating: 0x00, count: 40), 3, "0.000"), (Array(repeating: 0xFF, count: 40), 1, "-0.1"),
        ] as [([UInt8], Int, String)])
    func twosComplement(_ bytes: [UInt8], _ scale: Int, _ text: String) {
        #expect(Self.text(bytes, scale: scale) == text)
    }

    @Test func bounds() {
        #expect(Self.text([], scale: 0) == nil)
        #expect(Self.text([1], scale: 200_000) == nil)
        #expect(Self.text([1], scale: .min) == nil)
        #expect(Self.text(Array(repeating: 1, count: 70_000), scale: 0) == nil)
        #expect(Self.plain("1e150000") == nil)
        #expect(Self.plain("1e99999999999999999999999") == nil)
    }

    /// Against a sum of powers, digit by digit.
    @Test func anyLengthIsExact() {
        var random = SampleGenerator(seed: 7)
        for length in Array(1...48) + [100, 300] {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let negative = bytes[0] >= 0x80
            // Little-endian decimal digits of the magnitude.
            var digits = [0]
            for byte in bytes {
                var carry = Int(negative ? ~byte : byte)
                for i in digits.indices {
                    carry += digits[i] * 256
                    digits[i] = carry % 10
                    carry /= 10
                }
                while carry > 0 {
                    digits.append(carry % 10)
                    carry /= 10
                }
            }
            if negative {
                var i = 0
                while i < digits.count, digits[i] == 9 {
                    digits[i] = 0
                    i += 1
                }
                if i == digits.count { digits.append(1) } else { digits[i] += 1 }
            }
            let shown = Array(Array(digits.reversed()).drop { $0 == 0 })
            let magnitude = shown.map { String($0) }.joined()
            #expect(Self.text(bytes, scale: 0) == (negative ? "-" : "") + (magnitude.isEmpty ? "0" : magnitude))
        }
    }

    /// Answers of PostgreSQL 15's numeric.
    @Test(arguments: [
        ("1E+3", "1000", "1000"), ("0E-10", "0.0000000000", "0"), ("1.50E1", "15.0", "15"), ("-0.00", "0.00", "0"),
        (".5", "0.5", "0.5"), ("5.", "5", "5"), ("+7", "7", "7"), ("00012.30", "12.30", "12.3"),
        ("1e-3", "0.001", "0.001"), ("123.45e1", "1234.5", "1234.5"), ("123.45e-4", "0.012345", "0.012345"),
        ("100", "100", "100"), ("1.00", "1.00", "1"), ("0", "0", "0"), ("-0", "0", "0"), ("nan", "NaN", "NaN"),
        ("-inf", "-Infinity", "-Infinity"), ("Infinity", "Infinity", "Infinity"), ("0e5", "0", "0"),
        ("-10.0100", "-10.0100", "-10.01"),
    ])
    func plainAndNormalized(_ text: String, _ plain: String, _ normalized: String) {
        #expect(Self.plain(text) == plain)
        #expect(Self.normalized(text) == normalized)
    }

    @Test(arguments: [
        "", "-", "+", ".", "e5", "1e", "1e+", "1.2.3", "0x1", " 1", "1 ", "-NaN", "--1", "1,5", "infinit",
    ])
    func notNumbers(_ text: String) {
        #expect(withBytes(text, { DecimalParts($0) == nil }))
        #expect(Self.plain(text) == nil)
    }

    @Test(
        arguments: [
            ("123.45", 2, Int128(12345)), ("123.4500", 2, 12345), ("123.451", 2, nil), ("123", 2, 12300),
            ("-0.01", 2, -1), ("1e3", 0, 1000), ("15e-1", 0, nil), ("150e-1", 0, 15), ("0.00000", 0, 0),
            ("12300", -2, 123),
            ("12345", -2, nil), ("NaN", 2, nil), ("Infinity", 2, nil), ("abc", 2, nil), ("", 2, nil),
            ("99999999999999999999999999999999999999", 0, 99_999_999_999_999_999_999_999_999_999_999_999_999),
            ("-99999999999999999999999999999999999999", 0, -99_999_999_999_999_999_999_999_999_999_999_999_999),
            ("100000000000000000000000000000000000000", 0, nil), ("1", 38, nil),
            ("0.1", 38, 10_000_000_000_000_000_000_000_000_000_000_000_000),
            ("0e199999", 2, 0), ("1e199999", 2, nil),
        ] as [(String, Int, Int128?)])
    func decimalsForAnEngine(_ text: String, _ scale: Int, _ value: Int128?) {
        #expect(withBytes(text) { DecimalText.parseDecimal($0, scale: scale) } == value)
    }

    @Test func precisionIsKept() {
        #expect(withBytes("999.99") { DecimalText.parseDecimal($0, scale: 2, precision: 5) } == 99_999)
        #expect(withBytes("1000.00") { DecimalText.parseDecimal($0, scale: 2, precision: 5) } == nil)
    }

    @Test func unscaledIntegersComeBack() {
        var random = SampleGenerator(seed: 3)
        let arena = ByteArena()
        let limit: Int128 = 99_999_999_999_999_999_999_999_999_999_999_999_999
        for _ in 0..<5000 {
            let bits = Int.random(in: 0...126, using: &random)
            let value = Int128.random(in: -limit...limit, using: &random) >> Int128(bits)
            let scale = Int.random(in: 0...38, using: &random)
            guard let range = DecimalText.append(unscaled: value, scale: scale, to: arena) else {
                Issue.record("no text")
                return
            }
            #expect(DecimalText.parseDecimal(arena.bytes(range), scale: scale) == value)
            arena.removeAll()
        }
    }

    /// Answers of PostgreSQL 15.
    @Test(arguments: [
        (0.0, "0", "0"), (-0.0, "-0", "-0"), (1e15, "1e+15", "1000000000000000"),
        (1e14, "100000000000000", "100000000000000"),
        (999_999_999_999_999.9, "999999999999999.9", "999999999999999.9"), (1e-4, "0.0001", "0.0001"),
        (1e-5, "1e-05", "0.00001"), (1e300, "1e+300", "1e+300"),
        (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        (.leastNonzeroMagnitude, "5e-324", "5e-324"), (1.5e20, "1.5e+20", "150000000000000000000"),
        (-12.25, "-12.25", "-12.25"), (.nan, "NaN", "\"NaN\""), (-.infinity, "-Infinity", "\"-Infinity\""),
        (1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"), (1e-7, "1e-07", "0.0000001"),
    ])
    func doubles(_ value: Double, _ postgres: String, _ json: String) {
        let sample = Sample()
        #expect(sample.postgres(.double(value), .double) == postgres)
        #expect(sample.json(.double(value), .double) == json)
    }

    @Test(arguments: [
        (Float(0.1), "0.1", "0.1"), (1e5, "100000", "100000"), (1e6, "1e+06", "1000000"),
        (1_234_567, "1.234567e+06", "1234567"), (16_777_216, "1.6777216e+07", "16777216"), (1e-5, "1e-05", "0.00001"),
        (1e38, "1e+38", "1e+38"), (.leastNonzeroMagnitude, "1e-45", "1e-45"), (999_999.5, "999999.5", "999999.5"),
        (-.infinity, "-Infinity", "\"-Infinity\""),
    ])
    func singles(_ value: Float, _ postgres: String, _ json: String) {
        let sample = Sample()
        #expect(sample.postgres(.double(Double(value)), .real) == postgres)
        #expect(sample.json(.double(Double(value)), .real) == json)
    }

    @Test func doublesComeBack() {
        var random = SampleGenerator(seed: 11)
        let sample = Sample()
        for _ in 0..<5000 {
            for value in [
                Double(bitPattern: random.next()), Double(Int.random(in: -9_999_999...9_999_999, using: &random)) / 100,
                Double(Int64.random(in: .min ... .max, using: &random)), Double.random(in: -1...1, using: &random),
            ] where value.isFinite {
                let back = withBytes(sample.postgres(.double(value), .double), DoubleText.parse)
                #expect(back?.bitPattern == value.bitPattern)
                #expect(
                    withBytes(sample.json(.double(value), .double), DoubleText.parse)?.bitPattern == value.bitPattern)
            }
            let single = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            if single.isFinite {
                let text = sample.postgres(.double(Double(single)), .real)
                #expect(withBytes(text, DoubleText.parseSingle) == Double(single))
            }
        }
        #expect(withBytes("1e400", DoubleText.parse) == nil)
        #expect(withBytes("1e-400", DoubleText.parse) == nil)
        #expect(withBytes("1e39", DoubleText.parseSingle) == nil)
        #expect(withBytes("Infinity", DoubleText.parse) == .infinity)
    }
}

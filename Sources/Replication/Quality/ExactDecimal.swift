/// A decimal number of an expectation, whatever its length.
package struct ExactDecimal: Hashable, Sendable {
    /// More digits before or behind the point than this are no number that anybody means.
    static let digits_max = 2_000

    package let isNegative: Bool
    /// ASCII, without zeros in front; empty for 0.
    private let digits: [UInt8]
    /// How many of them, with zeros in front where they are fewer, stand behind the point. Never below 0.
    private let scale: Int

    private init(isNegative: Bool, digits: some Sequence<UInt8>, scale: Int) {
        var digits = Array(digits.drop { $0 == 0x30 })
        var scale = scale
        while scale > 0, digits.last == 0x30 {
            digits.removeLast()
            scale -= 1
        }
        if digits.isEmpty { scale = 0 }
        self.digits = digits
        self.scale = scale
        self.isNegative = isNegative && !digits.isEmpty
    }

    /// Nil for what is no finite decimal number: `-12.50`, `.5`, `1e3`.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        let parts = bytes.withUnsafeBytes { DecimalParts($0) }
        guard let parts, parts.kind == .finite else { return nil }
        var digits = Array(bytes[parts.whole] + bytes[parts.fraction])
        var scale = parts.fraction.count - parts.exponent
        guard digits.count <= Self.digits_max, Swift.abs(scale) <= Self.digits_max else { return nil }
        if scale < 0 {
            digits += [UInt8](repeating: 0x30, count: -scale)
            scale = 0
        }
        self.init(isNegative: parts.isNegative, digits: digits, scale: scale)
    }

    package var isZero: Bool { digits.isEmpty }

    /// Times a power of ten.
    func shifted(by power: Int) -> ExactDecimal {
        let zeros = [UInt8](repeating: 0x30, count: Swift.max(0, power - scale))
        return ExactDecimal(isNegative: isNegative, digits: digits + zeros, scale: Swift.max(0, scale - power))
    }

    /// The largest number of so many digits behind the point that isn't above it.
    func floor(scale places: Int) -> ExactDecimal {
        guard scale > places else { return self }
        let dropped = scale - places
        var kept = Array(digits.dropLast(dropped))
        if isNegative { Self.increment(&kept) }
        return ExactDecimal(isNegative: isNegative, digits: kept, scale: places)
    }

    private static func increment(_ digits: inout [UInt8]) {
        var at = digits.count - 1
        while at >= 0, digits[at] == 0x39 {
            digits[at] = 0x30
            at -= 1
        }
        if at < 0 { digits.insert(0x31, at: 0) } else { digits[at] += 1 }
    }

    /// Digits in front of the point.
    var wholeDigits: Int { Swift.max(0, digits.count - scale) }

    /// As an integer; nil where it has a fraction or doesn't fit.
    package var wholeNumber: Int? { whole.map(Int.init) }
    var whole: Int64? { scale == 0 ? Int64(text) : nil }

    /// Plain: `-12.5`.
    package var text: String {
        var all = digits
        if all.count <= scale { all.insert(contentsOf: [UInt8](repeating: 0x30, count: scale - all.count + 1), at: 0) }
        if all.isEmpty { all = [0x30] }
        if scale > 0 { all.insert(0x2E, at: all.count - scale) }
        if isNegative { all.insert(0x2D, at: 0) }
        return String(decoding: all, as: UTF8.self)
    }

    /// A text that orders as the numbers do and is the same for equal ones; `DuckDBDecimal.key` makes it in SQL. Behind a
    /// sign stand the number of digits in front of the point and all digits; of negative numbers their complements, and an
    /// end that is above all digits.
    var key: String {
        let whole = digits.prefix(wholeDigits)
        let fraction =
            [UInt8](repeating: 0x30, count: Swift.max(0, scale - digits.count)) + digits.dropFirst(whole.count)
        let count = String(1_000_000 + whole.count).dropFirst()
        let magnitude = count + String(decoding: whole, as: UTF8.self) + "." + String(decoding: fraction, as: UTF8.self)
        guard isNegative else { return "1" + magnitude }
        let complement = magnitude.utf8.map { $0 == 0x2E ? $0 : 0x30 + 0x39 - $0 }
        return "0" + String(decoding: complement, as: UTF8.self) + "~"
    }
}

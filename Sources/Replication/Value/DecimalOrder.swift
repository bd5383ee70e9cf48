/// A decimal number in its own digits, compared exactly whatever its length: `-12.50`, `.5`, `1e-7`,
/// `NaN`, `Infinity`.
///
/// Holds ranges of the caller's bytes, no digits of its own: making and comparing one allocates nothing.
package struct DecimalOrder {
    private enum Kind: Int { case negativeInfinity, finite, infinity, notANumber }
    private var kind: Kind
    private var isNegative = false
    /// Digits and at most one point, without zeros that say nothing before the first digit that does.
    private var digits: UnsafeRawBufferPointer
    /// The power of ten of the first digit; the number is 0 where there are no digits.
    private var magnitude = 0

    /// nil where the bytes are no number, or the exponent is beyond ±1,000,000,000. Valid as long as they are.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var at = 0
        if let sign = bytes.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            isNegative = sign == UInt8(ascii: "-")
            at = 1
        }
        digits = UnsafeRawBufferPointer(rebasing: bytes[bytes.count...])
        kind = .finite
        guard at < bytes.count else { return nil }
        if Self.isWord(bytes, at, "nan") {
            kind = .notANumber
            return
        }
        if Self.isWord(bytes, at, "infinity") || Self.isWord(bytes, at, "inf") {
            kind = isNegative ? .negativeInfinity : .infinity
            return
        }
        guard let mantissaEnd = scanMantissa(bytes, from: at) else { return nil }
        guard let exponent = Self.exponent(bytes, from: mantissaEnd) else { return nil }
        magnitude += exponent
    }

    /// Finds the significant digits; nil where there is no digit. Returns where the mantissa ends.
    private mutating func scanMantissa(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var point: Int?
        var first: Int?
        var digitCount = 0
        var end = start
        while end < bytes.count {
            let byte = bytes[end]
            if byte >= 0x30, byte <= 0x39 {
                digitCount += 1
                if byte != 0x30, first == nil { first = end }
            } else if byte == UInt8(ascii: "."), point == nil {
                point = end
            } else {
                break
            }
            end += 1
        }
        guard digitCount > 0 else { return nil }
        if let first {
            let unit = point ?? end
            magnitude = first < unit ? unit - first - 1 : unit - first
            digits = UnsafeRawBufferPointer(rebasing: bytes[first..<end])
        }
        return end
    }

    /// 0 where there is none; nil where something else follows or it is out of bounds.
    private static func exponent(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        if start == bytes.count { return 0 }
        guard bytes[start] | 0x20 == UInt8(ascii: "e") else { return nil }
        var at = start + 1
        var sign = 1
        if at < bytes.count, bytes[at] == UInt8(ascii: "-") || bytes[at] == UInt8(ascii: "+") {
            sign = bytes[at] == UInt8(ascii: "-") ? -1 : 1
            at += 1
        }
        guard at < bytes.count else { return nil }
        var exponent = 0
        while at < bytes.count {
            guard bytes[at] >= 0x30, bytes[at] <= 0x39 else { return nil }
            exponent = exponent * 10 + Int(bytes[at] - 0x30)
            if exponent > 1_000_000_000 { return nil }
            at += 1
        }
        return sign * exponent
    }

    private static func isWord(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ word: StaticString) -> Bool {
        guard bytes.count - start == word.utf8CodeUnitCount else { return false }
        for index in 0..<word.utf8CodeUnitCount where bytes[start + index] | 0x20 != word.utf8Start[index] {
            return false
        }
        return true
    }

    package var isNaN: Bool { kind == .notANumber }
    package var isZero: Bool { kind == .finite && digits.isEmpty }

    /// -1, 0 or 1, as Postgres orders numeric: NaN equals itself and is above everything.
    package static func compare(_ left: DecimalOrder, _ right: DecimalOrder) -> Int {
        if left.kind != .finite || right.kind != .finite {
            return (left.kind.rawValue - right.kind.rawValue).signum()
        }
        if left.sign != right.sign { return left.sign < right.sign ? -1 : 1 }
        return left.sign * compareMagnitudes(left, right)
    }

    private var sign: Int { isZero ? 0 : isNegative ? -1 : 1 }

    private static func compareMagnitudes(_ left: DecimalOrder, _ right: DecimalOrder) -> Int {
        if left.isZero || right.isZero { return 0 }
        if left.magnitude != right.magnitude { return left.magnitude < right.magnitude ? -1 : 1 }
        var i = 0
        var j = 0
        while true {
            let one = left.nextDigit(&i)
            let other = right.nextDigit(&j)
            if one == nil, other == nil { return 0 }
            let (a, b) = (one ?? 0x30, other ?? 0x30)
            if a != b { return a < b ? -1 : 1 }
        }
    }

    private func nextDigit(_ index: inout Int) -> UInt8? {
        if index < digits.count, digits[index] == UInt8(ascii: ".") { index += 1 }
        guard index < digits.count else { return nil }
        defer { index += 1 }
        return digits[index]
    }
}

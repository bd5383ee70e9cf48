/// Exact decimals as text: from Kafka Connect's two's complement bytes, and from an engine's unscaled integers.
package enum DecimalText {
    /// Postgres' own limits are 131072 digits before the point and 16383 behind it; nothing longer is made.
    package static let digits_max = 147_456
    static let bytes_max = 61_440

    /// The decimal `unscaled · 10^-scale` whose unscaled value is big-endian two's complement of any length,
    /// appended as Postgres prints it: `-0.0012`, and `12300` for a negative scale. `bytes` doesn't lie in `sink`.
    /// Nil for no bytes at all, or more digits than `digits_max`.
    package static func append(
        twosComplement bytes: UnsafeRawBufferPointer, scale: Int, to sink: ByteArena
    ) -> ByteRange? {
        guard let first = bytes.first, bytes.count <= bytes_max else { return nil }
        if bytes.count > 16 { return appendLong(bytes, scale: scale, to: sink) }
        // Sign-extended words, the lower eight bytes and what is above them.
        let sign: UInt64 = first & 0x80 == 0 ? 0 : .max
        var low = sign
        var high = sign
        for byte in bytes {
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(byte)
        }
        if bytes.count <= 8 {
            let value = Int64(bitPattern: low)
            return append(magnitude: value.magnitude, negative: value < 0, scale: scale, to: sink)
        }
        let value = Int128(truncatingIfNeeded: UInt128(high) &<< 64 | UInt128(low))
        return append(unscaled: value, scale: scale, to: sink)
    }

    private static func append(magnitude: UInt64, negative: Bool, scale: Int, to sink: ByteArena) -> ByteRange? {
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { digits -> ByteRange? in
            guard let out = digits.baseAddress else { return nil }
            let run = DigitRun(base: UnsafeRawPointer(out), whole: 0..<writeUnsigned(magnitude, to: out))
            return append(run, negative: negative, scale: scale, to: sink)
        }
    }

    /// The decimal `unscaled · 10^-scale`. Nil for more digits than `digits_max`.
    package static func append(unscaled: Int128, scale: Int, to sink: ByteArena) -> ByteRange? {
        if let magnitude = UInt64(exactly: unscaled.magnitude) {
            return append(magnitude: magnitude, negative: unscaled < 0, scale: scale, to: sink)
        }
        return withUnsafeTemporaryAllocation(byteCount: 40, alignment: 8) { digits -> ByteRange? in
            guard let out = digits.baseAddress else { return nil }
            let count = writeUnsigned(unscaled.magnitude, to: out)
            let run = DigitRun(base: UnsafeRawPointer(out), whole: 0..<count)
            return append(run, negative: unscaled < 0, scale: scale, to: sink)
        }
    }

    /// Schoolbook division by 10^19. The square of `bytes_max` bounds it.
    private static func appendLong(
        _ bytes: UnsafeRawBufferPointer, scale: Int, to sink: ByteArena
    ) -> ByteRange? {
        let negative = bytes[0] & 0x80 != 0
        let words = (bytes.count + 7) / 8
        let room = bytes.count * 5 / 2 + 40
        return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { limbs -> ByteRange? in
            // Most significant first, sign-extended.
            var at = bytes.count - words * 8
            for i in 0..<words {
                var word: UInt64 = 0
                for _ in 0..<8 {
                    let byte = at < 0 ? (negative ? 0xFF : 0) : bytes[at]
                    word = word << 8 | UInt64(byte)
                    at += 1
                }
                limbs.initializeElement(at: i, to: word)
            }
            if negative {
                var carry = true
                for i in stride(from: words - 1, through: 0, by: -1) {
                    limbs[i] = ~limbs[i] &+ (carry ? 1 : 0)
                    carry = carry && limbs[i] == 0
                }
            }
            return withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { digits -> ByteRange? in
                guard let base = digits.baseAddress else { return nil }
                var end = room
                var top = 0
                while top < words, limbs[top] == 0 { top += 1 }
                while top < words {
                    var rest: UInt64 = 0
                    for i in top..<words {
                        let (quotient, remainder) = tenTo19.dividingFullWidth((rest, limbs[i]))
                        limbs[i] = quotient
                        rest = remainder
                    }
                    while top < words, limbs[top] == 0 { top += 1 }
                    for _ in 0..<19 {
                        end -= 1
                        base.storeBytes(
                            of: UInt8(truncatingIfNeeded: rest % 10) + 0x30, toByteOffset: end, as: UInt8.self)
                        rest /= 10
                    }
                }
                while end < room, digits[end] == 0x30 { end += 1 }
                if end == room {
                    end -= 1
                    digits[end] = 0x30
                }
                let run = DigitRun(base: UnsafeRawPointer(base), whole: end..<room)
                return append(run, negative: negative, scale: scale, to: sink)
            }
        }
    }

    /// Appends digits without leading zeros (but a lone 0), with sign and point where they belong.
    static func append(_ digits: DigitRun, negative: Bool, scale: Int, to sink: ByteArena) -> ByteRange? {
        guard scale.magnitude <= UInt(digits_max), digits.count <= digits_max else { return nil }
        let start = sink.count
        let range = sink.appendUninitialized(digits.count + Int(scale.magnitude) + 3)
        let length = digits.write(negative: negative, scale: scale, to: sink.base + range.offset)
        sink.truncate(to: start + length)
        return ByteRange(offset: start, length: length)
    }

    // MARK: - Integers

    static let tenTo19: UInt64 = 10_000_000_000_000_000_000

    /// Writes up to 20 digits; returns how many.
    @inline(__always)
    package static func writeUnsigned(_ value: UInt64, to out: UnsafeMutableRawPointer) -> Int {
        let count = digitCount(value)
        writeDigits(value, count: count, to: out)
        return count
    }

    /// Writes up to 20 bytes; returns how many.
    @inline(__always)
    package static func writeSigned(_ value: Int64, to out: UnsafeMutableRawPointer) -> Int {
        guard value < 0 else { return writeUnsigned(UInt64(value), to: out) }
        out.storeBytes(of: 0x2D, as: UInt8.self)
        return writeUnsigned(value.magnitude, to: out + 1) + 1
    }

    /// Writes up to 39 digits; returns how many.
    package static func writeUnsigned(_ value: UInt128, to out: UnsafeMutableRawPointer) -> Int {
        if value <= UInt128(UInt64.max) { return writeUnsigned(UInt64(truncatingIfNeeded: value), to: out) }
        let (high, low) = value.quotientAndRemainder(dividingBy: UInt128(tenTo19))
        let count = writeUnsigned(high, to: out)
        writeDigits(UInt64(truncatingIfNeeded: low), count: 19, to: out + count)
        return count + 19
    }

    @inline(__always)
    private static func writeDigits(_ value: UInt64, count: Int, to out: UnsafeMutableRawPointer) {
        var value = value
        var at = count
        while at >= 2 {
            let rest = value / 100
            at -= 2
            CalendarText.writeTwo(UInt32(truncatingIfNeeded: value - rest * 100), to: out + at)
            value = rest
        }
        if at == 1 { out.storeBytes(of: 0x30 + UInt8(truncatingIfNeeded: value % 10), as: UInt8.self) }
    }

    @inline(__always)
    static func digitCount(_ value: UInt64) -> Int {
        var value = value
        var count = 1
        while value >= 10_000 {
            value /= 10_000
            count += 4
        }
        return count + (value >= 1000 ? 3 : value >= 100 ? 2 : value >= 10 ? 1 : 0)
    }
}

/// Decimal digits that may lie on both sides of a point.
struct DigitRun {
    let base: UnsafeRawPointer
    var whole: Range<Int>
    var fraction: Range<Int> = 0..<0

    @inline(__always)
    var count: Int { whole.count + fraction.count }
    @inline(__always)
    var isZero: Bool { count == 1 && self[0] == 0x30 }

    @inline(__always)
    subscript(_ k: Int) -> UInt8 {
        let at = k < whole.count ? whole.lowerBound + k : fraction.lowerBound + k - whole.count
        return base.load(fromByteOffset: at, as: UInt8.self)
    }

    /// Cuts leading zeros, but leaves one digit.
    mutating func dropLeadingZeros() {
        while count > 1, self[0] == 0x30 {
            if whole.isEmpty {
                fraction = fraction.lowerBound + 1..<fraction.upperBound
            } else {
                whole = whole.lowerBound + 1..<whole.upperBound
            }
        }
    }

    mutating func dropLast() {
        if fraction.isEmpty {
            whole = whole.lowerBound..<whole.upperBound - 1
        } else {
            fraction = fraction.lowerBound..<fraction.upperBound - 1
        }
    }

    /// Copies the digits `from..<to`; returns how many.
    @inline(__always)
    private func copy(_ from: Int, _ to: Int, to out: UnsafeMutableRawPointer) -> Int {
        let split = min(max(whole.count, from), to)
        if split > from { out.copyMemory(from: base + whole.lowerBound + from, byteCount: split - from) }
        if to > split {
            let start = fraction.lowerBound + split - whole.count
            (out + split - from).copyMemory(from: base + start, byteCount: to - split)
        }
        return to - from
    }

    /// Writes the number with its point `scale` digits from the right; a zero has no sign. Needs room for
    /// the digits, the scale's magnitude, and 3.
    func write(negative: Bool, scale: Int, to out: UnsafeMutableRawPointer) -> Int {
        var at = 0
        let isZero = isZero
        if negative && !isZero {
            out.storeBytes(of: 0x2D, as: UInt8.self)
            at = 1
        }
        if scale <= 0 {
            at += copy(0, count, to: out + at)
            if !isZero {
                (out + at).initializeMemory(as: UInt8.self, repeating: 0x30, count: -scale)
                at -= scale
            }
            return at
        }
        if count > scale {
            at += copy(0, count - scale, to: out + at)
            out.storeBytes(of: 0x2E, toByteOffset: at, as: UInt8.self)
            at += 1
            return at + copy(count - scale, count, to: out + at)
        }
        out.storeBytes(of: 0x30, toByteOffset: at, as: UInt8.self)
        out.storeBytes(of: 0x2E, toByteOffset: at + 1, as: UInt8.self)
        at += 2
        (out + at).initializeMemory(as: UInt8.self, repeating: 0x30, count: scale - count)
        at += scale - count
        return at + copy(0, count, to: out + at)
    }
}

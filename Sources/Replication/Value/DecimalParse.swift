/// A decimal number's text taken apart: `-12.50e3`, `.5`, `5.`, `NaN`, `Infinity`. The ranges are offsets in the text.
package struct DecimalParts: Sendable {
    package enum Kind: Sendable { case finite, nan, infinity }

    package var kind = Kind.finite
    package var isNegative = false
    var whole = 0..<0
    var fraction = 0..<0
    /// Within ±`exponent_max`.
    var exponent = 0

    static let exponent_max = 200_000

    /// Nil for what isn't a number as Postgres reads it (without spaces around, `_` and `0x`).
    package init?(_ bytes: UnsafeRawBufferPointer) {
        let count = bytes.count
        var at = 0
        func digits() -> Range<Int> {
            let start = at
            while at < count, bytes[at] &- 0x30 < 10 { at += 1 }
            return start..<at
        }
        if count > 0, bytes[0] == 0x2D || bytes[0] == 0x2B {
            isNegative = bytes[0] == 0x2D
            at = 1
        }
        whole = digits()
        if at < count, bytes[at] == 0x2E {
            at += 1
            fraction = digits()
        }
        guard !whole.isEmpty || !fraction.isEmpty else {
            guard fraction.lowerBound == 0, let kind = Self.word(bytes, from: at) else { return nil }
            self.kind = kind
            return
        }
        if at < count {
            guard bytes[at] | 0x20 == 0x65 else { return nil }
            at += 1
            var negative = false
            if at < count, bytes[at] == 0x2D || bytes[at] == 0x2B {
                negative = bytes[at] == 0x2D
                at += 1
            }
            let power = digits()
            guard !power.isEmpty, at == count else { return nil }
            for i in power {
                exponent = exponent * 10 + Int(bytes[i] - 0x30)
                guard exponent <= Self.exponent_max else { return nil }
            }
            if negative { exponent = -exponent }
        }
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, from at: Int) -> Kind? {
        func isWord(_ word: StaticString) -> Bool {
            guard bytes.count - at == word.utf8CodeUnitCount else { return false }
            for i in 0..<word.utf8CodeUnitCount where bytes[at + i] | 0x20 != word.utf8Start[i] { return false }
            return true
        }
        if isWord("nan") { return at == 0 ? .nan : nil }
        return isWord("infinity") || isWord("inf") ? .infinity : nil
    }

    /// Digits behind the point, were it written without exponent; negative where it ends in so many zeros before it.
    var scale: Int { fraction.count - exponent }

    /// The digits without leading zeros.
    @inline(__always)
    func digits(in bytes: UnsafeRawBufferPointer) -> DigitRun? {
        guard let base = bytes.baseAddress else { return nil }
        var run = DigitRun(base: base, whole: whole, fraction: fraction)
        run.dropLeadingZeros()
        return run
    }

    /// Digits before the point and behind it that the value needs, without zeros at either end.
    package func digitsNeeded(in bytes: UnsafeRawBufferPointer) -> (whole: Int, fraction: Int) {
        guard var run = digits(in: bytes), !run.isZero else { return (0, 0) }
        var scale = scale
        while scale > 0, run.count > 1, run[run.count - 1] == 0x30 {
            run.dropLast()
            scale -= 1
        }
        return (max(run.count - scale, 0), max(scale, 0))
    }
}

extension DecimalText {
    /// The unscaled integer of `text · 10^scale`, for an engine's DECIMAL(precision, scale). Nil where the number
    /// isn't finite, needs more digits behind the point than `scale`, or more than `precision` (up to 38) in all.
    package static func parseDecimal(
        _ bytes: UnsafeRawBufferPointer, scale: Int, precision: Int = 38
    ) -> Int128? {
        guard let parts = DecimalParts(bytes), parts.kind == .finite, let run = parts.digits(in: bytes) else {
            return nil
        }
        if run.isZero { return 0 }
        let shift = scale - parts.scale
        let kept = shift < 0 ? run.count + shift : run.count
        let zeros = max(shift, 0)
        guard kept > 0, kept + zeros <= min(precision, 38) else { return nil }
        for k in kept..<run.count where run[k] != 0x30 { return nil }
        var value: UInt128 = 0
        var k = 0
        while k < kept {
            // Nineteen digits at a time in a machine word.
            let end = min(k + 19, kept)
            var word: UInt64 = 0
            for i in k..<end { word = word &* 10 &+ UInt64(run[i] &- 0x30) }
            value = k == 0 ? UInt128(word) : value * UInt128(power(end - k)) + UInt128(word)
            k = end
        }
        if zeros > 0 {
            let first = min(zeros, 19)
            value = value * UInt128(power(first)) * UInt128(power(zeros - first))
        }
        return parts.isNegative ? 0 - Int128(value) : Int128(value)
    }

    /// Appends the number as Postgres prints it: no exponent, no needless zeros before the point, those
    /// behind it kept, `NaN`, `Infinity`. Nil where it isn't a number, or more than `digits_max` long.
    /// `arena` and `sink` may be one.
    package static func appendPlain(_ range: ByteRange, of arena: ByteArena, to sink: ByteArena) -> ByteRange? {
        append(range, of: arena, to: sink, normalized: false)
    }

    /// Appends the form that is the same for all texts of an equal number: `appendPlain` without zeros
    /// at the fraction's end. Nil as there.
    package static func appendNormalized(
        _ range: ByteRange, of arena: ByteArena, to sink: ByteArena
    ) -> ByteRange? {
        append(range, of: arena, to: sink, normalized: true)
    }

    private static func append(
        _ range: ByteRange, of arena: ByteArena, to sink: ByteArena, normalized: Bool
    ) -> ByteRange? {
        guard let parts = DecimalParts(arena.bytes(range)) else { return nil }
        switch parts.kind {
        case .nan: return sink.append(word: "NaN")
        case .infinity: return sink.append(word: parts.isNegative ? "-Infinity" : "Infinity")
        case .finite: break
        }
        guard parts.scale.magnitude <= UInt(digits_max), range.length <= 2 * digits_max else { return nil }
        sink.reserve(range.length + Int(parts.scale.magnitude) + 3)
        // Only now: growing moves the arena, which may be the sink.
        guard var run = parts.digits(in: arena.bytes(range)) else { return nil }
        var scale = parts.scale
        if normalized {
            while scale > 0, run.count > 1, run[run.count - 1] == 0x30 {
                run.dropLast()
                scale -= 1
            }
            if run.isZero { scale = 0 }
        }
        return append(run, negative: parts.isNegative, scale: scale, to: sink)
    }

    /// 10 to the power of 0...19.
    private static func power(_ exponent: Int) -> UInt64 {
        var result: UInt64 = 1
        for _ in 0..<exponent { result *= 10 }
        return result
    }
}

extension ByteArena {
    /// Appends an ASCII word.
    @discardableResult
    @inline(__always)
    func append(word: StaticString) -> ByteRange {
        append(UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
    }
}

/// Floating point numbers as text: the shortest digits that read back as the same number.
package enum DoubleText {
    /// Room that `write` needs.
    package static let length_max = 40

    package enum Form: Sendable {
        /// As Postgres prints float8 and float4: `1e+15`, `1e-05`, `-0`, `NaN`, `-Infinity`.
        case postgres
        /// A plain decimal where that is short (as in `to_jsonb`), else with an exponent. For finite numbers.
        case json
    }

    /// Writes a number; `single`: with the digits that tell float4 numbers apart. Returns the bytes written.
    package static func write(
        _ value: Double, single: Bool, form: Form, to out: UnsafeMutableRawPointer
    ) -> Int {
        guard value.isFinite else {
            let word: StaticString = value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
            out.copyMemory(from: word.utf8Start, byteCount: word.utf8CodeUnitCount)
            return word.utf8CodeUnitCount
        }
        var at = 0
        if value.sign == .minus {
            out.storeBytes(of: 0x2D, as: UInt8.self)
            at = 1
        }
        let magnitude = value.magnitude
        if let (digits, scale) = single ? fewDigits(Float(magnitude)) : fewDigits(magnitude) {
            return at + writeFixed(digits, scale: scale, to: out + at)
        }
        // Rare: the digits come from the standard library, in a String.
        var text = single ? Float(magnitude).description : magnitude.description
        return at
            + text.withUTF8 { bytes in
                withUnsafeTemporaryAllocation(byteCount: bytes.count, alignment: 1) { digits -> Int in
                    let (count, exponent) = takeApart(bytes, digits: digits)
                    let fixed = form == .json ? -7..<21 : -4..<(single ? 6 : 15)
                    return fixed.contains(exponent)
                        ? write(digits, count: count, exponent: exponent, to: out + at)
                        : writeScientific(digits, count: count, exponent: exponent, to: out + at)
                }
            }
    }

    /// The shortest digits of a number that is a decimal of up to 15 digits, six of them behind the point.
    @inline(__always)
    private static func fewDigits(_ value: Double) -> (digits: UInt64, scale: Int)? {
        guard value < 1e15 else { return nil }
        var power = 1.0
        for scale in 0...6 {
            let product = value * power
            if product >= 1e15 - 1 { return nil }
            let digits = UInt64(product + 0.5)
            // A quotient of exact numbers is rounded correctly: the decimal reads back as `value`; and no
            // two decimals of 15 digits read as one number, so there is no shorter one.
            if Double(digits) / power == value {
                // Below 0.0001 other forms begin.
                return value < 1e-4 && digits != 0 ? nil : (digits, scale)
            }
            power *= 10
        }
        return nil
    }

    @inline(__always)
    private static func fewDigits(_ value: Float) -> (digits: UInt64, scale: Int)? {
        guard value < 1e6 else { return nil }
        var power: Float = 1
        for scale in 0...6 {
            let product = value * power
            if product >= 1e6 - 1 { return nil }
            let digits = UInt64(product + 0.5)
            if Float(digits) / power == value {
                return value < 1e-4 && digits != 0 ? nil : (digits, scale)
            }
            power *= 10
        }
        return nil
    }

    private static func writeFixed(_ digits: UInt64, scale: Int, to out: UnsafeMutableRawPointer) -> Int {
        guard scale > 0 else { return DecimalText.writeUnsigned(digits, to: out) }
        return withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { buffer -> Int in
            guard let base = buffer.baseAddress else { return 0 }
            let count = DecimalText.writeUnsigned(digits, to: base)
            let run = DigitRun(base: UnsafeRawPointer(base), whole: 0..<count)
            return run.write(negative: false, scale: scale, to: out)
        }
    }

    /// The digits of a description such as `12.5`, `5e-324` or `1.25e+16`, without zeros at the ends, and the
    /// power of ten of the first.
    private static func takeApart(
        _ text: UnsafeBufferPointer<UInt8>, digits: UnsafeMutableRawBufferPointer
    ) -> (count: Int, exponent: Int) {
        var count = 0
        var exponent = 0
        var point: Int?
        var at = 0
        var leading = 0
        while at < text.count, text[at] != 0x65 {
            if text[at] == 0x2E {
                point = count + leading
            } else if count == 0, text[at] == 0x30 {
                leading += 1
            } else {
                digits[count] = text[at]
                count += 1
            }
            at += 1
        }
        let whole = point ?? count + leading
        if at < text.count {
            at += 1
            let negative = text[at] == 0x2D
            if negative || text[at] == 0x2B { at += 1 }
            while at < text.count {
                exponent = exponent * 10 + Int(text[at] - 0x30)
                at += 1
            }
            if negative { exponent = -exponent }
        }
        while count > 1, digits[count - 1] == 0x30 { count -= 1 }
        return (count, exponent + whole - leading - 1)
    }

    private static func write(
        _ digits: UnsafeMutableRawBufferPointer, count: Int, exponent: Int, to out: UnsafeMutableRawPointer
    ) -> Int {
        guard let base = digits.baseAddress else { return 0 }
        let run = DigitRun(base: UnsafeRawPointer(base), whole: 0..<count)
        return run.write(negative: false, scale: count - 1 - exponent, to: out)
    }

    private static func writeScientific(
        _ digits: UnsafeMutableRawBufferPointer, count: Int, exponent: Int, to out: UnsafeMutableRawPointer
    ) -> Int {
        out.storeBytes(of: digits[0], as: UInt8.self)
        var at = 1
        if count > 1 {
            out.storeBytes(of: 0x2E, toByteOffset: 1, as: UInt8.self)
            for i in 1..<count { out.storeBytes(of: digits[i], toByteOffset: i + 1, as: UInt8.self) }
            at = count + 1
        }
        out.storeBytes(of: 0x65, toByteOffset: at, as: UInt8.self)
        out.storeBytes(of: exponent < 0 ? 0x2D : 0x2B, toByteOffset: at + 1, as: UInt8.self)
        let power = UInt64(exponent.magnitude)
        if power < 10 {
            CalendarText.writeTwo(UInt32(power), to: out + at + 2)
            return at + 4
        }
        return at + 2 + DecimalText.writeUnsigned(power, to: out + at + 2)
    }

    // MARK: - Reading

    /// The double nearest to a decimal text (`1.5e3`, `NaN`, `-Infinity`); nil for no number, and for one that
    /// is too large, or not 0 and too small.
    package static func parse(_ bytes: UnsafeRawBufferPointer) -> Double? {
        guard let parts = DecimalParts(bytes) else { return nil }
        switch parts.kind {
        case .nan: return .nan
        case .infinity: return parts.isNegative ? -.infinity : .infinity
        case .finite: break
        }
        guard let run = parts.digits(in: bytes) else { return nil }
        if run.isZero { return parts.isNegative ? -0.0 : 0 }
        // Exact factors, so one rounding (Clinger's fast path).
        if run.count <= 15, parts.scale.magnitude <= 22 {
            var digits: UInt64 = 0
            for k in 0..<run.count { digits = digits * 10 + UInt64(run[k] - 0x30) }
            var power = 1.0
            for _ in 0..<parts.scale.magnitude { power *= 10 }
            let magnitude = parts.scale < 0 ? Double(digits) * power : Double(digits) / power
            return parts.isNegative ? -magnitude : magnitude
        }
        guard let value = Double(String(decoding: bytes, as: UTF8.self)), value.isFinite, value != 0 else {
            return nil
        }
        return value
    }

    /// The same for float4: one rounding to single precision, given as a Double.
    package static func parseSingle(_ bytes: UnsafeRawBufferPointer) -> Double? {
        guard let parts = DecimalParts(bytes) else { return nil }
        guard parts.kind == .finite, let run = parts.digits(in: bytes), !run.isZero else { return parse(bytes) }
        if run.count <= 7, parts.scale.magnitude <= 10 {
            var digits: UInt64 = 0
            for k in 0..<run.count { digits = digits * 10 + UInt64(run[k] - 0x30) }
            if digits < 1 << 24 {
                var power: Float = 1
                for _ in 0..<parts.scale.magnitude { power *= 10 }
                let magnitude = parts.scale < 0 ? Float(digits) * power : Float(digits) / power
                return Double(parts.isNegative ? -magnitude : magnitude)
            }
        }
        guard let value = Float(String(decoding: bytes, as: UTF8.self)), value.isFinite, value != 0 else {
            return nil
        }
        return Double(value)
    }
}

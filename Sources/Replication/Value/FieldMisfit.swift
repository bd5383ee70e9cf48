import JSON

/// Whether a field can be stored in a column: looked at before it is, so that one value that a warehouse would
/// refuse, or change silently, goes to quarantine alone.
package enum FieldMisfit {
    /// Why `field` doesn't fit a column of `type`, without the value; nil if it does, or is no value.
    ///
    /// Judges by what Postgres can hold. Lengths (`varchar(5)`) and the texts of types that only Postgres knows
    /// aren't judged, nor is UTF-8. Costs a comparison for what isn't text, and one pass over what is.
    @inline(__always)
    package static func reason(_ field: Field, _ type: ColumnType, in arena: ByteArena) -> String? {
        switch (field.kind, type) {
        case (.null, _), (.unchanged, _), (.absent, _), (.bool, .boolean), (.int, .bigint), (.double, .double): nil
        case (.text, .text): hasNUL(arena.bytes(field.range)) ? nul : nil
        default: judge(field, type, arena)
        }
    }

    private static let nul = "has a NUL character, which text can't hold"

    private static func judge(_ field: Field, _ type: ColumnType, _ arena: ByteArena) -> String? {
        switch field.kind {
        case .null, .unchanged, .absent: return nil
        case .text:
            let bytes = arena.bytes(field.range)
            return hasNUL(bytes) ? nul : text(bytes, field.range, type, arena)
        case .json: return json(field.range, type, arena)
        default: break
        }
        // Fixed-size values go anywhere as text.
        switch type {
        case .text, .other, .composite, .unknown: return nil
        default: break
        }
        switch (field.kind, type) {
        case (.bool, .boolean), (.bytes, .bytea), (.int, .bigint), (.int, .real), (.int, .double): return nil
        case (.bool, .json), (.bool, .jsonb), (.int, .json), (.int, .jsonb): return nil
        case (.double, .json), (.double, .jsonb): return field.double.isFinite ? nil : outOfRange(type)
        case (.double, .double): return nil
        case (.int, .smallint), (.int, .integer): return FieldJSONDecode.fits(field.bits, type) ? nil : outOfRange(type)
        case (.double, .real):
            let value = field.double
            return value.isFinite && !Float(value).isFinite ? outOfRange(type) : nil
        case (.int, .numeric), (.double, .numeric): return numeric(field, type)
        case (.date, .date), (.time, .time), (.timestamp, .timestamp), (.timestamptz, .timestamptz):
            return calendar(field, type)
        default: return "a value of kind \(field.kind) in a column of type \(type.sql)"
        }
    }

    private static func outOfRange(_ type: ColumnType) -> String { "out of range for \(type.sql)" }
    private static func notA(_ type: ColumnType) -> String { "not a text of type \(type.sql)" }

    // MARK: - Text

    private static func text(
        _ bytes: UnsafeRawBufferPointer, _ range: ByteRange, _ type: ColumnType, _ arena: ByteArena
    ) -> String? {
        switch type {
        case .text, .other, .interval, .unknown: return nil
        case .numeric(let precision, let scale):
            return numeric(bytes, precision: precision, scale: scale, type)
        case .smallint, .integer, .bigint:
            guard let parts = DecimalParts(bytes), parts.kind == .finite else { return notA(type) }
            guard let value = JSONString.int64(bytes), FieldJSONDecode.fits(value, type) else {
                return outOfRange(type)
            }
            return nil
        case .real:
            if DoubleText.parseSingle(bytes) != nil { return nil }
            return DecimalParts(bytes) == nil ? notA(type) : outOfRange(type)
        case .double:
            if DoubleText.parse(bytes) != nil { return nil }
            return DecimalParts(bytes) == nil ? notA(type) : outOfRange(type)
        case .boolean: return FieldText.bool(bytes) == nil ? notA(type) : nil
        case .date, .time, .timestamp, .timestamptz:
            guard let field = FieldJSONDecode.calendar(bytes, type) else { return notA(type) }
            return calendar(field, type)
        case .timetz: return CalendarParse.timetz(bytes) == nil ? notA(type) : nil
        case .uuid: return isUUID(bytes) ? nil : notA(type)
        case .bytea: return isHex(bytes) ? nil : notA(type)
        case .json, .jsonb: return json(range, type, arena)
        case .array:
            let first = bytes.first
            return (first == 0x7B || first == 0x5B) && bytes.last == 0x7D ? nil : notA(type)
        case .composite: return bytes.first == 0x28 && bytes.last == 0x29 ? nil : notA(type)
        }
    }

    private static func isUUID(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == 36 else { return false }
        for i in 0..<36 {
            switch i {
            case 8, 13, 18, 23: if bytes[i] != 0x2D { return false }
            default: if hexValue(bytes[i]) == nil { return false }
            }
        }
        return true
    }

    private static func isHex(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 2, bytes.count % 2 == 0, bytes[0] == 0x5C, bytes[1] == 0x78 else { return false }
        return bytes.dropFirst(2).allSatisfy { hexValue($0) != nil }
    }

    /// Eight bytes at a time.
    @inline(__always)
    static func hasNUL(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        var at = 0
        while at + 8 <= bytes.count {
            let word = base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            if (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080 != 0 { return true }
            at += 8
        }
        while at < bytes.count {
            if base.load(fromByteOffset: at, as: UInt8.self) == 0 { return true }
            at += 1
        }
        return false
    }

    // MARK: - Numbers

    static func numeric(
        _ bytes: UnsafeRawBufferPointer, precision: Int?, scale: Int, _ type: ColumnType
    ) -> String? {
        guard let parts = DecimalParts(bytes) else { return notA(type) }
        switch parts.kind {
        case .nan: return nil
        case .infinity: return precision == nil ? nil : outOfRange(type)
        case .finite: break
        }
        guard let precision else {
            // Postgres' bounds.
            return parts.scale > 16_383 || parts.whole.count + parts.exponent > 131_072 ? outOfRange(type) : nil
        }
        // Most are shorter than they may be, which the digits' count tells.
        if parts.exponent == 0, scale >= 0, parts.fraction.count <= scale, parts.whole.count <= precision - scale {
            return nil
        }
        let needed = parts.digitsNeeded(in: bytes)
        if needed.fraction > max(scale, 0) { return "more digits behind the point than \(type.sql) has" }
        guard let run = parts.digits(in: bytes), !run.isZero else { return nil }
        // The power of ten of the first digit.
        if run.count - parts.scale > precision - scale { return outOfRange(type) }
        if scale < 0 {
            var zeros = -parts.scale
            var k = run.count - 1
            while k >= 0, zeros < -scale, run[k] == 0x30 {
                zeros += 1
                k -= 1
            }
            if zeros < -scale { return "digits below the unit of \(type.sql)" }
        }
        return nil
    }

    private static func numeric(_ field: Field, _ type: ColumnType) -> String? {
        guard case .numeric(let precision?, let scale) = type else { return nil }
        if field.kind == .int, scale == 0, precision >= 19 { return nil }
        return withUnsafeTemporaryAllocation(byteCount: DoubleText.length_max, alignment: 8) { room -> String? in
            guard let out = room.baseAddress else { return nil }
            let length =
                field.kind == .int
                ? DecimalText.writeSigned(field.bits, to: out)
                : DoubleText.write(field.double, single: false, form: .json, to: out)
            let bytes = UnsafeRawBufferPointer(start: out, count: length)
            return numeric(bytes, precision: precision, scale: scale, type)
        }
    }

    // MARK: - Dates and times

    /// 4714-11-24 BC, with which Postgres' calendar begins.
    private static let day_min: Int64 = -2_440_588
    /// 5874897-12-31, its last date. Its last timestamp is beyond what a `Field` holds.
    private static let day_max: Int64 = 2_145_042_905

    private static func calendar(_ field: Field, _ type: ColumnType) -> String? {
        let value = field.bits
        switch field.kind {
        case .time: return (0...CalendarText.day_us).contains(value) ? nil : outOfRange(type)
        case .date:
            return (day_min...day_max).contains(value) || value == .max || value == .min ? nil : outOfRange(type)
        default: break
        }
        if value == .max || value == .min { return nil }
        if value < day_min * CalendarText.day_us { return outOfRange(type) }
        if case .timestamp(let digits) = type, (0..<6).contains(digits) {
            var unit_us: Int64 = 1
            for _ in digits..<6 { unit_us *= 10 }
            if value % unit_us != 0 { return "more digits of the second than \(type.sql) has" }
        }
        return nil
    }

    // MARK: - JSON

    private static func json(_ range: ByteRange, _ type: ColumnType, _ arena: ByteArena) -> String? {
        let bytes = arena.bytes(range)
        switch type {
        case .text, .other: return hasNUL(bytes) ? nul : nil
        case .json, .jsonb, .unknown: break
        case .array(let element): return ArrayText.misfit(bytes, element: element)
        case .composite(let composite): return CompositeText.misfit(bytes, composite)
        default: return "JSON in a column of type \(type.sql)"
        }
        var cursor = JSONCursor(bytes)
        guard cursor.value() != nil, cursor.next() == 0 else { return "not JSON" }
        if type == .jsonb, cursor.sawUnstorable {
            return "has \\u0000 or half of a surrogate pair, which jsonb can't hold"
        }
        // Raw puts it into an object, which must be readable again.
        if cursor.deepest > JSONParser.depth_max - 2 {
            return "more objects or arrays inside each other than raw can hold"
        }
        return nil
    }
}

/// A field's value as Postgres' text and as JSON.
///
/// Nothing here allocates, but for arrays and composites that come as a literal of Postgres and for the rare double of
/// many digits. Arenas may be one and the same, where a function takes two.
package enum FieldText {
    // MARK: - Postgres' text

    /// The text that the input function of the column's type takes, before any escaping for COPY. `field` is a
    /// value: neither null, unchanged nor absent. `scratch` is as before when this returns, and isn't `arena`.
    @inline(__always)
    package static func withPostgresText<R>(
        _ field: Field, _ type: ColumnType, in arena: ByteArena, scratch: ByteArena,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        if isTextAlready(field, type) { return try body(arena.bytes(field.range)) }
        let mark = scratch.count
        defer { scratch.truncate(to: mark) }
        let range = appendPostgresText(field, type, from: arena, to: scratch)
        return try body(scratch.bytes(range))
    }

    @inline(__always)
    private static func isTextAlready(_ field: Field, _ type: ColumnType) -> Bool {
        if field.kind == .text { return true }
        guard field.kind == .json else { return false }
        switch type {
        case .array, .composite: return false
        default: return true
        }
    }

    /// The same, appended to `sink`.
    ///
    /// An array that is JSON (the `to_jsonb` form of its elements) becomes a literal: `{1,NULL,"a b"}`. Elements of
    /// json[] and jsonb[] are their JSON text; a JSON null in them is taken for NULL, which `to_jsonb` doesn't
    /// tell apart. A composite that is JSON becomes a literal too: `(x,1)`. JSON that is no such array or composite is
    /// passed as it is (`misfit` finds it before).
    @discardableResult
    package static func appendPostgresText(
        _ field: Field, _ type: ColumnType, from arena: ByteArena, to sink: ByteArena
    ) -> ByteRange {
        switch field.kind {
        case .null, .unchanged, .absent:
            assertionFailure("a field without a value has no text")
            return ByteRange(offset: sink.count, length: 0)
        case .bool:
            return write(1, to: sink) { out in
                out.storeBytes(of: field.bits == 0 ? 0x66 : 0x74, as: UInt8.self)
                return 1
            }
        case .int:
            if isFloat(type) { return writeDouble(Double(field.bits), type, form: .postgres, to: sink) }
            return write(20, to: sink) { DecimalText.writeSigned(field.bits, to: $0) }
        case .double:
            return writeDouble(field.double, type, form: isNumeric(type) ? .json : .postgres, to: sink)
        case .date, .time, .timestamp, .timestamptz:
            return writeCalendar(field, form: .postgres, to: sink)
        case .text:
            return sink.append(field.range, of: arena)
        case .bytes:
            return appendHex(field.range, of: arena, to: sink)
        case .json:
            if type.composite != nil {
                if let literal = NestedText.append(field.range, of: arena, type, to: sink) { return literal }
            } else if case .array(let element) = type,
                let literal = ArrayText.appendLiteral(field.range, of: arena, element: element, to: sink)
            {
                return literal
            }
            return sink.append(field.range, of: arena)
        }
    }

    // MARK: - Pieces

    /// Types whose JSON form is a string of whatever text the value has.
    @inline(__always)
    static func isTextual(_ type: ColumnType) -> Bool {
        switch type {
        case .text, .other, .composite, .uuid, .interval, .timetz, .bytea: true
        default: false
        }
    }

    @inline(__always)
    static func isFloat(_ type: ColumnType) -> Bool {
        switch type {
        case .real, .double: true
        default: false
        }
    }

    @inline(__always)
    static func isNumeric(_ type: ColumnType) -> Bool {
        if case .numeric = type { true } else { false }
    }

    /// Lets `body` write up to `room` bytes at the end of `sink`; it returns how many.
    @discardableResult
    @inline(__always)
    static func write(_ room: Int, to sink: ByteArena, _ body: (UnsafeMutableRawPointer) -> Int) -> ByteRange {
        let range = sink.appendUninitialized(room)
        let length = body(sink.base + range.offset)
        sink.truncate(to: range.offset + length)
        return ByteRange(offset: range.offset, length: length)
    }

    @inline(__always)
    static func quoted(_ sink: ByteArena, _ body: () -> ByteRange) {
        sink.append(byte: 0x22)
        _ = body()
        sink.append(byte: 0x22)
    }

    @discardableResult
    static func writeDouble(
        _ value: Double, _ type: ColumnType, form: DoubleText.Form, to sink: ByteArena
    ) -> ByteRange {
        write(DoubleText.length_max, to: sink) { DoubleText.write(value, single: type == .real, form: form, to: $0) }
    }

    @inline(__always)
    static func writeCalendar(_ field: Field, form: CalendarText.Form, to sink: ByteArena) -> ByteRange {
        write(CalendarText.length_max, to: sink) { out in
            switch field.kind {
            case .date: CalendarText.writeDate(field.bits, to: out)
            case .time: CalendarText.writeTime(field.bits, to: out)
            default: CalendarText.writeTimestamp(field.bits, zoned: field.kind == .timestamptz, form: form, to: out)
            }
        }
    }

    /// `\x00ff`.
    @discardableResult
    static func appendHex(_ range: ByteRange, of arena: ByteArena, to sink: ByteArena) -> ByteRange {
        write(2 * range.length + 2, to: sink) { out in
            let bytes = arena.bytes(range)
            out.storeBytes(of: 0x5C, as: UInt8.self)
            out.storeBytes(of: 0x78, toByteOffset: 1, as: UInt8.self)
            var at = 0
            while at + 4 <= bytes.count {
                // Four bytes spread to eight nibbles; one beyond 9 gains the distance from `:` to `a`.
                var word = UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
                word = (word | word << 16) & 0x0000_FFFF_0000_FFFF
                word = (word | word << 8) & 0x00FF_00FF_00FF_00FF
                word = word >> 4 & 0x000F_000F_000F_000F | (word & 0x000F_000F_000F_000F) << 8
                let letters = (word &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
                word = word &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
                out.storeBytes(of: word.littleEndian, toByteOffset: 2 * at + 2, as: UInt64.self)
                at += 4
            }
            while at < bytes.count {
                let (high, low) = (bytes[at] >> 4, bytes[at] & 15)
                out.storeBytes(of: high + (high < 10 ? 0x30 : 0x57), toByteOffset: 2 * at + 2, as: UInt8.self)
                out.storeBytes(of: low + (low < 10 ? 0x30 : 0x57), toByteOffset: 2 * at + 3, as: UInt8.self)
                at += 1
            }
            return 2 * at + 2
        }
    }
}

extension ByteArena {
    /// Appends what stands in `other`, which may be this arena.
    @discardableResult
    @inline(__always)
    func append(_ range: ByteRange, of other: ByteArena) -> ByteRange {
        reserve(range.length)
        return append(other.bytes(range))
    }
}

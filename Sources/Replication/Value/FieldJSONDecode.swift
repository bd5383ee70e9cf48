import JSON

/// The inverse of `FieldText.appendJSON`: a value of raw's `before`/`after` back to a field.
package enum FieldJSONDecode {
    /// The field of a tape's value in a column of `type`; what it needs is appended to `arena`, which isn't the
    /// document. Nil where the value isn't one of the type, or can't be held exactly.
    ///
    /// `null` is NULL, in a json column too. A number or boolean is a text as it stands there: the column's type was changed
    /// to text since. A field so read has the same Postgres text as the one written.
    package static func field(_ tape: JSONTape, _ i: Int, _ type: ColumnType, to arena: ByteArena) -> Field? {
        let kind = tape.kind(i)
        let raw = tape.rawValue(i)
        switch kind {
        case .null:
            return .null
        case .true, .false:
            switch type {
            case .boolean: return .bool(kind == .true)
            case .json, .jsonb, .unknown: return .stretch(.json, arena.append(raw))
            // Of before the column became one of texts.
            case .text, .other: return .stretch(.text, arena.append(raw))
            default: return nil
            }
        case .integer, .fraction:
            return number(raw, isInteger: kind == .integer, type, to: arena)
        case .string:
            switch type {
            case .json, .jsonb, .unknown:
                // With the quotes, which stand around it in the document.
                let whole = UnsafeRawBufferPointer(start: raw.baseAddress.map { $0 - 1 }, count: raw.count + 2)
                return .stretch(.json, arena.append(whole))
            default:
                return string(raw, isEscaped: tape.isEscaped(i), type, to: arena)
            }
        case .array, .object, .skipped:
            switch type {
            case .json, .jsonb, .unknown, .other: return .stretch(.json, arena.append(raw))
            case .array where kind == .array: return .stretch(.json, arena.append(raw))
            case .composite where kind == .object: return .stretch(.json, arena.append(raw))
            default: return nil
            }
        }
    }

    private static func number(
        _ raw: UnsafeRawBufferPointer, isInteger: Bool, _ type: ColumnType, to arena: ByteArena
    ) -> Field? {
        switch type {
        case .smallint, .integer, .bigint:
            guard isInteger, let value = JSONString.int64(raw), fits(value, type) else { return nil }
            return .int(value)
        case .real: return DoubleText.parseSingle(raw).map(Field.double)
        case .double: return DoubleText.parse(raw).map(Field.double)
        // A text's is of before the column became one of texts.
        case .numeric, .other, .text: return .stretch(.text, arena.append(raw))
        case .json, .jsonb, .unknown: return .stretch(.json, arena.append(raw))
        default: return nil
        }
    }

    /// A string of the document for a type that isn't JSON.
    private static func string(
        _ raw: UnsafeRawBufferPointer, isEscaped: Bool, _ type: ColumnType, to arena: ByteArena
    ) -> Field? {
        let mark = arena.count
        let text = arena.appendUninitialized(raw.count)
        var length = raw.count
        if isEscaped {
            guard let plain = JSONString.unescape(raw, into: arena.base + text.offset) else {
                arena.truncate(to: mark)
                return nil
            }
            length = plain
            arena.truncate(to: text.offset + length)
        } else if let from = raw.baseAddress {
            (arena.base + text.offset).copyMemory(from: from, byteCount: length)
        }
        let range = ByteRange(offset: text.offset, length: length)
        let field = value(range, in: arena, type)
        // What the field itself holds needs nothing in the arena.
        if field?.inArena != true { arena.truncate(to: mark) }
        return field
    }

    private static func value(_ range: ByteRange, in arena: ByteArena, _ type: ColumnType) -> Field? {
        let bytes = arena.bytes(range)
        switch type {
        case .boolean: return FieldText.bool(bytes).map(Field.bool)
        case .smallint, .integer, .bigint:
            guard let value = JSONString.int64(bytes), fits(value, type) else { return nil }
            return .int(value)
        case .real: return DoubleText.parseSingle(bytes).map(Field.double)
        case .double: return DoubleText.parse(bytes).map(Field.double)
        case .numeric: return DecimalParts(bytes) == nil ? nil : .stretch(.text, range)
        case .date, .time, .timestamp, .timestamptz: return calendar(bytes, type)
        case .bytea: return unhex(range, in: arena)
        default: return .stretch(.text, range)
        }
    }

    /// A date or time from any text that `CalendarParse` reads.
    static func calendar(_ bytes: UnsafeRawBufferPointer, _ type: ColumnType) -> Field? {
        switch type {
        case .date: CalendarParse.date(bytes).map { Field(kind: .date, bits: $0) }
        case .time: CalendarParse.time(bytes).map { Field(kind: .time, bits: $0) }
        case .timestamp: CalendarParse.timestamp(bytes).map { Field(kind: .timestamp, bits: $0) }
        case .timestamptz: CalendarParse.timestamptz(bytes).map { Field(kind: .timestamptz, bits: $0) }
        default: nil
        }
    }

    /// `\x00ff` to its bytes, in place.
    private static func unhex(_ range: ByteRange, in arena: ByteArena) -> Field? {
        let bytes = arena.mutableBytes(range)
        guard range.length >= 2, range.length % 2 == 0, bytes[0] == 0x5C, bytes[1] == 0x78 else { return nil }
        let length = range.length / 2 - 1
        for i in 0..<length {
            guard let high = hexValue(bytes[2 * i + 2]), let low = hexValue(bytes[2 * i + 3]) else { return nil }
            bytes[i] = high << 4 | low
        }
        arena.truncate(to: range.offset + length)
        return .stretch(.bytes, ByteRange(offset: range.offset, length: length))
    }

    @inline(__always)
    static func fits(_ value: Int64, _ type: ColumnType) -> Bool {
        switch type {
        case .smallint: Int16(exactly: value) != nil
        case .integer: Int32(exactly: value) != nil
        default: true
        }
    }
}

import JSON

extension FieldText {
    /// The form that `to_jsonb` gives the value, compact. Numbers keep their digits (`-0` of a double too, which
    /// jsonb itself would make 0), numbers that JSON can't hold are strings; null, unchanged and absent are `null`.
    ///
    /// The value `null` of a json column looks like SQL's NULL here, as in Postgres: see `isJSONNull`.
    @discardableResult
    package static func appendJSON(
        _ field: Field, _ type: ColumnType, from arena: ByteArena, to sink: ByteArena
    ) -> ByteRange {
        let start = sink.count
        switch field.kind {
        case .null, .unchanged, .absent: sink.append(word: "null")
        case .bool:
            switch type {
            case .boolean, .unknown, .json, .jsonb: sink.append(word: field.bits == 0 ? "false" : "true")
            default: sink.append(word: field.bits == 0 ? "\"f\"" : "\"t\"")
            }
        case .int:
            switch type {
            case .smallint, .integer, .bigint, .numeric, .unknown, .json, .jsonb, .boolean:
                write(20, to: sink) { DecimalText.writeSigned(field.bits, to: $0) }
            case .real, .double: writeDouble(Double(field.bits), type, form: .json, to: sink)
            default: quoted(sink) { write(20, to: sink) { DecimalText.writeSigned(field.bits, to: $0) } }
            }
        case .double:
            let form: DoubleText.Form = isTextual(type) ? .postgres : .json
            if field.double.isFinite, !isTextual(type) {
                writeDouble(field.double, type, form: form, to: sink)
            } else {
                quoted(sink) { writeDouble(field.double, type, form: form, to: sink) }
            }
        case .date, .time, .timestamp, .timestamptz:
            quoted(sink) { writeCalendar(field, form: isTextual(type) ? .postgres : .json, to: sink) }
        case .text: appendJSON(text: field.range, of: arena, type, to: sink)
        case .bytes:
            // The backslash of `\x…` is escaped.
            sink.append(word: "\"\\")
            appendHex(field.range, of: arena, to: sink)
            sink.append(byte: 0x22)
        case .json:
            switch type {
            case .json, .jsonb, .array, .composite, .unknown: _ = sink.append(field.range, of: arena)
            default: appendString(field.range, of: arena, to: sink)
            }
        }
        return ByteRange(offset: start, length: sink.count - start)
    }

    /// Whether this is the value `null` of a json column, which isn't NULL but whose JSON form is the same.
    package static func isJSONNull(_ field: Field, in arena: ByteArena) -> Bool {
        guard field.kind == .json else { return false }
        var cursor = JSONCursor(arena.bytes(field.range))
        return cursor.next() == 0x6E && cursor.word("null") && cursor.next() == 0
    }

    /// Appends plain UTF-8 as a JSON string with its quotes.
    @discardableResult
    package static func appendString(_ range: ByteRange, of arena: ByteArena, to sink: ByteArena) -> ByteRange {
        let start = sink.count
        var from = range.offset
        let end = range.offset + range.length
        sink.append(byte: 0x22)
        // In pieces, so that a long text doesn't ask for six times its room.
        while from < end {
            let length = min(end - from, 4096)
            write(6 * length, to: sink) {
                JSONString.escape(arena.bytes(ByteRange(offset: from, length: length)), into: $0)
            }
            from += length
        }
        sink.append(byte: 0x22)
        return ByteRange(offset: start, length: sink.count - start)
    }

    /// The `to_jsonb` form of a value that comes as Postgres' text of its type. What isn't a text of the type is
    /// appended as a string, so that nothing is lost and the JSON stays valid.
    static func appendJSON(text range: ByteRange, of arena: ByteArena, _ type: ColumnType, to sink: ByteArena) {
        switch type {
        case .json, .jsonb: _ = sink.append(range, of: arena)
        case .smallint, .integer, .bigint, .real, .double, .numeric: appendNumber(range, of: arena, to: sink)
        case .boolean:
            guard let value = bool(arena.bytes(range)) else { break }
            sink.append(word: value ? "true" : "false")
            return
        case .date, .time, .timestamp, .timestamptz:
            guard let field = FieldJSONDecode.calendar(arena.bytes(range), type) else { break }
            return quoted(sink) { writeCalendar(field, form: .json, to: sink) }
        case .array(let element):
            if ArrayText.appendJSON(literal: range, of: arena, element: element, to: sink) { return }
        case .composite(let composite):
            if CompositeText.appendJSON(literal: range, of: arena, composite, to: sink) { return }
        default: break
        }
        switch type {
        case .json, .jsonb, .smallint, .integer, .bigint, .real, .double, .numeric: return
        default: appendString(range, of: arena, to: sink)
        }
    }

    /// The same of an array's element or a composite's field, which may be another's text: composites change at the
    /// source without a word in the stream.
    static func appendJSON(part range: ByteRange, of arena: ByteArena, _ type: ColumnType, to sink: ByteArena) {
        if type == .json || type == .jsonb {
            var cursor = JSONCursor(arena.bytes(range))
            guard cursor.value() != nil, cursor.next() == 0 else {
                appendString(range, of: arena, to: sink)
                return
            }
        }
        appendJSON(text: range, of: arena, type, to: sink)
    }

    private static func appendNumber(_ range: ByteRange, of arena: ByteArena, to sink: ByteArena) {
        if JSONCursor.isNumber(arena.bytes(range)) {
            _ = sink.append(range, of: arena)
            return
        }
        guard let parts = DecimalParts(arena.bytes(range)) else {
            appendString(range, of: arena, to: sink)
            return
        }
        // `.5`, `+7` and `007` are numbers too; `NaN` isn't one in JSON.
        let start = sink.count
        if parts.kind != .finite { sink.append(byte: 0x22) }
        if DecimalText.appendPlain(range, of: arena, to: sink) == nil {
            sink.truncate(to: start)
            appendString(range, of: arena, to: sink)
        } else if parts.kind != .finite {
            sink.append(byte: 0x22)
        }
    }

    /// What Postgres takes for a boolean, as far as it is printed anywhere.
    static func bool(_ bytes: UnsafeRawBufferPointer) -> Bool? {
        func isWord(_ word: StaticString) -> Bool {
            bytes.elementsEqual(UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        }
        if isWord("t") || isWord("true") { return true }
        if isWord("f") || isWord("false") { return false }
        return nil
    }
}

import JSON

/// Postgres' own text of composites, and of arrays of them, from their JSON: quoted where Postgres quotes, so that
/// what a warehouse keeps as text is the same whether it came from the source or out of raw.
enum NestedText {
    /// Appends the literal; nil, and nothing appended, where the JSON isn't of the type.
    static func append(
        _ range: ByteRange, of arena: ByteArena, _ type: ColumnType, to sink: ByteArena
    ) -> ByteRange? {
        let start = sink.count
        // Rare, so a copy is cheaper than care about a sink that moves.
        let json = Array(arena.bytes(range))
        guard json.withUnsafeBytes({ value($0, type, to: sink) }) else {
            sink.truncate(to: start)
            return nil
        }
        return ByteRange(offset: start, length: sink.count - start)
    }

    /// A value that isn't null.
    private static func value(_ json: UnsafeRawBufferPointer, _ type: ColumnType, to sink: ByteArena) -> Bool {
        var cursor = JSONCursor(json)
        let first = cursor.next()
        switch type {
        case .composite(let composite): return object(&cursor, composite, to: sink) && cursor.next() == 0
        case .array(let element): return array(&cursor, element, depth: 1, to: sink) && cursor.next() == 0
        case .json, .jsonb: break
        case .boolean where first == 0x74 || first == 0x66:
            sink.append(byte: first)
            return true
        default: if first == 0x22 { return string(&cursor, type, to: sink) }
        }
        _ = sink.append(json)
        return true
    }

    private static func string(_ cursor: inout JSONCursor, _ type: ColumnType, to sink: ByteArena) -> Bool {
        guard let content = cursor.string(), let plain = JSONString.unescaped(cursor.bytes(content)) else {
            return false
        }
        plain.withUnsafeBytes { bytes in
            if let field = FieldJSONDecode.calendar(bytes, type) {
                _ = FieldText.writeCalendar(field, form: .postgres, to: sink)
            } else {
                _ = sink.append(bytes)
            }
        }
        return true
    }

    /// In the object's own order, which is the one that the row had at the source.
    private static func object(_ cursor: inout JSONCursor, _ composite: CompositeType, to sink: ByteArena) -> Bool {
        let part = ByteArena(capacity: 64)
        guard cursor.take(0x7B) else { return false }
        sink.append(byte: 0x28)
        if !cursor.take(0x7D) {
            var isFirst = true
            repeat {
                guard cursor.next() == 0x22,
                    let name = cursor.string().flatMap({ JSONString.unescaped(cursor.bytes($0)) }),
                    cursor.take(0x3A), let json = cursor.value()
                else { return false }
                if !isFirst { sink.append(byte: 0x2C) }
                isFirst = false
                if cursor.bytes(json).first == 0x6E { continue }
                let type = composite.index(of: name).map { composite.fields[$0].type } ?? .text
                part.removeAll()
                guard value(cursor.bytes(json), type, to: part) else { return false }
                let text = part.bytes(ByteRange(offset: 0, length: part.count))
                if text.isEmpty || text.contains(where: { isSpecial($0) || $0 == 0x28 || $0 == 0x29 || $0 == 0x2C }) {
                    // Doubled, where an array's are escaped.
                    quote(text, to: sink) { $0 }
                } else {
                    _ = sink.append(text)
                }
            } while cursor.take(0x2C)
            guard cursor.take(0x7D) else { return false }
        }
        sink.append(byte: 0x29)
        return true
    }

    private static func array(
        _ cursor: inout JSONCursor, _ element: ColumnType, depth: Int, to sink: ByteArena
    ) -> Bool {
        guard cursor.take(0x5B), depth <= ArrayText.dimensions_max else { return false }
        let leaf = element.leaf
        let delimiter = ArrayText.delimiter(leaf)
        let part = ByteArena(capacity: 64)
        sink.append(byte: 0x7B)
        if !cursor.take(0x5D) {
            while true {
                let first = cursor.next()
                if first == 0x5B, !ArrayText.isJSON(leaf) {
                    guard array(&cursor, element, depth: depth + 1, to: sink) else { return false }
                } else {
                    guard let json = cursor.value() else { return false }
                    if first == 0x6E {
                        sink.append(word: "NULL")
                    } else {
                        part.removeAll()
                        guard value(cursor.bytes(json), leaf, to: part) else { return false }
                        item(part.bytes(ByteRange(offset: 0, length: part.count)), delimiter, to: sink)
                    }
                }
                if cursor.take(0x5D) { break }
                guard cursor.take(0x2C) else { return false }
                sink.append(byte: delimiter)
            }
        }
        sink.append(byte: 0x7D)
        return true
    }

    private static func item(_ text: UnsafeRawBufferPointer, _ delimiter: UInt8, to sink: ByteArena) {
        let isNull = text.count == 4 && text.lazy.map { $0 | 0x20 }.elementsEqual("null".utf8)
        let isQuoted =
            isNull || text.isEmpty
            || text.contains { isSpecial($0) || $0 == 0x7B || $0 == 0x7D || $0 == delimiter }
        if isQuoted { quote(text, to: sink) { _ in 0x5C } } else { _ = sink.append(text) }
    }

    /// What both kinds of literal quote: quotes, backslashes and blanks.
    private static func isSpecial(_ byte: UInt8) -> Bool {
        byte == 0x22 || byte == 0x5C || byte == 0x20 || byte &- 0x09 < 5
    }

    /// - Parameter before: what stands before a quote or a backslash.
    private static func quote(_ text: UnsafeRawBufferPointer, to sink: ByteArena, before: (UInt8) -> UInt8) {
        sink.append(byte: 0x22)
        for byte in text {
            if byte == 0x22 || byte == 0x5C { sink.append(byte: before(byte)) }
            sink.append(byte: byte)
        }
        sink.append(byte: 0x22)
    }
}

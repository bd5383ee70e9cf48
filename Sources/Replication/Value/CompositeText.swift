import JSON

/// Composites between their two texts: JSON as `to_jsonb` writes it, and Postgres' literal `(x,,"a ""b""")`, in which
/// nothing is NULL and `""` the empty text.
enum CompositeText {
    /// Appends a literal as a JSON object, its fields in their `to_jsonb` form; false, and nothing appended, if it
    /// isn't a literal of as many fields.
    static func appendJSON(
        literal range: ByteRange, of arena: ByteArena, _ composite: CompositeType, to sink: ByteArena
    ) -> Bool {
        let mark = sink.count
        var reader = LiteralReader(arena: arena, at: range.offset, end: range.offset + range.length, sink: sink)
        guard reader.object(composite), reader.at == reader.end else {
            sink.truncate(to: mark)
            return false
        }
        return true
    }

    /// Reads what Postgres' own input function reads: quotes may stand around any part of a field.
    private struct LiteralReader: LiteralReading {
        let arena: ByteArena
        var at: Int
        let end: Int
        let sink: ByteArena
        let plain = ByteArena(capacity: 256)

        init(arena: ByteArena, at: Int, end: Int, sink: ByteArena) {
            self.arena = arena
            self.at = at
            self.end = end
            self.sink = sink
        }

        mutating func object(_ composite: CompositeType) -> Bool {
            guard take(0x28) else { return false }
            for (index, field) in composite.fields.enumerated() {
                guard index == 0 || take(0x2C) else { return false }
                sink.append(byte: index == 0 ? 0x7B : 0x2C)
                _ = field.label.withUnsafeBytes { sink.append($0) }
                guard value(field.type) else { return false }
            }
            sink.append(byte: 0x7D)
            return take(0x29)
        }

        private mutating func value(_ type: ColumnType) -> Bool {
            if byte == 0x2C || byte == 0x29 {
                sink.append(word: "null")
                return true
            }
            plain.removeAll()
            var isQuoted = false
            while true {
                guard at < end else { return false }
                let next = byte
                if !isQuoted, next == 0x2C || next == 0x29 { break }
                at += 1
                switch next {
                case 0x5C:
                    guard at < end else { return false }
                    plain.append(byte: byte)
                    at += 1
                case 0x22 where isQuoted && byte == 0x22 && at < end:
                    plain.append(byte: next)
                    at += 1
                case 0x22: isQuoted.toggle()
                default: plain.append(byte: next)
                }
            }
            FieldText.appendJSON(part: ByteRange(offset: 0, length: plain.count), of: plain, type, to: sink)
            return true
        }
    }

    // MARK: - Misfits

    /// Why a JSON text isn't one of a composite; nil if it is. Fields that it lacks are NULL; one that the type
    /// doesn't have would be lost, if it has a value.
    static func misfit(_ bytes: UnsafeRawBufferPointer, _ composite: CompositeType) -> String? {
        var cursor = JSONCursor(bytes)
        var wrong: String { "not an object of \(composite.name)" }
        guard cursor.take(0x7B) else { return wrong }
        if !cursor.take(0x7D) {
            repeat {
                guard cursor.next() == 0x22,
                    let name = cursor.string().flatMap({ JSONString.unescaped(cursor.bytes($0)) }),
                    cursor.take(0x3A), let value = cursor.value()
                else { return wrong }
                let text = cursor.bytes(value)
                if text.first == 0x6E { continue }
                guard let index = composite.index(of: name) else {
                    return "has a value in the field \"\(String(decoding: name, as: UTF8.self))\" that the column lacks"
                }
                if let reason = misfit(text, composite.fields[index].type) { return reason }
            } while cursor.take(0x2C)
            guard cursor.take(0x7D) else { return wrong }
        }
        return cursor.next() == 0 ? nil : wrong
    }

    /// Of a field: what is no composite comes from Postgres as it is.
    private static func misfit(_ text: UnsafeRawBufferPointer, _ type: ColumnType) -> String? {
        switch type {
        case .composite(let inner): misfit(text, inner)
        case .array(let element) where type.composite != nil: ArrayText.misfit(text, element: element)
        default: nil
        }
    }
}

import JSON

/// Arrays between their two texts: JSON, and Postgres' literal `{1,NULL,"a b"}`. Lower bounds aren't kept, as
/// `to_jsonb` doesn't keep them. Values have what dimensions they like, whatever the type says.
enum ArrayText {
    /// Postgres' own bound.
    static let dimensions_max = 6

    /// Appends the literal of a JSON array; nil, and nothing appended, if it isn't one.
    static func appendLiteral(
        _ range: ByteRange, of arena: ByteArena, element: ColumnType, to sink: ByteArena
    ) -> ByteRange? {
        // A value at most doubles and gains quotes: `"",` becomes `"\"\"",`.
        sink.reserve(3 * range.length + 64)
        var writer = LiteralWriter(
            cursor: JSONCursor(arena.bytes(range)), out: sink.base + sink.count, isJSON: isJSON(element.leaf),
            delimiter: delimiter(element.leaf))
        guard writer.array(depth: 1), writer.cursor.next() == 0 else { return nil }
        return sink.appendUninitialized(writer.at)
    }

    static func isJSON(_ element: ColumnType) -> Bool { element == .json || element == .jsonb }

    /// What stands between elements: a comma for all but boxes, whose own text has commas.
    static func delimiter(_ element: ColumnType) -> UInt8 { element == .other("box") ? 0x3B : 0x2C }

    private struct LiteralWriter {
        var cursor: JSONCursor
        let out: UnsafeMutableRawPointer
        let isJSON: Bool
        let delimiter: UInt8
        var at = 0

        @inline(__always)
        private mutating func put(_ byte: UInt8) {
            out.storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
            at += 1
        }

        private mutating func put(_ bytes: UnsafeRawBufferPointer) {
            guard let from = bytes.baseAddress else { return }
            (out + at).copyMemory(from: from, byteCount: bytes.count)
            at += bytes.count
        }

        private mutating func put(_ word: StaticString) { put(UnsafeRawBufferPointer(word)) }

        mutating func array(depth: Int) -> Bool {
            guard cursor.take(0x5B), depth <= dimensions_max else { return false }
            put(0x7B)
            if !cursor.take(0x5D) {
                while true {
                    guard element(depth: depth) else { return false }
                    if cursor.take(0x5D) { break }
                    guard cursor.take(0x2C) else { return false }
                    put(delimiter)
                }
            }
            put(0x7D)
            return true
        }

        private mutating func element(depth: Int) -> Bool {
            let first = cursor.next()
            if first == 0x6E {
                put("NULL")
                return cursor.word("null")
            }
            if !isJSON {
                switch first {
                case 0x5B: return array(depth: depth + 1)
                case 0x22:
                    guard let content = cursor.string() else { return false }
                    return string(cursor.bytes(content))
                case 0x74:
                    put(0x74)
                    return cursor.word("true")
                case 0x66:
                    put(0x66)
                    return cursor.word("false")
                default: break
                }
            }
            guard let value = cursor.value() else { return false }
            let text = cursor.bytes(value)
            // A number; and an object, which only the element's own type can judge.
            if first == 0x2D || first &- 0x30 < 10 { put(text) } else { quote(text) }
            return true
        }

        private mutating func quote(_ text: UnsafeRawBufferPointer) {
            put(0x22)
            for byte in text {
                if byte == 0x22 || byte == 0x5C { put(0x5C) }
                put(byte)
            }
            put(0x22)
        }

        private mutating func string(_ content: UnsafeRawBufferPointer) -> Bool {
            guard content.contains(0x5C) else {
                put(0x22)
                put(content)
                put(0x22)
                return true
            }
            // Unescaped behind the room that the quoted form takes, which is never longer than the content.
            let plain = out + at + content.count + 2
            guard let length = JSONString.unescape(content, into: plain) else { return false }
            quote(UnsafeRawBufferPointer(start: plain, count: length))
            return true
        }
    }

    /// Appends a literal as a JSON array, its elements in their `to_jsonb` form; false, and nothing appended, if it
    /// isn't a literal. `[2:3]={…}` is read without its bounds.
    static func appendJSON(
        literal range: ByteRange, of arena: ByteArena, element: ColumnType, to sink: ByteArena
    ) -> Bool {
        let mark = sink.count
        var reader = LiteralReader(
            arena: arena, at: range.offset, end: range.offset + range.length, element: element.leaf, sink: sink)
        reader.skipBounds()
        guard reader.array(depth: 1), reader.at == reader.end else {
            sink.truncate(to: mark)
            return false
        }
        return true
    }

    private struct LiteralReader: LiteralReading {
        let arena: ByteArena
        var at: Int
        let end: Int
        let element: ColumnType
        let delimiter: UInt8
        let sink: ByteArena
        let plain = ByteArena(capacity: 256)

        init(arena: ByteArena, at: Int, end: Int, element: ColumnType, sink: ByteArena) {
            self.arena = arena
            self.at = at
            self.end = end
            self.element = element
            delimiter = ArrayText.delimiter(element)
            self.sink = sink
        }

        mutating func skipBounds() {
            guard byte == 0x5B else { return }
            while at < end, byte != 0x3D { at += 1 }
            if at < end { at += 1 }
        }

        mutating func array(depth: Int) -> Bool {
            guard take(0x7B), depth <= dimensions_max else { return false }
            sink.append(byte: 0x5B)
            if !take(0x7D) {
                while true {
                    guard byte == 0x7B ? array(depth: depth + 1) : item() else { return false }
                    if take(0x7D) { break }
                    guard take(delimiter) else { return false }
                    sink.append(byte: 0x2C)
                }
            }
            sink.append(byte: 0x5D)
            return true
        }

        private mutating func item() -> Bool {
            plain.removeAll()
            let isQuoted = take(0x22)
            while at < end {
                let next = byte
                if isQuoted ? next == 0x22 : next == delimiter || next == 0x7D || next == 0x7B || next == 0x22 { break }
                at += 1
                if next == 0x5C {
                    guard at < end else { return false }
                    plain.append(byte: byte)
                    at += 1
                } else {
                    plain.append(byte: next)
                }
            }
            if isQuoted {
                guard take(0x22) else { return false }
            } else if plain.count == 0 {
                return false
            } else if plain.count == 4, isNull() {
                sink.append(word: "null")
                return true
            }
            FieldText.appendJSON(part: ByteRange(offset: 0, length: plain.count), of: plain, element, to: sink)
            return true
        }

        private func isNull() -> Bool {
            let word: StaticString = "null"
            for i in 0..<4 where plain.base.load(fromByteOffset: i, as: UInt8.self) | 0x20 != word.utf8Start[i] {
                return false
            }
            return true
        }
    }
}

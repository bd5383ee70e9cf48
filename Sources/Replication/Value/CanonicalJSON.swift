import JSON

/// JSON in the one form that all texts of an equal jsonb share: keys sorted, the last of duplicates kept, numbers
/// without needless zeros, strings escaped in one way, no spaces.
enum CanonicalJSON {
    /// `elements`: how the scalars of an array of another type are compared. What isn't JSON is copied.
    static func append(
        _ range: ByteRange, of arena: ByteArena, to sink: ByteArena, elements: KeyGroupRule = .jsonb
    ) {
        let start = sink.count
        // Rare, so a copy is cheaper than care about a sink that moves.
        let text = Array(arena.bytes(range))
        let done = text.withUnsafeBytes { bytes -> Bool in
            var writer = Writer(cursor: JSONCursor(bytes), sink: sink, rule: elements)
            return writer.value(depth: 0) && writer.cursor.next() == 0
        }
        if !done {
            sink.truncate(to: start)
            _ = sink.append(range, of: arena)
        }
    }

    private struct Writer {
        var cursor: JSONCursor
        let sink: ByteArena
        let rule: KeyGroupRule
        let plain = ByteArena(capacity: 64)

        init(cursor: JSONCursor, sink: ByteArena, rule: KeyGroupRule) {
            self.cursor = cursor
            self.sink = sink
            self.rule = rule
        }

        mutating func value(depth: Int) -> Bool {
            guard depth < 256 else { return false }
            switch cursor.next() {
            case 0x7B: return object(depth: depth)
            case 0x5B: return array(depth: depth)
            case 0x22:
                guard let content = cursor.string() else { return false }
                return string(content)
            case 0x2D, 0x30...0x39:
                guard let number = cursor.value() else { return false }
                plain.removeAll()
                let range = plain.append(cursor.bytes(number))
                switch rule {
                case .jsonb, .decimal:
                    if DecimalText.appendNormalized(range, of: plain, to: sink) == nil {
                        _ = sink.append(range, of: plain)
                    }
                case .float: rule.append(.stretch(.text, range), .double, from: plain, to: sink)
                default: _ = sink.append(range, of: plain)
                }
                return true
            default:
                guard let word = cursor.value() else { return false }
                _ = sink.append(cursor.bytes(word))
                return true
            }
        }

        private mutating func string(_ content: Range<Int>) -> Bool {
            guard let text = unescaped(content) else { return false }
            plain.removeAll()
            let range = text.withUnsafeBytes { plain.append($0) }
            if rule == .jsonb || rule == .asKey {
                FieldText.appendString(range, of: plain, to: sink)
                return true
            }
            // An array's strings, each as a key column would have it.
            let form = ByteArena(capacity: 64)
            rule.append(.stretch(.text, range), .text, from: plain, to: form)
            FieldText.appendString(ByteRange(offset: 0, length: form.count), of: form, to: sink)
            return true
        }

        private func unescaped(_ content: Range<Int>) -> [UInt8]? { JSONString.unescaped(cursor.bytes(content)) }

        private mutating func array(depth: Int) -> Bool {
            cursor.at += 1
            sink.append(byte: 0x5B)
            if !cursor.take(0x5D) {
                while true {
                    guard value(depth: depth + 1) else { return false }
                    if cursor.take(0x5D) { break }
                    guard cursor.take(0x2C) else { return false }
                    sink.append(byte: 0x2C)
                }
            }
            sink.append(byte: 0x5D)
            return true
        }

        private mutating func object(depth: Int) -> Bool {
            cursor.at += 1
            var members: [(key: [UInt8], at: Int)] = []
            if !cursor.take(0x7D) {
                repeat {
                    guard cursor.next() == 0x22, let content = cursor.string(), let key = unescaped(content),
                        cursor.take(0x3A), let value = cursor.value()
                    else { return false }
                    members.append((key, value.lowerBound))
                } while cursor.take(0x2C)
                guard cursor.take(0x7D) else { return false }
            }
            let end = cursor.at
            members.sort { a, b in
                a.key == b.key ? a.at < b.at : a.key.lexicographicallyPrecedes(b.key)
            }
            sink.append(byte: 0x7B)
            var isFirst = true
            for (i, member) in members.enumerated() {
                if i + 1 < members.count, members[i + 1].key == member.key { continue }
                if !isFirst { sink.append(byte: 0x2C) }
                isFirst = false
                plain.removeAll()
                FieldText.appendString(member.key.withUnsafeBytes { plain.append($0) }, of: plain, to: sink)
                sink.append(byte: 0x3A)
                cursor.at = member.at
                guard value(depth: depth + 1) else { return false }
            }
            sink.append(byte: 0x7D)
            cursor.at = end
            return true
        }
    }
}

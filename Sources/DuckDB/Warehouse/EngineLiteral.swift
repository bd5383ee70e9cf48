import JSON
import Replication

/// Where the era stands in a date: Postgres has it at the end, the engine behind the day.
enum EraText {
    /// `0044-03-15T10:00:00 BC` to `0044-03-15 (BC) 10:00:00`.
    static func engine(_ text: String) -> String {
        guard text.hasSuffix(" BC") else { return text }
        let body = text.dropLast(3)
        let day = body.prefix { $0 != "T" && $0 != " " }
        let rest = body.dropFirst(day.count + 1)
        return rest.isEmpty ? "\(day) (BC)" : "\(day) (BC) \(rest)"
    }

    /// The way back.
    static func postgres(_ text: String) -> String {
        text.contains(" (BC)") ? text.replacing(" (BC)", with: "") + " BC" : text
    }
}

/// The engine's text of a MAP, from an hstore's text `"a"=>"1", "b"=>NULL` or its JSON object: `{"a"="1","b"=NULL}`.
enum MapLiteral {
    /// False if it is neither.
    static func append(_ bytes: UnsafeRawBufferPointer, to sink: ByteArena) -> Bool {
        if bytes.first(where: { $0 > 0x20 }) == 0x7B { return append(json: bytes, to: sink) }
        var at = 0
        func skipBlanks() { while at < bytes.count, bytes[at] <= 0x20 { at += 1 } }
        /// A quoted text; what hstore escapes is escaped here likewise.
        func quoted() -> Range<Int>? {
            let start = at
            guard at < bytes.count, bytes[at] == 0x22 else { return nil }
            at += 1
            while at < bytes.count, bytes[at] != 0x22 { at += bytes[at] == 0x5C ? 2 : 1 }
            guard at < bytes.count else { return nil }
            at += 1
            return start..<at
        }
        func take(_ word: String) -> Bool {
            guard bytes[min(at, bytes.count)...].starts(with: word.utf8) else { return false }
            at += word.utf8.count
            return true
        }
        sink.append(byte: 0x7B)
        skipBlanks()
        while at < bytes.count {
            guard let key = quoted() else { return false }
            _ = sink.append(UnsafeRawBufferPointer(rebasing: bytes[key]))
            sink.append(byte: 0x3D)
            skipBlanks()
            guard take("=>") else { return false }
            skipBlanks()
            if let value = quoted() {
                _ = sink.append(UnsafeRawBufferPointer(rebasing: bytes[value]))
            } else {
                guard take("NULL") else { return false }
                _ = sink.append("NULL")
            }
            skipBlanks()
            guard at < bytes.count else { break }
            guard take(",") else { return false }
            sink.append(byte: 0x2C)
            skipBlanks()
        }
        sink.append(byte: 0x7D)
        return true
    }

    private static func append(json: UnsafeRawBufferPointer, to sink: ByteArena) -> Bool {
        guard case .object(let members)? = try? JSONValue(parsing: Array(json)) else { return false }
        sink.append(byte: 0x7B)
        for (index, member) in members.enumerated() {
            if index > 0 { sink.append(byte: 0x2C) }
            Array(member.key.utf8).withUnsafeBytes { NestedLiteral.quote($0, to: sink) }
            sink.append(byte: 0x3D)
            switch member.value {
            case .null: _ = sink.append("NULL")
            case .string(let text): Array(text.utf8).withUnsafeBytes { NestedLiteral.quote($0, to: sink) }
            default: Array(member.value.serialized.utf8).withUnsafeBytes { NestedLiteral.quote($0, to: sink) }
            }
        }
        sink.append(byte: 0x7D)
        return true
    }
}

/// Finds the ends of values in JSON that is known to be well-formed.
struct JSONScanner {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The next byte that isn't blank, not passed; 0 at the end.
    mutating func next() -> UInt8 {
        while at < bytes.count, bytes[at] <= 0x20 { at += 1 }
        return at < bytes.count ? bytes[at] : 0
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard next() == byte else { return false }
        at += 1
        return true
    }

    /// Passes one value.
    mutating func value() -> UnsafeRawBufferPointer? {
        let first = next()
        let start = at
        var depth = 0
        switch first {
        case 0x22: guard string() else { return nil }
        case 0x5B, 0x7B:
            repeat {
                switch next() {
                case 0x5B, 0x7B: depth += 1
                case 0x5D, 0x7D: depth -= 1
                case 0x22:
                    guard string() else { return nil }
                    continue
                case 0: return nil
                default: break
                }
                at += 1
            } while depth > 0
        default:
            while at < bytes.count, ![0x2C, 0x5D, 0x7D].contains(bytes[at]), bytes[at] > 0x20 { at += 1 }
        }
        return at > start ? UnsafeRawBufferPointer(rebasing: bytes[start..<at]) : nil
    }

    private mutating func string() -> Bool {
        at += 1
        while at < bytes.count, bytes[at] != 0x22 { at += bytes[at] == 0x5C ? 2 : 1 }
        at += 1
        return at <= bytes.count
    }
}

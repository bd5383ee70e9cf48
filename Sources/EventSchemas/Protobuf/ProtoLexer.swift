/// The words of a `.proto` file.
struct ProtoLexer {
    enum Token: Equatable {
        /// A name, dots included.
        case word(String)
        case number(String)
        case string(String)
        case symbol(UInt8)
        case end
    }

    private let text: [UInt8]
    private var at = 0
    private(set) var line = 1

    init(_ text: String) { self.text = Array(text.utf8) }

    mutating func next() throws(SchemaTrouble) -> Token {
        try skipSpace()
        guard at < text.count else { return .end }
        let byte = text[at]
        if Self.isLetter(byte) || byte == 0x2E && at + 1 < text.count && Self.isLetter(text[at + 1]) { return word() }
        if Self.isDigit(byte) || byte == 0x2E && at + 1 < text.count && Self.isDigit(text[at + 1]) { return number() }
        if byte == 0x22 || byte == 0x27 { return try string(byte) }
        at += 1
        return .symbol(byte)
    }

    private mutating func skipSpace() throws(SchemaTrouble) {
        while at < text.count {
            switch text[at] {
            case 0x0A:
                line += 1
                at += 1
            case 0x20, 0x09, 0x0D, 0x0B, 0x0C: at += 1
            case 0x2F where at + 1 < text.count && text[at + 1] == 0x2F:
                while at < text.count, text[at] != 0x0A { at += 1 }
            case 0x2F where at + 1 < text.count && text[at + 1] == 0x2A:
                at += 2
                while at + 1 < text.count, text[at] != 0x2A || text[at + 1] != 0x2F {
                    if text[at] == 0x0A { line += 1 }
                    at += 1
                }
                guard at + 1 < text.count else { throw SchemaTrouble("its .proto ends inside of a comment") }
                at += 2
            default: return
            }
        }
    }

    private mutating func word() -> Token {
        let start = at
        at += 1
        while at < text.count, Self.isLetter(text[at]) || Self.isDigit(text[at]) || text[at] == 0x2E { at += 1 }
        return .word(String(decoding: text[start..<at], as: UTF8.self))
    }

    private mutating func number() -> Token {
        let start = at
        while at < text.count, Self.isLetter(text[at]) || Self.isDigit(text[at]) || text[at] == 0x2E { at += 1 }
        return .number(String(decoding: text[start..<at], as: UTF8.self))
    }

    /// Escapes are kept apart only as far as the end of the string needs it; the few that matter are taken away.
    private mutating func string(_ quote: UInt8) throws(SchemaTrouble) -> Token {
        at += 1
        var bytes: [UInt8] = []
        while at < text.count, text[at] != quote, text[at] != 0x0A {
            if text[at] == 0x5C, at + 1 < text.count {
                at += 1
                switch text[at] {
                case 0x6E: bytes.append(0x0A)
                case 0x72: bytes.append(0x0D)
                case 0x74: bytes.append(0x09)
                case 0x22, 0x27, 0x5C: bytes.append(text[at])
                default: bytes += [0x5C, text[at]]
                }
            } else {
                bytes.append(text[at])
            }
            at += 1
        }
        guard at < text.count, text[at] == quote else {
            throw SchemaTrouble("its .proto has a string without an end, line \(line)")
        }
        at += 1
        return .string(String(decoding: bytes, as: UTF8.self))
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) || byte == 0x5F }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}

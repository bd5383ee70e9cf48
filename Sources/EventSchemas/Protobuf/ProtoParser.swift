/// Reads a `.proto` file: proto2, proto3 and editions, as far as Confluent's ProtobufConverter and people write them.
/// Services, extensions and options that nobody here needs are passed over; groups aren't read.
struct ProtoParser {
    static let text_bytes_max = 8 << 20
    private static let depth_max = 32
    private static let fields_max = 100_000

    private var lexer: ProtoLexer
    private var token = ProtoLexer.Token.end
    private var file = ProtoFile()
    private var fields = 0

    static func parse(_ text: String) throws(SchemaTrouble) -> ProtoFile {
        guard text.utf8.count <= text_bytes_max else { throw SchemaTrouble("its .proto is too long") }
        var parser = ProtoParser(text)
        try parser.readFile()
        return parser.file
    }

    private init(_ text: String) { lexer = ProtoLexer(text) }

    private func trouble(_ what: String) -> SchemaTrouble { SchemaTrouble("its .proto \(what), line \(lexer.line)") }

    private mutating func readFile() throws(SchemaTrouble) {
        try advance()
        while token != .end {
            switch token {
            case .word("syntax"), .word("edition"):
                let isSyntax = token == .word("syntax")
                try advance()
                try expect("=")
                guard case .string(let name) = token else { throw trouble("says no syntax") }
                file.hasPresence = !isSyntax || name != "proto3"
                try skipStatement()
            case .word("package"):
                try advance()
                file.package = try word()
                try skipStatement()
            case .word("message"): file.messages.append(try message(depth: 0))
            case .word("enum"): file.enums.append(try enumeration())
            case .word("import"), .word("option"): try skipStatement()
            case .word("service"), .word("extend"): try skipBlock()
            case .symbol(0x3B): try advance()
            default: throw trouble("has something else than a declaration")
            }
        }
    }

    // MARK: - Messages

    private mutating func message(depth: Int) throws(SchemaTrouble) -> ProtoMessage {
        guard depth < Self.depth_max else { throw trouble("has messages nested too deeply") }
        try advance()
        var message = ProtoMessage(name: try word())
        try expect("{")
        while token != .symbol(0x7D) {
            switch token {
            case .word("message"): message.messages.append(try self.message(depth: depth + 1))
            case .word("enum"): message.enums.append(try enumeration())
            case .word("oneof"):
                try advance()
                _ = try word()
                try expect("{")
                while token != .symbol(0x7D) {
                    if token == .word("option") {
                        try skipStatement()
                    } else if token == .symbol(0x3B) {
                        try advance()
                    } else {
                        var field = try field()
                        field.isInOneof = true
                        message.fields.append(field)
                    }
                }
                try advance()
            case .word("option"):
                if try mapEntryOption() { message.isMapEntry = true }
            case .word("reserved"), .word("extensions"): try skipStatement()
            case .word("extend"): try skipBlock()
            case .symbol(0x3B): try advance()
            case .end: throw trouble("ends inside of a message")
            default: message.fields.append(try field())
            }
        }
        try advance()
        return message
    }

    private mutating func field() throws(SchemaTrouble) -> ProtoField {
        fields += 1
        guard fields <= Self.fields_max else { throw trouble("has too many fields") }
        var field = ProtoField(name: "", number: 0, type: try word())
        switch field.type {
        case "optional": field.label = .optional
        case "required": field.label = .required
        case "repeated": field.label = .repeated
        default: break
        }
        // A message may be called like a label; then the field's name and its number follow.
        if field.label != .none, case .word = token { field.type = try word() }
        if field.type == "group" { throw trouble("has a group, which is not read") }
        if field.type == "map", token == .symbol(0x3C) {
            try advance()
            field.key = try word()
            try expect(",")
            field.type = try word()
            try expect(">")
        }
        field.name = try word()
        try expect("=")
        field.number = try integer()
        guard (1...536_870_911).contains(field.number) else { throw trouble("has a field number out of range") }
        if token == .symbol(0x5B) { field.parameters = try options() }
        try expect(";")
        return field
    }

    /// `[…]` behind a field: of all that stands there, pairs of `key` and `value`.
    private mutating func options() throws(SchemaTrouble) -> [(name: String, value: String)] {
        var parameters: [(name: String, value: String)] = []
        var depth = 0
        var (key, value): (String?, String?)
        var member: String?
        repeat {
            switch token {
            case .symbol(0x5B), .symbol(0x7B), .symbol(0x28): depth += 1
            case .symbol(0x5D), .symbol(0x7D), .symbol(0x29):
                depth -= 1
                (key, value) = (nil, nil)
            case .word(let name): member = name
            case .string(let text):
                if member == "key" { key = text }
                if member == "value" { value = text }
                member = nil
                guard let name = key, let text = value else { break }
                parameters.append((name, text))
                (key, value) = (nil, nil)
            case .end: throw trouble("ends inside of a field's options")
            default: break
            }
            try advance()
        } while depth > 0
        return parameters
    }

    /// Whether the option is `map_entry = true`.
    private mutating func mapEntryOption() throws(SchemaTrouble) -> Bool {
        try advance()
        let isMapEntry = token == .word("map_entry")
        var isTrue = false
        if isMapEntry {
            try advance()
            try expect("=")
            isTrue = token == .word("true")
        }
        try skipStatement()
        return isTrue
    }

    private mutating func enumeration() throws(SchemaTrouble) -> ProtoEnum {
        try advance()
        var enumeration = ProtoEnum(name: try word())
        try expect("{")
        while token != .symbol(0x7D) {
            switch token {
            case .word("option"), .word("reserved"): try skipStatement()
            case .symbol(0x3B): try advance()
            case .end: throw trouble("ends inside of an enum")
            default:
                fields += 1
                guard fields <= Self.fields_max else { throw trouble("has too many values") }
                let name = try word()
                try expect("=")
                enumeration.values.append((name, try integer()))
                if token == .symbol(0x5B) { _ = try options() }
                try expect(";")
            }
        }
        try advance()
        return enumeration
    }

    // MARK: - Tokens

    private mutating func advance() throws(SchemaTrouble) { token = try lexer.next() }

    private mutating func expect(_ symbol: Character) throws(SchemaTrouble) {
        guard let byte = symbol.asciiValue, token == .symbol(byte) else { throw trouble("lacks a \(symbol)") }
        try advance()
    }

    private mutating func word() throws(SchemaTrouble) -> String {
        guard case .word(let name) = token else { throw trouble("lacks a name") }
        try advance()
        return name
    }

    private mutating func integer() throws(SchemaTrouble) -> Int32 {
        var isNegative = false
        if token == .symbol(0x2D) {
            isNegative = true
            try advance()
        }
        guard case .number(let text) = token else { throw trouble("lacks a number") }
        let lower = text.lowercased()
        let magnitude =
            lower.hasPrefix("0x")
            ? Int64(lower.dropFirst(2), radix: 16)
            : lower.count > 1 && lower.hasPrefix("0") ? Int64(lower, radix: 8) : Int64(lower)
        guard let magnitude, let number = Int32(exactly: isNegative ? -magnitude : magnitude) else {
            throw trouble("has a number out of range")
        }
        try advance()
        return number
    }

    /// To behind the semicolon, over what is in brackets.
    private mutating func skipStatement() throws(SchemaTrouble) {
        var depth = 0
        while true {
            switch token {
            case .symbol(0x7B), .symbol(0x5B): depth += 1
            case .symbol(0x7D), .symbol(0x5D): depth -= 1
            case .symbol(0x3B) where depth <= 0: return try advance()
            case .end: throw trouble("ends inside of a statement")
            default: break
            }
            try advance()
        }
    }

    private mutating func skipBlock() throws(SchemaTrouble) {
        while token != .symbol(0x7B) {
            guard token != .end else { throw trouble("ends inside of a declaration") }
            try advance()
        }
        var depth = 0
        repeat {
            if token == .symbol(0x7B) { depth += 1 }
            if token == .symbol(0x7D) { depth -= 1 }
            guard token != .end else { throw trouble("ends inside of a declaration") }
            try advance()
        } while depth > 0
    }
}

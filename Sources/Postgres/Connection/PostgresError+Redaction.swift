extension PostgresError {
    /// For what met a user's own SQL while it ran: functions and casts of theirs put values where names stand
    /// (`card::regclass`, `current_setting(card)`).
    var withoutMessage: PostgresError {
        guard kind == .permanent || kind == .data else { return self }
        var error = self
        error.message = "it fails on what the rows hold (the server's message is withheld, as it may quote values)"
        (error.schema, error.table, error.column, error.dataType, error.constraint) = (nil, nil, nil, nil, nil)
        return error
    }

    /// A primary message without cell values.
    ///
    /// Messages of classes that speak of values lose what follows a colon and every quoted text that is
    /// not the name of something. A message that isn't English is withheld there, as its words can't
    /// tell names from values. What a trigger or function raised is withheld altogether.
    static func redact(message: String, sqlstate: String) -> String {
        switch sqlstate.prefix(2) {
        case "P0":
            return "a trigger or function raised an error (its text is withheld: see the server's log)"
        case "08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58":
            return message
        case "42" where sqlstate != "42601":  // a syntax error quotes the token, which may be a literal
            return message
        default:
            return withoutValues(message)
        }
    }

    private static let nameWords: Set<String> = [
        "column", "relation", "table", "constraint", "type", "domain", "index", "encoding", "function",
        "parameter", "schema", "sequence", "view",
    ]

    private static func withoutValues(_ message: String) -> String {
        let bytes = Array(message.utf8)
        let quote = UInt8(ascii: "\"")
        let colon = UInt8(ascii: ":")
        var kept: [UInt8] = []
        var skeleton: [UInt8] = []  // outside names
        var index = 0
        scan: while index < bytes.count {
            switch bytes[index] {
            case colon:
                kept += Array(": …".utf8)
                break scan
            case quote:
                if endsWithNameWord(skeleton), let end = bytes[(index + 1)...].firstIndex(of: quote) {
                    kept += bytes[index...end]
                    index = end + 1
                } else {
                    // The value may itself hold quotes: everything up to the last one goes.
                    kept += Array("\"…\"".utf8)
                    index = (bytes.lastIndex(of: quote) ?? bytes.count - 1) + 1
                }
            default:
                kept.append(bytes[index])
                skeleton.append(bytes[index])
                index += 1
            }
        }
        guard skeleton.allSatisfy({ $0 < 0x80 }) else {
            return "a message in the server's language (withheld, as it may quote values)"
        }
        return String(decoding: kept, as: UTF8.self)
            .split(separator: " ", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("0x") ? "…" : String($0) }  // bytes of a character that couldn't be converted
            .joined(separator: " ")
    }

    private static func endsWithNameWord(_ text: [UInt8]) -> Bool {
        guard text.last == UInt8(ascii: " ") else { return false }
        let word = text.dropLast().reversed().prefix { $0 != UInt8(ascii: " ") }.reversed()
        return nameWords.contains(String(decoding: Array(word), as: UTF8.self))
    }

    /// Line and column of a COPY from its CONTEXT (`COPY t, line 3, column b: "…"`, in binary without more), never the
    /// value.
    static func copyPlace(context: String) -> (line: Int?, column: String?) {
        guard context.hasPrefix("COPY "), let start = context.firstRange(of: ", line ")?.upperBound else {
            return (nil, nil)
        }
        let digits = context[start...].prefix { $0.isASCII && $0.isNumber }
        let rest = context[digits.endIndex...]
        guard rest.hasPrefix(", column ") else { return (Int(digits), nil) }
        let name = rest.dropFirst(", column ".count).prefix { $0.isLetter || $0.isNumber || $0 == "_" }
        // The value follows where the COPY was of text.
        let behind = context[name.endIndex...].first
        guard !name.isEmpty, behind == nil || behind == ":" || behind == "\n" else { return (Int(digits), nil) }
        return (Int(digits), String(name))
    }
}

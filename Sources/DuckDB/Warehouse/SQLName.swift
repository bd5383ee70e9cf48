/// Names in SQL text. Values never stand in SQL here: they go through parameters and appenders.
enum SQLName {
    /// An identifier in double quotes, whatever it contains.
    static func quoted(_ name: String) -> String {
        "\"" + doubling("\"", in: name) + "\""
    }

    static func quoted(_ schema: String, _ name: String) -> String {
        quoted(schema) + "." + quoted(name)
    }

    /// A name as a string literal, for functions that take one.
    static func literal(_ name: String) -> String {
        "'" + doubling("'", in: name) + "'"
    }

    /// What the engine compares names by: it knows no case.
    static func folded(_ name: String) -> String {
        String(decoding: name.utf8.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    private static func doubling(_ quote: Character, in name: String) -> String {
        var text = ""
        text.reserveCapacity(name.utf8.count)
        // By scalar: a combining mark behind a quote makes one Character of both.
        for scalar in name.unicodeScalars {
            text.unicodeScalars.append(scalar)
            if quote.unicodeScalars.first == scalar { text.unicodeScalars.append(scalar) }
        }
        return text
    }
}

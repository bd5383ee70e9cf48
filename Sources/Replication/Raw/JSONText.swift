import JSON

/// JSON text for what isn't on the hot path: small strings, the sparse version map.
package enum JSONText {
    /// `text` as a JSON string with its quotes.
    package static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    /// Reads `{"name":[1,2,null]…}`; nil if it is anything else.
    static func parseVersionMap(_ text: String) -> [(String, [Int64?])]? {
        guard case .object(let members)? = try? JSONValue(parsing: text) else { return nil }
        var result: [(String, [Int64?])] = []
        for (name, value) in members {
            guard case .array(let items) = value else { return nil }
            var numbers: [Int64?] = []
            for item in items {
                switch item {
                case .null: numbers.append(nil)
                case .number(let digits):
                    guard let number = Int64(digits) else { return nil }
                    numbers.append(number)
                default: return nil
                }
            }
            result.append((name, numbers))
        }
        return result
    }
}

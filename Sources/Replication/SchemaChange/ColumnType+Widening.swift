extension ColumnType {
    /// Whether every value of this type is the same value of the later one, so that a column can be made it in place.
    package func isWidened(to later: ColumnType) -> Bool {
        switch (self, later) {
        case (.smallint, .integer), (.smallint, .bigint), (.integer, .bigint): return true
        case (.numeric(_?, _), .numeric(nil, _)): return true
        case (.numeric(let digits?, let scale), .numeric(let laterDigits?, let laterScale)):
            return self != later && laterScale >= scale && laterDigits - laterScale >= digits - scale
        case (.timestamp(let digits), .timestamp(let laterDigits)): return digits < laterDigits
        case (.other(let name), .text): return Self.varyingLength(name) != nil
        case (.other(let name), .other(let laterName)):
            guard let length = Self.varyingLength(name), let laterLength = Self.varyingLength(laterName) else {
                return false
            }
            return length < laterLength
        default: return false
        }
    }

    /// Of `character varying(20)`: 20.
    private static func varyingLength(_ name: String) -> Int? {
        for prefix in ["character varying(", "varchar("] where name.hasPrefix(prefix) && name.hasSuffix(")") {
            return Int(name.dropFirst(prefix.count).dropLast())
        }
        return nil
    }
}

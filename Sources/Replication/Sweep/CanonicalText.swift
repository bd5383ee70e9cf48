/// SQL of one text for each value of a type, the same bytes in every engine that has the value.
///
/// Two values have the same text only if they are the same to the pipeline: `1.0` and `1.00` of an unconstrained
/// numeric are two values, `-0` and `0` of a double too, and all NaN are one.
struct CanonicalText {
    /// NULL of NULL.
    let sql: String
    /// How many bytes the text has, NULL of NULL; nil if no text of the type has a comma in it.
    let length: String?

    /// A text without commas.
    static func ended(_ sql: String) -> CanonicalText { CanonicalText(sql: sql, length: nil) }

    /// Arguments of a `concat`, which writes nothing for NULL: `12,` or `5:a,b c`. NULL is `,` or `:` alone, which no
    /// value is, as a number stands before every colon and no text without a length is empty. So values can't
    /// run into each other, whatever is in them.
    var pieces: [String] { length.map { [$0, "':'", sql] } ?? [sql, "','"] }
}

/// Names and literals that both dialects read the same way.
enum SweepSQL {
    static func quoted(_ name: String) -> String { "\"\(doubled(name, 0x22))\"" }

    /// With `standard_conforming_strings`.
    static func literal(_ text: String) -> String { "'\(doubled(text, 0x27))'" }

    /// By bytes: a mark behind a quote makes one Character with it.
    private static func doubled(_ text: String, _ quote: UInt8) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            bytes.append(byte)
            if byte == quote { bytes.append(byte) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// `concat` of any number of arguments: Postgres takes a hundred.
    static func concat(_ arguments: [String]) -> String {
        guard arguments.count > 90 else { return "concat(\(arguments.joined(separator: ", ")))" }
        let parts = stride(from: 0, to: arguments.count, by: 90).map {
            concat(Array(arguments[$0..<min($0 + 90, arguments.count)]))
        }
        return concat(parts)
    }
}

extension ColumnType {
    /// Whether an array of it is one text with commas between its elements, in Postgres' own words.
    var isListedPlainly: Bool {
        switch self {
        case .smallint, .integer, .bigint, .numeric, .uuid, .date, .time, .timetz, .timestamp, .timestamptz: true
        default: false
        }
    }

    /// How many `[]` it has.
    var dimensions: Int { if case .array(let element) = self { element.dimensions + 1 } else { 0 } }

    var isHstore: Bool {
        guard case .other(let name) = self else { return false }
        let lower = name.lowercased()
        return lower == "hstore" || lower.hasSuffix(".hstore")
    }
}

/// How values of a column's type are compared, whichever engine has them.
package enum ComparedType: Hashable, Sendable {
    case boolean
    case integer
    /// DuckDB has it as a DECIMAL where both are given, else as a text of its digits.
    case decimal(precision: Int?, scale: Int)
    case float(isSingle: Bool)
    case date, time, timestamp, timestamptz
    /// By its bytes.
    case text
    /// Without the blanks at its end: `char(n)`.
    case padded
    /// In small letters.
    case uuid

    /// Nil for a type whose values are only there or not: json, arrays, bytes, intervals.
    init?(_ type: ColumnType) {
        switch type {
        case .boolean: self = .boolean
        case .smallint, .integer, .bigint: self = .integer
        case .numeric(let digits?, let behind) where (1...38).contains(digits) && (0...digits).contains(behind):
            self = .decimal(precision: digits, scale: behind)
        case .numeric: self = .decimal(precision: nil, scale: 0)
        case .real: self = .float(isSingle: true)
        case .double: self = .float(isSingle: false)
        case .date: self = .date
        case .time: self = .time
        case .timestamp: self = .timestamp
        case .timestamptz: self = .timestamptz
        case .text, .timetz: self = .text
        case .uuid: self = .uuid
        case .other(let name):
            if type.isHstore { return nil }
            let base = name.lowercased().prefix { $0 != "(" }
            self = ["character", "char", "bpchar"].contains(base) ? .padded : .text
        case .interval, .json, .jsonb, .bytea, .array, .composite, .unknown: return nil
        }
    }

    package var isText: Bool {
        switch self {
        case .text, .padded, .uuid: true
        default: false
        }
    }

    /// What it is in messages.
    var noun: String {
        switch self {
        case .boolean: "boolean"
        case .integer: "whole number"
        case .decimal: "number"
        case .float: "number"
        case .date: "date"
        case .time: "time"
        case .timestamp: "timestamp without a zone"
        case .timestamptz: "timestamp"
        case .text, .padded: "text"
        case .uuid: "uuid"
        }
    }

    /// A value as the pipeline file writes it.
    var example: String {
        switch self {
        case .boolean: "true"
        case .integer: "42"
        case .decimal, .float: "12.50"
        case .date: "2024-01-31"
        case .time: "\"12:30:00\""
        case .timestamp: "2024-01-31T12:30:00"
        case .timestamptz: "2024-01-31T12:30:00Z"
        case .text, .padded: "paid"
        case .uuid: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        }
    }

    /// The Postgres type whose calendar text it has.
    var calendar: ColumnType? {
        switch self {
        case .date: .date
        case .time: .time
        case .timestamp: .timestamp(digits: 6)
        case .timestamptz: .timestamptz
        default: nil
        }
    }
}

/// A column's type, in Postgres' terms: what a source tells and a warehouse maps to its own.
package indirect enum ColumnType: Hashable, Sendable {
    case boolean
    case smallint
    case integer
    case bigint
    case real
    case double
    /// Unconstrained where precision is nil.
    case numeric(precision: Int?, scale: Int)
    case text
    case bytea
    case uuid
    case date
    case time
    case timetz
    /// Fractional digits as declared (0...6); they decide Debezium's unit.
    case timestamp(digits: Int)
    case timestamptz
    case interval
    case json
    case jsonb
    /// Postgres doesn't tell dimensions apart; an array of arrays says how many its values are meant to have.
    case array(ColumnType)
    /// A row of named fields, as far as both warehouses can take it apart; else `other`.
    case composite(CompositeType)
    /// Any other type, by Postgres' name for it; travels in Postgres' text form.
    case other(String)
    /// Nobody told: the value is kept as the JSON that carried it.
    case unknown

    /// Reads Postgres' (`format_type`) and common SQL names: `numeric(12,2)`, `timestamp(3) without time zone`,
    /// `int[]`, `varchar(20)`; and what `stored` gives of composites. Nil for an empty name.
    package init?(sql: String) {
        if let composite = CompositeReader.type(sql) {
            self = composite
            return
        }
        let written = sql.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        guard !written.isEmpty else { return nil }
        if written.hasSuffix("[]") {
            // Its case and blanks stay: a quoted name may have either.
            let name = sql.hasSuffix("[]") ? String(sql.dropLast(2)) : String(written.dropLast(2))
            guard let element = ColumnType(sql: name) else { return nil }
            self = .array(element)
            return
        }
        let name = written.lowercased()
        var base = name
        var modifiers: [Int] = []
        if let open = name.firstIndex(of: "("), let close = name[open...].firstIndex(of: ")") {
            let inside = name[name.index(after: open)..<close].split(separator: ",")
            modifiers = inside.compactMap { Int($0.filter { !$0.isWhitespace }) }
            guard modifiers.count == inside.count else {
                self = .other(sql)
                return
            }
            base = (name[..<open] + name[name.index(after: close)...])
                .split(separator: " ").joined(separator: " ")
        }
        switch base {
        case "boolean", "bool": self = .boolean
        case "smallint", "int2", "smallserial": self = .smallint
        case "integer", "int", "int4", "serial": self = .integer
        case "bigint", "int8", "bigserial": self = .bigint
        case "real", "float4": self = .real
        case "double precision", "float8", "double", "float": self = .double
        case "numeric", "decimal":
            self = .numeric(precision: modifiers.first, scale: modifiers.count > 1 ? modifiers[1] : 0)
        case "text", "string": self = .text
        case "bytea", "blob", "binary", "varbinary": self = .bytea
        case "uuid": self = .uuid
        case "date": self = .date
        case "time", "time without time zone": self = .time
        case "timetz", "time with time zone": self = .timetz
        case "timestamp", "timestamp without time zone", "datetime":
            self = .timestamp(digits: modifiers.first ?? 6)
        case "timestamptz", "timestamp with time zone": self = .timestamptz
        case "interval": self = .interval
        // Fields and digits are the declaration's: `interval day to second(3)`.
        case let fields where fields.hasPrefix("interval "): self = .interval
        case "json": self = .json
        case "jsonb": self = .jsonb
        case "varchar" where modifiers.isEmpty, "character varying" where modifiers.isEmpty: self = .text
        default: self = .other(sql)
        }
    }

    /// Whether the name is `time(0)` to `time(3)` without time zone, which the type itself doesn't tell.
    package static func isShortTime(sql: String) -> Bool {
        guard ColumnType(sql: sql) == .time, let open = sql.firstIndex(of: "("), let close = sql.firstIndex(of: ")")
        else { return false }
        return Int(sql[sql.index(after: open)..<close].filter { !$0.isWhitespace }).map { $0 <= 3 } ?? false
    }

    /// Of an array of any dimensions its elements' type; else the type itself.
    package var leaf: ColumnType {
        if case .array(let element) = self { element.leaf } else { self }
    }

    /// Postgres' name of it.
    package var sql: String {
        switch self {
        case .boolean: "boolean"
        case .smallint: "smallint"
        case .integer: "integer"
        case .bigint: "bigint"
        case .real: "real"
        case .double: "double precision"
        case .numeric(nil, _): "numeric"
        case .numeric(let precision?, let scale): "numeric(\(precision),\(scale))"
        case .text: "text"
        case .bytea: "bytea"
        case .uuid: "uuid"
        case .date: "date"
        case .time: "time"
        case .timetz: "timetz"
        case .timestamp(let digits): digits == 6 ? "timestamp" : "timestamp(\(digits))"
        case .timestamptz: "timestamptz"
        case .interval: "interval"
        case .json: "json"
        case .jsonb: "jsonb"
        case .array(let element): element.sql + "[]"
        case .composite(let composite): composite.name
        case .other(let name): name
        case .unknown: "unknown"
        }
    }
}

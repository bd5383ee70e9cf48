import Replication

/// How a column's type takes values in COPY's binary format: by the function that receives them, which tells more than
/// the type's name (an enum takes its label, varchar(20) text).
enum BinaryForm: Sendable {
    case bool, int2, int4, int8, float4, float8, numeric
    case text, jsonb, bytea, uuid
    case date, time, timestamp, timestamptz

    /// - Parameter receiver: `pg_type.typreceive`. Nil for what isn't made here: arrays, composites, domains, intervals …
    init?(receiver: String) {
        switch receiver {
        case "boolrecv": self = .bool
        case "int2recv": self = .int2
        case "int4recv": self = .int4
        case "int8recv": self = .int8
        case "float4recv": self = .float4
        case "float8recv": self = .float8
        case "numeric_recv": self = .numeric
        case "textrecv", "varcharrecv", "bpcharrecv", "enum_recv", "json_recv": self = .text
        case "jsonb_recv": self = .jsonb
        case "bytearecv": self = .bytea
        case "uuid_recv": self = .uuid
        case "date_recv": self = .date
        case "time_recv": self = .time
        case "timestamp_recv": self = .timestamp
        case "timestamptz_recv": self = .timestamptz
        default: return nil
        }
    }

    /// Of the column that a table of ours has for a type.
    init?(_ type: ColumnType) {
        switch type {
        case .boolean: self = .bool
        case .smallint: self = .int2
        case .integer: self = .int4
        case .bigint: self = .int8
        case .real: self = .float4
        case .double: self = .float8
        case .numeric: self = .numeric
        case .text, .json, .unknown: self = .text
        case .jsonb: self = .jsonb
        case .bytea: self = .bytea
        case .uuid: self = .uuid
        case .date: self = .date
        case .time: self = .time
        case .timestamp: self = .timestamp
        case .timestamptz: self = .timestamptz
        case .timetz, .interval, .array, .composite, .other: return nil
        }
    }

    /// The query that says how the columns of a relation are received, one row each, in the order of `columns`;
    /// `relation` is an expression of type regclass.
    static func query(_ relation: String, _ columns: [String]) throws -> String {
        """
        SELECT t.typreceive FROM unnest(\(try quoteLiteral(arrayText(columns)))::text[]) WITH ORDINALITY AS c(name, place) \
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = \(relation) AND a.attname = c.name AND NOT a.attisdropped \
        LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid ORDER BY c.place
        """
    }

    /// Nil if one of the columns is none that we make: the whole row goes as text then.
    static func read(_ rows: Rows) -> [BinaryForm]? {
        var forms: [BinaryForm] = []
        for row in 0..<rows.count {
            guard let receiver = rows.string(row, 0), let form = BinaryForm(receiver: receiver) else { return nil }
            forms.append(form)
        }
        return forms
    }
}

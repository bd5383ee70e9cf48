import CDuckDB

/// How a column's values stand in a vector.
enum ColumnStorage: UInt8, Sendable {
    case bool, int8, int16, int32, int64, int128, uint8, uint16, uint32, uint64, float, double
    /// `duckdb_string_t`: VARCHAR, BLOB and their like.
    case bytes
    /// An `int128` with the highest bit flipped, so that it sorts as the UUID does.
    case uuid
    /// Intervals, nested types and others: cast them to VARCHAR in the SQL.
    case opaque

    var isInteger: Bool {
        switch self {
        case .bool, .int8, .int16, .int32, .int64, .int128, .uint8, .uint16, .uint32, .uint64: return true
        case .float, .double, .bytes, .uuid, .opaque: return false
        }
    }
}

/// Owns a `duckdb_logical_type`.
final class LogicalType {
    private var handle: duckdb_logical_type?

    init(owning handle: duckdb_logical_type?) {
        self.handle = handle
    }

    init(_ kind: ColumnKind) {
        if case .decimal(let width, let scale) = kind {
            handle = duckdb_create_decimal_type(width, scale)
        } else {
            handle = duckdb_create_logical_type(kind.type)
        }
    }

    deinit { duckdb_destroy_logical_type(&handle) }

    /// Valid as long as this object.
    var pointer: duckdb_logical_type? { handle }

    private var id: duckdb_type { handle.map { duckdb_get_type_id($0) } ?? DUCKDB_TYPE_INVALID }

    var storage: ColumnStorage {
        switch id {
        case DUCKDB_TYPE_DECIMAL: return Self.storage(of: duckdb_decimal_internal_type(handle))
        case let id: return Self.storage(of: id)
        }
    }

    private static func storage(of type: duckdb_type) -> ColumnStorage {
        switch type {
        case DUCKDB_TYPE_BOOLEAN: return .bool
        case DUCKDB_TYPE_TINYINT: return .int8
        case DUCKDB_TYPE_SMALLINT: return .int16
        case DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_DATE: return .int32
        case DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_TIME, DUCKDB_TYPE_TIME_NS, DUCKDB_TYPE_TIMESTAMP,
            DUCKDB_TYPE_TIMESTAMP_S, DUCKDB_TYPE_TIMESTAMP_MS, DUCKDB_TYPE_TIMESTAMP_NS, DUCKDB_TYPE_TIMESTAMP_TZ:
            return .int64
        case DUCKDB_TYPE_HUGEINT: return .int128
        case DUCKDB_TYPE_UTINYINT: return .uint8
        case DUCKDB_TYPE_USMALLINT: return .uint16
        case DUCKDB_TYPE_UINTEGER: return .uint32
        case DUCKDB_TYPE_UBIGINT: return .uint64
        case DUCKDB_TYPE_FLOAT: return .float
        case DUCKDB_TYPE_DOUBLE: return .double
        case DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_BLOB: return .bytes
        case DUCKDB_TYPE_UUID: return .uuid
        default: return .opaque
        }
    }

    /// The type as SQL writes it; an alias (JSON, or a type made by CREATE TYPE) by its name.
    var name: String {
        if let alias = Self.take(duckdb_logical_type_get_alias(handle)), !alias.isEmpty { return alias }
        switch id {
        case DUCKDB_TYPE_DECIMAL:
            return "DECIMAL(\(duckdb_decimal_width(handle)),\(duckdb_decimal_scale(handle)))"
        case DUCKDB_TYPE_LIST:
            return "\(LogicalType(owning: duckdb_list_type_child_type(handle)).name)[]"
        case DUCKDB_TYPE_ARRAY:
            let child = LogicalType(owning: duckdb_array_type_child_type(handle))
            return "\(child.name)[\(duckdb_array_type_array_size(handle))]"
        case DUCKDB_TYPE_MAP:
            let key = LogicalType(owning: duckdb_map_type_key_type(handle))
            let value = LogicalType(owning: duckdb_map_type_value_type(handle))
            return "MAP(\(key.name), \(value.name))"
        case DUCKDB_TYPE_STRUCT:
            let fields = (0..<duckdb_struct_type_child_count(handle)).map { index in
                let name = Self.take(duckdb_struct_type_child_name(handle, index)) ?? ""
                return "\(name) \(LogicalType(owning: duckdb_struct_type_child_type(handle, index)).name)"
            }
            return "STRUCT(\(fields.joined(separator: ", ")))"
        case let id:
            return Self.names[id.rawValue] ?? "type \(id.rawValue)"
        }
    }

    private static func take(_ text: UnsafeMutablePointer<CChar>?) -> String? {
        guard let text else { return nil }
        defer { duckdb_free(text) }
        return String(cString: text)
    }

    static let names: [UInt32: String] = [
        DUCKDB_TYPE_BOOLEAN.rawValue: "BOOLEAN", DUCKDB_TYPE_TINYINT.rawValue: "TINYINT",
        DUCKDB_TYPE_SMALLINT.rawValue: "SMALLINT", DUCKDB_TYPE_INTEGER.rawValue: "INTEGER",
        DUCKDB_TYPE_BIGINT.rawValue: "BIGINT", DUCKDB_TYPE_UTINYINT.rawValue: "UTINYINT",
        DUCKDB_TYPE_USMALLINT.rawValue: "USMALLINT", DUCKDB_TYPE_UINTEGER.rawValue: "UINTEGER",
        DUCKDB_TYPE_UBIGINT.rawValue: "UBIGINT", DUCKDB_TYPE_FLOAT.rawValue: "FLOAT",
        DUCKDB_TYPE_DOUBLE.rawValue: "DOUBLE", DUCKDB_TYPE_TIMESTAMP.rawValue: "TIMESTAMP",
        DUCKDB_TYPE_DATE.rawValue: "DATE", DUCKDB_TYPE_TIME.rawValue: "TIME",
        DUCKDB_TYPE_INTERVAL.rawValue: "INTERVAL", DUCKDB_TYPE_HUGEINT.rawValue: "HUGEINT",
        DUCKDB_TYPE_VARCHAR.rawValue: "VARCHAR", DUCKDB_TYPE_BLOB.rawValue: "BLOB",
        DUCKDB_TYPE_TIMESTAMP_S.rawValue: "TIMESTAMP_S", DUCKDB_TYPE_TIMESTAMP_MS.rawValue: "TIMESTAMP_MS",
        DUCKDB_TYPE_TIMESTAMP_NS.rawValue: "TIMESTAMP_NS", DUCKDB_TYPE_ENUM.rawValue: "ENUM",
        DUCKDB_TYPE_UUID.rawValue: "UUID", DUCKDB_TYPE_UNION.rawValue: "UNION", DUCKDB_TYPE_BIT.rawValue: "BIT",
        DUCKDB_TYPE_TIME_TZ.rawValue: "TIME WITH TIME ZONE",
        DUCKDB_TYPE_TIMESTAMP_TZ.rawValue: "TIMESTAMP WITH TIME ZONE", DUCKDB_TYPE_UHUGEINT.rawValue: "UHUGEINT",
        DUCKDB_TYPE_BIGNUM.rawValue: "BIGNUM", DUCKDB_TYPE_SQLNULL.rawValue: "NULL",
        DUCKDB_TYPE_TIME_NS.rawValue: "TIME_NS",
    ]
}

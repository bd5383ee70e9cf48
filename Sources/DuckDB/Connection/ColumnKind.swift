import CDuckDB

/// The type of a column that an ``Appender`` writes, with the form its values have.
package enum ColumnKind: Sendable, Equatable {
    case bool
    case int8, int16, int32, int64
    case uint8, uint16, uint32, uint64
    /// HUGEINT
    case int128
    case float, double
    /// Width 1 to 38, scale 0 to width. Values are unscaled: 12.34 as DECIMAL(10,2) is 1234.
    case decimal(width: UInt8, scale: UInt8)
    /// UTF-8
    case varchar
    case blob
    /// Days since 1970-01-01
    case date
    /// Microseconds since midnight
    case time
    /// Microseconds since 1970-01-01 00:00, in no time zone
    case timestamp
    /// Microseconds since 1970-01-01 00:00 UTC
    case timestamptz
    /// The 16 bytes in two big-endian halves
    case uuid

    var type: duckdb_type {
        switch self {
        case .bool: return DUCKDB_TYPE_BOOLEAN
        case .int8: return DUCKDB_TYPE_TINYINT
        case .int16: return DUCKDB_TYPE_SMALLINT
        case .int32: return DUCKDB_TYPE_INTEGER
        case .int64: return DUCKDB_TYPE_BIGINT
        case .uint8: return DUCKDB_TYPE_UTINYINT
        case .uint16: return DUCKDB_TYPE_USMALLINT
        case .uint32: return DUCKDB_TYPE_UINTEGER
        case .uint64: return DUCKDB_TYPE_UBIGINT
        case .int128: return DUCKDB_TYPE_HUGEINT
        case .float: return DUCKDB_TYPE_FLOAT
        case .double: return DUCKDB_TYPE_DOUBLE
        case .decimal: return DUCKDB_TYPE_DECIMAL
        case .varchar: return DUCKDB_TYPE_VARCHAR
        case .blob: return DUCKDB_TYPE_BLOB
        case .date: return DUCKDB_TYPE_DATE
        case .time: return DUCKDB_TYPE_TIME
        case .timestamp: return DUCKDB_TYPE_TIMESTAMP
        case .timestamptz: return DUCKDB_TYPE_TIMESTAMP_TZ
        case .uuid: return DUCKDB_TYPE_UUID
        }
    }

    /// The type as SQL writes it.
    package var sqlName: String {
        if case .decimal(let width, let scale) = self { return "DECIMAL(\(width),\(scale))" }
        return LogicalType.names[type.rawValue] ?? "VARCHAR"
    }

    /// The smallest unscaled value that no longer fits a DECIMAL; 0 for other kinds.
    var decimalBound: Int128 {
        guard case .decimal(let width, _) = self else { return 0 }
        return (0..<width).reduce(Int128(1)) { bound, _ in bound * 10 }
    }
}

/// Where an ``Appender`` writes.
package struct AppenderTarget: Sendable, Equatable {
    /// nil is the session's current catalog and schema.
    package let catalog: String?
    package let schema: String?
    package let table: String

    package init(catalog: String? = nil, schema: String? = nil, table: String) {
        self.catalog = catalog
        self.schema = schema
        self.table = table
    }

    /// A table made by CREATE TEMP TABLE: DuckDB keeps it in the catalog `temp`, schema `main`.
    package static func temporary(_ table: String) -> AppenderTarget {
        AppenderTarget(catalog: "temp", schema: "main", table: table)
    }
}

/// A column that an ``Appender`` writes.
package struct AppenderColumn: Sendable, Equatable {
    package let name: String
    package let kind: ColumnKind

    package init(_ name: String, _ kind: ColumnKind) {
        self.name = name
        self.kind = kind
    }
}

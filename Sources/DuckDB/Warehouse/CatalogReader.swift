import Replication

/// What stands in the database, whoever made it.
struct CatalogReader {
    let session: Session

    enum Kind { case table, view }

    struct FoundColumn {
        var name: String
        var sqlType: String
        var nullable: Bool
        /// SQL of what it gets where an insert names none; nil: null.
        var defaultValue: String?
    }

    /// What has a name; the engine's names know no case.
    func kind(_ schema: String, _ name: String) throws -> Kind? {
        let table = try session.int64(
            """
            SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() \
            AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)
            """, [.text(schema), .text(name)], purpose: "reading the catalog")
        if table ?? 0 > 0 { return .table }
        let view = try session.int64(
            """
            SELECT count(*) FROM duckdb_views() WHERE database_name = current_database() \
            AND lower(schema_name) = lower(?) AND lower(view_name) = lower(?)
            """, [.text(schema), .text(name)], purpose: "reading the catalog")
        return view ?? 0 > 0 ? .view : nil
    }

    func columns(_ schema: String, _ name: String) throws -> [FoundColumn] {
        var columns: [FoundColumn] = []
        try session.forEachChunk(
            """
            SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns() \
            WHERE database_name = current_database() AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) \
            ORDER BY column_index
            """, [.text(schema), .text(name)], purpose: "reading the catalog"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                columns.append(
                    FoundColumn(
                        name: chunk.string(0, row), sqlType: chunk.string(1, row), nullable: chunk.flag(2, row),
                        defaultValue: chunk.text(3, row)))
            }
        }
        return columns
    }

    /// Of a table's columns those that the engine computes: nothing can be written to them. Its catalog has them as
    /// columns with a default; only the statement that makes the table tells.
    func generated(_ columns: [FoundColumn], _ schema: String, _ name: String) throws -> Set<String> {
        guard columns.contains(where: { $0.defaultValue != nil }) else { return [] }
        let create = try session.string(
            """
            SELECT sql FROM duckdb_tables() WHERE database_name = current_database() \
            AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)
            """, [.text(schema), .text(name)], purpose: "reading the catalog")
        return Set(
            columns.filter { column in
                [column.name, SQLName.quoted(column.name)].contains {
                    create?.contains("\($0) \(column.sqlType) GENERATED ALWAYS AS") ?? false
                }
            }.map(\.name))
    }

    /// Whether a constraint of the table looks at more than one row.
    func hasKeyConstraint(_ schema: String, _ name: String) throws -> Bool {
        let count = try session.int64(
            """
            SELECT count(*) FROM duckdb_constraints() WHERE database_name = current_database() \
            AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) \
            AND constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')
            """, [.text(schema), .text(name)], purpose: "reading the catalog")
        return count ?? 0 > 0
    }

    /// Names of what CREATE INDEX made for the table.
    func indexes(_ schema: String, _ name: String) throws -> [String] {
        var names: [String] = []
        try session.forEachChunk(
            """
            SELECT index_name FROM duckdb_indexes() WHERE database_name = current_database() \
            AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) ORDER BY index_name
            """, [.text(schema), .text(name)], purpose: "reading the catalog"
        ) { chunk in
            for row in 0..<chunk.rowCount { names.append(chunk.string(0, row)) }
        }
        return names
    }

    /// A type's name as the catalog would have it.
    func written(_ type: String) throws -> String? {
        try session.string("SELECT typeof(CAST(NULL AS \(type)))", purpose: "reading a type's name")
    }

    /// Whether nothing stands in a schema.
    func isEmpty(_ schema: String) throws -> Bool {
        try session.int64(
            """
            SELECT (SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() \
            AND schema_name = $1) + (SELECT count(*) FROM duckdb_views() WHERE database_name = current_database() \
            AND schema_name = $1)
            """, [.text(schema)], purpose: "reading the catalog") == 0
    }
}

extension ColumnType {
    /// Of a column that somebody else made, by the engine's name of its type.
    init(duckdb name: String) {
        if name.hasSuffix("[]") {
            self = .array(ColumnType(duckdb: String(name.dropLast(2))))
            return
        }
        switch name {
        case "BOOLEAN": self = .boolean
        case "TINYINT", "SMALLINT", "UTINYINT": self = .smallint
        case "INTEGER", "USMALLINT": self = .integer
        case "BIGINT", "UINTEGER": self = .bigint
        case "HUGEINT", "UBIGINT": self = .numeric(precision: 38, scale: 0)
        case "UHUGEINT", "BIGNUM": self = .numeric(precision: nil, scale: 0)
        case "FLOAT": self = .real
        case "DOUBLE": self = .double
        case "VARCHAR": self = .text
        case "BLOB": self = .bytea
        case "UUID": self = .uuid
        case "DATE": self = .date
        case "TIME", "TIME_NS": self = .time
        case "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS": self = .timestamp(digits: 6)
        case "TIMESTAMP WITH TIME ZONE": self = .timestamptz
        case "INTERVAL": self = .interval
        case "JSON": self = .json
        case "MAP(VARCHAR, VARCHAR)": self = .other("hstore")
        case _ where name.hasPrefix("DECIMAL("):
            self = ColumnType(sql: name) ?? .other(name)
        default: self = .other(name)
        }
    }
}

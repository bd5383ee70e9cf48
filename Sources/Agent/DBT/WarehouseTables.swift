import JSON
import Replication

/// The tables that a pipeline has in its warehouse, as they are there: what `millrace dbt` makes models of.
package struct WarehouseTables: Sendable, Equatable {
    package struct Table: Sendable, Equatable {
        package var definition: TableDefinition
        /// The engine's own names of the types that columns of current have. Of types that aren't the engine's own there is
        /// none: what it is called hangs on who asks.
        package var types: [String: String] = [:]

        package init(_ definition: TableDefinition, types: [String: String] = [:]) {
            self.definition = definition
            self.types = types
        }
    }

    /// `duckdb` or `postgres`.
    package var engine: String
    /// Postgres' `server_version_num`; 0 of another engine.
    package var serverVersion = 0
    package var tables: [Table] = []

    package init(engine: String) { self.engine = engine }
}

extension WarehouseControl {
    package func tables() async throws -> WarehouseTables {
        let warehouse = try atWork()
        let known = try await warehouse.knownTables()
        var answer = WarehouseTables(engine: warehouse.engine)
        guard layout.hasCurrent, !known.isEmpty else {
            answer.tables = known.map { .init($0) }
            return answer
        }
        let isPostgres = warehouse.engine == "postgres"
        if isPostgres {
            let version = try await limited(warehouse) {
                try await warehouse.query("SELECT current_setting('server_version_num')", rows_max: 1)
            }
            answer.serverVersion = version.rows.first?.first.flatMap { $0 }.flatMap { Int($0) } ?? 0
        }
        let sql = Self.columnTypes(of: layout.current, isPostgres: isPostgres)
        let rows = try await limited(warehouse) { try await warehouse.query(sql, rows_max: 1_000_000) }.rows
        var types: [String: [String: String]] = [:]
        for row in rows {
            guard row.count == 3, let table = row[0], let column = row[1], let type = row[2] else { continue }
            types[table, default: [:]][column] = type
        }
        answer.tables = known.map { .init($0, types: types[$0.target] ?? [:]) }
        return answer
    }

    /// Rows of table, column and type.
    private static func columnTypes(of schema: String, isPostgres: Bool) -> String {
        let name = RowDigest.literal(schema)
        guard isPostgres else {
            return """
                SELECT table_name, column_name, data_type FROM duckdb_columns() \
                WHERE database_name = current_database() AND schema_name = \(name)
                """
        }
        return """
            SELECT c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
            JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem \
            WHERE n.nspname = \(name) AND c.relkind IN ('r', 'p') \
            AND coalesce(e.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace
            """
    }
}

// MARK: Forms

extension WarehouseTables {
    package var json: JSONValue {
        .object([
            ("engine", .string(engine)), ("server_version", .integer(serverVersion)),
            ("tables", .array(tables.map(\.json))),
        ])
    }

    package init?(json: JSONValue) {
        guard let engine = json["engine"]?.string, let tables = json["tables"]?.array else { return nil }
        self.init(engine: engine)
        serverVersion = json["server_version"]?.int64.flatMap(Int.init(exactly:)) ?? 0
        for table in tables {
            guard let table = Table(json: table) else { return nil }
            self.tables.append(table)
        }
    }
}

extension WarehouseTables.Table {
    /// What of a definition tells how it stands in the warehouse.
    var json: JSONValue {
        let names = definition.metadata
        return .object([
            ("schema_name", .string(definition.source.schema)), ("table_name", .string(definition.source.table)),
            ("target", .string(definition.target)), ("columns", .array(definition.columns.map(column))),
            ("key", .array(definition.key.map { .integer($0) })),
            ("is_deleted", .string(names.isDeleted)), ("deleted_at", .string(names.deletedAt)),
            ("source_updated_at", .string(names.sourceUpdatedAt)), ("loaded_at", .string(names.loadedAt)),
            (
                "shown",
                .array(
                    definition.shown.map { .object([("name", .string($0.name)), ("column", .string($0.column))]) })
            ),
            ("types", .object(types.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
        ])
    }

    private func column(_ column: Column) -> JSONValue {
        .object([
            ("name", .string(column.name)), ("type", .string(column.type.stored)), ("nullable", .bool(column.nullable)),
            ("source_name", .text(column.sourceName)),
            ("former_names", .array(column.formerNames.map(JSONValue.string))),
        ])
    }

    init?(json: JSONValue) {
        guard let schema = json["schema_name"]?.string, let table = json["table_name"]?.string,
            let target = json["target"]?.string, let list = json["columns"]?.array, let key = json["key"]?.array,
            let isDeleted = json["is_deleted"]?.string, let deletedAt = json["deleted_at"]?.string,
            let sourceUpdatedAt = json["source_updated_at"]?.string, let loadedAt = json["loaded_at"]?.string,
            let shown = json["shown"]?.array, let types = json["types"]?.members
        else { return nil }
        var columns: [Column] = []
        for entry in list {
            guard let name = entry["name"]?.string, let type = entry["type"]?.string else { return nil }
            var column = Column(
                name: name, type: ColumnType(stored: type), nullable: entry["nullable"]?.bool ?? true)
            column.sourceName = entry["source_name"]?.string
            column.formerNames = entry["former_names"]?.array?.compactMap(\.string) ?? []
            columns.append(column)
        }
        let indices = key.compactMap { $0.int64.flatMap(Int.init(exactly:)) }
        guard indices.count == key.count, indices.allSatisfy(columns.indices.contains) else { return nil }
        for index in indices { columns[index].isKey = true }
        var definition = TableDefinition(
            source: TableID(schema: schema, table: table), target: target, columns: columns, key: indices,
            metadata: MetadataNames(
                isDeleted: isDeleted, deletedAt: deletedAt, sourceUpdatedAt: sourceUpdatedAt, loadedAt: loadedAt))
        for entry in shown {
            guard let name = entry["name"]?.string, let column = entry["column"]?.string else { return nil }
            definition.shown.append(ShownColumn(name, of: column))
        }
        self.init(definition, types: types.reduce(into: [:]) { $0[$1.key] = $1.value.string })
    }
}

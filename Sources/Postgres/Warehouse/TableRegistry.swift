import Replication

/// `_millrace.tables`: what the pipelines of this database have made.
struct TableRegistry {
    struct Entry {
        var pipeline: String
        var definition: TableDefinition
        var layout: WarehouseLayout
        /// It stood there before, and was told to be used.
        var isAdopted: Bool
    }

    /// Of all pipelines.
    private(set) var entries: [Entry]

    init(_ session: Session) throws { try self.init(session, where: "true") }

    /// A table's definition as it is stored.
    static func definition(
        of table: TableID, _ pipeline: String, _ session: Session
    ) throws -> TableDefinition? {
        let row = """
            pipeline = \(try quoteLiteral(pipeline)) AND source_schema = \(try quoteLiteral(table.schema)) \
            AND source_table = \(try quoteLiteral(table.table))
            """
        return try TableRegistry(session, where: row).entries.first?.definition
    }

    private init(_ session: Session, where condition: String) throws {
        // An earlier version's database may be read without being brought to this one.
        let evolution = try MetaTables.version(session) ?? 0 >= 7 ? "evolution" : "NULL"
        let rows = try session.query(
            """
            SELECT pipeline, source_schema, source_table, target, "current_schema", raw_schema, live_schema, \
            history_schema, has_current, has_raw, is_adopted, columns, key, metadata, existing, is_filtered, \(evolution) \
            FROM \(MetaTables.name("tables")) WHERE \(condition) ORDER BY pipeline, source_schema, source_table
            """, for: "read _millrace.tables")
        entries = try (0..<rows.count).map { try Self.entry(rows, $0) }
    }

    private static func entry(_ rows: Rows, _ row: Int) throws -> Entry {
        let columns = try MetaJSON.columns(rows.text(row, 11))
        let key = try MetaJSON.names(rows.text(row, 12), of: "tables.key")
        var definition = TableDefinition(
            source: TableID(schema: rows.text(row, 1), table: rows.text(row, 2)), target: rows.text(row, 3),
            columns: columns, key: key.compactMap { name in columns.firstIndex { $0.name == name } },
            metadata: try MetaJSON.metadata(rows.text(row, 13)),
            existing: ExistingPolicy(rawValue: rows.text(row, 14)) ?? .error, isFiltered: rows.bool(row, 15))
        definition.take(evolution: rows.string(row, 16))
        return Entry(
            pipeline: rows.text(row, 0), definition: definition,
            layout: WarehouseLayout(
                pipeline: rows.text(row, 0), current: rows.text(row, 4), raw: rows.text(row, 5),
                live: rows.text(row, 6), history: rows.text(row, 7), hasRaw: rows.bool(row, 9),
                hasCurrent: rows.bool(row, 8)),
            isAdopted: rows.bool(row, 10))
    }

    func entry(_ pipeline: String, _ source: TableID) -> Entry? {
        entries.first { $0.pipeline == pipeline && $0.definition.source == source }
    }

    /// Writes a table's definition; what another of its rows says of its state stays.
    mutating func write(_ entry: Entry, _ session: Session) throws {
        entries.removeAll { $0.pipeline == entry.pipeline && $0.definition.source == entry.definition.source }
        entries.append(entry)
        let definition = entry.definition
        let layout = entry.layout
        _ = try session.query(
            """
            INSERT INTO \(MetaTables.name("tables")) (pipeline, source_schema, source_table, target, "current_schema", \
            raw_schema, live_schema, history_schema, has_current, has_raw, is_adopted, columns, key, metadata, \
            existing, is_filtered, evolution) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::boolean, $10::boolean, $11::boolean, $12::json, $13::json, \
            $14::json, $15, $16::boolean, $17::json) \
            ON CONFLICT (pipeline, source_schema, source_table) DO UPDATE SET target = excluded.target, \
            "current_schema" = excluded."current_schema", raw_schema = excluded.raw_schema, \
            live_schema = excluded.live_schema, history_schema = excluded.history_schema, \
            has_current = excluded.has_current, has_raw = excluded.has_raw, is_adopted = excluded.is_adopted, \
            columns = excluded.columns, key = excluded.key, metadata = excluded.metadata, \
            existing = excluded.existing, is_filtered = excluded.is_filtered, evolution = excluded.evolution
            """,
            [
                entry.pipeline, definition.source.schema, definition.source.table, definition.target, layout.current,
                layout.raw, layout.live, layout.history, "\(layout.hasCurrent)", "\(layout.hasRaw)",
                "\(entry.isAdopted)", MetaJSON.text(columns: definition.columns),
                MetaJSON.text(names: definition.key.map { definition.columns[$0].name }),
                MetaJSON.text(metadata: definition.metadata), definition.existing.rawValue,
                "\(definition.isFiltered)", definition.evolution,
            ], for: "write _millrace.tables")
    }

    /// Of a table that another pipeline of ours has made: some of its rows may have columns of their own versions.
    func noteMaps(of sql: TableSQL, _ pipeline: String, _ session: Session) throws {
        let source = sql.definition.source
        _ = try session.query(
            """
            UPDATE \(MetaTables.name("tables")) SET is_sparse = true \
            WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3 \
            AND EXISTS (SELECT FROM \(sql.current) WHERE \(TableSQL.map) IS NOT NULL)
            """, [pipeline, source.schema, source.table], for: "write _millrace.tables")
    }
}

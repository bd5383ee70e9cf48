import Replication

/// Makes a table that somebody else made into a current table: adds what it lacks and keeps its rows, whose version is
/// null and so older than everything.
struct TableAdoption {
    let session: Session
    let sql: TableSQL
    let types: [String]

    func run() throws {
        let table = sql.definition
        let found = try columns()
        for column in sql.metadataColumns {
            guard let type = found[column.name], type != Self.formatted[column.type] else { continue }
            throw ReplicationError(
                .configuration,
                "\(table.source): column \(column.name) of \(sql.current) has type \(type), not \(column.type)",
                remedy: "set metadata_columns: for this table in tables:", table: table.source)
        }
        var parts: [String] = []
        for (index, column) in table.columns.enumerated() where found[column.name] == nil {
            guard !table.key.contains(index) else {
                throw ReplicationError(
                    .configuration, "\(table.source): \(sql.current) lacks the key column \(column.name)",
                    remedy: "set existing: replace for it in tables:, or another target:", table: table.source)
            }
            parts.append("ADD COLUMN \(sql.columns[index]) \(types[index])")
        }
        for column in sql.metadataColumns where found[column.name] == nil {
            parts.append("ADD COLUMN \(try quoteIdentifier(column.name)) \(try sql.declaration(column))")
        }
        if !parts.isEmpty { try run("ALTER TABLE \(sql.current) \(parts.joined(separator: ", "))") }
        if found[table.metadata.isDeleted] != nil {
            try run(
                """
                UPDATE \(sql.current) SET \(sql.isDeleted) = false WHERE \(sql.isDeleted) IS NULL;
                ALTER TABLE \(sql.current) ALTER COLUMN \(sql.isDeleted) SET DEFAULT false, \
                ALTER COLUMN \(sql.isDeleted) SET NOT NULL
                """)
        }
        if !table.isKeyless { try makeKeySingle() }
        try run(sql.currentIndexes)
    }

    private func run(_ statement: String) throws {
        try session.execute(statement, for: sql.purpose("adopt"))
    }

    /// Postgres' long names of the metadata columns' types.
    private static let formatted = [
        "boolean": "boolean", "timestamptz": "timestamp with time zone", "bigint": "bigint", "text": "text",
        "uuid": "uuid",
    ]

    private func columns() throws -> [String: String] {
        let rows = try session.query(
            """
            SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
            WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
            """, [sql.current], for: sql.purpose("look at"))
        return Dictionary((0..<rows.count).map { (rows.text($0, 0), rows.text($0, 1)) }) { first, _ in first }
    }

    /// The upsert needs a unique index on exactly the key.
    private func makeKeySingle() throws {
        let names = sql.definition.key.map { sql.definition.columns[$0].name }
        let found = try session.scalar(
            """
            SELECT count(*) FROM pg_index i WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid \
            AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND $2::text[] = ( \
            SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") \
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts)
            """, [sql.current, try arrayText(names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })],
            for: sql.purpose("look at"))
        if let found, found != "0" { return }
        do {
            try run("CREATE UNIQUE INDEX ON \(sql.current) (\(sql.keyColumns.joined(separator: ", ")))")
        } catch let error as PostgresError where error.sqlstate == "23505" {
            throw ReplicationError(
                .configuration, "\(sql.definition.source): \(sql.current) has several rows with one key",
                remedy: "make them single before it is adopted, or set existing: replace for it in tables:",
                table: sql.definition.source)
        }
    }
}

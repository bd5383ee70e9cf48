import CrashPoint
import Replication

/// Rows whose keys current doesn't have go into it by COPY, without a staging table: a copied table's, and a stream's
/// inserts. Current's own unique index says whether that was so.
///
/// They go in no order. Agents that share a table and bring the same new keys at once can wait for each other; the server
/// then ends one's COPY, and its rows are staged.
extension PostgresTransaction {
    /// After an insert that met a row, the table's next batches are staged: 1, 3, 7 … of them.
    static let pause_max = 63

    func insertNew(_ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, loadedAt_us: Int64) throws -> Bool {
        let table = staged.definition
        guard rows.count >= insertNew_min else { return false }
        if let left = insertPauses[table.source]?.left, left > 0 {
            insertPauses[table.source]?.left = left - 1
            return false
        }
        return try translating(table) {
            let sql = try TableSQL(table, layout)
            let purpose = sql.purpose("insert rows into")
            guard try beginInsert(sql) else { return false }
            do {
                let count = try copy(staged, rows, batch, sql, loadedAt_us)
                try session.execute("RELEASE SAVEPOINT \(Self.savepoint)", for: purpose)
                guard count == rows.count else {
                    throw ReplicationError(
                        .invariant,
                        "\(table.source): of \(rows.count) rows the warehouse says that \(count) were inserted",
                        table: table.source)
                }
            } catch let error as PostgresError where session.isUsable && error.kind != .interrupted {
                // Staged, rows are told apart, and one that is refused is found.
                try session.execute(
                    "ROLLBACK TO SAVEPOINT \(Self.savepoint); RELEASE SAVEPOINT \(Self.savepoint)", for: purpose)
                let length = min((insertPauses[table.source]?.length ?? 0) * 2 + 1, Self.pause_max)
                insertPauses[table.source] = (length, length)
                return false
            }
            insertPauses[table.source] = nil
            CrashPoint.staged.reach()
            return true
        }
    }

    private func copy(
        _ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, _ sql: TableSQL, _ loadedAt_us: Int64
    ) throws -> Int {
        let names = try sql.columns + sql.metadataColumns.map { try quoteIdentifier($0.name) }
        let columns = staged.definition.columns
        return try session.copyIn(
            "COPY \(sql.current) (\(names.joined(separator: ", "))) FROM STDIN", for: sql.purpose("insert rows into")
        ) { writer in
            let encoder = FieldEncoder(writer: writer, batch: batch, scratch: scratch)
            for (place, index) in rows.enumerated() {
                if place == rows.count / 2 { CrashPoint.staging.reach() }
                let row = staged.rows[index]
                for column in columns.indices {
                    if column < Int(row.width) {
                        encoder.field(batch.fields[Int(row.image) + column], columns[column].type)
                    } else {
                        writer.null()
                    }
                }
                writer.field(false)
                writer.null()
                encoder.moment(row.time_us)
                encoder.moment(loadedAt_us)
                encoder.version(row.version)
                writer.null()
                try writer.endLine()
            }
        }
    }

    private static let savepoint = "millrace_insert"

    /// Sets the savepoint, if current still has a unique index of its whole key: without one COPY would take a key twice.
    private func beginInsert(_ sql: TableSQL) throws -> Bool {
        let table = sql.definition
        let purpose = sql.purpose("look at the key of")
        let keys = try arrayText(table.key.map { table.columns[$0].name }.sorted())
        let answers = try session.script(
            """
            SELECT EXISTS (SELECT FROM pg_catalog.pg_index i \
            WHERE i.indrelid = \(try quoteLiteral(sql.current))::regclass \
            AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
            AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") \
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid \
            AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) = \(try quoteLiteral(keys))::text[]);
            SAVEPOINT \(Self.savepoint)
            """, for: purpose)
        let has = answers.first?.bool(0, 0) ?? false
        if !has { try session.execute("RELEASE SAVEPOINT \(Self.savepoint)", for: purpose) }
        return has
    }
}

import CrashPoint
import Replication

/// Rows whose keys current doesn't have go into it by COPY, without a staging table: a copied table's, and a stream's
/// inserts. Current's own unique index says whether that was so.
///
/// They go in no order. Agents that share a table and bring the same new keys at once can wait for each other; the server
/// then ends one's COPY, and its rows are staged.
extension PostgresTransaction {
    func insertNew(_ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, loadedAt_us: Int64) throws -> Bool {
        let table = staged.definition
        guard rows.count >= insertNew_min, !insertPauses.takes(table.source) else { return false }
        return try translating(table) {
            let sql = try TableSQL(table, layout)
            let purpose = sql.purpose("insert rows into")
            guard let forms = try beginInsert(sql) else { return false }
            do {
                let names = try sql.columns + sql.metadataColumns.map { try quoteIdentifier($0.name) }
                let count = try copyRows(
                    NewRows(staged: staged, rows: rows, batch: batch, loadedAt_us: loadedAt_us), rows.count, of: batch,
                    into: "\(sql.current) (\(names.joined(separator: ", ")))", columns: names.count,
                    forms: forms.all, for: purpose)
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
                insertPauses.note(met: table.source)
                return false
            }
            insertPauses.note(inserted: table.source)
            CrashPoint.staged.reach()
            return true
        }
    }

    private static let savepoint = "millrace_insert"

    /// How the columns of current take values; nil: as text.
    private struct Forms {
        let all: [BinaryForm]?
    }

    /// Sets the savepoint, if current still has a unique index of its whole key: without one COPY would take a key twice.
    /// The lock keeps its types as they are read.
    private func beginInsert(_ sql: TableSQL) throws -> Forms? {
        let table = sql.definition
        let purpose = sql.purpose("look at the key of")
        let keys = try arrayText(table.key.map { table.columns[$0].name }.sorted())
        let relation = "\(try quoteLiteral(sql.current))::regclass"
        let answers = try session.script(
            """
            LOCK TABLE \(sql.current) IN ROW EXCLUSIVE MODE;
            SELECT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = \(relation) \
            AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
            AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") \
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid \
            AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) = \(try quoteLiteral(keys))::text[]);
            \(try BinaryForm.query(relation, table.columns.map(\.name) + sql.metadataColumns.map(\.name)));
            SAVEPOINT \(Self.savepoint)
            """, for: purpose)
        guard answers.count >= 3, answers[1].bool(0, 0) else {
            try session.execute("RELEASE SAVEPOINT \(Self.savepoint)", for: purpose)
            return nil
        }
        return Forms(all: ours(BinaryForm.read(answers[2]), table.columns.count))
    }

    /// Those of an adopted table's metadata columns may be others than ours.
    private func ours(_ forms: [BinaryForm]?, _ columns: Int) -> [BinaryForm]? {
        let own: [BinaryForm] = [.bool, .timestamptz, .timestamptz, .timestamptz, .int8, .int8, .int8, .text]
        guard let forms, Array(forms.dropFirst(columns)) == own else { return nil }
        return forms
    }
}

/// Current's rows, in the order of its columns and ours.
struct NewRows: CopiedRows {
    let staged: StagedTable
    let rows: [Int]
    let batch: ChangeBatch
    let loadedAt_us: Int64

    func write(_ index: Int, to encoder: some RowEncoder) -> Bool {
        if index == rows.count / 2 { CrashPoint.staging.reach() }
        let row = staged.rows[rows[index]]
        let columns = staged.definition.columns
        for column in columns.indices {
            if column < Int(row.width) {
                guard encoder.field(batch.fields[Int(row.image) + column], columns[column].type, column) else {
                    return false
                }
            } else {
                encoder.null()
            }
        }
        encoder.flag(false)
        encoder.null()
        encoder.moment(row.time_us)
        encoder.moment(loadedAt_us)
        encoder.version(row.version)
        encoder.null()
        return true
    }
}

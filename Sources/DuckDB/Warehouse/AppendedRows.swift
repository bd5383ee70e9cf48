import Replication

/// Rows on their way into a database in memory, each time taken back: what the writers cost alone, with the engine on one
/// thread.
package final class AppendedRows {
    private let transaction: DuckDBTransaction
    private let session: Session

    package init(_ table: TableDefinition, library: String? = nil) throws {
        let layout = WarehouseLayout(pipeline: "bench")
        let database = try Database(options: .init(threads: 1), library: library)
        session = try Session(database)
        let sql = TableSQL(table, layout)
        try session.run(
            """
            CREATE SCHEMA \(SQLName.quoted(layout.current)); CREATE SCHEMA \(SQLName.quoted(layout.raw));
            \(sql.createCurrent); \(sql.createRaw); \(StagingTables.script)
            """, purpose: "making tables")
        transaction = DuckDBTransaction(session, layout, StagingTables(session), insertNew_min: 1)
    }

    /// Rows of current, by index in `staged`.
    package func writeCurrent(_ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch) throws {
        try transaction.begin()
        defer { transaction.rollback() }
        guard try transaction.insertNew(staged, rows, batch, loadedAt_us: 0) else {
            throw ReplicationError(.invariant, "\(staged.definition.source): its rows aren't written directly")
        }
    }

    /// All events of the table.
    package func writeRaw(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws {
        try transaction.begin()
        defer { transaction.rollback() }
        try transaction.appendRaw(table, batch, events)
    }
}

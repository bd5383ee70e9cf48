import Replication

extension DuckDBWarehouse {
    package func query(_ query: AsOfQuery, rows_max: Int) async throws -> Replication.QueryResult {
        // What is checked is what is read.
        try reading { session in try Self.result(of: query, layout, session, rows_max) }
    }

    /// In a transaction.
    static func result(
        of query: AsOfQuery, _ layout: WarehouseLayout, _ session: Session, _ rows_max: Int
    ) throws -> Replication.QueryResult {
        guard try MetaTables.version(session) == WarehouseSchema.version else { throw AsOfQuery.olderWarehouse }
        let epoch = try session.int64(
            "SELECT max(epoch) FROM \(MetaTables.name("epochs")) WHERE pipeline = \(SQLName.literal(layout.pipeline))",
            purpose: "reading the epochs")
        let pasts = try query.tables.map { table in
            let (past, hasSpared) = try Self.past(of: table, layout.pipeline, session)
            let select = AsOfSelect(
                sql: TableSQL(table, layout), moment: query.moment, epoch: epoch ?? 0, hasSpared: hasSpared,
                pipeline: layout.pipeline)
            if try query.refusal.check(table, past, at: query.moment, isDirect: query.isDirect),
                try session.int64(select.unknown, purpose: "looking at \(layout.raw).\(table.target)") != nil
            {
                throw query.refusal.unknown(table)
            }
            if hasSpared,
                try session.int64(select.undecided, purpose: "looking at \(layout.raw).\(table.target)") != nil
            {
                throw query.refusal.undecided(table)
            }
            return (name: SQLName.quoted(table.target), query: select.query)
        }
        return try users { try run(query.statement(pasts), rows_max, session) }
    }

    private static func past(
        of table: TableDefinition, _ pipeline: String, _ session: Session
    ) throws -> (past: TablePast, hasSpared: Bool) {
        let isOfTable = "pipeline = ? AND source_schema = ? AND source_table = ?"
        let name: [Parameter] = [.text(pipeline), .text(table.source.schema), .text(table.source.table)]
        var past = TablePast()
        var hasSpared = false
        let purpose = "reading the past of \(table.source)"
        try session.forEachChunk(
            """
            SELECT max(snapshot_lsn), epoch_us(max(committed_at)), \
            coalesce(bool_or(chunk < 0 AND state <> 'done'), false)::BIGINT \
            FROM \(MetaTables.name("backfills")) WHERE \(isOfTable)
            """, name, purpose: purpose
        ) { chunk in
            past.snapshot = chunk.integer(0, 0)
            past.copiedAt_us = chunk.integer(1, 0)
            past.isBeingCopied = chunk.integer(2, 0) == 1
        }
        try session.forEachChunk(
            "SELECT epoch_us(max(raw_from)) FROM \(MetaTables.name("tables")) WHERE \(isOfTable)", name,
            purpose: purpose
        ) { past.rawFrom_us = $0.integer(0, 0) }
        try session.forEachChunk(
            "SELECT count(*) FROM \(MetaTables.name("moves")) WHERE \(isOfTable) AND new_key = old_key", name,
            purpose: purpose
        ) { hasSpared = $0.integer(0, 0) != 0 }
        return (past, hasSpared)
    }
}

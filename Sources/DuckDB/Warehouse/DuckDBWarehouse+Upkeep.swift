import Replication

extension DuckDBTransaction {
    func hasIncompleteRows(_ table: TableDefinition) throws -> Bool {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            var isOne = false
            // A name may contain what a missing value looks like.
            try session.forEachChunk(
                """
                SELECT DISTINCT \(TableSQL.map) FROM \(sql.current) WHERE \(sql.isDeleted) IS NOT TRUE \
                AND \(TableSQL.map) LIKE '%null]%'
                """, purpose: sql.purpose("looking for incomplete rows of")
            ) { chunk in
                for row in 0..<chunk.rowCount where ColumnVersions(json: chunk.string(0, row))?.isIncomplete == true {
                    isOne = true
                }
            }
            return isOne
        }
    }

    func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) throws -> Int {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = "trimming \(layout.raw).\(table.target)"
            let time = TableSQL.moment(time_us)
            let old = "SELECT rowid FROM \(sql.raw) WHERE loaded_at < \(time) ORDER BY rowid LIMIT \(limit)"
            var count = 0
            var newest: Int64?
            try session.forEachChunk(
                "SELECT count(*), max(loaded_at) FROM \(sql.raw) WHERE rowid IN (\(old))", purpose: purpose
            ) { chunk in
                count = chunk.count(0, 0)
                newest = chunk.integer(1, 0)
            }
            guard count > 0, let newest else { return 0 }
            try session.execute("DELETE FROM \(sql.raw) WHERE rowid IN (\(old))", purpose: purpose)
            let name: [Parameter] = [
                .text(layout.pipeline), .text(table.source.schema), .text(table.source.table),
            ]
            let isOfTable = "pipeline = ? AND source_schema = ? AND source_table = ?"
            try session.execute(
                "DELETE FROM \(MetaTables.name("moves")) WHERE \(isOfTable) AND recorded_at < \(time)", name,
                purpose: purpose)
            let from = TableSQL.moment(newest + 1)
            try session.execute(
                """
                UPDATE \(MetaTables.name("tables")) SET raw_from = greatest(coalesce(raw_from, \(from)), \(from)) \
                WHERE \(isOfTable)
                """, name, purpose: purpose)
            return count
        }
    }
}

extension DuckDBWarehouse {
    package func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) async throws -> UpkeepStep {
        guard layout.hasRaw, !writer.isUnfinished else { return UpkeepStep() }
        return try withTransaction { try writer.trimRaw(table, before: time_us, limit: limit, in: $0) }
    }

    package func rollUpLedger(before time_us: Int64) async throws -> UpkeepStep {
        var step = UpkeepStep()
        guard !writer.isUnfinished else { return step }
        step.ledgerRows = try withSession {
            try MetaTables.rollUpLedger($0, layout.pipeline, before: time_us)
        }
        return step
    }
}

extension MetaTables {
    /// Gives the number of rows that were taken together. A rolled-up row has no range, which tells it apart.
    @discardableResult
    static func rollUpLedger(_ session: Session, _ pipeline: String, before time_us: Int64) throws -> Int {
        let purpose = "rolling up the ledger"
        let ledger = name("ledger")
        let isOld = "pipeline = ? AND source_range IS NOT NULL AND committed_at < \(TableSQL.moment(time_us))"
        let which: [Parameter] = [.text(pipeline)]
        let count = try session.int64("SELECT count(*) FROM \(ledger) WHERE \(isOld)", which, purpose: purpose)
        guard let count, count > 0 else { return 0 }
        try session.transaction(purpose: purpose) {
            try session.execute(
                """
                INSERT INTO \(ledger) (pipeline, batch, source_schema, source_table, source_range, \
                \(ledgerCounts.joined(separator: ", ")), committed_at) SELECT pipeline, min(batch), source_schema, \
                source_table, NULL, \(ledgerCounts.map { "sum(\($0))" }.joined(separator: ", ")), \
                date_trunc('hour', committed_at) FROM \(ledger) WHERE \(isOld) \
                GROUP BY pipeline, source_schema, source_table, date_trunc('hour', committed_at)
                """, which, purpose: purpose)
            try session.execute("DELETE FROM \(ledger) WHERE \(isOld)", which, purpose: purpose)
        }
        return Int(count)
    }
}

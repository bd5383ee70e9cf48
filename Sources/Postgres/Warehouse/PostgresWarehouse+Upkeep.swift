import Replication

extension PostgresTransaction {
    func hasIncompleteRows(_ table: TableDefinition) throws -> Bool {
        try translating {
            let sql = try TableSQL(table, layout)
            return try session.scalar(
                """
                SELECT EXISTS (SELECT FROM \(sql.current) WHERE \(TableSQL.map) IS NOT NULL \
                AND \(sql.isDeleted) IS NOT TRUE AND EXISTS (SELECT FROM json_each(\(TableSQL.map)::json) AS c \
                WHERE json_array_length(c.value) IN (1, 4)))
                """, [], for: sql.purpose("look for incomplete rows of")) == "t"
        }
    }

    func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) throws -> Int {
        try translating {
            let sql = try TableSQL(table, layout)
            let purpose = "trim \(layout.raw).\(table.target)"
            let time = try SQLText.moment(time_us)
            let rows = try session.query(
                """
                WITH gone AS (DELETE FROM \(sql.raw) WHERE ctid = ANY (ARRAY(SELECT ctid FROM \(sql.raw) \
                WHERE loaded_at < \(time) LIMIT \(limit))) RETURNING loaded_at) \
                SELECT count(*), \(SQLText.microseconds("max(loaded_at)")) FROM gone
                """, for: purpose)
            let count = Int(rows.integer(0, 0) ?? 0)
            guard count > 0, let newest = rows.integer(0, 1) else { return 0 }
            let name: [String?] = [layout.pipeline, table.source.schema, table.source.table]
            let isOfTable = "pipeline = $1 AND source_schema = $2 AND source_table = $3"
            _ = try session.query(
                "DELETE FROM \(MetaTables.name("moves")) WHERE \(isOfTable) AND recorded_at < \(time)", name,
                for: purpose)
            _ = try session.query(
                """
                UPDATE \(MetaTables.name("tables")) SET raw_from = greatest(raw_from, \(try SQLText.moment(newest + 1))) \
                WHERE \(isOfTable)
                """, name, for: purpose)
            return count
        }
    }
}

extension PostgresWarehouse {
    package func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) async throws -> UpkeepStep {
        guard layout.hasRaw, !writer.isUnfinished else { return UpkeepStep() }
        return try withTransaction { try writer.trimRaw(table, before: time_us, limit: limit, in: $0) }
    }

    /// A rolled-up row has no range, which tells it apart.
    package func rollUpLedger(before time_us: Int64) async throws -> UpkeepStep {
        var step = UpkeepStep()
        guard !writer.isUnfinished else { return step }
        step.ledgerRows = try work { session in
            let ledger = MetaTables.name("ledger")
            let purpose = "roll up the ledger"
            let isOld = "pipeline = $1 AND source_range IS NOT NULL AND committed_at < \(try SQLText.moment(time_us))"
            let oldest = try session.query(
                "SELECT \(SQLText.microseconds("min(committed_at)")) FROM \(ledger) WHERE \(isOld)", [layout.pipeline],
                for: purpose
            ).integer(0, 0)
            guard let oldest else { return 0 }
            let end_us = min(time_us, Upkeep.hour(oldest) + Upkeep.hours_max * 3_600_000_000)
            step.isDone = end_us == time_us
            let counts = MetaTables.ledgerCounts
            let names = counts.joined(separator: ", ")
            let rows = try session.query(
                """
                WITH old AS (DELETE FROM \(ledger) WHERE \(isOld) AND committed_at < \(try SQLText.moment(end_us)) \
                RETURNING *), made AS (INSERT INTO \(ledger) (pipeline, batch, source_schema, source_table, \
                \(names), committed_at) SELECT pipeline, min(batch), source_schema, source_table, \
                \(counts.map { "sum(\($0))" }.joined(separator: ", ")), date_trunc('hour', committed_at, 'UTC') FROM old \
                GROUP BY pipeline, source_schema, source_table, date_trunc('hour', committed_at, 'UTC')) \
                SELECT count(*) FROM old
                """, [layout.pipeline], for: purpose)
            return Int(rows.integer(0, 0) ?? 0)
        }
        return step
    }
}

extension MetaTables {
    static let ledgerCounts = [
        "read", "applied", "superseded", "duplicate", "compacted", "filtered", "quarantined", "deferred", "filled",
        "control", "late", "too_late",
    ]
}

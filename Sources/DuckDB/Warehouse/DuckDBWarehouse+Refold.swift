import Replication

extension DuckDBTransaction {
    func reconcile(_ table: TableID, _ keys: [String], _ arrived_us: Range<Int64>) throws {
        try ReplicationError.translating(table) {
            let purpose = "noting what is reconciled of \(table)"
            try fillKeys(keys, purpose)
            try session.execute(
                """
                UPDATE \(MetaTables.name("late_events")) SET reconciled_at = now() \
                WHERE \(LateEventsSQL.isOpen(arrived_us)) \
                AND CAST(key AS VARCHAR) IN (SELECT key FROM \(StagingTables.keys))
                """, [.text(layout.pipeline), .text(table.schema), .text(table.table)], purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.keys)", purpose: purpose)
        }
    }
}

extension DuckDBWarehouse {
    package func refold(_ request: RefoldRequest) async throws -> Int {
        try withTransaction {
            try writer.refold(request, layout: layout, in: $0, loadedAt_us: DuckDBClock.next_us())
        }
    }

    package func mend(_ mend: RowMend) async throws -> BatchApplier.Outcome {
        try withTransaction {
            try writer.mend(mend, layout: layout, in: $0, loadedAt_us: DuckDBClock.next_us())
        }
    }

    package func lateKeys(_ table: TableID, _ arrived_us: Range<Int64>, limit: Int) async throws -> [String] {
        try withSession { session in
            var keys: [String] = []
            try session.forEachChunk(
                """
                SELECT DISTINCT CAST(key AS VARCHAR) FROM \(MetaTables.name("late_events")) \
                WHERE \(LateEventsSQL.isOpen(arrived_us)) AND key IS NOT NULL LIMIT \(limit)
                """, [.text(layout.pipeline), .text(table.schema), .text(table.table)],
                purpose: "reading late events of \(table)"
            ) { chunk in
                for row in 0..<chunk.rowCount { keys.append(chunk.string(0, row)) }
            }
            return keys
        }
    }
}

private enum LateEventsSQL {
    /// Of a pipeline's table (three parameters).
    static func isOpen(_ arrived_us: Range<Int64>) -> String {
        """
        pipeline = ? AND source_schema = ? AND source_table = ? AND reconciled_at IS NULL \
        AND arrived_at >= \(TableSQL.moment(arrived_us.lowerBound)) AND arrived_at < \(TableSQL.moment(arrived_us.upperBound))
        """
    }
}

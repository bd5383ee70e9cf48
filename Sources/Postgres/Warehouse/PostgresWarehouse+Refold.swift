import Replication

extension PostgresTransaction {
    func reconcile(_ table: TableID, _ keys: [String], _ arrived_us: Range<Int64>) throws {
        try translating {
            _ = try session.query(
                """
                UPDATE \(MetaTables.name("late_events")) SET reconciled_at = now() WHERE \(LateEventsSQL.isOpen) \
                AND key::text = ANY ($6::text[])
                """, LateEventsSQL.parameters(layout, table, arrived_us) + [try arrayText(keys)],
                for: "note what is reconciled of \(table)")
        }
    }
}

extension PostgresWarehouse {
    package func refold(_ request: RefoldRequest) async throws -> Int {
        try withTransaction { transaction in
            try writer.refold(request, layout: layout, in: transaction, loadedAt_us: transaction.loadedAt_us)
        }
    }

    package func mend(_ mend: RowMend) async throws -> BatchApplier.Outcome {
        try withTransaction { transaction in
            try writer.mend(mend, layout: layout, in: transaction, loadedAt_us: transaction.loadedAt_us)
        }
    }

    package func lateKeys(_ table: TableID, _ arrived_us: Range<Int64>, limit: Int) async throws -> [String] {
        try read(orNothing: []) { session in
            let rows = try session.query(
                """
                SELECT DISTINCT key::text FROM \(MetaTables.name("late_events")) WHERE \(LateEventsSQL.isOpen) \
                AND key IS NOT NULL LIMIT \(limit)
                """, LateEventsSQL.parameters(layout, table, arrived_us), for: "read late events of \(table)")
            return (0..<rows.count).map { rows.text($0, 0) }
        }
    }
}

private enum LateEventsSQL {
    static let isOpen = """
        pipeline = $1 AND source_schema = $2 AND source_table = $3 AND reconciled_at IS NULL \
        AND arrived_at >= $4::timestamptz AND arrived_at < $5::timestamptz
        """

    static func parameters(
        _ layout: WarehouseLayout, _ table: TableID, _ arrived_us: Range<Int64>
    ) -> [String?] {
        [
            layout.pipeline, table.schema, table.table, SQLText.timestamp(arrived_us.lowerBound),
            SQLText.timestamp(arrived_us.upperBound),
        ]
    }
}

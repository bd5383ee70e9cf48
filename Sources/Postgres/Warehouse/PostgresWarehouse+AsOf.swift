import Replication

extension PostgresWarehouse {
    package func query(_ query: AsOfQuery, rows_max: Int) async throws -> QueryResult {
        try work { session in
            var names = TypeNames()
            // A failure would end the transaction.
            for table in query.tables { try names.learn(table, session) }
            // What is checked is what is read.
            try session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", for: "begin a query")
            defer { session.rollback() }
            return try Self.result(of: query, names, layout, session, rows_max)
        }
    }

    /// In a transaction; `names` has learned of the tables.
    static func result(
        of query: AsOfQuery, _ names: TypeNames, _ layout: WarehouseLayout, _ session: Session, _ rows_max: Int
    ) throws -> QueryResult {
        guard try MetaTables.version(session) == WarehouseSchema.version else { throw AsOfQuery.olderWarehouse }
        let epoch = try session.scalar(
            "SELECT max(epoch) FROM \(MetaTables.name("epochs")) WHERE pipeline = $1", [layout.pipeline],
            for: "read the epochs"
        ).flatMap { Int64($0) }
        let pasts = try query.tables.map { table in
            let (past, hasSpared) = try Self.past(of: table, layout.pipeline, session)
            let select = AsOfSelect(
                sql: try TableSQL(table, layout), types: names.types(table), moment: query.moment,
                epoch: epoch ?? 0, hasSpared: hasSpared, pipeline: layout.pipeline)
            if try query.refusal.check(table, past, at: query.moment, isDirect: query.isDirect),
                try session.query(select.unknown, for: "look at \(layout.raw).\(table.target)").count > 0
            {
                throw query.refusal.unknown(table)
            }
            if hasSpared,
                try session.query(select.undecided, for: "look at \(layout.raw).\(table.target)").count > 0
            {
                throw query.refusal.undecided(table)
            }
            return (name: try quoteIdentifier(table.target), query: try select.query)
        }
        return try result(of: query.statement(pasts), session, rows_max)
    }

    private static func past(
        of table: TableDefinition, _ pipeline: String, _ session: Session
    ) throws -> (past: TablePast, hasSpared: Bool) {
        let isOfTable = "pipeline = $1 AND source_schema = $2 AND source_table = $3"
        let rows = try session.query(
            """
            SELECT max(b.snapshot_lsn), \(SQLText.microseconds("max(b.committed_at)")), \
            coalesce(bool_or(b.chunk < 0 AND b.state <> 'done'), false), \
            (SELECT \(SQLText.microseconds("t.raw_from")) FROM \(MetaTables.name("tables")) t WHERE \(isOfTable)), \
            EXISTS (SELECT FROM \(MetaTables.name("moves")) m WHERE \(isOfTable) AND m.new_key = m.old_key) \
            FROM \(MetaTables.name("backfills")) b WHERE \(isOfTable)
            """, [pipeline, table.source.schema, table.source.table], for: "read the past of \(table.source)")
        let past = TablePast(
            snapshot: rows.integer(0, 0), copiedAt_us: rows.integer(0, 1), isBeingCopied: rows.bool(0, 2),
            rawFrom_us: rows.integer(0, 3))
        return (past, rows.bool(0, 4))
    }
}

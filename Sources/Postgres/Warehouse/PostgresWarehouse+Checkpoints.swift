import Replication

extension PostgresWarehouse {
    package func claim(_ partitions: [TopicPartition], owner: String) async throws -> [Checkpoint] {
        try write { session in
            func claim() throws -> [Checkpoint] {
                try session.transaction(for: "claim partitions") {
                    try session.execute("SET LOCAL lock_timeout = '\(Self.frozen_s)s'", for: "claim partitions")
                    return try Checkpoints.claim(session, layout.pipeline, partitions, owner: owner)
                }
            }
            do {
                return try claim()
            } catch let error as PostgresError where error.sqlstate == "55P03" {
                guard try endFrozen(session) else { throw error }
                return try claim()
            }
        }
    }

    /// How long whoever had a partition may stand inside a batch before its session is ended for the one that claims it.
    static let frozen_s = 10

    /// Ends the sessions of this pipeline's agents in whose transaction the server waits for the client, and has for so
    /// long: an agent that is frozen, or cut off, in the middle of a batch. It is about to be fenced anyway, and would
    /// keep the partition's row locked until its machine goes.
    private func endFrozen(_ session: Session) throws -> Bool {
        let ended = try session.scalar(
            """
            SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a WHERE a.usename = current_user \
            AND a.application_name = $1 AND a.pid <> pg_backend_pid() AND a.wait_event = 'ClientRead' \
            AND a.state_change < now() - interval '\(Self.frozen_s) s' AND a.pid IN (SELECT l.pid FROM pg_locks l \
            WHERE l.relation = '\(MetaTables.name("checkpoints"))'::regclass AND l.granted)
            """, [applicationName], for: "look for frozen agents")
        return ended != "0"
    }

    package func checkpoints() async throws -> [Checkpoint] {
        try read(orNothing: []) { session in
            try Checkpoints.read(
                session.query(try Checkpoints.selectAll(layout.pipeline), for: "read the checkpoints"))
        }
    }

    package func set(positions: [TopicPartition: Int64?]) async throws {
        try write { session in
            try session.transaction(for: "set positions") {
                try Checkpoints.set(session, layout.pipeline, positions)
            }
        }
    }

    // MARK: Copies

    package func copied(job: String) async throws -> [CopyMark] {
        try read(orNothing: []) { session in
            let rows = try session.query(
                """
                SELECT source_schema, source_table, part, chunk, state, from_block, to_block, snapshot_lsn, rows \
                FROM \(MetaTables.name("backfills")) WHERE pipeline = $1 AND job = $2 \
                ORDER BY source_schema, source_table, part, chunk
                """, [layout.pipeline, job], for: "read what is copied")
            return (0..<rows.count).map { row in
                CopyMark(
                    job: job, table: TableID(schema: rows.text(row, 0), table: rows.text(row, 1)),
                    part: rows.text(row, 2), chunk: rows.integer(row, 3) ?? 0,
                    state: CopyMark.State(rawValue: rows.text(row, 4)) ?? .copying,
                    blocks: (rows.integer(row, 5) ?? 0, rows.integer(row, 6)), snapshot: rows.integer(row, 7) ?? 0,
                    rows: rows.integer(row, 8) ?? 0)
            }
        }
    }

    package func forgetCopied(job: String, _ tables: [TableID]?) async throws {
        let delete = "DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = $1 AND job = $2"
        try write { session in
            try session.transaction(for: "forget what is copied") {
                guard let tables else {
                    _ = try session.query(delete, [layout.pipeline, job], for: "forget what is copied")
                    return
                }
                for table in tables {
                    _ = try session.query(
                        "\(delete) AND source_schema = $3 AND source_table = $4",
                        [layout.pipeline, job, table.schema, table.table], for: "forget what is copied")
                }
            }
        }
    }

    package func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String] {
        guard !table.isKeyless, layout.hasCurrent else { return [] }
        return try read(orNothing: []) { session in
            let sql = try TableSQL(table, layout)
            // Each as text: whoever reads them has the column's own type.
            let members = try table.key.map {
                "\(try quoteLiteral(table.columns[$0].name)), t.\(sql.columns[$0])::text"
            }
            // All of current is read only where some row has columns of their own versions.
            let isSparse = """
                SELECT bool_or(m.is_sparse) FROM \(MetaTables.name("tables")) m \
                WHERE m.pipeline = \(try quoteLiteral(layout.pipeline)) \
                AND m.source_schema = \(try quoteLiteral(table.source.schema)) \
                AND m.source_table = \(try quoteLiteral(table.source.table))
                """
            let rows = try session.query(
                """
                SELECT json_build_object(\(members.joined(separator: ", "))) FROM \(sql.current) t \
                WHERE (\(isSparse)) AND t.\(sql.isDeleted) IS NOT TRUE AND t.\(TableSQL.map) IS NOT NULL AND EXISTS \
                (SELECT FROM json_each(t.\(TableSQL.map)::json) AS c WHERE json_array_length(c.value) IN (1, 4)) LIMIT \(limit)
                """, for: sql.purpose("look for incomplete rows of"))
            return (0..<rows.count).map { rows.text($0, 0) }
        }
    }
}

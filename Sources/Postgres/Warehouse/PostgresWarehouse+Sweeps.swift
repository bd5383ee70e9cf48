import JSON
import Replication
import SerialQueue

/// One REPEATABLE READ transaction on a connection of its own.
actor PostgresWarehouseSnapshot: WarehouseSnapshot {
    private let executor = SerialQueueExecutor(label: "postgres.sweep")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private var session: Session?
    private let settings: ConnectionSettings
    private let layout: WarehouseLayout
    private let interrupter = Interrupter()
    /// Under which others may open it, once somebody wants to.
    private var exported: String?

    /// - Parameter shared: a snapshot that another has taken and still has open; nil: a new one.
    init(_ settings: ConnectionSettings, _ layout: WarehouseLayout, shared: String? = nil) async throws {
        self.settings = settings
        self.layout = layout
        try open(shared)
    }

    private func open(_ shared: String?) throws {
        session = try ReplicationError.translating {
            let session = try Session(settings, interrupter: interrupter)
            for setting in SweepDialect.postgres.settings { try session.execute(setting, for: "begin a sweep") }
            try session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", for: "begin a sweep")
            if let shared {
                try session.execute(
                    "SET TRANSACTION SNAPSHOT \(try quoteLiteral(shared))", for: "share the warehouse's snapshot")
                // Who waits for the table waits for the other's lock on it, and this one would wait for them: the server
                // sees no deadlock, as the other only waits for this one's answer.
                try session.execute("SET LOCAL lock_timeout = '1s'", for: "share the warehouse's snapshot")
            } else {
                // The first statement takes it.
                _ = try session.scalar("SELECT pg_current_snapshot()", for: "begin a sweep")
            }
            try session.execute("SAVEPOINT millrace", for: "begin a sweep")
            return session
        }
    }

    nonisolated func interrupt() { interrupter.interrupt() }

    func rows(_ sql: String) throws -> [[String?]] {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        return try ReplicationError.translating { Self.cells(try session.queryAlone(sql, for: "compare rows")) }
    }

    func rows(ofUsers sql: String) throws -> [[String?]] {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        let purpose = "run the statement"
        return try ReplicationError.translating {
            // Looks at no row, and takes no second statement.
            let statement = try session.prepare("", sql, for: purpose)
            do throws(PostgresError) {
                return Self.cells(try session.query(statement, for: purpose))
            } catch {
                throw error.withoutMessage
            }
        }
    }

    private static func cells(_ rows: Rows) -> [[String?]] {
        (0..<rows.count).map { row in (0..<rows.columnCount).map { rows.string(row, $0) } }
    }

    func query(_ query: AsOfQuery, rows_max: Int) throws -> QueryResult {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        return try ReplicationError.translating {
            var names = TypeNames()
            // What it tries may fail, and would end the transaction.
            let other = try Session(settings, interrupter: interrupter)
            defer { other.close() }
            for table in query.tables { try names.learn(table, other) }
            return try PostgresWarehouse.result(of: query, names, layout, session, rows_max)
        }
    }

    /// Blocks of raw.
    private static let page = 64

    /// What rules keep out of current is no part of what it should be.
    private func isPromoted(_ table: TableDefinition, _ session: Session) throws -> String {
        guard try MetaTables.version(session) ?? 0 >= 8 else { return "" }
        return try MetaTables.isPromoted(table.source, layout.pipeline)
    }

    func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) throws -> [RawEvent] {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        return try ReplicationError.translating {
            let rows = try session.query(
                """
                SELECT \(PostgresTransaction.rawColumns) FROM \(try TableSQL(table, layout).raw) r \
                WHERE (\(RawReplay.chosen(keys, truncates: truncates)))\(try isPromoted(table, session))
                """, for: "read raw")
            return try (0..<rows.count).map { try PostgresTransaction.rawEvent(rows, $0, table, layout) }
        }
    }

    func rawEvents(_ table: TableDefinition, page: Int) throws -> [RawEvent]? {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        return try ReplicationError.translating {
            let sql = try TableSQL(table, layout)
            let blocks = try session.scalar(
                "SELECT pg_relation_size(\(try quoteLiteral(sql.raw))::regclass) / current_setting('block_size')::bigint",
                for: "read raw")
            guard let blocks = blocks.flatMap({ Int($0) }), page * Self.page < blocks else { return nil }
            let rows = try session.query(
                """
                SELECT \(PostgresTransaction.rawColumns) FROM \(sql.raw) r \
                WHERE r.ctid >= '(\(page * Self.page),0)' AND r.ctid < '(\((page + 1) * Self.page),0)'\
                \(try isPromoted(table, session))
                """, for: "read raw")
            return try (0..<rows.count).map { try PostgresTransaction.rawEvent(rows, $0, table, layout) }
        }
    }

    /// Of a plain table, in a server that reads no more of it than a range of blocks (14 and later).
    func shares(of relation: String) throws -> SharedRelation? {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        let purpose = "share the warehouse's snapshot"
        return try ReplicationError.translating {
            let blocks = try session.scalar(
                """
                SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint FROM pg_class c \
                JOIN pg_am a ON a.oid = c.relam AND a.amname = 'heap' \
                WHERE c.oid = \(try quoteLiteral(relation))::regclass AND c.relkind = 'r' \
                AND current_setting('server_version_num')::int >= 140000
                """, for: purpose)
            guard let blocks = blocks.flatMap({ Int64($0) }) else { return nil }
            if exported == nil {
                // Not in a subtransaction.
                try session.execute("ROLLBACK TO SAVEPOINT millrace; RELEASE SAVEPOINT millrace", for: purpose)
                exported = try session.scalar("SELECT pg_export_snapshot()", for: purpose)
                try session.execute("SAVEPOINT millrace", for: purpose)
            }
            // Nobody gives the table another file while it is read.
            _ = try session.query("SELECT FROM \(relation) LIMIT 0", for: purpose)
            guard let exported else { return nil }
            return SharedRelation(blocks: blocks) { [settings, layout] in
                try await PostgresWarehouseSnapshot(settings, layout, shared: exported)
            }
        }
    }

    func letGo() throws {
        _ = try ReplicationError.translating {
            try session?.execute("ROLLBACK TO SAVEPOINT millrace", for: "compare rows")
        }
    }

    func close() {
        // The server ends a connection in its own time, and its locks with it.
        _ = try? session?.execute("ROLLBACK", for: "end a sweep")
        session?.close()
        session = nil
    }
}

extension PostgresWarehouse {
    package func snapshot() async throws -> any WarehouseSnapshot {
        var settings = ConnectionSettings(url: url)
        settings.applicationName = applicationName + " sweep"
        // It waits for the source, and for others that share it.
        settings.serverSettings.append(("idle_in_transaction_session_timeout", "0"))
        return try await PostgresWarehouseSnapshot(settings, layout)
    }

    package func record(_ sweeps: [SweepRecord]) async throws {
        try work { session in
            for sweep in sweeps {
                _ = try session.query(
                    """
                    INSERT INTO \(MetaTables.name("sweeps")) (pipeline, source_schema, source_table, started_at, finished_at, \
                    snapshot, position, rows, columns, uncovered, digest_source, digest_warehouse, missing, extra, different, \
                    moved, repaired, is_equal) VALUES ($1, $2, $3, $4::timestamptz, $5::timestamptz, $6, $7::bigint, \
                    $8::bigint, $9::json, $10::json, $11, $12, $13::bigint, $14::bigint, $15::bigint, $16::bigint, \
                    $17::bigint, $18::boolean)
                    """,
                    [
                        layout.pipeline, sweep.table.schema, sweep.table.table, SQLText.timestamp(sweep.startedAt_us),
                        SQLText.timestamp(sweep.finishedAt_us), sweep.snapshot, "\(sweep.position)", "\(sweep.rows)",
                        MetaJSON.text(names: sweep.columns), MetaJSON.text(names: sweep.uncovered), sweep.digestSource,
                        sweep.digestWarehouse, "\(sweep.missing)", "\(sweep.extra)", "\(sweep.different)",
                        "\(sweep.moved)", "\(sweep.repaired)", "\(sweep.isEqual)",
                    ], for: "record a sweep")
            }
        }
    }

    package func lastSweeps() async throws -> [TableID: (last: SweepRecord, proof: SweepRecord?)] {
        try read(orNothing: [:]) { session in
            guard try MetaTables.version(session) ?? 0 >= 6 else { return [:] }
            let rows = try session.query(
                """
                SELECT DISTINCT ON (source_schema, source_table, is_equal, snapshot LIKE '\(SweepRecord.recentStart)%') source_schema, source_table, \
                \(SQLText.microseconds("started_at")), \(SQLText.microseconds("finished_at")), snapshot, position, rows, \
                columns, uncovered, digest_source, digest_warehouse, missing, extra, different, moved, repaired \
                FROM \(MetaTables.name("sweeps")) WHERE pipeline = $1 \
                ORDER BY source_schema, source_table, is_equal, snapshot LIKE '\(SweepRecord.recentStart)%', finished_at DESC
                """, [layout.pipeline], for: "read the sweeps")
            return try SweepRecord.latest(
                (0..<rows.count).map { row in
                    try SweepRecord((0..<rows.columnCount).map { rows.string(row, $0) }) {
                        try MetaJSON.names($0, of: "sweeps")
                    }
                })
        }
    }
}

import Postgres
import Replication
import SerialQueue

/// A plain repeatable-read snapshot of a source, on a connection and a thread of its own: it holds nobody's writes up,
/// and waits for none.
actor SourceSnapshot: SweepReader {
    struct Moment: Sendable {
        /// As the server names it: `xmin:xmax:xip…`.
        var snapshot: String
        /// Under which others may open it.
        var exported: String
        /// The agent's time before it was taken, µs since 1970.
        var takenAt_us: Int64
        /// The log's end before it was taken. What stands below is in it, but for commits that nobody saw yet
        /// (`DirectRoute.arrive`).
        var before: Int64
        /// All that the snapshot shows stands below it.
        var position: Int64
        var isUTF8: Bool
    }

    private let executor = SerialQueueExecutor(label: "postgres-sweep")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let url: String
    private var server: SourceServer?

    init(url: String) { self.url = url }

    private func translating<R>(_ body: (SourceServer) throws -> R) throws -> R {
        do {
            if let server { return try body(server) }
            let server = try SourceServer(url: url)
            self.server = server
            return try body(server)
        } catch let error as PostgresError {
            throw ReplicationError(source: error)
        }
    }

    /// Ends an earlier snapshot and takes another.
    func take(at takenAt_us: Int64) throws -> Moment {
        try translating { server in
            let session = server.session
            let purpose = "take a snapshot"
            try session.execute("ROLLBACK", for: purpose)
            for setting in SweepDialect.postgres.settings { try session.execute(setting, for: purpose) }
            guard try session.scalar("SELECT pg_is_in_recovery()", for: purpose) == "f" else {
                throw ReplicationError(
                    .environment, "a standby's snapshot doesn't tell what is under way, so it proves nothing",
                    remedy: "name the primary in source.postgres.url")
            }
            let waits = """
                SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()
                """
            // Whose waits others' eyes don't see.
            let isBlind = try session.scalar(
                """
                SELECT current_setting('synchronous_standby_names') <> '' \
                AND NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
                """, for: purpose)
            guard isBlind == "f" else {
                throw ReplicationError(
                    .environment,
                    "the source has synchronous standbys, and its user may not see whether transactions wait for one",
                    remedy: "GRANT pg_read_all_stats TO the source's user")
            }
            let before = try server.rawPosition()
            try session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", for: purpose)
            let snapshot = try session.scalar("SELECT pg_current_snapshot()::text", for: purpose) ?? ""
            let position = try server.position()
            // Committed in the log, and seen by nobody yet: it would look like a difference.
            guard try session.scalar(waits, for: purpose) == "0" else {
                throw ReplicationError(
                    .environment,
                    "transactions of the source wait for a synchronous standby, and can't be told from differences",
                    remedy: "see to the standby (pg_stat_replication), then sweep again")
            }
            let exported = try session.scalar("SELECT pg_export_snapshot()", for: purpose) ?? ""
            try session.execute("SAVEPOINT millrace", for: purpose)
            let encoding = try session.scalar("SHOW server_encoding", for: purpose)
            return Moment(
                snapshot: snapshot, exported: exported, takenAt_us: takenAt_us, before: before, position: position,
                isUTF8: encoding == "UTF8")
        }
    }

    /// Lets the log go on: what is written at its end then stands above all that was there.
    func moveLog() throws {
        _ = try translating { server in
            try server.session.execute("ROLLBACK; BEGIN; SELECT txid_current(); COMMIT", for: "let the log go on")
        }
    }

    /// Opens a snapshot that another has taken and still has open.
    func join(_ exported: String) throws {
        try translating { server in
            let purpose = "share a snapshot"
            for setting in SweepDialect.postgres.settings { try server.session.execute(setting, for: purpose) }
            try server.session.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT \(RowDigest.literal(exported))",
                for: purpose)
        }
    }

    /// Rows of these keys as COPY's text, in the snapshot.
    ///
    /// - Parameter chunk: names keys.
    func copy(_ chunk: CopyChunk, _ receive: @Sendable (UnsafeRawBufferPointer) -> Void) throws {
        try translating { server in
            _ = try server.session.copyOut(try chunk.sql(), for: "read rows of \(chunk.facts.table)", receive)
        }
    }

    /// What the catalog says of a table, and the publication's row filter; nil: there is no such table, or the
    /// publication hasn't it.
    func facts(of table: TableID, in publication: String?) throws -> (facts: RelationFacts, filter: String?)? {
        try translating { server in
            var published = SourceServer.PublishedTable(table: table)
            if let publication {
                guard let its = try server.publication(publication)?.tables.first(where: { $0.table == table })
                else { return nil }
                published = its
            }
            return try server.relations([published]).first.map { ($0, published.filter) }
        }
    }

    func rows(_ sql: String) throws -> [[String?]] {
        try translating { server in
            let rows = try server.session.query(sql, for: "compare rows")
            return (0..<rows.count).map { row in (0..<rows.columnCount).map { rows.string(row, $0) } }
        }
    }

    /// Gives up the locks of tables that were read, and what an error has left; the snapshot stays.
    func letGo() throws {
        _ = try translating { try $0.session.execute("ROLLBACK TO SAVEPOINT millrace", for: "compare rows") }
    }

    /// A table's columns by name, with the types that a warehouse is told; nil: there is no such table. `isPlain`: others
    /// that inherit from it are tables of their own.
    func columns(of table: TableID) throws -> (types: [String: ColumnType], isPlain: Bool)? {
        try translating { server in
            let name = CatalogTable.Name(schema: table.schema, name: table.table)
            guard let found = try Catalog.read(.named([name]), from: server.session).table(table.schema, table.table)
            else { return nil }
            let types = Dictionary(
                found.columns.filter { !$0.isGenerated }.map {
                    ($0.name, ColumnType(sql: $0.replicatedType) ?? .other($0.replicatedType))
                }
            ) { first, _ in first }
            return (types, found.kind == .table)
        }
    }

    /// Reads a table's blocks by several connections, which share the snapshot.
    func scan(
        _ table: TableID, _ moment: Moment, _ pace: SweepPace, tell: @escaping @Sendable (Double) -> Void
    ) async throws -> BlockScan? {
        // Beside the snapshot's transaction: how long the table is at most.
        let control = SourceControl(url: url)
        do {
            let (parts, version) = try await control.with { (try $0.parts(of: table), $0.facts.serverVersion) }
            await control.close()
            guard !parts.isEmpty else { return nil }
            let shared = parts.map { part in
                BlockScan.Part(
                    relation: "ONLY \(RowDigest.quoted(part.schema)).\(RowDigest.quoted(part.name))",
                    blocks: part.blocks)
            }
            return BlockScan(shared, hasRanges: version >= 140_000, pace: pace, tell: tell) { [url] in
                let reader = SourceSnapshot(url: url)
                do {
                    try await reader.join(moment.exported)
                } catch {
                    await reader.close()
                    throw error
                }
                return reader
            }
        } catch {
            await control.close()
            throw error
        }
    }

    /// Row filters of the publication, as SQL, of tables that have one.
    func filters(of publication: String?) throws -> [TableID: String] {
        guard let publication else { return [:] }
        return try translating { server in
            let tables = try server.publication(publication)?.tables ?? []
            return Dictionary(
                tables.compactMap { table in table.filter.map { (table.table, $0) } },
                uniquingKeysWith: { first, _ in first })
        }
    }

    func close() {
        server?.close()
        server = nil
    }
}

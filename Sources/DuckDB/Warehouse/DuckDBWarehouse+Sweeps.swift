import Foundation
import Replication
import SerialQueue
import Synchronization

/// A session that one thread reads with and another may have to close, as the file mustn't stay open behind the
/// warehouse's back: two engines would write it.
///
/// `@unchecked Sendable`: the session is used under the lock only.
final class SnapshotSession: @unchecked Sendable {
    private let lock = NSLock()
    private let interrupter = Interrupter()
    private let isClosed = Atomic<Bool>(false)
    private var session: Session?

    init(_ database: Database) throws {
        session = try ReplicationError.translating { try Session(database, interrupter: interrupter) }
    }

    func with<R>(_ body: (Session) throws -> R) throws -> R {
        try lock.withLock {
            guard let session, !isClosed.load(ordering: .acquiring) else {
                throw ReplicationError(.environment, "the warehouse was closed meanwhile", remedy: "try again")
            }
            return try ReplicationError.translating { try body(session) }
        }
    }

    func interrupt() { interrupter.interrupt() }

    /// Ends what runs in it.
    func close() {
        isClosed.store(true, ordering: .releasing)
        interrupter.interrupt()
        lock.withLock {
            session?.close()
            session = nil
        }
    }
}

/// One transaction on a session of its own, beside the writer's.
actor DuckDBWarehouseSnapshot: WarehouseSnapshot {
    private let executor = SerialQueueExecutor(label: "duckdb.sweep")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let session: SnapshotSession
    private let layout: WarehouseLayout

    init(_ session: SnapshotSession, catalog: String, _ layout: WarehouseLayout) async throws {
        self.session = session
        self.layout = layout
        try open(catalog)
    }

    private func open(_ catalog: String) throws {
        try session.with { session in
            try session.run(
                "USE \(SQLName.quoted(catalog)); BEGIN TRANSACTION READ ONLY",
                purpose: "beginning a sweep")
            // The first statement that reads takes it.
            _ = try session.int64(
                "SELECT count(*) FROM \(MetaTables.name("meta"))", purpose: "beginning a sweep")
        }
    }

    func rows(_ sql: String) throws -> [[String?]] {
        try session.with { session in
            var rows: [[String?]] = []
            try session.forEachChunk(sql, purpose: "comparing rows", streaming: true) { chunk in
                for row in 0..<chunk.rowCount { rows.append(chunk.columns.indices.map { chunk.text($0, row) }) }
            }
            return rows
        }
    }

    nonisolated func interrupt() { session.interrupt() }

    func rows(ofUsers sql: String) throws -> [[String?]] {
        let purpose = "running the statement"
        return try session.with { session in
            // Looks at no row, and takes no second statement.
            _ = try Statement(session, sql, purpose: purpose)
            var rows: [[String?]] = []
            do {
                try session.forEachChunk(sql, purpose: purpose, streaming: true) { chunk in
                    for row in 0..<chunk.rowCount { rows.append(chunk.columns.indices.map { chunk.text($0, row) }) }
                }
            } catch let error as DuckDBError {
                throw error.withoutMessage
            }
            return rows
        }
    }

    func query(_ query: AsOfQuery, rows_max: Int) throws -> Replication.QueryResult {
        try session.with { session in try DuckDBWarehouse.result(of: query, layout, session, rows_max) }
    }

    /// Rows of raw.
    private static let page = 5000

    private func raw(_ table: TableDefinition) -> String { SQLName.quoted(layout.raw, table.target) }

    /// What rules keep out of current is no part of what it should be.
    private func isPromoted(_ table: TableDefinition, _ session: Session) throws -> String {
        guard try MetaTables.version(session) ?? 0 >= 8 else { return "" }
        return MetaTables.isPromoted(table.source, layout.pipeline)
    }

    func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) throws -> [RawEvent] {
        try session.with { session in
            var events: [RawEvent] = []
            try session.forEachChunk(
                """
                SELECT \(DuckDBTransaction.rawColumns("r.")) FROM \(raw(table)) r \
                WHERE (\(RawReplay.chosen(keys, truncates: truncates)))\(try isPromoted(table, session))
                """, purpose: "reading raw", streaming: true
            ) { chunk in
                for row in 0..<chunk.rowCount { events.append(try DuckDBTransaction.rawEvent(chunk, row)) }
            }
            return events
        }
    }

    func rawEvents(_ table: TableDefinition, page: Int) throws -> [RawEvent]? {
        let raw = raw(table)
        return try session.with { session in
            let first = page * Self.page
            let last = try session.int64("SELECT coalesce(max(rowid), -1) FROM \(raw)", purpose: "reading raw")
            guard let last, Int64(first) <= last else { return nil }
            var events: [RawEvent] = []
            try session.forEachChunk(
                """
                SELECT \(DuckDBTransaction.rawColumns("r.")) FROM \(raw) r \
                WHERE r.rowid >= \(first) AND r.rowid < \(first + Self.page)\(try isPromoted(table, session))
                """, purpose: "reading raw", streaming: true
            ) { chunk in
                for row in 0..<chunk.rowCount { events.append(try DuckDBTransaction.rawEvent(chunk, row)) }
            }
            return events
        }
    }

    func close() { session.close() }
}

struct WeakSnapshot { weak var session: SnapshotSession? }

extension DuckDBWarehouse {
    package func snapshot() async throws -> any WarehouseSnapshot {
        let session = try SnapshotSession(try withSession { $0.database })
        snapshots = snapshots.filter { $0.session != nil } + [WeakSnapshot(session: session)]
        do {
            return try await DuckDBWarehouseSnapshot(session, catalog: Self.catalogName(layout), layout)
        } catch {
            session.close()
            throw error
        }
    }

    package func record(_ sweeps: [SweepRecord]) async throws {
        try withSession { session in
            for sweep in sweeps {
                let counts = [sweep.missing, sweep.extra, sweep.different, sweep.moved, sweep.repaired]
                try session.execute(
                    """
                    INSERT INTO \(MetaTables.name("sweeps")) (pipeline, source_schema, source_table, started_at, finished_at, \
                    snapshot, position, rows, columns, uncovered, digest_source, digest_warehouse, missing, extra, different, \
                    moved, repaired, is_equal) VALUES (?, ?, ?, make_timestamptz(\(sweep.startedAt_us)), \
                    make_timestamptz(\(sweep.finishedAt_us)), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                    [
                        .text(layout.pipeline), .text(sweep.table.schema), .text(sweep.table.table),
                        .text(sweep.snapshot), .int64(sweep.position), .int64(sweep.rows),
                        .text(MetaJSON.text(names: sweep.columns)), .text(MetaJSON.text(names: sweep.uncovered)),
                        .text(sweep.digestSource), .text(sweep.digestWarehouse),
                    ] + counts.map { .int64(Int64($0)) } + [.bool(sweep.isEqual)], purpose: "recording a sweep")
            }
        }
    }

    package func lastSweeps() async throws -> [TableID: (last: SweepRecord, proof: SweepRecord?)] {
        try withSession { session in
            guard try hasMeta(session), try MetaTables.version(session) ?? 0 >= 6 else { return [:] }
            var records: [SweepRecord] = []
            try session.forEachChunk(
                """
                SELECT source_schema, source_table, CAST(epoch_us(started_at) AS VARCHAR), \
                CAST(epoch_us(finished_at) AS VARCHAR), snapshot, CAST(position AS VARCHAR), CAST(rows AS VARCHAR), columns, \
                uncovered, digest_source, digest_warehouse, CAST(missing AS VARCHAR), CAST(extra AS VARCHAR), \
                CAST(different AS VARCHAR), CAST(moved AS VARCHAR), CAST(repaired AS VARCHAR) \
                FROM \(MetaTables.name("sweeps")) WHERE pipeline = ? QUALIFY row_number() OVER \
                (PARTITION BY source_schema, source_table, is_equal, starts_with(snapshot, '\(SweepRecord.recentStart)') ORDER BY finished_at DESC) = 1
                """, [.text(layout.pipeline)], purpose: "reading the sweeps"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    records.append(
                        try SweepRecord((0..<16).map { chunk.text($0, row) }) {
                            try MetaJSON.names($0, of: "sweeps")
                        })
                }
            }
            return SweepRecord.latest(records)
        }
    }
}

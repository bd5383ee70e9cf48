import Foundation
import Postgres
import Replication

/// A backfill's end: one more snapshot, up to which the stream is applied and not beyond. Then the warehouse must equal
/// the source as that snapshot shows it, whoever writes meanwhile.
extension PostgresSource {
    func openProof() async throws {
        let holder = SnapshotHolder(url: settings.server.url.text)
        snapshotsOpened += 1
        let (snapshot, position) = try await holder.export(slot: "\(settings.slot)_c\(getpid())_\(snapshotsOpened)")
        proof = (holder, snapshot)
        stopAt = position
        logger.info("all is copied; streaming up to \(LSN.text(position)), where it is verified")
    }

    /// The last checkpoint is exactly the snapshot's position.
    func endOfBackfill() async throws -> SourceStep {
        guard let stopAt else { return .end }
        if handed < stopAt { return .records(advance(from: handed, to: stopAt)) }
        return .end
    }

    /// The position that was reached, once it was.
    package var provenAt: Int64? { hasStopped && durable.withLock { $0.position } >= stopAt ?? .max ? stopAt : nil }

    /// Runs queries in the snapshot, each giving one row, on a connection of their own.
    package func inProofSnapshot(_ queries: [String]) async throws -> [[String?]] {
        guard let proof else { return [] }
        let snapshot = proof.snapshot
        return try await SourceControl(url: settings.server.url.text).with { server in
            defer { server.close() }
            try server.session.execute(
                """
                BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                SET TRANSACTION SNAPSHOT '\(snapshot.replacing("'", with: "''"))'
                """, for: "open the snapshot to verify")
            return try queries.map { sql in
                let rows = try server.session.query(sql, for: "verify the backfill")
                return (0..<rows.columnCount).map { rows.string(0, $0) }
            }
        }
    }

    /// What was copied, for the report.
    package func copiedTables() async throws -> [(table: TableID, filter: String?, columns: [String]?)] {
        try await publication().tables.filter { copy.snapshots[$0.table] != nil }.map {
            ($0.table, $0.filter, $0.columns)
        }
    }
}

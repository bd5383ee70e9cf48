import Foundation
import Postgres
import Replication

/// A backfill's end: one more snapshot, up to which the stream is applied and not beyond. Then the warehouse must equal
/// the source as that snapshot shows it, whoever writes meanwhile.
extension PostgresSource {
    func openProof() async throws {
        let holder = SnapshotHolder(url: settings.server.url.text)
        // The stream waits with it, or it would be past the snapshot before that is known.
        let slot = nextSnapshotSlot()
        proofAsked_us = now_us()
        let (snapshot, position) = try await waiting(holder) { try await $0.export(slot: slot) }
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

    /// What was copied is as the source was then, or later; µs since 1970.
    package var completeAsOf_us: Int64? { provenAt == nil ? nil : proofAsked_us }

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

    /// What was to be copied, for the report, with the types of the columns that the source has.
    package func copiedTables() async throws -> [(table: TableID, filter: String?, types: [String: ColumnType])] {
        var copied: [(table: TableID, filter: String?, types: [String: ColumnType])] = []
        for published in try await publication().0.tables {
            let columns = try await control.with { try $0.relations([published]).first?.columns ?? [] }
            let types = columns.map { ($0.name, ColumnType(sql: $0.type) ?? .other($0.type)) }
            copied.append((published.table, published.filter, Dictionary(types) { first, _ in first }))
        }
        return copied
    }

    package var refusedTables: [TableID: ReplicationError] { copy.refused }
}

import Replication

/// `_millrace.freshness`.
extension DuckDBWarehouse {
    package func freshness() async throws -> [FreshnessRecord] {
        try withSession { session in
            guard try hasMeta(session), try MetaTables.version(session) ?? 0 >= 8 else { return [] }
            return try MetaTables.freshness(session, layout.pipeline)
        }
    }

    package func record(freshness records: [FreshnessRecord]) async throws {
        guard !records.isEmpty else { return }
        // Beside a source transaction in parts, whose session is another.
        try withSession { session in
            try session.transaction(purpose: MetaTables.recordingFreshness) {
                var open = Dictionary(
                    try MetaTables.freshness(session, layout.pipeline).map { ($0.table, $0.status) }
                ) { $1 }
                for record in records {
                    if let status = open[record.table], status == record.status {
                        try MetaTables.refresh(record, session, layout.pipeline)
                    } else {
                        try MetaTables.begin(record, session, layout.pipeline)
                        open[record.table] = .some(record.status)
                    }
                }
            }
        }
    }
}

extension MetaTables {
    fileprivate static let recordingFreshness = "recording freshness"
    private static let isOpen = "pipeline = ? AND source_schema = ? AND source_table = ? AND until IS NULL"

    fileprivate static func freshness(_ session: Session, _ pipeline: String) throws -> [FreshnessRecord] {
        var records: [FreshnessRecord] = []
        try session.forEachChunk(
            """
            SELECT source_schema, source_table, status, since, complete_as_of, changed_at, seen_at, staleness_ms, \
            max_staleness_ms, reason, alert FROM \(name("freshness")) WHERE pipeline = ? AND until IS NULL \
            ORDER BY source_schema, source_table
            """, [.text(pipeline)], purpose: "reading freshness"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                guard let table = chunk.table(0, row) else { continue }
                var record = FreshnessRecord(
                    table: table, status: chunk.text(2, row).flatMap(FreshnessStatus.init(rawValue:)),
                    since_us: chunk.integer(3, row) ?? 0, seenAt_us: chunk.integer(6, row) ?? 0)
                record.completeAsOf_us = chunk.integer(4, row)
                record.changedAt_us = chunk.integer(5, row)
                record.staleness_us = chunk.integer(7, row).map { $0 * 1000 }
                record.maxStaleness_us = chunk.integer(8, row).map { $0 * 1000 }
                record.reason = chunk.text(9, row)
                record.channel = chunk.text(10, row)
                records.append(record)
            }
        }
        return records
    }

    /// Another agent may have seen more.
    fileprivate static func refresh(_ record: FreshnessRecord, _ session: Session, _ pipeline: String) throws {
        try session.execute(
            """
            UPDATE \(name("freshness")) SET seen_at = greatest(seen_at, make_timestamptz(?::BIGINT)), \
            complete_as_of = \(later("complete_as_of")), changed_at = \(later("changed_at")), max_staleness_ms = ?, \
            alert = ? WHERE \(isOpen)
            """,
            [
                .int64(record.seenAt_us), record.completeAsOf_us.parameter, record.changedAt_us.parameter,
                record.maxStaleness_us.map { $0 / 1000 }.parameter, record.channel.parameter,
            ] + table(record, pipeline), purpose: recordingFreshness)
    }

    /// Nulls of the engine's `greatest` are left out, as they shall be.
    private static func later(_ column: String) -> String { "greatest(\(column), make_timestamptz(?::BIGINT))" }

    fileprivate static func begin(_ record: FreshnessRecord, _ session: Session, _ pipeline: String) throws {
        try session.execute(
            "UPDATE \(name("freshness")) SET until = greatest(since, make_timestamptz(?::BIGINT)) WHERE \(isOpen)",
            [.int64(record.since_us)] + table(record, pipeline), purpose: recordingFreshness)
        try session.execute(
            """
            INSERT INTO \(name("freshness")) (pipeline, source_schema, source_table, status, since, seen_at, \
            complete_as_of, changed_at, staleness_ms, max_staleness_ms, reason, alert) VALUES (?, ?, ?, ?, \
            make_timestamptz(?::BIGINT), make_timestamptz(?::BIGINT), make_timestamptz(?::BIGINT), \
            make_timestamptz(?::BIGINT), ?, ?, ?, ?)
            """,
            table(record, pipeline) + [
                (record.status?.rawValue).parameter, .int64(record.since_us), .int64(record.seenAt_us),
                record.completeAsOf_us.parameter, record.changedAt_us.parameter,
                record.staleness_us.map { $0 / 1000 }.parameter, record.maxStaleness_us.map { $0 / 1000 }.parameter,
                record.reason.parameter, record.channel.parameter,
            ], purpose: recordingFreshness)
        try session.execute(
            "DELETE FROM \(name("freshness")) WHERE pipeline = ? AND until < make_timestamptz(?::BIGINT)",
            [.text(pipeline), .int64(record.seenAt_us - FreshnessRecord.kept_us)], purpose: recordingFreshness)
    }

    private static func table(_ record: FreshnessRecord, _ pipeline: String) -> [Parameter] {
        [.text(pipeline), .text(record.table.schema), .text(record.table.table)]
    }

    /// Since version 8.
    static var freshnessScript: String {
        """
        CREATE TABLE IF NOT EXISTS \(name("freshness")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, status VARCHAR,
            since TIMESTAMP WITH TIME ZONE, until TIMESTAMP WITH TIME ZONE, complete_as_of TIMESTAMP WITH TIME ZONE,
            changed_at TIMESTAMP WITH TIME ZONE, seen_at TIMESTAMP WITH TIME ZONE, staleness_ms BIGINT,
            max_staleness_ms BIGINT, reason VARCHAR, alert VARCHAR);
        """
    }
}

import Replication

/// `_millrace.freshness`.
extension PostgresWarehouse {
    package func freshness() async throws -> [FreshnessRecord] {
        try read(orNothing: []) { session in
            guard try MetaTables.version(session) ?? 0 >= 8 else { return [] }
            return try MetaTables.freshness(session, layout.pipeline)
        }
    }

    package func record(freshness records: [FreshnessRecord]) async throws {
        guard !records.isEmpty else { return }
        // Beside a source transaction in parts, on a connection of its own.
        try work { session in
            try session.transaction(for: MetaTables.recordingFreshness) {
                // Agents of one pipeline that see the same write it once.
                let key = SQLText.lockKey("millrace", "freshness", layout.pipeline)
                try session.execute("SELECT pg_advisory_xact_lock(\(key))", for: MetaTables.recordingFreshness)
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
    fileprivate static let recordingFreshness = "record freshness"
    private static let isOpen = "pipeline = $1 AND source_schema = $2 AND source_table = $3 AND until IS NULL"

    fileprivate static func freshness(_ session: Session, _ pipeline: String) throws -> [FreshnessRecord] {
        let rows = try session.query(
            """
            SELECT source_schema, source_table, status, \(SQLText.microseconds("since")), \
            \(SQLText.microseconds("complete_as_of")), \(SQLText.microseconds("changed_at")), \
            \(SQLText.microseconds("seen_at")), staleness_ms, max_staleness_ms, reason, alert \
            FROM \(name("freshness")) WHERE pipeline = $1 AND until IS NULL ORDER BY source_schema, source_table
            """, [pipeline], for: "read freshness")
        return (0..<rows.count).map { row in
            var record = FreshnessRecord(
                table: TableID(schema: rows.text(row, 0), table: rows.text(row, 1)),
                status: rows.string(row, 2).flatMap(FreshnessStatus.init(rawValue:)),
                since_us: rows.integer(row, 3) ?? 0, seenAt_us: rows.integer(row, 6) ?? 0)
            record.completeAsOf_us = rows.integer(row, 4)
            record.changedAt_us = rows.integer(row, 5)
            record.staleness_us = rows.integer(row, 7).map { $0 * 1000 }
            record.maxStaleness_us = rows.integer(row, 8).map { $0 * 1000 }
            record.reason = rows.string(row, 9)
            record.channel = rows.string(row, 10)
            return record
        }
    }

    /// Another agent may have seen more.
    fileprivate static func refresh(_ record: FreshnessRecord, _ session: Session, _ pipeline: String) throws {
        _ = try session.query(
            """
            UPDATE \(name("freshness")) SET seen_at = greatest(seen_at, $4::timestamptz), \
            complete_as_of = greatest(complete_as_of, $5::timestamptz), \
            changed_at = greatest(changed_at, $6::timestamptz), max_staleness_ms = $7::bigint, alert = $8 \
            WHERE \(isOpen)
            """,
            table(record, pipeline) + [
                SQLText.timestamp(record.seenAt_us), record.completeAsOf_us.map(SQLText.timestamp),
                record.changedAt_us.map(SQLText.timestamp), record.maxStaleness_us.map { "\($0 / 1000)" },
                record.channel,
            ], for: recordingFreshness)
    }

    fileprivate static func begin(_ record: FreshnessRecord, _ session: Session, _ pipeline: String) throws {
        _ = try session.query(
            "UPDATE \(name("freshness")) SET until = greatest(since, $4::timestamptz) WHERE \(isOpen)",
            table(record, pipeline) + [SQLText.timestamp(record.since_us)], for: recordingFreshness)
        _ = try session.query(
            """
            INSERT INTO \(name("freshness")) (pipeline, source_schema, source_table, status, since, seen_at, \
            complete_as_of, changed_at, staleness_ms, max_staleness_ms, reason, alert) VALUES ($1, $2, $3, $4, \
            $5::timestamptz, $6::timestamptz, $7::timestamptz, $8::timestamptz, $9::bigint, $10::bigint, $11, $12)
            """,
            table(record, pipeline) + [
                record.status?.rawValue, SQLText.timestamp(record.since_us), SQLText.timestamp(record.seenAt_us),
                record.completeAsOf_us.map(SQLText.timestamp), record.changedAt_us.map(SQLText.timestamp),
                record.staleness_us.map { "\($0 / 1000)" }, record.maxStaleness_us.map { "\($0 / 1000)" },
                record.reason, record.channel,
            ], for: recordingFreshness)
        _ = try session.query(
            "DELETE FROM \(name("freshness")) WHERE pipeline = $1 AND until < $2::timestamptz",
            [pipeline, SQLText.timestamp(record.seenAt_us - FreshnessRecord.kept_us)], for: recordingFreshness)
    }

    private static func table(_ record: FreshnessRecord, _ pipeline: String) -> [String?] {
        [pipeline, record.table.schema, record.table.table]
    }

    /// Since version 8.
    static var freshnessScript: String {
        """
        CREATE TABLE \(name("freshness")) (
            pipeline text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, status text,
            since timestamptz NOT NULL, until timestamptz, complete_as_of timestamptz, changed_at timestamptz,
            seen_at timestamptz NOT NULL, staleness_ms bigint, max_staleness_ms bigint, reason text, alert text);
        CREATE UNIQUE INDEX ON \(name("freshness")) (pipeline, source_schema, source_table) WHERE until IS NULL;
        CREATE INDEX ON \(name("freshness")) (pipeline, until);
        """
    }
}

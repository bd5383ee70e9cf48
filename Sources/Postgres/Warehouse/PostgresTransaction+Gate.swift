import Replication

/// Events that rules keep out of current.
extension PostgresTransaction {
    private static var quarantine: String { MetaTables.name("quarantine") }

    func isPromoted(_ table: TableID) throws -> String { try MetaTables.isPromoted(table, layout.pipeline) }

    func putAside(
        _ table: TableDefinition, _ keys: [String]
    ) throws -> [String: [(rule: String, version: Version)]] {
        guard !keys.isEmpty else { return [:] }
        return try translating {
            let rows = try session.query(
                """
                SELECT row_key, rule, _version_epoch, _version_commit, _version_seq FROM \(Self.quarantine) \
                WHERE \(try isOf(table.source)) AND rule IS NOT NULL \
                AND state <> '\(QuarantinedRecord.State.replayed.rawValue)' AND hashtextextended(row_key, 0) IN (SELECT hashtextextended(k, 0) FROM unnest($1::text[]) k) \
                AND row_key = ANY ($1::text[])
                """, [try arrayText(keys)], for: "read what is put aside")
            var found: [String: [(rule: String, version: Version)]] = [:]
            for row in 0..<rows.count {
                found[rows.text(row, 0), default: []].append((rows.text(row, 1), rows.version(row, 2)))
            }
            return found
        }
    }

    func putAsideEvents(_ table: TableDefinition, _ ids: [Int64]) throws -> [(id: Int64, event: DeferredEvent)] {
        try translating {
            let sql = try TableSQL(table, layout)
            let rows = try session.query(
                """
                SELECT \(Self.rawColumns), r.position, q.marks, q.json_nulls, q.id FROM \(Self.quarantine) q \
                JOIN \(sql.raw) r ON r.\(TableSQL.seq) = q._version_seq AND r.event_id = q.event_id \
                WHERE \(try isOf(table.source)) AND q.rule IS NOT NULL \
                AND q.state = '\(QuarantinedRecord.State.waiting.rawValue)' AND (q.id = ANY ($1::bigint[]) \
                OR hashtextextended(q.row_key, 0) IN (SELECT hashtextextended(row_key, 0) FROM \(Self.quarantine) \
                WHERE id = ANY ($1::bigint[]))) \
                ORDER BY q._version_epoch, q._version_commit, q._version_seq, q.event_id
                """, [try arrayText(ids.map(String.init))], for: "read what is put aside")
            return try (0..<rows.count).map { row in
                guard let place = DeferredEvent.place(rows.text(row, 12)) else {
                    throw ReplicationError(
                        .invariant, "\(layout.raw).\(table.target) has a position that millrace didn't write",
                        table: table.source)
                }
                let marks = rows.integer(row, 13).map { DeferredEvent.read(marks: Int16(truncatingIfNeeded: $0)) }
                return (
                    rows.integer(row, 15) ?? 0,
                    DeferredEvent(
                        event: try rawEvent(rows, row, table), partition: place.partition, offset: place.offset,
                        flags: marks?.flags, hasImmediateKey: marks?.hasImmediateKey ?? false,
                        jsonNulls: rows.string(row, 14))
                )
            }
        }
    }

    /// Events of them are kept out of current from here on.
    func markPutAside(_ tables: Set<TableID>) throws {
        for table in tables.sorted() {
            try session.execute(
                "UPDATE \(MetaTables.name("tables")) SET has_put_aside = true WHERE \(try isOf(table)) AND NOT has_put_aside",
                for: "note what is put aside")
        }
    }

    func hasPutAside(_ table: TableDefinition) throws -> Bool {
        try translating {
            try session.scalar(
                """
                SELECT EXISTS (SELECT FROM \(Self.quarantine) WHERE \(try isOf(table.source)) AND rule IS NOT NULL \
                AND state = '\(QuarantinedRecord.State.waiting.rawValue)')
                """, for: "look for what is put aside") == "t"
        }
    }

    func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) throws {
        guard !ids.isEmpty else { return }
        try translating { try MetaTables.settle(ids, as: state, session, layout.pipeline) }
    }

    /// Adds up what rules found.
    func add(_ counts: [GateCount], _ loadedAt_us: Int64) throws {
        let at = SQLText.timestamp(loadedAt_us)
        for count in counts {
            _ = try session.query(
                """
                INSERT INTO \(MetaTables.name("gates")) AS g (pipeline, source_schema, source_table, rule, origin, on_fail, \
                rows, first_position, first_at, last_position, last_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7::bigint, $8, $10::timestamptz, $9, $10::timestamptz) \
                ON CONFLICT (pipeline, source_schema, source_table, rule, origin, on_fail) DO UPDATE SET \
                rows = g.rows + excluded.rows, last_position = excluded.last_position, last_at = excluded.last_at
                """,
                [
                    layout.pipeline, count.table.schema, count.table.table, count.rule.name, count.rule.origin,
                    count.rule.onFail.rawValue, "\(count.rows)", count.first, count.last, at,
                ], for: "record what rules found")
        }
    }
}

extension MetaTables {
    /// For events of raw as `r`.
    static func isPromoted(_ table: TableID, _ pipeline: String) throws -> String {
        """
         AND NOT EXISTS (SELECT FROM \(name("quarantine")) q WHERE q.event_id = r.event_id AND q.rule IS NOT NULL \
        AND q.state <> '\(QuarantinedRecord.State.replayed.rawValue)' AND q.pipeline = \(try quoteLiteral(pipeline)) \
        AND q.source_schema = \(try quoteLiteral(table.schema)) AND q.source_table = \(try quoteLiteral(table.table)))
        """
    }

    static func settle(
        _ ids: [Int64], as state: QuarantinedRecord.State, _ session: Session, _ pipeline: String
    ) throws {
        _ = try session.query(
            """
            UPDATE \(name("quarantine")) SET state = $2 WHERE pipeline = $1 AND id = ANY ($3::bigint[])
            """, [pipeline, state.rawValue, try arrayText(ids.map(String.init))], for: "settle quarantined records")
    }

    /// Since version 8.
    static var gatesScript: String {
        """
        ALTER TABLE \(name("quarantine")) ADD COLUMN rule text, ADD COLUMN event_id uuid,
            ADD COLUMN _version_epoch bigint, ADD COLUMN _version_commit bigint, ADD COLUMN _version_seq bigint,
            ADD COLUMN row_key text, ADD COLUMN marks integer, ADD COLUMN json_nulls text;
        ALTER TABLE \(name("tables")) ADD COLUMN has_put_aside boolean NOT NULL DEFAULT false;
        CREATE INDEX ON \(name("quarantine")) (event_id) WHERE rule IS NOT NULL;
        CREATE INDEX ON \(name("quarantine")) (pipeline, source_schema, source_table, hashtextextended(row_key, 0))
            WHERE rule IS NOT NULL AND state <> 'replayed';
        CREATE TABLE \(name("gates")) (
            pipeline text, source_schema text, source_table text, rule text, origin text, on_fail text,
            rows bigint NOT NULL, first_position text NOT NULL, first_at timestamptz NOT NULL,
            last_position text NOT NULL, last_at timestamptz NOT NULL,
            PRIMARY KEY (pipeline, source_schema, source_table, rule, origin, on_fail));
        """
    }
}

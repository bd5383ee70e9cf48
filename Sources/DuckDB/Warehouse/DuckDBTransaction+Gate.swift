import Replication

/// Events that rules keep out of current.
extension DuckDBTransaction {
    private static var quarantine: String { MetaTables.name("quarantine") }
    private static let isOfTable = "pipeline = ? AND source_schema = ? AND source_table = ? AND rule IS NOT NULL"

    private func name(_ table: TableID) -> [Parameter] {
        [.text(layout.pipeline), .text(table.schema), .text(table.table)]
    }

    func putAside(
        _ table: TableDefinition, _ keys: [String]
    ) throws -> [String: [(rule: String, version: Version)]] {
        guard !keys.isEmpty else { return [:] }
        return try ReplicationError.translating(table.source) {
            let purpose = "reading what is put aside of \(table.source)"
            try fillKeys(keys, purpose)
            var found: [String: [(rule: String, version: Version)]] = [:]
            try session.forEachChunk(
                """
                SELECT row_key, rule, \(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq) FROM \(Self.quarantine) \
                WHERE \(Self.isOfTable) AND state <> '\(QuarantinedRecord.State.replayed.rawValue)' \
                AND row_key IN (SELECT key FROM \(StagingTables.keys))
                """, name(table.source), purpose: purpose
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    found[chunk.string(0, row), default: []].append((chunk.string(1, row), chunk.version(2, row)))
                }
            }
            try session.execute("DELETE FROM \(StagingTables.keys)", purpose: purpose)
            return found
        }
    }

    func putAsideEvents(_ table: TableDefinition, _ ids: [Int64]) throws -> [(id: Int64, event: DeferredEvent)] {
        guard !ids.isEmpty else { return [] }
        return try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let version = "\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)"
            let list = ids.map(String.init).joined(separator: ", ")
            var events: [(id: Int64, event: DeferredEvent)] = []
            try session.forEachChunk(
                """
                SELECT \(Self.rawColumns("r.")), r.position, q.marks, q.json_nulls, q.id FROM (\
                SELECT id, event_id, \(version), marks, json_nulls FROM \(Self.quarantine) WHERE \(Self.isOfTable) \
                AND state = '\(QuarantinedRecord.State.waiting.rawValue)' \
                AND (id IN (\(list)) OR row_key IN (SELECT row_key FROM \(Self.quarantine) WHERE id IN (\(list))))) q \
                JOIN \(sql.raw) r ON r.event_id = q.event_id AND r.\(TableSQL.seq) = q.\(TableSQL.seq) \
                ORDER BY q.\(TableSQL.epoch), q.\(TableSQL.commit), q.\(TableSQL.seq), q.event_id
                """, name(table.source), purpose: "reading what is put aside of \(table.source)"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    guard let place = DeferredEvent.place(chunk.string(12, row)) else {
                        throw ReplicationError(.permanent, "raw holds a position that millrace didn't write")
                    }
                    let marks = chunk.integer(13, row).map { DeferredEvent.read(marks: Int16(truncatingIfNeeded: $0)) }
                    events.append(
                        (
                            chunk.int64(15, row),
                            DeferredEvent(
                                event: try Self.rawEvent(chunk, row), partition: place.partition, offset: place.offset,
                                flags: marks?.flags, hasImmediateKey: marks?.hasImmediateKey ?? false,
                                jsonNulls: chunk.text(14, row))
                        ))
                }
            }
            return events
        }
    }

    func hasPutAside(_ table: TableDefinition) throws -> Bool {
        try ReplicationError.translating(table.source) {
            try session.int64(
                """
                SELECT count(*) FROM \(Self.quarantine) WHERE \(Self.isOfTable) \
                AND state = '\(QuarantinedRecord.State.waiting.rawValue)'
                """, name(table.source), purpose: "looking for what is put aside of \(table.source)") ?? 0 > 0
        }
    }

    func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) throws {
        guard !ids.isEmpty else { return }
        try ReplicationError.translating { try MetaTables.settle(ids, as: state, session, layout.pipeline) }
    }

    /// Adds up what rules found.
    func add(_ counts: [GateCount], _ loadedAt_us: Int64) throws {
        let purpose = "recording what rules found"
        for count in counts {
            let rule: [Parameter] =
                name(count.table) + [
                    .text(count.rule.name), .text(count.rule.origin), .text(count.rule.onFail.rawValue),
                ]
            let isRule =
                "pipeline = ? AND source_schema = ? AND source_table = ? AND rule = ? AND origin = ? AND on_fail = ?"
            let gates = MetaTables.name("gates")
            guard try session.int64("SELECT count(*) FROM \(gates) WHERE \(isRule)", rule, purpose: purpose) == 0 else {
                try session.execute(
                    """
                    UPDATE \(gates) SET rows = rows + ?::BIGINT, last_position = ?, \
                    last_at = make_timestamptz(?::BIGINT) WHERE \(isRule)
                    """, [.int64(Int64(count.rows)), .text(count.last), .int64(loadedAt_us)] + rule, purpose: purpose)
                continue
            }
            try session.execute(
                """
                INSERT INTO \(gates) (pipeline, source_schema, source_table, rule, origin, on_fail, rows, first_position, \
                last_position, first_at, last_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?::BIGINT), \
                make_timestamptz(?::BIGINT))
                """,
                rule + [
                    .int64(Int64(count.rows)), .text(count.first), .text(count.last), .int64(loadedAt_us),
                    .int64(loadedAt_us),
                ], purpose: purpose)
        }
    }
}

extension MetaTables {
    /// For events of raw as `r`.
    static func isPromoted(_ table: TableID, _ pipeline: String) -> String {
        """
         AND r.event_id NOT IN (SELECT event_id FROM \(name("quarantine")) WHERE rule IS NOT NULL \
        AND event_id IS NOT NULL AND state <> '\(QuarantinedRecord.State.replayed.rawValue)' \
        AND pipeline = \(SQLName.literal(pipeline)) AND source_schema = \(SQLName.literal(table.schema)) \
        AND source_table = \(SQLName.literal(table.table)))
        """
    }

    static func settle(
        _ ids: [Int64], as state: QuarantinedRecord.State, _ session: Session, _ pipeline: String
    ) throws {
        let list = ids.map(String.init).joined(separator: ", ")
        try session.execute(
            "UPDATE \(name("quarantine")) SET state = ? WHERE pipeline = ? AND id IN (\(list))",
            [.text(state.rawValue), .text(pipeline)], purpose: "settling quarantined records")
    }

    /// Since version 8.
    static var gatesScript: String {
        let columns = [
            "rule VARCHAR", "event_id UUID", "_version_epoch BIGINT", "_version_commit BIGINT", "_version_seq BIGINT",
            "row_key VARCHAR", "marks INTEGER", "json_nulls VARCHAR",
        ]
        return columns.map { "ALTER TABLE \(name("quarantine")) ADD COLUMN IF NOT EXISTS \($0);" }.joined(
            separator: "\n")
                + """

                ALTER TABLE \(name("tables")) ADD COLUMN IF NOT EXISTS has_put_aside BOOLEAN DEFAULT false;
                CREATE TABLE IF NOT EXISTS \(name("gates")) (
                    pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, rule VARCHAR, origin VARCHAR,
                    on_fail VARCHAR, rows BIGINT, first_position VARCHAR, first_at TIMESTAMP WITH TIME ZONE,
                    last_position VARCHAR, last_at TIMESTAMP WITH TIME ZONE);
                """
    }
}

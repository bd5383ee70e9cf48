import Replication

/// Rows whose values are erased.
extension PostgresTransaction {
    private static var erasures: String { MetaTables.name("erasures") }

    func erasures(_ table: TableID, _ names: [String]) throws -> [String: Erasure] {
        guard !names.isEmpty else { return [:] }
        return try translating {
            let rows = try session.query(
                """
                SELECT key_hash, _version_epoch, _version_commit, _version_seq, \(SQLText.microseconds("erased_at")), \
                revived_epoch, revived_commit, revived_seq FROM \(Self.erasures) WHERE pipeline = $1 \
                AND source_schema = $2 AND source_table = $3 AND key_hash = ANY ($4::text[])
                """, [layout.pipeline, table.schema, table.table, try arrayText(names)], for: "look for erasures")
            var found: [String: Erasure] = [:]
            for row in 0..<rows.count {
                let name = rows.text(row, 0)
                let revivedBy = rows.version(row, 5)
                found[name] = Erasure(
                    table: table, keyHash: name, version: rows.version(row, 1),
                    erasedAt_us: rows.integer(row, 4) ?? .min, revivedBy: revivedBy.isNone ? nil : revivedBy)
            }
            return found
        }
    }

    func write(_ erasures: [Erasure], reason: String?) throws {
        func numbers(_ version: Version?) -> [String?] {
            guard let version, !version.isNone else { return [nil, nil, nil] }
            return [version.epoch, version.commit, version.seq].map { "\($0)" }
        }
        try translating {
            for erasure in erasures {
                let table = erasure.table
                _ = try session.query(
                    """
                    INSERT INTO \(Self.erasures) AS e (pipeline, source_schema, source_table, key_hash, reason, erased_at, \
                    _version_epoch, _version_commit, _version_seq, revived_epoch, revived_commit, revived_seq) VALUES \
                    ($1, $2, $3, $4, coalesce($5, ''), $6::timestamptz, $7::bigint, $8::bigint, $9::bigint, $10::bigint, \
                    $11::bigint, $12::bigint) ON CONFLICT (pipeline, source_schema, source_table, key_hash) DO UPDATE SET \
                    reason = coalesce($5, e.reason), erased_at = excluded.erased_at, \
                    _version_epoch = excluded._version_epoch, _version_commit = excluded._version_commit, \
                    _version_seq = excluded._version_seq, revived_epoch = excluded.revived_epoch, \
                    revived_commit = excluded.revived_commit, revived_seq = excluded.revived_seq
                    """,
                    [
                        layout.pipeline, table.schema, table.table, erasure.keyHash, reason,
                        erasure.erasedAt_us == .min ? nil : SQLText.timestamp(erasure.erasedAt_us),
                    ] + numbers(erasure.version) + numbers(erasure.revivedBy), for: "note an erasure")
            }
            for table in Set(erasures.map(\.table)).sorted() {
                _ = try session.query(
                    """
                    UPDATE \(MetaTables.name("tables")) SET has_erasures = true WHERE pipeline = $1 \
                    AND source_schema = $2 AND source_table = $3 AND NOT has_erasures
                    """, [layout.pipeline, table.schema, table.table], for: "note an erasure")
            }
        }
    }

    func rawKeys(_ table: TableDefinition, _ body: (String) throws -> Void) throws {
        try translating {
            let sql = try TableSQL(table, layout)
            let purpose = "read the keys of \(layout.raw).\(table.target)"
            try session.execute(
                """
                DECLARE millrace_keys NO SCROLL CURSOR FOR SELECT DISTINCT key::text FROM \(sql.raw) WHERE key IS NOT NULL \
                UNION SELECT DISTINCT other_key::text FROM \(sql.raw) WHERE other_key IS NOT NULL
                """, for: purpose)
            while true {
                let rows = try session.query("FETCH 10000 FROM millrace_keys", for: purpose)
                for row in 0..<rows.count { try body(rows.text(row, 0)) }
                if rows.count == 0 { break }
            }
            try session.execute("CLOSE millrace_keys", for: purpose)
        }
    }

    func scrubRaw(_ table: TableDefinition, _ events: [RawEvent], as name: String) throws {
        try translating {
            let sql = try TableSQL(table, layout)
            _ = try session.query(
                """
                UPDATE \(sql.raw) r SET key = $3::json, other_key = NULL, before = NULL, after = NULL, unchanged = NULL \
                FROM unnest($1::bigint[], $2::uuid[]) AS e(seq, id) WHERE r.\(TableSQL.seq) = e.seq AND r.event_id = e.id
                """,
                [
                    try arrayText(events.map { "\($0.version.seq)" }), try arrayText(events.map(\.id.text)),
                    Erasure.rawKey(name),
                ], for: "erase events of \(layout.raw).\(table.target)")
        }
    }

    func scrubOldKeys(_ table: TableDefinition, _ keys: [String]) throws {
        try translating {
            let sql = try TableSQL(table, layout)
            _ = try session.query(
                "UPDATE \(sql.raw) SET other_key = NULL, before = NULL WHERE other_key::text = ANY ($1::text[])",
                [try arrayText(keys)], for: "erase old keys of \(layout.raw).\(table.target)")
        }
    }

    func removeRows(_ staged: StagedTable, _ rows: [Int]) throws {
        try translating {
            let sql = try TableSQL(staged.definition, layout)
            let stage = try stageTable(sql)
            let first = stagedAt[staged.definition.source] ?? 0
            if !rows.isEmpty {
                _ = try session.query(
                    """
                    DELETE FROM \(sql.current) t USING \(stage) s WHERE s._ord = ANY ($1::bigint[]) \
                    AND \(sql.sameKey("t", "s"))
                    """, [try arrayText(rows.map { "\(first + Int64($0))" })], for: sql.purpose("erase rows of"))
            }
            // Rows of earlier batches are in it, too.
            try session.execute("DELETE FROM \(stage)", for: sql.purpose("erase rows of"))
        }
    }

    func forgetKeys(_ table: TableID, _ keys: [String], _ events: [EventID]) throws -> Int {
        try translating {
            let name: [String?] = [layout.pipeline, table.schema, table.table]
            let isOfTable = "pipeline = $1 AND source_schema = $2 AND source_table = $3"
            let ids = try arrayText(events.map(\.text))
            let texts = try arrayText(keys)
            _ = try session.query(
                """
                UPDATE \(MetaTables.name("late_events")) SET key = NULL WHERE \(isOfTable) \
                AND (event_id = ANY ($4::uuid[]) OR key::text = ANY ($5::text[]))
                """, name + [ids, texts], for: "erase late events' keys")
            _ = try session.query(
                """
                DELETE FROM \(MetaTables.name("moves")) WHERE \(isOfTable) \
                AND (old_key = ANY ($4::text[]) OR new_key = ANY ($4::text[]))
                """, name + [texts], for: "erase moves")
            let rows = try session.query(
                """
                WITH gone AS (DELETE FROM \(MetaTables.name("deferred")) WHERE \(isOfTable) \
                AND event_id = ANY ($4::uuid[]) RETURNING 1) SELECT count(*) FROM gone
                """, name + [ids], for: "erase deferred events")
            return Int(rows.integer(0, 0) ?? 0)
        }
    }

    func scrubQuarantine(_ ids: [Int64]) throws -> Int {
        guard !ids.isEmpty else { return 0 }
        return try translating {
            let rows = try session.query(
                """
                WITH scrubbed AS (UPDATE \(MetaTables.name("quarantine")) SET key = NULL, value = NULL, headers = NULL, \
                state = '\(QuarantinedRecord.State.discarded.rawValue)' WHERE pipeline = $1 AND id = ANY ($2::bigint[]) \
                RETURNING 1) SELECT count(*) FROM scrubbed
                """, [layout.pipeline, try arrayText(ids.map(String.init))], for: "erase quarantined records")
            return Int(rows.integer(0, 0) ?? 0)
        }
    }
}

extension PostgresWarehouse {
    package func erase(_ request: ErasureRequest) async throws -> ErasureReport {
        let table = request.table
        if layout.hasRaw, layout.hasCurrent || !table.isKeyless {
            // A view that an earlier program made shows what is left of erased events as rows without values.
            try write { session in
                // As it is by now, whatever the request knows it as.
                let table = try TableRegistry.definition(of: table.source, layout.pipeline, session) ?? table
                var types = TypeNames()
                try types.learn(table, session)
                let sql = try TableSQL(table, layout)
                let isThere = try session.scalar(
                    "SELECT to_regclass($1) IS NOT NULL", [sql.history], for: sql.purpose("erase a row of"))
                guard isThere == "t" else { return }
                try session.execute(try sql.createHistory(types), for: sql.purpose("erase a row of"))
            }
        }
        return try withTransaction { transaction in
            try writer.erase(request, layout: layout, in: transaction, erasedAt_us: transaction.loadedAt_us)
        }
    }
}

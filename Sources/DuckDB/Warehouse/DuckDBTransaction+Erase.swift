import Replication

/// Rows whose values are erased.
extension DuckDBTransaction {
    private static var erasures: String { MetaTables.name("erasures") }
    private static let isOfTable = "pipeline = ? AND source_schema = ? AND source_table = ?"

    var keyEquality: KeyEquality { .duckdb }

    private func name(_ table: TableID) -> [Parameter] {
        [.text(layout.pipeline), .text(table.schema), .text(table.table)]
    }

    func erasures(_ table: TableID, _ names: [String]) throws -> [String: Erasure] {
        guard !names.isEmpty else { return [:] }
        return try ReplicationError.translating(table) {
            try fillKeys(names, "looking for erasures")
            var found: [String: Erasure] = [:]
            try session.forEachChunk(
                """
                SELECT key_hash, \(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq), erased_at, revived_epoch, \
                revived_commit, revived_seq FROM \(Self.erasures) WHERE \(Self.isOfTable) \
                AND key_hash IN (SELECT key FROM \(StagingTables.keys))
                """, name(table), purpose: "looking for erasures"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    let name = chunk.string(0, row)
                    let revivedBy = chunk.version(5, row)
                    found[name] = Erasure(
                        table: table, keyHash: name, version: chunk.version(1, row),
                        erasedAt_us: chunk.integer(4, row) ?? .min, revivedBy: revivedBy.isNone ? nil : revivedBy)
                }
            }
            try session.execute("DELETE FROM \(StagingTables.keys)", purpose: "looking for erasures")
            return found
        }
    }

    func write(_ erasures: [Erasure], reason: String?) throws {
        func numbers(_ version: Version?) -> [Parameter] {
            guard let version, !version.isNone else { return [.null, .null, .null] }
            return [.int64(version.epoch), .int64(version.commit), .int64(version.seq)]
        }
        try ReplicationError.translating {
            let purpose = "noting an erasure"
            for erasure in erasures {
                let isThis = "\(Self.isOfTable) AND key_hash = ?"
                let which = name(erasure.table) + [.text(erasure.keyHash)]
                let told =
                    try reason
                    ?? session.string("SELECT reason FROM \(Self.erasures) WHERE \(isThis)", which, purpose: purpose)
                try session.execute("DELETE FROM \(Self.erasures) WHERE \(isThis)", which, purpose: purpose)
                try session.execute(
                    """
                    INSERT INTO \(Self.erasures) (pipeline, source_schema, source_table, key_hash, reason, \
                    \(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq), revived_epoch, revived_commit, revived_seq, \
                    erased_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \(TableSQL.moment(erasure.erasedAt_us)))
                    """,
                    which + [.text(told ?? "")] + numbers(erasure.version) + numbers(erasure.revivedBy),
                    purpose: purpose)
            }
            for table in Set(erasures.map(\.table)).sorted() {
                try session.execute(
                    "UPDATE \(MetaTables.name("tables")) SET has_erasures = true WHERE \(Self.isOfTable)", name(table),
                    purpose: purpose)
            }
        }
    }

    func rawKeys(_ table: TableDefinition, _ body: (String) throws -> Void) throws {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            for column in ["key", "other_key"] {
                try session.forEachChunk(
                    "SELECT DISTINCT CAST(\(column) AS VARCHAR) FROM \(sql.raw) WHERE \(column) IS NOT NULL",
                    purpose: "reading the keys of \(layout.raw).\(table.target)"
                ) { chunk in
                    for row in 0..<chunk.rowCount { try body(chunk.string(0, row)) }
                }
            }
        }
    }

    func scrubRaw(_ table: TableDefinition, _ events: [RawEvent], as name: String) throws {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = "erasing events of \(layout.raw).\(table.target)"
            try fillProbes(events.enumerated().map { (Int32($0.offset), $0.element.id, nil) }, purpose)
            try session.execute(
                """
                UPDATE \(sql.raw) SET key = ?, other_key = NULL, before = NULL, after = NULL, unchanged = NULL \
                WHERE event_id IN (SELECT id FROM \(StagingTables.probes))
                """, [.text(Erasure.rawKey(name))], purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
        }
    }

    func scrubOldKeys(_ table: TableDefinition, _ keys: [String]) throws {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = "erasing old keys of \(layout.raw).\(table.target)"
            try fillKeys(keys, purpose)
            try session.execute(
                """
                UPDATE \(sql.raw) SET other_key = NULL, before = NULL \
                WHERE CAST(other_key AS VARCHAR) IN (SELECT key FROM \(StagingTables.keys))
                """, purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.keys)", purpose: purpose)
        }
    }

    func removeRows(_ staged: StagedTable, _ rows: [Int]) throws {
        try ReplicationError.translating(staged.definition.source) {
            let stage = try staging.stage(staged.definition, layout, session)
            let purpose = stage.sql.purpose("erasing rows of")
            let wanted = Set(rows.map(Int32.init))
            let found = try matches ?? match(staged, whole: false)
            matches = nil
            let ids = zip(found.ords, found.rowIDs).filter { wanted.contains($0.0) }.map { "\($0.1)" }
            if !ids.isEmpty {
                try session.execute(
                    "DELETE FROM \(stage.sql.current) WHERE rowid IN (\(ids.joined(separator: ", ")))",
                    purpose: purpose)
            }
            try session.execute("DELETE FROM \(stage.table)", purpose: purpose)
        }
    }

    func forgetKeys(_ table: TableID, _ keys: [String], _ events: [EventID]) throws -> Int {
        try ReplicationError.translating(table) {
            let purpose = "erasing keys"
            try fillKeys(keys, purpose)
            try fillProbes(events.enumerated().map { (Int32($0.offset), $0.element, nil) }, purpose)
            let isKey = "IN (SELECT key FROM \(StagingTables.keys))"
            let isEvent = "event_id IN (SELECT id FROM \(StagingTables.probes))"
            try session.execute(
                """
                UPDATE \(MetaTables.name("late_events")) SET key = NULL WHERE \(Self.isOfTable) \
                AND (\(isEvent) OR CAST(key AS VARCHAR) \(isKey))
                """, name(table), purpose: purpose)
            try session.execute(
                "DELETE FROM \(MetaTables.name("moves")) WHERE \(Self.isOfTable) AND (old_key \(isKey) OR new_key \(isKey))",
                name(table), purpose: purpose)
            let deferred = MetaTables.name("deferred")
            let count = try session.int64(
                "SELECT count(*) FROM \(deferred) WHERE \(Self.isOfTable) AND \(isEvent)", name(table), purpose: purpose
            )
            try session.execute(
                "DELETE FROM \(deferred) WHERE \(Self.isOfTable) AND \(isEvent)", name(table), purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.keys)", purpose: purpose)
            return Int(count ?? 0)
        }
    }

    func scrubQuarantine(_ ids: [Int64]) throws -> Int {
        guard !ids.isEmpty else { return 0 }
        return try ReplicationError.translating {
            let list = ids.map(String.init).joined(separator: ", ")
            let isOne = "pipeline = ? AND id IN (\(list))"
            let purpose = "erasing quarantined records"
            let count = try session.int64(
                "SELECT count(*) FROM \(MetaTables.name("quarantine")) WHERE \(isOne)", [.text(layout.pipeline)],
                purpose: purpose)
            try session.execute(
                """
                UPDATE \(MetaTables.name("quarantine")) SET key = NULL, value = NULL, headers = NULL, \
                state = '\(QuarantinedRecord.State.discarded.rawValue)' WHERE \(isOne)
                """, [.text(layout.pipeline)], purpose: purpose)
            return Int(count ?? 0)
        }
    }
}

extension DuckDBWarehouse {
    package func erase(_ request: ErasureRequest) async throws -> ErasureReport {
        if layout.hasRaw {
            // A view that an earlier program made shows what is left of erased events as rows without values.
            try writing("erasing a row") { session in
                guard try CatalogReader(session: session).kind(layout.history, request.table.target) == .view else {
                    return
                }
                let stored = try TableRegistry.definition(of: request.table.source, layout.pipeline, session)
                try session.run(
                    TableSQL(stored ?? request.table, layout).createHistory, purpose: "erasing a row")
            }
        }
        let report = try withTransaction {
            try writer.erase(request, layout: layout, in: $0, erasedAt_us: DuckDBClock.next_us())
        }
        // The log has the values still. Where a query stands in the way it is folded into the file later.
        try? withSession { try $0.run("CHECKPOINT", purpose: "folding the log into the file") }
        return report
    }
}

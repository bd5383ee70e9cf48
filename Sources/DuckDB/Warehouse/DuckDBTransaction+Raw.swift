import JSON
import Replication

extension DuckDBTransaction {
    func appendRaw(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws {
        guard !events.isEmpty else { return }
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let appender = try Appender(
                session, into: AppenderTarget(schema: layout.raw, table: table.target), RawWriter.columns,
                purpose: "appending to \(layout.raw).\(table.target)")
            let writer = RawWriter(sql.definition, batch)
            try batch.fields.withUnsafeBufferPointer { fields in
                try batch.events.withUnsafeBufferPointer { all in
                    for index in events { try writer.append(all[Int(index)], fields, to: appender) }
                }
            }
            try appender.close()
        }
    }

    func knownEvents(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws -> Set<Int32> {
        guard !events.isEmpty else { return [] }
        return try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = "looking for known events in \(layout.raw).\(table.target)"
            try fillProbes(events.map { ($0, batch.events[Int($0)].id, nil) }, purpose)
            let seqs = events.map { batch.events[Int($0)].version.seq }
            var known: Set<Int32> = []
            try session.forEachChunk(
                """
                SELECT p.item FROM \(StagingTables.probes) p SEMI JOIN (SELECT event_id FROM \(sql.raw) \
                WHERE \(TableSQL.seq) BETWEEN \(seqs.min() ?? 0) AND \(seqs.max() ?? 0)) r ON r.event_id = p.id
                """, purpose: purpose
            ) { chunk in
                for row in 0..<chunk.rowCount { known.insert(chunk.int32(0, row)) }
            }
            try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
            return known
        }
    }

    /// Fills the table of probes, which is empty between uses.
    func fillProbes(_ probes: [(item: Int32, id: EventID, image: EventID?)], _ purpose: String) throws {
        let appender = try Appender(
            session, into: .temporary(StagingTables.probes),
            [.init("item", .int32), .init("id", .uuid), .init("image", .uuid)], purpose: purpose)
        for probe in probes {
            appender.set(0, int32: probe.item)
            appender.set(1, uuidHigh: probe.id.high, low: probe.id.low)
            if let image = probe.image { appender.set(2, uuidHigh: image.high, low: image.low) }
            try appender.endRow()
        }
        try appender.close()
    }

    // MARK: Moved rows

    func rawEvents(
        _ table: TableDefinition, keys: [String], truncates: Bool, promoted: Bool
    ) throws -> [RawEvent] {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = "reading events of \(layout.raw).\(table.target)"
            try fillKeys(keys, purpose)
            let columns = Self.rawColumns("") + ", loaded_at"
            var events: [RawEvent] = []
            func read(_ condition: String) throws {
                try session.forEachChunk(
                    "SELECT \(columns) FROM \(sql.raw) r WHERE \(condition)", purpose: purpose
                ) { chunk in
                    for row in 0..<chunk.rowCount {
                        var event = try Self.rawEvent(chunk, row)
                        event.loadedAt_us = chunk.integer(12, row)
                        events.append(event)
                    }
                }
            }
            let isPromoted = promoted ? MetaTables.isPromoted(table.source, layout.pipeline) : ""
            if !keys.isEmpty {
                try read("CAST(r.key AS VARCHAR) IN (SELECT key FROM \(StagingTables.keys))\(isPromoted)")
            }
            if truncates { try read("op = 't'") }
            try session.execute("DELETE FROM \(StagingTables.keys)", purpose: purpose)
            return events
        }
    }

    /// What `rawEvent` reads, in its order; `row` as `r.`.
    static func rawColumns(_ row: String) -> String {
        let texts = ["key", "other_key", "before", "after", "unchanged"].map { "CAST(\(row)\($0) AS VARCHAR)" }
        return
            (["event_id", "op", TableSQL.epoch, TableSQL.commit, TableSQL.seq].map { row + $0 } + texts
            + [row + "source_tx", row + "source_ts"]).joined(separator: ", ")
    }

    static func rawEvent(_ chunk: borrowing ChunkReader, _ row: Int) throws -> RawEvent {
        guard let operation = Operation(letter: chunk.string(1, row)) else {
            throw ReplicationError(.permanent, "raw holds an op that millrace didn't write")
        }
        var unchanged: [String] = []
        if let text = chunk.text(9, row) {
            unchanged = (try? JSONValue(parsing: text))?.array?.compactMap(\.string) ?? []
        }
        return RawEvent(
            id: chunk.eventID(0, row), operation: operation, version: chunk.version(2, row), key: chunk.text(5, row),
            otherKey: chunk.text(6, row), before: chunk.text(7, row), after: chunk.text(8, row), unchanged: unchanged,
            transaction: chunk.integer(10, row) ?? -1, sourceTime_us: chunk.integer(11, row) ?? .min)
    }

    func fillKeys(_ keys: [String], _ purpose: String) throws {
        let appender = try Appender(
            session, into: .temporary(StagingTables.keys), [.init("key", .varchar)], purpose: purpose)
        for key in keys {
            try appender.set(0, string: key)
            try appender.endRow()
        }
        try appender.close()
    }

    func moves(_ table: TableID, oldKeys: [String]?) throws -> [MoveDependency] {
        try ReplicationError.translating {
            let purpose = "reading moves of \(table)"
            if let oldKeys { try fillKeys(oldKeys, purpose) }
            let condition = oldKeys == nil ? "" : " AND old_key IN (SELECT key FROM \(StagingTables.keys))"
            var found: [MoveDependency] = []
            try session.forEachChunk(
                """
                SELECT new_key, old_key, create_epoch, create_commit, create_seq FROM \(MetaTables.name("moves")) \
                WHERE pipeline = ? AND source_schema = ? AND source_table = ?\(condition)
                """, [.text(layout.pipeline), .text(table.schema), .text(table.table)], purpose: purpose
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    found.append(
                        MoveDependency(
                            table: table, newKey: chunk.string(0, row), oldKey: chunk.string(1, row),
                            create: chunk.version(2, row)))
                }
            }
            if oldKeys != nil { try session.execute("DELETE FROM \(StagingTables.keys)", purpose: purpose) }
            return found
        }
    }

    func record(_ moves: [MoveDependency]) throws {
        try ReplicationError.translating {
            let purpose = "writing moves"
            for (table, moves) in Dictionary(grouping: moves, by: \.table).sorted(by: { $0.key < $1.key }) {
                let appender = try Appender(
                    session, into: .temporary(StagingTables.moves),
                    [
                        .init("new_key", .varchar), .init("old_key", .varchar), .init("epoch", .int64),
                        .init("commit", .int64), .init("seq", .int64),
                    ], purpose: purpose)
                for move in moves {
                    try appender.set(0, string: move.newKey)
                    try appender.set(1, string: move.oldKey)
                    appender.set(2, int64: move.create.epoch)
                    appender.set(3, int64: move.create.commit)
                    appender.set(4, int64: move.create.seq)
                    try appender.endRow()
                }
                try appender.close()
                let identity: [Parameter] = [.text(layout.pipeline), .text(table.schema), .text(table.table)]
                // A batch that comes again records nothing twice.
                try session.execute(
                    """
                    INSERT INTO \(MetaTables.name("moves")) SELECT DISTINCT $1, $2, $3, n.new_key, n.old_key, n.epoch, \
                    n.commit, n.seq, now() FROM \(StagingTables.moves) n ANTI JOIN (SELECT * FROM \
                    \(MetaTables.name("moves")) WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3) m \
                    ON m.new_key = n.new_key AND m.old_key = n.old_key AND m.create_epoch = n.epoch \
                    AND m.create_commit = n.commit AND m.create_seq = n.seq
                    """, identity, purpose: purpose)
                try session.execute("DELETE FROM \(StagingTables.moves)", purpose: purpose)
            }
        }
    }
}

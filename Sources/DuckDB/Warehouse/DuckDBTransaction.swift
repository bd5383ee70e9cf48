import CrashPoint
import Replication

/// One transaction of a `DuckDBWarehouse`, on its actor's executor.
///
/// The engine lets one process open the file and the warehouse has one session, so nothing else writes between
/// `begin` and `commit`, and there is nothing to lock.
final class DuckDBTransaction: WarehouseTransaction {
    let session: Session
    let layout: WarehouseLayout
    let staging: StagingTables
    /// Fewer new rows aren't worth `insertNew`'s look for their keys.
    let insertNew_min: Int
    private var isOpen = false
    private var checkpoints: [Checkpoint] = []
    /// What the rows staged last met in current, if that was looked up already.
    var matches: StageMatches?
    /// Some key column of some row staged last is NULL.
    var hasNullKeys = false
    var agreements = Agreements()

    init(_ session: Session, _ layout: WarehouseLayout, _ staging: StagingTables, insertNew_min: Int) {
        self.insertNew_min = insertNew_min
        self.session = session
        self.layout = layout
        self.staging = staging
    }

    func begin() throws {
        staging.begin()
        matches = nil
        checkpoints = []
        try ReplicationError.translating {
            try session.run("BEGIN TRANSACTION", purpose: "beginning a transaction")
        }
        isOpen = true
    }

    func commit() throws {
        CrashPoint.commit.reach()
        // If it fails the engine has rolled back by itself.
        isOpen = false
        do {
            try session.run("COMMIT", purpose: "committing a batch")
        } catch {
            staging.rolledBack()
            throw ReplicationError(error)
        }
    }

    func rollback() {
        if isOpen { try? session.run("ROLLBACK", purpose: "rolling back") }
        isOpen = false
        staging.rolledBack()
    }

    func lock(_ tables: [TableID], exclusive: Bool) throws -> [TableID: TableState] {
        try ReplicationError.translating {
            var states: [TableID: TableState] = [:]
            try staging.statements.forEachChunk(
                """
                SELECT source_schema, source_table, floor_epoch, floor_commit, floor_seq, floor_time, is_sparse, \
                has_moves, columns <> '[]', coalesce(has_erasures, false), raw_from, \
                (hash(columns, key, evolution) >> 1)::BIGINT FROM \(MetaTables.name("tables")) WHERE pipeline = ?
                """, [.text(layout.pipeline)], purpose: "reading the tables' states"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    guard let table = chunk.table(0, row) else { continue }
                    var state = TableState()
                    state.floor = chunk.version(2, row)
                    state.floorTime_us = chunk.integer(5, row) ?? .min
                    state.isSparse = chunk.flag(6, row)
                    state.hasMoves = chunk.flag(7, row)
                    state.isMade = chunk.flag(8, row)
                    state.hasErasures = chunk.flag(9, row)
                    state.rawFrom_us = chunk.integer(10, row)
                    state.digest = chunk.integer(11, row)
                    states[table] = state
                }
            }
            try readHolds(into: &states)
            return states
        }
    }

    func storedDefinition(_ table: TableID) throws -> TableDefinition? {
        try ReplicationError.translating {
            try TableRegistry.definition(of: table, layout.pipeline, session)
        }
    }

    func assertOwned(_ advances: [CheckpointAdvance]) throws -> [Checkpoint] {
        checkpoints = try ReplicationError.translating {
            try MetaTables.checkpoints(staging.statements, layout.pipeline)
        }
        for advance in advances {
            let stored = checkpoints.first { $0.partition == advance.partition }
            guard let stored, stored.token == advance.token, stored.position == advance.from else {
                throw ReplicationError(
                    .fenced,
                    """
                    \(advance.partition): the stored checkpoint isn't the one this agent goes on from \
                    (position \(stored?.position.map(String.init) ?? "none"), token \(stored?.token ?? 0))
                    """, remedy: "another agent or `millrace checkpoint set` moved it; start this one again")
            }
        }
        return checkpoints
    }

    // MARK: What commits with the rows

    func record(_ commit: CommitRecord) throws {
        try ReplicationError.translating {
            try writeCheckpoints(commit)
            try writeLedger(commit)
            try writeLate(commit)
            try writeCopied(commit)
            for (table, state) in commit.states.sorted(by: { $0.key < $1.key }) {
                try TableRegistry.write(state, of: table, layout.pipeline, session)
            }
        }
    }

    private func writeCheckpoints(_ commit: CommitRecord) throws {
        var written: [Checkpoint] = []
        for advance in commit.advances {
            guard var checkpoint = checkpoints.first(where: { $0.partition == advance.partition }) else { continue }
            checkpoint.position = advance.to
            checkpoint.lastOffset = advance.lastOffset ?? checkpoint.lastOffset
            checkpoint.lastHash = advance.lastOffset == nil ? checkpoint.lastHash : advance.lastHash
            checkpoint.decoderState = advance.decoderState ?? checkpoint.decoderState
            for (table, version) in commit.marks[advance.partition] ?? [:]
            where version > checkpoint.marks[table, default: .none] {
                checkpoint.marks[table] = version
            }
            if commit.newestSourceTime_us != .min {
                checkpoint.sourceTime_us = max(checkpoint.sourceTime_us ?? .min, commit.newestSourceTime_us)
            }
            written.append(checkpoint)
        }
        try MetaTables.update(staging.statements, layout.pipeline, written, updatedAt_us: commit.loadedAt_us)
    }

    private func writeLedger(_ commit: CommitRecord) throws {
        var entries = commit.ledger
        guard !entries.isEmpty || commit.control > 0 else { return }
        // Control records belong to no table.
        if commit.control > 0, !entries.contains(where: { $0.table == nil }) { entries.append(LedgerEntry(table: nil)) }
        let range = MetaJSON.text(range: commit.advances)
        var parameters: [Parameter] = []
        var rows: [String] = []
        for entry in entries {
            let counts = [
                entry.read, entry.applied, entry.superseded, entry.duplicate, entry.compacted, entry.filtered,
                entry.quarantined, entry.deferred, entry.filled, entry.table == nil ? commit.control : 0, entry.late,
                entry.tooLate,
            ]
            parameters += [
                .text(layout.pipeline), .int64(commit.loadedAt_us), (entry.table?.schema).parameter,
                (entry.table?.table).parameter, .text(range),
            ]
            parameters += counts.map { .int64(Int64($0)) } + [.int64(commit.loadedAt_us)]
            rows.append("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?::BIGINT))")
        }
        try staging.statements.execute(
            """
            INSERT INTO \(MetaTables.name("ledger")) (pipeline, batch, source_schema, source_table, source_range, \
            read, applied, superseded, duplicate, compacted, filtered, quarantined, deferred, filled, control, late, \
            too_late, committed_at) VALUES \(rows.joined(separator: ", "))
            """, parameters, purpose: "writing the ledger")
    }

    private func writeLate(_ commit: CommitRecord) throws {
        guard !commit.late.isEmpty else { return }
        let appender = try Appender(
            session, into: AppenderTarget(schema: WarehouseSchema.metaSchema, table: "late_events"),
            [
                .init("pipeline", .varchar), .init("source_schema", .varchar), .init("source_table", .varchar),
                .init("event_id", .uuid), .init("op", .varchar), .init("key", .varchar),
                .init("_version_epoch", .int64), .init("_version_commit", .int64), .init("_version_seq", .int64),
                .init("source_ts", .timestamptz), .init("behind_row_ms", .int64), .init("behind_watermark_ms", .int64),
                .init("superseded", .bool), .init("too_late", .bool), .init("arrived_at", .timestamptz),
            ], purpose: "listing late events")
        for event in commit.late {
            try appender.set(0, string: layout.pipeline)
            try appender.set(1, string: event.table.schema)
            try appender.set(2, string: event.table.table)
            appender.set(3, uuidHigh: event.id.high, low: event.id.low)
            try appender.set(4, string: event.operation.letter)
            if let key = event.key { try appender.set(5, string: key) }
            appender.set(6, int64: event.version.epoch)
            appender.set(7, int64: event.version.commit)
            appender.set(8, int64: event.version.seq)
            if event.sourceTime_us != .min { appender.set(9, int64: event.sourceTime_us) }
            if let behind = event.behindRow_us { appender.set(10, int64: behind / 1000) }
            if let behind = event.behindWatermark_us { appender.set(11, int64: behind / 1000) }
            appender.set(12, bool: event.isSuperseded)
            appender.set(13, bool: event.isTooLate)
            appender.set(14, int64: commit.loadedAt_us)
            try appender.endRow()
        }
        try appender.close()
    }

    private func writeCopied(_ commit: CommitRecord) throws {
        for mark in commit.copied {
            if mark.startsOver {
                try staging.statements.execute(
                    """
                    DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = ? AND job = ? AND source_schema = ? \
                    AND source_table = ?
                    """,
                    [
                        .text(layout.pipeline), .text(mark.job), .text(mark.table.schema), .text(mark.table.table),
                    ], purpose: "forgetting an earlier copy")
            }
            let name: [Parameter] = [
                .text(layout.pipeline), .text(mark.job), .text(mark.table.schema), .text(mark.table.table),
                .text(mark.part), .int64(mark.chunk),
            ]
            try staging.statements.execute(
                """
                DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = ? AND job = ? AND source_schema = ? \
                AND source_table = ? AND part = ? AND chunk = ?
                """, name, purpose: "noting what is copied")
            try staging.statements.execute(
                """
                INSERT INTO \(MetaTables.name("backfills")) (pipeline, job, source_schema, source_table, part, chunk, \
                state, from_block, to_block, snapshot_lsn, rows, committed_at) \
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?::BIGINT))
                """,
                name + [
                    .text(mark.state.rawValue), .int64(mark.blocks.from), mark.blocks.to.map { .int64($0) } ?? .null,
                    .int64(mark.snapshot), .int64(mark.rows), .int64(commit.loadedAt_us),
                ], purpose: "noting what is copied")
        }
    }

    func quarantine(_ entries: [QuarantineEntry], loadedAt_us: Int64) throws {
        guard !entries.isEmpty else { return }
        try ReplicationError.translating { try putAside(entries, loadedAt_us) }
    }

    private func putAside(_ entries: [QuarantineEntry], _ loadedAt_us: Int64) throws {
        let purpose = "writing the quarantine"
        var id = try session.int64("SELECT max(id) FROM \(MetaTables.name("quarantine"))", purpose: purpose) ?? 0
        let appender = try Appender(
            session, into: AppenderTarget(schema: WarehouseSchema.metaSchema, table: "quarantine"),
            [
                .init("pipeline", .varchar), .init("id", .int64), .init("source_schema", .varchar),
                .init("source_table", .varchar), .init("topic", .varchar), .init("partition", .int32),
                .init("record_offset", .int64), .init("reason", .varchar), .init("op", .varchar),
                .init("key", .blob), .init("value", .blob), .init("headers", .varchar), .init("state", .varchar),
                .init("loaded_at", .timestamptz),
            ], purpose: purpose)
        for entry in entries {
            id += 1
            try appender.set(0, string: layout.pipeline)
            appender.set(1, int64: id)
            if let table = entry.table {
                try appender.set(2, string: table.schema)
                try appender.set(3, string: table.table)
            }
            try appender.set(4, string: entry.partition.topic)
            appender.set(5, int32: entry.partition.partition)
            appender.set(6, int64: entry.offset)
            try appender.set(7, string: entry.reason)
            if let operation = entry.operation { try appender.set(8, string: operation.letter) }
            if let key = entry.key { try key.withUnsafeBytes { try appender.set(9, blob: $0) } }
            if let value = entry.value { try value.withUnsafeBytes { try appender.set(10, blob: $0) } }
            if let headers = entry.headers { try appender.set(11, string: headers) }
            try appender.set(12, string: QuarantinedRecord.State.waiting.rawValue)
            appender.set(13, int64: loadedAt_us)
            try appender.endRow()
        }
        try appender.close()
    }
}

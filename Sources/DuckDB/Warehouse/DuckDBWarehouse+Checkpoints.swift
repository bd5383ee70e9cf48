import Replication

extension DuckDBWarehouse {
    package func claim(_ partitions: [TopicPartition], owner: String) async throws -> [Checkpoint] {
        try writing("claiming partitions") { session in
            var claimed = try locate(partitions, session)
            for index in claimed.indices { claimed[index].token += 1 }
            try MetaTables.update(session, layout.pipeline, claimed, owner: owner, updatedAt_us: DuckDBClock.now_us)
            return claimed
        }
    }

    /// The partitions' checkpoints; rows are made for those that have none.
    private func locate(_ partitions: [TopicPartition], _ session: Session) throws -> [Checkpoint] {
        let stored = try MetaTables.checkpoints(session, layout.pipeline)
        var seen: Set<TopicPartition> = []
        let wanted = partitions.filter { seen.insert($0).inserted }
        let known = Set(stored.map(\.partition))
        try MetaTables.insert(session, layout.pipeline, wanted.filter { !known.contains($0) })
        return wanted.map { partition in
            stored.first { $0.partition == partition } ?? Checkpoint(partition: partition)
        }
    }

    package func checkpoints() async throws -> [Checkpoint] {
        try withSession { session in
            try hasMeta(session) ? MetaTables.checkpoints(session, layout.pipeline) : []
        }
    }

    /// A partition whose checkpoint is taken away keeps its row, for the token and the marks; its position is nil.
    package func set(positions: [TopicPartition: Int64?]) async throws {
        try writing("setting positions") { session in
            var set = try locate(positions.keys.sorted(), session)
            for index in set.indices {
                let position = positions[set[index].partition] ?? nil
                set[index].position = position
                set[index].token += 1
                // The last record read isn't the one before the new position.
                set[index].lastOffset = nil
                set[index].lastHash = nil
                if position == nil { set[index].decoderState = nil }
            }
            try MetaTables.update(session, layout.pipeline, set, updatedAt_us: DuckDBClock.now_us)
        }
    }

    // MARK: Copies

    package func copied(job: String) async throws -> [CopyMark] {
        try withSession { session in
            var marks: [CopyMark] = []
            guard try hasMeta(session), try MetaTables.version(session) ?? 0 >= 2 else { return marks }
            try session.forEachChunk(
                """
                SELECT source_schema, source_table, part, chunk, state, from_block, to_block, snapshot_lsn, rows \
                FROM \(MetaTables.name("backfills")) WHERE pipeline = ? AND job = ? \
                ORDER BY source_schema, source_table, part, chunk
                """, [.text(layout.pipeline), .text(job)], purpose: "reading what is copied"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    guard let table = chunk.table(0, row) else { continue }
                    marks.append(
                        CopyMark(
                            job: job, table: table, part: chunk.string(2, row), chunk: chunk.int64(3, row),
                            state: CopyMark.State(rawValue: chunk.string(4, row)) ?? .copying,
                            blocks: (chunk.int64(5, row), chunk.integer(6, row)), snapshot: chunk.int64(7, row),
                            rows: chunk.int64(8, row)))
                }
            }
            return marks
        }
    }

    package func forgetCopied(job: String, _ tables: [TableID]?) async throws {
        let (purpose, delete) = (
            "forgetting what is copied", "DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = ? AND job = ?"
        )
        try writing(purpose) { session in
            guard let tables else {
                _ = try session.execute(delete, [.text(layout.pipeline), .text(job)], purpose: purpose)
                return
            }
            for table in tables {
                _ = try session.execute(
                    "\(delete) AND source_schema = ? AND source_table = ?",
                    [.text(layout.pipeline), .text(job), .text(table.schema), .text(table.table)], purpose: purpose)
            }
        }
    }

    package func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String] {
        guard !table.isKeyless, layout.hasCurrent else { return [] }
        return try withSession { session in
            let sql = TableSQL(table, layout)
            // All of current is read only where some row has columns of their own versions.
            let sparse = try session.int64(
                """
                SELECT count(*) FROM \(MetaTables.name("tables")) WHERE pipeline = ? AND source_schema = ? \
                AND source_table = ? AND is_sparse
                """, [.text(layout.pipeline), .text(table.source.schema), .text(table.source.table)],
                purpose: sql.purpose("looking for incomplete rows of"))
            guard sparse != 0 else { return [] }
            // Each as text: whoever reads them has the column's own type.
            let members = table.key.map { index in
                let column = sql.column(index)
                let text =
                    sql.forms[index].kind == .blob ? "'\\x' || lower(hex(\(column)))" : "CAST(\(column) AS VARCHAR)"
                return "\(SQLName.literal(table.columns[index].name)), \(text)"
            }
            var keys: [String] = []
            try session.forEachChunk(
                """
                SELECT json_object(\(members.joined(separator: ", "))), \(TableSQL.map) FROM \(sql.current) \
                WHERE \(sql.isDeleted) IS NOT TRUE AND \(TableSQL.map) LIKE '%null]%'
                """, purpose: sql.purpose("looking for incomplete rows of"), streaming: true
            ) { chunk in
                for row in 0..<chunk.rowCount where keys.count < limit {
                    guard ColumnVersions(json: chunk.string(1, row))?.isIncomplete == true else { continue }
                    keys.append(chunk.string(0, row))
                }
            }
            return keys
        }
    }

    // MARK: The ledger

    package func ledger() async throws -> (tables: [LedgerEntry], control: Int) {
        try withSession { session in
            var entries: [LedgerEntry] = []
            var control = 0
            guard try hasMeta(session) else { return (entries, control) }
            // Read before an agent has brought it up to date.
            let hasLate = (try MetaTables.version(session) ?? 0) >= 3
            let sums = MetaTables.ledgerCounts.dropLast(hasLate ? 0 : 2).map { "sum(\($0))::BIGINT" }
                .joined(separator: ", ")
            try session.forEachChunk(
                """
                SELECT source_schema, source_table, \(sums) FROM \(MetaTables.name("ledger")) WHERE pipeline = ? \
                GROUP BY source_schema, source_table ORDER BY source_schema NULLS LAST, source_table
                """, [.text(layout.pipeline)], purpose: "reading the ledger"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    var entry = LedgerEntry(table: chunk.table(0, row))
                    entry.read = chunk.count(2, row)
                    entry.applied = chunk.count(3, row)
                    entry.superseded = chunk.count(4, row)
                    entry.duplicate = chunk.count(5, row)
                    entry.compacted = chunk.count(6, row)
                    entry.filtered = chunk.count(7, row)
                    entry.quarantined = chunk.count(8, row)
                    entry.deferred = chunk.count(9, row)
                    entry.filled = chunk.count(10, row)
                    control += chunk.count(11, row)
                    if hasLate {
                        entry.late = chunk.count(12, row)
                        entry.tooLate = chunk.count(13, row)
                    }
                    // Control records alone make a row without a table.
                    if entry.table != nil || entry.read > 0 { entries.append(entry) }
                }
            }
            return (entries, control)
        }
    }

    // MARK: The quarantine

    package func quarantine() async throws -> [QuarantinedRecord] {
        try withSession { session in
            var records: [QuarantinedRecord] = []
            guard try hasMeta(session) else { return records }
            let gate =
                try MetaTables.version(session) ?? 0 >= 8
                ? "rule, event_id, _version_epoch, _version_commit, _version_seq, row_key, marks, json_nulls"
                : "NULL::VARCHAR"
            try session.forEachChunk(
                """
                SELECT id, source_schema, source_table, topic, partition, record_offset, reason, op, key, value, \
                headers, state, loaded_at, \(gate) FROM \(MetaTables.name("quarantine")) WHERE pipeline = ? ORDER BY id
                """, [.text(layout.pipeline)], purpose: "reading the quarantine"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    var entry = QuarantineEntry(
                        table: chunk.table(1, row),
                        partition: TopicPartition(topic: chunk.string(3, row), partition: chunk.int32(4, row)),
                        offset: chunk.int64(5, row), reason: chunk.string(6, row), key: chunk.blob(8, row),
                        value: chunk.blob(9, row),
                        headers: chunk.text(10, row), operation: chunk.text(7, row).flatMap(Operation.init(letter:)))
                    if let rule = chunk.text(13, row) {
                        entry.gate = PutAside(
                            rule: rule, event: chunk.eventID(14, row), version: chunk.version(15, row),
                            key: chunk.text(18, row), marks: Int16(truncatingIfNeeded: chunk.integer(19, row) ?? 0),
                            jsonNulls: chunk.text(20, row))
                    }
                    records.append(
                        QuarantinedRecord(
                            id: chunk.int64(0, row), entry: entry,
                            state: QuarantinedRecord.State(rawValue: chunk.string(11, row)) ?? .waiting,
                            loadedAt_us: chunk.integer(12, row) ?? 0))
                }
            }
            return records
        }
    }

    package func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) async throws {
        guard !ids.isEmpty else { return }
        try writing("settling quarantined records") { session in
            try MetaTables.settle(ids, as: state, session, layout.pipeline)
        }
    }
}

extension MetaTables {
    static let ledgerCounts = [
        "read", "applied", "superseded", "duplicate", "compacted", "filtered", "quarantined", "deferred", "filled",
        "control", "late", "too_late",
    ]
}

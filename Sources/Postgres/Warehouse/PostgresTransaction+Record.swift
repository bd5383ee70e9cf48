import Replication

extension PostgresTransaction {
    // MARK: Moves

    func moves(_ table: TableID, oldKeys: [String]?) throws -> [MoveDependency] {
        guard oldKeys?.isEmpty != true else { return [] }
        return try translating {
            let columns = "m.new_key, m.old_key, m.create_epoch, m.create_commit, m.create_seq"
            let moves = MetaTables.name("moves")
            let isOfTable = "m.pipeline = $1 AND m.source_schema = $2 AND m.source_table = $3"
            var parameters: [String?] = [layout.pipeline, table.schema, table.table]
            var sql = "SELECT \(columns) FROM \(moves) m WHERE \(isOfTable)"
            if let oldKeys {
                sql = """
                    SELECT \(columns) FROM (SELECT DISTINCT unnest($4::text[])) AS wanted(key) JOIN \(moves) m \
                    ON hashtextextended(m.old_key, 0) = hashtextextended(wanted.key, 0) AND m.old_key = wanted.key \
                    WHERE \(isOfTable)
                    """
                parameters.append(try arrayText(oldKeys))
            }
            let rows = try session.query(sql, parameters, for: "read moves")
            return (0..<rows.count).map { row in
                MoveDependency(
                    table: table, newKey: rows.text(row, 0), oldKey: rows.text(row, 1), create: rows.version(row, 2))
            }
        }
    }

    func record(_ moves: [MoveDependency]) throws {
        guard !moves.isEmpty else { return }
        try translating {
            _ = try session.query(
                """
                INSERT INTO \(MetaTables.name("moves")) AS m (pipeline, source_schema, source_table, new_key, old_key, \
                create_epoch, create_commit, create_seq) \
                SELECT DISTINCT $1, v.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
                $7::bigint[], $8::bigint[]) AS v(source_schema, source_table, new_key, old_key, e, c, s) \
                WHERE NOT EXISTS (SELECT FROM \(MetaTables.name("moves")) m WHERE m.pipeline = $1 \
                AND m.source_schema = v.source_schema AND m.source_table = v.source_table \
                AND hashtextextended(m.old_key, 0) = hashtextextended(v.old_key, 0) AND m.old_key = v.old_key \
                AND m.new_key = v.new_key AND (m.create_epoch, m.create_commit, m.create_seq) = (v.e, v.c, v.s))
                """,
                [
                    layout.pipeline, try arrayText(moves.map(\.table.schema)), try arrayText(moves.map(\.table.table)),
                    try arrayText(moves.map(\.newKey)), try arrayText(moves.map(\.oldKey)),
                    try arrayText(moves.map { "\($0.create.epoch)" }),
                    try arrayText(moves.map { "\($0.create.commit)" }),
                    try arrayText(moves.map { "\($0.create.seq)" }),
                ], for: "record moves")
        }
    }

    // MARK: The commit's own rows

    func record(_ commit: CommitRecord) throws {
        try translating {
            var statements = try commit.advances.map { try update($0, commit) }
            statements += try ledger(commit)
            statements += try commit.copied.flatMap { try (forgotten($0) + [copied($0)]) }
            statements += try commit.states.sorted { $0.key < $1.key }.map { try update($0.key, $0.value) }
            if !statements.isEmpty {
                try session.execute(statements.joined(separator: ";\n"), for: "record a batch")
            }
            try list(commit.late, commit.loadedAt_us)
            try add(commit.gates, commit.loadedAt_us)
        }
    }

    private func list(_ late: [LateEvent], _ loadedAt_us: Int64) throws {
        guard !late.isEmpty else { return }
        let arrivedAt = SQLText.timestamp(loadedAt_us)
        try session.copyIn(
            """
            COPY \(MetaTables.name("late_events")) (pipeline, source_schema, source_table, event_id, op, key, \
            _version_epoch, _version_commit, _version_seq, source_ts, behind_row_ms, behind_watermark_ms, superseded, \
            too_late, arrived_at) FROM STDIN
            """, for: "list late events"
        ) { writer in
            func text(_ text: String?) { if let text { writer.field(text) } else { writer.null() } }
            for event in late {
                text(layout.pipeline)
                text(event.table.schema)
                text(event.table.table)
                text(event.id.text)
                text(event.operation.letter)
                text(event.key)
                for number in [event.version.epoch, event.version.commit, event.version.seq] { writer.field(number) }
                text(event.sourceTime_us == .min ? nil : SQLText.timestamp(event.sourceTime_us))
                text(event.behindRow_us.map { "\($0 / 1000)" })
                text(event.behindWatermark_us.map { "\($0 / 1000)" })
                text(event.isSuperseded ? "t" : "f")
                text(event.isTooLate ? "t" : "f")
                text(arrivedAt)
                try writer.endLine()
            }
        }
    }

    private func update(_ advance: CheckpointAdvance, _ commit: CommitRecord) throws -> String {
        var marks = checkpoints[advance.partition]?.marks ?? [:]
        marks.merge(commit.marks[advance.partition] ?? [:]) { max($0, $1) }
        return """
            UPDATE \(MetaTables.name("checkpoints")) SET position = \(advance.to), \
            last_offset = coalesce(\(SQLText.literal(advance.lastOffset)), last_offset), \
            last_hash = coalesce(\(try SQLText.literal(advance.lastHash)), last_hash), \
            decoder_state = coalesce(\(try SQLText.literal(advance.decoderState)), decoder_state), \
            marks = \(try quoteLiteral(MetaJSON.text(marks: marks))), \
            source_time = greatest(source_time, \(try SQLText.moment(commit.newestSourceTime_us))), updated_at = now() \
            WHERE pipeline = \(try quoteLiteral(layout.pipeline)) AND topic = \(try quoteLiteral(advance.partition.topic)) \
            AND partition = \(advance.partition.partition)
            """
    }

    private func forgotten(_ mark: CopyMark) throws -> [String] {
        guard mark.startsOver else { return [] }
        return [
            """
            DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = \(try quoteLiteral(layout.pipeline)) \
            AND job = \(try quoteLiteral(mark.job)) AND source_schema = \(try quoteLiteral(mark.table.schema)) \
            AND source_table = \(try quoteLiteral(mark.table.table))
            """
        ]
    }

    private func copied(_ mark: CopyMark) throws -> String {
        """
        INSERT INTO \(MetaTables.name("backfills")) (pipeline, job, source_schema, source_table, part, chunk, state, \
        from_block, to_block, snapshot_lsn, rows) VALUES (\(try quoteLiteral(layout.pipeline)), \
        \(try quoteLiteral(mark.job)), \(try quoteLiteral(mark.table.schema)), \(try quoteLiteral(mark.table.table)), \
        \(try quoteLiteral(mark.part)), \(mark.chunk), \(try quoteLiteral(mark.state.rawValue)), \(mark.blocks.from), \
        \(SQLText.literal(mark.blocks.to)), \(mark.snapshot), \(mark.rows)) \
        ON CONFLICT (pipeline, job, source_schema, source_table, part, chunk) DO UPDATE SET state = excluded.state, \
        from_block = excluded.from_block, to_block = excluded.to_block, snapshot_lsn = excluded.snapshot_lsn, \
        rows = excluded.rows, committed_at = now()
        """
    }

    /// One row a table, and one of no table for control records.
    private func ledger(_ commit: CommitRecord) throws -> [String] {
        let start = """
            (\(try quoteLiteral(layout.pipeline)), \(commit.loadedAt_us), \
            \(try quoteLiteral(MetaJSON.text(range: commit.advances)))
            """
        var rows = try commit.ledger.map { entry in
            """
            \(start), \(try SQLText.literal(entry.table?.schema)), \(try SQLText.literal(entry.table?.table)), \
            \(entry.read), \(entry.applied), \(entry.superseded), \(entry.duplicate), \(entry.compacted), \
            \(entry.filtered), \(entry.quarantined), \(entry.deferred), \(entry.filled), 0, \
            \(entry.late), \(entry.tooLate))
            """
        }
        if commit.control > 0 {
            rows.append("\(start), NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, \(commit.control), 0, 0)")
        }
        guard !rows.isEmpty else { return [] }
        return [
            """
            INSERT INTO \(MetaTables.name("ledger")) (pipeline, batch, source_range, source_schema, source_table, read, \
            applied, superseded, duplicate, compacted, filtered, quarantined, deferred, filled, control, late, too_late) \
            VALUES \(rows.joined(separator: ", "))
            """
        ]
    }

    /// Flags are only ever raised and the floor only rises, as other agents write to the table too.
    private func update(_ table: TableID, _ state: TableState) throws -> String {
        var floor = ""
        if !state.floor.isNone {
            let isNewer = """
                floor_epoch IS NULL OR (floor_epoch, floor_commit, floor_seq) < \(SQLText.version(state.floor))
                """
            for (column, value) in [
                ("floor_epoch", "\(state.floor.epoch)"), ("floor_commit", "\(state.floor.commit)"),
                ("floor_seq", "\(state.floor.seq)"), ("floor_time", try SQLText.moment(state.floorTime_us)),
            ] {
                floor += "\(column) = CASE WHEN \(isNewer) THEN \(value) ELSE \(column) END, "
            }
        }
        return """
            UPDATE \(MetaTables.name("tables")) SET \(floor)is_sparse = is_sparse OR \(state.isSparse), \
            has_moves = has_moves OR \(state.hasMoves) WHERE pipeline = \(try quoteLiteral(layout.pipeline)) \
            AND source_schema = \(try quoteLiteral(table.schema)) AND source_table = \(try quoteLiteral(table.table))
            """
    }

    func quarantine(_ entries: [QuarantineEntry], loadedAt_us: Int64) throws {
        guard !entries.isEmpty else { return }
        try translating {
            try putAside(entries, SQLText.timestamp(loadedAt_us))
            try markPutAside(Set(entries.filter { $0.gate != nil }.compactMap(\.table)))
        }
    }

    private func putAside(_ entries: [QuarantineEntry], _ loadedAt: String) throws {
        try session.copyIn(
            """
            COPY \(MetaTables.name("quarantine")) (pipeline, source_schema, source_table, topic, partition, \
            record_offset, reason, op, key, value, headers, loaded_at, rule, event_id, _version_epoch, _version_commit, \
            _version_seq, row_key, marks, json_nulls) FROM STDIN
            """, for: "put records aside"
        ) { writer in
            func text(_ text: String?) { if let text { writer.field(text) } else { writer.null() } }
            func bytes(_ bytes: [UInt8]?) {
                if let bytes { bytes.withUnsafeBytes { writer.bytea($0) } } else { writer.null() }
            }
            for entry in entries {
                text(layout.pipeline)
                text(entry.table?.schema)
                text(entry.table?.table)
                text(entry.partition.topic)
                writer.field(Int64(entry.partition.partition))
                writer.field(entry.offset)
                text(entry.reason)
                text(entry.operation?.letter)
                bytes(entry.key)
                bytes(entry.value)
                text(entry.headers)
                text(loadedAt)
                let gate = entry.gate
                text(gate?.rule)
                text(gate?.event.text)
                for number in [gate?.version.epoch, gate?.version.commit, gate?.version.seq] {
                    if let number { writer.field(number) } else { writer.null() }
                }
                text(gate?.key)
                if let marks = gate?.marks { writer.field(Int64(marks)) } else { writer.null() }
                text(gate?.jsonNulls)
                try writer.endLine()
            }
        }
    }
}

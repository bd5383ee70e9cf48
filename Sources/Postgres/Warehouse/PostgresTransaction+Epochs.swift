import Replication

/// Where the source's positions began again.
extension PostgresTransaction {
    private static let place = #"'^(.*):([0-9]+):(-?[0-9]+)$'"#
    /// Raw with its position in parts.
    private static func placed(_ raw: String) -> String {
        """
        (SELECT r.*, p.m[1] AS p_topic, p.m[2]::integer AS p_partition, p.m[3]::bigint AS p_offset FROM \(raw) r \
        CROSS JOIN LATERAL (SELECT regexp_match(r.position, \(place)) AS m) p)
        """
    }

    /// `(topic, partition, offset)` rows.
    private static func values(_ offsets: [TopicPartition: Int64]) throws -> String {
        let parts = offsets.sorted { $0.key < $1.key }
        return """
            unnest(\(try quoteLiteral(arrayText(parts.map(\.key.topic))))::text[], \
            '{\(parts.map { String($0.key.partition) }.joined(separator: ","))}'::integer[], \
            '{\(parts.map { String($0.value) }.joined(separator: ","))}'::bigint[]) AS v(topic, partition, first)
            """
    }

    func allTables() throws -> [TableID] {
        try translating {
            let rows = try session.query(
                "SELECT source_schema, source_table FROM \(MetaTables.name("tables")) WHERE pipeline = $1",
                [layout.pipeline], for: "read the tables")
            return (0..<rows.count).map { TableID(schema: rows.text($0, 0), table: rows.text($0, 1)) }
        }
    }

    func epochs() throws -> SourceEpochs {
        try translating { try MetaTables.epochs(session, layout.pipeline) }
    }

    /// Whole tables are joined here, which batches' settings keep from being done well.
    private func joining<Value>(_ table: TableDefinition, _ body: (TableSQL) throws -> Value) throws -> Value {
        try translating(table) {
            try session.execute(
                "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on", for: "begin an epoch")
            return try body(try TableSQL(table, layout))
        }
    }

    func holds(_ kind: TableHold.Kind) throws -> [TableHold] {
        try translating { try MetaTables.holds(session, layout.pipeline).filter { $0.kind == kind } }
    }

    func firstLate(after time_us: Int64) throws -> Int64? {
        try translating {
            let rows = try session.query(
                """
                SELECT \(SQLText.microseconds("min(source_ts)")) FROM \(MetaTables.name("late_events")) \
                WHERE pipeline = $1 AND superseded AND source_ts > $2::timestamptz
                """, [layout.pipeline, SQLText.timestamp(time_us)], for: "look for the first late event")
            return rows.integer(0, 0)
        }
    }

    func highest(
        _ table: TableDefinition, before time_us: Int64?
    ) throws -> [TopicPartition: EpochSearch.Highest] {
        try joining(table) { sql in
            let condition = try time_us.map {
                "WHERE r.source_ts IS NULL OR r.source_ts < \(try SQLText.moment($0))"
            }
            let rows = try session.query(
                """
                SELECT p_topic, p_partition, v[1], v[2], v[3], v[4] FROM (SELECT p_topic, p_partition, \
                max(ARRAY[r._version_epoch, r._version_commit, r._version_seq, \
                \(SQLText.microseconds("r.source_ts"))]) AS v FROM \(Self.placed(sql.raw)) r \(condition ?? "") GROUP BY 1, 2) h
                """, for: "look for the highest positions")
            var found: [TopicPartition: EpochSearch.Highest] = [:]
            for row in 0..<rows.count {
                found[partition(rows, row)] = .init(version: rows.version(row, 2), time_us: rows.integer(row, 5))
            }
            return found
        }
    }

    private func partition(_ rows: Rows, _ row: Int) -> TopicPartition {
        TopicPartition(topic: rows.text(row, 0), partition: Int32(truncatingIfNeeded: rows.integer(row, 1) ?? 0))
    }

    func first(
        _ table: TableDefinition, from time_us: Int64, below versions: [TopicPartition: Version]
    ) throws -> [TopicPartition: Int64] {
        guard !versions.isEmpty else { return [:] }
        return try joining(table) { sql in
            let parts = try versions.sorted { $0.key < $1.key }.map {
                """
                (\(try quoteLiteral($0.key.topic)), \($0.key.partition), \($0.value.epoch)::bigint, \
                \($0.value.commit)::bigint, \($0.value.seq)::bigint)
                """
            }
            let rows = try session.query(
                """
                SELECT r.p_topic, r.p_partition, min(r.p_offset) FROM \(Self.placed(sql.raw)) r \
                JOIN (VALUES \(parts.joined(separator: ", "))) AS v(topic, partition, e, c, s) ON v.topic = r.p_topic \
                AND v.partition = r.p_partition WHERE r.op <> 'r' AND r.source_ts >= \(try SQLText.moment(time_us)) \
                AND (r._version_epoch, r._version_commit, r._version_seq) < (v.e, v.c, v.s) GROUP BY 1, 2
                """, for: "look for a step back")
            var found: [TopicPartition: Int64] = [:]
            for row in 0..<rows.count { found[partition(rows, row)] = rows.integer(row, 2) ?? 0 }
            return found
        }
    }

    func renumber(
        _ table: TableDefinition, _ beginning: SourceEpochs.Beginning
    ) throws -> EpochChange.Renumbered {
        try joining(table) { sql in
            let purpose = "begin an epoch"
            let deferred = MetaTables.name("deferred")
            let quarantine = MetaTables.name("quarantine")
            func isOf(_ alias: String) throws -> String {
                """
                \(alias).pipeline = \(try quoteLiteral(layout.pipeline)) \
                AND \(alias).source_schema = \(try quoteLiteral(table.source.schema)) \
                AND \(alias).source_table = \(try quoteLiteral(table.source.table))
                """
            }
            let byTime = try beginning.from_us.map {
                "OR v.first IS NULL AND r.op <> 'r' AND r.source_ts >= \(try SQLText.moment($0))"
            }
            try session.execute(
                """
                CREATE TEMP TABLE millrace_epoch ON COMMIT DROP AS SELECT r.event_id AS id, r._version_seq AS seq \
                FROM \(Self.placed(sql.raw)) r LEFT JOIN \(try Self.values(beginning.offsets)) \
                ON v.topic = r.p_topic AND v.partition = r.p_partition WHERE (r.p_offset >= v.first \(byTime ?? "")) \
                AND (r.key IS NULL OR left(r.key::text, 1) = '{');
                ANALYZE millrace_epoch;
                UPDATE \(sql.raw) r SET _version_epoch = \(beginning.epoch) FROM millrace_epoch e \
                WHERE r._version_seq = e.seq AND r.event_id = e.id;
                UPDATE \(deferred) d SET _version_epoch = \(beginning.epoch) FROM millrace_epoch e \
                WHERE \(try isOf("d")) AND d.event_id = e.id;
                DELETE FROM millrace_epoch e USING \(deferred) d WHERE \(try isOf("d")) AND d.event_id = e.id;
                UPDATE \(quarantine) q SET _version_epoch = \(beginning.epoch) FROM millrace_epoch e \
                WHERE \(try isOf("q")) AND q.rule IS NOT NULL AND q.event_id = e.id;
                DELETE FROM millrace_epoch e USING \(quarantine) q WHERE \(try isOf("q")) AND q.rule IS NOT NULL \
                AND q.state <> '\(QuarantinedRecord.State.replayed.rawValue)' AND q.event_id = e.id;
                """, for: purpose)
            let late = """
                SELECT l.* FROM \(MetaTables.name("late_events")) l WHERE \(try isOf("l")) AND l.superseded
                """
            let counts = try session.query(
                """
                SELECT count(*) FILTER (WHERE is_late), count(*) FILTER (WHERE NOT is_late AND is_beside), count(*) \
                FROM (SELECT e.id IN (SELECT event_id FROM (\(late)) l) AS is_late, coalesce(r.key::text IN (SELECT \
                key::text FROM (\(late)) l WHERE key IS NOT NULL), false) AS is_beside FROM millrace_epoch e \
                JOIN \(sql.raw) r ON r._version_seq = e.seq AND r.event_id = e.id) x
                """, for: purpose)
            try session.execute(
                """
                INSERT INTO \(deferred) (pipeline, source_schema, source_table, event_id, _version_epoch, \
                _version_commit, _version_seq) SELECT \(try quoteLiteral(layout.pipeline)), \
                \(try quoteLiteral(table.source.schema)), \(try quoteLiteral(table.source.table)), r.event_id, \
                r._version_epoch, r._version_commit, r._version_seq FROM \(sql.raw) r \
                JOIN millrace_epoch e ON r._version_seq = e.seq AND r.event_id = e.id;
                DROP TABLE millrace_epoch
                """, for: purpose)
            func count(_ column: Int) -> Int { Int(counts.integer(0, column) ?? 0) }
            return EpochChange.Renumbered(
                superseded: count(0), compacted: count(1), others: count(2) - count(0) - count(1))
        }
    }

    func store(_ beginning: SourceEpochs.Beginning, marks: [TopicPartition: [TableID: Version]]) throws {
        try translating {
            let purpose = "store an epoch's beginning"
            let start = "\(try quoteLiteral(layout.pipeline)), \(beginning.epoch)"
            var rows = try beginning.offsets.sorted { $0.key < $1.key }.map {
                "(\(start), \(try quoteLiteral($0.key.topic)), \($0.key.partition), \($0.value), NULL)"
            }
            let from = try beginning.from_us.map { try SQLText.moment($0) } ?? "NULL"
            rows.append("(\(start), NULL, NULL, NULL, \(from)::timestamptz)")
            try session.execute(
                """
                INSERT INTO \(MetaTables.name("epochs")) (pipeline, epoch, topic, partition, first_offset, from_time) \
                VALUES \(rows.joined(separator: ", "))
                """, for: purpose)
            try session.execute(
                """
                UPDATE \(MetaTables.name("holds")) SET epoch = \(beginning.epoch) \
                WHERE pipeline = \(try quoteLiteral(layout.pipeline)) AND kind = '\(TableHold.Kind.restored.rawValue)'
                """, for: purpose)
            let stored = try Checkpoints.read(session.query(try Checkpoints.selectAll(layout.pipeline), for: purpose))
            for var checkpoint in stored {
                checkpoint.marks.merge(marks[checkpoint.partition] ?? [:]) { max($0, $1) }
                _ = try session.query(
                    """
                    UPDATE \(MetaTables.name("checkpoints")) SET token = token + 1, marks = $4::json \
                    WHERE pipeline = $1 AND topic = $2 AND partition = $3::integer
                    """,
                    [
                        layout.pipeline, checkpoint.partition.topic, String(checkpoint.partition.partition),
                        MetaJSON.text(marks: checkpoint.marks),
                    ], for: purpose)
            }
        }
    }

    func acceptOlder(since_us: Int64) throws {
        try translating {
            _ = try session.query(
                """
                INSERT INTO \(MetaTables.name("holds")) (pipeline, source_schema, source_table, kind, reason, since) \
                VALUES ($1, '', '', $2, '', $3::timestamptz) ON CONFLICT (pipeline, source_schema, source_table, kind) \
                DO UPDATE SET since = excluded.since
                """, [layout.pipeline, TableHold.redelivery, SQLText.timestamp(since_us)], for: "accept a redelivery")
        }
    }
}

extension MetaTables {
    static func epochs(_ session: Session, _ pipeline: String) throws -> SourceEpochs {
        let rows = try session.query(
            """
            SELECT epoch, topic, partition, first_offset, \(SQLText.microseconds("from_time")) FROM \(name("epochs")) \
            WHERE pipeline = $1
            """, [pipeline], for: "read the epochs")
        var beginnings: [Int64: SourceEpochs.Beginning] = [:]
        for row in 0..<rows.count {
            let epoch = rows.integer(row, 0) ?? 0
            if let topic = rows.string(row, 1) {
                let partition = TopicPartition(topic: topic, partition: Int32(rows.integer(row, 2) ?? 0))
                beginnings[epoch, default: .init(epoch: epoch)].offsets[partition] = rows.integer(row, 3)
            } else {
                beginnings[epoch, default: .init(epoch: epoch)].from_us = rows.integer(row, 4)
            }
        }
        return SourceEpochs(Array(beginnings.values))
    }
}

extension PostgresWarehouse {
    package func acceptRedelivery() async throws {
        try withTransaction { try writer.acceptOlder(since_us: $0.loadedAt_us, in: $0) }
    }

    package func beginEpoch() async throws {
        let tables = try await knownTables()
        try withTransaction {
            try writer.beginEpoch(tables, layout: layout, in: $0, loadedAt_us: $0.loadedAt_us)
        }
    }

    package func epochs() async throws -> SourceEpochs {
        try read(orNothing: SourceEpochs()) { session in
            try MetaTables.version(session) ?? 0 >= 4 ? try MetaTables.epochs(session, layout.pipeline) : SourceEpochs()
        }
    }
}

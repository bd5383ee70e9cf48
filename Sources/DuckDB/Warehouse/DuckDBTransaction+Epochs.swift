import Replication

/// Where the source's positions began again.
extension DuckDBTransaction {
    private static var table: String { MetaTables.name("epochs") }
    private static let place = #"'^(.*):([0-9]+):(-?[0-9]+)$'"#
    /// Raw with its position in parts.
    private func placed(_ raw: String) -> String {
        """
        (SELECT *, regexp_extract(position, \(Self.place), 1) AS p_topic, \
        CAST(regexp_extract(position, \(Self.place), 2) AS INTEGER) AS p_partition, \
        CAST(regexp_extract(position, \(Self.place), 3) AS BIGINT) AS p_offset FROM \(raw))
        """
    }

    /// `(topic, partition, offset)` rows; of none an empty table.
    private static func values(_ offsets: [TopicPartition: Int64]) -> String {
        guard !offsets.isEmpty else {
            return "(SELECT ''::VARCHAR AS topic, 0::INTEGER AS partition, 0::BIGINT AS first WHERE false)"
        }
        let rows = offsets.sorted { $0.key < $1.key }.map {
            "(\(SQLName.literal($0.key.topic)), \($0.key.partition)::INTEGER, \($0.value)::BIGINT)"
        }
        return "(SELECT * FROM (VALUES \(rows.joined(separator: ", "))) AS v(topic, partition, first))"
    }

    func allTables() throws -> [TableID] {
        try ReplicationError.translating {
            var tables: [TableID] = []
            try session.forEachChunk(
                "SELECT source_schema, source_table FROM \(MetaTables.name("tables")) WHERE pipeline = ?",
                [.text(layout.pipeline)], purpose: "reading the tables"
            ) { chunk in
                for row in 0..<chunk.rowCount { if let table = chunk.table(0, row) { tables.append(table) } }
            }
            return tables
        }
    }

    func epochs() throws -> SourceEpochs {
        try ReplicationError.translating { try MetaTables.epochs(session, layout.pipeline) }
    }

    func holds(_ kind: TableHold.Kind) throws -> [TableHold] {
        try ReplicationError.translating { try MetaTables.holds(session, layout.pipeline).filter { $0.kind == kind } }
    }

    func firstLate(after time_us: Int64) throws -> Int64? {
        try ReplicationError.translating {
            var found: Int64?
            try session.forEachChunk(
                """
                SELECT min(source_ts) FROM \(MetaTables.name("late_events")) WHERE pipeline = ? AND superseded \
                AND source_ts > make_timestamptz(?::BIGINT)
                """, [.text(layout.pipeline), .int64(time_us)], purpose: "looking for the first late event"
            ) { chunk in if chunk.rowCount == 1 { found = chunk.integer(0, 0) } }
            return found
        }
    }

    func highest(
        _ table: TableDefinition, before time_us: Int64?
    ) throws -> [TopicPartition: EpochSearch.Highest] {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let condition =
                time_us.map { "WHERE source_ts IS NULL OR source_ts < make_timestamptz(\($0))" } ?? ""
            var found: [TopicPartition: EpochSearch.Highest] = [:]
            try session.forEachChunk(
                """
                SELECT p_topic, p_partition, v.e, v.c, v.s, v.t FROM (SELECT p_topic, p_partition, \
                max({e: \(TableSQL.epoch), c: \(TableSQL.commit), s: \(TableSQL.seq), t: source_ts}) AS v \
                FROM \(placed(sql.raw)) \(condition) GROUP BY p_topic, p_partition)
                """, purpose: "looking for the highest positions of \(table.source)"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    found[TopicPartition(topic: chunk.string(0, row), partition: chunk.int32(1, row))] = .init(
                        version: chunk.version(2, row), time_us: chunk.integer(5, row))
                }
            }
            return found
        }
    }

    func first(
        _ table: TableDefinition, from time_us: Int64, below versions: [TopicPartition: Version]
    ) throws -> [TopicPartition: Int64] {
        guard !versions.isEmpty else { return [:] }
        return try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let rows = versions.sorted { $0.key < $1.key }.map {
                """
                (\(SQLName.literal($0.key.topic)), \($0.key.partition)::INTEGER, \($0.value.epoch)::BIGINT, \
                \($0.value.commit)::BIGINT, \($0.value.seq)::BIGINT)
                """
            }
            var found: [TopicPartition: Int64] = [:]
            try session.forEachChunk(
                """
                SELECT r.p_topic, r.p_partition, min(r.p_offset) FROM \(placed(sql.raw)) r JOIN (SELECT * FROM (VALUES \
                \(rows.joined(separator: ", "))) AS v(topic, partition, e, c, s)) v ON v.topic = r.p_topic \
                AND v.partition = r.p_partition WHERE r.op <> 'r' AND r.source_ts >= make_timestamptz(\(time_us)) \
                AND (r.\(TableSQL.epoch), r.\(TableSQL.commit), r.\(TableSQL.seq)) < (v.e, v.c, v.s) \
                GROUP BY r.p_topic, r.p_partition
                """, purpose: "looking for a step back of \(table.source)"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    found[TopicPartition(topic: chunk.string(0, row), partition: chunk.int32(1, row))] = chunk.int64(
                        2, row)
                }
            }
            return found
        }
    }

    func renumber(
        _ table: TableDefinition, _ beginning: SourceEpochs.Beginning
    ) throws -> EpochChange.Renumbered {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = "beginning an epoch of \(table.source)"
            let deferred = MetaTables.name("deferred")
            let byTime = beginning.from_us.map {
                "OR v.first IS NULL AND r.op <> 'r' AND r.source_ts >= make_timestamptz(\($0))"
            }
            let name: [Parameter] = [
                .text(layout.pipeline), .text(table.source.schema), .text(table.source.table),
            ]
            try session.run(
                """
                CREATE OR REPLACE TEMP TABLE millrace_epoch AS SELECT r.event_id AS id, r.\(TableSQL.seq) AS seq \
                FROM \(placed(sql.raw)) r LEFT JOIN \(Self.values(beginning.offsets)) v \
                ON v.topic = r.p_topic AND v.partition = r.p_partition \
                WHERE (r.p_offset >= v.first \(byTime ?? "")) AND (r.key IS NULL OR CAST(r.key AS VARCHAR) LIKE '{%');
                """, purpose: purpose)
            try session.execute(
                """
                UPDATE \(sql.raw) SET \(TableSQL.epoch) = \(beginning.epoch) \
                WHERE event_id IN (SELECT id FROM millrace_epoch)
                """, purpose: purpose)
            let isOfTable = "pipeline = ? AND source_schema = ? AND source_table = ?"
            try session.execute(
                """
                UPDATE \(deferred) SET \(TableSQL.epoch) = \(beginning.epoch) WHERE \(isOfTable) \
                AND event_id IN (SELECT id FROM millrace_epoch)
                """, name, purpose: purpose)
            let quarantine = MetaTables.name("quarantine")
            try session.execute(
                """
                UPDATE \(quarantine) SET \(TableSQL.epoch) = \(beginning.epoch) WHERE \(isOfTable) \
                AND rule IS NOT NULL AND event_id IN (SELECT id FROM millrace_epoch)
                """, name, purpose: purpose)
            try session.execute(
                """
                DELETE FROM millrace_epoch WHERE id IN (SELECT event_id FROM \(quarantine) WHERE \(isOfTable) \
                AND rule IS NOT NULL AND state <> '\(QuarantinedRecord.State.replayed.rawValue)')
                """, name, purpose: purpose)
            var found = EpochChange.Renumbered(superseded: 0, compacted: 0, others: 0)
            let late = """
                SELECT * FROM \(MetaTables.name("late_events")) WHERE pipeline = $1 AND source_schema = $2 \
                AND source_table = $3 AND superseded
                """
            try session.forEachChunk(
                """
                SELECT count(*) FILTER (WHERE is_late), count(*) FILTER (WHERE NOT is_late AND is_beside), count(*) \
                FROM (SELECT e.id IN (SELECT event_id FROM (\(late))) AS is_late, coalesce(CAST(r.key AS VARCHAR) IN \
                (SELECT CAST(key AS VARCHAR) FROM (\(late)) WHERE key IS NOT NULL), false) AS is_beside \
                FROM millrace_epoch e JOIN \(sql.raw) r ON r.event_id = e.id WHERE e.id NOT IN (SELECT event_id \
                FROM \(deferred) WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3))
                """, name, purpose: purpose
            ) { chunk in
                found.superseded = chunk.count(0, 0)
                found.compacted = chunk.count(1, 0)
                found.others = chunk.count(2, 0) - found.superseded - found.compacted
            }
            try session.execute(
                """
                INSERT INTO \(deferred) SELECT $1, $2, $3, r.event_id, r.\(TableSQL.epoch), r.\(TableSQL.commit), \
                r.\(TableSQL.seq), NULL, NULL FROM \(sql.raw) r JOIN millrace_epoch e ON e.id = r.event_id \
                WHERE e.id NOT IN (SELECT event_id FROM \(deferred) WHERE pipeline = $1 AND source_schema = $2 \
                AND source_table = $3)
                """, name, purpose: purpose)
            try session.run("DROP TABLE millrace_epoch", purpose: purpose)
            return found
        }
    }

    func store(_ beginning: SourceEpochs.Beginning, marks: [TopicPartition: [TableID: Version]]) throws {
        try ReplicationError.translating {
            let purpose = "storing an epoch's beginning"
            let from = beginning.from_us.map { "make_timestamptz(\($0))" } ?? "NULL"
            var rows = beginning.offsets.sorted { $0.key < $1.key }.map {
                "\(SQLName.literal($0.key.topic)), \($0.key.partition), \($0.value), NULL"
            }
            rows.append("NULL, NULL, NULL, \(from)")
            for row in rows {
                try session.execute(
                    "INSERT INTO \(Self.table) SELECT ?, \(beginning.epoch), \(row), now()", [.text(layout.pipeline)],
                    purpose: purpose)
            }
            try session.execute(
                "UPDATE \(MetaTables.name("holds")) SET epoch = \(beginning.epoch) WHERE pipeline = ? AND kind = ?",
                [.text(layout.pipeline), .text(TableHold.Kind.restored.rawValue)], purpose: purpose)
            var checkpoints = try MetaTables.checkpoints(session, layout.pipeline)
            for index in checkpoints.indices {
                checkpoints[index].token += 1
                checkpoints[index].marks.merge(marks[checkpoints[index].partition] ?? [:]) { max($0, $1) }
            }
            try MetaTables.update(session, layout.pipeline, checkpoints, updatedAt_us: DuckDBClock.now_us)
        }
    }

    func acceptOlder(since_us: Int64) throws {
        try ReplicationError.translating {
            let purpose = "accepting a redelivery"
            try session.execute(
                "DELETE FROM \(MetaTables.name("holds")) WHERE pipeline = ? AND kind = ?",
                [.text(layout.pipeline), .text(TableHold.redelivery)], purpose: purpose)
            try session.execute(
                "INSERT INTO \(MetaTables.name("holds")) SELECT ?, '', '', ?, '', make_timestamptz(?::BIGINT), NULL, NULL",
                [.text(layout.pipeline), .text(TableHold.redelivery), .int64(since_us)], purpose: purpose)
        }
    }
}

extension MetaTables {
    static func epochs(_ session: Session, _ pipeline: String) throws -> SourceEpochs {
        var beginnings: [Int64: SourceEpochs.Beginning] = [:]
        try session.forEachChunk(
            "SELECT epoch, topic, partition, first_offset, from_time FROM \(name("epochs")) WHERE pipeline = ?",
            [.text(pipeline)], purpose: "reading the epochs"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                let epoch = chunk.int64(0, row)
                if let topic = chunk.text(1, row) {
                    let partition = TopicPartition(topic: topic, partition: chunk.int32(2, row))
                    beginnings[epoch, default: .init(epoch: epoch)].offsets[partition] = chunk.int64(3, row)
                } else {
                    beginnings[epoch, default: .init(epoch: epoch)].from_us = chunk.integer(4, row)
                }
            }
        }
        return SourceEpochs(Array(beginnings.values))
    }
}

extension DuckDBWarehouse {
    package func acceptRedelivery() async throws {
        try withTransaction { try writer.acceptOlder(since_us: DuckDBClock.now_us, in: $0) }
    }

    package func beginEpoch() async throws {
        let tables = try await knownTables()
        try withTransaction {
            try writer.beginEpoch(tables, layout: layout, in: $0, loadedAt_us: DuckDBClock.next_us())
        }
    }

    package func epochs() async throws -> SourceEpochs {
        try withSession { session in
            guard try hasMeta(session), try MetaTables.version(session) ?? 0 >= 4 else { return SourceEpochs() }
            return try MetaTables.epochs(session, layout.pipeline)
        }
    }
}

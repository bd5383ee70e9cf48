import Replication

/// Tables whose current stands still, and what is deferred meanwhile.
extension DuckDBTransaction {
    private static var holds: String { MetaTables.name("holds") }
    private static var deferred: String { MetaTables.name("deferred") }
    private static let isOfTable = "pipeline = ? AND source_schema = ? AND source_table = ?"

    private func name(_ table: TableID) -> [Parameter] {
        [.text(layout.pipeline), .text(table.schema), .text(table.table)]
    }

    func readHolds(into states: inout [TableID: TableState]) throws {
        var acceptsOlder = false
        defer { if acceptsOlder { for table in states.keys { states[table]?.acceptsOlder = true } } }
        try staging.statements.forEachChunk(
            """
            SELECT source_schema, source_table, kind, epoch_us(since) FROM \(Self.holds) WHERE pipeline = ?
            """, [.text(layout.pipeline)], purpose: "reading the holds"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                guard let table = chunk.table(0, row) else { continue }
                if let kind = TableHold.Kind(rawValue: chunk.string(2, row)) {
                    states[table, default: .init()].holds.insert(kind)
                } else if chunk.string(2, row) == TableHold.redelivery,
                    DuckDBClock.now_us - chunk.int64(3, row) < TableHold.redelivery_us
                {
                    acceptsOlder = true
                }
            }
        }
    }

    func putOff(
        _ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32], hasImmediateKey: Bool
    ) throws {
        guard !events.isEmpty else { return }
        try ReplicationError.translating(table.source) {
            let appender = try Appender(
                session, into: AppenderTarget(schema: WarehouseSchema.metaSchema, table: "deferred"),
                [
                    .init("pipeline", .varchar), .init("source_schema", .varchar), .init("source_table", .varchar),
                    .init("event_id", .uuid), .init(MetadataNames.epoch, .int64), .init(MetadataNames.commit, .int64),
                    .init(MetadataNames.seq, .int64), .init("marks", .int32),
                    .init("json_nulls", .varchar),
                ], purpose: "deferring events of \(table.source)")
            let columns = DeferredEvent.jsonColumns(table)
            for index in events {
                let event = batch.events[Int(index)]
                try appender.set(0, string: layout.pipeline)
                try appender.set(1, string: table.source.schema)
                try appender.set(2, string: table.source.table)
                appender.set(3, uuidHigh: event.id.high, low: event.id.low)
                appender.set(4, int64: event.version.epoch)
                appender.set(5, int64: event.version.commit)
                appender.set(6, int64: event.version.seq)
                appender.set(7, int32: Int32(DeferredEvent.marks(of: event, hasImmediateKey: hasImmediateKey)))
                if let nulls = DeferredEvent.jsonNulls(of: event, columns, in: batch) {
                    try appender.set(8, string: nulls)
                }
                try appender.endRow()
            }
            try appender.close()
        }
    }

    func deferredEvents(_ table: TableDefinition, limit: Int) throws -> [DeferredEvent] {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let version = "\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)"
            var events: [DeferredEvent] = []
            let oldest = """
                SELECT event_id, \(version), marks, json_nulls FROM \(Self.deferred) WHERE \(Self.isOfTable) \
                ORDER BY \(version), event_id LIMIT \(limit)
                """
            // Between these commits: raw is written about in their order, so that most of it isn't read.
            var range = ""
            var count = 0
            try session.forEachChunk(
                "SELECT min(\(TableSQL.commit)), max(\(TableSQL.commit)), count(*) FROM (\(oldest))",
                name(table.source),
                purpose: "reading what is deferred of \(table.source)"
            ) { chunk in
                guard chunk.rowCount == 1, let low = chunk.integer(0, 0), let high = chunk.integer(1, 0) else { return }
                count = chunk.count(2, 0)
                range = "AND r.\(TableSQL.commit) BETWEEN \(low) AND \(high)"
            }
            guard !range.isEmpty else { return [] }
            try session.forEachChunk(
                """
                SELECT \(Self.rawColumns("r.")), r.position, d.marks, d.json_nulls FROM (\(oldest)) d \
                JOIN \(sql.raw) r ON r.event_id = d.event_id AND r.\(TableSQL.seq) = d.\(TableSQL.seq) \(range) \
                ORDER BY d.\(TableSQL.epoch), d.\(TableSQL.commit), d.\(TableSQL.seq), d.event_id
                """, name(table.source), purpose: "reading what is deferred of \(table.source)"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    let event = try Self.rawEvent(chunk, row)
                    guard let place = DeferredEvent.place(chunk.string(12, row)) else {
                        throw ReplicationError(.permanent, "raw holds a position that millrace didn't write")
                    }
                    let marks = chunk.integer(13, row).map { DeferredEvent.read(marks: Int16(truncatingIfNeeded: $0)) }
                    events.append(
                        DeferredEvent(
                            event: event, partition: place.partition, offset: place.offset,
                            flags: marks?.flags, hasImmediateKey: marks?.hasImmediateKey ?? false,
                            jsonNulls: chunk.text(14, row)))
                }
            }
            guard events.count == count else { throw DeferredEvent.missing(table.source) }
            return events
        }
    }

    func forgetDeferred(_ table: TableDefinition, _ events: [DeferredEvent]) throws {
        guard !events.isEmpty else { return }
        try ReplicationError.translating(table.source) {
            let purpose = "noting what is released of \(table.source)"
            try fillProbes(events.enumerated().map { (Int32($0.offset), $0.element.event.id, nil) }, purpose)
            try session.execute(
                """
                DELETE FROM \(Self.deferred) WHERE \(Self.isOfTable) \
                AND event_id IN (SELECT id FROM \(StagingTables.probes))
                """, name(table.source), purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
        }
    }

    func hold(_ holds: [TableHold]) throws {
        try ReplicationError.translating {
            for hold in holds {
                try session.execute(
                    """
                    INSERT INTO \(Self.holds) SELECT $1, $2, $3, $4, $5, make_timestamptz($6::BIGINT), \
                    \(hold.from_us.map { "make_timestamptz(\($0))" } ?? "NULL"), NULL WHERE NOT EXISTS \
                    (SELECT 1 FROM \(Self.holds) WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3 \
                    AND kind = $4)
                    """,
                    name(hold.table) + [.text(hold.kind.rawValue), .text(hold.reason), .int64(hold.since_us)],
                    purpose: "holding tables")
            }
        }
    }

    func endHold(_ table: TableID, _ kind: TableHold.Kind) throws {
        _ = try ReplicationError.translating {
            try session.execute(
                "DELETE FROM \(Self.holds) WHERE \(Self.isOfTable) AND kind = ?",
                name(table) + [.text(kind.rawValue)], purpose: "ending a hold")
        }
    }
}

extension DuckDBWarehouse {
    package func holds() async throws -> [TableHold] {
        // A file that is written to is of this version.
        if isReadOnly {
            let isThere = try withSession { try hasMeta($0) && MetaTables.version($0) ?? 0 >= 4 }
            guard isThere else { return [] }
        }
        return try withStatements { try MetaTables.holds($0, layout.pipeline) }
    }

    package func deferredCounts() async throws -> [TableID: Int] {
        try withSession { session in
            var counts: [TableID: Int] = [:]
            guard try hasMeta(session) else { return counts }
            try session.forEachChunk(
                """
                SELECT source_schema, source_table, count(*) FROM \(MetaTables.name("deferred")) WHERE pipeline = ? \
                GROUP BY source_schema, source_table
                """, [.text(layout.pipeline)], purpose: "counting what is deferred"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    if let table = chunk.table(0, row) { counts[table] = chunk.count(2, row) }
                }
            }
            return counts
        }
    }

    package func hold(_ tables: [TableID], _ kind: TableHold.Kind, reason: String) async throws {
        let since_us = DuckDBClock.now_us
        let holds = tables.map { TableHold(table: $0, kind: kind, reason: reason, since_us: since_us) }
        try withTransaction { try writer.hold(holds, in: $0) }
    }

    package func replay(_ ids: [Int64], of table: TableDefinition, _ options: ReleaseOptions) async throws
        -> (outcome: BatchApplier.Outcome, promoted: Set<Int64>)
    {
        try withTransaction {
            try writer.replay(
                ids, of: table, layout: layout, in: $0, loadedAt_us: DuckDBClock.next_us(), options, equality: .duckdb)
        }
    }

    package func release(_ table: TableDefinition, _ kind: TableHold.Kind, _ options: ReleaseOptions)
        async throws -> ReleaseStep
    {
        try withTransaction {
            try writer.release(
                table, kind, layout: layout, in: $0, loadedAt_us: DuckDBClock.next_us(), options, equality: .duckdb)
        }
    }
}

extension MetaTables {
    static func holds(_ session: any StatementRunner, _ pipeline: String) throws -> [TableHold] {
        var holds: [TableHold] = []
        try session.forEachChunk(
            """
            SELECT source_schema, source_table, kind, reason, since, from_time, epoch FROM \(name("holds")) \
            WHERE pipeline = ? ORDER BY source_schema, source_table, kind
            """, [.text(pipeline)], purpose: "reading the holds"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                guard let table = chunk.table(0, row), let kind = TableHold.Kind(rawValue: chunk.string(2, row))
                else { continue }
                holds.append(
                    TableHold(
                        table: table, kind: kind, reason: chunk.string(3, row), since_us: chunk.integer(4, row) ?? 0,
                        from_us: chunk.integer(5, row), epoch: chunk.integer(6, row)))
            }
        }
        return holds
    }
}

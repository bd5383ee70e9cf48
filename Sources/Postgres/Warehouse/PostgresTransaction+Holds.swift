import Replication

/// Tables whose current stands still, and what is deferred meanwhile.
extension PostgresTransaction {
    private static var holds: String { MetaTables.name("holds") }
    private static var deferred: String { MetaTables.name("deferred") }

    func isOf(_ table: TableID) throws -> String {
        """
        pipeline = \(try quoteLiteral(layout.pipeline)) AND source_schema = \(try quoteLiteral(table.schema)) \
        AND source_table = \(try quoteLiteral(table.table))
        """
    }

    func putOff(
        _ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32], hasImmediateKey: Bool
    ) throws {
        guard !events.isEmpty else { return }
        _ = try translating {
            try session.copyIn(
                """
                COPY \(Self.deferred) (pipeline, source_schema, source_table, event_id, _version_epoch, \
                _version_commit, _version_seq, marks, json_nulls) FROM STDIN
                """, for: "defer events"
            ) { writer in
                let columns = DeferredEvent.jsonColumns(table)
                for index in events {
                    let event = batch.events[Int(index)]
                    for text in [layout.pipeline, table.source.schema, table.source.table, event.id.text] {
                        writer.field(text)
                    }
                    for number in [event.version.epoch, event.version.commit, event.version.seq] {
                        writer.field(number)
                    }
                    writer.field(Int64(DeferredEvent.marks(of: event, hasImmediateKey: hasImmediateKey)))
                    if let nulls = DeferredEvent.jsonNulls(of: event, columns, in: batch) {
                        writer.field(nulls)
                    } else {
                        writer.null()
                    }
                    try writer.endLine()
                }
            }
        }
    }

    func deferredEvents(_ table: TableDefinition, limit: Int) throws -> [DeferredEvent] {
        try translating {
            let sql = try TableSQL(table, layout)
            let order = "_version_epoch, _version_commit, _version_seq, event_id"
            let rows = try session.query(
                """
                SELECT \(Self.rawColumns), r.position, d.marks, d.json_nulls FROM (SELECT * FROM \(Self.deferred) \
                WHERE \(try isOf(table.source)) ORDER BY \(order) LIMIT \(limit)) d \
                LEFT JOIN \(sql.raw) r ON r.\(TableSQL.seq) = d._version_seq AND r.event_id = d.event_id \
                ORDER BY d._version_epoch, d._version_commit, d._version_seq, d.event_id
                """, for: "read what is deferred")
            return try (0..<rows.count).map { row in
                guard rows.string(row, 0) != nil else { throw DeferredEvent.missing(table.source) }
                let event = try rawEvent(rows, row, table)
                guard let place = DeferredEvent.place(rows.text(row, 12)) else {
                    throw ReplicationError(
                        .invariant, "\(layout.raw).\(table.target) has a position that millrace didn't write",
                        table: table.source)
                }
                let marks = rows.integer(row, 13).map { DeferredEvent.read(marks: Int16(truncatingIfNeeded: $0)) }
                return DeferredEvent(
                    event: event, partition: place.partition, offset: place.offset,
                    flags: marks?.flags, hasImmediateKey: marks?.hasImmediateKey ?? false,
                    jsonNulls: rows.string(row, 14))
            }
        }
    }

    func forgetDeferred(_ table: TableDefinition, _ events: [DeferredEvent]) throws {
        // In the order of versions.
        guard let first = events.first?.event.version, let last = events.last?.event.version else { return }
        let version = "(_version_epoch, _version_commit, _version_seq)"
        try translating {
            _ = try session.query(
                """
                DELETE FROM \(Self.deferred) WHERE \(try isOf(table.source)) AND \(version) >= \(SQLText.version(first)) \
                AND \(version) <= \(SQLText.version(last)) AND event_id = ANY ($1::uuid[])
                """, [try arrayText(events.map(\.event.id.text))], for: "note what is released")
        }
    }

    func hold(_ holds: [TableHold]) throws {
        try translating {
            for hold in holds {
                _ = try session.query(
                    """
                    INSERT INTO \(Self.holds) (pipeline, source_schema, source_table, kind, reason, since, from_time) \
                    VALUES ($1, $2, $3, $4, $5, $6::timestamptz, $7::timestamptz) ON CONFLICT DO NOTHING
                    """,
                    [
                        layout.pipeline, hold.table.schema, hold.table.table, hold.kind.rawValue, hold.reason,
                        SQLText.timestamp(hold.since_us), hold.from_us.map(SQLText.timestamp),
                    ], for: "hold tables")
            }
        }
    }

    func endHold(_ table: TableID, _ kind: TableHold.Kind) throws {
        try translating {
            _ = try session.query(
                "DELETE FROM \(Self.holds) WHERE \(try isOf(table)) AND kind = $1", [kind.rawValue], for: "end a hold")
        }
    }
}

extension PostgresWarehouse {
    package func holds() async throws -> [TableHold] {
        try read(orNothing: []) { session in
            guard try MetaTables.version(session) ?? 0 >= 4 else { return [] }
            return try MetaTables.holds(session, layout.pipeline)
        }
    }

    package func deferredCounts() async throws -> [TableID: Int] {
        try read(orNothing: [:]) { session in
            let rows = try session.query(
                """
                SELECT source_schema, source_table, count(*) FROM \(MetaTables.name("deferred")) WHERE pipeline = $1 \
                GROUP BY source_schema, source_table
                """, [layout.pipeline], for: "count what is deferred")
            return Dictionary(
                uniqueKeysWithValues: (0..<rows.count).map { row in
                    (TableID(schema: rows.text(row, 0), table: rows.text(row, 1)), Int(rows.integer(row, 2) ?? 0))
                })
        }
    }

    package func hold(_ tables: [TableID], _ kind: TableHold.Kind, reason: String) async throws {
        try withTransaction { transaction in
            let holds = tables.map {
                TableHold(table: $0, kind: kind, reason: reason, since_us: transaction.loadedAt_us)
            }
            try writer.hold(holds, in: transaction)
        }
    }

    package func replay(_ ids: [Int64], of table: TableDefinition, _ options: ReleaseOptions) async throws
        -> (outcome: BatchApplier.Outcome, promoted: Set<Int64>)
    {
        try withTransaction { transaction in
            try writer.replay(
                ids, of: table, layout: layout, in: transaction, loadedAt_us: transaction.loadedAt_us, options)
        }
    }

    package func release(_ table: TableDefinition, _ kind: TableHold.Kind, _ options: ReleaseOptions)
        async throws -> ReleaseStep
    {
        try withTransaction { transaction in
            if let wait_ms = options.lockWait_ms { try transaction.waitForLocks("\(wait_ms)ms") }
            defer { if options.lockWait_ms != nil { try? transaction.waitForLocks(lockWait) } }
            return try writer.release(
                table, kind, layout: layout, in: transaction, loadedAt_us: transaction.loadedAt_us, options)
        }
    }
}

extension MetaTables {
    static func holds(_ session: Session, _ pipeline: String) throws -> [TableHold] {
        let rows = try session.query(
            """
            SELECT source_schema, source_table, kind, reason, \(SQLText.microseconds("since")), \
            \(SQLText.microseconds("from_time")), epoch FROM \(name("holds")) WHERE pipeline = $1 \
            ORDER BY source_schema, source_table, kind
            """, [pipeline], for: "read the holds")
        return (0..<rows.count).compactMap { row in
            guard let kind = TableHold.Kind(rawValue: rows.text(row, 2)) else { return nil }
            return TableHold(
                table: TableID(schema: rows.text(row, 0), table: rows.text(row, 1)), kind: kind,
                reason: rows.text(row, 3), since_us: rows.integer(row, 4) ?? 0, from_us: rows.integer(row, 5),
                epoch: rows.integer(row, 6))
        }
    }
}

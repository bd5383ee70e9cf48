import Replication

extension PostgresTransaction {
    // MARK: Probing

    func knownEvents(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws -> Set<Int32> {
        try translating {
            let sql = try TableSQL(table, layout)
            let (probe, first) = try fillProbe(events.count) { index, encoder in
                let event = batch.events[Int(events[index])]
                encoder.writer.field(event.version.seq)
                encoder.uuid(event.id)
            }
            let rows = try session.query(
                """
                SELECT p._ord FROM \(probe) p JOIN \(sql.raw) r ON r.\(TableSQL.seq) = p._number AND r.event_id = p._id \
                WHERE p._ord >= \(first)
                """, for: "look for events in \(layout.raw).\(table.target)")
            return Set((0..<rows.count).compactMap { rows.integer($0, 0) }.map { events[Int($0) - Int(first)] })
        }
    }

    /// Brings (number, uuid) pairs into a temporary table that all tables share.
    func fillProbe(
        _ count: Int, _ write: (Int, FieldEncoder) -> Void
    ) throws -> (name: String, first: Int64) {
        let name = try temporary("probe", shape: [], adding: count) {
            "CREATE TEMP TABLE \($0) (_ord bigint, _number bigint, _id uuid)"
        }
        let first = takeOrdinals(count)
        let empty = ChangeBatch(capacity: 64)
        try session.copyIn("COPY \(name) FROM STDIN", for: "stage names of events") { writer in
            let encoder = FieldEncoder(writer: writer, batch: empty, scratch: scratch)
            for index in 0..<count {
                writer.field(first + Int64(index))
                write(index, encoder)
                try writer.endLine()
            }
        }
        return (name, first)
    }

    // MARK: Appending

    func appendRaw(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws {
        guard !events.isEmpty else { return }
        try translating(table) {
            let sql = try TableSQL(table, layout)
            // Whoever wants to know what the row had there looks for the key's events, as the history view does.
            if events.contains(where: { batch.events[Int($0)].flags.contains(.partial) }) { try indexKeys(sql) }
            let names = WarehouseSchema.rawColumns.map { "\"\($0.name)\"" }.joined(separator: ", ")
            do {
                try session.copyIn(
                    "COPY \(sql.raw) (\(names)) FROM STDIN (FORMAT binary)",
                    for: "append to \(layout.raw).\(table.target)"
                ) { writer in
                    let row = RawRowWriter(table, batch, writer, scratch, loadedAt_us: loadedAt_us)
                    row.writer.begin()
                    for index in events {
                        row.write(batch.events[Int(index)])
                        try writer.flushIfFull()
                    }
                    row.writer.end()
                }
            } catch let error as PostgresError where error.sqlstate == "23505" {
                throw ReplicationError(
                    .duplicateRaw, "\(table.source): an event is in raw already", table: table.source)
            }
        }
    }

    /// From so many keys at once on bloom filters, each of them looked through for each key, are too slow.
    private static let bloomKeys_max = 50

    /// Makes the index that finds a key's events one by one, where raw hasn't it: for tables with columns that events
    /// leave out, or whose keys are looked for in masses. Raw is read through once for it, while others wait who write to
    /// it; where that would take minutes it is left to a person: `CREATE INDEX CONCURRENTLY … USING hash ((key::text))`.
    private static let indexedRaw_bytes_max = 4 << 30

    private func indexKeys(_ sql: TableSQL) throws {
        let table = sql.definition.source
        guard !indexedKeys.contains(table) else { return }
        let purpose = "index the keys of \(layout.raw).\(sql.definition.target)"
        let relation = "\(try quoteLiteral(sql.raw))::regclass"
        let found = try session.scalar(
            """
            SELECT pg_relation_size(\(relation)) > \(Self.indexedRaw_bytes_max) OR EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
            JOIN pg_catalog.pg_am a ON a.oid = c.relam \
            WHERE i.indrelid = \(relation) AND a.amname = 'hash')
            """, [], for: purpose)
        if found == "t" {
            indexedKeys.insert(table)
        } else {
            try session.execute("CREATE INDEX ON \(sql.raw) USING hash ((key::text))", for: purpose)
        }
    }

    // MARK: Reading

    func rawEvents(
        _ table: TableDefinition, keys: [String], truncates: Bool, promoted: Bool
    ) throws -> [RawEvent] {
        try translating {
            let sql = try TableSQL(table, layout)
            if keys.count > Self.bloomKeys_max { try indexKeys(sql) }
            let columns = "\(Self.rawColumns), (extract(epoch FROM r.loaded_at) * 1000000)::bigint"
            let rows = try session.query(
                """
                SELECT \(columns) FROM (SELECT DISTINCT unnest($1::text[])) AS wanted(key) \
                JOIN \(sql.raw) r ON r.key::text = wanted.key\(promoted ? try isPromoted(table.source) : "")
                \(truncates ? "UNION ALL SELECT \(columns) FROM \(sql.raw) r WHERE r.op = 't'" : "")
                """, [try arrayText(keys)], for: "read events of \(layout.raw).\(table.target)")
            return try (0..<rows.count).map { row in
                var event = try rawEvent(rows, row, table)
                event.loadedAt_us = rows.integer(row, 12)
                return event
            }
        }
    }

    /// What `rawEvent` reads of raw as `r`, in its order.
    static var rawColumns: String {
        """
        r.event_id, r.op, \(TableSQL.versionColumns("r")), r.key, r.other_key, r.before, r.after, r.unchanged, \
        r.source_tx, (extract(epoch FROM r.source_ts) * 1000000)::bigint
        """
    }

    func rawEvent(_ rows: Rows, _ row: Int, _ table: TableDefinition) throws -> RawEvent {
        try Self.rawEvent(rows, row, table, layout)
    }

    static func rawEvent(
        _ rows: Rows, _ row: Int, _ table: TableDefinition, _ layout: WarehouseLayout
    ) throws -> RawEvent {
        guard let id = EventID(text: rows.text(row, 0)), let operation = Operation(letter: rows.text(row, 1)) else {
            throw ReplicationError(
                .invariant, "\(layout.raw).\(table.target) has a row that millrace didn't write",
                table: table.source)
        }
        return RawEvent(
            id: id, operation: operation, version: rows.version(row, 2), key: rows.string(row, 5),
            otherKey: rows.string(row, 6), before: rows.string(row, 7), after: rows.string(row, 8),
            unchanged: try rows.string(row, 9).map { try MetaJSON.names($0, of: "raw's unchanged") } ?? [],
            transaction: rows.integer(row, 10) ?? -1, sourceTime_us: rows.integer(row, 11) ?? .min)
    }
}

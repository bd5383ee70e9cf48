import Replication

extension PostgresWarehouse {
    package func ledger() async throws -> (tables: [LedgerEntry], control: Int) {
        try read(orNothing: ([], 0)) { session in
            // Read before an agent has brought it up to date.
            let hasLate = (try MetaTables.version(session) ?? 0) >= 3
            let counts = MetaTables.ledgerCounts.dropLast(hasLate ? 0 : 2).map { "sum(\($0))::bigint" }
                .joined(separator: ", ")
            let rows = try session.query(
                """
                SELECT source_schema, source_table, \(counts) FROM \(MetaTables.name("ledger")) WHERE pipeline = $1 \
                GROUP BY source_schema, source_table ORDER BY source_schema NULLS FIRST, source_table
                """, [layout.pipeline], for: "sum the ledger")
            var entries: [LedgerEntry] = []
            var control = 0
            for row in 0..<rows.count {
                func number(_ column: Int) -> Int { Int(rows.integer(row, column) ?? 0) }
                let table = rows.string(row, 0).map { TableID(schema: $0, table: rows.text(row, 1)) }
                var entry = LedgerEntry(table: table)
                entry.read = number(2)
                entry.applied = number(3)
                entry.superseded = number(4)
                entry.duplicate = number(5)
                entry.compacted = number(6)
                entry.filtered = number(7)
                entry.quarantined = number(8)
                entry.deferred = number(9)
                entry.filled = number(10)
                control += number(11)
                if hasLate {
                    entry.late = number(12)
                    entry.tooLate = number(13)
                }
                // Control records have a row of their own, of no table.
                if table != nil || entry.read > 0 { entries.append(entry) }
            }
            return (entries, control)
        }
    }

    package func counts(_ table: TableDefinition) async throws -> TableCounts {
        try read(orNothing: TableCounts(live: 0, deleted: 0, incomplete: 0)) { session in
            let sql = try TableSQL(table, layout)
            let there = try session.scalar(
                "SELECT to_regclass($1) IS NOT NULL", [sql.current], for: sql.purpose("count"))
            guard there == "t" else { return TableCounts(live: 0, deleted: 0, incomplete: 0) }
            // In the map `[null]` and `[e,c,s,null]` are columns without a value.
            let rows = try session.query(
                """
                SELECT count(*) FILTER (WHERE \(sql.isDeleted) IS NOT TRUE), count(*) FILTER (WHERE \(sql.isDeleted)), \
                count(*) FILTER (WHERE \(sql.isDeleted) IS NOT TRUE AND CASE WHEN \(TableSQL.map) IS NOT NULL THEN \
                EXISTS (SELECT FROM json_each(\(TableSQL.map)::json) AS c \
                WHERE json_array_length(c.value) IN (1, 4)) END) \
                FROM \(sql.current)
                """, for: sql.purpose("count"))
            return TableCounts(
                live: Int(rows.integer(0, 0) ?? 0), deleted: Int(rows.integer(0, 1) ?? 0),
                incomplete: Int(rows.integer(0, 2) ?? 0))
        }
    }

    package func quarantine() async throws -> [QuarantinedRecord] {
        try read(orNothing: []) { session in
            let gate =
                try MetaTables.version(session) ?? 0 >= 8
                ? "rule, event_id, _version_epoch, _version_commit, _version_seq, row_key, marks, json_nulls"
                : "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
            let rows = try session.query(
                """
                SELECT id, source_schema, source_table, topic, partition, record_offset, reason, op, \
                encode(key, 'hex'), encode(value, 'hex'), headers, state, \(SQLText.microseconds("loaded_at")), \(gate) \
                FROM \(MetaTables.name("quarantine")) WHERE pipeline = $1 ORDER BY id
                """, [layout.pipeline], for: "read the quarantine")
            return (0..<rows.count).map { row in
                var record = QuarantinedRecord(
                    id: rows.integer(row, 0) ?? 0,
                    entry: QuarantineEntry(
                        table: rows.string(row, 1).map { TableID(schema: $0, table: rows.text(row, 2)) },
                        partition: TopicPartition(
                            topic: rows.text(row, 3), partition: Int32(rows.integer(row, 4) ?? 0)),
                        offset: rows.integer(row, 5) ?? 0, reason: rows.text(row, 6),
                        key: rows.bytes(row, 8).map(Self.unhex), value: rows.bytes(row, 9).map(Self.unhex),
                        headers: rows.string(row, 10), operation: rows.string(row, 7).flatMap(Operation.init(letter:))),
                    state: QuarantinedRecord.State(rawValue: rows.text(row, 11)) ?? .waiting,
                    loadedAt_us: rows.integer(row, 12) ?? 0)
                if let rule = rows.string(row, 13), let id = EventID(text: rows.text(row, 14)) {
                    record.entry.gate = PutAside(
                        rule: rule, event: id, version: rows.version(row, 15), key: rows.string(row, 18),
                        marks: Int16(truncatingIfNeeded: rows.integer(row, 19) ?? 0), jsonNulls: rows.string(row, 20))
                }
                return record
            }
        }
    }

    private static func unhex(_ digits: UnsafeRawBufferPointer) -> [UInt8] {
        stride(from: 0, to: digits.count - 1, by: 2).map { at in
            (hexValue(digits[at]) ?? 0) << 4 | (hexValue(digits[at + 1]) ?? 0)
        }
    }

    package func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) async throws {
        guard !ids.isEmpty else { return }
        try write { session in try MetaTables.settle(ids, as: state, session, layout.pipeline) }
    }
}

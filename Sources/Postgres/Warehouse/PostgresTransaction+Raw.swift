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
    ) throws -> (name: String, first: Int32) {
        let name = try temporary("probe", shape: []) {
            "CREATE TEMP TABLE \($0) (_ord integer, _number bigint, _id uuid) ON COMMIT DELETE ROWS"
        }
        let first = takeOrdinals(count)
        let empty = ChangeBatch(capacity: 64)
        try session.copyIn("COPY \(name) FROM STDIN", for: "stage names of events") { writer in
            let encoder = FieldEncoder(writer: writer, batch: empty, scratch: scratch)
            for index in 0..<count {
                writer.field(Int64(first) + Int64(index))
                write(index, encoder)
                try writer.endLine()
            }
        }
        return (name, first)
    }

    // MARK: Appending

    func appendRaw(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws {
        guard !events.isEmpty else { return }
        do {
            let sql = try TableSQL(table, layout)
            let names = WarehouseSchema.rawColumns.map { "\"\($0.name)\"" }.joined(separator: ", ")
            var now = ""
            try session.copyIn(
                "COPY \(sql.raw) (\(names)) FROM STDIN", for: "append to \(layout.raw).\(table.target)"
            ) { writer in
                now = SQLText.timestamp(loadedAt_us)
                let row = RawRowWriter(table, batch, FieldEncoder(writer: writer, batch: batch, scratch: scratch), now)
                for index in events {
                    row.write(batch.events[Int(index)])
                    try writer.endLine()
                }
            }
        } catch let error as PostgresError where error.sqlstate == "23505" {
            throw ReplicationError(.duplicateRaw, "\(table.source): an event is in raw already", table: table.source)
        } catch let error as PostgresError {
            throw ReplicationError(error, table: table, who: who)
        }
    }

    // MARK: Reading

    func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) throws -> [RawEvent] {
        try translating {
            let sql = try TableSQL(table, layout)
            let columns = """
                r.event_id, r.op, \(TableSQL.versionColumns("r")), r.key, r.other_key, r.before, r.after, \
                (SELECT array_to_string(array_agg(encode(convert_to(name, 'UTF8'), 'hex')), ',') \
                FROM json_array_elements_text(r.unchanged) AS name)
                """
            let rows = try session.query(
                """
                SELECT \(columns) FROM (SELECT DISTINCT unnest($1::text[])) AS wanted(key) \
                JOIN \(sql.raw) r ON r.key::text = wanted.key
                \(truncates ? "UNION ALL SELECT \(columns) FROM \(sql.raw) r WHERE r.op = 't'" : "")
                """, [try arrayText(keys)], for: "read events of \(layout.raw).\(table.target)")
            return try (0..<rows.count).map { row in
                guard let id = EventID(text: rows.text(row, 0)), let operation = Operation(letter: rows.text(row, 1)) else {
                    throw ReplicationError(
                        .invariant, "\(layout.raw).\(table.target) has a row that millrace didn't write",
                        table: table.source)
                }
                return RawEvent(
                    id: id, operation: operation, version: rows.version(row, 2), key: rows.string(row, 5),
                    otherKey: rows.string(row, 6), before: rows.string(row, 7), after: rows.string(row, 8),
                    unchanged: (rows.string(row, 9) ?? "").split(separator: ",").map(Self.unhex))
            }
        }
    }

    private static func unhex(_ digits: Substring) -> String {
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in digits.utf8 {
            guard let value = hexValue(digit) else { continue }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Writes events as rows of raw.
private struct RawRowWriter {
    private let table: TableDefinition
    private let batch: ChangeBatch
    private let encoder: FieldEncoder
    private let scratch: ByteArena
    private let loadedAt: [UInt8]
    /// `"name":` and `"name"` of each column, one after the other, and where each ends.
    private let names: ByteArena
    private var nameEnds: [Int] = []
    /// `topic:partition:` of each span.
    private let places: [[UInt8]]

    init(_ table: TableDefinition, _ batch: ChangeBatch, _ encoder: FieldEncoder, _ loadedAt: String) {
        self.table = table
        self.batch = batch
        self.encoder = encoder
        self.loadedAt = Array(loadedAt.utf8)
        scratch = encoder.scratch
        names = ByteArena(capacity: 1024)
        let plain = ByteArena(capacity: 256)
        for column in table.columns {
            FieldText.appendString(plain.append(column.name), of: plain, to: names)
            nameEnds.append(names.count)
        }
        places = batch.spans.map { Array("\($0.partition):".utf8) }
    }

    private func name(_ column: Int) -> UnsafeRawBufferPointer {
        let start = column == 0 ? 0 : nameEnds[column - 1]
        return names.bytes(ByteRange(offset: start, length: nameEnds[column] - start))
    }

    func write(_ event: ChangeEvent) {
        let writer = encoder.writer
        encoder.uuid(event.id)
        withUnsafeBytes(of: event.operation.rawValue) { writer.field($0) }
        bytes(event.key)
        bytes(event.otherKey)
        image(event.before, event.width)
        image(event.after, event.width)
        unchanged(event)
        encoder.version(event.version)
        place(event)
        if event.transaction < 0 { writer.null() } else { writer.field(event.transaction) }
        encoder.moment(event.sourceTime_us)
        loadedAt.withUnsafeBytes { writer.field($0) }
    }

    private func bytes(_ range: ByteRange) {
        if range.isNull { encoder.writer.null() } else { encoder.writer.field(batch.arena.bytes(range)) }
    }

    /// The known columns as a JSON object.
    private func image(_ start: Int32, _ width: Int32) {
        guard start >= 0 else { return encoder.writer.null() }
        let mark = scratch.count
        var separator: UInt8 = 0x7B
        for column in 0..<min(Int(width), table.columns.count) {
            let field = batch.fields[Int(start) + column]
            guard field.isKnown else { continue }
            scratch.append(byte: separator)
            separator = 0x2C
            _ = scratch.append(name(column))
            scratch.append(byte: 0x3A)
            FieldText.appendJSON(field, table.columns[column].type, from: batch.arena, to: scratch)
        }
        if separator == 0x7B { scratch.append(byte: 0x7B) }
        scratch.append(byte: 0x7D)
        encoder.writer.field(scratch.bytes(ByteRange(offset: mark, length: scratch.count - mark)))
        scratch.truncate(to: mark)
    }

    /// Names of the after-image's unchanged columns as a JSON array; null where there are none.
    private func unchanged(_ event: ChangeEvent) {
        guard event.after >= 0 else { return encoder.writer.null() }
        let mark = scratch.count
        for column in 0..<min(Int(event.width), table.columns.count)
        where batch.fields[Int(event.after) + column].kind == .unchanged {
            scratch.append(byte: scratch.count == mark ? 0x5B : 0x2C)
            _ = scratch.append(name(column))
        }
        guard scratch.count > mark else { return encoder.writer.null() }
        scratch.append(byte: 0x5D)
        encoder.writer.field(scratch.bytes(ByteRange(offset: mark, length: scratch.count - mark)))
        scratch.truncate(to: mark)
    }

    /// `topic:partition:offset`.
    private func place(_ event: ChangeEvent) {
        encoder.writer.beginField()
        let span = Int(event.span)
        if places.indices.contains(span) { places[span].withUnsafeBytes { encoder.writer.appendEscaped($0) } }
        let mark = scratch.count
        encoder.writer.appendEscaped(
            scratch.bytes(FieldText.appendPostgresText(.int(event.offset), .bigint, from: scratch, to: scratch)))
        scratch.truncate(to: mark)
    }
}

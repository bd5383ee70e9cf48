import Replication

/// Writes events as rows of raw, in the order of `WarehouseSchema.rawColumns`.
struct RawRowWriter {
    let writer: CopyBinaryWriter
    private let table: TableDefinition
    private let batch: ChangeBatch
    private let scratch: ByteArena
    private let loadedAt_us: Int64
    /// The columns' names as JSON strings, one after the other, and where each ends.
    private let names: ByteArena
    private var nameEnds: [Int] = []
    /// `topic:partition:` of each span.
    private let places: [[UInt8]]

    init(
        _ table: TableDefinition, _ batch: ChangeBatch, _ buffer: CopyTextWriter, _ scratch: ByteArena,
        loadedAt_us: Int64
    ) {
        writer = CopyBinaryWriter(buffer: buffer)
        self.table = table
        self.batch = batch
        self.scratch = scratch
        self.loadedAt_us = loadedAt_us
        names = ByteArena(capacity: 1024)
        let plain = ByteArena(capacity: 256)
        for column in table.columns {
            FieldText.appendString(plain.append(column.nameInRaw), of: plain, to: names)
            nameEnds.append(names.count)
        }
        places = batch.spans.map { Array("\($0.partition):".utf8) }
    }

    func write(_ event: ChangeEvent) {
        writer.beginRow(columns: WarehouseSchema.rawColumns.count)
        writer.uuid(event.id)
        withUnsafeBytes(of: event.operation.rawValue) { writer.field($0) }
        json(event.key)
        json(event.otherKey)
        image(event.before, event.width)
        image(event.after, event.width)
        unchanged(event)
        writer.field(event.version.epoch)
        writer.field(event.version.commit)
        writer.field(event.version.seq)
        place(event)
        if event.transaction < 0 { writer.null() } else { writer.field(event.transaction) }
        writer.moment(event.sourceTime_us)
        writer.moment(loadedAt_us)
    }

    private func json(_ range: ByteRange) {
        if range.isNull { writer.null() } else { writer.field(batch.arena.bytes(range)) }
    }

    private func name(_ column: Int) -> UnsafeRawBufferPointer {
        let start = column == 0 ? 0 : nameEnds[column - 1]
        return names.bytes(ByteRange(offset: start, length: nameEnds[column] - start))
    }

    /// Writes what `body` appends to the scratch arena as one field; null if it appends nothing.
    @inline(__always)
    private func composed(_ body: () -> Void) {
        let mark = scratch.count
        body()
        if scratch.count == mark {
            writer.null()
        } else {
            writer.field(scratch.bytes(ByteRange(offset: mark, length: scratch.count - mark)))
        }
        scratch.truncate(to: mark)
    }

    /// The known columns as a JSON object: unchanged and absent ones are left out.
    private func image(_ start: Int32, _ width: Int32) {
        guard start >= 0 else { return writer.null() }
        composed {
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
        }
    }

    /// Names of the after-image's unchanged columns as a JSON array.
    private func unchanged(_ event: ChangeEvent) {
        guard event.after >= 0 else { return writer.null() }
        composed {
            var separator: UInt8 = 0x5B
            for column in 0..<min(Int(event.width), table.columns.count)
            where batch.fields[Int(event.after) + column].kind == .unchanged {
                scratch.append(byte: separator)
                separator = 0x2C
                _ = scratch.append(name(column))
            }
            if separator == 0x2C { scratch.append(byte: 0x5D) }
        }
    }

    /// `topic:partition:offset`.
    private func place(_ event: ChangeEvent) {
        composed {
            let span = Int(event.span)
            if places.indices.contains(span) { _ = places[span].withUnsafeBytes { scratch.append($0) } }
            FieldText.appendPostgresText(.int(event.offset), .bigint, from: scratch, to: scratch)
        }
    }
}

import Replication

/// Writes events as rows of a table's raw: images as JSON of what the event knows, built in one buffer.
final class RawWriter {
    static let columns: [AppenderColumn] = [
        .init("event_id", .uuid), .init("op", .varchar), .init("key", .varchar), .init("other_key", .varchar),
        .init("before", .varchar), .init("after", .varchar), .init("unchanged", .varchar),
        .init(MetadataNames.epoch, .int64), .init(MetadataNames.commit, .int64), .init(MetadataNames.seq, .int64),
        .init("position", .varchar), .init("source_tx", .int64), .init("source_ts", .timestamptz),
        .init("loaded_at", .timestamptz),
    ]

    private let batch: ChangeBatch
    private let types: [ColumnType]
    /// `"name":` and `"name"` of each column.
    private var labels: [(member: ByteRange, name: ByteRange)] = []
    private let names = ByteArena(capacity: 256)
    /// `topic:partition:` of each span.
    private let places: [ByteRange]
    private let out = ByteArena()
    private let loadedAt_us: Int64

    init(_ definition: TableDefinition, _ batch: ChangeBatch) {
        self.batch = batch
        types = definition.columns.map(\.type)
        let names = names
        places = batch.spans.map { names.append("\($0.partition.topic):\($0.partition.partition):") }
        for column in definition.columns {
            let text = names.append(column.nameInRaw)
            let name = FieldText.appendString(text, of: names, to: names)
            names.append(byte: 0x3A)
            labels.append((ByteRange(offset: name.offset, length: name.length + 1), name))
        }
        loadedAt_us = DuckDBClock.now_us
    }

    func append(
        _ event: ChangeEvent, _ fields: UnsafeBufferPointer<Field>, to appender: Appender
    ) throws {
        out.removeAll()
        appender.set(0, uuidHigh: event.id.high, low: event.id.low)
        try withUnsafeBytes(of: event.operation.rawValue) { try appender.set(1, utf8: $0) }
        if !event.key.isNull { try appender.set(2, utf8: batch.arena.bytes(event.key)) }
        if !event.otherKey.isNull { try appender.set(3, utf8: batch.arena.bytes(event.otherKey)) }
        if let before = image(event.before, event.width, fields) { try appender.set(4, utf8: out.bytes(before)) }
        if let after = image(event.after, event.width, fields) { try appender.set(5, utf8: out.bytes(after)) }
        if event.flags.contains(.partial), let names = unchanged(event, fields) {
            try appender.set(6, utf8: out.bytes(names))
        }
        appender.set(7, int64: event.version.epoch)
        appender.set(8, int64: event.version.commit)
        appender.set(9, int64: event.version.seq)
        try appender.set(10, utf8: out.bytes(position(event)))
        if event.transaction >= 0 { appender.set(11, int64: event.transaction) }
        if event.sourceTime_us != .min { appender.set(12, int64: event.sourceTime_us) }
        appender.set(13, int64: loadedAt_us)
        try appender.endRow()
    }

    /// A JSON object of the columns that the image knows; nil without an image.
    private func image(_ first: Int32, _ width: Int32, _ fields: UnsafeBufferPointer<Field>) -> ByteRange? {
        guard first >= 0 else { return nil }
        let start = out.count
        out.append(byte: 0x7B)
        for column in 0..<min(Int(width), types.count) {
            let field = fields[Int(first) + column]
            guard field.isKnown else { continue }
            if out.count > start + 1 { out.append(byte: 0x2C) }
            _ = out.append(names.bytes(labels[column].member))
            FieldText.appendJSON(field, types[column], from: batch.arena, to: out)
        }
        out.append(byte: 0x7D)
        return ByteRange(offset: start, length: out.count - start)
    }

    /// A JSON array of the columns that the source has and didn't send.
    private func unchanged(_ event: ChangeEvent, _ fields: UnsafeBufferPointer<Field>) -> ByteRange? {
        guard event.after >= 0 else { return nil }
        let start = out.count
        for column in 0..<min(Int(event.width), types.count)
        where fields[Int(event.after) + column].kind == .unchanged {
            out.append(byte: out.count == start ? 0x5B : 0x2C)
            _ = out.append(names.bytes(labels[column].name))
        }
        guard out.count > start else { return nil }
        out.append(byte: 0x5D)
        return ByteRange(offset: start, length: out.count - start)
    }

    private func position(_ event: ChangeEvent) -> ByteRange {
        let start = out.count
        let span = Int(event.span)
        if span < places.count { _ = out.append(names.bytes(places[span])) }
        let digits = out.appendUninitialized(20)
        let length = DecimalText.writeSigned(event.offset, to: out.base + digits.offset)
        out.truncate(to: digits.offset + length)
        return ByteRange(offset: start, length: out.count - start)
    }
}

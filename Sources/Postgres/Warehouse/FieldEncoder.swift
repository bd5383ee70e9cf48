import Replication

/// Writes fields as COPY text, straight from the batch's arena.
struct FieldEncoder {
    let writer: CopyTextWriter
    let batch: ChangeBatch
    let scratch: ByteArena

    @inline(__always)
    func field(_ field: Field, _ type: ColumnType) {
        switch field.kind {
        case .null, .unchanged, .absent: writer.null()
        case .int:
            switch type {
            case .smallint, .integer, .bigint, .text: writer.field(field.bits)
            default: text(field, type)
            }
        case .text:
            switch type {
            // Plain text in a column of JSON becomes a string.
            case .unknown: json(field, type)
            default: writer.field(batch.bytes(field))
            }
        default:
            switch type {
            case .json, .jsonb, .unknown: json(field, type)
            default: text(field, type)
            }
        }
    }

    private func text(_ field: Field, _ type: ColumnType) {
        switch type {
        case .json, .jsonb, .unknown: json(field, type)
        default: FieldText.withPostgresText(field, type, in: batch.arena, scratch: scratch) { writer.field($0) }
        }
    }

    private func json(_ field: Field, _ type: ColumnType) {
        let mark = scratch.count
        writer.field(scratch.bytes(FieldText.appendJSON(field, type, from: batch.arena, to: scratch)))
        scratch.truncate(to: mark)
    }

    /// A timestamptz; null where it isn't told.
    @inline(__always)
    func moment(_ time_us: Int64) {
        guard time_us != .min else { return writer.null() }
        text(Field(kind: .timestamptz, bits: time_us), .timestamptz)
    }

    @inline(__always)
    func version(_ version: Version) {
        writer.field(version.epoch)
        writer.field(version.commit)
        writer.field(version.seq)
    }

    @inline(__always)
    func uuid(_ id: EventID) { id.withUUIDBytes { writer.field($0) } }
}

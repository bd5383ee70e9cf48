import Replication

/// Rows in COPY's binary format, for tables whose types we chose ourselves: the server then parses no text of
/// numbers, times and uuids, and nothing is escaped. Writes into the session's buffer.
struct CopyBinaryWriter {
    let buffer: CopyTextWriter

    private static let header: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0] + [UInt8](repeating: 0, count: 8)
    /// µs from 1970 to 2000, where the server counts from.
    private static let epoch_us: Int64 = 946_684_800_000_000

    func begin() { Self.header.withUnsafeBytes { buffer.append($0) } }
    func end() { append(Int16(-1)) }

    @inline(__always)
    func beginRow(columns: Int) { append(Int16(truncatingIfNeeded: columns)) }

    @inline(__always)
    func null() { append(Int32(-1)) }

    /// Text, json, bytea.
    @inline(__always)
    func field(_ bytes: UnsafeRawBufferPointer) {
        append(Int32(truncatingIfNeeded: bytes.count))
        buffer.append(bytes)
    }

    @inline(__always)
    func field(_ number: Int64) {
        append(Int32(8))
        append(number)
    }

    @inline(__always)
    func uuid(_ id: EventID) {
        append(Int32(16))
        append(id.high)
        append(id.low)
    }

    /// A timestamptz; null where it isn't told. Infinities are the extremes on both sides.
    @inline(__always)
    func moment(_ time_us: Int64) {
        guard time_us != .min else { return null() }
        field(time_us == .max ? time_us : time_us &- Self.epoch_us)
    }

    @inline(__always)
    private func append(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.bigEndian) { buffer.append($0) }
    }
}

import Replication

/// Rows in COPY's binary format: the server then parses no text of numbers, times and uuids, and nothing is escaped.
/// Writes into the session's buffer.
struct CopyBinaryWriter {
    let buffer: CopyTextWriter

    private static let header: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0] + [UInt8](repeating: 0, count: 8)
    /// µs from 1970 to 2000, where the server counts from.
    static let epoch_us: Int64 = 946_684_800_000_000

    func begin() { Self.header.withUnsafeBytes { buffer.append($0) } }
    func end() { append(Int16(-1)) }
    func flushIfFull() throws { try buffer.flushIfFull() }

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

    /// Numbers, and what is counted: a float's bits, days, microseconds.
    @inline(__always)
    func field<Number: FixedWidthInteger>(_ number: Number) {
        buffer.appendSized(number.bigEndian)
    }

    @inline(__always)
    func flag(_ flag: Bool) { buffer.appendSized(flag ? UInt8(1) : 0) }

    /// Behind the format's version.
    func jsonb(_ text: UnsafeRawBufferPointer) {
        append(Int32(truncatingIfNeeded: text.count + 1))
        append(UInt8(1))
        buffer.append(text)
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

    // MARK: Read from text

    /// A decimal such as `-0012.50`, in groups of four digits; false for anything else.
    func numeric(_ text: UnsafeRawBufferPointer) -> Bool {
        let isNegative = text.first == 0x2D
        let start = isNegative ? 1 : 0
        var point = text.count
        for index in start..<text.count {
            let digit = text[index] &- 0x30
            if digit < 10 { continue }
            guard text[index] == 0x2E, point == text.count, index > start else { return false }
            point = index
        }
        guard text.count > start else { return false }
        let scale = max(text.count - point - 1, 0)
        let whole = point - start
        // What the format's own counts hold with room to spare.
        guard whole <= 1000, scale <= 1000 else { return false }
        /// Of the digit that stands `place` before the point, from 1, or behind it, from 0 downwards.
        func group(_ index: Int) -> Int16 {
            var value: Int16 = 0
            for place in stride(from: 4 * index + 3, through: 4 * index, by: -1) {
                // Places from the point: 0 is the one's.
                let at = place >= 0 ? point - 1 - place : point - place
                let digit = at >= start && at < text.count ? text[at] &- 0x30 : 0
                value = value * 10 + Int16(digit)
            }
            return value
        }
        var top = (whole + 3) / 4 - 1
        var bottom = -((scale + 3) / 4)
        while top >= bottom, group(top) == 0 { top -= 1 }
        while bottom <= top, group(bottom) == 0 { bottom += 1 }
        let count = top - bottom + 1
        append(Int32(8 + 2 * max(count, 0)))
        append(Int16(max(count, 0)))
        append(Int16(count > 0 ? top : 0))
        append(count > 0 && isNegative ? UInt16(0x4000) : 0)
        append(Int16(scale))
        if count > 0 { for index in stride(from: top, through: bottom, by: -1) { append(group(index)) } }
        return true
    }

    /// `00112233-4455-6677-8899-aabbccddeeff`; false for anything else.
    func uuid(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count == 36 else { return false }
        var words: (high: UInt64, low: UInt64) = (0, 0)
        for index in 0..<36 {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard text[index] == 0x2D else { return false }
                continue
            }
            guard let nibble = Self.nibble(text[index]) else { return false }
            words.high = words.high << 4 | words.low >> 60
            words.low = words.low << 4 | UInt64(nibble)
        }
        append(Int32(16))
        append(words.high)
        append(words.low)
        return true
    }

    /// bytea's `\x00ff`; false for anything else.
    func hex(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= 2, text.count % 2 == 0, text[0] == 0x5C, text[1] == 0x78 else { return false }
        append(Int32(truncatingIfNeeded: (text.count - 2) / 2))
        for index in stride(from: 2, to: text.count, by: 2) {
            guard let high = Self.nibble(text[index]), let low = Self.nibble(text[index + 1]) else { return false }
            append(high << 4 | low)
        }
        return true
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x57
        case 0x41...0x46: digit - 0x37
        default: nil
        }
    }

    @inline(__always)
    private func append<Number: FixedWidthInteger>(_ number: Number) { buffer.append(number: number.bigEndian) }
}

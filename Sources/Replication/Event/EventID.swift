/// Names one event for ever: a 128-bit hash of what stands in the event itself (source table, op,
/// raw source position, key; for a keyless event its image and ordinal too), never of derived state
/// or arrival. A redelivered event has the id it had before. A `uuid` in the warehouse.
package struct EventID: Hashable, Sendable {
    package var high: UInt64
    package var low: UInt64

    @inline(__always)
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package static let zero = EventID(high: 0, low: 0)

    /// Of a change whose place in a log is known exactly: the position leads, so that raw's index grows at one end, and
    /// the hash, of all that tells the event, follows.
    /// - Parameter place: from 1, of the change in its commit.
    @inline(__always)
    package static func ordered(commit: Int64, place: Int64, _ operation: Operation, hash: EventID) -> EventID {
        EventID(
            high: UInt64(bitPattern: commit),
            low: UInt64(bitPattern: place) << 26 | UInt64(operation.index) << 23 | hash.low & 0x7F_FFFF)
    }

    /// Of a copied row: those of a piece, which has a number, stand together, in the order in which they were read.
    @inline(__always)
    package static func ordered(piece: UInt32, row: UInt32, hash: EventID) -> EventID {
        EventID(high: UInt64(piece) << 32 | UInt64(row), low: hash.low)
    }

    /// The 36 characters of a uuid.
    package var text: String {
        var bytes = [UInt8]()
        bytes.reserveCapacity(36)
        withUUIDBytes { bytes.append(contentsOf: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The uuid text as 36 ASCII bytes, without a String.
    @inline(__always)
    package func withUUIDBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: 36, alignment: 1) { buffer in
            var at = 0
            for nibble in 0..<32 {
                if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                    buffer[at] = 0x2D
                    at += 1
                }
                let word = nibble < 16 ? high : low
                let value = UInt8(truncatingIfNeeded: word >> UInt64(60 - (nibble % 16) * 4)) & 15
                buffer[at] = value < 10 ? 0x30 + value : 0x57 + value
                at += 1
            }
            return body(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Reads a uuid's text, with or without hyphens; nil if it isn't one.
    package init?(text: some StringProtocol) {
        var words: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for byte in text.utf8 {
            if byte == 0x2D { continue }
            guard let value = hexValue(byte), digits < 32 else { return nil }
            if digits < 16 { words.0 = words.0 << 4 | UInt64(value) } else { words.1 = words.1 << 4 | UInt64(value) }
            digits += 1
        }
        guard digits == 32 else { return nil }
        self.init(high: words.0, low: words.1)
    }
}

@inline(__always)
package func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x61...0x66: byte - 0x57
    case 0x41...0x46: byte - 0x37
    default: nil
    }
}

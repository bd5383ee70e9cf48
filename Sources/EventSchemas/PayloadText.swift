import JSON
import Replication

/// The JSON that a payload becomes, behind its schema's. Reused from record to record; bounded.
final class PayloadText {
    private static let kept_bytes_max = 4 << 20

    private let prefix: [UInt8]
    let arena: ByteArena
    /// Left of what this record may become.
    private var limit = 0
    /// Left of the values that this record may have: hostile schemas make values of no bytes.
    private var values = 0

    init(prefix: [UInt8]) {
        self.prefix = prefix
        arena = ByteArena(capacity: prefix.count + 4096)
    }

    /// Of the prefix and what is held.
    var bytes: Int { prefix.count + arena.allocated }

    /// The whole text, valid until the next `begin`.
    var text: UnsafeRawBufferPointer { arena.bytes(ByteRange(offset: 0, length: arena.count)) }

    func begin(payload_bytes: Int) {
        if arena.count >= prefix.count, arena.allocated <= Self.kept_bytes_max, arena.count > 0 {
            arena.truncate(to: prefix.count)
        } else {
            arena.removeAll(keepingCapacity: arena.allocated <= Self.kept_bytes_max)
            prefix.withUnsafeBytes { _ = arena.append($0) }
        }
        // Fields that are null have a byte each and the length of their names; real records stay far below.
        limit = min(prefix.count + 256 * payload_bytes + 4 << 20, JSONParser.length_max_bytes - 1)
        values = 4 * payload_bytes + 1 << 20
    }

    func end() { arena.append(byte: 0x7D) }

    /// Counts a value, and looks whether what there is so far isn't too long.
    @inline(__always)
    func count() throws(SchemaTrouble) {
        values -= 1
        guard values > 0, arena.count < limit else { throw SchemaTrouble("it becomes too large when decoded") }
    }

    // MARK: - Values

    @inline(__always)
    func null() { _ = arena.append(UnsafeRawBufferPointer("null" as StaticString)) }

    @inline(__always)
    func bool(_ value: Bool) {
        _ = arena.append(UnsafeRawBufferPointer(value ? "true" : "false" as StaticString))
    }

    @inline(__always)
    func integer(_ value: Int64) {
        arena.reserve(20)
        let room = arena.appendUninitialized(20)
        let length = DecimalText.writeSigned(value, to: arena.base + room.offset)
        arena.truncate(to: room.offset + length)
    }

    func unsigned(_ value: UInt64) {
        let room = arena.appendUninitialized(20)
        let length = DecimalText.writeUnsigned(value, to: arena.base + room.offset)
        arena.truncate(to: room.offset + length)
    }

    /// The shortest digits that read back; what JSON has no number for as the converter writes it, a string.
    func floating(_ value: Double, single: Bool) {
        if !value.isFinite { arena.append(byte: 0x22) }
        let room = arena.appendUninitialized(DoubleText.length_max)
        let length = DoubleText.write(value, single: single, form: .json, to: arena.base + room.offset)
        arena.truncate(to: room.offset + length)
        if !value.isFinite { arena.append(byte: 0x22) }
    }

    /// A string from UTF-8. What isn't UTF-8 is found by whoever parses the text.
    func string(_ text: UnsafeRawBufferPointer) {
        arena.append(byte: 0x22)
        if Self.isPlain(text) {
            _ = arena.append(text)
        } else {
            // In pieces, so that a long text doesn't need six times its room at once.
            var rest = text[...]
            while !rest.isEmpty {
                let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(4096))
                rest = rest.dropFirst(4096)
                let room = arena.appendUninitialized(6 * piece.count)
                let length = JSONString.escape(piece, into: arena.base + room.offset)
                arena.truncate(to: room.offset + length)
            }
        }
        arena.append(byte: 0x22)
    }

    @inline(__always)
    private static func isPlain(_ text: UnsafeRawBufferPointer) -> Bool {
        text.allSatisfy { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C }
    }

    func base64(_ bytes: UnsafeRawBufferPointer) {
        arena.append(byte: 0x22)
        Base64.append(bytes, to: arena)
        arena.append(byte: 0x22)
    }
}

/// Standard base64 (RFC 4648), as the JSON converter writes bytes.
enum Base64 {
    private static let digits: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    static func append(_ bytes: UnsafeRawBufferPointer, to arena: ByteArena) {
        let digits = digits.utf8Start
        let room = arena.appendUninitialized((bytes.count + 2) / 3 * 4)
        let out = arena.mutableBytes(room)
        var at = 0
        var i = 0
        while i < bytes.count {
            let left = bytes.count - i
            let bits =
                UInt32(bytes[i]) << 16 | (left > 1 ? UInt32(bytes[i + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[i + 2]) : 0)
            out[at] = digits[Int(bits >> 18)]
            out[at + 1] = digits[Int(bits >> 12 & 63)]
            out[at + 2] = left > 1 ? digits[Int(bits >> 6 & 63)] : 0x3D
            out[at + 3] = left > 2 ? digits[Int(bits & 63)] : 0x3D
            at += 4
            i += 3
        }
    }

    static func text(_ bytes: [UInt8]) -> [UInt8] {
        let arena = ByteArena(capacity: 64)
        bytes.withUnsafeBytes { append($0, to: arena) }
        return Array(arena.bytes(ByteRange(offset: 0, length: arena.count)))
    }
}

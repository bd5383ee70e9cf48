/// Builds rows in COPY's text format in a growing buffer and hands it on when it is full.
///
/// ```swift
/// writer.field(bytes)      // escaped; separators come by themselves
/// writer.field(42)
/// writer.null()
/// try writer.endLine()     // hands the buffer on at 64 KiB
/// ```
/// Inside `Session.copyIn` the buffer goes to the server. On its own (no sink) it only collects.
package final class CopyTextWriter {
    // Exclusive access isn't checked at run time: it would cost as much as a short field.
    @exclusivity(unchecked) private var base: UnsafeMutableRawPointer
    /// Bytes in the buffer, not yet handed on.
    @exclusivity(unchecked) package private(set) var count = 0
    @exclusivity(unchecked) private var capacity: Int
    @exclusivity(unchecked) private var isAtLineStart = true
    private let flushAt: Int
    /// Takes the buffer's bytes, valid during the call.
    var sink: ((UnsafeRawBufferPointer) throws -> Void)?

    /// - Parameter flushAt: bytes from which on `endLine` hands the buffer on.
    package init(flushAt: Int = 64 * 1024) {
        self.flushAt = flushAt
        capacity = max(flushAt, 1024) + 16 * 1024
        base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// What stands in the buffer; valid until the next call.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Forgets what stands in the buffer. The room stays, up to a limit, for the next use.
    package func removeAll() {
        count = 0
        isAtLineStart = true
        if capacity > 4 * (flushAt + 16 * 1024) {
            capacity = flushAt + 16 * 1024
            base.deallocate()
            base = .allocate(byteCount: capacity, alignment: 16)
        }
    }

    // MARK: Fields

    /// A field with these bytes, escaped.
    @inline(__always)
    package func field(_ bytes: UnsafeRawBufferPointer) {
        beginField()
        appendEscaped(bytes)
    }

    package func field(_ text: String) {
        var text = text
        text.withUTF8 { field(UnsafeRawBufferPointer($0)) }
    }

    package func field(_ integer: Int64) {
        beginField()
        reserve(20)
        if integer < 0 { put(UInt8(ascii: "-")) }
        appendDigits(integer.magnitude)
    }

    package func field(_ integer: UInt64) {
        beginField()
        reserve(20)
        appendDigits(integer)
    }

    package func field(_ integer: Int) { field(Int64(integer)) }

    package func field(_ flag: Bool) {
        beginField()
        reserve(1)
        put(flag ? UInt8(ascii: "t") : UInt8(ascii: "f"))
    }

    package func null() {
        beginField()
        reserve(2)
        put(UInt8(ascii: "\\"))
        put(UInt8(ascii: "N"))
    }

    /// A bytea field: `\x` and hexadecimal digits.
    package func bytea(_ bytes: UnsafeRawBufferPointer) {
        beginField()
        reserve(3 + 2 * bytes.count)
        put(UInt8(ascii: "\\"))
        put(UInt8(ascii: "\\"))
        put(UInt8(ascii: "x"))
        for byte in bytes {
            put(Self.hexadecimalDigit(byte >> 4))
            put(Self.hexadecimalDigit(byte & 15))
        }
    }

    /// A field that already is COPY text, escapes and `\N` included.
    @inline(__always)
    package func encodedField(_ bytes: UnsafeRawBufferPointer) {
        beginField()
        append(bytes)
    }

    /// Ends the row. Throws what handing on throws; without a sink never.
    @inline(__always)
    package func endLine() throws {
        reserve(1)
        put(UInt8(ascii: "\n"))
        isAtLineStart = true
        if count >= flushAt { try flush() }
    }

    // MARK: Parts

    /// The separator before a field, except at a line's start. For fields built of several parts.
    @inline(__always)
    package func beginField() {
        if isAtLineStart {
            isAtLineStart = false
        } else {
            reserve(1)
            put(UInt8(ascii: "\t"))
        }
    }

    /// Bytes as they are. Whole rows end with a newline and are followed by `flushIfFull()`.
    @inline(__always)
    package func append(_ bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        (base + count).copyMemory(from: from, byteCount: bytes.count)
        count += bytes.count
    }

    /// A number's bytes as they stand in memory.
    @inline(__always)
    func append<Number: FixedWidthInteger>(number: Number) {
        reserve(MemoryLayout<Number>.size)
        base.storeBytes(of: number, toByteOffset: count, as: Number.self)
        count += MemoryLayout<Number>.size
    }

    /// The same behind their count, as COPY's binary format has fields.
    @inline(__always)
    func appendSized<Number: FixedWidthInteger>(_ number: Number) {
        reserve(4 + MemoryLayout<Number>.size)
        base.storeBytes(of: Int32(MemoryLayout<Number>.size).bigEndian, toByteOffset: count, as: Int32.self)
        base.storeBytes(of: number, toByteOffset: count + 4, as: Number.self)
        count += 4 + MemoryLayout<Number>.size
    }

    /// Forgets what was written behind `count`, which this buffer had, and has not handed on, since.
    func truncate(to count: Int) { self.count = count }

    /// Bytes with backslash, tab, newline and carriage return escaped.
    package func appendEscaped(_ bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress else { return }
        var start = 0
        while start < bytes.count {
            // In pieces, as room is made for twice the length.
            let length = min(bytes.count - start, 64 * 1024)
            reserve(2 * length + 8)
            escape(from + start, length)
            start += length
        }
    }

    /// Hands the buffer on if it is full.
    @inline(__always)
    package func flushIfFull() throws {
        if count >= flushAt { try flush() }
    }

    /// Hands the buffer on. Without a sink nothing happens.
    @inline(never)
    package func flush() throws {
        guard let sink, count > 0 else { return }
        try sink(bytes)
        count = 0
    }

    // MARK: Bytes

    /// Copies eight bytes at a time and looks closer only where one of them needs an escape.
    private func escape(_ from: UnsafeRawPointer, _ length: Int) {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var output = base + count
        var index = 0
        while index + 8 <= length {
            let word = UInt64(littleEndian: from.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            output.storeBytes(of: word.littleEndian, as: UInt64.self)
            // The lowest flag is exact: bytes below 0x0E (tab, newline, return and other controls) ...
            let controls = (word &- ones &* 0x0E) & ~word & highs
            // ... and backslashes.
            let difference = word ^ (ones &* 0x5C)
            let backslashes = (difference &- ones) & ~difference & highs
            let flags = controls | backslashes
            if flags == 0 {
                output += 8
                index += 8
            } else {
                let clean = flags.trailingZeroBitCount >> 3
                output += clean
                index += clean
                output = Self.putEscaped(from.load(fromByteOffset: index, as: UInt8.self), output)
                index += 1
            }
        }
        while index < length {
            output = Self.putEscaped(from.load(fromByteOffset: index, as: UInt8.self), output)
            index += 1
        }
        count = output - base
    }

    @inline(__always)
    private static func putEscaped(_ byte: UInt8, _ output: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        let letter: UInt8
        switch byte {
        case 0x5C: letter = 0x5C
        case 0x09: letter = UInt8(ascii: "t")
        case 0x0A: letter = UInt8(ascii: "n")
        case 0x0D: letter = UInt8(ascii: "r")
        default:
            output.storeBytes(of: byte, as: UInt8.self)
            return output + 1
        }
        output.storeBytes(of: 0x5C, as: UInt8.self)
        output.storeBytes(of: letter, toByteOffset: 1, as: UInt8.self)
        return output + 2
    }

    private func appendDigits(_ number: UInt64) {
        var rest = number
        var length = 1
        while rest >= 10 {
            rest /= 10
            length += 1
        }
        rest = number
        var place = count + length
        count = place
        repeat {
            place -= 1
            base.storeBytes(
                of: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10), toByteOffset: place, as: UInt8.self)
            rest /= 10
        } while rest > 0
    }

    private static func hexadecimalDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }

    /// Room must have been reserved.
    @inline(__always)
    private func put(_ byte: UInt8) {
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    private func reserve(_ extra: Int) {
        if count + extra > capacity { grow(by: extra) }
    }

    @inline(never)
    private func grow(by extra: Int) {
        capacity = max(capacity * 2, count + extra)
        let next = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        next.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = next
    }
}

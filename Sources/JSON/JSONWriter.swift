import CSimdJSON

/// Writes JSON, without white space, into a growing buffer of its own: commas and colons come by
/// themselves, nesting is the caller's to close.
///
/// ```swift
/// writer.beginObject()
/// writer.key("id")
/// writer.number(raw)
/// writer.endObject()
/// writer.bytes  // {"id":7}
/// ```
/// For the hot path: nothing is allocated per value, and `removeAll` keeps the memory.
package final class JSONWriter {
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var capacity: Int
    package private(set) var count = 0
    /// Whether the next value or key wants a comma before it.
    private var wantsComma = false

    package init(capacity: Int = 1024) {
        self.capacity = max(capacity, 64)
        base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// What was written, valid until the next write.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
    package var string: String { String(decoding: bytes, as: UTF8.self) }

    package func removeAll() {
        count = 0
        wantsComma = false
    }

    package func beginObject() { open(0x7B) }
    package func endObject() { close(0x7D) }
    package func beginArray() { open(0x5B) }
    package func endArray() { close(0x5D) }

    /// A key in UTF-8, to be escaped; a value must follow.
    package func key(_ text: UnsafeRawBufferPointer) {
        string(text)
        append(0x3A)
        wantsComma = false
    }

    package func key(_ text: StaticString) { key(UnsafeRawBufferPointer(text)) }

    package func key(_ text: String) {
        var text = text
        text.withUTF8 { key(UnsafeRawBufferPointer($0)) }
    }

    /// A key or string content that is escaped already, as a tape has it.
    package func rawKey(_ content: UnsafeRawBufferPointer) {
        rawString(content)
        append(0x3A)
        wantsComma = false
    }

    package func rawString(_ content: UnsafeRawBufferPointer) {
        separate()
        append(0x22)
        append(content)
        append(0x22)
    }

    /// A string from UTF-8, which is escaped here.
    package func string(_ text: UnsafeRawBufferPointer) {
        separate()
        append(0x22)
        // In pieces, so that a long text doesn't need six times its room at once.
        var rest = text[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(4096))
            rest = rest.dropFirst(4096)
            reserve(6 * piece.count)
            count += csimdjson_escape(piece.baseAddress, piece.count, base + count)
        }
        append(0x22)
    }

    package func string(_ text: StaticString) { string(UnsafeRawBufferPointer(text)) }

    package func string(_ text: String) {
        var text = text
        text.withUTF8 { string(UnsafeRawBufferPointer($0)) }
    }

    /// JSON written elsewhere: a number, a literal, a whole document.
    package func raw(_ json: UnsafeRawBufferPointer) {
        separate()
        append(json)
    }

    package func number(_ value: Int64) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { room in
            var at = 24
            var rest = value.magnitude
            repeat {
                at -= 1
                room[at] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest != 0
            if value < 0 {
                at -= 1
                room[at] = 0x2D
            }
            raw(UnsafeRawBufferPointer(rebasing: room[at...]))
        }
    }

    package func bool(_ value: Bool) { raw(UnsafeRawBufferPointer(value ? "true" : "false" as StaticString)) }
    package func null() { raw(UnsafeRawBufferPointer("null" as StaticString)) }

    private func open(_ bracket: UInt8) {
        separate()
        append(bracket)
        wantsComma = false
    }

    private func close(_ bracket: UInt8) {
        append(bracket)
        wantsComma = true
    }

    /// What comes before a value, and the mark that one came.
    private func separate() {
        if wantsComma { append(0x2C) }
        wantsComma = true
    }

    private func append(_ byte: UInt8) {
        reserve(1)
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        (base + count).copyMemory(from: from, byteCount: bytes.count)
        count += bytes.count
    }

    private func reserve(_ extra: Int) {
        if count + extra > capacity { grow(by: extra) }
    }

    @inline(never)
    private func grow(by extra: Int) {
        let wanted = max(capacity * 2, count + extra)
        let next = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
        next.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = next
        capacity = wanted
    }
}

extension JSONWriter {
    // For the edges: one member a call.

    package func member(_ name: String, _ value: String?) {
        key(name)
        if let value { string(value) } else { null() }
    }

    package func member(_ name: String, _ value: (some BinaryInteger)?) {
        key(name)
        if let value { number(Int64(clamping: value)) } else { null() }
    }

    package func member(_ name: String, _ value: Bool?) {
        key(name)
        if let value { bool(value) } else { null() }
    }

    /// A finite number in the shortest form that reads back; null for the others, which JSON can't hold.
    package func member(_ name: String, _ value: Double?) {
        key(name)
        if let value { double(value) } else { null() }
    }

    package func double(_ value: Double) {
        guard value.isFinite else { return null() }
        var text = value.description
        text.withUTF8 { raw(UnsafeRawBufferPointer($0)) }
    }

    package func member(_ name: String, _ value: JSONValue) {
        key(name)
        self.value(value)
    }
}

extension UnsafeRawBufferPointer {
    /// The UTF-8 of a literal.
    @inlinable
    package init(_ text: StaticString) {
        self.init(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }
}

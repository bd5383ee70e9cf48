/// A growing block of bytes that a batch owns. What lies in it is named by `ByteRange`s, which stay
/// valid when the block moves; pointers into it don't.
///
/// Behind the last byte there are always `padding` readable bytes, as simdjson wants.
///
/// `@unchecked Sendable`: a batch, and so its arena, has one owner at a time and is handed on whole.
package final class ByteArena: @unchecked Sendable {
    package static let padding = 64

    package private(set) var base: UnsafeMutableRawPointer
    package private(set) var count = 0
    private var capacity: Int

    /// What stands behind `count` is anything: memory that nobody writes is no memory that is used.
    package init(capacity: Int = 4096) {
        let block = BlockPool.take(max(capacity, 64) + Self.padding)
        base = block.base
        self.capacity = block.size - Self.padding
    }

    deinit { BlockPool.give(.init(base: base, size: capacity + Self.padding)) }

    /// Bytes held in memory, used or not.
    package var allocated: Int { capacity }

    /// Makes room for `extra` more bytes.
    @inline(__always)
    package func reserve(_ extra: Int) {
        if count + extra > capacity { grow(by: extra) }
    }

    @inline(never)
    private func grow(by extra: Int) {
        let next = BlockPool.take(max(capacity * 2, count + extra) + Self.padding)
        next.base.copyMemory(from: base, byteCount: count)
        BlockPool.give(.init(base: base, size: capacity + Self.padding))
        base = next.base
        capacity = next.size - Self.padding
    }

    @inline(__always)
    package func append(_ bytes: UnsafeRawBufferPointer) -> ByteRange {
        let start = count
        guard let from = bytes.baseAddress, bytes.count > 0 else { return ByteRange(offset: start, length: 0) }
        reserve(bytes.count)
        (base + start).copyMemory(from: from, byteCount: bytes.count)
        count += bytes.count
        return ByteRange(offset: start, length: bytes.count)
    }

    package func append(_ text: String) -> ByteRange {
        var text = text
        return text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    package func append(byte: UInt8) {
        reserve(1)
        base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    /// Room for `length` bytes that the caller fills through `mutableBytes(in:)`, or cuts with `truncate(to:)`.
    package func appendUninitialized(_ length: Int) -> ByteRange {
        reserve(length)
        let range = ByteRange(offset: count, length: length)
        count += length
        return range
    }

    package func truncate(to length: Int) {
        precondition(length <= count)
        count = length
    }

    /// Valid until the next append.
    @inline(__always)
    package func bytes(_ range: ByteRange) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + range.offset, count: range.length)
    }

    @inline(__always)
    package func mutableBytes(_ range: ByteRange) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + range.offset, count: range.length)
    }

    package func string(_ range: ByteRange) -> String {
        String(decoding: bytes(range), as: UTF8.self)
    }

    package func removeAll(keepingCapacity keep: Bool = true) {
        count = 0
        if !keep, capacity > 4096 {
            BlockPool.give(.init(base: base, size: capacity + Self.padding))
            let block = BlockPool.take(4096 + Self.padding)
            base = block.base
            capacity = block.size - Self.padding
        }
    }
}

/// A stretch of a `ByteArena`. A negative offset means that there is nothing (a Kafka null).
package struct ByteRange: Sendable, Equatable {
    package var offset: Int
    package var length: Int

    @inline(__always)
    package init(offset: Int, length: Int) {
        self.offset = offset
        self.length = length
    }

    package static let null = ByteRange(offset: -1, length: 0)
    @inline(__always)
    package var isNull: Bool { offset < 0 }
}

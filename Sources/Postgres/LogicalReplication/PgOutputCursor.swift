import Replication

/// Reads pgoutput's binary forms. What runs over the end throws: the bytes are the network's.
struct PgOutputCursor {
    struct Overrun: Error {}

    private let base: UnsafeRawPointer
    private(set) var at = 0
    private let end: Int

    init(_ bytes: UnsafeRawBufferPointer) throws(Overrun) {
        guard let base = bytes.baseAddress else { throw Overrun() }
        self.base = base
        end = bytes.count
    }

    var isAtEnd: Bool { at >= end }

    @inline(__always)
    private mutating func advance(_ count: Int) throws(Overrun) -> Int {
        guard count >= 0, end - at >= count else { throw Overrun() }
        let start = at
        at += count
        return start
    }

    @inline(__always)
    mutating func byte() throws(Overrun) -> UInt8 {
        base.load(fromByteOffset: try advance(1), as: UInt8.self)
    }

    @inline(__always)
    mutating func int16() throws(Overrun) -> Int {
        Int(Int16(bigEndian: base.loadUnaligned(fromByteOffset: try advance(2), as: Int16.self)))
    }

    @inline(__always)
    mutating func int32() throws(Overrun) -> Int32 {
        Int32(bigEndian: base.loadUnaligned(fromByteOffset: try advance(4), as: Int32.self))
    }

    mutating func uint32() throws(Overrun) -> UInt32 { UInt32(bitPattern: try int32()) }

    @inline(__always)
    mutating func int64() throws(Overrun) -> Int64 {
        Int64(bigEndian: base.loadUnaligned(fromByteOffset: try advance(8), as: Int64.self))
    }

    @inline(__always)
    mutating func bytes(_ count: Int) throws(Overrun) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + (try advance(count)), count: count)
    }

    /// A text with a zero behind it.
    mutating func string() throws(Overrun) -> String {
        var length = 0
        while at + length < end, base.load(fromByteOffset: at + length, as: UInt8.self) != 0 { length += 1 }
        let text = try bytes(length)
        _ = try advance(1)
        return String(decoding: text, as: UTF8.self)
    }
}

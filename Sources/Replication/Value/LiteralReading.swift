/// Walks one of Postgres' literals, of an array or a composite, byte by byte.
protocol LiteralReading {
    var arena: ByteArena { get }
    var at: Int { get set }
    var end: Int { get }
}

extension LiteralReading {
    /// Read by its offset each time: the arena may be the sink, and move. 0 behind the end.
    @inline(__always)
    var byte: UInt8 { at < end ? arena.base.load(fromByteOffset: at, as: UInt8.self) : 0 }

    @inline(__always)
    mutating func take(_ wanted: UInt8) -> Bool {
        guard byte == wanted, at < end else { return false }
        at += 1
        return true
    }
}

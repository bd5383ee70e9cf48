/// A 128-bit hash over bytes fed in pieces: MurmurHash3 x64 128 (Austin Appleby, public domain
/// algorithm), with every piece preceded by its length so that pieces can't run into each other.
///
/// Not cryptographic. A forged collision needs control over the source's log positions, which are hashed too.
package struct Hash128 {
    private var h1: UInt64
    private var h2: UInt64
    private var length: UInt64 = 0
    private static let c1: UInt64 = 0x87c3_7b91_1142_53d5
    private static let c2: UInt64 = 0x4cf5_ad43_2745_937f

    @inline(__always)
    package init(seed: UInt64 = 0x6d69_6c6c_7261_6365) {
        h1 = seed
        h2 = seed
    }

    @inline(__always)
    private mutating func mix(_ a: UInt64, _ b: UInt64) {
        var k1 = a &* Self.c1
        k1 = (k1 << 31 | k1 >> 33) &* Self.c2
        h1 ^= k1
        h1 = (h1 << 27 | h1 >> 37) &+ h2
        h1 = h1 &* 5 &+ 0x52dc_e729
        var k2 = b &* Self.c2
        k2 = (k2 << 33 | k2 >> 31) &* Self.c1
        h2 ^= k2
        h2 = (h2 << 31 | h2 >> 33) &+ h1
        h2 = h2 &* 5 &+ 0x3849_5ab5
        length &+= 16
    }

    @inline(__always)
    package mutating func add(_ value: UInt64, _ other: UInt64 = 0) { mix(value, other) }

    @inline(__always)
    package mutating func add(_ value: Int64) { mix(UInt64(bitPattern: value), 1) }

    @inline(__always)
    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        mix(UInt64(bytes.count), 2)
        var at = 0
        let count = bytes.count
        guard let base = bytes.baseAddress else { return }
        while at + 16 <= count {
            mix(
                base.loadUnaligned(fromByteOffset: at, as: UInt64.self),
                base.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)
            )
            at += 16
        }
        if at < count {
            var a: UInt64 = 0
            var b: UInt64 = 0
            for i in at..<count {
                let byte = UInt64(bytes[i])
                let n = i - at
                if n < 8 { a |= byte << UInt64(8 * n) } else { b |= byte << UInt64(8 * (n - 8)) }
            }
            mix(a, b)
        }
    }

    package mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    package func finish() -> EventID {
        var a = h1 ^ length
        var b = h2 ^ length
        a = a &+ b
        b = b &+ a
        a = Self.avalanche(a)
        b = Self.avalanche(b)
        a = a &+ b
        b = b &+ a
        return EventID(high: a, low: b)
    }

    @inline(__always)
    private static func avalanche(_ value: UInt64) -> UInt64 {
        var k = value
        k ^= k >> 33
        k = k &* 0xff51_afd7_ed55_8ccd
        k ^= k >> 33
        k = k &* 0xc4ce_b9fe_1a85_ec53
        k ^= k >> 33
        return k
    }
}

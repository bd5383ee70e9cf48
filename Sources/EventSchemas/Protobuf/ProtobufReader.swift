/// Protobuf's wire format: a place in a stretch of bytes, held against its end.
struct ProtobufReader {
    let bytes: UnsafeRawBufferPointer
    var at: Int
    let end: Int

    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.bytes = bytes
        at = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { at >= end }

    static let tooShort = SchemaTrouble("it ends before what its schema describes")

    /// Up to ten bytes; what is beyond 64 bits isn't a number.
    @inline(__always)
    mutating func varint() throws(SchemaTrouble) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < end {
            let byte = bytes[at]
            at += 1
            guard shift < 63 || byte <= 1 else { throw SchemaTrouble("a number has more than 64 bits") }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw Self.tooShort
    }

    @inline(__always)
    mutating func fixed32() throws(SchemaTrouble) -> UInt64 {
        guard end - at >= 4 else { throw Self.tooShort }
        defer { at += 4 }
        return UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
    }

    @inline(__always)
    mutating func fixed64() throws(SchemaTrouble) -> UInt64 {
        guard end - at >= 8 else { throw Self.tooShort }
        defer { at += 8 }
        return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
    }

    @inline(__always)
    mutating func stretch() throws(SchemaTrouble) -> Range<Int> {
        let length = try varint()
        guard length <= UInt64(end - at) else { throw Self.tooShort }
        defer { at += Int(length) }
        return at..<at + Int(length)
    }

    /// A field's number and the form of its value.
    @inline(__always)
    mutating func tag() throws(SchemaTrouble) -> (number: Int32, wire: UInt8) {
        let tag = try varint()
        guard let number = Int32(exactly: tag >> 3), number > 0, number <= 536_870_911 else {
            throw SchemaTrouble("a field has no number")
        }
        return (number, UInt8(tag & 7))
    }

    private static let groups_max = 32

    /// Passes over a value that the schema doesn't know.
    mutating func skip(_ wire: UInt8, number: Int32) throws(SchemaTrouble) {
        switch wire {
        case 0: _ = try varint()
        case 1: _ = try fixed64()
        case 2: _ = try stretch()
        case 5: _ = try fixed32()
        case 3: try skipGroup(number)
        default: throw SchemaTrouble("a field has an unknown form")
        }
    }

    private mutating func skipGroup(_ number: Int32) throws(SchemaTrouble) {
        var open = [number]
        while let last = open.last {
            let (inner, wire) = try tag()
            switch wire {
            case 3:
                guard open.count < Self.groups_max else { throw SchemaTrouble("it is nested too deeply") }
                open.append(inner)
            case 4:
                guard inner == last else { throw SchemaTrouble("a group ends that didn't begin") }
                open.removeLast()
            default: try skip(wire, number: inner)
            }
        }
    }
}

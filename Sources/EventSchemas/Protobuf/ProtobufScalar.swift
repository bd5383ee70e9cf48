import JSON
import Replication

/// Protobuf's numbers, from the bits as they stand on the wire.
enum ProtobufScalar {
    enum Number {
        case signed(Int64)
        case unsigned(UInt64)
        case bool(Bool)
        case floating(Double, single: Bool)
    }

    @inline(__always)
    static func number(_ raw: UInt64, _ kind: ProtobufSchema.Kind) -> Number {
        switch kind {
        case .double: .floating(Double(bitPattern: raw), single: false)
        case .float: .floating(Double(Float(bitPattern: UInt32(truncatingIfNeeded: raw))), single: true)
        case .int32, .sfixed32, .enumeration: .signed(Int64(Int32(truncatingIfNeeded: raw)))
        case .uint32, .fixed32: .signed(Int64(UInt32(truncatingIfNeeded: raw)))
        case .uint64, .fixed64: .unsigned(raw)
        case .bool: .bool(raw != 0)
        case .sint32:
            .signed(Int64(Int32(truncatingIfNeeded: raw >> 1) ^ -Int32(truncatingIfNeeded: raw & 1)))
        case .sint64: .signed(Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1))
        default: .signed(Int64(bitPattern: raw))
        }
    }

    @inline(__always)
    static func write(_ raw: UInt64, _ kind: ProtobufSchema.Kind, to text: PayloadText) {
        switch number(raw, kind) {
        case .signed(let value): text.integer(value)
        case .unsigned(let value): text.unsigned(value)
        case .bool(let value): text.bool(value)
        case .floating(let value, let single): text.floating(value, single: single)
        }
    }
}

/// Messages that Connect's ProtobufConverter uses for single values: up to four numbers, and bytes.
struct WellKnown {
    private let bytes: UnsafeRawBufferPointer
    /// Fields 1 to 4 where they are numbers.
    private var numbers = SIMD4<UInt64>()
    /// Field 1 where it is a stretch.
    private var stretch: Range<Int>?

    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) throws(SchemaTrouble) {
        self.bytes = bytes
        var reader = ProtobufReader(bytes, range)
        while !reader.isAtEnd {
            let (number, wire) = try reader.tag()
            switch (number, wire) {
            case (1, 2): stretch = try reader.stretch()
            case (1...4, 0): numbers[Int(number - 1)] = try reader.varint()
            case (1...4, 1): numbers[Int(number - 1)] = try reader.fixed64()
            case (1...4, 5): numbers[Int(number - 1)] = try reader.fixed32()
            default: try reader.skip(wire, number: number)
            }
        }
    }

    private func signed(_ index: Int) -> Int64 { Int64(bitPattern: numbers[index]) }

    /// - Parameter scale: of a decimal, as its field says it; -1: it doesn't.
    func write(
        _ kind: ProtobufSchema.Kind, _ inner: ProtobufSchema.Kind, scale: Int32, to text: PayloadText
    ) throws(SchemaTrouble) {
        switch kind {
        case .wrapper:
            let content = UnsafeRawBufferPointer(rebasing: bytes[stretch ?? 0..<0])
            switch inner {
            case .string: text.string(content)
            case .bytes: text.base64(content)
            default: ProtobufScalar.write(numbers[0], inner, to: text)
            }
        case .decimal: try decimal(declared: scale, to: text)
        case .date: text.integer(try days())
        case .timeOfDay: text.integer(try nanoseconds())
        case .timestamp: text.integer(try microseconds())
        default: text.null()
        }
    }

    /// `value`, `precision`, `scale`.
    private func decimal(declared: Int32, to text: PayloadText) throws(SchemaTrouble) {
        let scale = Int32(truncatingIfNeeded: numbers[2])
        if declared >= 0, scale != declared { throw SchemaTrouble("a decimal has another scale than its field says") }
        if declared < 0 {
            _ = text.arena.append(UnsafeRawBufferPointer("{\"scale\":" as StaticString))
            text.integer(Int64(scale))
            _ = text.arena.append(UnsafeRawBufferPointer(",\"value\":" as StaticString))
        }
        if let stretch, !stretch.isEmpty {
            text.base64(UnsafeRawBufferPointer(rebasing: bytes[stretch]))
        } else {
            // Zero, of which nothing is left on the wire.
            _ = text.arena.append(UnsafeRawBufferPointer("\"AA==\"" as StaticString))
        }
        if declared < 0 { text.arena.append(byte: 0x7D) }
    }

    /// `year`, `month`, `day` → days since 1970.
    private func days() throws(SchemaTrouble) -> Int64 {
        let (year, month, day) = (signed(0), signed(1), signed(2))
        guard (1...9999).contains(year), (1...12).contains(month), day >= 1,
            day <= Int64(CalendarText.daysInMonth(year: year, month: Int(month)))
        else { throw SchemaTrouble("a date isn't one") }
        return CalendarText.days(year: year, month: Int(month), day: Int(day))
    }

    /// `hours`, `minutes`, `seconds`, `nanos` since midnight.
    private func nanoseconds() throws(SchemaTrouble) -> Int64 {
        let (hours, minutes, seconds, nanos) = (signed(0), signed(1), signed(2), signed(3))
        guard (0...24).contains(hours), (0...59).contains(minutes), (0...60).contains(seconds),
            (0...999_999_999).contains(nanos)
        else { throw SchemaTrouble("a time of day isn't one") }
        return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos
    }

    /// `seconds` and `nanos` since 1970.
    private func microseconds() throws(SchemaTrouble) -> Int64 {
        let (seconds, nanos) = (signed(0), signed(1))
        // Protobuf's own limits: the years 1 to 9999.
        guard (-62_135_596_800...253_402_300_799).contains(seconds), (0...999_999_999).contains(nanos) else {
            throw SchemaTrouble("a timestamp isn't one")
        }
        guard nanos % 1000 == 0 else { throw SchemaTrouble("a timestamp has more digits than microseconds") }
        return seconds * 1_000_000 + nanos / 1000
    }
}

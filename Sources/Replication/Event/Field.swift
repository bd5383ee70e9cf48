/// One column's value in an event, without a heap object: a kind and either the value itself or a
/// stretch of the batch's arena.
///
/// The four states of a column are never confused: a value, `null`, `unchanged` (the source did not
/// send it because it did not change: TOAST) and `absent` (the event has no such column: an older schema).
package struct Field: Sendable {
    package enum Kind: UInt8, Sendable {
        /// The event doesn't have this column.
        case absent
        case null
        /// The source has a value and did not send it.
        case unchanged
        /// 0 or 1.
        case bool
        case int
        /// `bits` is the bit pattern of a Double.
        case double
        /// Days since 1970-01-01; `Int64.max` and `.min` are infinity and -infinity.
        case date
        /// Microseconds since midnight, 86400000000 for 24:00.
        case time
        /// Microseconds since 1970-01-01 00:00, infinities as for `date`.
        case timestamp
        /// The same, in UTC.
        case timestamptz
        /// UTF-8 in the arena: Postgres' own text form of the column's type.
        case text
        /// Raw bytes in the arena.
        case bytes
        /// JSON text in the arena: of a json column, of an array or a composite (its `to_jsonb` form), or of a column
        /// whose type nobody knows.
        case json
    }

    package var kind: Kind
    /// For text, bytes and json: the length in the arena.
    package var length: UInt32
    /// The value, or the offset in the arena.
    package var bits: Int64

    @inline(__always)
    package init(kind: Kind, length: UInt32 = 0, bits: Int64 = 0) {
        self.kind = kind
        self.length = length
        self.bits = bits
    }

    package static let absent = Field(kind: .absent)
    package static let null = Field(kind: .null)
    package static let unchanged = Field(kind: .unchanged)

    @inline(__always)
    package static func bool(_ value: Bool) -> Field { Field(kind: .bool, bits: value ? 1 : 0) }
    @inline(__always)
    package static func int(_ value: Int64) -> Field { Field(kind: .int, bits: value) }
    @inline(__always)
    package static func double(_ value: Double) -> Field {
        Field(kind: .double, bits: Int64(bitPattern: value.bitPattern))
    }
    /// A field of `kind` (text, bytes or json) whose bytes are `range`.
    @inline(__always)
    package static func stretch(_ kind: Kind, _ range: ByteRange) -> Field {
        Field(kind: kind, length: UInt32(truncatingIfNeeded: range.length), bits: Int64(range.offset))
    }

    /// Null or a value: something that the event knows.
    @inline(__always)
    package var isKnown: Bool { kind != .unchanged && kind != .absent }
    @inline(__always)
    package var inArena: Bool { kind.rawValue >= Kind.text.rawValue }
    @inline(__always)
    package var range: ByteRange { ByteRange(offset: Int(bits), length: Int(length)) }
    @inline(__always)
    package var double: Double { Double(bitPattern: UInt64(bitPattern: bits)) }
}

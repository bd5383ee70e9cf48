/// What an expectation says of one row.
package enum RowVerdict: Sendable, Equatable {
    case pass
    case fail
    /// There is no value to be looked at: it passes, and isn't among the rows that are counted.
    case null
    /// The event doesn't have the value: the column is unchanged, or absent.
    case unknown
}

/// What looking at rows needs beside them; kept from row to row, so that hardly one of them allocates. One to a thread.
package struct RowDesk {
    fileprivate let scratch = ByteArena(capacity: 256)
    private var searches: [ObjectIdentifier: PatternSearch] = [:]

    package init() {}

    fileprivate mutating func search(of program: PatternProgram) -> PatternSearch {
        let name = ObjectIdentifier(program)
        if let search = searches[name] { return search }
        // It holds the program, so that the name stays its own.
        let search = PatternSearch(program)
        searches[name] = search
        return search
    }
}

extension ColumnTest {
    /// The verdict on a field of the column; its bytes are in `arena`.
    package func verdict(_ field: Field, in arena: ByteArena, _ desk: inout RowDesk) -> RowVerdict {
        switch field.kind {
        case .absent, .unchanged: return .unknown
        case .null:
            if case .notNull = kind { return .fail }
            return .null
        default: break
        }
        let passes: Bool?
        switch kind {
        case .notNull: return .pass
        case .wholes(let range):
            passes = whole(field, arena).map { range.holds($0) { $0 > $1 ? 1 : $0 < $1 ? -1 : 0 } }
        case .inWholes(let values, let isIn):
            passes = whole(field, arena).map { value in
                Self.isFound(values.count) { values[$0] < value ? -1 : values[$0] > value ? 1 : 0 } == isIn
            }
        case .decimals(let range):
            passes = withText(field, arena, desk.scratch) { bytes in
                guard let value = DecimalOrder(bytes) else { return nil }
                return !value.isNaN && range.value.holds(value) { DecimalOrder.compare($0, $1.order) }
            }
        case .inDecimals(let values, let isIn):
            passes = withText(field, arena, desk.scratch) { bytes in
                guard let value = DecimalOrder(bytes) else { return nil }
                return Self.isFound(values.count) { DecimalOrder.compare(values[$0].order, value) } == isIn
            }
        case .floats(let range):
            passes = float(field, arena).map { value in
                !value.isNaN && range.holds(value) { $0 > $1 ? 1 : $0 < $1 ? -1 : 0 }
            }
        case .inFloats(let values, let isIn):
            passes = float(field, arena).map { value in
                values.contains { $0 == value || $0.isNaN && value.isNaN } == isIn
            }
        case .texts(let range):
            passes = withText(field, arena, desk.scratch) { bytes in range.value.holds(bytes) { Self.order($0, $1) } }
        case .inTexts(let values, let isIn):
            passes = withText(field, arena, desk.scratch) { bytes in
                Self.isFound(values.count) { -Self.order(bytes, values[$0]) } == isIn
            }
        case .matches(let pattern, let isMatch):
            passes = withText(field, arena, desk.scratch) { bytes in
                bytes.count <= RowPattern.text_bytes_max
                    && desk.search(of: pattern.value.program).isFound(in: bytes) == isMatch
            }
        case .length(let lengths):
            passes = withText(field, arena, desk.scratch) { bytes in
                var count = 0
                for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
                return count >= lengths.min ?? 0 && count <= lengths.max ?? .max
            }
        }
        // What is no value of the column's type comes into no row.
        guard let passes else { return .unknown }
        return passes ? .pass : .fail
    }

    // MARK: Values

    private func whole(_ field: Field, _ arena: ByteArena) -> Int64? {
        guard let type else { return nil }
        switch (type, field.kind) {
        case (.integer, .int), (.boolean, .bool), (.date, .date), (.time, .time), (.timestamp, .timestamp),
            (.timestamptz, .timestamptz):
            return field.bits
        case (.integer, .text): return Self.integer(arena.bytes(field.range))
        case (.integer, .double): return Int64(exactly: field.double)
        case (.boolean, .text): return FieldText.bool(arena.bytes(field.range)).map { $0 ? 1 : 0 }
        case (.boolean, .int): return field.bits == 0 ? 0 : 1
        case (_, .text): return type.calendar.flatMap { FieldJSONDecode.calendar(arena.bytes(field.range), $0)?.bits }
        default: return nil
        }
    }

    private static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        Int64(String(decoding: bytes, as: UTF8.self))
    }

    private func float(_ field: Field, _ arena: ByteArena) -> Double? {
        let isSingle = type == .float(isSingle: true)
        switch field.kind {
        case .double: return isSingle ? Double(Float(field.double)) : field.double
        case .int: return isSingle ? Double(Float(field.bits)) : Double(field.bits)
        case .text:
            let bytes = arena.bytes(field.range)
            return isSingle ? DoubleText.parseSingle(bytes) : DoubleText.parse(bytes)
        default: return nil
        }
    }

    /// The text that is compared.
    private func withText(
        _ field: Field, _ arena: ByteArena, _ scratch: ByteArena, _ body: (UnsafeRawBufferPointer) -> Bool?
    ) -> Bool? {
        FieldText.withPostgresText(field, columnType, in: arena, scratch: scratch) { bytes in
            switch type {
            case .padded:
                var length = bytes.count
                while length > 0, bytes[length - 1] == 0x20 { length -= 1 }
                return body(UnsafeRawBufferPointer(rebasing: bytes[..<length]))
            case .uuid:
                guard bytes.count == 36 else { return nil }
                return withUnsafeTemporaryAllocation(byteCount: 36, alignment: 1) { lowered in
                    for index in 0..<36 { lowered[index] = bytes[index].lowered }
                    return body(UnsafeRawBufferPointer(lowered))
                }
            default: return body(bytes)
            }
        }
    }

    // MARK: Orders

    private static func order(_ bytes: UnsafeRawBufferPointer, _ other: [UInt8]) -> Int {
        other.withUnsafeBytes { other in
            for index in 0..<min(bytes.count, other.count) where bytes[index] != other[index] {
                return bytes[index] < other[index] ? -1 : 1
            }
            return (bytes.count - other.count).signum()
        }
    }

    /// - Parameter order: of what stands at a place against what is looked for.
    private static func isFound(_ count: Int, _ order: (Int) -> Int) -> Bool {
        var (from, to) = (0, count)
        while from < to {
            let middle = (from + to) / 2
            switch order(middle) {
            case 0: return true
            case ..<0: from = middle + 1
            default: to = middle
            }
        }
        return false
    }
}

extension ColumnTest.Range {
    @inline(__always)
    fileprivate func holds<Other>(_ value: Other, _ order: (Other, Value) -> Int) -> Bool {
        if isEmpty { return false }
        if let min {
            let order = order(value, min.value)
            if order < 0 || order == 0 && min.isStrict { return false }
        }
        if let max {
            let order = order(value, max.value)
            if order > 0 || order == 0 && max.isStrict { return false }
        }
        return true
    }
}

import JSON
import Replication

/// Reads column values from an event's JSON into fields.
///
/// Text, bytes and JSON go to `arena`, the batch's; `scratch` holds what lasts no longer than one value.
final class ValueDecoder {
    @exclusivity(unchecked) var arena: ByteArena
    let scratch = ByteArena(capacity: 4096)
    /// One array element at a time.
    let elements = ByteArena(capacity: 256)
    @exclusivity(unchecked) var details: [PlanDetail] = []
    let hash: @Sendable (UnsafeRawBufferPointer, ByteArena) -> ByteRange
    /// For the documents inside of strings that hstore is.
    let inner: JSONParser

    init(hash: @escaping @Sendable (UnsafeRawBufferPointer, ByteArena) -> ByteRange) throws(JSONError) {
        self.hash = hash
        arena = ByteArena(capacity: 64)
        inner = try JSONParser()
    }

    /// The field of the value at `i`. A JSON null is null.
    @inline(__always)
    func field(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        if tape.isNull(i) { return .null }
        if plan.detail < 0 { return try read(tape, i, plan) }
        return try detailed(tape, i, plan)
    }

    private func detailed(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        let detail = details[Int(plan.detail)]
        if detail.converts, detail.target == .text, !detail.isHashed,
            let fine = try fineText(tape, i, plan, detail.natural)
        {
            return fine
        }
        let mark = arena.count
        let field = plan.operation == .array ? try array(tape, i, detail) : try read(tape, i, plan)
        if detail.isHashed { return hashed(field, detail, from: mark) }
        guard detail.converts else { return field }
        let converted = try convert(field, detail, from: mark)
        if let reason = FieldMisfit.reason(converted, detail.target, in: arena) { throw .judged(reason) }
        return converted
    }

    @inline(__always)
    private func read(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch plan.operation {
        case .string: return .stretch(.text, try text(tape, i))
        case .integer: return try integer(tape, i, plan)
        case .decimal: return try decimal(tape, i, plan)
        case .decimalBytes: return try decimalBytes(tape, i, plan)
        case .boolean: return try boolean(tape, i)
        case .zonedTimestamp: return try zonedTimestamp(tape, i)
        case .timestamp: return try timestamp(tape, i, plan)
        case .floating: return try floating(tape, i, plan)
        case .date: return try date(tape, i)
        case .json where !plan.isBinaryJSON: return .stretch(.json, whole(tape, i))
        default: return try readRare(tape, i, plan)
        }
    }

    private func readRare(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch plan.operation {
        case .time: return try time(tape, i, plan)
        case .zonedTime: return try zonedTime(tape, i)
        case .interval: return try interval(tape, i)
        case .uuid: return try uuid(tape, i)
        case .document: return try document(tape, i, plan)
        case .binary: return try binary(tape, i, plan.bytes)
        case .textBytes: return try textBytes(tape, i, plan.bytes)
        case .bits: return try bits(tape, i, length: Int(plan.parameter))
        case .variableDecimal: return try variableDecimal(tape, i, plan)
        case .hstore: return try hstore(tape, i)
        case .point: return try point(tape, i)
        case .loose: return try loose(tape, i)
        case .json: return try judged(.stretch(.json, whole(tape, i)), plan)
        default: throw .conversion
        }
    }

    // MARK: - Text

    /// A string's plain UTF-8.
    @inline(__always)
    func text(_ tape: JSONTape, _ i: Int) throws(Misfit) -> ByteRange {
        guard tape.kind(i) == .string else { throw .kind(tape.kind(i)) }
        if tape.isEscaped(i) { return try unescaped(tape, i, to: arena) }
        return arena.append(tape.rawValue(i))
    }

    func unescaped(_ tape: JSONTape, _ i: Int, to sink: ByteArena) throws(Misfit) -> ByteRange {
        let raw = tape.rawValue(i)
        guard tape.isEscaped(i) else { return sink.append(raw) }
        let range = sink.appendUninitialized(raw.count)
        guard let length = JSONString.unescape(raw, into: sink.base + range.offset) else {
            sink.truncate(to: range.offset)
            throw .surrogate
        }
        sink.truncate(to: range.offset + length)
        let plain = ByteRange(offset: range.offset, length: length)
        // Raw control characters aren't JSON, so a NUL can only have come as an escape.
        if sink.bytes(plain).contains(0) {
            sink.truncate(to: range.offset)
            throw .nul
        }
        return plain
    }

    /// The value as JSON, with a string's quotes.
    func whole(_ tape: JSONTape, _ i: Int) -> ByteRange {
        let raw = tape.rawValue(i)
        guard tape.kind(i) == .string, let base = raw.baseAddress else { return arena.append(raw) }
        return arena.append(UnsafeRawBufferPointer(start: base - 1, count: raw.count + 2))
    }

    private func loose(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .string: .stretch(.text, try text(tape, i))
        case .integer, .fraction, .true, .false: .stretch(.text, arena.append(tape.rawValue(i)))
        default: throw .kind(tape.kind(i))
        }
    }

    private func uuid(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        let range = try text(tape, i)
        let bytes = arena.mutableBytes(range)
        guard bytes.count == 36 else { throw .form }
        for k in 0..<36 {
            if k == 8 || k == 13 || k == 18 || k == 23 {
                guard bytes[k] == 0x2D else { throw .form }
            } else {
                guard hexValue(bytes[k]) != nil else { throw .form }
                // Digits have the bit already.
                bytes[k] |= 0x20
            }
        }
        return .stretch(.text, range)
    }

    /// A json column: a string that holds the document, or the document itself.
    private func document(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        guard tape.kind(i) == .string else { return .stretch(.json, whole(tape, i)) }
        return try judged(.stretch(.json, try text(tape, i)), plan)
    }

    private func judged(_ field: Field, _ plan: ColumnPlan) throws(Misfit) -> Field {
        if let reason = FieldMisfit.reason(field, plan.isBinaryJSON ? .jsonb : .json, in: arena) {
            throw .judged(reason)
        }
        return field
    }

    // MARK: - Numbers

    @inline(__always)
    private func boolean(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .true: return .bool(true)
        case .false: return .bool(false)
        case .integer:
            // MySQL's boolean is a tinyint.
            guard let value = tape.int64(i), value == 0 || value == 1 else { throw .outOfRange }
            return .bool(value == 1)
        default: throw .kind(tape.kind(i))
        }
    }

    @inline(__always)
    private func integer(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        guard let value = tape.int64(i) else {
            throw tape.kind(i) == .integer ? .outOfRange : .kind(tape.kind(i))
        }
        let fits =
            switch plan.form {
            case .smallint: Int16(exactly: value) != nil
            case .integer: Int32(exactly: value) != nil
            default: true
            }
        guard fits else { throw .outOfRange }
        return .int(value)
    }

    private func floating(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        let raw = tape.rawValue(i)
        switch tape.kind(i) {
        case .integer, .fraction: break
        case .string:
            // JSON has no number for these.
            guard let parts = DecimalParts(raw), parts.kind != .finite else { throw .form }
        default: throw .kind(tape.kind(i))
        }
        let value = plan.form == .real ? DoubleText.parseSingle(raw) : DoubleText.parse(raw)
        guard let value else { throw .outOfRange }
        return .double(value)
    }
}

import JSON
import Replication

/// Exact decimals, in the four forms that Debezium writes them.
extension ValueDecoder {
    func decimal(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .integer, .fraction:
            return try digits(tape.rawValue(i), plan)
        case .string:
            let raw = tape.rawValue(i)
            if let special = try special(raw, plan) { return special }
            let isBase64 =
                switch plan.decimals {
                case .automatic: plan.parameter >= 0 && Base64.matches(raw)
                case .precise: plan.parameter >= 0
                case .string, .double: false
                }
            return isBase64 ? try unscaled(raw, scale: Int(plan.parameter), plan) : try digits(raw, plan)
        case .object:
            return try variableDecimal(tape, i, plan)
        default:
            throw .kind(tape.kind(i))
        }
    }

    /// Base64, as a schema says; a number where a header of a key change writes it, or `decimal.format=NUMERIC`.
    func decimalBytes(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .string: try unscaled(tape.rawValue(i), scale: Int(plan.parameter), plan)
        case .integer, .fraction: try digits(tape.rawValue(i), plan)
        default: throw .kind(tape.kind(i))
        }
    }

    /// `{"scale":19,"value":"…"}`.
    func variableDecimal(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .integer, .fraction: return try digits(tape.rawValue(i), plan)
        case .string:
            if let special = try special(tape.rawValue(i), plan) { return special }
            return try digits(tape.rawValue(i), plan)
        case .object: break
        default: throw .kind(tape.kind(i))
        }
        guard let scaleAt = tape.find("scale", in: i), let scale = tape.int64(scaleAt),
            let value = tape.find("value", in: i), let scale = Int32(exactly: scale)
        else { throw .form }
        switch tape.kind(value) {
        case .string: return try unscaled(tape.rawValue(value), scale: Int(scale), plan)
        case .integer, .fraction: return try digits(tape.rawValue(value), plan)
        default: throw .form
        }
    }

    private func unscaled(_ raw: UnsafeRawBufferPointer, scale: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        let mark = scratch.count
        defer { scratch.truncate(to: mark) }
        guard let bytes = Base64.append(raw, to: scratch) else { throw .base64 }
        // numeric(4,-2) says scale 2046: eleven bits, of which the highest is the sign.
        if scale >= 1024 && scale < 2048 && plan.precision < 0 || plan.scale < 0 {
            guard let long = DecimalText.append(twosComplement: scratch.bytes(bytes), scale: scale, to: scratch),
                let range = DecimalText.appendNormalized(long, of: scratch, to: arena)
            else { throw .form }
            return try fitted(range, plan)
        }
        guard let range = DecimalText.append(twosComplement: scratch.bytes(bytes), scale: scale, to: arena) else {
            throw .form
        }
        return try fitted(range, plan)
    }

    /// A number's text, in the form in which Postgres prints it.
    private func digits(_ raw: UnsafeRawBufferPointer, _ plan: ColumnPlan) throws(Misfit) -> Field {
        if plan.scale >= 0, isPlain(raw) { return try fitted(arena.append(raw), plan) }
        let mark = scratch.count
        defer { scratch.truncate(to: mark) }
        let text = scratch.append(raw)
        let range =
            plan.scale < 0
            ? DecimalText.appendNormalized(text, of: scratch, to: arena)
            : DecimalText.appendPlain(text, of: scratch, to: arena)
        guard let range else { throw .form }
        return try fitted(range, plan)
    }

    /// Digits with at most one point, as Postgres would print them.
    private func isPlain(_ raw: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        let count = raw.count
        if count > 1, raw[0] == 0x2D {
            // `-0.00` loses its sign.
            if raw[1] == 0x30 { return false }
            at = 1
        }
        let start = at
        while at < count, raw[at] &- 0x30 < 10 { at += 1 }
        guard at > start, at == start + 1 || raw[start] != 0x30 else { return false }
        if at == count { return true }
        guard raw[at] == 0x2E else { return false }
        at += 1
        let fraction = at
        while at < count, raw[at] &- 0x30 < 10 { at += 1 }
        return at == count && at > fraction
    }

    /// Tests a constrained numeric's digits and adds the zeros that its scale wants. `range` is the arena's end.
    private func fitted(_ range: ByteRange, _ plan: ColumnPlan) throws(Misfit) -> Field {
        guard plan.precision >= 0, plan.form == .numeric else { return .stretch(.text, range) }
        let bytes = arena.bytes(range)
        let sign = bytes[0] == 0x2D ? 1 : 0
        var point = sign
        while point < bytes.count, bytes[point] != 0x2E { point += 1 }
        let whole = bytes[sign] == 0x30 ? 0 : point - sign
        let fraction = max(0, bytes.count - point - 1)
        let scale = Int(plan.scale)
        if scale < 0 || whole > Int(plan.precision) - scale || fraction > scale {
            guard let parts = DecimalParts(bytes), fits(parts, bytes, plan) else { throw .digits }
        }
        if fraction >= scale { return .stretch(.text, fraction > max(scale, 0) ? cut(range, to: point, plan) : range) }
        if fraction == 0 { arena.append(byte: 0x2E) }
        for _ in fraction..<scale { arena.append(byte: 0x30) }
        return .stretch(.text, ByteRange(offset: range.offset, length: arena.count - range.offset))
    }

    private func fits(_ parts: DecimalParts, _ bytes: UnsafeRawBufferPointer, _ plan: ColumnPlan) -> Bool {
        guard parts.kind == .finite else { return parts.kind == .nan }
        let needed = parts.digitsNeeded(in: bytes)
        let scale = Int(plan.scale)
        if scale < 0 { return needed.whole <= Int(plan.precision) - scale && needed.fraction == 0 }
        return needed.whole <= max(0, Int(plan.precision) - scale) && needed.fraction <= scale
    }

    /// Drops zeros behind the scale.
    private func cut(_ range: ByteRange, to point: Int, _ plan: ColumnPlan) -> ByteRange {
        let length = plan.scale > 0 ? point + 1 + Int(plan.scale) : point
        arena.truncate(to: range.offset + length)
        return ByteRange(offset: range.offset, length: length)
    }

    /// What has no digits, in the words of each mode.
    private func special(_ raw: UnsafeRawBufferPointer, _ plan: ColumnPlan) throws(Misfit) -> Field? {
        guard let first = raw.first, first == 0x4E || first == 0x50 || first == 0x49 || first == 0x2D else {
            return nil
        }
        func matches(_ word: StaticString) -> Bool {
            raw.elementsEqual(UnsafeRawBufferPointer(word))
        }
        if matches("NAN") || matches("NaN") { return put("NaN") }
        let isInfinite = matches("POSITIVE_INFINITY") || matches("Infinity")
        guard isInfinite || matches("NEGATIVE_INFINITY") || matches("-Infinity") else { return nil }
        // Only an unconstrained numeric has them.
        if plan.precision >= 0 { throw .digits }
        return put(isInfinite ? "Infinity" : "-Infinity")
    }

    private func put(_ word: StaticString) -> Field { .stretch(.text, arena.append(UnsafeRawBufferPointer(word))) }
}

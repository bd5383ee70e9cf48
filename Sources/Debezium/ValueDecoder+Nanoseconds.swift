import JSON
import Replication

/// Times finer than a microsecond, which neither warehouse's types hold: in a text column they keep their digits.
extension ValueDecoder {
    /// Nil for what microseconds hold.
    func fineText(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan, _ natural: ColumnType) throws(Misfit) -> Field? {
        switch (plan.operation, tape.kind(i)) {
        case (.timestamp, .integer), (.time, .integer):
            guard plan.parameter == 1, let value = tape.int64(i), value % 1000 != 0 else { return nil }
            let (seconds, rest) = value.quotientAndRemainder(dividingBy: 1_000_000_000)
            let (second, nanoseconds) = rest < 0 ? (seconds - 1, rest + 1_000_000_000) : (seconds, rest)
            guard plan.operation == .timestamp || (0..<86_400).contains(second) else { throw .outOfRange }
            let digits = String(String(nanoseconds + 1_000_000_000).dropFirst())
            return try text(ofSecond: second * 1_000_000, natural, digits: Array(digits.utf8))
        case (.timestamp, .string), (.time, .string), (.zonedTimestamp, .string):
            let raw = tape.rawValue(i)
            guard let dot = raw.firstIndex(of: 0x2E) else { return nil }
            let digits = raw[(dot + 1)...].prefix { $0 &- 0x30 < 10 }
            guard digits.count > 6, digits.dropFirst(6).contains(where: { $0 != 0x30 }) else { return nil }
            let whole = Array(raw[..<dot]) + Array(raw[digits.endIndex...])
            let moment = whole.withUnsafeBytes { bytes in
                switch plan.operation {
                case .time: CalendarParse.time(bytes)
                case .timestamp: CalendarParse.timestamp(bytes)
                default: CalendarParse.timestamptz(bytes)
                }
            }
            guard let moment, moment != .max, moment != .min else { return nil }
            return try text(ofSecond: moment, natural, digits: Array(digits))
        default: return nil
        }
    }

    private func text(ofSecond moment: Int64, _ natural: ColumnType, digits: [UInt8]) throws(Misfit) -> Field {
        let kind: Field.Kind =
            switch natural {
            case .time: .time
            case .timestamptz: .timestamptz
            default: .timestamp
            }
        let mark = scratch.count
        defer { scratch.truncate(to: mark) }
        let range = FieldText.appendPostgresText(Field(kind: kind, bits: moment), natural, from: arena, to: scratch)
        let text = Array(scratch.bytes(range))
        // Behind the seconds, and before a zone.
        let end = kind == .timestamptz ? text.lastIndex(of: 0x2B) ?? text.endIndex : text.endIndex
        guard text.last != 0x43, end > 0, text[end - 1] &- 0x30 < 10 else { throw .digits }
        var fraction = digits
        while fraction.last == 0x30 { fraction.removeLast() }
        let whole = text[..<end] + [0x2E] + fraction + text[end...]
        return .stretch(.text, whole.withUnsafeBytes { arena.append($0) })
    }
}

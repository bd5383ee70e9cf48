import JSON
import Replication

/// Dates and times: integers in the unit that the plan knows, or ISO 8601 text.
extension ValueDecoder {
    // What pgjdbc makes of infinity; the timestamps' in milliseconds.
    private static let infiniteDate: Int64 = -2_147_472_692
    private static let negativeInfiniteDate: Int64 = -2_147_472_691
    private static let infinite_ms: Int64 = 9_223_372_036_825_200
    private static let negativeInfinite_ms: Int64 = -9_223_372_036_832_400

    /// In the mode `isostring`; before any calendar's beginning.
    private static let negativeInfinity: StaticString = "-290308-12-21T19:59:27.6"

    /// Postgres' first day, 4714-11-24 BC, and last.
    private static let days = Int64(-2_440_588)...2_145_042_905
    private static let first_us: Int64 = -210_866_803_200_000_000

    func date(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        let days: Int64
        switch tape.kind(i) {
        case .integer:
            guard let value = tape.int64(i) else { throw .outOfRange }
            days = value
        case .string:
            guard let value = CalendarParse.date(tape.rawValue(i)) else { throw .form }
            if value == .max || value == .min { return Field(kind: .date, bits: value) }
            days = value
        default: throw .kind(tape.kind(i))
        }
        if days == Self.infiniteDate { return Field(kind: .date, bits: .max) }
        if days == Self.negativeInfiniteDate { return Field(kind: .date, bits: .min) }
        guard Self.days.contains(days) else { throw .outOfRange }
        return Field(kind: .date, bits: days)
    }

    func time(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        let time: Int64
        switch tape.kind(i) {
        case .integer: time = try microseconds(tape, i, plan)
        case .string:
            guard let value = CalendarParse.time(tape.rawValue(i)) else { throw .form }
            time = value
        default: throw .kind(tape.kind(i))
        }
        guard (0...CalendarText.day_us).contains(time) else { throw .outOfRange }
        return Field(kind: .time, bits: time)
    }

    func timestamp(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .integer:
            // The constants stand in whatever unit the column has.
            if let value = tape.int64(i), plan.parameter == 1_000_000 || plan.parameter == 1000 {
                let scaled = plan.parameter == 1000 ? value / 1000 : value
                if scaled == Self.infinite_ms { return Field(kind: .timestamp, bits: .max) }
                if scaled == Self.negativeInfinite_ms { return Field(kind: .timestamp, bits: .min) }
            }
            return try moment(try microseconds(tape, i, plan), plan)
        case .string:
            let raw = tape.rawValue(i)
            if raw.starts(with: UnsafeRawBufferPointer(Self.negativeInfinity)) {
                return Field(kind: .timestamp, bits: .min)
            }
            guard let value = CalendarParse.timestamp(raw) else { throw .form }
            if value == .max || value == .min { return Field(kind: .timestamp, bits: value) }
            return try moment(value, plan)
        default: throw .kind(tape.kind(i))
        }
    }

    func zonedTimestamp(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        guard tape.kind(i) == .string else { throw .kind(tape.kind(i)) }
        guard let value = CalendarParse.timestamptz(tape.rawValue(i)) else { throw .form }
        if value == .max || value == .min { return Field(kind: .timestamptz, bits: value) }
        guard value >= Self.first_us else { throw .outOfRange }
        return Field(kind: .timestamptz, bits: value)
    }

    private func moment(_ value: Int64, _ plan: ColumnPlan) throws(Misfit) -> Field {
        switch value / 1000 {
        case Self.infinite_ms: return Field(kind: .timestamp, bits: .max)
        case Self.negativeInfinite_ms: return Field(kind: .timestamp, bits: .min)
        default: break
        }
        guard value >= Self.first_us, value != .max else { throw .outOfRange }
        if plan.precision >= 0 {
            var unit_us: Int64 = 1
            for _ in plan.precision..<6 { unit_us *= 10 }
            guard value % unit_us == 0 else { throw .digits }
        }
        return Field(kind: .timestamp, bits: value)
    }

    private func microseconds(_ tape: JSONTape, _ i: Int, _ plan: ColumnPlan) throws(Misfit) -> Int64 {
        guard let value = tape.int64(i) else { throw .outOfRange }
        switch plan.parameter {
        case 0: throw .unitNotTold
        case 1000: return value
        case 1_000_000:
            let (product, overflow) = value.multipliedReportingOverflow(by: 1000)
            guard !overflow else { throw .outOfRange }
            return product
        default:
            // Postgres holds no finer time.
            guard value % 1000 == 0 else { throw .digits }
            return value / 1000
        }
    }

    /// `07:44:15.123456Z`, as Postgres writes it: `07:44:15.123456+00`.
    func zonedTime(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        guard tape.kind(i) == .string else { throw .kind(tape.kind(i)) }
        guard let (time, east) = CalendarParse.timetz(tape.rawValue(i)) else { throw .form }
        let range = arena.appendUninitialized(CalendarText.length_max)
        let out = arena.base + range.offset
        var at = CalendarText.writeTime(time, to: out)
        out.storeBytes(of: east < 0 ? 0x2D : 0x2B, toByteOffset: at, as: UInt8.self)
        // hh, hh:mm or hh:mm:ss: the time's own writer, cut to what isn't 0.
        let offset = Int64(east.magnitude)
        let length = CalendarText.writeTime(offset * 1_000_000, to: out + at + 1)
        at += 1 + (offset % 3600 == 0 ? 2 : offset % 60 == 0 ? 5 : length)
        arena.truncate(to: range.offset + at)
        return .stretch(.text, ByteRange(offset: range.offset, length: at))
    }

    // MARK: - Intervals

    /// Microseconds (months are lost at the source), or `P1Y2M3DT4H5M6.789012S`; as Postgres prints it.
    func interval(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        let interval: IntervalParts
        switch tape.kind(i) {
        case .integer:
            guard let value = tape.int64(i) else { throw .outOfRange }
            interval = IntervalParts(time_us: value)
        case .string:
            guard let value = IntervalParts(tape.rawValue(i)) else { throw .form }
            guard Int32(exactly: value.months) != nil, Int32(exactly: value.days) != nil else { throw .outOfRange }
            interval = value
        default: throw .kind(tape.kind(i))
        }
        return .stretch(.text, arena.append(interval.postgresText))
    }
}

extension IntervalParts {
    /// Postgres' default style: `1 year 2 mons 3 days 04:05:06.789012`, `-1 mons -1 days -00:00:00.000001`.
    fileprivate var postgresText: String {
        var text = ""
        var isBefore = false
        for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] where value != 0 {
            if !text.isEmpty { text += " " }
            text += (isBefore && value > 0 ? "+" : "") + "\(value) \(unit)" + (value == 1 ? "" : "s")
            isBefore = value < 0
        }
        guard time_us != 0 || text.isEmpty else { return text }
        if !text.isEmpty { text += " " }
        text += time_us < 0 ? "-" : isBefore ? "+" : ""
        let seconds = time_us.magnitude / 1_000_000
        let fraction = time_us.magnitude % 1_000_000
        func two(_ value: UInt64) -> String { (value < 10 ? "0" : "") + String(value) }
        text += "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
        if fraction > 0 {
            var digits = String(fraction + 1_000_000).dropFirst()
            while digits.last == "0" { digits.removeLast() }
            text += "." + digits
        }
        return text
    }
}

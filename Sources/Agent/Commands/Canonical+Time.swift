import Foundation

extension Canonical {
    /// `0044-03-15 BC` however the era is written.
    static func era(_ text: String) -> String {
        let lowered = text.lowercased()
        if lowered == "infinity" || lowered == "-infinity" { return lowered }
        return text.replacingOccurrences(of: " (BC)", with: " BC")
    }

    /// Without zeros at the fraction's end.
    static func clock(_ text: String) -> String {
        guard text.contains(".") else { return text }
        var text = text[...]
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return String(text)
    }

    static func offsetClock(_ text: String) -> String {
        guard let (clockText, offset_s) = splitOffset(text) else { return text }
        return "\(clock(clockText))\(offset_s < 0 ? "" : "+")\(offset_s)s"
    }

    static func wallTime(_ text: String) -> String {
        let (plain, isBC) = withoutEra(text)
        guard let mark = plain.firstIndex(where: { $0 == "T" || $0 == " " }) else { return era(text) }
        return "\(plain[..<mark]) \(clock(String(plain[plain.index(after: mark)...])))\(isBC ? " BC" : "")"
    }

    /// Microseconds since 1970; the text itself where it isn't a time.
    static func instant(_ text: String) -> String {
        let (plain, isBC) = withoutEra(text)
        guard let mark = plain.firstIndex(where: { $0 == "T" || $0 == " " }) else { return era(text) }
        let date = plain[..<mark].split(separator: "-", omittingEmptySubsequences: false)
        guard date.count == 3, let year = Int64(date[0]), let month = Int64(date[1]), let day = Int64(date[2]),
            let (time, offset_s) = splitOffset(String(plain[plain.index(after: mark)...])),
            let time_us = microseconds(time)
        else { return text }
        let days = Moment.days(year: isBC ? 1 - year : year, month: month, day: day)
        // Postgres' last years are beyond 64 bits of these.
        return "\(Int128(days) * 86_400_000_000 + Int128(time_us) - Int128(offset_s) * 1_000_000)us"
    }

    private static func withoutEra(_ text: String) -> (String, isBC: Bool) {
        if text.hasSuffix(" BC") { return (String(text.dropLast(3)), true) }
        // DuckDB has it between date and time.
        return text.contains(" (BC)") ? (text.replacing(" (BC)", with: ""), true) : (text, false)
    }

    /// `12:00:00+05:30` as clock and seconds east; without an offset it is UTC.
    private static func splitOffset(_ text: String) -> (clock: String, offset_s: Int)? {
        if text.hasSuffix("Z") { return (String(text.dropLast()), 0) }
        guard let mark = text.lastIndex(where: { $0 == "+" || $0 == "-" }) else { return (text, 0) }
        let parts = text[text.index(after: mark)...].split(separator: ":").map { Int($0) }
        var seconds = 0
        for (part, unit) in zip(parts, [3600, 60, 1]) {
            guard let part else { return nil }
            seconds += part * unit
        }
        let clock = text[..<mark].trimmingCharacters(in: .whitespaces)
        return (clock, text[mark] == "-" ? -seconds : seconds)
    }

    /// Wide enough for the longest interval.
    static func microseconds(_ clock: String) -> Int128? {
        let halves = clock.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = halves[0].split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
        guard parts.count == 3, let hours = parts[0], let minutes = parts[1], let seconds = parts[2] else { return nil }
        var fraction = halves.count > 1 ? String(halves[1].prefix(6)) : ""
        while fraction.count < 6 { fraction += "0" }
        guard let fraction_us = Int64(fraction) else { return nil }
        return ((Int128(hours) * 60 + Int128(minutes)) * 60 + Int128(seconds)) * 1_000_000 + Int128(fraction_us)
    }
}

/// `1 year 2 mons 3 days 04:05:06.789`, as Postgres and DuckDB write it.
struct IntervalReading {
    private var months: Int64 = 0
    private var days: Int64 = 0
    private var time_us: Int128 = 0

    init?(_ text: String) {
        var number: Int64?
        for word in text.split(separator: " ") {
            if word.contains(":") {
                let isNegative = word.hasPrefix("-")
                let clock = word.drop { $0 == "-" || $0 == "+" }
                guard number == nil, let time = Canonical.microseconds(String(clock)) else { return nil }
                time_us += isNegative ? -time : time
            } else if let value = number {
                switch word.hasSuffix("s") ? word.dropLast() : word {
                case "year": months += 12 * value
                case "mon", "month": months += value
                case "day": days += value
                default: return nil
                }
                number = nil
            } else {
                guard let value = Int64(word) else { return nil }
                number = value
            }
        }
        if number != nil { return nil }
    }

    var text: String { "\(months)mon \(days)d \(time_us)us" }
}

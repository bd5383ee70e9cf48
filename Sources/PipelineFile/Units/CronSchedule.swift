/// A cron expression: minute, hour, day of the month, month, day of the week, in UTC; each `*`, numbers, ranges, lists and
/// steps (`*/15`, `1-5`, `0,30`), months and days also by the first three letters of their English names. `@hourly`, `@daily`,
/// `@weekly` and `@monthly` stand for the usual ones. Where both days are given, either counts.
package struct CronSchedule: Sendable, Equatable {
    package let text: String
    private let minutes: Set<Int>
    private let hours: Set<Int>
    private let days: Set<Int>
    private let months: Set<Int>
    private let weekdays: Set<Int>
    private let hasDays: Bool
    private let hasWeekdays: Bool

    private static let words = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    ]
    private static let monthNames = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]
    private static let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    /// Nil: it isn't one.
    package init?(_ text: String) {
        self.text = text
        let fields = (Self.words[text] ?? text).split(separator: " ").map(String.init)
        guard fields.count == 5, let minutes = Self.numbers(fields[0], 0...59),
            let hours = Self.numbers(fields[1], 0...23),
            let days = Self.numbers(fields[2], 1...31),
            let months = Self.numbers(fields[3], 1...12, Self.monthNames, from: 1),
            let weekdays = Self.numbers(fields[4], 0...7, Self.dayNames, from: 0)
        else { return nil }
        self.minutes = minutes
        self.hours = hours
        self.days = days
        self.months = months
        self.weekdays = Set(weekdays.map { $0 % 7 })
        hasDays = !fields[2].hasPrefix("*")
        hasWeekdays = !fields[4].hasPrefix("*")
    }

    private static func numbers(
        _ field: String, _ range: ClosedRange<Int>, _ names: [String] = [], from first: Int = 0
    ) -> Set<Int>? {
        func number(_ text: Substring) -> Int? {
            if let index = names.firstIndex(of: text.lowercased()) { return index + first }
            guard !text.isEmpty, text.utf8.count <= 2, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
                return nil
            }
            return Int(text)
        }
        var found: Set<Int> = []
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
            let steps = part.split(separator: "/", omittingEmptySubsequences: false)
            guard steps.count <= 2, let step = steps.count == 2 ? number(steps[1]) : 1, step > 0 else { return nil }
            let ends = steps[0].split(separator: "-", omittingEmptySubsequences: false)
            let span: ClosedRange<Int>
            if steps[0] == "*" {
                span = range
            } else if ends.count == 2, let low = number(ends[0]), let high = number(ends[1]), low <= high {
                span = low...high
            } else if ends.count == 1, let one = number(ends[0]) {
                span = steps.count == 2 ? one...max(one, range.upperBound) : one...one
            } else {
                return nil
            }
            guard range.contains(span.lowerBound), range.contains(span.upperBound) else { return nil }
            found.formUnion(stride(from: span.lowerBound, through: span.upperBound, by: step))
        }
        return found.isEmpty ? nil : found
    }

    /// The first time behind another, both in seconds since 1970; nil: there is none within eight years, as of a 30 February.
    package func next(after time_s: Int64) -> Int64? {
        let first = (Self.floor(time_s, 60) + 1) * 60
        var day = Self.floor(first, 86_400)
        for _ in 0..<(8 * 366) {
            defer { day += 1 }
            guard isDue(day: day) else { continue }
            for hour in hours.sorted() {
                for minute in minutes.sorted() {
                    let time = day * 86_400 + Int64(hour * 3600 + minute * 60)
                    if time >= first { return time }
                }
            }
        }
        return nil
    }

    private func isDue(day: Int64) -> Bool {
        let (month, dayOfMonth) = Self.date(day)
        guard months.contains(month) else { return false }
        // 1 January 1970 was a Thursday.
        let weekday = Int(((day + 4) % 7 + 7) % 7)
        switch (hasDays, hasWeekdays) {
        case (true, true): return days.contains(dayOfMonth) || weekdays.contains(weekday)
        default: return days.contains(dayOfMonth) && weekdays.contains(weekday)
        }
    }

    private static func floor(_ a: Int64, _ b: Int64) -> Int64 { a >= 0 ? a / b : -((-a + b - 1) / b) }

    /// Of a day since 1970, in the proleptic Gregorian calendar (years that begin in March, eras of 400 of them).
    private static func date(_ day: Int64) -> (month: Int, day: Int) {
        let shifted = day + 719_468
        let ofEra = shifted - floor(shifted, 146_097) * 146_097
        let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        return (Int(month < 10 ? month + 3 : month - 9), Int(ofYear - (153 * month + 2) / 5 + 1))
    }
}

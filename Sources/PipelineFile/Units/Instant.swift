/// µs since 1970 of a moment as ISO 8601 and databases write it, in UTC where it has no zone; nil where it is none.
package func microseconds(ofMoment text: String) -> Int64? { Instant(text)?.microseconds }

/// A moment, read from ISO 8601 as databases write it: `2026-05-01`, `2026-05-01T10:00`,
/// `2026-05-01 10:00:00.123456+02`, `2026-05-01T08:00:00Z`. Without a zone it is UTC.
struct Instant: Equatable, Comparable {
    /// Since 1970, of the proleptic Gregorian calendar.
    var seconds: Int64
    var nanoseconds: Int64

    static func < (left: Instant, right: Instant) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }

    init?(_ text: String) {
        var text = text
        guard let instant = text.withUTF8({ Instant(UnsafeRawBufferPointer($0)) }) else { return nil }
        self = instant
    }

    /// nil where the bytes are no date or date and time of the years 0000 to 9999.
    init?(_ bytes: UnsafeRawBufferPointer) {
        var scanner = Scanner(bytes: bytes)
        guard let year = scanner.digits(4), scanner.skip("-"), let month = scanner.digits(2), scanner.skip("-"),
            let day = scanner.digits(2), (1...12).contains(month), day >= 1,
            day <= Self.days(inMonth: month, of: year)
        else { return nil }
        seconds = Self.days(year: year, month: month, day: day) * 86_400
        nanoseconds = 0
        if scanner.isAtEnd { return }
        guard scanner.skip("T") || scanner.skip("t") || scanner.skip(" "), let hour = scanner.digits(2),
            scanner.skip(":"), let minute = scanner.digits(2), hour <= 24, minute <= 59
        else { return nil }
        seconds += hour * 3_600 + minute * 60
        if scanner.skip(":") {
            guard let second = scanner.digits(2), second <= 60 else { return nil }
            seconds += second
            if scanner.skip(".") || scanner.skip(",") {
                guard let fraction = scanner.fraction() else { return nil }
                nanoseconds = fraction
            }
        }
        guard let offset_s = scanner.zone(), scanner.isAtEnd else { return nil }
        seconds -= offset_s
    }

    /// µs since 1970; finer digits are cut.
    var microseconds: Int64 { seconds * 1_000_000 + nanoseconds / 1000 }

    private static func days(inMonth month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01, counted in 400-year eras of years that begin in March.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private struct Scanner {
        let bytes: UnsafeRawBufferPointer
        var at = 0

        init(bytes: UnsafeRawBufferPointer) {
            self.bytes = bytes
        }

        var isAtEnd: Bool { at == bytes.count }

        mutating func skip(_ character: Unicode.Scalar) -> Bool {
            guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        mutating func digits(_ count: Int) -> Int64? {
            guard at + count <= bytes.count else { return nil }
            var value: Int64 = 0
            for index in at..<at + count {
                guard let digit = Self.digit(bytes[index]) else { return nil }
                value = value * 10 + digit
            }
            at += count
            return value
        }

        /// Nanoseconds; finer digits are cut.
        mutating func fraction() -> Int64? {
            let start = at
            var value: Int64 = 0
            while at < bytes.count, let digit = Self.digit(bytes[at]) {
                if at - start < 9 { value = value * 10 + digit }
                at += 1
            }
            guard at > start else { return nil }
            for _ in 0..<max(0, 9 - (at - start)) { value *= 10 }
            return value
        }

        /// Seconds east of UTC: nothing, `Z`, `+02`, `+0200`, `+02:00`, `+02:00:30`.
        mutating func zone() -> Int64? {
            if isAtEnd || skip("Z") || skip("z") { return 0 }
            let sign: Int64 = skip("+") ? 1 : skip("-") ? -1 : 0
            guard sign != 0, let hours = digits(2) else { return nil }
            var offset_s = hours * 3_600
            if isAtEnd { return sign * offset_s }
            _ = skip(":")
            guard let minutes = digits(2) else { return nil }
            offset_s += minutes * 60
            if skip(":") {
                guard let seconds = digits(2) else { return nil }
                offset_s += seconds
            }
            return sign * offset_s
        }

        private static func digit(_ byte: UInt8) -> Int64? {
            byte >= 0x30 && byte <= 0x39 ? Int64(byte - 0x30) : nil
        }
    }
}

/// Reads dates and times as Postgres, `to_jsonb`, ISO 8601 and Debezium write them.
///
/// Everything here returns nil for what isn't such a text, for a date that doesn't exist, and for what a
/// `Field` can't hold exactly: digits other than 0 beyond the microsecond, or a timestamp behind the year
/// 294246. Years may be signed (`-0043`, ISO: 0 is 1 BC) or have ` BC` at the end of the text
/// (Postgres: `0044-03-15 BC`).
package enum CalendarParse {
    /// Days since 1970-01-01, from `2024-02-29`, also with a `Z` behind it.
    package static func date(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        if let infinity = infinity(bytes) { return infinity }
        var scan = CalendarScan(bytes)
        guard var day = scan.day() else { return nil }
        _ = scan.take(0x5A)
        guard scan.era(&day) else { return nil }
        let days = CalendarText.days(year: day.year, month: day.month, day: day.day)
        return days
    }

    /// Microseconds since midnight, up to 86400000000 for `24:00:00`. `Z` and a zero offset are allowed.
    package static func time(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var scan = CalendarScan(bytes)
        guard let time = scan.time(), scan.atEnd || scan.offset() == 0 && scan.atEnd else { return nil }
        return time
    }

    /// A time with an offset: microseconds since midnight as shown, and seconds east of UTC.
    package static func timetz(_ bytes: UnsafeRawBufferPointer) -> (time_us: Int64, east_s: Int64)? {
        var scan = CalendarScan(bytes)
        guard let time = scan.time(), let east = scan.offset(), scan.atEnd else { return nil }
        return (time, east)
    }

    /// Microseconds since 1970-01-01 00:00, from `2024-02-29 12:34:56.5` or with a `T`. `Z` and a zero
    /// offset are allowed, another isn't: it would say another time than is shown.
    package static func timestamp(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        moment(bytes, zoned: false)
    }

    /// Microseconds since 1970-01-01 00:00 UTC. There must be `Z` or an offset: `+02`, `+0230`, `+02:30`, `+02:30:15`.
    package static func timestamptz(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        moment(bytes, zoned: true)
    }

    private static func moment(_ bytes: UnsafeRawBufferPointer, zoned: Bool) -> Int64? {
        var scan = CalendarScan(bytes)
        var day: CalendarScan.Day
        var time: Int64
        if let common = scan.commonMoment() {
            (day, time) = common
        } else {
            guard let first = scan.day() else { return infinity(bytes) }
            guard scan.take(0x54) || scan.take(0x20) || scan.take(0x74), let rest = scan.time() else { return nil }
            (day, time) = (first, rest)
        }
        var east: Int64 = 0
        if scan.atEnd || scan.peek == 0x20 {
            if zoned { return nil }
        } else {
            guard let offset = scan.offset(), zoned || offset == 0 else { return nil }
            east = offset
        }
        guard scan.era(&day) else { return nil }
        let days = CalendarText.days(year: day.year, month: day.month, day: day.day)
        let (whole, tooLong) = days.multipliedReportingOverflow(by: CalendarText.day_us)
        let (sum, tooLate) = whole.addingReportingOverflow(time - east * 1_000_000)
        guard !tooLong, !tooLate, sum != .max, sum != .min else { return nil }
        return sum
    }

    private static func infinity(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        if bytes.count == 8, equals(bytes, "infinity") { return .max }
        if bytes.count == 9, equals(bytes, "-infinity") { return .min }
        return nil
    }

    private static func equals(_ bytes: UnsafeRawBufferPointer, _ word: StaticString) -> Bool {
        bytes.elementsEqual(UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)) {
            // Lower case by the bit that letters have; `-` has it too.
            $0 | 0x20 == $1
        }
    }
}

/// One pass over a text of digits and separators.
struct CalendarScan {
    struct Day {
        var year: Int64
        var month: Int
        var day: Int
        var isSigned: Bool
    }

    private let base: UnsafeRawPointer
    private let count: Int
    private var at = 0

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        count = bytes.count
        // Never read where count is 0.
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
    }

    @inline(__always)
    var atEnd: Bool { at == count }
    /// The next byte, or 0 at the end.
    @inline(__always)
    var peek: UInt8 { at < count ? base.load(fromByteOffset: at, as: UInt8.self) : 0 }

    @inline(__always)
    mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        at += 1
        return true
    }

    @inline(__always)
    private mutating func digit() -> Int64? {
        let value = peek &- 0x30
        guard value < 10 else { return nil }
        at += 1
        return Int64(value)
    }

    @inline(__always)
    private mutating func two() -> Int? {
        guard at + 2 <= count else { return nil }
        let tens = base.load(fromByteOffset: at, as: UInt8.self) &- 0x30
        let ones = base.load(fromByteOffset: at + 1, as: UInt8.self) &- 0x30
        guard tens < 10, ones < 10 else { return nil }
        at += 2
        return Int(tens) * 10 + Int(ones)
    }

    /// `2024-02-29`, `-0043-03-15`, `+12345-01-01`. The day is only checked by `era`, which knows the year.
    @inline(__always)
    mutating func day() -> Day? {
        let negative = take(0x2D)
        let isSigned = negative || take(0x2B)
        let start = at
        var year: Int64 = 0
        while let digit = digit() {
            year = year * 10 + digit
            if at - start > 9 { return nil }
        }
        guard at - start >= 4, take(0x2D), let month = two(), take(0x2D), let day = two() else { return nil }
        guard (1...12).contains(month), (1...31).contains(day) else { return nil }
        return Day(year: negative ? -year : year, month: month, day: day, isSigned: isSigned)
    }

    /// A day and time of the commonest layout, `2024-02-29T12:34:56` and perhaps a fraction, eight bytes at a
    /// time; nil, and nothing passed, for any other.
    @inline(__always)
    mutating func commonMoment() -> (Day, Int64)? {
        guard count >= 19 else { return nil }
        // Digits become their values and separators 0, if all is where it should be.
        let date = UInt64(littleEndian: base.loadUnaligned(as: UInt64.self)) ^ 0x2D30_302D_3030_3030
        let time = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) ^ 0x3030_3A30_3030_3030
        let rest = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 15, as: UInt32.self)) ^ 0x3030_3A00
        // A `T` or space where 0x30 was expected.
        let between = UInt8(truncatingIfNeeded: time >> 16) ^ 0x30
        guard between == 0x54 || between == 0x20 else { return nil }
        let clock = time & 0xFFFF_FFFF_FF00_FFFF
        let seconds = UInt64(rest >> 16)
        func high(_ values: UInt64) -> UInt64 { ((values &+ 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080 }
        guard high(date) | high(clock) | high(seconds) == 0, rest & 0xFF00 == 0,
            date & 0xFF00_00FF_0000_0000 == 0, clock & 0x0000_FF00_0000_0000 == 0
        else { return nil }
        // Each byte times ten, plus the next.
        let dates = date &* 10 &+ date >> 8
        let clocks = clock &* 10 &+ clock >> 8
        let second = Int64((seconds & 0xFF) * 10 + seconds >> 8)
        func pair(_ word: UInt64, _ at: UInt64) -> Int { Int(UInt8(truncatingIfNeeded: word >> (8 * at))) }
        let month = pair(dates, 5)
        let day = pair(clocks, 0)
        let hour = pair(clocks, 3)
        let minute = pair(clocks, 6)
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60 else { return nil }
        at = 19
        var time_us = (Int64(hour * 60 + minute) * 60 + second) * 1_000_000
        if take(0x2E) {
            guard let fraction = fraction() else {
                at = 0
                return nil
            }
            time_us += fraction
        }
        return (
            Day(year: Int64(pair(dates, 0) * 100 + pair(dates, 2)), month: month, day: day, isSigned: false), time_us
        )
    }

    /// The ` BC` at a text's end, where there is one. False if something else stands there, or if the day
    /// doesn't exist.
    @inline(__always)
    mutating func era(_ day: inout Day) -> Bool {
        if !atEnd {
            guard take(0x20), take(0x42), take(0x43), atEnd, !day.isSigned, day.year > 0 else { return false }
            day.year = 1 - day.year
        }
        return day.day <= 28 || day.day <= CalendarText.daysInMonth(year: day.year, month: day.month)
    }

    /// `12:34`, `12:34:56`, `12:34:56.123456789`: microseconds, up to the day's end.
    @inline(__always)
    mutating func time() -> Int64? {
        guard let hours = two(), take(0x3A), let minutes = two(), hours <= 24, minutes < 60 else { return nil }
        var time = Int64(hours * 60 + minutes) * 60_000_000
        if take(0x3A) {
            guard let seconds = two(), seconds < 60 else { return nil }
            time += Int64(seconds) * 1_000_000
            if take(0x2E) || take(0x2C) {
                guard let fraction = fraction() else { return nil }
                time += fraction
            }
        }
        return time <= CalendarText.day_us ? time : nil
    }

    @inline(__always)
    private mutating func fraction() -> Int64? {
        let start = at
        var value: Int64 = 0
        while let digit = digit() {
            if at - start <= 6 { value = value * 10 + digit } else if digit != 0 { return nil }
        }
        let digits = at - start
        guard digits > 0 else { return nil }
        if digits >= 6 { return value }
        for _ in digits..<6 { value *= 10 }
        return value
    }

    /// `Z`, `+02`, `-0230`, `+02:30`, `+02:30:15`: seconds east of UTC.
    @inline(__always)
    mutating func offset() -> Int64? {
        if take(0x5A) || take(0x7A) { return 0 }
        let west = take(0x2D)
        guard west || take(0x2B), let hours = two(), hours < 16 else { return nil }
        var seconds = hours * 3600
        if take(0x3A) || peek &- 0x30 < 10 {
            guard let minutes = two(), minutes < 60 else { return nil }
            seconds += minutes * 60
            if take(0x3A) {
                guard let more = two(), more < 60 else { return nil }
                seconds += more
            }
        }
        return Int64(west ? -seconds : seconds)
    }
}

/// Dates and times as Postgres writes them, into a caller's buffer.
///
/// The calendar is the proleptic Gregorian one, as everywhere in Postgres; the unit is the day since
/// 1970-01-01 or the microsecond since its midnight. `Int64.max` and `.min` are infinity and -infinity.
package enum CalendarText {
    /// Room that every writer here needs.
    package static let length_max = 64
    package static let day_us: Int64 = 86_400_000_000

    package enum Form: Sendable {
        /// `2024-02-29 12:34:56.12+00`: what Postgres prints and reads.
        case postgres
        /// `2024-02-29T12:34:56.12+00:00`: what `to_jsonb` makes of it.
        case json
    }

    /// Writes a date; returns the bytes written.
    @inline(__always)
    package static func writeDate(_ days: Int64, to out: UnsafeMutableRawPointer) -> Int {
        if let length = writeInfinity(days, to: out) { return length }
        let (year, month, day) = civil(days: days)
        var at = writeDay(year: year, month: month, day: day, to: out)
        if year <= 0 { at += writeBC(to: out + at) }
        return at
    }

    /// Writes a time of day: `23:59:59.5`, and `24:00:00` for the day's end. One form for text and JSON.
    @inline(__always)
    package static func writeTime(_ time_us: Int64, to out: UnsafeMutableRawPointer) -> Int {
        let seconds = UInt64(truncatingIfNeeded: time_us) / 1_000_000
        var fraction = UInt32(truncatingIfNeeded: UInt64(truncatingIfNeeded: time_us) % 1_000_000)
        let minutes = seconds / 60
        writeTwo(UInt32(truncatingIfNeeded: minutes / 60), to: out)
        out.storeBytes(of: 0x3A, toByteOffset: 2, as: UInt8.self)
        writeTwo(UInt32(truncatingIfNeeded: minutes % 60), to: out + 3)
        out.storeBytes(of: 0x3A, toByteOffset: 5, as: UInt8.self)
        writeTwo(UInt32(truncatingIfNeeded: seconds % 60), to: out + 6)
        guard fraction != 0 else { return 8 }
        out.storeBytes(of: 0x2E, toByteOffset: 8, as: UInt8.self)
        writeTwo(fraction / 10_000, to: out + 9)
        fraction %= 10_000
        writeTwo(fraction / 100, to: out + 11)
        writeTwo(fraction % 100, to: out + 13)
        var length = 15
        while out.load(fromByteOffset: length - 1, as: UInt8.self) == 0x30 { length -= 1 }
        return length
    }

    /// Writes a timestamp; `zoned` adds UTC's offset.
    @inline(__always)
    package static func writeTimestamp(
        _ time_us: Int64, zoned: Bool, form: Form, to out: UnsafeMutableRawPointer
    ) -> Int {
        if let length = writeInfinity(time_us, to: out) { return length }
        var (days, rest) = time_us.quotientAndRemainder(dividingBy: day_us)
        if rest < 0 {
            rest += day_us
            days -= 1
        }
        let (year, month, day) = civil(days: days)
        var at = writeDay(year: year, month: month, day: day, to: out)
        out.storeBytes(of: form == .json ? 0x54 : 0x20, toByteOffset: at, as: UInt8.self)
        at += 1
        at += writeTime(rest, to: out + at)
        if zoned {
            out.storeBytes(of: 0x2B, toByteOffset: at, as: UInt8.self)
            writeTwo(0, to: out + at + 1)
            at += 3
            if form == .json {
                out.storeBytes(of: 0x3A, toByteOffset: at, as: UInt8.self)
                writeTwo(0, to: out + at + 1)
                at += 3
            }
        }
        if year <= 0 { at += writeBC(to: out + at) }
        return at
    }

    // MARK: - The calendar

    /// Days since 1970-01-01 to the civil date; year 0 is 1 BC.
    @inline(__always)
    package static func civil(days: Int64) -> (year: Int64, month: Int, day: Int) {
        // Counted from 0000-03-01, so that the leap day is a year's last (Howard Hinnant's algorithm).
        let z = days &+ 719_468
        let era = (z >= 0 ? z : z &- 146_096) / 146_097
        let dayOfEra = UInt32(truncatingIfNeeded: z &- era &* 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (Int64(yearOfEra) &+ era &* 400 &+ (month <= 2 ? 1 : 0), Int(month), Int(day))
    }

    /// The civil date to days since 1970-01-01; year 0 is 1 BC. The date must exist.
    @inline(__always)
    package static func days(year: Int64, month: Int, day: Int) -> Int64 {
        let y = month <= 2 ? year &- 1 : year
        let era = (y >= 0 ? y : y &- 399) / 400
        let yearOfEra = y &- era &* 400
        let dayOfYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era &* 146_097 &+ dayOfEra &- 719_468
    }

    @inline(__always)
    package static func daysInMonth(year: Int64, month: Int) -> Int {
        switch month {
        case 2: year & 3 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    // MARK: - Pieces

    @inline(__always)
    static func writeTwo(_ value: UInt32, to out: UnsafeMutableRawPointer) {
        let tens = value / 10
        let pair = UInt16(truncatingIfNeeded: (value - tens * 10) << 8 | tens) &+ 0x3030
        out.storeBytes(of: pair.littleEndian, as: UInt16.self)
    }

    @inline(__always)
    private static func writeDay(year: Int64, month: Int, day: Int, to out: UnsafeMutableRawPointer) -> Int {
        let shown = UInt64(bitPattern: year > 0 ? year : 1 &- year)
        var at = 4
        if shown < 10_000 {
            writeTwo(UInt32(shown / 100), to: out)
            writeTwo(UInt32(shown % 100), to: out + 2)
        } else {
            at = DecimalText.writeUnsigned(shown, to: out)
        }
        out.storeBytes(of: 0x2D, toByteOffset: at, as: UInt8.self)
        writeTwo(UInt32(truncatingIfNeeded: month), to: out + at + 1)
        out.storeBytes(of: 0x2D, toByteOffset: at + 3, as: UInt8.self)
        writeTwo(UInt32(truncatingIfNeeded: day), to: out + at + 4)
        return at + 6
    }

    @inline(__always)
    private static func writeInfinity(_ value: Int64, to out: UnsafeMutableRawPointer) -> Int? {
        if value != .max && value != .min { return nil }
        return writeInfinite(negative: value == .min, to: out)
    }

    @inline(never)
    private static func writeInfinite(negative: Bool, to out: UnsafeMutableRawPointer) -> Int {
        let word: StaticString = negative ? "-infinity" : "infinity"
        out.copyMemory(from: word.utf8Start, byteCount: word.utf8CodeUnitCount)
        return word.utf8CodeUnitCount
    }

    @inline(never)
    private static func writeBC(to out: UnsafeMutableRawPointer) -> Int {
        let word: StaticString = " BC"
        out.copyMemory(from: word.utf8Start, byteCount: word.utf8CodeUnitCount)
        return word.utf8CodeUnitCount
    }
}

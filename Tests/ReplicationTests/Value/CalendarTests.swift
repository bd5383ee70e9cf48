import Testing

@testable import Replication

@Suite struct CalendarTests {
    /// Answers of PostgreSQL 15: days or µs since 1970, its text, and that of `to_jsonb`.
    static let dates: [(Int64, String)] = [
        (0, "1970-01-01"), (19_782, "2024-02-29"), (-735_160, "0044-03-15 BC"), (-2_440_588, "4714-11-24 BC"),
        (2_145_042_905, "5874897-12-31"), (3_789_391, "12345-01-01"), (-719_162, "0001-01-01"),
        (-719_163, "0001-12-31 BC"), (.max, "infinity"), (.min, "-infinity"),
    ]

    static let timestamps: [(Int64, String, String)] = [
        (1_709_210_096_123_456, "2024-02-29 12:34:56.123456", "2024-02-29T12:34:56.123456"),
        (1_709_210_096_120_000, "2024-02-29 12:34:56.12", "2024-02-29T12:34:56.12"),
        (-1, "1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999"),
        (-63_517_780_800_000_000, "0044-03-15 12:00:00 BC", "0044-03-15T12:00:00 BC"),
        (-210_866_803_200_000_000, "4714-11-24 00:00:00 BC", "4714-11-24T00:00:00 BC"),
        (.max, "infinity", "infinity"), (.min, "-infinity", "-infinity"),
    ]

    @Test(arguments: dates)
    func datesAreWrittenAndReadAsPostgresDoes(_ days: Int64, _ text: String) {
        let sample = Sample()
        let field = Field(kind: .date, bits: days)
        #expect(sample.postgres(field, .date) == text)
        #expect(sample.json(field, .date) == "\"\(text)\"")
        #expect(withBytes(text, CalendarParse.date) == days)
    }

    @Test(arguments: timestamps)
    func timestampsAreWrittenAndReadAsPostgresDoes(_ time: Int64, _ text: String, _ json: String) {
        let sample = Sample()
        let plain = Field(kind: .timestamp, bits: time)
        #expect(sample.postgres(plain, .timestamp(digits: 6)) == text)
        #expect(sample.json(plain, .timestamp(digits: 6)) == "\"\(json)\"")
        #expect(withBytes(text, CalendarParse.timestamp) == time)
        #expect(withBytes(json, CalendarParse.timestamp) == time)

        func zoned(_ text: String, _ offset: String) -> String {
            if text.hasSuffix("infinity") { return text }
            return text.hasSuffix(" BC") ? text.dropLast(3) + offset + " BC" : text + offset
        }
        let utc = Field(kind: .timestamptz, bits: time)
        #expect(sample.postgres(utc, .timestamptz) == zoned(text, "+00"))
        #expect(sample.json(utc, .timestamptz) == "\"\(zoned(json, "+00:00"))\"")
        #expect(withBytes(zoned(text, "+00"), CalendarParse.timestamptz) == time)
        #expect(withBytes(zoned(json, "+00:00"), CalendarParse.timestamptz) == time)
    }

    @Test(arguments: [
        (Int64(0), "00:00:00"), (86_400_000_000, "24:00:00"), (3_723_000_001, "01:02:03.000001"),
        (3_723_100_000, "01:02:03.1"), (86_399_999_999, "23:59:59.999999"),
    ])
    func timesAreWrittenAndRead(_ time: Int64, _ text: String) {
        #expect(Sample().postgres(Field(kind: .time, bits: time), .time) == text)
        #expect(withBytes(text, CalendarParse.time) == time)
    }

    @Test(
        arguments: [
            ("2026-11-22T09:32:32.199789Z", Int64(1_795_339_952_199_789)),
            ("2024-02-29 12:34:56.123456789Z", nil), ("2024-02-29 12:34:56.123456000Z", 1_709_210_096_123_456),
            ("2024-02-29T12:34:56+02", 1_709_202_896_000_000), ("2024-02-29T12:34:56-02:30", 1_709_219_096_000_000),
            ("2024-02-29T12:34:56+0230", 1_709_201_096_000_000),
            ("2024-02-29T12:34:56+02:30:15", 1_709_201_081_000_000), ("2024-02-29T12:34:56", nil),
            ("-0043-03-15T12:00:00Z", -63_517_780_800_000_000), ("-0043-03-15T12:00:00Z BC", nil),
            ("+12345-01-01T00:00:00Z", 327_403_382_400_000_000), ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
            ("2023-02-29T00:00:00Z", nil), ("1900-02-29T00:00:00Z", nil), ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("2024-13-01T00:00:00Z", nil), ("2024-04-31T00:00:00Z", nil),
            ("2024-01-01T24:00:00Z", 1_704_153_600_000_000),
            ("2024-01-01T24:00:01Z", nil), ("2024-01-01T12:60:00Z", nil), ("2024-01-01T12:00Z", 1_704_110_400_000_000),
            ("2024-01-01T12:00:00.Z", nil), ("2024-01-01T12:00:00Z!", nil),
            ("294247-01-10T04:00:54Z", 9_223_372_036_854_000_000),
            ("294247-01-11T00:00:00Z", nil), ("99999999999-01-01T00:00:00Z", nil), ("", nil), ("Infinity", .max),
            ("now", nil),
        ] as [(String, Int64?)])
    func timestamptzForms(_ text: String, _ time: Int64?) {
        #expect(withBytes(text, CalendarParse.timestamptz) == time)
    }

    @Test func otherForms() {
        #expect(withBytes("2024-02-29Z", CalendarParse.date) == 19_782)
        #expect(withBytes("2024-02-30", CalendarParse.date) == nil)
        #expect(withBytes("2024-02-29T00:00:00", CalendarParse.date) == nil)
        #expect(withBytes("24-02-29", CalendarParse.date) == nil)
        #expect(withBytes("2024-02-29T12:34:56.5Z", CalendarParse.timestamp) == 1_709_210_096_500_000)
        #expect(withBytes("2024-02-29T12:34:56+02", CalendarParse.timestamp) == nil)
        #expect(withBytes("12:34:56Z", CalendarParse.time) == 45_296_000_000)
        #expect(withBytes("12:34:56+01", CalendarParse.time) == nil)
        #expect(withBytes("07:44:15.123456-02:30", CalendarParse.timetz) ?? (0, 0) == (27_855_123_456, -9000))
        #expect(withBytes("07:44:15", CalendarParse.timetz) == nil)
        #expect(CalendarParse.date(UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
    }

    @Test func theCalendarWalksDayByDay() {
        // Over the turn of the eras, centuries and leap days, against a calendar that only counts on.
        var (year, month, day) = (Int64(-401), 1, 1)
        let first = CalendarText.days(year: year, month: month, day: day)
        for days in first..<first + 1_000_000 {
            let civil = CalendarText.civil(days: days)
            guard civil == (year, month, day), CalendarText.days(year: year, month: month, day: day) == days else {
                Issue.record("day \(days) is \(civil), not \((year, month, day))")
                return
            }
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
            let length = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
            day += 1
            if day > length { (month, day) = (month + 1, 1) }
            if month > 12 { (year, month) = (year + 1, 1) }
        }
    }

    @Test func randomMomentsComeBack() {
        var random = SampleGenerator(seed: 1)
        let sample = Sample()
        for _ in 0..<5000 {
            let time = Int64.random(in: -210_866_803_200_000_000...Int64.max - 1, using: &random)
            let field = Field(kind: .timestamptz, bits: time)
            let back = withBytes(sample.postgres(field, .timestamptz), CalendarParse.timestamptz)
            #expect(back == time)
            let date = Int64.random(in: -2_440_588...2_145_042_905, using: &random)
            #expect(withBytes(sample.postgres(Field(kind: .date, bits: date), .date), CalendarParse.date) == date)
        }
        // Whatever the bits, writing stays within its room.
        for bits in [Int64.max - 1, Int64.min + 1, 1 << 62, -(1 << 62)] as [Int64] {
            #expect(sample.postgres(Field(kind: .date, bits: bits), .date).utf8.count < CalendarText.length_max)
        }
    }

    @Test(
        arguments: [
            ("1 year 2 mons 3 days 04:05:06.789", IntervalParts(months: 14, days: 3, time_us: 14_706_789_000)),
            ("-1 years -2 mons +3 days -04:05:06", IntervalParts(months: -14, days: 3, time_us: -14_706_000_000)),
            ("00:00:00", IntervalParts()), ("1 mon", IntervalParts(months: 1)),
            ("-00:00:00.000001", IntervalParts(time_us: -1)),
            ("P1Y2M3DT4H5M6.789012S", IntervalParts(months: 14, days: 3, time_us: 14_706_789_012)),
            ("P-1DT-0.5S", IntervalParts(days: -1, time_us: -500_000)), ("PT0S", IntervalParts()),
            ("P", nil), ("1 fortnight", nil), ("P1.5Y", nil), ("", nil), ("1", nil), ("04:05", nil), ("1 day ", nil),
            ("99999999999 days", nil),
        ] as [(String, IntervalParts?)])
    func intervals(_ text: String, _ parts: IntervalParts?) {
        #expect(withBytes(text, IntervalParts.init) == parts)
    }
}

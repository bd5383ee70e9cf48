/// An interval's three independent parts, as Postgres and DuckDB keep them.
package struct IntervalParts: Equatable, Sendable {
    package var months: Int64 = 0
    package var days: Int64 = 0
    package var time_us: Int64 = 0

    package init(months: Int64 = 0, days: Int64 = 0, time_us: Int64 = 0) {
        self.months = months
        self.days = days
        self.time_us = time_us
    }

    /// Reads `1 year 2 mons -3 days +04:05:06.789` (Postgres' default output) and `P1Y2M3DT4H5M6.789S`
    /// (ISO 8601, Debezium); nil for anything else, and for what doesn't fit.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var scan = Scan(bytes)
        guard bytes.first == 0x50 ? scan.iso(into: &self) : scan.postgres(into: &self) else { return nil }
    }

    /// What Postgres compares: a month has 30 days, a day 24 hours.
    package var comparable_us: Int128 {
        (Int128(months) * 30 + Int128(days)) * Int128(CalendarText.day_us) + Int128(time_us)
    }

    /// Bounds each part, so that sums stay within 64 bits.
    private static let unit_max: Int64 = 1_000_000_000

    private struct Scan {
        let bytes: UnsafeRawBufferPointer
        var at = 0

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        private var peek: UInt8 { at < bytes.count ? bytes[at] : 0 }

        private mutating func take(_ byte: UInt8) -> Bool {
            guard peek == byte else { return false }
            at += 1
            return true
        }

        /// An unsigned integer of up to 17 digits.
        private mutating func digits() -> Int64? {
            let start = at
            var value: Int64 = 0
            while peek &- 0x30 < 10, at - start < 17 {
                value = value * 10 + Int64(peek &- 0x30)
                at += 1
            }
            return at > start ? value : nil
        }

        /// What follows a point, in µs; 0 without one.
        private mutating func fraction() -> Int64? {
            guard take(0x2E) else { return 0 }
            let start = at
            var value: Int64 = 0
            while peek &- 0x30 < 10 {
                if at - start < 6 { value = value * 10 + Int64(peek &- 0x30) } else if peek != 0x30 { return nil }
                at += 1
            }
            guard at > start else { return nil }
            for _ in min(at - start, 6)..<6 { value *= 10 }
            return value
        }

        private mutating func isNegative() -> Bool {
            if take(0x2D) { return true }
            _ = take(0x2B)
            return false
        }

        private mutating func word() -> UnsafeRawBufferPointer {
            let start = at
            while peek | 0x20 >= 0x61, peek | 0x20 <= 0x7A { at += 1 }
            return UnsafeRawBufferPointer(rebasing: bytes[start..<at])
        }

        mutating func postgres(into parts: inout IntervalParts) -> Bool {
            repeat {
                let negative = isNegative()
                guard let value = digits() else { return false }
                if peek == 0x3A {
                    guard let time = clock(hours: value) else { return false }
                    parts.time_us = negative ? -time : time
                    return at == bytes.count
                }
                guard value <= unit_max, take(0x20) else { return false }
                let signed = negative ? -value : value
                switch word() {
                case let unit where Scan.isUnit(unit, "year"): parts.months += signed * 12
                case let unit where Scan.isUnit(unit, "mon"): parts.months += signed
                case let unit where Scan.isUnit(unit, "day"): parts.days += signed
                default: return false
                }
            } while take(0x20)
            return at == bytes.count
        }

        /// `day` and `days`.
        private static func isUnit(_ word: UnsafeRawBufferPointer, _ unit: StaticString) -> Bool {
            let count = unit.utf8CodeUnitCount
            guard word.count == count || word.count == count + 1 && word[count] == 0x73 else { return false }
            for i in 0..<count where word[i] != unit.utf8Start[i] { return false }
            return true
        }

        private mutating func clock(hours: Int64) -> Int64? {
            guard hours <= unit_max / 2, take(0x3A), let minutes = digits(), minutes < 60 else { return nil }
            guard take(0x3A), let seconds = digits(), seconds < 60, let fraction = fraction() else { return nil }
            return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction
        }

        mutating func iso(into parts: inout IntervalParts) -> Bool {
            at = 1
            var inTime = false
            guard at < bytes.count else { return false }
            while at < bytes.count {
                if take(0x54) {
                    if inTime { return false }
                    inTime = true
                    continue
                }
                let negative = isNegative()
                guard var value = digits(), value <= unit_max, let fraction = fraction() else { return false }
                if negative { value = -value }
                let unit = peek
                at += 1
                guard fraction == 0 || inTime && unit == 0x53 else { return false }
                switch (unit, inTime) {
                case (0x59, false): parts.months += value * 12
                case (0x4D, false): parts.months += value
                case (0x57, false): parts.days += value * 7
                case (0x44, false): parts.days += value
                case (0x48, true): parts.time_us += value * 3_600_000_000
                case (0x4D, true): parts.time_us += value * 60_000_000
                case (0x53, true): parts.time_us += value * 1_000_000 + (negative ? -fraction : fraction)
                default: return false
                }
            }
            return true
        }
    }
}

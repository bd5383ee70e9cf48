/// A part of a whole as an exact decimal of up to nine digits: `0.95`.
package struct Share: Hashable, Sendable {
    private static let unit: Int64 = 1_000_000_000
    /// In billionths.
    package let billionths: Int64

    package static let all = Share(billionths: unit)

    private init(billionths: Int64) { self.billionths = billionths }

    /// Nil for what is no number from 0 to 1,000, or has more digits.
    package init?(_ text: String) {
        guard let number = ExactDecimal(text), !number.isNegative || number.isZero,
            let scaled = number.shifted(by: 9).whole, scaled <= 1_000 * Self.unit
        else { return nil }
        billionths = scaled
    }

    package var isAll: Bool { billionths == Self.unit }
    package var isPart: Bool { billionths <= Self.unit }

    /// Whether `passing` of `rows` are at least this part.
    package func isReached(by passing: Int64, of rows: Int64) -> Bool {
        Self.isAtLeast(passing, Self.unit, rows, billionths)
    }

    /// Whether the difference of two counts is at most this part of the first.
    package func allows(from before: Int64, to after: Int64) -> Bool {
        Self.isAtLeast(before, billionths, Swift.abs(after - before), Self.unit)
    }

    /// `a * b >= c * d`, however large.
    private static func isAtLeast(_ a: Int64, _ b: Int64, _ c: Int64, _ d: Int64) -> Bool {
        Int128(a) * Int128(b) >= Int128(c) * Int128(d)
    }

    package var text: String {
        let whole = billionths / Self.unit
        var fraction = String(billionths % Self.unit + Self.unit).dropFirst()
        while fraction.last == "0" { fraction.removeLast() }
        return fraction.isEmpty ? "\(whole)" : "\(whole).\(fraction)"
    }
}

/// A number of bytes: `32MiB`, `512KiB`, `1GiB`, also `32MB` (of 1000s), or a plain number.
package struct ByteCount: Sendable, Hashable, Comparable {
    package var bytes: Int

    package init(bytes: Int) {
        self.bytes = bytes
    }

    package static func mebibytes(_ count: Int) -> ByteCount { ByteCount(bytes: count << 20) }

    package static func < (left: ByteCount, right: ByteCount) -> Bool { left.bytes < right.bytes }

    /// nil where the text is none, or more than fits.
    package init?(_ text: some StringProtocol) {
        guard let (number, unit) = splitUnit(text) else { return nil }
        guard let factor = unit.isEmpty ? 1 : Self.factors[unit.lowercased()] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        if overflow { return nil }
        self.bytes = bytes
    }

    private static let factors = [
        "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
        "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
    ]
}

extension ByteCount: CustomStringConvertible {
    /// In the largest binary unit that loses nothing: `32MiB`, `1500B`.
    package var description: String {
        for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        where bytes >= 1 << shift && bytes & (1 << shift - 1) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)B"
    }
}

/// Splits `32 MiB` into 32 and `MiB`. nil where it doesn't begin with a whole number that fits.
func splitUnit(_ text: some StringProtocol) -> (number: Int, unit: String)? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int(digits) else { return nil }
    var unit = text[digits.endIndex...]
    if unit.first == " " { unit = unit.dropFirst() }
    return (number, String(unit))
}

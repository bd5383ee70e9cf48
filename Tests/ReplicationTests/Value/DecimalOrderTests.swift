import Testing

@testable import Replication

@Suite struct DecimalOrderTests {
    private func compare(_ left: String, _ right: String) -> Int? {
        Array(left.utf8).withUnsafeBytes { one in
            Array(right.utf8).withUnsafeBytes { other in
                guard let one = DecimalOrder(one), let other = DecimalOrder(other) else { return nil }
                return DecimalOrder.compare(one, other)
            }
        }
    }

    /// In rising order; each line's texts are equal.
    static let order: [[String]] = [
        ["-Infinity", "-inf"], ["-1e1000"],
        ["-123456789012345678901234567890.1", "-1234567890123456789012345678901e-1"],
        ["-10", "-1e1", "-10.000"], ["-1.5", "-01.50", "-15e-1", "-0.15E+1"], ["-1e-1000"],
        ["0", "-0", "+0.00", "0e99", ".0", "0."], ["1e-999999999"], ["0.0099", "99e-4", ".0099"], ["0.01", "1e-2"],
        ["1", "1.", "01", "+1", "0.1e1"],
        ["1.0000000000000000000000001"], ["9.99"], ["10"], ["99"], ["100", "1e2", "1.00E2"], ["101"],
        ["18446744073709551616"], ["18446744073709551617"], ["1e999999999"], ["Infinity", "+inf"],
        ["NaN", "nan", "-NaN"],
    ]

    @Test func ordered() {
        for (i, lefts) in Self.order.enumerated() {
            for (j, rights) in Self.order.enumerated() {
                for left in lefts {
                    for right in rights { #expect(compare(left, right) == (i - j).signum(), "\(left) \(right)") }
                }
            }
        }
    }

    @Test(arguments: [
        "", "-", "+", ".", "e5", "1e", "1e+", "1 ", " 1", "1.2.3", "0x1", "1e9999999999", "1,5", "--1", "infinit",
        "1_000", "½",
    ])
    func noNumber(text: String) {
        #expect(compare(text, "1") == nil)
    }

    @Test func agreesWithIntegers() {
        for step in 0..<2_000 {
            let left = step * 7_919 % 200_001 - 100_000
            let right = step * 104_729 % 200_001 - 100_000
            let expected = left < right ? -1 : left == right ? 0 : 1
            #expect(compare("\(left)", "\(right)") == expected)
            #expect(compare("\(left)e-3", "\(right)000e-6") == expected)
        }
    }
}

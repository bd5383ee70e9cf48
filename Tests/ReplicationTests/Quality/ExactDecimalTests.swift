import Testing

@testable import Replication

@Suite struct ExactDecimalTests {
    @Test(arguments: [
        ("0", "0"), ("-0.00", "0"), ("007.50", "7.5"), ("-.5", "-0.5"), ("5.", "5"), ("1e3", "1000"), ("15e-1", "1.5"),
        ("1.25E+1", "12.5"), ("-1e-3", "-0.001"), ("+3", "3"), ("100", "100"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ])
    func read(text: String, plain: String) { #expect(ExactDecimal(text)?.text == plain) }

    @Test(arguments: ["", "x", "NaN", "Infinity", "1e", "--1", "1.2.3", " 1", "1e99999", "0x10", "1_000", "."])
    func refused(text: String) { #expect(ExactDecimal(text) == nil) }

    @Test(arguments: [
        ("1.25", 1, "1.2"), ("-1.25", 1, "-1.3"), ("1.25", 2, "1.25"), ("-0.001", 2, "-0.01"), ("-9.99", 0, "-10"),
        ("9.99", 0, "9"), ("0.4", 0, "0"), ("-0.4", 0, "-1"), ("5", 3, "5"), ("-99.5", 0, "-100"),
    ])
    func floored(text: String, scale: Int, floor: String) {
        #expect(ExactDecimal(text)?.floor(scale: scale).text == floor)
    }

    /// The order of the texts is that of the numbers.
    @Test func keysOrderAsNumbersDo() throws {
        var random = SampleGenerator(seed: 5)
        func number() -> String {
            let whole = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                "\(Int.random(in: 0...9, using: &random))"
            }.joined()
            let fraction = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                "\(Int.random(in: 0...9, using: &random))"
            }.joined()
            return (Bool.random(using: &random) ? "-" : "") + "0" + whole + (fraction.isEmpty ? "" : "." + fraction)
        }
        for _ in 0..<5_000 {
            let (one, other) = (number(), number())
            let order = withBytes(one) { one in
                withBytes(other) { other in
                    DecimalOrder(one).flatMap { one in DecimalOrder(other).map { DecimalOrder.compare(one, $0) } }
                }
            }
            let keys = (try #require(ExactDecimal(one)).key, try #require(ExactDecimal(other)).key)
            #expect(order == (keys.0 < keys.1 ? -1 : keys.0 == keys.1 ? 0 : 1), "\(one) and \(other): \(keys)")
        }
    }

    @Test func shares() throws {
        #expect(Share("0.95")?.text == "0.95" && Share("1.0") == .all && Share("9.5e-1") == Share("0.95"))
        for wrong in ["-0.1", "1001", "0.1234567891", "95%", "", "NaN"] { #expect(Share(wrong) == nil, "\(wrong)") }
        let most = try #require(Share("0.95"))
        #expect(most.isReached(by: 95, of: 100) && !most.isReached(by: 94, of: 100))
        #expect(most.isReached(by: 0, of: 0) && Share.all.isReached(by: 7, of: 7) && !Share.all.isReached(by: 6, of: 7))
        #expect(most.isReached(by: .max, of: .max) && !Share.all.isReached(by: .max - 1, of: .max))
        #expect(most.allows(from: 100, to: 195) && !most.allows(from: 100, to: 196))
        #expect(most.allows(from: 100, to: 5) && !most.allows(from: 100, to: 4) && !most.allows(from: 0, to: 1))
        #expect(most.allows(from: 0, to: 0))
    }
}

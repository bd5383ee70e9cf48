import Testing

@testable import PipelineFile

@Suite struct PredicateTests {
    /// A row: `n` is null, `u` isn't known.
    static var row: [String: PredicateValue] {
        [
            "n": .null, "u": .unknown, "t": .bool(true), "f": .bool(false), "status": .text("paid"),
            "amount": .number("12.50"),
            "big": .number("123456789012345678901234567890.000000000000000000001"), "flag": .number("1"),
            "digits": .text("010"),
            "at": .time("2026-05-01T10:00:00+02:00"), "day": .time("2026-05-01"), "Order Status": .text("x"),
            "nan": .number("NaN"),
            "stamp": .text("2026-05-01T10:00:00"), "empty": .text(""), "uni": .text("añb"), "yes": .text("yes"),
        ]
    }

    static func evaluate(_ text: String) throws -> Truth {
        let predicate = try Predicate(text)
        return predicate.evaluate { row[predicate.columns[$0].name] ?? .null }
    }

    @Test(arguments: [
        // Comparisons.
        ("status = 'paid'", Truth.true), ("status <> 'paid'", .false), ("status != 'draft'", .true),
        ("'paid' = status", .true),
        ("status < 'q'", .true), ("status > 'P'", .true), ("status >= 'paid'", .true), ("empty = ''", .true),
        ("status = 'it''s'", .false), ("\"Order Status\" = 'x'", .true),
        // Numbers: exact, of any length, and whatever the quotes.
        ("amount = 12.5", .true), ("amount = 12.500e0", .true), ("amount = '12.5'", .true), ("amount > 9", .true),
        ("amount between 12 and 13", .true), ("amount not between 12 and 13", .false), ("amount > -12.50", .true),
        ("big > 123456789012345678901234567890", .true),
        ("big < 123456789012345678901234567890.000000000000000000002", .true),
        ("amount = 'abc'", .false), ("digits = 10", .true), ("digits = '10'", .false), ("nan > 1e100", .true),
        ("nan = nan", .true),
        // Booleans.
        ("t", .true), ("not f", .true), ("t = true", .true), ("t = 't'", .true), ("t <> f", .true),
        ("flag = true", .true),
        ("flag is true", .true), ("yes is true", .true), ("status is true", .false), ("status", .null),
        ("f is not true", .true),
        // Times.
        ("at = '2026-05-01T08:00:00Z'", .true), ("at >= '2026-05-01'", .true), ("at < '2026-05-01 09:00'", .true),
        ("day = '2026-05-01T00:00:00'", .true), ("at = 'never'", .false), ("stamp >= '2026-05-01'", .true),
        // Null.
        ("n is null", .true), ("n is not null", .false), ("n = 1", .null), ("n <> 1", .null), ("not n", .null),
        ("n = null", .null),
        ("status is null", .false), ("null is null", .true), ("n", .null), ("(n = 1) is null", .true),
        ("n = 1 is null", .true),
        ("status = 'paid' is true", .true), ("n is true", .false), ("n is not true", .true), ("n like '%'", .null),
        ("((amount)) >= ((n))", .null),
        ("n between 1 and 2", .null), ("amount between n and 2", .false), ("amount between 2 and n", .null),
        // In.
        ("status in ('draft', 'paid')", .true), ("status not in ('draft', 'paid')", .false),
        ("status in ('a', null)", .null),
        ("status in ('paid', null)", .true), ("status not in ('a', null)", .null), ("n in (1)", .null),
        ("amount in (12.5)", .true),
        // What isn't known.
        ("u = 1", .undecidable), ("u is null", .undecidable), ("u is not null", .undecidable), ("u", .undecidable),
        ("u = null", .null), ("u like 'a%'", .undecidable), ("u in (1, 2)", .undecidable),
        ("status in ('paid', u)", .true),
        ("status in ('a', u)", .undecidable), ("u is true", .undecidable), ("u = 1 is null", .undecidable),
        ("f and u = 1", .false), ("u = 1 and f", .false), ("t and u = 1", .undecidable), ("n = 1 and u = 1", .null),
        ("t or u = 1", .true), ("u = 1 or t", .true), ("f or u = 1", .undecidable), ("n = 1 or u = 1", .undecidable),
        ("not u = 1", .undecidable), ("not (n = 1 and u = 1)", .undecidable), ("not (u = 1 or t)", .false),
        // Binding: or, and, not, is, comparisons.
        ("t or f and f", .true), ("(t or f) and f", .false), ("not f and f", .false), ("not status = 'x'", .true),
        ("not not t", .true), ("amount between 1 and 20 and t", .true), ("f or amount > 1 and status = 'paid'", .true),
        ("NOT f AND status IS NOT NULL", .true), ("(5) = 5", .true), ("(amount) > (1)", .true),
        // Like.
        ("status like 'pa%'", .true), ("status like '%'", .true), ("status like 'p__d'", .true),
        ("status like 'p_d'", .false),
        ("status not like '%x%'", .true), ("uni like 'a_b'", .true), ("empty like ''", .true),
        ("empty like '_'", .false),
        ("amount like '12%'", .true), ("status like 'PAID'", .false), ("'50%' like '50\\%'", .true),
        ("'50x' like '50\\%'", .false),
        ("'50%' like '50!%' escape '!'", .true), ("'a\\b' like 'a\\b' escape ''", .true),
        ("'a%b' like '%!%%' escape '!'", .true),
        ("'aab' like '%ab'", .true), ("'aaab' like 'a%a%ab%'", .true), ("'a\nb' like 'a%b'", .true),
    ])
    func truths(text: String, truth: Truth) throws {
        #expect(try Self.evaluate(text) == truth)
    }

    @Test func bytesAreReadAsTextsAre() throws {
        let predicate = try Predicate("a = 'é' and b > 1.5 and c = '2026-05-01T00:00:00Z'")
        let bytes = ["é", "1.50000000001", "2026-05-01"].map { Array($0.utf8) }
        let truth = bytes[0].withUnsafeBytes { a in
            bytes[1].withUnsafeBytes { b in
                bytes[2].withUnsafeBytes { c in
                    predicate.evaluate { [.textBytes(a), .numberBytes(b), .timeBytes(c)][$0] }
                }
            }
        }
        #expect(truth == .true)
    }

    @Test func columnsAreListedOnce() throws {
        let predicate = try Predicate("b = 1 and \"A b\" = 2 or B in (c, b)")
        #expect(predicate.columns.map(\.name) == ["b", "A b", "B", "c"])
        #expect(predicate.columns.map(\.isQuoted) == [false, true, false, false])
        #expect(predicate.columns.map(\.position) == [1, 11, 24, 30])
    }

    @Test func columnsAreResolved() throws {
        #expect(try Predicate("b = 1 and A = 2").resolve(in: ["a", "b", "B"]) == [1, 0])
        #expect(try Predicate("status = 1").resolve(in: ["Status"]) == [0])
        let quoted = try #require(throws: PredicateError.self) {
            _ = try Predicate("\"status\" = 1").resolve(in: ["Status"])
        }
        #expect(quoted.remedy == "\"Status\"")
        let text = try #require(throws: PredicateError.self) {
            _ = try Predicate("status = \"draft\"").resolve(in: ["status"])
        }
        #expect(text.position == 10)
        #expect(text.remedy == "'draft' if it is meant as a text")
        #expect(throws: PredicateError.self) { _ = try Predicate("AB = 1").resolve(in: ["ab", "aB"]) }
    }

    @Test(arguments: [
        ("", 1), ("  ", 3), ("status", 0), ("status =", 9), ("= 1", 1), ("a = 1 b", 7), ("a = 'x", 5), ("\"a = 1", 1),
        ("a == 1", 3),
        ("a && b", 3), ("a || b", 3), ("a::int = 1", 2), ("a = 1 -- c", 7), ("a + 1 = 2", 3), ("a = 1 + 1", 7),
        ("lower(a) = 1", 1),
        ("a in ()", 7), ("a in 1", 6), ("a in (1", 8), ("a in (1 2)", 9), ("a like b", 8), ("a like 'x\\'", 8),
        ("a like 'x' escape 'ab'", 19), ("a between 1", 12), ("a between 1 or 2", 13), ("a is 1", 6), ("a is not", 9),
        ("(a = 1", 7),
        ("a = 1)", 6), ("a = (b = 1)", 8), ("(a = 1) = b", 1), ("a < b < c", 7), ("'x'", 1), ("5", 1), ("a and 'x'", 7),
        ("a = 1e", 5), ("a = 1x", 5), ("a = 1.2.3", 5), ("a = 1e9999999", 5), ("a ; drop", 3), ("and a", 1),
        ("a not b", 3),
        ("date '2026-05-01' < a", 1), ("a = \"\"", 5), ("a = b'x'", 5), ("not", 4), ("a = ?", 5),
        ("a like 'x' escape", 18),
    ])
    func positions(text: String, position: Int) {
        // 0: it is fine.
        do {
            _ = try Predicate(text)
            #expect(position == 0)
        } catch {
            #expect(error.position == position, "\(error)")
        }
    }

    @Test func depthAndSizeAreBounded() throws {
        #expect(throws: PredicateError.self) { try Predicate(String(repeating: "(", count: 30_000) + "a") }
        #expect(throws: PredicateError.self) { try Predicate(String(repeating: "not ", count: 10_000) + "a") }
        #expect(throws: PredicateError.self) { try Predicate("a" + String(repeating: " is null", count: 5_000)) }
        #expect(throws: PredicateError.self) { try Predicate(String(repeating: "a or ", count: 20_000) + "a") }
        let long = try Predicate((0..<5_000).map { "a = \($0)" }.joined(separator: " or "))
        #expect(long.evaluate { _ in .number("4999") } == .true)
        let nested = String(repeating: "(", count: 99) + "a" + String(repeating: ")", count: 99)
        #expect(try Predicate(nested).evaluate { _ in .bool(true) } == .true)
        #expect(
            try Predicate("a is null and " + Array(repeating: "b is null", count: 300).joined(separator: " and "))
                .columns.count == 2)
    }

    @Test func likeDoesntExplode() throws {
        let pattern = String(repeating: "a%", count: 100) + "b"
        #expect(
            try Predicate("x like '\(pattern)'").evaluate { _ in .text(String(repeating: "a", count: 5_000)) } == .false
        )
    }

    /// Whatever a column that isn't known may be, the verdict must allow for it.
    @Test func undecidableIsSound() throws {
        let values: [PredicateValue] = [.null, .bool(true), .bool(false)]
        let atoms = ["a", "b", "c"]
        var random = Seeded(state: 42)
        func condition(_ depth: Int) -> String {
            if depth == 0 { return atoms.randomElement(using: &random) ?? "a" }
            let (one, other) = (condition(depth - 1), condition(depth - 1))
            return switch Int.random(in: 0..<5, using: &random) {
            case 0: "(\(one) and \(other))"
            case 1: "(\(one) or \(other))"
            case 2: "(not \(one))"
            case 3: "((\(one)) is null)"
            default: "((\(one)) is not true)"
            }
        }
        for _ in 0..<300 {
            let text = condition(3)
            let predicate = try Predicate(text)
            func truth(_ a: PredicateValue, _ b: PredicateValue, _ c: PredicateValue) -> Truth {
                predicate.evaluate { ["a": a, "b": b, "c": c][predicate.columns[$0].name] ?? .null }
            }
            for c in values {
                let possible = values.flatMap { a in values.map { truth(a, $0, c) } }
                switch truth(.unknown, .unknown, c) {
                case .true: #expect(possible.allSatisfy { $0 == .true }, "\(text)")
                case .false: #expect(possible.allSatisfy { $0 == .false }, "\(text)")
                case .null: #expect(possible.allSatisfy { $0 != .true }, "\(text)")
                case .undecidable: break
                }
                #expect(possible.allSatisfy { $0 != .undecidable }, "\(text)")
            }
        }
    }
}

/// SplitMix64: the same conditions in every run.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

import Foundation
import Testing

@testable import Replication

@Suite struct RowPatternTests {
    private func isFound(_ pattern: String, _ text: String) throws -> Bool {
        let search = PatternSearch(try RowPattern(pattern).program)
        return Array(text.utf8).withUnsafeBytes { search.isFound(in: $0) }
    }

    @Test(arguments: [
        ("b", "abc", true), ("^b", "abc", false), ("c$", "abc", true), ("^$", "", true), ("^$", "\n", false),
        ("a$", "a\n", false), ("a.c", "a\nc", false), ("a[^x]c", "a\nc", true), ("[\\s\\S]", "\n", true),
        ("^[A-Z]{3}$", "ABC", true), ("^[A-Z]{3}$", "ABCD", false), ("^[A-Z]{2,}$", "ABCD", true),
        ("^(a|bc)*$", "abcbca", true), ("^(a|bc)*$", "abcb", false), ("^(?:)$", "", true), ("^(|a)$", "a", true),
        ("(a*)*", "", true), ("^(a*)+$", "aaa", true), ("^a??$", "a", true), ("\\.", "a.b", true), ("\\.", "ab", false),
        ("\\d", "٣", false), ("^\\w+$", "a_9", true), ("^\\w+$", "ä", false), ("^.$", "𝄞", true), ("^..$", "ä€", true),
        ("[\\u20ac]", "5 €", true), ("\\x41", "A", true), ("(?i)^pending$", "PenDING", true),
        ("(?i)[^a]", "A", false), ("[a\\-z]", "-", true), ("[-z]", "-", true), ("[a-]", "-", true),
        ("\\Aab\\z", "ab", true), ("(?P<year>\\d{4})-", "2024-", true), ("^a{0}b$", "b", true),
        ("^(ab){2}$", "abab", true),
        ("a|^b|c$", "xc", true), ("^(^a)", "a", true), ("}", "}", true), ("]", "]", true), ("x*", "", true),
    ])
    func searched(pattern: String, text: String, isMatch: Bool) throws {
        #expect(try isFound(pattern, text) == isMatch, "\(pattern) in \(text.debugDescription)")
    }

    @Test(arguments: [
        ("(a)\\1", "no references"), ("(?=a)", "looking around"), ("(?<!a)b", "looking around"), ("\\bword\\b", "word"),
        ("[[:alpha:]]", "POSIX"), ("\\p{L}", "Unicode"), ("a**", "repetition"), ("a{2}{3}", "repetition"),
        ("*a", "repeat"),
        ("a{3,2}", "ends before"), ("a{256}", "at most 255"), ("a{,3}", "begins a repetition"), ("x{", "begins"),
        ("(a", "no end"), ("a)", "without"), ("[a", "no ]"), ("[]a]", "is written"), ("a\\", "backslash"),
        ("[z-a]", "no range"), ("^*", "can't be repeated"),
        ("a*+", "possessive"), ("\\q", "no escape"), ("(a(?i)b)", "beginning"), ("(?i)ä", "ASCII"),
        ("[^\\s\\S]", "no such"),
        ("\\x0", "digits"), ("\\u00", "digits"), ("\\ud800", "no such"), ("\\x00", "no such"), ("a\0b", "NUL"),
        ("(?P=a)", "references"), ("[\\d-z]", "no range"), ("([a-z]{200}){200}", "too large"),
    ])
    func refused(pattern: String, why: String) {
        let error = #expect(throws: RowPatternError.self) { try RowPattern(pattern) }
        #expect(error?.message.contains(why) == true, "\(pattern): \(error?.message ?? "")")
    }

    @Test func deepAndLongPatternsAreRefused() {
        let deep = String(repeating: "(", count: 60) + "a" + String(repeating: ")", count: 60)
        #expect(throws: RowPatternError.self) { try RowPattern(deep) }
        #expect(throws: RowPatternError.self) { try RowPattern(String(repeating: "a", count: 5_000)) }
    }

    /// Nothing, however often, is nothing: neither here nor in what engines get.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "(((((){255}){255}){255}){255}){255}", "((((((a{0}){255}){255}){255}){255}){255}){255}",
            "((((((|){255}){255}){255}){255}){255}){255}", "((((((()()){0,255}){255}){2,}){255})*){255}",
        ])
    func nothingManyTimes(pattern: String) throws {
        let read = try RowPattern(pattern + "b")
        #expect(read.program.steps.count == 2 && read.sql(.postgres) == "b" && read.sql(.duckdb) == "b")
        #expect(try isFound(pattern + "b", "ab") && !isFound(pattern + "b", "a"))
    }

    /// RE2, DuckDB's, takes no more than 1,000 repetitions of repetitions: a pattern that we take has fewer.
    @Test func repetitionsOfRepetitions() throws {
        _ = try RowPattern("(?:[ab]{31}){31}")
        for pattern in ["(?:a{0,32}){32}", "(?:(?:a?){30}){40}", "(?:(?:a{2,}){255}){2}", "((?:a|){255}){4}"] {
            #expect(throws: RowPatternError.self) { try RowPattern(pattern) }
        }
    }

    /// What makes others go back for years.
    @Test func hostileTextsTakeNoLongerThanTheirLength() throws {
        let text = String(repeating: "a", count: RowPattern.text_bytes_max - 1) + "b"
        let started = ContinuousClock.now
        // The last keeps as many ways open as a pattern can have.
        for pattern in ["^(a+)+$", "(a|aa)+$", "^(a?){100}a{100}$", "(.*)*x", "^(?:(a?){240}(a?){240})x"] {
            #expect(try !isFound(pattern, text))
        }
        #expect(ContinuousClock.now - started < .seconds(60))
    }

    /// A library's idea of the same patterns, over a small alphabet.
    @Test func asFoundationFindsThem() throws {
        var random = SampleGenerator(seed: 11)
        var compared = 0
        for round in 0..<2_000 {
            let pattern = Self.pattern(&random, depth: 3)
            // A place in the text that is repeated.
            guard let compiled = try? RowPattern(pattern) else { continue }
            compared += 1
            let search = PatternSearch(compiled.program)
            let library = try NSRegularExpression(pattern: "(?:\(pattern.replacing("$", with: "\\z")))")
            for _ in 0..<5 {
                let text = String(
                    (0..<Int.random(in: 0...7, using: &random)).map { _ in "ab\n".randomElement(using: &random)! })
                let range = NSRange(text.startIndex..., in: text)
                let found = Array(text.utf8).withUnsafeBytes { search.isFound(in: $0) }
                #expect(
                    found == (library.firstMatch(in: text, range: range) != nil),
                    "\(round): \(pattern) in \(text.debugDescription)")
            }
        }
        #expect(compared > 1_500)
    }

    private static func pattern(_ random: inout some RandomNumberGenerator, depth: Int) -> String {
        var text = ""
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            switch Int.random(in: 0..<(depth > 0 ? 10 : 6), using: &random) {
            case 0: text += "a"
            case 1: text += "b"
            case 2: text += "."
            case 3: text += "[^a]"
            case 4: text += Bool.random(using: &random) ? "^" : "$"
            case 5: text += ["a*", "b+", "[ab]?", "a{2}", "b{1,2}", "[ab]{2,}"].randomElement(using: &random) ?? ""
            case 6, 7: text += "(?:\(pattern(&random, depth: depth - 1))|\(pattern(&random, depth: depth - 1)))"
            default:
                text +=
                    "(?:\(pattern(&random, depth: depth - 1)))"
                    + (["*", "?", "+", ""].randomElement(using: &random) ?? "")
            }
        }
        return text
    }

    @Test func written() throws {
        let pattern = try RowPattern("^a.[^x'\"]\\d{2,3}(?:é|-)$")
        #expect(
            pattern.sql(.postgres)
                == "\\Aa[^\\u000a][^\\u0022\\u0027x](?:[0-9]){2,3}(?:\\u00e9|\\u002d)\\Z")
        #expect(
            pattern.sql(.duckdb) == "\\Aa[^\\x{a}][^\\x{22}\\x{27}x](?:[0-9]){2,3}(?:\\x{e9}|\\x{2d})\\z")
        #expect(try RowPattern("[\\s\\S]").sql(.postgres) == ".")
        #expect(try RowPattern("[\\ud7ff\\ue000\\uffff]𝄞").sql(.postgres) == "[\\ud7ff\\ue000\\uffff]\\U0001d11e")
    }
}

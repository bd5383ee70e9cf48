import Testing

@testable import PipelineFile

@Suite struct YAMLTests {
    @Test(arguments: [
        ("", "1: : the file is empty"), ("# nothing\n", "1: : the file is empty"),
        ("- a\n", "1: : this must be a mapping, not a list"),
        ("hello", "1: : this must be a mapping, not a single value"),
    ])
    func noPipeline(text: String, problem: String) {
        #expect(problems(text) == [problem])
    }

    @Test(arguments: [
        ("pipeline: shop\nsource: [a, b\n", 3), ("pipeline: shop\n\tsource: x", 2), ("pipeline: shop\n a: b: c", 2),
        ("pipeline: *nowhere", 1), ("pipeline: a\n---\npipeline: b", 2), ("a: \"\u{1}\"", 1),
        ("pipeline: a\n  - b\n: {", 3),
    ])
    func invalid(text: String, line: Int) {
        let found = problems(text)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("\(line): : this is no YAML: ") == true, "\(found)")
    }

    @Test func duplicateKeysAreErrorsAtTheSecond() {
        #expect(
            problems(minimal("batch:\n  max_rows: 1\n  # more\n  max_delay: 1s\n  max_rows: 2")) == [
                "10: : the key max_rows is given twice, first at line 7"
            ])
        #expect(problems("pipeline: a\npipeline: b") == ["2: : the key pipeline is given twice, first at line 1"])
        #expect(problems("pipeline: a\n\"pipeline\": b") == ["2: : the key pipeline is given twice, first at line 1"])
        #expect(
            problems("batch: { max_rows: 1, max_rows: 2 }") == ["1: : the key max_rows is given twice, first at line 1"]
        )
    }

    @Test func tagsMeanNothing() throws {
        let pipeline = try parse(
            minimal("batch: { max_rows: !!python/object:os.system 7 }\nagent: !x { dir: !!str d }"))
        #expect(pipeline.batch.rows_max == 7)
        #expect(pipeline.agent.dir == "d")
    }

    @Test func keysThatAreNoWords() {
        #expect(
            problems(minimal("batch: { [max_rows]: 1 }")) == [
                "6: : a key must be a single word, this is a list or mapping"
            ])
    }

    /// Nine levels of nine: 9^9 values if followed.
    static let laughs: String = {
        var text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        for level in 1...9 {
            let items = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(items)]\n"
        }
        return text
    }()

    @Test func billionLaughs() {
        let found = problems(Self.laughs)
        #expect(found.count == 1)
        #expect(found.first?.contains("more than 100000 values once its anchors are followed") == true)
    }

    @Test(arguments: [
        "*a9 : x", "? *a9\n: x", "x: { *a9 : y }", "x: [? *a9 : y]", "x: { [*a9]: y }", "x: {[*a9]:y}", "? [*a9]\n: x",
        "x: { {a: *a9}: y }",
    ])
    func billionLaughsAsAKey(key: String) {
        #expect(problems(Self.laughs + key).first?.hasSuffix("an alias, list or mapping can't be a key") == true)
    }

    @Test func variablesAreNoKeysBesideAnchors() throws {
        let text = minimal(
            "tables: [{ source: a.b, key: &k [x] }, { source: a.c, key: *k }]\nagent: { listen: ${H}:80 }")
        #expect(try parse(text, ["H": "h"]).agent.listen.host == "h")
    }

    @Test(arguments: [
        String(repeating: "[", count: 500_000), String(repeating: "- ", count: 400_000),
        "a: " + String(repeating: "{a: ", count: 200_000),
        "a: " + String(repeating: "[", count: 40) + String(repeating: "]", count: 40),
        "a: " + String(repeating: "[", count: 900) + String(repeating: "]", count: 900),
    ])
    func nesting(text: String) {
        #expect(problems(text).count == 1)
    }

    @Test func tooLarge() {
        #expect(problems(String(repeating: "#", count: (1 << 20) + 1)) == ["0: : a pipeline file has at most 1MiB"])
    }

    @Test func manyTables() throws {
        var text = minimal("tables:\n")
        for table in 0..<2_000 { text += "  - { source: public.t\(table), columns: { exclude: [secret] } }\n" }
        #expect(try parse(text).tables.count == 2_000)
    }

    @Test func privateUseCharactersInTheFileAreKept() throws {
        let pipeline = try parse(minimal("agent: { dir: \"\u{E000}${D}\u{E001}\" }"), ["D": "d"])
        #expect(pipeline.agent.dir == "\u{E000}d\u{E001}")
    }

    @Test func windowsLinesAndAByteOrderMark() throws {
        let text = "\u{FEFF}" + minimal("batch: { max_rows: x }").replacing("\n", with: "\r\n")
        #expect(problems(text) == ["6: batch.max_rows: this must be a whole number, not x"])
    }
}

import Foundation
import PipelineFile
import Replication
import Testing

/// Suites as Great Expectations writes them.
@Suite struct ExpectationSuiteTests {
    private func reading(
        _ suite: String, columns: String = "{}"
    ) throws -> (quality: TableQuality?, problems: [String]) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-gx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(suite.utf8).write(to: folder.appending(path: "orders.gx.json"))
        let text = minimal(
            "tables:\n  - source: public.orders\n    quality_suite: orders.gx.json\n    columns: \(columns)")
        do {
            let file = folder.appending(path: "millrace.yaml").path
            return (try Pipeline.parse(text: text, file: file, environment: [:]).tables[0].quality, [])
        } catch {
            #expect(error.problems.allSatisfy { $0.line == 8 && $0.keyPath == "tables[0].quality_suite" })
            return (nil, error.problems.map(\.message))
        }
    }

    /// One expectation, in both forms.
    private func checks(_ type: String, _ kwargs: String) throws -> [Expectation.Check] {
        try ["expectation_type", "type"].flatMap { key in
            let read = try reading(#"{"expectations": [{"\#(key)": "\#(type)", "kwargs": \#(kwargs), "meta": {}}]}"#)
            #expect(read.problems == [])
            return read.quality?.expectations.map(\.check) ?? []
        }
    }

    @Test(arguments: [
        ("expect_column_values_to_not_be_null", #"{"column": "a"}"#, Expectation.Check.notNull("a")),
        ("expect_column_values_to_be_unique", #"{"column": "a", "mostly": 0.9}"#, .unique(["a"], .any)),
        ("expect_compound_columns_to_be_unique", #"{"column_list": ["a", "b"]}"#, .unique(["a", "b"], .all)),
        (
            "expect_compound_columns_to_be_unique",
            #"{"column_list": ["a", "b"], "ignore_row_if": "any_value_is_missing"}"#,
            .unique(["a", "b"], .any)
        ),
        (
            "expect_column_values_to_be_between",
            #"{"column": "a", "min_value": 0, "max_value": 1.50, "strict_max": true}"#,
            .between("a", .init(min: .init("0"), max: .init("1.50", isStrict: true)))
        ),
        (
            "expect_column_values_to_be_between",
            #"{"column": "d", "min_value": "2024-01-01", "max_value": null, "strict_min": false, "result_format": "BASIC"}"#,
            .between("d", .init(min: .init("2024-01-01")))
        ),
        (
            "expect_column_values_to_be_in_set", #"{"column": "a", "value_set": ["x", 1, true, null, ""]}"#,
            .set("a", values: ["x", "1", "true", ""], isIn: true)
        ),
        (
            "expect_column_values_to_not_be_in_set", #"{"column": "a", "value_set": ["x"]}"#,
            .set("a", values: ["x"], isIn: false)
        ),
        (
            "expect_column_distinct_values_to_be_in_set", #"{"column": "a", "value_set": ["x"]}"#,
            .set("a", values: ["x"], isIn: true)
        ),
        (
            "expect_column_values_to_match_regex", #"{"column": "a", "regex": "^\\d+$"}"#,
            .matches("a", try! RowPattern("^\\d+$"), isMatch: true)
        ),
        (
            "expect_column_values_to_not_match_regex", #"{"column": "a", "regex": "x"}"#,
            .matches("a", try! RowPattern("x"), isMatch: false)
        ),
        (
            "expect_column_value_lengths_to_be_between", #"{"column": "a", "min_value": 1, "max_value": 3}"#,
            .length("a", .init(min: 1, max: 3))
        ),
        ("expect_column_value_lengths_to_equal", #"{"column": "a", "value": 2}"#, .length("a", .init(min: 2, max: 2))),
        ("expect_table_row_count_to_be_between", #"{"min_value": 1}"#, .rowCount(.init(min: 1))),
        ("expect_table_row_count_to_equal", #"{"value": 7}"#, .rowCount(.init(min: 7, max: 7))),
        ("expect_column_to_exist", #"{"column": "a", "column_index": null}"#, .exists("a")),
    ])
    func mapped(type: String, kwargs: String, check: Expectation.Check) throws {
        #expect(try checks(type, kwargs) == [check, check])
    }

    /// As GX 0.18 and 1.x save them.
    @Test func wholeSuites() throws {
        let old = try reading(
            #"""
            {"data_asset_type": null, "expectation_suite_name": "orders", "ge_cloud_id": null,
             "expectations": [
              {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "order_id"}, "meta": {"severity": "hard"}},
              {"expectation_type": "expect_column_values_to_be_in_set", "kwargs": {"column": "status", "value_set": ["a"], "mostly": 0.95}, "meta": {"severity": "soft"}},
              {"expectation_type": "expect_column_kl_divergence_to_be_less_than", "kwargs": {"column": "x"}, "meta": {"severity": "soft"}}
             ], "meta": {"great_expectations_version": "0.18.22"}}
            """#
        ).quality
        #expect(
            old?.expectations.map(\.severity) == [.hard, .soft] && old?.expectations.map(\.onFail) == [.hold, .warn])
        #expect(old?.expectations[1].mostly == Share("0.95"))
        #expect(old?.expectations[0].origin == "orders.gx.json: expectations[0]: expect_column_values_to_not_be_null")
        #expect(old?.unmapped.map(\.reason) == ["there is nothing like it here"])
        let new = try reading(
            #"""
            {"name": "orders", "id": "5b5e", "notes": null, "expectations": [
              {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "meta": {}, "severity": "critical", "id": "1"},
              {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "b"}, "severity": "warning"},
              {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "c"}, "severity": "info", "meta": {"severity": "hard", "on_fail": "warn"}},
              {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "d"}}
            ], "meta": {"great_expectations_version": "1.5.0"}}
            """#
        ).quality
        #expect(new?.expectations.map(\.severity) == [.hard, .soft, .hard, .hard])
        #expect(new?.expectations.map(\.onFail) == [.hold, .warn, .warn, .hold])
    }

    @Test(arguments: [
        (
            #"{"type": "expect_column_median_to_be_between", "kwargs": {"column": "a"}}"#,
            "there is nothing like it here"
        ),
        (#"{"kwargs": {"column": "a"}}"#, "it has no type"), (#"7"#, "it has no type"),
        (#"{"type": "expect_column_values_to_not_be_null", "kwargs": []}"#, "kwargs is no object"),
        (#"{"type": "expect_column_values_to_not_be_null", "kwargs": {}}"#, "column isn't given"),
        (#"{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": 7}}"#, "column must be a text"),
        (#"{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a\u0000"}}"#, "column must be a text"),
        (
            #"{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a", "row_condition": "b > 1", "condition_parser": "pandas"}}"#,
            "row_condition has no counterpart here"
        ),
        (
            #"{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "meta": {"severity": "high"}}"#,
            "its severity is none of hard, soft, critical, warning, info"
        ),
        (
            #"{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a", "mostly": "most"}}"#,
            "mostly must be a number from 0 to 1 with up to nine digits"
        ),
        (
            #"{"type": "expect_column_values_to_be_between", "kwargs": {"column": "a", "min_value": {"$PARAMETER": "x"}}}"#,
            "min_value must be a number, date or text"
        ),
        (
            #"{"type": "expect_column_values_to_be_between", "kwargs": {"column": "a"}}"#,
            "neither min_value nor max_value is given"
        ),
        (
            #"{"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "a", "value_set": [null]}}"#,
            "value_set is empty"
        ),
        (
            #"{"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "a", "value_set": [["x"]]}}"#,
            "value_set must hold numbers, texts and booleans"
        ),
        (
            #"{"type": "expect_column_values_to_match_regex", "kwargs": {"column": "a", "regex": "(?=x)"}}"#,
            "its regex, at character 1: looking around isn't possible in DuckDB"
        ),
        (#"{"type": "expect_table_row_count_to_equal", "kwargs": {"value": 1.5}}"#, "value must be a whole number"),
        (
            #"{"type": "expect_column_to_exist", "kwargs": {"column": "a", "column_index": 2}}"#,
            "column_index has no counterpart here"
        ),
        (
            #"{"type": "expect_column_values_to_be_between", "kwargs": {"column": "a", "min_value": "2024-01-01", "parse_strings_as_datetimes": true}}"#,
            "parse_strings_as_datetimes has no counterpart here"
        ),
        (
            #"{"type": "expect_column_values_to_be_between", "kwargs": {"column": "a", "min_value": 0, "strict_min": 1}}"#,
            "strict_min must be true or false"
        ),
    ])
    func hardOnesThatDontMap(entry: String, why: String) throws {
        let found = try reading(#"{"expectations": [\#(entry)]}"#).problems
        #expect(found.count == 1 && found[0].hasSuffix(why), "\(found)")
        // The same, soft, is told and left out.
        guard entry.hasPrefix("{"), !entry.contains("severity") else { return }
        let soft = try reading(#"{"expectations": [\#(entry.dropLast()), "meta": {"severity": "soft"}}]}"#)
        #expect(
            soft.problems == [] && soft.quality?.expectations == [] && soft.quality?.unmapped.map(\.reason) == [why])
    }

    /// What the pipeline file tells doesn't fit is in a soft one's way alone.
    @Test func softOnesThatDontFit() throws {
        let suite =
            #"{"expectations": [{"type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "mail", "value": 2}, "meta": {"severity": "SEVERITY"}}, {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}]}"#
        let hard = try reading(suite.replacing("SEVERITY", with: "hard"), columns: "{ hash: [mail] }")
        #expect(hard.problems.count == 1 && hard.problems[0].contains("the column mail is hashed"))
        let soft = try reading(suite.replacing("SEVERITY", with: "soft"), columns: "{ hash: [mail] }")
        #expect(soft.problems == [] && soft.quality?.expectations.map(\.check) == [.notNull("a")])
        #expect(soft.quality?.unmapped.map(\.reason) == ["the column mail is hashed, and length would see the hashes"])
    }

    @Test func files() throws {
        func wrong(_ text: String) throws -> String { try reading(text).problems.first ?? "" }
        #expect(try wrong("").contains("this is no JSON"))
        #expect(try wrong("{\"expectations\": [").contains("this is no JSON"))
        #expect(try wrong(String(repeating: "[", count: 200_000)).contains("this is no JSON"))
        #expect(try wrong("[]").contains("no list of expectations"))
        #expect(try wrong("{\"expectations\": {}}").contains("no list of expectations"))
        #expect(try wrong("{\"x\": \"\(String(repeating: "y", count: 5 << 20))\"}").contains("at most 4MiB"))
        let many = Array(repeating: "{}", count: 1_001).joined(separator: ",")
        #expect(try wrong("{\"expectations\": [\(many)]}").contains("at most 1000"))
        let broken = Array(repeating: "{}", count: 30).joined(separator: ",")
        #expect(try reading("{\"expectations\": [\(broken)]}").problems.last == "orders.gx.json: and 10 more")
        #expect(
            problems(minimal("tables: [{ source: a.b, quality_suite: nowhere.json }]")) == [
                "6: tables[0].quality_suite: nowhere.json: the suite can't be read: No such file or directory"
            ])
        #expect(
            problems(minimal("tables: [{ source: a.b, quality_suite: /tmp }]")).first?.contains("can't be read") == true
        )
    }
}

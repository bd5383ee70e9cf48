import JSON
import Replication

/// One expectation of a suite, as one of ours.
struct SuiteEntry {
    private let type: String
    private let kwargs: JSONValue

    init(_ type: String, _ kwargs: JSONValue) {
        self.type = type
        self.kwargs = kwargs
    }

    // MARK: Severity

    /// `meta.severity` before `severity` of 1.x; without either it is hard, as Great Expectations fails on it.
    static func severity(_ entry: JSONValue) throws(SuiteError) -> Expectation.Severity {
        let meta = entry["meta"]?["severity"]
        guard let given = meta.flatMap({ $0.isNull ? nil : $0 }) ?? entry["severity"], !given.isNull else {
            return .hard
        }
        switch given.string?.lowercased() {
        case "hard", "critical", "error": return .hard
        case "soft", "warning", "warn", "info": return .soft
        default:
            throw SuiteError(
                "its severity is none of hard, soft, critical, warning, info", try: "\"meta\": {\"severity\": \"hard\"}"
            )
        }
    }

    static func onFail(_ entry: JSONValue) throws(SuiteError) -> Expectation.OnFail? {
        guard let given = entry["meta"]?["on_fail"], !given.isNull else { return nil }
        guard let onFail = given.string.flatMap(Expectation.OnFail.init(rawValue:)) else {
            let words = Expectation.OnFail.allCases.map(\.rawValue)
            throw SuiteError(
                "meta.on_fail is none of \(words.joined(separator: ", "))", try: "\"meta\": {\"on_fail\": \"hold\"}")
        }
        return onFail
    }

    // MARK: Types

    /// What says nothing of the rows.
    private static let ignored: Set<String> = [
        "result_format", "catch_exceptions", "include_config", "batch_id", "meta", "id", "notes", "auto",
        "profiler_config", "severity", "description",
    ]

    func expectation() throws(SuiteError) -> (check: Expectation.Check, mostly: Share) {
        guard kwargs.members != nil else { throw SuiteError("kwargs is no object") }
        guard let (keys, read) = Self.types[type] else {
            throw SuiteError("there is nothing like it here", try: "expect: expression, in quality")
        }
        for (key, value) in kwargs.members ?? []
        where !keys.contains(key) && !Self.ignored.contains(key) && !Self.isUnset(value) {
            throw SuiteError("\(ExpectationSuite.shortened(key)) has no counterpart here")
        }
        return (try read(self), keys.contains("mostly") ? try mostly() : .all)
    }

    private static func isUnset(_ value: JSONValue) -> Bool { value.isNull || value.bool == false }

    private typealias Read = @Sendable (SuiteEntry) throws(SuiteError) -> Expectation.Check

    private static let types: [String: (keys: Set<String>, read: Read)] = [
        "expect_column_values_to_not_be_null": (
            ["column", "mostly"], { (e) throws(SuiteError) in .notNull(try e.column()) }
        ),
        "expect_column_values_to_be_unique": (
            ["column", "mostly"], { (e) throws(SuiteError) in .unique([try e.column()], .any) }
        ),
        "expect_compound_columns_to_be_unique": (
            ["column_list", "ignore_row_if", "mostly"],
            { (e) throws(SuiteError) in .unique(try e.columns("column_list"), try e.nulls()) }
        ),
        "expect_column_values_to_be_between": (
            ["column", "min_value", "max_value", "strict_min", "strict_max", "mostly"],
            { (e) throws(SuiteError) in .between(try e.column(), try e.bounds()) }
        ),
        "expect_column_values_to_be_in_set": (
            ["column", "value_set", "mostly"],
            { (e) throws(SuiteError) in .set(try e.column(), values: try e.values(), isIn: true) }
        ),
        "expect_column_values_to_not_be_in_set": (
            ["column", "value_set", "mostly"],
            { (e) throws(SuiteError) in .set(try e.column(), values: try e.values(), isIn: false) }
        ),
        "expect_column_distinct_values_to_be_in_set": (
            ["column", "value_set"],
            { (e) throws(SuiteError) in .set(try e.column(), values: try e.values(), isIn: true) }
        ),
        "expect_column_values_to_match_regex": (
            ["column", "regex", "mostly"],
            { (e) throws(SuiteError) in .matches(try e.column(), try e.pattern(), isMatch: true) }
        ),
        "expect_column_values_to_not_match_regex": (
            ["column", "regex", "mostly"],
            { (e) throws(SuiteError) in .matches(try e.column(), try e.pattern(), isMatch: false) }
        ),
        "expect_column_value_lengths_to_be_between": (
            ["column", "min_value", "max_value", "mostly"],
            { (e) throws(SuiteError) in
                let (min, max) = try e.counts()
                return .length(try e.column(), .init(min: min, max: max))
            }
        ),
        "expect_column_value_lengths_to_equal": (
            ["column", "value", "mostly"],
            { (e) throws(SuiteError) in
                let value = try e.required(try e.count("value"), "value")
                return .length(try e.column(), .init(min: value, max: value))
            }
        ),
        "expect_table_row_count_to_be_between": (
            ["min_value", "max_value"],
            { (e) throws(SuiteError) in
                let (min, max) = try e.counts()
                return .rowCount(.init(min: min, max: max))
            }
        ),
        "expect_table_row_count_to_equal": (
            ["value"],
            { (e) throws(SuiteError) in
                let value = try e.required(try e.count("value"), "value")
                return .rowCount(.init(min: value, max: value))
            }
        ),
        // Where in the table it stands is the source's.
        "expect_column_to_exist": (["column"], { (e) throws(SuiteError) in .exists(try e.column()) }),
    ]

    /// Those that there is something for.
    static var mapped: [String] { types.keys.sorted() }

    // MARK: Arguments

    /// Neither left out nor null.
    private func given(_ key: String) -> JSONValue? { kwargs[key].flatMap { $0.isNull ? nil : $0 } }

    private func required<Value>(_ value: Value?, _ key: String) throws(SuiteError) -> Value {
        guard let value else { throw SuiteError("\(key) isn't given") }
        return value
    }

    private func text(_ key: String) throws(SuiteError) -> String {
        guard let text = try required(given(key), key).string, !text.isEmpty, !text.utf8.contains(0) else {
            throw SuiteError("\(key) must be a text")
        }
        return text
    }

    private func column() throws(SuiteError) -> String { try text("column") }

    private func columns(_ key: String) throws(SuiteError) -> [String] {
        let names = try required(given(key)?.array, key).compactMap(\.string)
        guard !names.isEmpty, names.count == given(key)?.array?.count, Set(names).count == names.count,
            names.allSatisfy({ !$0.isEmpty && !$0.utf8.contains(0) })
        else { throw SuiteError("\(key) must be a list of columns, each once") }
        return names
    }

    private func nulls() throws(SuiteError) -> Expectation.UniqueNulls {
        switch given("ignore_row_if")?.string {
        case nil, "all_values_are_missing": .all
        case "any_value_is_missing": .any
        case "never": .none
        default: throw SuiteError("ignore_row_if is none of all_values_are_missing, any_value_is_missing, never")
        }
    }

    private func mostly() throws(SuiteError) -> Share {
        guard let given = given("mostly") else { return .all }
        guard case .number(let text) = given, let share = Share(text), share.isPart else {
            throw SuiteError("mostly must be a number from 0 to 1 with up to nine digits")
        }
        return share
    }

    /// A number, text or boolean as text.
    private static func scalar(_ value: JSONValue) -> String? {
        switch value {
        case .number(let text): text
        case .string(let text): text.utf8.contains(0) ? nil : text
        case .bool(let flag): flag ? "true" : "false"
        case .null, .array, .object: nil
        }
    }

    private func bounds() throws(SuiteError) -> Expectation.Bounds {
        func bound(_ key: String, _ strict: String) throws(SuiteError) -> Expectation.Bound? {
            guard let value = given(key) else { return nil }
            guard let text = Self.scalar(value), !text.isEmpty else {
                throw SuiteError("\(key) must be a number, date or text")
            }
            guard let flag = given(strict) else { return .init(text) }
            guard let isStrict = flag.bool else { throw SuiteError("\(strict) must be true or false") }
            return .init(text, isStrict: isStrict)
        }
        let bounds = Expectation.Bounds(
            min: try bound("min_value", "strict_min"), max: try bound("max_value", "strict_max"))
        guard bounds.min != nil || bounds.max != nil else {
            throw SuiteError("neither min_value nor max_value is given")
        }
        return bounds
    }

    private static let values_max = 10_000

    private func values() throws(SuiteError) -> [String] {
        let list = try required(given("value_set")?.array, "value_set")
        guard list.count <= Self.values_max else {
            throw SuiteError("value_set has more than \(Self.values_max) values")
        }
        // Null passes anyway.
        let values = list.filter { !$0.isNull }
        let texts = values.compactMap(Self.scalar)
        guard texts.count == values.count else { throw SuiteError("value_set must hold numbers, texts and booleans") }
        guard !texts.isEmpty else { throw SuiteError("value_set is empty") }
        return texts
    }

    private func pattern() throws(SuiteError) -> RowPattern {
        let text = try text("regex")
        do {
            return try RowPattern(text)
        } catch {
            throw SuiteError("its regex, \(error.description)", try: error.remedy)
        }
    }

    private func count(_ key: String) throws(SuiteError) -> Int? {
        guard let value = given(key) else { return nil }
        guard case .number(let text) = value, let number = ExactDecimal(text)?.wholeNumber, number >= 0 else {
            throw SuiteError("\(key) must be a whole number")
        }
        return number
    }

    private func counts() throws(SuiteError) -> (min: Int?, max: Int?) {
        let (min, max) = (try count("min_value"), try count("max_value"))
        guard min != nil || max != nil else { throw SuiteError("neither min_value nor max_value is given") }
        if let min, let max, min > max { throw SuiteError("min_value is above max_value") }
        return (min, max)
    }
}

import JSON
import Replication

/// What `millrace quality` found.
package struct QualityReport: Sendable, Equatable {
    package enum Verdict: String, Sendable {
        case pass, fail
        /// It can't be told: there is nothing to compare with yet, or the warehouse doesn't answer.
        case unknown
        /// It can't be held against the table: it is the pipeline file that must change.
        case misfit
    }

    package struct Rule: Sendable, Equatable {
        package var expect: String
        package var columns: [String]
        package var severity: Expectation.Severity
        package var onFail: Expectation.OnFail
        package var mostly: String
        package var origin: String
        package var verdict = Verdict.pass
        /// Those looked at; nil where rows aren't what is counted.
        package var rows: Int64?
        package var failing: Int64?
        /// Of some rows that fail, as JSON objects.
        package var keys: [String] = []
        package var reason: String?
        package var remedy: String?

        init(_ expectation: Expectation) {
            expect = expectation.check.name
            columns = expectation.check.columns
            severity = expectation.severity
            onFail = expectation.onFail
            mostly = expectation.mostly.text
            origin = expectation.origin
        }

        mutating func fail(_ verdict: Verdict, _ reason: String, try remedy: String? = nil) {
            self.verdict = verdict
            self.reason = reason
            self.remedy = remedy
        }

        package var isFailed: Bool { verdict == .fail && severity == .hard }
    }

    package struct Table: Sendable, Equatable {
        package var source: String
        package var target: String?
        package var rules: [Rule] = []
        /// Soft expectations of a suite that aren't checked.
        package var unmapped: [TableQuality.Unmapped] = []
        /// Why it wasn't looked at, or not to the end.
        package var reason: String?
        package var remedy: String?
    }

    package var tables: [Table] = []
    /// Of all the expectations that whoever answers has.
    package var fingerprint: String

    package init(fingerprint: String) { self.fingerprint = fingerprint }
}

// MARK: Forms

extension QualityReport {
    package var json: JSONValue {
        .object([("fingerprint", .string(fingerprint)), ("tables", .array(tables.map(\.json)))])
    }

    package init?(json: JSONValue) {
        guard let fingerprint = json["fingerprint"]?.string, let tables = json["tables"]?.array else { return nil }
        self.fingerprint = fingerprint
        for table in tables {
            guard let table = Table(json: table) else { return nil }
            self.tables.append(table)
        }
    }
}

extension QualityReport.Table {
    var json: JSONValue {
        .object([
            ("source", .string(source)), ("target", .text(target)), ("reason", .text(reason)), ("try", .text(remedy)),
            ("rules", .array(rules.map(\.json))),
            (
                "unmapped",
                .array(unmapped.map { .object([("origin", .string($0.origin)), ("reason", .string($0.reason))]) })
            ),
        ])
    }

    init?(json: JSONValue) {
        guard let source = json["source"]?.string, let rules = json["rules"]?.array,
            let unmapped = json["unmapped"]?.array
        else { return nil }
        self.init(source: source, target: json["target"]?.string)
        reason = json["reason"]?.string
        remedy = json["try"]?.string
        self.unmapped = unmapped.map { .init(origin: $0["origin"]?.string ?? "", reason: $0["reason"]?.string ?? "") }
        for rule in rules {
            guard let rule = QualityReport.Rule(json: rule) else { return nil }
            self.rules.append(rule)
        }
    }
}

extension QualityReport.Rule {
    /// Of the rows looked at; 0 where there are none.
    package var failingFraction: Double? {
        guard let rows, let failing else { return nil }
        return rows == 0 ? 0 : Double(failing) / Double(rows)
    }

    var json: JSONValue {
        .object([
            ("expect", .string(expect)), ("columns", .array(columns.map(JSONValue.string))),
            ("origin", .string(origin)), ("severity", .string(severity.rawValue)),
            ("on_fail", .string(onFail.rawValue)), ("mostly", .number(mostly)), ("verdict", .string(verdict.rawValue)),
            ("rows", .integer(rows)), ("failing", .integer(failing)),
            ("failing_fraction", failingFraction.map { .number("\($0)") } ?? .null),
            ("keys", .array(keys.map { (try? JSONValue(parsing: $0)) ?? .string($0) })), ("reason", .text(reason)),
            ("try", .text(remedy)),
        ])
    }

    init?(json: JSONValue) {
        guard let expect = json["expect"]?.string, let columns = json["columns"]?.array,
            let severity = json["severity"]?.string.flatMap(Expectation.Severity.init(rawValue:)),
            let onFail = json["on_fail"]?.string.flatMap(Expectation.OnFail.init(rawValue:)),
            let verdict = json["verdict"]?.string.flatMap(QualityReport.Verdict.init(rawValue:)),
            let keys = json["keys"]?.array
        else { return nil }
        self.expect = expect
        self.columns = columns.compactMap(\.string)
        self.severity = severity
        self.onFail = onFail
        self.verdict = verdict
        if case .number(let text)? = json["mostly"] { mostly = text } else { mostly = "1" }
        origin = json["origin"]?.string ?? ""
        rows = json["rows"]?.int64
        failing = json["failing"]?.int64
        self.keys = keys.map(\.serialized)
        reason = json["reason"]?.string
        remedy = json["try"]?.string
    }
}

import JSON
import Replication

extension LineageReporter {
    /// What was expected of tables and what was found, told when it is.
    func found(_ report: QualityReport, from run: LineageRunKey) {
        self.report(.complete, of: run, inputs: LineageQuality.inputs(report, builder), outputs: [])
    }

    func beganQuality() -> LineageRunKey { report(.quality, inputs: [], outputs: []) }
}

extension Optional where Wrapped == LineageReporter {
    func examining(_ work: () async throws -> QualityReport) async throws -> QualityReport {
        guard let reporter = self else { return try await work() }
        return try await whileOpen {
            let run = await reporter.beganQuality()
            do {
                let report = try await work()
                await reporter.found(report, from: run)
                return report
            } catch {
                await reporter.report(
                    .failed(ExitStatus.failure(of: error).message), of: run, inputs: [], outputs: [])
                throw error
            }
        }
    }
}

/// Pure.
enum LineageQuality {
    /// The live views that were looked at. Keys of rows that fail aren't told.
    static func inputs(_ report: QualityReport, _ builder: LineageEventBuilder) -> [JSONValue] {
        report.tables.compactMap { table in
            guard let target = table.target else { return nil }
            let dataset = LineageDataset(
                namespace: builder.facts.warehouse.namespace, name: "\(builder.facts.warehouse.database).\(target)")
            let assertions = table.rules.compactMap(assertion)
            return builder.dataset(
                dataset, input: [("dataQualityAssertions", builder.facets.assertions(assertions))])
        }
    }

    /// Nil: it couldn't be told.
    private static func assertion(_ rule: QualityReport.Rule) -> LineageAssertion? {
        guard rule.verdict == .pass || rule.verdict == .fail else { return nil }
        let failing = rule.failing.map { failing in
            rule.rows.map { "\(failing) of \($0) rows fail" } ?? "\(failing) rows fail"
        }
        return LineageAssertion(
            assertion: rule.expect, success: rule.verdict == .pass,
            column: rule.columns.count == 1 ? rule.columns[0] : nil, isHard: rule.severity == .hard,
            name: rule.columns.count > 1 ? "\(rule.expect)(\(rule.columns.joined(separator: ", ")))" : nil,
            expected: "mostly \(rule.mostly)", actual: failing)
    }
}

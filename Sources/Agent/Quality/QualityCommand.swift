import JSON
import Replication

/// `millrace quality`: holds whole tables against what the pipeline file expects of them.
package struct QualityCommand: Sendable {
    package var selection: TableSelection

    package init(_ selection: TableSelection) { self.selection = selection }

    /// Returns the exit code: 6 where a hard expectation fails.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        let lineage = setup.makeLineage()
        let report = try await lineage.examining { try await examined(setup, context) }
        guard report.fingerprint == QualityRules.fingerprint(setup.expectations) else {
            throw CommandFailure(
                ExitStatus.usage, "the running agent has other expectations than \(context.file)",
                try: "millrace reload, then: millrace quality")
        }
        if context.json {
            context.console.result(report.json.serialized)
        } else if report.tables.isEmpty {
            context.console.note("nothing is expected of any table: see tables[].quality in docs/quality.md")
        } else {
            context.console.result(text(report, context.console))
        }
        return try exit(report)
    }

    private func examined(_ setup: PipelineSetup, _ context: CommandContext) async throws -> QualityReport {
        try await context.withControl(setup, readOnly: true) { try await $0.quality(selection) }
    }

    func exit(_ report: QualityReport) throws -> Int32 {
        let rules = report.tables.flatMap { table in table.rules.map { (table.source, $0) } }
        if rules.contains(where: { $0.1.isFailed }) { return ExitStatus.quality }
        let misfits = rules.filter { $0.1.verdict == .misfit && $0.1.severity == .hard }
        guard misfits.isEmpty else {
            throw CommandFailure(
                ExitStatus.usage,
                misfits.map { .init("\($0): \($1.origin): \($1.expect): \($1.reason ?? "")", try: $1.remedy) })
        }
        if let table = report.tables.first(where: { $0.reason != nil }) {
            throw CommandFailure(
                ExitStatus.environment, "\(table.source) wasn't looked at: \(table.reason ?? "")",
                try: table.remedy ?? "millrace run, then: millrace quality")
        }
        return ExitStatus.ok
    }

    // MARK: Text

    private func text(_ report: QualityReport, _ console: Console) -> String {
        report.tables.flatMap { table -> [String] in
            let name = Console.printable(table.source)
            let reason = table.reason.map {
                "\(console.paint("not looked at", .yellow)) \(name): \(Console.printable($0))"
            }
            return (reason.map { [$0] } ?? []) + table.rules.flatMap { lines($0, name, console) }
                + table.unmapped.map {
                    "\(console.paint("not checked", .yellow)) \(name): \(Console.printable("\($0.origin): \($0.reason)"))"
                }
        }.joined(separator: "\n")
    }

    private func lines(_ rule: QualityReport.Rule, _ table: String, _ console: Console) -> [String] {
        let word =
            switch rule.verdict {
            case .pass: console.paint("pass", .green)
            case .fail where rule.severity == .hard: console.paint("fail", .red)
            case .fail: console.paint("warn", .yellow)
            case .unknown: console.paint("unknown", .yellow)
            case .misfit where rule.severity == .hard: console.paint("error", .red)
            case .misfit: console.paint("not checked", .yellow)
            }
        let columns = rule.columns.isEmpty ? "" : " \(rule.columns.joined(separator: ", "))"
        var line = "\(word) \(table)\(Console.printable(columns)) \(rule.expect) (\(rule.severity.rawValue))"
        if let reason = rule.reason {
            line += ": \(Console.printable(reason))"
        } else if let rows = rule.rows, let failing = rule.failing {
            line += failing == 0 ? ": \(rows) rows" : ": \(failing) of \(rows) rows"
        } else if let rows = rule.rows {
            line += ": \(rows) rows"
        }
        if rule.verdict == .pass, rule.mostly != "1", rule.failing ?? 0 > 0 { line += ", mostly \(rule.mostly)" }
        let more = Int64(rule.keys.count) < rule.failing ?? 0 && !rule.keys.isEmpty ? ["  …"] : []
        return [line] + rule.keys.map { "  \(Console.printable($0))" } + more
    }
}

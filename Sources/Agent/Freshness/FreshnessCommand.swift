import JSON
import Replication

/// `millrace freshness`: whether tables keep their contracts.
package struct FreshnessCommand: Sendable {
    package var selection: TableSelection

    package init(_ selection: TableSelection) { self.selection = selection }

    /// Returns the exit code: 5 where a table is stale.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        let report = try await context.withControl(setup, readOnly: true) { try await $0.freshness(selection) }
        try refuseOthers(report, setup, context.file)
        if context.json {
            context.console.result(report.json.serialized)
        } else if report.tables.isEmpty {
            context.console.note("no table has a freshness contract: see tables[].freshness in docs/freshness.md")
        } else {
            context.console.result(report.text(context.console))
        }
        return report.isStale ? ExitStatus.stale : ExitStatus.ok
    }

    /// A running agent goes by the contracts that it has read.
    private func refuseOthers(_ report: FreshnessReport, _ setup: PipelineSetup, _ file: String) throws {
        let expected = setup.freshness(report.tables.map(\.contract.table))
        let found = report.tables.map(\.contract)
        let isSame = selection == .all ? found == expected : found.allSatisfy(expected.contains)
        guard isSame else {
            throw CommandFailure(
                ExitStatus.usage, "the running agent has other freshness contracts than \(file)",
                try: "millrace reload, then: millrace freshness")
        }
    }
}

extension FreshnessReport {
    /// For people.
    func text(_ console: Console) -> String {
        let header = ["table", "status", "behind by", "allowed", "complete as of", "last change", "reason"]
        var text = TextTable(header, right: [2, 3])
        text.rows = tables.map { table in
            [
                table.table, table.status.rawValue + (table.isIdle ? " (idle)" : ""),
                table.staleness_us.map(Self.span) ?? "-", Self.span(table.contract.maxStaleness_us),
                Self.second(table.completeAsOf_us), Self.second(table.changedAt_us), table.reason ?? "",
            ]
        }
        return text.text
    }

    /// In whole units, the largest of which there are two.
    private static func span(_ time_us: Int64) -> String {
        let (seconds, limits) = (time_us / 1_000_000, [(86_400, "d"), (3600, "h"), (60, "m")] as [(Int64, String)])
        if seconds < 1 { return "\(time_us / 1000)ms" }
        let unit = limits.first { seconds >= 2 * $0.0 || seconds == $0.0 }
        return unit.map { "\(seconds / $0.0)\($0.1)" } ?? "\(seconds)s"
    }

    private static func second(_ time_us: Int64?) -> String {
        time_us.flatMap(Moment.text).map { String($0.prefix(19)).replacing("T", with: " ") + "Z" } ?? "-"
    }
}

import Postgres
import Replication

/// `millrace status`.
package struct StatusCommand: Sendable {
    package init() {}

    package func run(_ context: CommandContext) async throws {
        let setup = try context.loadSetup()
        let report = try await context.withControl(setup, readOnly: true) { try await $0.status() }
        context.console.result(context.json ? report.detailedJSON.serialized : report.text(context.console))
    }
}

extension StatusReport {
    /// For people.
    func text(_ console: Console) -> String {
        let paint: Console.Paint = state == .ok ? .green : state == .degraded || state == .standby ? .yellow : .bold
        var lines = ["\(pipeline): \(console.paint(state.rawValue, paint))\(isAgentRunning ? ", an agent runs" : "")"]
        if !position.isEmpty { lines.append("position: \(Console.printable(position))") }
        if let waiting { lines.append("waiting: \(Console.printable(waiting))") }
        for lost in lost { lines.append("stopped: \(Console.printable(lost))") }
        // All tables are often held for the same reason.
        if let hold = tables.flatMap(\.holds).first(where: { !$0.kind.isWanted }) {
            lines.append("held: \(Console.printable(hold.reason)) Try: \(hold.remedy)")
        }
        let plans = schemaChanges.filter { $0.state == .waiting }
        if let first = plans.first {
            let more = plans.count > 1 ? ", and \(plans.count - 1) more" : ""
            lines.append(
                "schema: \(Console.printable("\(first.table): \(first.what)"))\(more) wait for you. Try: millrace schema list"
            )
        }
        if cutTransactions > 0 {
            lines.append("source transactions applied in parts: \(cutTransactions)")
        }
        lines.append("control records: \(control)")
        if unknown.read > 0 {
            lines.append("records of no known table: \(unknown.read), quarantined \(unknown.quarantined)")
        }
        return lines.joined(separator: "\n") + "\n" + (tables.isEmpty ? "" : table.text)
    }

    private var table: TextTable {
        let hasRows = tables.contains { $0.rows != nil }
        let counts = StatusReport.Table.counts
        let hasSweeps = tables.contains { $0.sweep != nil }
        let hasContracts = tables.contains { $0.freshness != nil }
        let names =
            ["source", "target", "state"] + (hasRows ? ["live", "deleted"] : []) + counts.map(\.0) + ["lag ms"]
            + (hasSweeps ? ["equal as of"] : []) + (hasContracts ? ["freshness"] : [])
        var text = TextTable(names, right: Set(3..<names.count))
        text.rows = tables.map { table in
            var row = [table.source, table.target ?? "-", table.error.map { "error: \($0)" } ?? table.state]
            if hasRows {
                row += [table.rows.map { String($0.live) } ?? "-", table.rows.map { String($0.deleted) } ?? "-"]
            }
            row += counts.map { String(table.ledger[keyPath: $0.1]) }
            row.append(table.lag_ms.map(String.init) ?? "-")
            if hasSweeps {
                let proven =
                    table.sweep?.provenPosition.map(LSN.text) ?? (table.sweep?.provenAt_us == nil ? "-" : "raw")
                row.append(table.sweep.map { $0.differences > 0 ? "\($0.differences) differ" : proven } ?? "-")
            }
            if hasContracts { row.append(table.freshness?.status.rawValue ?? "-") }
            return row
        }
        return text
    }
}

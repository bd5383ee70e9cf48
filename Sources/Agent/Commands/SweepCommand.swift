import JSON
import Postgres
import Replication

/// `millrace sweep`: the running agent compares tables with their source.
package struct SweepCommand: Sendable {
    /// Keys that are shown for people; `--json` has more.
    private static let shown_max = 20

    package var selection: TableSelection
    package var request: SweepRequest
    private var kind: SweepKind { request.kind }

    package init(_ selection: TableSelection, _ request: SweepRequest = SweepRequest()) {
        self.selection = selection
        self.request = request
    }

    /// Returns the exit code.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        let report: SweepReport
        if let agent = try await APIClient.running(setup.pipeline) {
            report = try await finished(try await agent.sweep(selection, request), agent, context)
        } else {
            report = try await alone(setup, context)
        }
        context.console.result(context.json ? report.json.serialized : text(report, context))
        if report.hasDifferences { return ExitStatus.differences }
        if let table = report.tables.first(where: { $0.record?.isEqual == false }), let record = table.record {
            throw CommandFailure(
                ExitStatus.environment,
                "\(table.source) was compared without \(record.uncovered.joined(separator: ", "))",
                try:
                    "let the warehouse have the source's types (columns.types), or leave the columns out (columns.exclude)"
            )
        }
        if let table = report.tables.first(where: { $0.record == nil && ($0.late == nil || $0.reason != nil) }) {
            throw CommandFailure(
                ExitStatus.environment,
                "\(table.source) wasn't \(kind == .late ? "reconciled" : "compared"): \(table.reason ?? "")",
                try: "millrace sweep --table with those that can be, or see: millrace status")
        }
        return ExitStatus.ok
    }

    /// Without an agent: what raw says can be asked for at any time, the source can't.
    private func alone(_ setup: PipelineSetup, _ context: CommandContext) async throws -> SweepReport {
        guard kind == .late || !setup.pipeline.source.isComparable else {
            throw CommandFailure(
                ExitStatus.environment, "a sweep needs the running agent, which brings the warehouse to the snapshot",
                try: "millrace run, then: millrace sweep")
        }
        // The agent would have refused it.
        if kind == .late || kind == .repair { try setup.refuseGates() }
        return try await setup.withWarehouse(readOnly: false) { warehouse in
            let status = AgentStatus()
            let holds = try await warehouse.holds()
            status.update { $0.holds = holds }
            let lineage = setup.makeLineage()
            let jobs = setup.sweepJobs(warehouse, status, LiveSetup(setup), lineage: lineage)
            var running = WarehouseControl.Running(status: status) { _ in }
            running.sweeps = jobs
            let control = setup.control(warehouse, catalog: nil, running: running)
            return try await lineage.whileOpen {
                try await finished(try await control.sweep(selection, request), control, context)
            }
        }
    }

    private func finished(_ number: Int, _ agent: any AgentControl, _ context: CommandContext) async throws
        -> SweepReport
    {
        defer { context.console.progress("") }
        // Soon for what is short.
        var pause = Duration.milliseconds(20)
        while true {
            let state: SweepJobs.State
            do {
                state = try await agent.sweepState(number)
            } catch let error as ReplicationError where error.kind == .environment {
                throw CommandFailure(
                    ExitStatus.environment, error.message,
                    try: "millrace run, which goes on with the sweep by itself; then: millrace status")
            }
            switch state {
            case .running(let progress): context.console.progress(progress)
            case .done(let report): return report
            case .failed(let failure): throw failure
            }
            try await Task.sleep(for: pause)
            pause = min(pause * 1.2, .milliseconds(200))
        }
    }

    private func text(_ report: SweepReport, _ context: CommandContext) -> String {
        if kind == .late { return lateText(report, context) }
        var lines =
            report.isFold
            ? ["against raw, as no source is asked: what never came into raw isn't missed"]
            : ["as of \(LSN.text(report.position)) (snapshot \(report.snapshot)):"]
        if request.recent_s != nil {
            lines.append("only rows of which something came in that time; of others nothing is said")
        }
        for table in report.tables {
            let name = Console.printable(table.source)
            guard let record = table.record else {
                lines.append("\(context.console.paint("not compared", .yellow)) \(name): \(table.reason ?? "")")
                continue
            }
            var left = record.uncovered.isEmpty ? "" : "; not compared: \(record.uncovered.joined(separator: ", "))"
            if let reason = table.reason { left += "; \(reason)" }
            if record.position != report.position, !report.isFold { left += "; as of \(LSN.text(record.position))" }
            if record.differences == 0, record.moved == 0 {
                let mended = record.repaired > 0 ? ", \(record.repaired) of them repaired" : ""
                lines.append(
                    "\(context.console.paint("equal", record.isEqual ? .green : .yellow)) \(name): \(record.rows) rows\(mended)\(left)"
                )
                continue
            }
            let counts = [
                (record.missing, "missing"), (record.extra, "extra"), (record.different, "different"),
                (record.moved, "changed whenever they were looked at"),
            ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
            lines.append(
                "\(context.console.paint("differs", .red)) \(name): \(record.rows) rows, \(counts.joined(separator: ", "))\(left)"
            )
            for difference in table.differences.prefix(Self.shown_max) {
                let columns = difference.columns.isEmpty ? "" : ": \(difference.columns.joined(separator: ", "))"
                let key = difference.key.map { Console.printable($0) }.joined(separator: ", ")
                lines.append(
                    "  \(difference.kind.rawValue.replacing("_", with: " ")) \(key)\(Console.printable(columns))")
            }
            if table.differences.count > Self.shown_max { lines.append("  … (--json has \(table.differences.count))") }
            if record.differences > 0 { lines.append("  Try: millrace sweep --table \(name) --repair") }
        }
        return lines.joined(separator: "\n")
    }

    private func lateText(_ report: SweepReport, _ context: CommandContext) -> String {
        report.tables.map { table in
            let name = Console.printable(table.source)
            guard let late = table.late else {
                return "\(context.console.paint("not reconciled", .yellow)) \(name): \(table.reason ?? "")"
            }
            return "\(name): \(late.rows) rows looked at, \(late.mended) mended\(table.reason.map { "; \($0)" } ?? "")"
        }.joined(separator: "\n")
    }
}

extension WarehouseControl {
    package func sweep(_ selection: TableSelection, _ request: SweepRequest) async throws -> Int {
        _ = try atWork()
        guard let sweeps = running?.sweeps else {
            throw CommandFailure(
                ExitStatus.environment, "a sweep is the running agent's to do",
                try: "millrace run, then: millrace sweep")
        }
        let tables = try await chosen(selection)
        if request.kind == .late { return try sweeps.reconcileLate(tables, 0..<Moment.now_us() + 1) }
        // Before anything is compared.
        if request.kind == .repair { try layout.requireLayers("a repair") }
        return try sweeps.start(tables, request)
    }

    /// How long it may seem that nothing is copied.
    private static let repair_max = Duration.seconds(60)

    /// Returns when the tables are resynced, and all of it is durable.
    func copyAnew(_ tables: [TableID]) async throws {
        guard let status = running?.status, let job = copyJob else { return }
        _ = try await resync(.named(tables.map(\.description)))
        var lastTold = ContinuousClock.now
        while true {
            try await Task.sleep(for: .milliseconds(100))
            let progress = status.current.progress
            if let reason = tables.lazy.compactMap({ progress.refused[$0] }).first {
                throw CommandFailure(
                    ExitStatus.environment, "a table can't be copied anew: \(reason)", try: "millrace check")
            }
            // The marks went with the request and are made by the commit that ends the copy. What is told of the source's
            // progress may be older than the request.
            let isTold = tables.contains { progress.resyncing.contains($0) || progress.copying[$0] != nil }
            guard !isTold else {
                lastTold = .now
                continue
            }
            let copied = Set(
                try await warehouse.copied(job: job).filter { $0.isWholeTable && $0.state == .done }.map(\.table))
            if copied.isSuperset(of: tables) { return }
            if let left = tables.first(where: { !copied.contains($0) }),
                ContinuousClock.now - lastTold > Self.repair_max
            {
                throw CommandFailure(
                    ExitStatus.environment, "\(left) isn't being copied anew",
                    try: "see whether the publication has it: millrace check")
            }
        }
    }

    package func sweepState(_ number: Int) async throws -> SweepJobs.State {
        guard let state = running?.sweeps?.state(of: number) else {
            throw CommandFailure(
                ExitStatus.environment, "the agent knows nothing of the sweep any more", try: "millrace sweep")
        }
        return state
    }
}

import Logging
import Replication

/// Folds rows from raw again to which events came late, and those that lack a column: whatever order they came in, current
/// is what raw says then.
struct LateReconciler {
    /// Keys of one transaction; the table's other writers wait for it.
    private static let keys_max = 500
    /// Incomplete rows of a table that are looked at in one turn.
    private static let incomplete_max = 1000

    let setup: PipelineSetup
    let warehouse: any Warehouse
    let status: AgentStatus
    let progress: @Sendable (String) -> Void

    func run(_ tables: [TableDefinition], _ arrived_us: Range<Int64>) async throws -> SweepReport {
        guard setup.layout.hasRaw, setup.layout.hasCurrent else {
            throw CommandFailure(
                ExitStatus.usage, "late events are reconciled from raw into current, and one of them is off",
                try: "set layers: { raw: true, current: true } in the pipeline file")
        }
        var report = SweepReport()
        report.snapshot = SweepRecord.fold
        for table in tables {
            var entry = SweepReport.Table(source: table.source.description)
            entry.reason = status.current.obstacle(table)
            if entry.reason == nil {
                progress("reconciling late events of \(table.source)")
                do {
                    entry.late = try await reconcile(table, arrived_us)
                } catch let error as ReplicationError where error.kind != .passing {
                    entry.reason = error.message
                }
            }
            report.tables.append(entry)
        }
        return report
    }

    private func reconcile(_ table: TableDefinition, _ arrived_us: Range<Int64>) async throws -> SweepReport.Late {
        var done = SweepReport.Late(rows: 0, mended: 0)
        func fold(_ keys: [String], _ reconciles: Range<Int64>?) async throws {
            try Task.checkCancellation()
            done.rows += keys.count
            done.mended += try await warehouse.refold(
                RefoldRequest(
                    table: table, keys: keys, way: .over, options: setup.releaseOptions(of: table.source),
                    reconciles: reconciles))
        }
        while true {
            let keys = try await warehouse.lateKeys(table.source, arrived_us, limit: Self.keys_max)
            if keys.isEmpty { break }
            try await fold(keys, arrived_us)
        }
        let incomplete = try await warehouse.incompleteKeys(table, limit: Self.incomplete_max)
        for start in stride(from: 0, to: incomplete.count, by: Self.keys_max) {
            try await fold(Array(incomplete[start..<min(start + Self.keys_max, incomplete.count)]), nil)
        }
        return done
    }
}

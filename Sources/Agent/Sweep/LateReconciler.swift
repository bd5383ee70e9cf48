import Replication
import Synchronization

/// Folds rows from raw again to which events came late, and those that lack a column: whatever order they came in, current
/// is what raw says then.
struct LateReconciler {
    /// Keys of one transaction; the table's other writers wait for it.
    private static let keys_max = 50
    /// Incomplete rows of a table that are looked at in one turn.
    private static let incomplete_max = 1000

    let setup: PipelineSetup
    let warehouse: any Warehouse
    let status: AgentStatus
    let tried: Tried
    let progress: @Sendable (String) -> Void

    /// Incomplete rows of which raw has nothing more, so that the same aren't looked at each time; of one run of the agent.
    final class Tried: Sendable {
        private static let keys_max = 100_000
        private let keys = Mutex<[TableID: Set<String>]>([:])

        func count(_ table: TableID) -> Int { keys.withLock { $0[table]?.count ?? 0 } }
        /// Those of the keys that weren't tried, which are from now on.
        func take(_ table: TableID, _ all: [String]) -> [String] {
            keys.withLock { keys in
                let new = all.filter { keys[table]?.contains($0) != true }
                if (keys[table]?.count ?? 0) + new.count > Self.keys_max { keys[table] = [] }
                keys[table, default: []].formUnion(new)
                return new
            }
        }
    }

    func run(_ tables: [TableDefinition], _ arrived_us: Range<Int64>) async throws -> SweepReport {
        try setup.layout.requireLayers("the reconciliation of late events")
        var report = SweepReport()
        report.snapshot = SweepRecord.fold
        for table in tables {
            var entry = SweepReport.Table(source: table.source.description)
            entry.reason = status.current.obstacle(table)
            if entry.reason == nil {
                progress("reconciling late events of \(table.source)")
                do {
                    (entry.late, entry.reason) = try await reconcile(table, arrived_us)
                } catch let error as ReplicationError where error.kind != .passing {
                    entry.reason = error.message
                }
            }
            report.tables.append(entry)
        }
        return report
    }

    private func reconcile(
        _ table: TableDefinition, _ arrived_us: Range<Int64>
    ) async throws -> (SweepReport.Late, reason: String?) {
        var done = SweepReport.Late(rows: 0, mended: 0)
        var left: Set<String> = []
        var reason: String?
        func fold(_ keys: [String], _ reconciles: Range<Int64>?) async throws {
            let folded = try await warehouse.refold(
                keys, of: table, .over, setup.releaseOptions(of: table.source), reconciles: reconciles)
            done.rows += keys.count - folded.left.count
            done.mended += folded.changed
            left.formUnion(folded.left)
            reason = reason ?? folded.reason
        }
        while true {
            let keys = try await warehouse.lateKeys(table.source, arrived_us, limit: Self.keys_max + left.count)
                .filter { !left.contains($0) }
            if keys.isEmpty { break }
            try await fold(keys, arrived_us)
        }
        let incomplete = tried.take(
            table.source,
            try await warehouse.incompleteKeys(
                table, limit: Self.incomplete_max + tried.count(table.source)))
        for start in stride(from: 0, to: incomplete.count, by: Self.keys_max) {
            try await fold(Array(incomplete[start..<min(start + Self.keys_max, incomplete.count)]), nil)
        }
        return (done, reason.map { "\(left.count) rows couldn't be folded: \($0)" })
    }
}

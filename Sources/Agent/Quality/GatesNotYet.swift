import PipelineFile
import Replication

extension PipelineSetup {
    /// Expectations that would keep rows out of current: no gate looks at batches yet, and one that is accepted and does
    /// nothing would be worse than none. The one place that refuses them, for `run`, `backfill` and `reload`, and for
    /// commands that write current where no agent runs.
    ///
    /// - Throws: `CommandFailure`, exit 2.
    package func refuseGates() throws {
        let reports = gates.map { CommandFailure.Report($0.message, try: $0.remedy) }
        if !reports.isEmpty { throw CommandFailure(ExitStatus.usage, reports) }
    }

    /// The same as findings of `check`.
    var gates: [Finding] {
        pipeline.tables.flatMap { table in
            table.quality.expectations.filter { $0.onFail != .warn }.map { expectation in
                Finding(
                    .error, table.source,
                    """
                    \(table.source): \(expectation.origin): on_fail: \(expectation.onFail.rawValue) is not built yet (not yet)
                    """,
                    remedy: "on_fail: warn (in a suite \"meta\": {\"on_fail\": \"warn\"}), and: millrace quality")
            }
        }
    }
}

import PipelineFile
import Replication

extension PipelineSetup {
    /// Rules that need a layer that isn't there: what they keep out of current nothing would keep. For all that writes rows.
    ///
    /// - Throws: `CommandFailure`, exit 2.
    package func refuseGates() throws {
        let reports = gates.map { CommandFailure.Report($0.message, try: $0.remedy) }
        if !reports.isEmpty { throw CommandFailure(ExitStatus.usage, reports) }
    }

    /// The same as findings of `check`.
    var gates: [Finding] {
        guard !layout.hasRaw else { return [] }
        return pipeline.tables.flatMap { table in
            table.quality.expectations.filter { $0.onFail == .hold || $0.onFail == .quarantineRow }.map { expectation in
                Finding(
                    .error, table.source,
                    """
                    \(table.source): \(expectation.origin): on_fail: \(expectation.onFail.rawValue) needs the raw \
                    layer, which keeps what isn't promoted
                    """, remedy: "layers: { raw: true }, or on_fail: stop or warn")
            }
        }
    }
}

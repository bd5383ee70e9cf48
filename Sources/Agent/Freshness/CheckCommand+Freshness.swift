import PipelineFile
import Replication

/// What `check` says of freshness contracts.
extension CheckCommand {
    static func freshness(_ setup: PipelineSetup) -> [Finding] {
        let contracts = setup.freshness()
        guard !contracts.isEmpty else { return [] }
        let channels = Set(contracts.compactMap(\.channel)).sorted()
        let isTold = setup.pipeline.alerts.contains { $0.kinds.contains(.stale) }
        if !isTold, let channel = channels.first {
            return [
                Finding(
                    .warning, "freshness",
                    "alerts for \(channel) go nowhere: no entry of alerts is told of stale tables",
                    remedy: "alerts: [{ webhook: ${ALERT_URL}, format: slack }]")
            ]
        }
        return [Finding(.ok, "freshness", "\(contracts.count) contracts")]
    }
}

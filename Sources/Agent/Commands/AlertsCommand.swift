import JSON
import PipelineFile
import Replication

/// `millrace alerts test`: sends one notice to each target, and says how that went.
package struct AlertsCommand: Sendable {
    package init() {}

    /// Returns the exit code.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let pipeline = try context.loadSetup().pipeline
        guard !pipeline.alerts.isEmpty else {
            throw CommandFailure(
                ExitStatus.usage, "the pipeline file has no alerts", try: "alerts: [{ webhook: ${ALERT_URL} }]")
        }
        let now = Moment.now_us()
        var outcomes: [(name: String, error: String?)] = []
        for target in pipeline.alerts {
            let sender = AlertSender(way: target.way, logger: context.logger)
            let notice = AlertNotice(
                pipeline: pipeline.name, change: .test,
                alert: Alert(
                    key: .init(kind: target.kinds.min { $0.rawValue < $1.rawValue } ?? .lag, subject: pipeline.name),
                    message: "this is a test: alerts arrive here"), beganAt_us: now)
            do {
                try await sender.send(notice)
                outcomes.append((sender.name, nil))
            } catch {
                outcomes.append((sender.name, error.reason))
            }
        }
        if context.json {
            let entries = outcomes.map { outcome -> JSONValue in
                .object([
                    ("target", .string(outcome.name)), ("ok", .bool(outcome.error == nil)),
                    ("error", outcome.error.map { .string($0) } ?? .null),
                ])
            }
            context.console.result(JSONValue.array(entries).serialized)
        } else {
            context.console.result(
                outcomes.map { "\(Console.printable($0.name)): \($0.error ?? "sent")" }.joined(separator: "\n"))
        }
        guard let failed = outcomes.enumerated().first(where: { $0.element.error != nil }) else { return ExitStatus.ok }
        throw CommandFailure(
            ExitStatus.environment,
            "alerts[\(failed.offset)]: the \(failed.element.name) \(failed.element.error ?? "")",
            try: "correct it in the pipeline file, and test it again: millrace alerts test")
    }
}

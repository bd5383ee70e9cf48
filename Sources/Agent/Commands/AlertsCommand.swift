import JSON
import Logging
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
        let outcomes = await Self.test(pipeline, context.logger)
        if context.json {
            context.console.result(Self.json(outcomes).serialized)
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

    typealias Outcome = (name: String, error: String?)

    /// One notice to each target, in their order.
    static func test(_ pipeline: Pipeline, _ logger: Logger) async -> [Outcome] {
        let now = Moment.now_us()
        var outcomes: [Outcome] = []
        for target in pipeline.alerts {
            let sender = AlertSender(way: target.way, logger: logger)
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
        return outcomes
    }

    static func json(_ outcomes: [Outcome]) -> JSONValue {
        .array(
            outcomes.map { outcome in
                .object([
                    ("target", .string(outcome.name)), ("ok", .bool(outcome.error == nil)),
                    ("error", outcome.error.map { .string($0) } ?? .null),
                ])
            })
    }
}

import Logging
import PipelineFile
import Replication
import ServiceLifecycle

/// Looks at the agent's state once a second and tells each target what began and what ended. Beside replication: a target
/// that hangs holds up itself alone.
struct AlertService: Service {
    private static let look = Duration.seconds(1)
    /// What was seen last, as a stop or an error that ends the agent is, is told within that time.
    static let last_s = 5.0

    let pipeline: String
    let targets: [Pipeline.AlertTarget]
    let status: AgentStatus
    let logger: Logger

    func run() async throws {
        await withDiscardingTaskGroup { group in
            for (index, target) in targets.enumerated() {
                group.addTask { await tell(target, index) }
            }
        }
    }

    private func tell(_ target: Pipeline.AlertTarget, _ index: Int) async {
        let teller = AlertTeller(pipeline: pipeline, target: target, number: index, status: status, logger: logger)
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await teller.step()
                try? await Task.sleep(for: Self.look)
            }
        }
        await LastWords.within(Self.last_s) { await teller.step(isLast: true) }
    }
}

/// One target's episodes, and its notices on their way.
package actor AlertTeller {
    private var episodes: AlertEpisodes
    private var queue = AlertQueue()
    private let name: String
    private let send: @Sendable (AlertNotice) async throws -> Void
    private let clock: AgentClock
    private let number: Int
    private let status: AgentStatus
    private let logger: Logger

    /// - Parameter send: where notices go, in the place of the target's own way.
    package init(
        pipeline: String, target: Pipeline.AlertTarget, number: Int, status: AgentStatus, logger: Logger,
        clock: AgentClock = AgentClock(),
        send: (@Sendable (AlertNotice) async throws -> Void)? = nil
    ) {
        episodes = AlertEpisodes(pipeline: pipeline, target: target)
        let sender = AlertSender(way: target.way, logger: logger)
        name = sender.name
        self.send = send ?? { try await sender.send($0) }
        self.clock = clock
        self.number = number
        self.status = status
        self.logger = logger
    }

    package func step(isLast: Bool = false) async {
        queue.add(episodes.step(status.current, now_us: clock.now_us()))
        let open = episodes.open
        status.update { $0.alerts[number] = open }
        if isLast { queue.hurry() }
        while let notice = queue.next(now_us: clock.now_us()) {
            do {
                try await send(notice)
                queue.sent(now_us: clock.now_us())
                status.update { $0.alertsSent += 1 }
            } catch {
                // Cut off by a stop: it is sent once more, by the last step.
                if Task.isCancelled { return }
                status.update { $0.alertsFailed += 1 }
                let reason = (error as? AlertSender.Failure)?.reason ?? "\(type(of: error))"
                let isGivenUp = queue.failed(now_us: clock.now_us())
                logger.warning(
                    "an alert couldn't be sent: the \(name) \(reason)\(isGivenUp ? "; it is given up" : "")"
                )
            }
        }
    }
}

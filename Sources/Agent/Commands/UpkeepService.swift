import Logging
import Replication
import ServiceLifecycle

/// Does beside replication what is done from time to time: the ledger's old rows are taken together, and raw's are deleted
/// where it has a retention. A failure is told, and tried again with the next turn.
struct UpkeepService: Service {
    /// Not at once: an agent that has just started has better to do.
    private static let first = Duration.seconds(60)
    private static let interval = Duration.seconds(3600)
    /// Raw is read through for what is old.
    private static let turnsPerTrim = 6
    /// Between the steps of a turn, so that batches go on.
    private static let pause = Duration.milliseconds(50)

    let warehouse: any Warehouse
    let status: AgentStatus
    /// Nil: for ever.
    let rawAge: Duration?
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var turn = 0
            try? await Task.sleep(for: Self.first)
            while !Task.isCancelled {
                await Self.turn(
                    warehouse, status: status, rawAge: turn % Self.turnsPerTrim == 0 ? rawAge : nil, logger: logger)
                turn += 1
                try? await Task.sleep(for: Self.interval)
            }
        }
    }

    /// All steps of one turn.
    static func turn(
        _ warehouse: any Warehouse, status: AgentStatus, rawAge: Duration?, logger: Logger,
        now_us: Int64 = Moment.now_us(), limit: Duration = .seconds(600)
    ) async {
        let deadline = ContinuousClock.now + limit
        let upkeep = Upkeep(now_us: now_us, rawAge_us: rawAge.map { Int64($0 / .microseconds(1)) })
        let sum: UpkeepStep
        do {
            sum = try await upkeep.run(on: warehouse) {
                try? await Task.sleep(for: Self.pause)
                // The warehouse may be another's.
                let isOurs = status.current.state != .standby && status.current.lent == nil
                return isOurs && !Task.isCancelled && ContinuousClock.now < deadline
            }
        } catch {
            logger.warning("the upkeep of the warehouse failed: \(ExitStatus.failure(of: error).message)")
            return
        }
        if sum.ledgerRows > 0 { logger.info("the ledger was rolled up", metadata: ["rows": "\(sum.ledgerRows)"]) }
        if sum.rawRows > 0 { logger.info("raw was trimmed", metadata: ["rows": "\(sum.rawRows)"]) }
        for (table, reason) in sum.kept.sorted(by: { $0.key < $1.key }) {
            logger.warning("raw of \(table) is kept whole for now: \(reason)")
        }
    }
}

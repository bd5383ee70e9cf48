import Logging
import PipelineFile
import Replication
import ServiceLifecycle

/// Begins the sweeps that the pipeline file asks for: those of all tables by its cron expression, and the reconciliation
/// of late events. One at a time; what is due while another runs waits for it. When the last one was is told by
/// `_millrace.sweeps`, so that a restart neither repeats nor forgets one.
struct SweepSchedule: Service {
    private static let look = Duration.seconds(1)
    /// After a failure.
    private static let pause = Duration.seconds(60)

    let live: LiveSetup
    let warehouse: any Warehouse
    let status: AgentStatus
    let jobs: SweepJobs
    let logger: Logger

    private struct Turn {
        var times: SweepTimes
        /// What is under way: its number, and whether it is of late events.
        var running: (number: Int, isLate: Bool)?
        var notBefore = ContinuousClock.now
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var turn = Turn(times: SweepTimes(live.setup.pipeline.sweeps))
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.look)
                await step(&turn)
            }
        }
        // What a sweep has made beside the warehouse goes with it.
        await jobs.stop()
    }

    private func step(_ turn: inout Turn) async {
        if let running = turn.running {
            if case .running? = jobs.state(of: running.number) { return }
            if jobs.wasStopped(running.number) {
                // It gave way to somebody: it is due again.
                if !running.isLate, jobs.unfinished == nil { turn.times.putBack() }
            } else {
                tell(running.number, isLate: running.isLate)
            }
            turn.running = nil
        }
        let snapshot = status.current
        guard snapshot.state == .ok || snapshot.state == .degraded, snapshot.hasBegun, snapshot.lent == nil,
            snapshot.waitsFor == nil, !jobs.isRunning, ContinuousClock.now >= turn.notBefore
        else { return }
        let sweeps = live.setup.pipeline.sweeps
        do {
            // Once the warehouse is ours: another agent may have swept before.
            if turn.times.lastFull_s == nil {
                let chosen = Set(try await tables().map(\.source))
                let last = try await warehouse.lastSweeps().filter { chosen.contains($0.key) }.values
                    .compactMap { ($0.last.isRecent ? $0.proof : $0.last).map { $0.startedAt_us / 1_000_000 } }.max()
                turn.times.lastFull_s = last ?? turn.times.startedAt_s
                try await SecondWarehouse.removeLeftover(live.setup, of: warehouse)
            }
            if try await goOn(&turn) { return }
            let hasLate = live.setup.layout.hasRaw && live.setup.layout.hasCurrent
            guard let due = turn.times.due(sweeps, hasLate: hasLate) else { return }
            let tables = try await tables()
            switch due {
            case .full:
                let request = SweepRequest(sweeps.repairs ? .repair : .compare)
                turn.running = (try jobs.start(tables, request, isScheduled: true), false)
                turn.times.begun(due, sweeps)
            case .late(let arrived_us):
                // Not more often where it can't begin.
                turn.times.begun(due, sweeps)
                turn.running = (try jobs.reconcileLate(tables, arrived_us, isScheduled: true), true)
            }
        } catch {
            turn.notBefore = .now + Self.pause
            logger.warning("a sweep couldn't begin: \(ExitStatus.failure(of: error).message)")
        }
    }

    /// With what was under way when the agent ended, or gave way. True: it is begun.
    private func goOn(_ turn: inout Turn) async throws -> Bool {
        guard let entry = jobs.unfinished else { return false }
        let left = entry.left(of: try await tables(), try await warehouse.lastSweeps())
        guard !left.isEmpty, !entry.isGivenUp else {
            if !left.isEmpty { logger.warning("a sweep is given up: the agent ended three times in the middle of it") }
            jobs.forget()
            return false
        }
        guard let number = try jobs.goOn(left) else { return false }
        logger.notice("going on with a sweep that was under way", metadata: ["tables": "\(left.count)"])
        turn.running = (number, false)
        turn.times.keep()
        return true
    }

    private func tables() async throws -> [TableDefinition] {
        let setup = live.setup
        return try await warehouse.knownTables().filter { setup.choice($0.source) != nil && $0.hasShape }
    }

    /// Of one that is over.
    private func tell(_ number: Int, isLate: Bool) {
        switch jobs.state(of: number) {
        case .failed(let failure)?: logger.warning("a scheduled sweep failed: \(failure.message)")
        case .done(let report)?:
            for table in report.tables {
                if let reason = table.reason, table.late != nil {
                    logger.error("\(table.source): late events: \(reason)")
                } else if let late = table.late, late.mended > 0 {
                    logger.notice("\(table.source): \(late.mended) rows with late events were mended from raw")
                } else if let record = table.record, record.differences > 0 {
                    logger.error(
                        "\(table.source): \(record.differences) rows differ\(table.reason.map { "; \($0)" } ?? "")")
                } else if let reason = table.reason, !isLate {
                    logger.warning("\(table.source) wasn't swept: \(reason)")
                }
            }
            if !isLate { logger.info("a scheduled sweep is through", metadata: ["tables": "\(report.tables.count)"]) }
        case .running?, nil: break
        }
    }
}

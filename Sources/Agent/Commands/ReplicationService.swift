import Debezium
import Foundation
import Kafka
import Logging
import PipelineFile
import Replication
import ServiceLifecycle
import Synchronization

/// Keeps a `Replicator` running: begins anew with a fresh source where another agent took its place in the group,
/// where positions were set on purpose, or where the brokers went away. One that stands by waits before that, and again
/// where another agent took over from it.
final class ReplicationService: Service, Sendable {
    /// For so long what was reloaded is taken back where it ends the agent: a table that can't be made shows with its first
    /// event.
    private static let trial = Duration.seconds(300)
    /// Without a durable batch in between.
    private static let attempts_max = 10

    private let live: LiveSetup
    private var setup: PipelineSetup { live.setup }
    private let warehouse: any Warehouse
    private let status: AgentStatus
    private let settings: Replicator.Settings
    private let catalog: SourceCatalog?
    private let logger: Logger
    /// Finishes once the agent answers over HTTP, so that nothing begins where that fails.
    private let isListening: AsyncStream<Void>
    private let turn = Mutex(Turn())
    /// Called when it takes over; nil: it doesn't stand by.
    private let onTakeover: (@Sendable () async -> Void)?

    private struct Turn {
        var replicator: Replicator?
        var source: (any RecordSource)?
        var loan: Loan?
        var isStopping = false
        var wantsRejoin = false
        /// The warehouse's file is still to be opened.
        var isUnopened = false
        var hasStoodBy = false
        var hasMetSource = false
        /// What was in force before a reload, until that has proved itself.
        var before: (setup: PipelineSetup, until: ContinuousClock.Instant)?
    }

    init(
        live: LiveSetup, warehouse: any Warehouse, status: AgentStatus, settings: Replicator.Settings,
        catalog: SourceCatalog?, isListening: AsyncStream<Void>, onTakeover: (@Sendable () async -> Void)? = nil
    ) {
        self.live = live
        self.warehouse = warehouse
        self.status = status
        self.settings = settings
        self.catalog = catalog
        self.isListening = isListening
        self.onTakeover = onTakeover
        logger = live.setup.logger
        if onTakeover != nil { turn.withLock { $0.isUnopened = isFile } }
    }

    func run() async throws {
        try await withGracefulShutdownHandler {
            for await _ in isListening { break }
            try await replicate()
        } onGracefulShutdown: {
            self.stop()
        }
    }

    /// Drains the batch in hand, then `run` returns.
    func stop() {
        turn.withLock { turn in
            turn.isStopping = true
            return turn.replicator
        }?.stop()
    }

    /// Does `work`, which changes checkpoints and so fences the runner, and begins anew from what is stored then.
    func rejoin(after work: @Sendable () async throws -> Void) async throws {
        turn.withLock { $0.wantsRejoin = true }
        do {
            try await work()
        } catch {
            turn.withLock { $0.wantsRejoin = false }
            throw error
        }
        // Nobody to stop where the fence was met already and another runner is at work.
        turn.withLock { $0.wantsRejoin ? $0.replicator : nil }?.stop()
    }

    /// Lets the warehouse's file go to another program: finishes the batch in hand, closes the file, and reads nothing until
    /// it is given back.
    func lend(to borrower: Int32, program: String) async throws {
        guard isFile else {
            throw CommandFailure(
                ExitStatus.usage, "only a DuckDB file needs to be lent", try: "run the command as it is")
        }
        let other = turn.withLock { turn in
            defer {
                if turn.loan == nil {
                    turn.loan = Loan(borrower: borrower, program: program)
                    turn.wantsRejoin = true
                }
            }
            return turn.loan
        }
        if let other {
            throw CommandFailure(ExitStatus.environment, "\(other.text)", try: "try again when that has ended")
        }
        let deadline = ContinuousClock.now + Loan.patience
        while turn.withLock({ $0.loan?.isGiven == false }) {
            // Again and again: one that has just begun may not have heard it.
            turn.withLock { $0.replicator }?.stop()
            guard ContinuousClock.now < deadline else {
                turn.withLock { $0.loan = nil }
                throw CommandFailure(
                    ExitStatus.environment, "the batch in hand isn't finished yet, and the file can't be let go",
                    try: "millrace status, then try again")
            }
            try await Task.sleep(for: Loan.look)
        }
    }

    /// Returns when the file is open again; whoever the borrower has left behind with it is waited for beside that.
    func endLoan() async throws {
        turn.withLock { $0.loan = nil }
        let deadline = ContinuousClock.now + Loan.patience
        while status.current.lent != nil, ContinuousClock.now < deadline { try await Task.sleep(for: Loan.look) }
    }

    /// False: a stop was asked for while the file was somebody else's.
    private func waitWhileLent() async throws -> Bool {
        guard let loan = turn.withLock({ $0.loan }) else { return true }
        // First: whoever asks now hears why it is closed.
        status.update { $0.lent = loan.text }
        await warehouse.close()
        turn.withLock { $0.loan?.isGiven = true }
        logger.notice("\(loan.text)")
        while turn.withLock({ $0.loan != nil && !$0.isStopping }) {
            if loan.isBorrowerGone { turn.withLock { $0.loan = nil } }
            try await Task.sleep(for: Loan.look)
        }
        var hasWaited = false
        while !turn.withLock({ $0.isStopping }) {
            do {
                try await warehouse.open(readOnly: false)
                status.update { $0.lent = nil }
                logger.notice("the warehouse is back")
                return true
            } catch let error as ReplicationError where error.kind == .taken {
                if !hasWaited { logger.warning("the warehouse isn't back yet: \(error.message)") }
                hasWaited = true
                try await Task.sleep(for: .milliseconds(500))
            }
        }
        return false
    }

    /// Works with another setup from here on, from where the batch in hand ends.
    func reload(_ setup: PipelineSetup) async throws {
        let before = live.setup
        turn.withLock { $0.before = (before, ContinuousClock.now + Self.trial) }
        live.replace(setup)
        try await rejoin {}
    }

    /// True where what was reloaded doesn't work, and what was before is in force again.
    private func goBack(after error: any Error) -> Bool {
        let kind = (error as? ReplicationError)?.kind
        let before = turn.withLock { turn in
            defer { turn.before = nil }
            return turn.before
        }
        guard let before, ContinuousClock.now < before.until, !turn.withLock({ $0.isStopping }),
            kind == .configuration || kind == .environment
        else { return false }
        let failure = ExitStatus.failure(of: error)
        logger.error(
            "what was reloaded doesn't work, and the agent goes on as before: \(failure.message)",
            metadata: failure.remedy.map { ["try": "\($0)"] } ?? [:])
        live.replace(before.setup)
        return true
    }

    /// Copies tables anew. Where no source is at hand, the next one reads what the warehouse was told.
    func copyAnew(_ tables: [TableID]) async { await turn.withLock { $0.source }?.copyAnew(tables) }

    /// Somebody waits for the warehouse to come to a position of the source.
    func hurry(to position: Int64) { turn.withLock { $0.source }?.hurry(to: position) }

    private func replicate() async throws {
        var attempts = 0
        while !turn.withLock({ $0.isStopping }), !Task.isCancelled {
            guard try await waitWhileLent(), try await standBy() else { return }
            let batches = status.current.batches
            let source = try setup.makeSource(
                warehouse, isAnew: status.current.hasBegun, commits: status.commits)
            let replicator = makeReplicator(source)
            let mayRun = turn.withLock { turn in
                turn.replicator = replicator
                turn.source = source
                // Asked for while the source was made: it is made anew.
                return !turn.isStopping && !turn.wantsRejoin
            }
            do {
                if mayRun { try await replicator.run() }
                await source.close()
                guard takeRejoin() else { return }
                attempts = 0
                // Partitions may be another agent's then.
                status.update { $0.lag = [:] }
            } catch {
                await source.close()
                if source.hasAnswered { turn.withLock { $0.hasMetSource = true } }
                if status.current.batches > batches { attempts = 0 }
                if goBack(after: error) { continue }
                attempts += 1
                try await prepareRejoin(after: error, attempt: attempts, isOnPurpose: takeRejoin())
            }
            status.update {
                $0.lost = []
                $0.progress.consistentSince = nil
            }
        }
    }

    /// Waits for the agent that is at work, if there is one. False: a stop was asked for meanwhile.
    private func standBy() async throws -> Bool {
        guard let onTakeover else { return true }
        let standby = Standby(status: status, logger: logger) { self.turn.withLock { $0.isStopping } }
        var hasWaited = false
        func note(_ outcome: Standby.Outcome) -> Bool {
            hasWaited = hasWaited || outcome == .freeAtLast
            return outcome != .stopped
        }
        if turn.withLock({ $0.isUnopened }) {
            guard note(try await standby.open(warehouse)) else { return false }
            turn.withLock { $0.isUnopened = false }
        }
        if case .postgres(let server) = setup.pipeline.source.input {
            guard note(try await standby.waitForSlot(of: server)) else { return false }
        }
        if hasWaited {
            turn.withLock { $0.hasStoodBy = true }
            await onTakeover()
        }
        return true
    }

    private func makeReplicator(_ source: any RecordSource) -> Replicator {
        let setup = setup, catalog = catalog
        return Replicator(source: source, warehouse: warehouse, status: status, settings: settings, logger: logger) {
            known in
            try setup.makeDecoder(known: known, catalog: catalog)
        }
    }

    private func takeRejoin() -> Bool {
        turn.withLock { turn in
            defer { turn.wantsRejoin = false }
            turn.replicator = nil
            turn.source = nil
            return turn.wantsRejoin && !turn.isStopping
        }
    }

    /// Waits before the next attempt, or throws what ends the agent.
    private func prepareRejoin(after error: any Error, attempt: Int, isOnPurpose: Bool) async throws {
        if turn.withLock({ $0.isStopping }) { throw stopped(error) }
        let kind = (error as? ReplicationError)?.kind
        // Where the source never answered it is told: most likely the address is wrong.
        let hasRun = status.current.hasBegun || turn.withLock { $0.hasStoodBy || $0.hasMetSource }
        if onTakeover != nil, kind == .taken || kind == .fenced {
            logger.warning("\(ExitStatus.failure(of: error).message); standing by again")
            if kind == .taken { turn.withLock { $0.isUnopened = isFile } }
            return try await wait(seconds: 1)
        }
        switch setup.pipeline.source.input {
        case .file: guard kind == .restart, attempt <= Self.attempts_max else { throw told(error) }
        case .kafka:
            let hasPassed = (error as? KafkaError)?.kind == .passing && hasRun
            guard kind == .fenced || kind == .restart || hasPassed || isOnPurpose, attempt <= Self.attempts_max else {
                throw told(error)
            }
        case .postgres:
            // A source that is away is waited for, as long as it takes.
            guard kind == .restart || kind == .passing && hasRun || isOnPurpose else { throw told(error) }
        }
        if isOnPurpose { return }
        if case .postgres = setup.pipeline.source.input {
            status.update { $0.waiting = kind == .passing ? ExitStatus.failure(of: error).message : nil }
        }
        let delay_s = min(10, 0.25 * pow(2, Double(attempt - 1))) * Double.random(in: 0.5...1)
        logger.warning(
            "\(ExitStatus.failure(of: error).message); joining again in \(String(format: "%.1f", delay_s)) s")
        try await wait(seconds: delay_s)
    }

    private var isFile: Bool {
        if case .duckdb = setup.pipeline.warehouse.engine { true } else { false }
    }

    private func wait(seconds: Double) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline, !turn.withLock({ $0.isStopping }) {
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// What stood in the way of the batch in hand when the time for it was over.
    private func stopped(_ error: any Error) -> any Error {
        guard let error = error as? ReplicationError, error.kind == .passing else { return told(error) }
        return CommandFailure(
            ExitStatus.runtime, "stopped before the batch in hand was written: \(error.message)",
            try: "millrace run, which reads it again: nothing is lost")
    }

    private func told(_ error: any Error) -> any Error {
        guard let error = error as? ReplicationError, error.kind == .fenced, error.remedy == nil else { return error }
        return ReplicationError(
            .fenced, error.message,
            remedy: "see that one agent only runs this pipeline, then start it again: millrace run", table: error.table)
    }
}

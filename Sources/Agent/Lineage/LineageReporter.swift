import JSON
import Logging
import PipelineFile
import Replication

/// Tells of a process' runs, beside all else: what it is given is queued, and nobody waits for its delivery but the end of
/// the process, for `last_s` at most.
package actor LineageReporter {
    /// For what is told last.
    private let last_s: Double
    /// The same where the process is to end at once.
    static let hurried_s = 1.0
    private static let look = Duration.seconds(1)

    let builder: LineageEventBuilder
    private let sender: LineageSender
    private let logger: Logger
    private let now_us: @Sendable () -> Int64
    /// Whose runs are told; nil: none but what is reported one by one.
    private let status: AgentStatus?
    private let tables: @Sendable (AgentStatus.Snapshot) -> [LineageTable]
    private var runs: LineageRuns?
    private var queue = LineageQueue()
    /// Runs beside that, and when each was told of last.
    private var parts: [String: (run: LineageRunKey, toldAt_us: Int64)] = [:]
    private var looking: Task<Void, Never>?
    private var sent = 0
    private var failed = 0
    private var isFailing = false
    private var isLast = false
    private var waitsForEnd: [CheckedContinuation<Void, Never>] = []

    /// - Parameters:
    ///   - last_s: how long what is told last is waited for.
    ///   - tables: what is known of them, in order.
    init(
        _ settings: Pipeline.OpenLineage, _ builder: LineageEventBuilder, runs: LineageRuns? = nil,
        status: AgentStatus? = nil, logger: Logger, last_s: Double = 10,
        now_us: @escaping @Sendable () -> Int64 = { Moment.now_us() },
        tables: @escaping @Sendable (AgentStatus.Snapshot) -> [LineageTable] = { _ in [] }
    ) {
        self.builder = builder
        sender = LineageSender(settings)
        self.runs = runs
        self.status = status
        self.logger = logger
        self.last_s = last_s
        self.now_us = now_us
        self.tables = tables
    }

    // MARK: Runs

    /// Looks at the process' state once a second from here on.
    func begin() {
        guard looking == nil, !isLast else { return }
        step()
        looking = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.look)
                if !Task.isCancelled { step() }
            }
        }
    }

    private func step() {
        let now_us = now_us()
        if let snapshot = status?.current {
            add(runs?.step(snapshot.state, now_us: now_us) { tables(snapshot) } ?? [])
        }
        for (id, part) in parts where now_us - part.toldAt_us >= LineageRuns.period_s * 1_000_000 {
            parts[id]?.toldAt_us = now_us
            add([builder.event(.running, part.run, at: now_us, inputs: [], outputs: [])])
        }
        deliver()
    }

    /// The process' run has ended; returns when that is told, or when the time for it is over.
    ///
    /// - Parameter isUnbegun: what ended it stood in the way of its beginning: another agent is at work.
    nonisolated func end(_ outcome: LineageOutcome, isUnbegun: Bool = false) async {
        await LastWords.within(last_s) { await self.finish(outcome, isUnbegun: isUnbegun) }
        await giveUp()
    }

    /// What was reported one by one is told; returns as `end` does.
    nonisolated func close() async { await end(.complete) }

    /// Where the process is ended at once. Blocks: not for Swift's own threads.
    nonisolated func endNow(_ outcome: LineageOutcome) {
        LastWords.blocking(Self.hurried_s) { await self.finish(outcome, isUnbegun: false) }
    }

    private func finish(_ outcome: LineageOutcome, isUnbegun: Bool) async {
        looking?.cancel()
        if let snapshot = status?.current {
            add(runs?.end(outcome, isUnbegun: isUnbegun, now_us: now_us(), tables(snapshot)) ?? [])
        }
        isLast = true
        queue.hurry()
        deliver()
        while !queue.isEmpty { await withCheckedContinuation { waitsForEnd.append($0) } }
    }

    private func giveUp() {
        let count = queue.count
        queue.giveUp()
        tell()
        if count > 0 { logger.warning("\(count) lineage events weren't delivered") }
    }

    // MARK: Runs beside

    /// A run that is told by whoever does it: it has begun.
    func report(_ job: LineageJob, inputs: [JSONValue], outputs: [JSONValue]) -> LineageRunKey {
        let now_us = now_us()
        let run = LineageRunKey(
            id: LineageRunID.make(now_us: now_us), job: job, parent: runs?.current)
        parts[run.id] = (run, now_us)
        add([builder.event(.start, run, at: now_us, inputs: inputs, outputs: outputs)])
        deliver()
        return run
    }

    /// It has ended.
    func report(_ outcome: LineageOutcome, of run: LineageRunKey, inputs: [JSONValue], outputs: [JSONValue]) {
        parts[run.id] = nil
        add([
            builder.event(
                outcome.kind, run, at: now_us(), inputs: inputs, outputs: outputs, message: outcome.message)
        ])
        deliver()
    }

    // MARK: Delivery

    private func add(_ events: [LineageEvent]) {
        for event in events { queue.add(event) }
        tell()
    }

    /// Sends what is due, one after the other, and doesn't wait for it.
    private func deliver() {
        guard let event = queue.next(now_us: now_us()) else {
            // What failed at the end isn't tried again.
            if isLast, !queue.isSending { endWaiting() }
            return
        }
        Task {
            do throws(LineageSender.Failure) {
                try await sender.send(event)
                arrived()
            } catch {
                stayed(error)
            }
        }
    }

    private func arrived() {
        queue.sent()
        sent += 1
        if isFailing { logger.notice("lineage events arrive again") }
        isFailing = false
        tell()
        deliver()
    }

    private func stayed(_ failure: LineageSender.Failure) {
        failed += 1
        let isGivenUp = queue.failed(failure.kind, now_us: now_us())
        if isGivenUp {
            logger.warning("a lineage event is given up: \(failure.reason)")
        } else if !isFailing {
            // Once: it may be away for long.
            logger.warning("lineage events wait: \(failure.reason)")
            isFailing = true
        }
        tell()
        deliver()
    }

    private func endWaiting() {
        if !queue.isEmpty { giveUp() }
        let waiting = waitsForEnd
        waitsForEnd = []
        for continuation in waiting { continuation.resume() }
    }

    private func tell() {
        let counts = LineageCounts(sent: sent, failed: failed, dropped: queue.dropped, waiting: queue.count)
        status?.update { $0.lineage = counts }
    }
}

/// Of events, since the process began.
package struct LineageCounts: Sendable, Equatable {
    package var sent = 0
    /// Attempts.
    package var failed = 0
    /// Events that never arrived.
    package var dropped = 0
    package var waiting = 0
}

import PipelineFile

/// When which sweep is due, by what the pipeline file says and when the last ones were.
package struct SweepTimes: Sendable {
    package enum Due: Sendable, Equatable {
        case full
        /// Of events that came in this time.
        case late(arrived_us: Range<Int64>)
    }

    private static let late_max = Duration.seconds(3600)

    private let clock: AgentClock
    let startedAt_s: Int64
    /// Nil: not looked up yet.
    package var lastFull_s: Int64?
    /// When the last full sweep was before the one that runs.
    private var before_s: Int64?
    private var nextLate: ContinuousClock.Instant

    package init(_ sweeps: Pipeline.Sweeps, clock: AgentClock = AgentClock()) {
        self.clock = clock
        startedAt_s = clock.now_us() / 1_000_000
        nextLate = clock.instant() + Self.lateInterval(sweeps)
    }

    /// - Parameter hasLate: there is a raw and a current to reconcile.
    package func due(_ sweeps: Pipeline.Sweeps, hasLate: Bool) -> Due? {
        let now_s = clock.now_us() / 1_000_000
        if let due = sweeps.full?.next(after: lastFull_s ?? now_s), due <= now_s { return .full }
        guard hasLate, clock.instant() >= nextLate else { return nil }
        let end = now_s * 1_000_000 - Int64(sweeps.lateAfter / .microseconds(1))
        return .late(arrived_us: (end - Int64(sweeps.lateLookback / .microseconds(1)))..<end)
    }

    package mutating func begun(_ due: Due, _ sweeps: Pipeline.Sweeps) {
        switch due {
        case .full:
            keep()
            lastFull_s = clock.now_us() / 1_000_000
        case .late: nextLate = clock.instant() + Self.lateInterval(sweeps)
        }
    }

    /// One that was under way goes on.
    mutating func keep() { before_s = lastFull_s }

    /// It gave way to somebody, and is due again.
    mutating func putBack() { lastFull_s = before_s }

    private static func lateInterval(_ sweeps: Pipeline.Sweeps) -> Duration {
        min(max(sweeps.lateAfter / 4, .seconds(2)), late_max)
    }
}

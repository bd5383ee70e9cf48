import Replication

/// What time it is for the agent, and how it waits: a simulation has a clock of its own, on which a day passes in minutes.
package struct AgentClock: Sendable {
    /// µs since 1970; may be set.
    package var now_us: @Sendable () -> Int64 = { Agent.now_us() }
    /// Only goes forward.
    package var instant: @Sendable () -> ContinuousClock.Instant = { .now }
    package var sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    /// By how much a wait is longer or shorter, so that agents that were cut off together don't come back together.
    package var jitter: @Sendable (ClosedRange<Double>) -> Double = { .random(in: $0) }
    /// Where what isn't waited for runs; nil: wherever there is room.
    package var executor: (any TaskExecutor)?

    package init() {}
}

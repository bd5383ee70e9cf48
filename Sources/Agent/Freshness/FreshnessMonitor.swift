import PipelineFile
import Replication
import Synchronization

/// What a running agent knows of its tables' freshness, and what of that is still to be written; from any thread.
///
/// It never waits: whoever measures the source, looks at the warehouse or writes does so beside it, and may hang without
/// keeping anything from becoming stale.
package final class FreshnessMonitor: Sendable {
    /// What is known is written so often, where no status changes.
    static let kept_us: Int64 = 60_000_000
    /// Changes of status that wait for a warehouse that is away; the oldest beyond it are left out.
    static let waiting_max = 1000

    private struct State {
        var watch = FreshnessWatch()
        var hasResumed = false
        /// That wait for the runner's word: the first, and the newest behind it, so that none is ever put off for another.
        var looks: [FreshnessWatch.Look] = []
        var waiting: [FreshnessRecord] = []
        var writtenAt_us = Int64.min
        var noted: SourceEnd?
    }

    private let state = Mutex(State())

    package init() {}

    /// What the warehouse knows is read; until then nothing is judged.
    package var hasResumed: Bool { state.withLock { $0.hasResumed } }

    package func resume(_ records: [FreshnessRecord]) {
        state.withLock { state in
            state.watch = FreshnessWatch()
            state.watch.resume(records)
            state.hasResumed = true
        }
    }

    /// Another agent works now, and knows better.
    package func forget() {
        state.withLock { $0 = State() }
    }

    package func note(_ end: SourceEnd) { state.withLock { $0.watch.note(end) } }

    /// Counts once the runner has told of itself after it: what it copies is known then.
    package func note(_ look: FreshnessWatch.Look) {
        state.withLock { $0.looks = $0.looks.prefix(1) + [look] }
    }

    /// Judges all tables.
    ///
    /// - Parameters:
    ///   - isLast: the runner has ended, and tells no more.
    /// - Returns: what is so of tables with a contract.
    @discardableResult
    package func step(
        _ snapshot: AgentStatus.Snapshot, _ contracts: [FreshnessContract], now_us: Int64, isLast: Bool = false
    ) -> [TableID: FreshnessReport.Table] {
        state.withLock { state in
            guard state.hasResumed else { return [:] }
            if let end = snapshot.sourceEnd, end != state.noted {
                state.noted = end
                state.watch.note(end)
            }
            while var look = state.looks.first, isLast || snapshot.toldAt_us >= look.at_us {
                look.isLast = isLast
                Self.add(snapshot, to: &look)
                state.watch.note(look, now_us: now_us)
                state.looks.removeFirst()
            }
            state.watch.note(changes: snapshot.tables.mapValues(\.changedAt_us).filter { $0.value != .min })
            let changes = state.watch.step(contracts, trouble: Self.trouble(snapshot), now_us: now_us)
            state.waiting += changes
            state.waiting.removeFirst(max(0, state.waiting.count - Self.waiting_max))
            return state.watch.tables.compactMapValues { FreshnessReport.Table($0, now_us: now_us) }
        }
    }

    /// What the runner knows of tables that aren't complete, whatever their checkpoint says.
    private static func add(_ snapshot: AgentStatus.Snapshot, to look: inout FreshnessWatch.Look) {
        look.lost = Set(snapshot.lost.map(\.partition))
        for table in snapshot.progress.copying.keys { look.obstacles[table] = "it is being copied" }
        for table in snapshot.progress.resyncing { look.obstacles[table] = "it is being copied anew" }
        for (table, reason) in snapshot.progress.refused { look.obstacles[table] = "it can't be copied: \(reason)" }
        for (table, status) in snapshot.tables { if let error = status.error { look.obstacles[table] = error } }
    }

    private static func trouble(_ snapshot: AgentStatus.Snapshot) -> String? {
        if let lent = snapshot.lent { return lent }
        if let waiting = snapshot.waitsFor { return "the agent waits: \(waiting)" }
        return snapshot.lost.first.map { "\($0.partition): \($0.reason)" }
    }

    // MARK: What is written

    /// What is to be written now: changes of status in order, and from time to time what is known of all. The answer to it
    /// is `written`.
    ///
    /// - Parameter isLast: of tables without a contract, too.
    package func due(now_us: Int64, isLast: Bool = false) -> [FreshnessRecord] {
        state.withLock { state in
            guard state.hasResumed else { return [] }
            if !isLast, state.waiting.isEmpty, now_us < state.writtenAt_us.addingSaturated(Self.kept_us) { return [] }
            return state.waiting + state.watch.records(all: isLast, now_us: now_us)
        }
    }

    package func written(_ records: [FreshnessRecord], now_us: Int64) {
        state.withLock { state in
            state.writtenAt_us = now_us
            state.waiting.removeAll { records.contains($0) }
        }
    }
}

extension Int64 {
    fileprivate func addingSaturated(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

import Agent
import Replication
import ReplicationTestKit
import Synchronization

/// What happens in a simulated day, and when: load, outages, what people do. All of it hangs on the seed.
final class Day: Sendable {
    struct Span: Sendable {
        var from_us: Int64
        var to_us: Int64

        func holds(_ time_us: Int64) -> Bool { from_us <= time_us && time_us < to_us }
    }

    /// Source transactions that one batch has at most.
    static let batch_max = 40
    static let addedColumn = "added"

    let clock: VirtualClock
    let end_us: Int64
    /// When each of the model's transactions commits.
    let arrivals_us: [Int64]

    let night: Span
    let warehouseAway: Span
    let sourceAway: Span
    /// `pairs` can't be written.
    let failing: Span
    /// Somebody has `heap` stand still.
    let paused: Span
    /// From here on `items` has one more column.
    let schemaChange_us: Int64
    let redelivery_us: Int64
    /// From the first sweep after it on a row is wrong, until the sweep has told.
    let damage_us: Int64
    let crashes_us: [Int64]
    /// Between sweeps.
    let sweepEvery_min: Int

    private struct State {
        var crashes = 0
        var lastTick_us: Int64 = 0
        var inFlight_max = 0
        var wider: Int64 = .max
    }

    private let state = Mutex(State())

    init(seed: UInt64, hours: Double, clock: VirtualClock) {
        var random = SeededRandom(seed: seed &+ 77)
        let length_us = Int64(hours * 3_600_000_000)
        let start_us = clock.start_us
        self.clock = clock
        end_us = start_us + length_us
        func at(_ share: Double) -> Int64 {
            // A little earlier or later, so that it meets other loads.
            start_us + Int64(Double(length_us) * share) + Int64(random.below(Int(length_us / 100)))
        }
        func span(_ share: Double, minutes: Int) -> Span {
            let from_us = at(share)
            return Span(from_us: from_us, to_us: from_us + Int64(minutes) * 60_000_000)
        }
        let isLong = hours >= 12
        night = Span(from_us: at(0.05), to_us: at(0.18))
        schemaChange_us = at(0.23)
        warehouseAway = span(0.32, minutes: isLong ? 15 : 7)
        sourceAway = span(0.46, minutes: isLong ? 12 : 6)
        failing = span(0.58, minutes: isLong ? 25 : 7)
        paused = span(0.70, minutes: isLong ? 30 : 6)
        redelivery_us = at(0.82)
        damage_us = at(0.84)
        crashes_us = [0.21, 0.29, 0.42, 0.55, 0.80, 0.97].map(at)
        sweepEvery_min = hours >= 24 ? 60 : isLong ? 30 : 6

        var arrivals_us: [Int64] = []
        var time_us = start_us + 1_000_000
        while time_us < end_us - 5 * 60_000_000 {
            if night.holds(time_us) { time_us = night.to_us }
            // While the source is away nobody writes to it either.
            if sourceAway.holds(time_us) { time_us = sourceAway.to_us + 1_000_000 }
            arrivals_us.append(time_us)
            let share = Double(time_us - start_us) / Double(length_us)
            // Peaks of the forenoon and of the afternoon, and a burst in between.
            let isPeak = (0.30..<0.40).contains(share) || (0.56..<0.62).contains(share)
            // Each table is met before anybody could call it stale.
            let isStart = arrivals_us.count < 60
            let isBurst = (0.50..<0.503).contains(share)
            let mean_us =
                isStart
                ? 1_000_000
                : isBurst ? 200_000 : isPeak ? 6_000_000 : (0.68..<0.78).contains(share) ? 8_000_000 : 30_000_000
            time_us += Int64(1 + random.below(2 * mean_us))
        }
        self.arrivals_us = arrivals_us
    }

    var now_us: Int64 { clock.now_us }

    /// How many transactions the source has committed.
    var there: Int { arrived(by: now_us) }

    func arrived(by time_us: Int64) -> Int { SourceModel.count(of: arrivals_us.count) { arrivals_us[$0] <= time_us } }

    /// Nothing else goes wrong where alerts are counted.
    var isCalm: Bool {
        let now_us = now_us
        return [warehouseAway, sourceAway, failing, paused].allSatisfy { span in
            !Span(from_us: span.from_us - 120_000_000, to_us: span.to_us + 240_000_000).holds(now_us)
        } && !(damage_us - 60_000_000...damage_us + Int64(3 * sweepEvery_min) * 60_000_000).contains(now_us)
    }

    // MARK: The source

    var isSourceAway: Bool { sourceAway.holds(now_us) }

    /// Before something is read: waits where there is nothing.
    func pass(_ handed: Int) async throws {
        let isDue = state.withLock { state in
            guard state.crashes < crashes_us.count, crashes_us[state.crashes] <= now_us else { return false }
            state.crashes += 1
            return true
        }
        if isDue { throw SimulatedCrash() }
        let there = there
        guard isSourceAway || handed >= there else { return }
        let next_us = there < arrivals_us.count ? arrivals_us[there] - now_us : .max
        await clock.sleep(.microseconds(isSourceAway ? 1_000_000 : min(1_000_000, max(1, next_us))))
    }

    /// How many transactions were read and aren't durable.
    func note(inFlight: Int) { state.withLock { $0.inFlight_max = max($0.inFlight_max, inFlight) } }
    var inFlight_max: Int { state.withLock { $0.inFlight_max } }

    /// Where in the log `items` gets its column.
    func widen(behind lsn: Int64) { state.withLock { $0.wider = lsn } }

    func added(_ change: RowChange) -> (name: String, change: RowChange)? {
        guard change.table == 0, change.lsn > state.withLock({ $0.wider }) else { return nil }
        func wider(_ row: ModelRow) -> ModelRow { row + [row[1]] }
        var change = change
        switch change.kind {
        case .insert(let row): change.kind = .insert(wider(row))
        case .update(let old, let new, let unchanged):
            change.kind = .update(old: wider(old), new: wider(new), unchanged: unchanged)
        case .delete(let old): change.kind = .delete(wider(old))
        case .truncate: break
        }
        return (Self.addedColumn, change)
    }

    // MARK: The warehouse

    func reachWarehouse() throws {
        guard warehouseAway.holds(now_us) else { return }
        throw ReplicationError(.passing, "connection refused")
    }

    /// A batch takes its time.
    func write(_ batch: ChangeBatch) async throws {
        try reachWarehouse()
        await clock.sleep(.microseconds(100_000 + 4000 * batch.events.count))
        try reachWarehouse()
    }

    func release(_ table: TableID, _ kind: TableHold.Kind) throws {
        try reachWarehouse()
        guard kind == .failing, failing.holds(now_us) else { return }
        throw ReplicationError(.permanent, "column v does not exist", table: table)
    }

    /// A time that no other batch has.
    func tick() -> Int64 {
        state.withLock { state in
            state.lastTick_us = max(state.lastTick_us + 1, now_us)
            return state.lastTick_us
        }
    }
}

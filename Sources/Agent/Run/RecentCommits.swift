import Replication
import Synchronization

/// Where transactions of the source committed, as the slot's stream tells: the last of them, and those that are watched.
///
/// A commit stands in the log before anybody sees it: while it is flushed, and until its backend has left the list of what
/// is under way. A snapshot that is taken in between doesn't show it, though the log had gone on behind it already.
package final class RecentCommits: Sendable {
    /// What is kept of those that nobody watched yet: far more than commit while a snapshot is taken.
    static let kept_max = 1 << 14
    /// And for how long they count. Numbers of 32 bits come again.
    private static let kept = Duration.seconds(600)

    private struct State {
        var last: [(transaction: UInt32, position: Int64, at: ContinuousClock.Instant)] = []
        var next = 0
        var watches: [Int: (snapshot: SnapshotExtent, lowest: Int64)] = [:]
        var watched = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// - Parameters:
    ///   - transaction: its number's last 32 bits.
    ///   - position: where the record of its commit begins.
    func note(_ transaction: UInt32, at position: Int64, now: ContinuousClock.Instant = .now) {
        state.withLock { state in
            if state.last.count < Self.kept_max {
                state.last.append((transaction, position, now))
            } else {
                state.last[state.next] = (transaction, position, now)
                state.next = (state.next + 1) % Self.kept_max
            }
            guard !state.watches.isEmpty else { return }
            for (number, watch) in state.watches where !watch.snapshot.shows(Int64(transaction)) {
                state.watches[number]?.lowest = min(watch.lowest, position)
            }
        }
    }

    /// Looks for commits that a snapshot doesn't show, from now on and among the last ones; nil: more came since the
    /// snapshot was taken than are kept.
    ///
    /// - Parameter before: the log's end before it was taken.
    func watch(
        unseenBy snapshot: SnapshotExtent, behind before: Int64, now: ContinuousClock.Instant = .now
    ) -> Watch? {
        state.withLock { state in
            // The oldest of a full ring is the next to go.
            if state.last.count == Self.kept_max, state.last[state.next].position > before { return nil }
            let known = state.last.filter { now - $0.at < Self.kept && !snapshot.shows(Int64($0.transaction)) }
                .map(\.position).min()
            state.watched += 1
            state.watches[state.watched] = (snapshot, known ?? .max)
            return Watch(commits: self, number: state.watched)
        }
    }

    /// Of one snapshot; to be ended.
    struct Watch {
        fileprivate let commits: RecentCommits
        fileprivate let number: Int

        /// Where the first of them stands; nil: there is none, as far as the stream was read.
        var lowest: Int64? {
            let position = commits.state.withLock { $0.watches[number]?.lowest } ?? .max
            return position == .max ? nil : position
        }

        func end() { commits.state.withLock { $0.watches[number] = nil } }
    }
}

/// The source-made total order of one row's states: `(epoch, commit order, order inside the commit)`.
///
/// It holds nothing of the event's arrival, so any replay, reorder or re-batching of the same
/// events compares alike. `seq` is twice the place inside the commit, plus 1 for the create half of
/// a key change (which must outrank the delete half at the same place), and 0 for snapshot reads.
///
/// In the warehouse: `_version_epoch`, `_version_commit`, `_version_seq`, all bigint; null is older than everything.
package struct Version: Hashable, Sendable, Comparable {
    package var epoch: Int64
    package var commit: Int64
    package var seq: Int64

    @inline(__always)
    package init(epoch: Int64, commit: Int64, seq: Int64) {
        self.epoch = epoch
        self.commit = commit
        self.seq = seq
    }

    /// The version of a change at `place` inside its commit.
    package static func change(epoch: Int64, commit: Int64, place: Int64, createsMovedKey: Bool = false) -> Version {
        Version(epoch: epoch, commit: commit, seq: 2 * place + (createsMovedKey ? 1 : 0))
    }

    /// Older than every version; what a null in the warehouse means.
    package static let none = Version(epoch: .min, commit: .min, seq: .min)

    @inline(__always)
    package static func < (a: Version, b: Version) -> Bool {
        if a.epoch != b.epoch { return a.epoch < b.epoch }
        if a.commit != b.commit { return a.commit < b.commit }
        return a.seq < b.seq
    }

    package var isNone: Bool { self == .none }
    /// Of the truncate that ends a resync, just below the reads of its snapshot.
    package static func resync(epoch: Int64, snapshot: Int64) -> Version {
        Version(epoch: epoch, commit: snapshot, seq: -1)
    }
    package var isResync: Bool { seq == -1 }
    /// The create half of a key change.
    package var createsMovedKey: Bool { seq & 1 == 1 }
    /// For a key change's create: the version of its delete half.
    package var deleteHalf: Version { Version(epoch: epoch, commit: commit, seq: seq & ~1) }
}

extension Version: CustomStringConvertible {
    package var description: String { isNone ? "none" : "\(epoch)/\(commit)/\(seq)" }
}

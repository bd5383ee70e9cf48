/// Rows as a snapshot of the source has them, to be written over those that a sweep found to differ: reads, and deletes
/// of what the snapshot hasn't got.
package struct RowMend: Sendable {
    /// What the warehouse may hold and the snapshot doesn't show. A row with such a change isn't written: what the
    /// snapshot says of it is older.
    package enum Unseen: Sendable, Equatable {
        /// Changes whose commits stand there or behind.
        case since(Int64)
        /// Changes of transactions that the snapshot doesn't show; only what came since `from_us` may be such, and what
        /// tells no transaction, or is a read, may be where it came since `taken_us` (µs since 1970).
        case outside(SnapshotExtent, from_us: Int64, taken_us: Int64)
    }

    /// Of one table, which has a key; its events have the version at which rows are written.
    package var batch: ChangeBatch
    package var unseen: Unseen
    /// A row of which something is known is written just above that, and below whatever may still come of it; for
    /// sources whose versions lie behind the commits that made them. Else rows are written at their events' version,
    /// which must be above what is known.
    package var isAboveStored: Bool

    package init(_ batch: ChangeBatch, unseen: Unseen, isAboveStored: Bool) {
        self.batch = batch
        self.unseen = unseen
        self.isAboveStored = isAboveStored
    }
}

/// Which transactions a snapshot of a Postgres shows.
package struct SnapshotExtent: Sendable, Equatable {
    /// All from there on aren't shown.
    package let xmax: Int64
    /// Those below that were under way, top-level ones.
    package let running: Set<Int64>

    /// - Parameter text: as `pg_current_snapshot` writes it: `xmin:xmax:xip,xip…`.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let xmax = Int64(parts[1]) else { return nil }
        let ids = parts[2].split(separator: ",").map { Int64($0) }
        guard !ids.contains(nil) else { return nil }
        self.xmax = xmax
        running = Set(ids.compactMap { $0 })
    }

    /// - Parameter transaction: of 32 bits, or widened to 64 (`xid8`).
    package func shows(_ transaction: Int64) -> Bool {
        guard transaction >= 0 else { return false }
        let id = widened(transaction)
        return id < xmax && !running.contains(id)
    }

    /// Of the numbers that end in the same 32 bits the nearest to the snapshot's end.
    func widened(_ transaction: Int64) -> Int64 {
        guard transaction <= Int64(UInt32.max) else { return transaction }
        let near = xmax & ~Int64(UInt32.max) | transaction
        return [near - 1 << 32, near, near + 1 << 32].filter { $0 >= 0 }
            .min { abs($0 - xmax) < abs($1 - xmax) } ?? transaction
    }
}

extension Version {
    /// The version at which what a sweep read of a row is written over this one; nil: there is none below what may still
    /// come. Places in a Postgres' log are multiples of eight.
    var mended: Version? {
        let place = (seq >> 1) + 1
        guard place % 8 != 0 else { return nil }
        return Version(epoch: epoch, commit: commit, seq: 2 * place)
    }
}

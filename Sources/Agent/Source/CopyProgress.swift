import Postgres
import Replication

/// Where the initial copy stands: which tables are read, and from which snapshots. Pure.
struct CopyProgress: Sendable {
    struct Table: Sendable {
        /// Rows handed out, and as many as the planner guesses.
        var rows: Int64 = 0
        var estimate: Int64 = 0
        var chunksLeft: Int
        var isDone: Bool { chunksLeft == 0 }
    }

    /// Of this run.
    var tables: [TableID: Table] = [:]
    /// A table that is copied in one warehouse transaction, before the stream goes on.
    struct Whole: Sendable {
        var published: SourceServer.PublishedTable
        /// Current has rows already: those that aren't in the snapshot are deleted with it.
        var isResync: Bool
        var table: TableID { published.table }
    }

    /// Tables without a key, which no version could tell apart.
    var whole: [Whole] = []

    /// A table that holds rows already, and of which all chunks were handed out.
    struct Resynced: Sendable {
        var facts: RelationFacts
        var snapshot: Int64
        var rows: Int64
        /// The batch with its last piece.
        var lastBatch: Int
    }

    /// Tables with a key that hold rows already. Their rows as of the snapshot are applied beside the stream, once that has
    /// passed the snapshot: each wins over what is older, and changes nothing where the warehouse was right. Behind the
    /// last of them comes a truncate just below the snapshot, which marks as deleted what the source no longer had. So
    /// readers see the rows at any time, and no transaction is larger than others. Each with the records of it that were in
    /// quarantine when it began: a row that is put aside now would be taken for one that the source no longer has.
    var resyncing: [TableID: Int] = [:]
    /// What is to be ended so.
    var resynced: [Resynced] = []
    /// Relations (their numbers) whose blocks are copied, of each table.
    var plannedParts: [TableID: Set<String>] = [:]
    /// Tables that can't be read, with the reason.
    var refused: [TableID: ReplicationError] = [:]
    /// Tables that couldn't be read and are tried again: told as refused until they are copied.
    var retried: [TableID: ReplicationError] = [:]
    /// How often in a row each was refused, and when last.
    private var refusals: [TableID: (count: Int, at: ContinuousClock.Instant)] = [:]

    /// Returns whether that is news.
    mutating func refuse(_ table: TableID, _ error: ReplicationError, at now: ContinuousClock.Instant) -> Bool {
        let before = retried.removeValue(forKey: table)
        refused[table] = error
        refusals[table] = ((refusals[table]?.count ?? 0) + 1, now)
        tables[table] = nil
        resyncing[table] = nil
        return before?.message != error.message
    }

    /// Somebody asked for it, or it is copied: what was refused before counts no more.
    mutating func forgetRefusal(_ table: TableID) {
        refused[table] = nil
        retried[table] = nil
        refusals[table] = nil
    }

    /// Tables whose refusal may be over by somebody's doing at the source, a right that is given, are tried again: after 15
    /// seconds, then after twice as long each time, up to an hour.
    mutating func retryRefused(of published: Set<TableID>, at now: ContinuousClock.Instant) {
        for (table, error) in refused where error.kind == .environment && published.contains(table) {
            guard let (count, at) = refusals[table], now - at >= .seconds(min(15 << min(count - 1, 8), 3600)) else {
                continue
            }
            retried[table] = error
            refused[table] = nil
            known.remove(table)
        }
    }
    /// Of each copied table: the newest snapshot that rows of it were read from.
    var snapshots: [TableID: Int64] = [:]
    /// When it was opened, by our clock.
    var snapshotTimes_ms: [TableID: Int64] = [:]
    /// What is copied or being copied, so that it isn't begun again.
    var known: Set<TableID> = []
    /// The batch with which the last chunk was handed out.
    var lastBatch = 0

    var isGoingOn: Bool { !whole.isEmpty || !resynced.isEmpty || tables.values.contains { !$0.isDone } }

    /// The consistent point of everything copied so far.
    var newestSnapshot: Int64? { snapshots.values.max() }

    mutating func take(_ marks: [CopyMark]) {
        for mark in marks where mark.state == .done || !mark.isWholeTable {
            snapshots[mark.table] = max(snapshots[mark.table] ?? 0, mark.snapshot)
        }
        for mark in marks where mark.isWholeTable && mark.state == .done { known.insert(mark.table) }
    }

    /// The snapshot that the stream has to pass before rows of tables that are resynced are applied.
    var resyncFloor: Int64? { resyncing.keys.compactMap { snapshots[$0] }.max() }

    /// Counts a piece that is handed out; true where it was the last of its table.
    mutating func note(_ table: TableID, rows: Int64, isLastOfChunk: Bool) -> Bool {
        guard var entry = tables[table] else { return false }
        entry.rows += rows
        if isLastOfChunk { entry.chunksLeft -= 1 }
        tables[table] = entry
        return isLastOfChunk && entry.isDone
    }
}

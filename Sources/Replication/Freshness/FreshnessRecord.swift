/// Whether a table keeps its freshness contract.
package enum FreshnessStatus: String, Sendable, CaseIterable { case fresh = "FRESH", stale = "STALE" }

/// What is promised of a table: how far what the warehouse shows may lie behind the source.
package struct FreshnessContract: Sendable, Equatable {
    package var table: TableID
    package var maxStaleness_us: Int64
    /// Whom an alert is for; nil: whoever gets the pipeline's alerts.
    package var channel: String?

    package init(table: TableID, maxStaleness_us: Int64, channel: String? = nil) {
        self.table = table
        self.maxStaleness_us = maxStaleness_us
        self.channel = channel
    }
}

/// One row of `_millrace.freshness`: what was so of a table since a moment. All times are µs since 1970 by the clock of the
/// agent that looked, but for `changedAt_us`, which is the source's.
package struct FreshnessRecord: Sendable, Equatable {
    package var table: TableID
    /// Nil: it has no contract. How far it is complete is known all the same.
    package var status: FreshnessStatus?
    package var since_us: Int64
    /// What the source had committed by then is in current; nil: nobody has ever seen it so.
    package var completeAsOf_us: Int64?
    /// When its newest change was made; of a table that was only copied, when its rows were written.
    package var changedAt_us: Int64?
    /// When an agent looked last.
    package var seenAt_us: Int64
    /// Then, at the beginning.
    package var staleness_us: Int64?
    package var maxStaleness_us: Int64?
    /// Why it is so, without cell values.
    package var reason: String?
    package var channel: String?

    package init(table: TableID, status: FreshnessStatus?, since_us: Int64, seenAt_us: Int64) {
        self.table = table
        self.status = status
        self.since_us = since_us
        self.seenAt_us = seenAt_us
    }

    /// Rows of what is over are kept for so long.
    package static let kept_us: Int64 = 90 * 86_400_000_000
}

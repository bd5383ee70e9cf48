/// When a small batch may follow the one before.
///
/// Some engines' commits cost much, however little stands in them: DuckDB takes some 25 ms of processor for 20 rows. Were
/// each transaction of a steady trickle a batch, they would keep a core busy. So the next small batch gathers for some
/// times as long as the one before took to write. What comes after a silence is written at once, and what comes faster than
/// it is written fills a batch and doesn't wait.
package enum CommitPace {
    /// A larger batch was worth its commit.
    package static let records_max = 2000
    package static let rest_max = Duration.milliseconds(75)

    /// How long to gather on after a commit that `took` so long; nil: not at all.
    ///
    /// - Parameter times: the engine's, see `Warehouse.restsAfterCommit`.
    package static func rest(after took: Duration, records: Int, times: Int) -> Duration? {
        guard times > 0, (1...records_max).contains(records), took > .zero else { return nil }
        return min(took * times, rest_max)
    }
}

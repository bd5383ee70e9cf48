import Replication
import Testing

@testable import Agent

/// Which commits a snapshot doesn't show, though the log had gone on behind them when it was taken.
@Suite struct RecentCommitsTests {
    /// Shows all below 110 but 105.
    private let snapshot = SnapshotExtent("105:110:105")

    @Test func whatTheSnapshotDoesNotShow() throws {
        let snapshot = try #require(snapshot)
        let commits = RecentCommits()
        commits.note(104, at: 1000)
        let none = try #require(commits.watch(unseenBy: snapshot, behind: 2000))
        #expect(none.lowest == nil)
        // Of the list, and of those that aren't on it as nothing behind them has ended.
        for (transaction, position) in [(UInt32(111), Int64(1900)), (105, 1800), (106, 1700), (112, 2100)] {
            commits.note(transaction, at: position)
        }
        #expect(none.lowest == 1800, "from the watch on")
        let later = try #require(commits.watch(unseenBy: snapshot, behind: 2000))
        #expect(later.lowest == 1800, "and before it")
        none.end()
        later.end()
        commits.note(105, at: 1)
        #expect(none.lowest == nil && later.lowest == nil)
    }

    /// Numbers come again after 2^32 transactions, and those of long ago seem to lie ahead.
    @Test func whatIsLongAgo() throws {
        let snapshot = try #require(SnapshotExtent("3000000000:3000000000:"))
        let commits = RecentCommits()
        let long = ContinuousClock.now - .seconds(3600)
        commits.note(5, at: 10, now: long)
        #expect(!snapshot.shows(5), "as it is the nearest to the end")
        let watch = try #require(commits.watch(unseenBy: snapshot, behind: 2000))
        #expect(watch.lowest == nil)
        watch.end()
    }

    /// More than is kept since the snapshot was taken: what was before that nobody knows.
    @Test func moreThanIsKept() throws {
        let snapshot = try #require(snapshot)
        let commits = RecentCommits()
        for number in 0..<RecentCommits.kept_max { commits.note(200 + UInt32(number), at: 3000 + Int64(number)) }
        #expect(commits.watch(unseenBy: snapshot, behind: 2999) == nil)
        let watch = try #require(commits.watch(unseenBy: snapshot, behind: 3000))
        #expect(watch.lowest == 3000)
        watch.end()
    }
}

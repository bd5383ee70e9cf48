import Replication
import Testing

@testable import Agent

struct CopyProgressTests {
    private let table = TableID(schema: "public", table: "a")
    private let denied = ReplicationError(.environment, "permission denied")

    @Test func whatIsRefusedIsTriedAgainLaterEachTime() {
        var copy = CopyProgress()
        var isNews: Bool
        var now = ContinuousClock.now
        copy.known = [table]
        isNews = copy.refuse(table, denied, at: now)
        #expect(isNews)
        for wait in [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            copy.retryRefused(of: [table], at: now + .seconds(wait) - .milliseconds(1))
            #expect(copy.refused[table] != nil, "\(wait)")
            now += .seconds(wait)
            copy.retryRefused(of: [table], at: now)
            #expect(copy.refused[table] == nil && !copy.known.contains(table), "\(wait)")
            #expect(copy.retried[table] != nil, "it is told as refused until it is copied")
            isNews = copy.refuse(table, denied, at: now)
            #expect(!isNews, "no news")
            #expect(copy.retried[table] == nil)
        }
        copy.forgetRefusal(table)
        #expect(copy.refused.isEmpty && copy.retried.isEmpty)
        isNews = copy.refuse(table, denied, at: now)
        #expect(isNews, "from the beginning")
        copy.retryRefused(of: [table], at: now + .seconds(15))
        #expect(copy.refused.isEmpty)
        isNews = copy.refuse(table, ReplicationError(.environment, "another"), at: now)
        #expect(isNews, "news")
    }

    @Test func whatNobodyElseMendsIsNot() {
        var copy = CopyProgress()
        var isNews: Bool
        let now = ContinuousClock.now
        isNews = copy.refuse(table, ReplicationError(.permanent, "rows were put aside"), at: now)
        #expect(isNews)
        copy.retryRefused(of: [table], at: now + .seconds(100_000))
        #expect(copy.refused[table] != nil)
        let other = TableID(schema: "public", table: "b")
        isNews = copy.refuse(other, denied, at: now)
        #expect(isNews)
        copy.retryRefused(of: [table], at: now + .seconds(100_000))
        #expect(copy.refused[other] != nil, "it isn't in the publication")
    }

    @Test func whatIsLeftOfALogShowsOnceItIsTaken() {
        var logs = KafkaLogs()
        let partition = TopicPartition(topic: "t", partition: 0)
        var left: [Double?] = []
        for (low, high) in [(10, 110), (10, 200), (40, 140), (60, 160)] as [(Int64, Int64)] {
            left.append(logs.left(partition, position: 50, low: low, high: high))
        }
        #expect(left == [nil, nil, 0.1, 0])
    }
}

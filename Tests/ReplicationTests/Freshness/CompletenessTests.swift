import Replication
import Testing

/// Up to which moment what a source had is durable, told by positions alone.
@Suite struct CompletenessTests {
    private static let orders = TableID(schema: "public", table: "orders")
    private static let items = TableID(schema: "public", table: "items")

    private func partition(_ topic: String, _ number: Int32 = 0) -> TopicPartition {
        TopicPartition(topic: topic, partition: number)
    }

    private func checkpoint(_ partition: TopicPartition, _ position: Int64?, _ tables: [TableID] = []) -> Checkpoint {
        let marks = tables.map { ($0, Version(epoch: 0, commit: 1, seq: 1)) }
        return Checkpoint(partition: partition, position: position, marks: Dictionary(marks) { $1 })
    }

    @Test func aMomentIsReachedOnceItsEndIsDurable() {
        let slot = partition("slot")
        var completeness = Completeness()
        for second in Int64(1)...10 { completeness.note(SourceEnd(at_us: second, ends: [slot: second * 100])) }
        var stored = [checkpoint(slot, 99)]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == nil)
        stored = [checkpoint(slot, 450)]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 4)
        // Nothing is reached twice, and nothing goes back.
        stored = [checkpoint(slot, 10)]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 4)
    }

    /// The source stands still: each time it says so is a moment that is reached.
    @Test func aQuietSourceIsReachedAgainAndAgain() {
        let slot = partition("slot")
        var completeness = Completeness()
        let stored = [checkpoint(slot, 100)]
        for second in Int64(1)...10_000 {
            completeness.note(SourceEnd(at_us: second, ends: [slot: 100]))
            completeness.reached(stored)
            #expect(completeness.asOf(Self.orders, stored)?.at_us == second)
        }
    }

    /// However long it is behind, what is remembered stays small, and is as fine as a part of that.
    @Test func aLongLagIsRememberedInFewMoments() throws {
        let slot = partition("slot")
        var completeness = Completeness()
        for second in Int64(1)...100_000 { completeness.note(SourceEnd(at_us: second, ends: [slot: second])) }
        for position in [Int64(30_000), 60_000, 99_000] {
            let stored = [checkpoint(slot, position)]
            completeness.reached(stored)
            let found = try #require(completeness.asOf(Self.orders, stored)?.at_us)
            #expect(found <= position && found > position - 100_000 / 8)
        }
        let stored = [checkpoint(slot, 100_000)]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 100_000)
    }

    @Test func partitionsOfOtherTopicsDontCount() {
        let (a, b, c) = (partition("orders", 0), partition("orders", 1), partition("items"))
        var completeness = Completeness()
        completeness.note(SourceEnd(at_us: 5, ends: [a: 10, b: 10, c: 10]))
        var stored = [checkpoint(a, 10, [Self.orders]), checkpoint(b, 10), checkpoint(c, 3, [Self.items])]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 5)
        #expect(completeness.asOf(Self.items, stored)?.at_us == nil)
        // Of one that no topic has brought yet nobody knows where it will come.
        #expect(completeness.asOf(TableID(schema: "public", table: "new"), stored)?.at_us == nil)
        // Another partition of the topic, whose events nobody has read.
        completeness.note(SourceEnd(at_us: 6, ends: [a: 10, b: 11, c: 10]))
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 5)
        // What can't be read on isn't reached, wherever the log ends now.
        stored[1].position = 12
        completeness.reached(stored, lost: [b])
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 5)
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 6)
    }

    @Test func aLogThatIsMadeAnewForgetsItsEnds() {
        let a = partition("orders")
        var completeness = Completeness()
        completeness.note(SourceEnd(at_us: 1, ends: [a: 1000]))
        completeness.note(SourceEnd(at_us: 2, ends: [a: 5]))
        let stored = [checkpoint(a, 5)]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 2)
    }

    /// The end that a run was begun for is told after later ones were measured.
    @Test func anOlderEndMayComeLate() {
        let a = partition("orders")
        var completeness = Completeness()
        completeness.note(SourceEnd(at_us: 10, ends: [a: 700]))
        completeness.note(SourceEnd(at_us: 3, ends: [a: 300]))
        let stored = [checkpoint(a, 400)]
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 3)
    }

    /// Whether it had more nobody knows.
    @Test func aTopicThatIsGoneTellsNothing() {
        let (orders, people) = (partition("shop.public.orders"), partition("shop.public.people"))
        var completeness = Completeness()
        let stored = [checkpoint(orders, 10, [Self.orders]), checkpoint(people, 10)]
        completeness.note(SourceEnd(at_us: 1, ends: [orders: 10, people: 10]))
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 1)
        completeness.note(SourceEnd(at_us: 2, ends: [people: 10]))
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored) == nil)
    }

    /// What is durable is of the log before.
    @Test func aLogThatIsMadeAnewIsReachedByItsOwn() {
        let a = partition("orders")
        var completeness = Completeness()
        completeness.note(SourceEnd(at_us: 1, ends: [a: 1000]))
        completeness.reached([checkpoint(a, 1000)])
        completeness.note(SourceEnd(at_us: 2, ends: [a: 5]))
        completeness.reached([checkpoint(a, 1000)])
        #expect(completeness.asOf(Self.orders, [checkpoint(a, 1000)])?.at_us == 1)
        completeness.note(SourceEnd(at_us: 3, ends: [a: 6]))
        completeness.reached([checkpoint(a, 6)])
        #expect(completeness.asOf(Self.orders, [checkpoint(a, 6)])?.at_us == 3)
    }

    /// Of a heartbeat's topic one partition has all, and what was there at first tells nothing of now.
    @Test func heartbeatsAreThoseThatCome() {
        let orders = partition("shop.public.orders")
        let beats = (0...1).map { TopicPartition(topic: "__debezium-heartbeat.shop", partition: $0) }
        var completeness = Completeness()
        let stored = [checkpoint(orders, 10, [Self.orders])]
        func note(_ at_us: Int64, _ beat: Int64) {
            completeness.note(SourceEnd(at_us: at_us, ends: [orders: 10, beats[0]: beat, beats[1]: 0]))
            completeness.reached(stored)
        }
        for second in Int64(1)...5 { note(second, 500) }
        #expect(completeness.asOf(Self.orders, stored) == nil)
        #expect(completeness.asOf(Self.orders, stored, isLast: true)?.at_us == 1)
        note(6, 501)
        for second in Int64(7)...9 { note(second, 501) }
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 6)
    }

    /// Its topics are read to their ends, and a connector that is gone would leave them there.
    @Test func aConnectorWhoseHeartbeatsStopBringsNothing() {
        let (orders, beats) = (partition("shop.public.orders"), partition("__debezium-heartbeat.shop"))
        let other = partition("crm.public.people")
        let people = TableID(schema: "public", table: "people")
        var completeness = Completeness()
        let stored = [checkpoint(orders, 10, [Self.orders]), checkpoint(other, 10, [people])]
        for second in Int64(1)...5 {
            completeness.note(SourceEnd(at_us: second, ends: [orders: 10, other: 10, beats: second]))
            completeness.reached(stored)
        }
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 5)
        for second in Int64(6)...20 {
            completeness.note(SourceEnd(at_us: second, ends: [orders: 10, other: 10, beats: 5]))
            completeness.reached(stored)
        }
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 5)
        #expect(completeness.asOf(Self.orders, stored)?.server == "shop")
        // The other connector's aren't read: its topics' ends are all there is.
        #expect(completeness.asOf(people, stored)?.at_us == 20)
        completeness.note(SourceEnd(at_us: 21, ends: [orders: 10, other: 10, beats: 6]))
        completeness.reached(stored)
        #expect(completeness.asOf(Self.orders, stored)?.at_us == 21)
    }
}

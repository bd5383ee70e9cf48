import Replication
import Testing

@testable import Kafka

@Suite(.timeLimit(.minutes(2))) struct RebalanceTests {
    @Test func twoMembersShareAndOneLeaves() async throws {
        let broker = try MockBroker(topics: ["t": 8])
        try await produce(broker, (0..<8).flatMap { numbered("t", 0..<20, partition: Int32($0)) })
        let checkpoints = Follower.Checkpoints()
        let a = Follower(try consumer(broker), checkpoints)
        let b = Follower(try consumer(broker), checkpoints)
        try await a.consumer.subscribe(topics: ["t"])
        try await follow([a], until: "a owns all") { a.owned.count == 8 && a.seen.count == 160 }

        try await b.consumer.subscribe(topics: ["t"])
        try await follow([a, b], until: "four each") { a.owned.count == 4 && b.owned.count == 4 }
        #expect(a.owned.isDisjoint(with: b.owned))
        // Cooperative: what stayed was never taken back.
        #expect(a.revocations.map(\.partitions.count) == [4])
        #expect(a.revocations.allSatisfy { !$0.lost })

        try await produce(broker, (0..<8).flatMap { numbered("t", 20..<40, partition: Int32($0)) })
        try await follow([a, b], until: "both read on") { a.seen.count + b.seen.count == 320 }
        #expect(b.seen.count == 80)

        await b.consumer.close()
        try await follow([a], until: "a owns all again") { a.owned.count == 8 }
        try await produce(broker, (0..<8).flatMap { numbered("t", 40..<50, partition: Int32($0)) })
        try await follow([a], until: "the rest") { a.seen.count + b.seen.count == 400 }
        // Followers check that batches join without gap or overlap, so that this is each record once.
        #expect(Set(a.seen + b.seen).count == 400)
        #expect(checkpoints.offsets.values.allSatisfy { $0 == 50 })
        await a.consumer.close()
    }

    @Test func aGlobFindsTopicsMadeLater() async throws {
        let broker = try MockBroker(topics: ["shop.public.a": 1, "shopXpublicXa": 1])
        try await produce(broker, numbered("shop.public.a", 0..<3) + numbered("shopXpublicXa", 0..<3))
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["shop.public.*"])
        try await follow([follower], until: "the first topic") { follower.seen.count == 3 }
        try broker.createTopic("shop.public.b", partitions: 2)
        try await produce(broker, numbered("shop.public.b", 0..<4, partition: 1))
        try await follow([follower], until: "the later topic") { follower.seen.count == 7 }
        #expect(Set(follower.owned.map(\.topic)) == ["shop.public.a", "shop.public.b"])
        #expect(follower.revocations.isEmpty)
        await follower.consumer.close()
    }

    @Test func aPlainNameIsNoPattern() async throws {
        let broker = try MockBroker(topics: ["a.b": 1, "aXb": 1])
        try await produce(broker, numbered("a.b", 0..<3) + numbered("aXb", 0..<3))
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["a.b"])
        try await follow([follower], until: "its records") { follower.seen.count == 3 }
        #expect(follower.owned == [TopicPartition(topic: "a.b", partition: 0)])
        await follower.consumer.close()
    }

    @Test func thrownOutOfTheGroupIsALostRevocation() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        try await produce(broker, numbered("t", 0..<5))
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "records") { follower.seen.count == 5 }
        broker.failNext(.heartbeat, with: [.unknownMember])
        try await follow([follower], until: "taken away") { !follower.revocations.isEmpty }
        #expect(follower.revocations[0].lost)
        try await follow([follower], until: "back in the group") { follower.owned.count == 2 }
        try await produce(broker, numbered("t", 5..<8))
        try await follow([follower], until: "reading on") { follower.seen.count == 8 }
        await follower.consumer.close()
    }
}

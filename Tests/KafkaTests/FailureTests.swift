import Replication
import Testing

@testable import Kafka

@Suite(.timeLimit(.minutes(2))) struct FailureTests {
    private let p0 = TopicPartition(topic: "t", partition: 0)

    /// Also what a topic made anew looks like: the checkpoint lies behind its end.
    @Test func anOffsetOutsideTheLogIsLost() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        try await produce(broker, numbered("t", 0..<5) + numbered("t", 0..<5, partition: 1))
        let follower = Follower(try consumer(broker))
        follower.checkpoints.offsets = [p0: 1000]
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "lost") { !follower.lost.isEmpty && follower.seen.count == 5 }
        #expect(follower.lost.map(\.0) == [p0])
        #expect(follower.lost[0].1.kind == .permanent)
        #expect(follower.seen.allSatisfy { $0.partition != p0 })
        #expect(follower.checkpoints.offsets[p0] == 1000)
        // An operator's decision; then it goes on.
        follower.checkpoints.offsets[p0] = 2
        try await follower.consumer.seek(p0, to: 2)
        try await follow([follower], until: "reading on") { follower.seen.count == 8 }
        #expect(follower.lost.count == 1)
        await follower.consumer.close()
    }

    /// The mock cluster's own retention: older records are dropped beyond 5 MiB.
    @Test func anOffsetBelowTheLogIsLost() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let value = [UInt8](repeating: 7, count: 1 << 20)
        for _ in 0..<8 { try await produce(broker, [OutgoingRecord(topic: "t", partition: 0, value: value)]) }
        let follower = Follower(try consumer(broker))
        #expect(try await follower.consumer.watermarks(of: p0).low > 0)
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "lost") { !follower.lost.isEmpty }
        #expect(follower.seen.isEmpty)
        await follower.consumer.close()
    }

    @Test func brokersComeAndGo() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        try await produce(broker, numbered("t", 0..<5))
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "records") { follower.seen.count == 5 }
        try broker.setDown()
        try await follow([follower], until: "noticed") { await follower.consumer.statistics().isDisconnected }
        #expect(await follower.consumer.statistics().connectionErrors > 0)
        let error = await #expect(throws: KafkaError.self) {
            try await follower.consumer.watermarks(of: p0, timeout_ms: 300)
        }
        #expect(error?.kind == .passing)
        try broker.setUp()
        try await produce(broker, numbered("t", 5..<10), prompt.filter { $0.key.hasPrefix("reconnect") })
        try await follow([follower], until: "records again") { follower.seen.count == 10 }
        #expect(await !follower.consumer.statistics().isDisconnected)
        await follower.consumer.close()
    }

    @Test func fetchErrorsPass() async throws {
        let broker = try MockBroker(topics: ["t": 1], brokers: 3)
        broker.failNext(.fetch, with: [.disconnect, .notLeader, .disconnect])
        try await produce(broker, numbered("t", 0..<5))
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "records") { follower.seen.count == 5 }
        for leader: Int32 in [1, 2, 3] {
            try broker.setLeader(topic: "t", partition: 0, broker: leader)
            let count = follower.seen.count
            try await produce(broker, numbered("t", count..<(count + 5)))
            try await follow([follower], until: "records of the new leader") { follower.seen.count == count + 5 }
        }
        #expect(follower.lost.isEmpty)
        await follower.consumer.close()
    }

    @Test func forbiddenTopicsAreSaid() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        broker.setTopicFault("t", .topicAuthorizationFailed)
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "a problem") { !follower.problems.isEmpty }
        #expect(follower.problems[0].0.kind == .permanent)
        #expect(follower.problems[0].0.message.contains("t"))
        #expect(follower.problems[0].0.remedy != nil)
        await follower.consumer.close()
    }

    @Test func closesThoughNobodyAnswers() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "assignment") { follower.owned.count == 1 }
        try broker.setDown()
        await follower.consumer.close(timeout_ms: 500)
        await #expect(throws: KafkaError.self) { try await follower.consumer.topics() }
    }

    @Test func recordsTooLargeToSendAreSaid() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let producer = try Producer(
            brokers: broker.bootstrap, properties: ["message.max.bytes": "1000"], logger: quiet
        )
        let error = await #expect(throws: KafkaError.self) {
            try await producer.send([OutgoingRecord(topic: "t", value: [UInt8](repeating: 1, count: 5000))])
        }
        #expect(error?.name == "MSG_SIZE_TOO_LARGE")
        await producer.close()
    }

    @Test func moreThanTheProducersQueueHolds() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let producer = try Producer(
            brokers: broker.bootstrap, properties: ["queue.buffering.max.messages": "100"], logger: quiet
        )
        try await producer.send(numbered("t", 0..<5000))
        #expect(try await producer.flush() == 5000)
        await producer.close()
    }
}

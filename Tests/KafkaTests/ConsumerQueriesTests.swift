import Replication
import Testing

@testable import Kafka

@Suite(.timeLimit(.minutes(2))) struct ConsumerQueriesTests {
    private let p0 = TopicPartition(topic: "t", partition: 0), p1 = TopicPartition(topic: "t", partition: 1)

    @Test func watermarksAndTopics() async throws {
        let broker = try MockBroker(topics: ["t": 2, "u": 3])
        try await produce(broker, numbered("t", 0..<5))
        let consumer = try consumer(broker)
        #expect(try await consumer.topics() == ["t": 2, "u": 3])
        let marks = try await consumer.watermarks(of: p0)
        #expect(marks.low == 0 && marks.high == 5)
        let empty = try await consumer.watermarks(of: p1)
        #expect(empty.low == 0 && empty.high == 0)
        let both = try await consumer.watermarks(of: [p0, p1])
        #expect(both[p0]?.high == 5 && both[p1]?.high == 0)
        let error = await #expect(throws: KafkaError.self) {
            try await consumer.watermarks(of: TopicPartition(topic: "t", partition: 9), timeout_ms: 2000)
        }
        #expect(error?.message.contains("t:9") == true)
        await consumer.close()
    }

    @Test func anotherGroupsOffsets() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        try await produce(broker, numbered("t", 0..<5))
        let old = Follower(try consumer(broker, group: "old"))
        try await old.consumer.subscribe(topics: ["t"])
        try await follow([old], until: "all records") { old.seen.count == 5 }
        try await old.consumer.commit([p0: 3], metadata: "millrace")
        let new = try consumer(broker, group: "new")
        try await follow([old], until: "the commit") {
            try await new.committed(group: "old", [p0, p1]) == [p0: 3]
        }
        #expect(try await new.committed(group: "nobody", [p0, p1]) == [:])
        #expect(await old.consumer.statistics().failedCommits == 0)
        await old.consumer.close()
        await new.close()
    }

    @Test func theRecordBeforeACheckpoint() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        try await produce(broker, numbered("t", 0..<5))
        let consumer = try consumer(broker)
        let record = try #require(try await consumer.recordAt(p0, offset: 3))
        #expect(record.seen == [Seen(partition: p0, offset: 3, key: "k3", value: "v3")])
        #expect(record.spans.map(\.start) == [3] && record.spans.map(\.end) == [4])
        #expect(try await consumer.recordAt(p0, offset: 5) == nil)
        let error = await #expect(throws: KafkaError.self) { try await consumer.recordAt(p0, offset: 99) }
        #expect(error?.meansLost == true)

        let many = try await consumer.recordsAt([p0: 0, p1: 0])
        guard case .record(let first) = many[p0], case .end = many[p1] else {
            Issue.record("expected a record and an end")
            return
        }
        #expect(first.seen.map(\.value) == ["v0"])
        await consumer.close()
    }

    /// The mock cluster takes every time to be in the future: its end.
    @Test func offsetsAtATime() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        try await produce(broker, numbered("t", 0..<5))
        let consumer = try consumer(broker)
        let offsets = try await consumer.offsets(of: [p0, p1], atTime_ms: 4_000_000_000_000)
        #expect(offsets == [p0: 5, p1: 0])
        await consumer.close()
    }
}

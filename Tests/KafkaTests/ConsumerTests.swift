import Replication
import Testing

@testable import Kafka

@Suite(.timeLimit(.minutes(2))) struct ConsumerTests {
    @Test func keysNullsEmptiesHeadersAndTimestamps() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        try await produce(
            broker,
            [
                OutgoingRecord(
                    topic: "t", key: Array("a".utf8), value: Array("1".utf8),
                    headers: [
                        ("op", Array("c".utf8)), ("nothing", nil), ("empty", []),
                        ("__debezium.context.connectorName", Array("x".utf8)), ("op", Array("again".utf8)),
                    ],
                    timestamp_ms: 1_700_000_000_123
                ),
                OutgoingRecord(topic: "t", key: Array("a".utf8), value: nil),
                OutgoingRecord(topic: "t", key: nil, value: Array("2".utf8)),
                OutgoingRecord(topic: "t", key: [], value: []),
            ],
            ["compression.codec": "zstd"]
        )
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "all records") { follower.seen.count == 4 }
        let p = TopicPartition(topic: "t", partition: 0)
        #expect(
            follower.seen == [
                Seen(partition: p, offset: 0, key: "a", value: "1"),
                Seen(partition: p, offset: 1, key: "a", value: nil),
                Seen(partition: p, offset: 2, key: nil, value: "2"),
                Seen(partition: p, offset: 3, key: "", value: ""),
            ]
        )
        let batch = try #require(follower.batches.first)
        #expect(batch.records[0].timestamp_ms == 1_700_000_000_123)
        let headers = batch.headers[Int(batch.records[0].headers.lowerBound)..<Int(batch.records[0].headers.upperBound)]
        #expect(headers.map { batch.arena.string($0.name) } == ["op", "nothing", "empty", "op"])
        #expect(headers.map { $0.value.isNull ? nil : batch.arena.string($0.value) } == ["c", nil, "", "again"])
        #expect(follower.checkpoints.offsets == [p: 4])
        await follower.consumer.close()
    }

    @Test func batchesKeepToTheirBounds() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        try await produce(broker, numbered("t", 0..<500))
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "first batch") {
            if follower.batches.isEmpty { try await follower.step(maxRecords: 7) }
            return !follower.batches.isEmpty
        }
        #expect(follower.batches.allSatisfy { $0.records.count <= 1000 })
        try await follow([follower], until: "all records") {
            if follower.seen.count < 500 { try await follower.step(maxRecords: 7) }
            return follower.seen.count == 500
        }
        #expect(follower.seen.map(\.offset) == Array(0..<500))
        try await follower.consumer.seek(TopicPartition(topic: "t", partition: 0), to: 0)
        follower.checkpoints.offsets = [:]
        follower.batches = []
        while follower.batches.reduce(0, { $0 + $1.records.count }) < 500 {
            try await follower.step(maxRecords: 7, maxBytes: 1 << 20)
        }
        #expect(follower.batches.allSatisfy { (1...7).contains($0.records.count) })
        try await follower.consumer.seek(TopicPartition(topic: "t", partition: 0), to: 490)
        follower.checkpoints.offsets = [TopicPartition(topic: "t", partition: 0): 490]
        follower.batches = []
        while follower.batches.reduce(0, { $0 + $1.records.count }) < 10 {
            try await follower.step(maxRecords: 100, maxBytes: 1)
        }
        #expect(follower.batches.count == 10)
        await follower.consumer.close()
    }

    @Test func aValueOf20MB() async throws {
        let broker = try MockBroker(topics: ["big": 1])
        // Lines of a length that is no power of two, so that shifted parts show.
        let line = (UInt8(ascii: " ")...UInt8(ascii: "~")).map { $0 }
        let value = [[UInt8]](repeating: line, count: 220_000).flatMap { $0 }
        #expect(value.count > 20_000_000)
        try await produce(broker, [OutgoingRecord(topic: "big", partition: 0, key: [1], value: value)])
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["big"])
        try await follow([follower], until: "the record") { !follower.batches.isEmpty }
        let batch = follower.batches[0]
        #expect(batch.records.count == 1)
        let equal = [UInt8](batch.value(of: batch.records[0])) == value
        #expect(equal)
        await follower.consumer.close()
    }

    @Test func resumesFromTheOffsetGiven() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        try await produce(broker, numbered("t", 0..<10) + numbered("t", 10..<20, partition: 1))
        let follower = Follower(try consumer(broker))
        let p0 = TopicPartition(topic: "t", partition: 0), p1 = TopicPartition(topic: "t", partition: 1)
        follower.checkpoints.offsets = [p0: 7, p1: 10]
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "three records") { follower.seen.count >= 3 }
        try await follow([follower], until: "both ends") {
            await follower.consumer.statistics().partitions.allSatisfy(\.isAtEnd)
        }
        #expect(follower.seen.map(\.value) == ["v7", "v8", "v9"])
        let statistics = await follower.consumer.statistics()
        #expect(statistics.partitions.map(\.position) == [10, 10])
        #expect(statistics.partitions.map(\.high) == [10, 10])
        #expect(statistics.lag == 0)
        #expect(await follower.consumer.position(of: p1) == 10)
        await follower.consumer.close()
    }

    @Test func assignWantsEveryPartitionAndAnOffset() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        let consumer = try consumer(broker)
        try await consumer.subscribe(topics: ["t"])
        var given: [TopicPartition] = []
        while given.isEmpty {
            if case .assigned(let partitions) = try await consumer.poll(maxRecords: 1, maxBytes: 1, maxWait_ms: 1) {
                given = partitions
            }
        }
        #expect(given.count == 2)
        await #expect(throws: KafkaError.self) { try await consumer.assign([given[0]: 0]) }
        await #expect(throws: KafkaError.self) { try await consumer.assign([given[0]: 0, given[1]: -1]) }
        try await consumer.assign([given[0]: 0, given[1]: 0])
        await consumer.close()
    }

    @Test func pausedPartitionsAreLeftAloneAndGoOn() async throws {
        let broker = try MockBroker(topics: ["t": 2])
        let follower = Follower(try consumer(broker))
        let p0 = TopicPartition(topic: "t", partition: 0), p1 = TopicPartition(topic: "t", partition: 1)
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "assignment") { follower.owned.count == 2 }
        try await follower.consumer.pause([p0])
        try await produce(broker, numbered("t", 0..<5) + numbered("t", 5..<10, partition: 1))
        try await follow([follower], until: "the other partition") { follower.checkpoints.offsets[p1] == 5 }
        #expect(follower.seen.allSatisfy { $0.partition == p1 })
        #expect(await follower.consumer.statistics().partitions.map(\.isPaused) == [true, false])
        try await follower.consumer.resume([p0])
        try await follow([follower], until: "the paused partition") { follower.checkpoints.offsets[p0] == 5 }
        #expect(follower.seen.count == 10)
        await follower.consumer.close()
    }

    @Test func wakeEndsTheWait() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let consumer = try consumer(broker)
        async let result = consumer.poll(maxRecords: 1, maxBytes: 1, maxWait_ms: 1, idle_ms: 600_000)
        consumer.wake()
        guard case .idle = try await result else {
            Issue.record("expected to be woken")
            return
        }
        // Woken before it waits.
        consumer.wake()
        guard case .idle = try await consumer.poll(maxRecords: 1, maxBytes: 1, maxWait_ms: 1, idle_ms: 600_000) else {
            Issue.record("expected to be woken")
            return
        }
        await consumer.close()
        await #expect(throws: KafkaError.self) { try await consumer.poll(maxRecords: 1, maxBytes: 1, maxWait_ms: 1) }
        consumer.wake()
    }

    @Test func aBatchWaitsWhileItRests() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let consumer = try consumer(broker)
        let p0 = TopicPartition(topic: "t", partition: 0)
        try await produce(broker, numbered("t", 0..<1))
        try await consumer.subscribe(topics: ["t"])
        while true {
            if case .assigned = try await consumer.poll(maxRecords: 1, maxBytes: 1, maxWait_ms: 1) { break }
        }
        try await consumer.assign([p0: 0])
        let (asked, ask) = AsyncStream<Void>.makeStream()
        async let polled: RecordBatch? = {
            while true {
                let result = try await consumer.poll(maxRecords: 2, maxBytes: 1 << 20, maxWait_ms: 60_000) {
                    ask.yield()
                    return .now + .seconds(60)
                }
                if case .records(let batch) = result { return batch }
            }
        }()
        // Only while it rests, with a first record, is it asked.
        for await _ in asked { break }
        try await produce(broker, numbered("t", 1..<2))
        #expect(try await polled?.records.map(\.offset) == [0, 1])
        // Without a rest it doesn't wait for a second.
        try await produce(broker, numbered("t", 2..<3))
        while true {
            let result = try await consumer.poll(maxRecords: 2, maxBytes: 1 << 20, maxWait_ms: 600_000) { .now }
            guard case .records(let batch) = result else { continue }
            #expect(batch.records.map(\.offset) == [2])
            break
        }
        await consumer.close()
    }

    @Test func keysChooseThePartitionAsJavaDoes() async throws {
        let broker = try MockBroker(topics: ["t": 3])
        try await produce(
            broker,
            ["21", "foobar", "a-little-bit-long-string"].map {
                OutgoingRecord(topic: "t", key: Array($0.utf8), value: Array("x".utf8))
            }
        )
        let follower = Follower(try consumer(broker))
        try await follower.consumer.subscribe(topics: ["t"])
        try await follow([follower], until: "all records") { follower.seen.count == 3 }
        let places = Dictionary(uniqueKeysWithValues: follower.seen.map { ($0.key ?? "", $0.partition.partition) })
        // Kafka's own test values of murmur2, made positive, modulo 3.
        let hashes: [String: Int32] = [
            "21": -973_932_308, "foobar": -790_332_482, "a-little-bit-long-string": -985_981_536,
        ]
        for (key, hash) in hashes { #expect(places[key] == (hash & 0x7fff_ffff) % 3) }
        await follower.consumer.close()
    }
}

@Suite struct FillingTests {
    /// Transaction markers and compacted records at a partition's end, which the mock cluster never has.
    @Test func positionsMoveWithoutRecords() {
        let state = Assignment.State(TopicPartition(topic: "t", partition: 3), position: 10)
        var filling = Filling(number: 1)
        #expect(!filling.hasBegun)
        filling.advance(state, to: 14)
        state.position = 14
        #expect(filling.hasBegun && !filling.batch.isEmpty && filling.batch.records.isEmpty)
        filling.advance(state, to: 15)
        state.position = 15
        #expect(filling.batch.spans.map(\.start) == [10] && filling.batch.spans.map(\.end) == [15])
        // The next batch begins where this one ended.
        var next = Filling(number: 2)
        next.advance(state, to: 16)
        #expect(next.batch.spans.map(\.start) == [15] && next.batch.spans.map(\.end) == [16])
    }
}

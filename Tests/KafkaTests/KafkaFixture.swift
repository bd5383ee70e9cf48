import Logging
import Replication
import Testing

@testable import Kafka

let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// Properties that make the mock cluster answer at once.
let prompt = [
    "fetch.wait.max.ms": "10", "topic.metadata.refresh.interval.ms": "200", "heartbeat.interval.ms": "200",
    "session.timeout.ms": "6000", "reconnect.backoff.ms": "10", "reconnect.backoff.max.ms": "100",
    "fetch.error.backoff.ms": "20", "retry.backoff.ms": "20",
]

func consumer(
    _ broker: MockBroker, group: String = "g", _ properties: [String: String] = [:]
) throws -> Consumer {
    try Consumer(
        brokers: broker.bootstrap, group: group, properties: prompt.merging(properties) { $1 }, logger: quiet
    )
}

func produce(_ broker: MockBroker, _ records: [OutgoingRecord], _ properties: [String: String] = [:]) async throws {
    let producer = try Producer(brokers: broker.bootstrap, properties: properties, logger: quiet)
    do {
        try await producer.send(records)
        #expect(try await producer.flush() == records.count)
    } catch {
        await producer.close()
        throw error
    }
    await producer.close()
}

func numbered(_ topic: String, _ numbers: Range<Int>, partition: Int32? = 0) -> [OutgoingRecord] {
    numbers.map {
        OutgoingRecord(topic: topic, partition: partition, key: Array("k\($0)".utf8), value: Array("v\($0)".utf8))
    }
}

/// A record as tests compare it.
struct Seen: Hashable, CustomStringConvertible {
    var partition: TopicPartition
    var offset: Int64
    var key: String?
    var value: String?
    var description: String { "\(partition)@\(offset) \(key ?? "-")=\(value ?? "-")" }
}

extension RecordBatch {
    var seen: [Seen] {
        records.map { record in
            Seen(
                partition: spans[Int(record.span)].partition, offset: record.offset,
                key: record.key.isNull ? nil : arena.string(record.key),
                value: optionalValue(of: record).map { String(decoding: $0, as: UTF8.self) }
            )
        }
    }
}

/// A caller of `Consumer` as the pipeline will be one: keeps the positions that its batches reached, answers
/// rebalances, and checks that every batch begins where the one before it ended.
final class Follower {
    let consumer: Consumer
    /// Where partitions begin or go on; shared between members as the warehouse's checkpoints are.
    let checkpoints: Checkpoints
    var owned: Set<TopicPartition> = []
    var seen: [Seen] = []
    var batches: [RecordBatch] = []
    var lost: [(TopicPartition, KafkaError)] = []
    var problems: [(KafkaError, TopicPartition?)] = []
    var revocations: [(partitions: [TopicPartition], lost: Bool)] = []

    final class Checkpoints {
        var offsets: [TopicPartition: Int64] = [:]
    }

    init(_ consumer: Consumer, _ checkpoints: Checkpoints = Checkpoints()) {
        self.consumer = consumer
        self.checkpoints = checkpoints
    }

    /// One poll, answered.
    func step(maxRecords: Int = 1000, maxBytes: Int = 32 << 20, idle_ms: Int = 50) async throws {
        let result = try await consumer.poll(
            maxRecords: maxRecords, maxBytes: maxBytes, maxWait_ms: 500, idle_ms: idle_ms
        )
        switch result {
        case .assigned(let partitions):
            #expect(owned.isDisjoint(with: partitions))
            owned.formUnion(partitions)
            try await consumer.assign(
                Dictionary(uniqueKeysWithValues: partitions.map { ($0, checkpoints.offsets[$0] ?? 0) })
            )
        case .revoked(let partitions, let lost):
            owned.subtract(partitions)
            revocations.append((partitions, lost))
            try await consumer.unassign(partitions)
        case .records(let batch):
            #expect(!batch.isEmpty)
            batches.append(batch)
            seen += batch.seen
            for span in batch.spans {
                #expect(owned.contains(span.partition))
                #expect(span.start == checkpoints.offsets[span.partition] ?? 0)
                checkpoints.offsets[span.partition] = span.end
            }
        case .lost(let partition, let reason): lost.append((partition, reason))
        case .problem(let error, let place): problems.append((error, place))
        case .idle: break
        }
    }
}

/// Goes on until `condition` holds; gives up, as a failure, after far longer than it can take.
func follow(
    _ followers: [Follower], until what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, what, sourceLocation: sourceLocation)
        for follower in followers { try await follower.step() }
    }
}

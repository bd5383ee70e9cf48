import Foundation
import Kafka
import Logging
import PipelineFile
import Replication
import Synchronization
import Testing

@testable import Agent

@Suite struct KafkaGatherTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func source(_ broker: MockBroker, gathers: Bool) throws -> KafkaSource {
        let text = """
            pipeline: shop
            source: { kafka: { brokers: "\(broker.bootstrap)", topics: [t], group: g } }
            warehouse: { duckdb: { path: /tmp/unused.duckdb } }
            batch: { max_delay: 1h }
            """
        let pipeline = try Pipeline.parse(text: text, file: "/tmp/millrace.yaml", environment: [:])
        guard case .kafka(let settings) = pipeline.source.input else { throw CancellationError() }
        return try KafkaSource(settings, limits: pipeline.batch, gathers: gathers, logger: quiet)
    }

    private static func send(_ count: Int, _ broker: MockBroker) async throws {
        let producer = try Producer(brokers: broker.bootstrap, logger: quiet)
        try await producer.send((0..<count).map { _ in OutgoingRecord(topic: "t", key: nil, value: Array("v".utf8)) })
        _ = try await producer.flush()
        await producer.close()
    }

    private static func records(_ source: KafkaSource) async throws -> RecordBatch {
        while true {
            switch try await source.next() {
            case .assigned(let partitions):
                _ = try await source.begin(partitions.map { Checkpoint(partition: $0) })
            case .records(let records) where !records.batch.records.isEmpty: return records.batch
            default: break
            }
        }
    }

    /// `max_delay` is an hour: whoever isn't told that the batch before is durable would wait for that long.
    @Test(.timeLimit(.minutes(1)), arguments: ["confirm", "gather", "wake"])
    func aBatchGathersUntilTheOneBeforeIsDurable(ends: String) async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let source = try Self.source(broker, gathers: true)
        try await Self.send(3, broker)
        var seen = try await Self.records(source).records.count
        source.gather(true)
        try await Self.send(1, broker)
        let next = Task { try await Self.records(source).records.count }
        // It has begun, and waits on.
        try await Self.send(4, broker)
        switch ends {
        case "confirm": await source.confirm([TopicPartition(topic: "t", partition: 0): 3])
        case "gather": source.gather(false)
        default:
            // A wait that hasn't begun a batch yet is ended by it, too.
            let isOver = Atomic(false)
            async let count = {
                defer { isOver.store(true, ordering: .relaxed) }; return try await next.value
            }()
            while !isOver.load(ordering: .relaxed) {
                source.wake()
                await Task.yield()
            }
            seen += try await count
        }
        if ends != "wake" { seen += try await next.value }
        source.gather(false)
        while seen < 8 { seen += try await Self.records(source).records.count }
        #expect(seen == 8)
        await source.close()
    }

    @Test(.timeLimit(.minutes(1))) func whereCommitsAreCheapNothingWaits() async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let source = try Self.source(broker, gathers: false)
        source.gather(true)
        try await Self.send(3, broker)
        var seen = 0
        while seen < 3 { seen += try await Self.records(source).records.count }
        #expect(seen == 3)
        await source.close()
    }
}

import Foundation
import Kafka
import Logging
import PipelineFile
import Replication
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

    @Test(.timeLimit(.minutes(1)), arguments: ["confirm", "gather", "wake"])
    func nothingIsLostByGathering(ends: String) async throws {
        let broker = try MockBroker(topics: ["t": 1])
        let source = try Self.source(broker, gathers: true)
        try await Self.send(3, broker)
        var seen = try await Self.records(source).records.count
        source.gather(true)
        #expect(source.isGathering)
        try await Self.send(1, broker)
        let next = Task { try await Self.records(source).records.count }
        try await Self.send(4, broker)
        switch ends {
        case "confirm": await source.confirm([TopicPartition(topic: "t", partition: 0): 3])
        case "gather": source.gather(false)
        default: source.wake()
        }
        // At once, and not when a batch has gathered for as long as it may.
        #expect(!source.isGathering)
        seen += try await next.value
        while seen < 8 { seen += try await Self.records(source).records.count }
        #expect(seen == 8)
        await source.close()
    }

    @Test func whereCommitsAreCheapNothingWaits() async throws {
        let source = try Self.source(MockBroker(topics: ["t": 1]), gathers: false)
        source.gather(true)
        #expect(!source.isGathering)
        await source.close()
    }

    @Test func itEndsWhenTheBatchBeforeIsDurableOrAStopIsAskedFor() throws {
        let now = ContinuousClock.now
        var patience = KafkaSource.Patience(gathers: true)
        patience.restsUntil = now - .seconds(1)
        #expect(try #require(patience.end(at: now)) < now)
        patience.gathersUntil = now + KafkaSource.Patience.gathering_max
        #expect(patience.end(at: now) == now + .milliseconds(1))
        // A warehouse that is away isn't waited out.
        #expect(try #require(patience.end(at: now + .seconds(1))) < now)
        patience.restsUntil = now + .seconds(3)
        #expect(patience.end(at: now) == patience.restsUntil)
        #expect(patience.end(at: now + .seconds(2)) == patience.restsUntil)
        patience.gathersUntil = nil
        #expect(patience.end(at: now) == patience.restsUntil)
        patience.isStopping = true
        #expect(patience.end(at: now) == nil)
    }
}

extension KafkaSource {
    fileprivate nonisolated var isGathering: Bool {
        patience.withLock { $0.gathersUntil != nil && !$0.isStopping }
    }
}

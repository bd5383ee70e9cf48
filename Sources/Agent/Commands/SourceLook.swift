import EventFile
import Foundation
import Kafka
import Logging
import PipelineFile
import Replication
import SerialQueue

/// What `check` and `checkpoint` want to know of a source, without joining its group.
protocol SourceLook: Sendable {
    /// Partitions that the pipeline reads.
    func partitions() async throws -> [TopicPartition]
    /// Nil: as if nothing had been read.
    func position(_ wanted: SoughtPosition, of partition: TopicPartition) async throws -> Int64?
    /// A few records of each partition.
    func sample() async throws -> [RecordBatch]
    func close() async
}

/// `--to-offset`.
package enum SoughtPosition: Sendable, Equatable {
    case earliest
    case latest
    case offset(Int64)

    package init?(_ text: String) {
        switch text {
        case "earliest": self = .earliest
        case "latest": self = .latest
        default:
            guard let offset = Int64(text), offset >= 0 else { return nil }
            self = .offset(offset)
        }
    }
}

extension PipelineSetup {
    func makeLook() throws -> any SourceLook {
        switch pipeline.source.input {
        case .kafka(let kafka): try KafkaLook(kafka, logger: logger)
        case .file(let file): EventFileLook(path: file.path)
        case .postgres(let server): PostgresLook(server)
        }
    }
}

struct KafkaLook: SourceLook {
    private let settings: Pipeline.Kafka
    let consumer: Consumer

    init(_ settings: Pipeline.Kafka, logger: Logger) throws {
        self.settings = settings
        // Never subscribed, so no member of the group.
        consumer = try Consumer(settings, logger: logger)
    }

    /// Topics with their numbers of partitions.
    func topics() async throws -> [(name: String, partitions: Int)] {
        try await consumer.topics()
            .filter { name, _ in
                !name.hasPrefix("__consumer_offsets") && settings.topics.contains { $0.matches(name) }
            }
            .sorted { $0.key < $1.key }
            .map { ($0.key, $0.value) }
    }

    func partitions() async throws -> [TopicPartition] {
        try await topics().flatMap { topic in
            (0..<topic.partitions).map { TopicPartition(topic: topic.name, partition: Int32($0)) }
        }
    }

    /// Of partitions that are there.
    func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] {
        try await KafkaPlaces(consumer: consumer).lostPartitions(checkpoints)
    }

    func position(_ wanted: SoughtPosition, of partition: TopicPartition) async throws -> Int64? {
        if case .offset(let offset) = wanted { return offset }
        let ends = try await consumer.watermarks(of: partition)
        return wanted == .earliest ? ends.low : ends.high
    }

    /// The first and the last record of each partition that holds any.
    func sample() async throws -> [RecordBatch] {
        var first: [TopicPartition: Int64] = [:]
        var last: [TopicPartition: Int64] = [:]
        for partition in try await partitions() {
            let ends = try await consumer.watermarks(of: partition)
            guard ends.high > ends.low else { continue }
            first[partition] = ends.low
            if ends.high - 1 > ends.low { last[partition] = ends.high - 1 }
        }
        var batches: [RecordBatch] = []
        for offsets in [first, last] where !offsets.isEmpty {
            for (_, probe) in try await consumer.recordsAt(offsets).sorted(by: { $0.key < $1.key }) {
                if case .record(let batch) = probe { batches.append(batch) }
            }
        }
        return batches
    }

    func close() async { await consumer.close() }
}

actor EventFileLook: SourceLook {
    private static let lines_max = 1000
    private let executor = SerialQueueExecutor(label: "event-file-look")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private let path: String

    init(path: String) { self.path = path }

    func partitions() -> [TopicPartition] { [PipelineSetup.partition(ofFile: path)] }

    /// Positions are lines.
    func position(_ wanted: SoughtPosition, of partition: TopicPartition) throws -> Int64? {
        switch wanted {
        case .earliest: return 0
        case .offset(let line): return line
        case .latest:
            let reader = try EventFileReader(path: path)
            while !reader.isAtEnd {
                _ = try reader.read(into: RecordBatch(), maxRecords: 10_000, maxBytes: 8 << 20)
            }
            return Int64(reader.line)
        }
    }

    func sample() throws -> [RecordBatch] {
        let reader = try EventFileReader(path: path)
        let batch = RecordBatch()
        _ = try reader.read(into: batch, maxRecords: Self.lines_max, maxBytes: 32 << 20)
        return [batch]
    }

    func close() {}
}

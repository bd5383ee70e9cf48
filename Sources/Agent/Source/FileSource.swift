import EventFile
import Foundation
import PipelineFile
import Replication
import SerialQueue

/// An event file as a `RecordSource`. Its checkpoint is kept for the file as a whole: the number of lines read.
package actor FileSource: RecordSource {
    private let executor = SerialQueueExecutor(label: "event-file")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    package nonisolated let kind = "file"
    private let path: String
    private let limits: Pipeline.Batch
    private let withholdsBytes: Bool
    private let partition: TopicPartition
    private var reader: EventFileReader?
    private var isAssigned = false
    private var line: Int64 = 0

    /// - Parameter withholdsBytes: quarantine mustn't keep the bytes of lines, since columns are excluded or hashed.
    package init(path: String, limits: Pipeline.Batch, withholdsBytes: Bool) {
        self.path = path
        self.limits = limits
        self.withholdsBytes = withholdsBytes
        // The name without its folder: a file may be moved between runs.
        partition = TopicPartition(topic: "file:" + URL(fileURLWithPath: path).lastPathComponent, partition: 0)
    }

    package func next() async throws -> SourceStep {
        if !isAssigned {
            isAssigned = true
            return .assigned([partition])
        }
        guard let reader else { return .end }
        if reader.isAtEnd { return .end }
        let batch = RecordBatch(capacity: min(limits.bytes_max.bytes, 1 << 22))
        let read: EventFileReader.Read
        do {
            read = try reader.read(into: batch, maxRecords: limits.rows_max, maxBytes: limits.bytes_max.bytes)
        } catch {
            throw ReplicationError(.environment, error.message, remedy: error.remedy)
        }
        line = Int64(read.lines.upperBound)
        if read.lines.isEmpty { return .end }
        let last = batch.records.last
        let advance = SourceAdvance(
            partition: partition, from: Int64(read.lines.lowerBound), to: line, lastOffset: last?.offset,
            lastHash: last.map { batch.fingerprint($0) }, spans: Array(batch.spans.indices))
        let malformed = read.malformed.map { line in
            QuarantineEntry(
                table: nil, partition: partition, offset: Int64(line.line - 1),
                reason: "line \(line.line) of the file: \(line.reason)", value: withholdsBytes ? nil : line.raw)
        }
        return .records(SourceRecords(batch: batch, advances: [advance], malformed: malformed))
    }

    package func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        do {
            let reader = try EventFileReader(path: path)
            self.reader = reader
            guard let claim = claims.first(where: { $0.partition == partition }), let position = claim.position else {
                return []
            }
            line = position
            try reader.skip(toLine: Int(position))
            return []
        } catch {
            if case .tooFewLines = error.kind {
                return [LostPartition(partition: partition, reason: error.message, remedy: error.remedy ?? "")]
            }
            throw ReplicationError(.environment, error.message, remedy: error.remedy)
        }
    }

    package func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
    package func release(_ partitions: [TopicPartition]) async throws {}
    package func confirm(_ positions: [TopicPartition: Int64]) async {}
    package func endPositions() async throws -> [TopicPartition: Int64]? { nil }
    package func readPositions() async -> [TopicPartition: Int64] { [partition: line] }
    package func lag() async -> [TopicPartition: Int64] { [:] }
    package nonisolated func wake() {}
    package func close() async { reader = nil }
}

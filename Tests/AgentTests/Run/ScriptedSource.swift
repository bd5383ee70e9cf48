import Replication
import ReplicationTestKit

@testable import Agent

/// A Kafka of a test's own: gives what it is told to, step by step.
actor ScriptedSource: RecordSource {
    nonisolated let kind = "kafka"
    private enum Line {
        case step(SourceStep)
        /// Nothing comes while this happens.
        case idle(@Sendable () -> Void)
    }

    private var steps: [Line] = []
    private var ends: [TopicPartition: Int64] = [:]
    private var positions: [TopicPartition: Int64] = [:]
    private(set) var confirmed: [TopicPartition: Int64] = [:]
    private(set) var endsAsked = 0
    private(set) var paused: Set<TopicPartition> = []
    /// Partitions that others read.
    private var foreign: Set<TopicPartition> = []

    func add(_ step: SourceStep) { steps.append(.step(step)) }
    func add(idle body: @escaping @Sendable () -> Void) { steps.append(.idle(body)) }

    /// Gives these next, as one batch, and counts them as being in the log.
    func add(_ events: [TransactionEvents.Event], partition: Int32 = 0) {
        let batch = RecordBatch()
        for event in events {
            let place = TopicPartition(topic: event.topic, partition: partition)
            let span = batch.span(of: place, startingAt: ends[place] ?? 0)
            let offset = ends[place] ?? 0
            var (key, value) = (event.key, event.value)
            key.withUTF8 { key in
                value.withUTF8 { value in
                    batch.append(
                        span: span, offset: offset, key: UnsafeRawBufferPointer(key),
                        value: UnsafeRawBufferPointer(value))
                }
            }
            batch.advance(span: span, to: offset + 1)
            ends[place] = offset + 1
        }
        let advances = batch.spans.enumerated().map { index, span in
            let last = batch.records.last { Int($0.span) == index }
            return SourceAdvance(
                partition: span.partition, from: span.start, to: span.end, lastOffset: last?.offset,
                lastHash: last.map { batch.fingerprint($0) }, spans: [index])
        }
        steps.append(.step(.records(SourceRecords(batch: batch, advances: advances))))
    }

    func setForeign(_ partitions: Set<TopicPartition>) { foreign = partitions }

    func next() -> SourceStep {
        guard !steps.isEmpty else { return .idle }
        guard case .step(let step) = steps[0] else {
            if case .idle(let body) = steps.removeFirst() { body() }
            return .idle
        }
        steps.removeFirst()
        if case .records(let records) = step {
            for advance in records.advances { positions[advance.partition] = advance.to }
        }
        return step
    }

    func begin(_ claims: [Checkpoint]) -> [LostPartition] {
        for claim in claims {
            positions[claim.partition] = claim.position ?? 0
            if ends[claim.partition] == nil { ends[claim.partition] = claim.position ?? 0 }
        }
        return []
    }

    func lostPartitions(_ checkpoints: [Checkpoint]) -> [LostPartition] { [] }
    func pause(_ partitions: Set<TopicPartition>) { paused = partitions }
    func release(_ partitions: [TopicPartition]) { for partition in partitions { positions[partition] = nil } }
    func confirm(_ positions: [TopicPartition: Int64]) { confirmed.merge(positions) { $1 } }

    func endPositions() -> [TopicPartition: Int64]? {
        endsAsked += 1
        return ends.merging(foreign.map { ($0, 0) }) { $1 }
    }

    func readPositions() -> [TopicPartition: Int64] { positions }
    func lag() -> [TopicPartition: Int64] {
        Dictionary(uniqueKeysWithValues: positions.map { ($0, max(0, (ends[$0] ?? 0) - $1)) })
    }
    nonisolated func wake() {}
    func close() {}
}

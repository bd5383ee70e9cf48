import Debezium
import Logging
import Replication
import ReplicationTestKit
import Testing

@testable import Agent

@Suite("The runner")
struct ReplicatorTests {
    /// Gives a few batches of one record each, and never a moment without one.
    private actor BusySource: RecordSource {
        nonisolated let kind = "kafka"
        static let partition = TopicPartition(topic: "t", partition: 0)
        private var left: Int
        private var offset: Int64 = 0
        private var isAssigned = false

        init(records: Int) { left = records }

        func next() async throws -> SourceStep {
            if !isAssigned {
                isAssigned = true
                return .assigned([Self.partition])
            }
            guard left > 0 else { return .end }
            left -= 1
            let batch = RecordBatch()
            let span = batch.span(of: Self.partition, startingAt: offset)
            // A tombstone.
            batch.append(span: span, offset: offset, key: nil, value: nil)
            batch.advance(span: span, to: offset + 1)
            offset += 1
            let advance = SourceAdvance(partition: Self.partition, from: offset - 1, to: offset, spans: [Int(span)])
            return .records(SourceRecords(batch: batch, advances: [advance]))
        }

        func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] { [] }
        func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
        func release(_ partitions: [TopicPartition]) async throws {}
        func confirm(_ positions: [TopicPartition: Int64]) async {}
        func endPositions() async throws -> [TopicPartition: Int64]? { nil }
        func readPositions() async -> [TopicPartition: Int64] { [Self.partition: offset] }
        func lag() async -> [TopicPartition: Int64] { [Self.partition: Int64(left)] }
        nonisolated func wake() {}
        func close() async {}
    }

    @Test("says its lag while it is busy, not only once it is idle")
    func lagWhileBusy() async throws {
        let status = AgentStatus()
        let replicator = Replicator(
            source: BusySource(records: 3), warehouse: MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop")),
            status: status, settings: .init(owner: "test"), logger: Logger(label: "test")
        ) { _ in try DebeziumDecoder(configuration: DecoderConfiguration(select: { _ in nil })) }
        try await replicator.run()
        #expect(status.current.positions == [BusySource.partition: 3])
        #expect(status.current.lag[BusySource.partition] != nil)
    }
}

import Debezium
import Logging
import Replication
import ReplicationTestKit
import Synchronization
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
        nonisolated let rests = Mutex<[ContinuousClock.Instant]>([])

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
        nonisolated func rest(until end: ContinuousClock.Instant) { rests.withLock { $0.append(end) } }
        func endPositions() async throws -> [TopicPartition: Int64]? { nil }
        func readPositions() async -> [TopicPartition: Int64] { [Self.partition: offset] }
        func lag() async -> [TopicPartition: Int64] { [Self.partition: Int64(left)] }
        nonisolated func wake() {}
        func close() async {}
    }

    @Test("goes on with what an earlier turn of the process has counted")
    func countsGoOn() async throws {
        let status = AgentStatus()
        let warehouse = MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop"))
        let table = TableID(schema: "public", table: "orders")
        let definition = TableDefinition(
            source: table, target: "orders", columns: [Column(name: "id", type: .bigint)], key: [0])
        try await warehouse.ensure([definition], recording: [])
        var ledger = LedgerEntry(table: table)
        ledger.read = 5
        status.update { $0.tables[table] = .init(definition: definition, ledger: ledger, topics: ["t"]) }
        let replicator = Replicator(
            source: BusySource(records: 1), warehouse: warehouse, status: status, settings: .init(owner: "test"),
            logger: Logger(label: "test")
        ) { _ in try DebeziumDecoder(configuration: DecoderConfiguration(select: { _ in nil })) }
        try await replicator.run()
        #expect(status.current.tables[table]?.ledger.read == 5 && status.current.tables[table]?.topics == ["t"])
    }

    @Test("notes which topics a table's events come out of, where somebody asks")
    func topics() async throws {
        let batch = ChangeBatch()
        let tables = ["a", "b"].map { TableID(schema: "public", table: $0) }
        batch.tables = tables.map { TableDefinition(source: $0, target: $0.table, columns: [], key: []) }
        let records = RecordBatch()
        for topic in ["x", "y"] { _ = records.span(of: TopicPartition(topic: topic, partition: 0), startingAt: 0) }
        batch.spans = records.spans
        for (table, span) in [(0, 0), (0, 0), (1, 0), (0, 1)] as [(Int32, Int32)] {
            var event = ChangeEvent(
                operation: .create, table: table, version: .none, id: .zero, offset: 0, sourceTime_us: 0)
            event.span = span
            batch.events.append(event)
        }
        for notes in [true, false] {
            var settings = Replicator.Settings(owner: "test")
            settings.notesTopics = notes
            let replicator = Replicator(
                source: BusySource(records: 0), warehouse: MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop")),
                status: AgentStatus(), settings: settings, logger: Logger(label: "test")
            ) { _ in try DebeziumDecoder(configuration: DecoderConfiguration(select: { _ in nil })) }
            let found = await replicator.topics(of: batch)
            #expect(found == (notes ? [tables[0]: ["x", "y"], tables[1]: ["x"]] : [:]))
        }
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

    @Test("rests behind each small commit where the warehouse's are dear", arguments: [0, 3])
    func rests(times: Int) async throws {
        let source = BusySource(records: 3)
        let replicator = Replicator(
            source: source,
            warehouse: MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop"), restsAfterCommit: times),
            status: AgentStatus(), settings: .init(owner: "test"), logger: Logger(label: "test")
        ) { _ in try DebeziumDecoder(configuration: DecoderConfiguration(select: { _ in nil })) }
        let before = ContinuousClock.now
        try await replicator.run()
        let ends = source.rests.withLock { $0 }
        #expect(ends.count == (times == 0 ? 0 : 3))
        #expect(ends.allSatisfy { $0 > before && $0 < .now + CommitPace.rest_max })
    }

    @Test("a batch that is begun waits while one is written, or while it rests, and not for a stop")
    func patience() {
        let now = ContinuousClock.now
        var patience = PostgresSource.Patience()
        #expect(!patience.mayGather(at: now))
        patience.restsUntil = now
        #expect(!patience.mayGather(at: now) && patience.mayGather(at: now - .nanoseconds(1)))
        patience.isGathering = true
        #expect(patience.mayGather(at: now))
        patience.isStopping = true
        #expect(!patience.mayGather(at: now) && !patience.mayGather(at: now - .seconds(1)))
    }
}

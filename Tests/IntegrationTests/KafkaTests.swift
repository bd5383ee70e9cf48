import Agent
import Foundation
import JSON
import Kafka
import Logging
import Replication
import Testing

/// The agent on a broker whose log isn't what it was.
@Suite struct KafkaPipelineTests {
    private static let logger: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    private func produce(_ records: [OutgoingRecord], to broker: MockBroker) async throws {
        let producer = try Producer(brokers: broker.bootstrap, logger: Self.logger)
        try await producer.send(records)
        _ = try await producer.flush()
        await producer.close()
    }

    private func run(_ name: String, _ engine: Engine, _ broker: MockBroker, _ folder: TestFolder, more: String = "")
        async throws
        -> PipelineRun
    {
        try await PipelineRun(
            name, engine,
            source: """
                  kafka:
                    brokers: \(broker.bootstrap)
                    topics: ["shop.*"]
                    properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 }
                \(more)
                """, folder: folder)
    }

    private func count(_ run: PipelineRun) async throws -> Int {
        try await run.looking { warehouse, layout in
            Int(try await warehouse.query("select count(*) from \(layout.live).items", rows_max: 1).rows[0][0] ?? "")
                ?? -1
        }
    }

    private func expectLost(_ run: PipelineRun, _ words: String) async {
        await #expect {
            try await run.untilEnd()
        } throws: { error in
            guard let error = error as? ReplicationError else { return false }
            return error.kind == .environment && error.message.contains(words)
                && error.remedy?.contains("checkpoint set --to-offset") == true
        }
    }

    @Test(arguments: Engine.allCases) func aTopicMadeAnewIsTold(engine: Engine) async throws {
        let folder = try TestFolder()
        let first = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: Self.logger)
        try await produce(SyntheticEvents.inserts(0..<50), to: first)
        var run = try await run("anew", engine, first, folder)
        try await run.untilEnd()
        #expect(try await count(run) == 50)
        first.close()

        // The same topic on another broker: as long as before, but other records.
        let second = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: Self.logger)
        try await produce(SyntheticEvents.inserts(1000..<1080), to: second)
        run = try await self.run("anew", engine, second, folder)
        await expectLost(run, "isn't the one that was read before")
        #expect(try await count(run) == 50, "nothing of it is applied")

        // The way out: from its beginning, on purpose.
        try await run.looking { _, _ in }
        let warehouse = try run.setup.makeWarehouse()
        try await warehouse.open(readOnly: false)
        try await warehouse.set(positions: [TopicPartition(topic: SyntheticEvents.topic, partition: 0): 0])
        await warehouse.close()
        try await run.untilEnd()
        #expect(try await count(run) == 130)
        second.close()
    }

    @Test(arguments: Engine.allCases) func aLogShorterThanTheCheckpointIsTold(engine: Engine) async throws {
        let folder = try TestFolder()
        let first = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: Self.logger)
        try await produce(SyntheticEvents.inserts(0..<50), to: first)
        var run = try await run("shorter", engine, first, folder)
        try await run.untilEnd()
        first.close()
        let second = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: Self.logger)
        try await produce(SyntheticEvents.inserts(0..<20), to: second)
        run = try await self.run("shorter", engine, second, folder)
        await expectLost(run, "the log ends at 20")
        second.close()
    }

    @Test(arguments: Engine.allCases) func resumesFromTheWarehouseAndNotFromTheGroup(engine: Engine) async throws {
        let folder = try TestFolder()
        let broker = try MockBroker(topics: [SyntheticEvents.topic: 3], logger: Self.logger)
        defer { broker.close() }
        try await produce(SyntheticEvents.inserts(0..<60), to: broker)
        let run = try await run("resume", engine, broker, folder)
        let first = try await run.untilEnd()
        #expect(first.events == 60)
        try await produce(SyntheticEvents.inserts(60..<100), to: broker)
        let second = try await run.untilEnd()
        #expect(second.events == 40, "only what is new is read")
        // Another pipeline of the same group begins at its own checkpoint: there is none.
        let other = try await self.run("resume2", engine, broker, folder, more: "    group: millrace-resume")
        #expect(try await other.untilEnd().events == 100)
    }

    @Test(arguments: Engine.allCases) func startsWhereItIsTold(engine: Engine) async throws {
        let folder = try TestFolder()
        let broker = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: Self.logger)
        defer { broker.close() }
        try await produce(SyntheticEvents.inserts(0..<30), to: broker)
        let latest = try await run("latest", engine, broker, folder, more: "    start: latest")
        #expect(try await latest.untilEnd().events == 0)
        let group = try await run("fromgroup", engine, broker, folder, more: "    start: group:elsewhere")
        let consumer = try Consumer(brokers: broker.bootstrap, group: "elsewhere", logger: Self.logger)
        try await consumer.subscribe(topics: [SyntheticEvents.topic])
        joining: while true {
            if case .assigned(let partitions) = try await consumer.poll(
                maxRecords: 1, maxBytes: 1 << 20, maxWait_ms: 10)
            {
                try await consumer.assign(Dictionary(uniqueKeysWithValues: partitions.map { ($0, 12) }))
                break joining
            }
        }
        try await consumer.commit([TopicPartition(topic: SyntheticEvents.topic, partition: 0): 12])
        while try await consumer.committed(
            group: "elsewhere", [TopicPartition(topic: SyntheticEvents.topic, partition: 0)]
        ).isEmpty {
            _ = try await consumer.poll(maxRecords: 1, maxBytes: 1 << 20, maxWait_ms: 10)
        }
        await consumer.close()
        #expect(try await group.untilEnd().events == 18)
    }
}

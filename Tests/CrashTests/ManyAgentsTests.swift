import Foundation
import JSON
import Kafka
import Logging
import Testing
import ThrowawayPostgres

/// Several agents of one pipeline, as real processes.
@Suite(.serialized) struct ManyAgentsTests {
    private static let topic = "shop.public.items"
    /// How long the warehouse stays away after the agent noticed it.
    private static let outage_s = ProcessInfo.processInfo.environment["MILLRACE_OUTAGE_S"].flatMap { Double($0) } ?? 0

    private func record(_ id: Int, _ lsn: Int) -> OutgoingRecord {
        let key =
            "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"}],\"optional\":false,\"name\":\"Key\"},\"payload\":{\"id\":\(id)}}"
        let fields =
            "[{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"},{\"type\":\"int64\",\"optional\":true,\"field\":\"n\"}]"
        let value =
            "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"struct\",\"fields\":\(fields),\"optional\":true,\"name\":\"Value\",\"field\":\"after\"}],"
            + "\"optional\":false,\"name\":\"Envelope\"},\"payload\":{\"before\":null,\"after\":{\"id\":\(id),\"n\":\(lsn)},\"source\":{\"version\":\"3\","
            + "\"connector\":\"postgresql\",\"name\":\"shop\",\"ts_ms\":\(1_700_000_000_000 + lsn),\"snapshot\":\"false\",\"db\":\"shop\","
            + "\"sequence\":\"[\\\"\(lsn)\\\",\\\"\(lsn)\\\"]\",\"schema\":\"public\",\"table\":\"items\",\"txId\":\(lsn),\"lsn\":\(lsn)},\"op\":\"u\",\"ts_ms\":1}}"
        return OutgoingRecord(topic: Self.topic, key: Array(key.utf8), value: Array(value.utf8))
    }

    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-many-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Waits until `condition` holds; every look takes a while by itself. Fails after two minutes.
    private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "waited too long until \(what)")
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    @Test func twoShareATopicAndOneTakesOver() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: [Self.topic: 8], logger: logger)
        for agent in ["a", "b"] {
            try """
            pipeline: pair
            source:
              kafka:
                brokers: \(broker.bootstrap)
                topics: [\(Self.topic)]
                properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
            warehouse: { postgres: { url: "\(server.url())" } }
            batch: { max_rows: 200 }
            agent: { listen: "127.0.0.1:0", dir: .millrace-\(agent) }
            """.write(to: folder.appending(path: "\(agent).yaml"), atomically: true, encoding: .utf8)
        }
        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        var lsn = 0
        func produce(_ count: Int) async throws {
            var records: [OutgoingRecord] = []
            for _ in 0..<count {
                lsn += 1
                records.append(record(lsn % 997, lsn))
            }
            try await producer.send(records)
            _ = try await producer.flush()
        }
        func number(_ sql: String) async throws -> Int {
            Int(try await server.psql(sql).trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1
        }
        try await produce(2000)
        let first = try AgentProcess(["run", "-c", "a.yaml"], in: folder)
        try await until("the first agent has applied something") {
            (try? await number("select coalesce(sum(read), 0) from _millrace.ledger where pipeline = 'pair'")) ?? 0
                >= 2000
        }
        let second = try AgentProcess(["run", "-c", "b.yaml"], in: folder)
        try await until("both own partitions") {
            try await number("select count(distinct owner) from _millrace.checkpoints where pipeline = 'pair'") == 2
        }
        let shares = try await server.psql(
            "select count(*) from _millrace.checkpoints where pipeline = 'pair' group by owner order by 1")
        #expect(shares.split(separator: "\n").map(String.init) == ["4", "4"], "they share the work")
        try await produce(3000)
        try await until("all is applied") {
            try await number("select sum(read) from _millrace.ledger where pipeline = 'pair'") >= 5000
        }
        // One dies in the middle of things; the other gets its partitions.
        try await produce(1500)
        first.signal(SIGKILL)
        try await produce(1500)
        try await until("the other has taken over") {
            let behind = "select count(distinct owner) from _millrace.checkpoints where pipeline = 'pair'"
            let owners = try await number(behind)
            let read = try await number("select sum(read) from _millrace.ledger where pipeline = 'pair'")
            return owners == 1 && read >= lsn
        }
        #expect(await first.wait().status == 128 + SIGKILL)
        second.signal(SIGTERM)
        let end = await second.wait()
        #expect(end.status == 0, "SIGTERM drains: \(end.errors.suffix(2000))")
        #expect(try await number("select count(*) from pair_raw.items") == lsn)
        #expect(try await number("select count(distinct event_id) from pair_raw.items") == lsn)
        #expect(try await number("select count(*) from pair_live.items") == 997)
        #expect(try await number("select sum(read) from _millrace.ledger where pipeline = 'pair'") == lsn)
        #expect(
            try await number(
                "select count(*) from _millrace.ledger where read <> applied + superseded + duplicate + compacted + filtered + quarantined + deferred"
            ) == 0)
        let wrong = try await number(
            "select count(*) from pair_live.items i where n <> (select max((r.after->>'n')::bigint) from pair_raw.items r where r.key::text = '{\"id\":' || i.id || '}')"
        )
        #expect(wrong == 0, "every row is its newest event")
        await producer.close()
        broker.close()
        await server.remove()
    }

    @Test func aSecondAgentOnADuckDBFileIsRefused() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let broker = try MockBroker(topics: [Self.topic: 1], logger: logger)
        defer { broker.close() }
        for agent in ["a", "b"] {
            try """
            pipeline: solo
            source:
              kafka: { brokers: "\(broker.bootstrap)", topics: [\(Self.topic)], properties: { fetch.wait.max.ms: 10 } }
            warehouse: { duckdb: { path: solo.duckdb } }
            agent: { listen: "127.0.0.1:0", dir: .millrace-\(agent) }
            """.write(to: folder.appending(path: "\(agent).yaml"), atomically: true, encoding: .utf8)
        }
        let first = try AgentProcess(["run", "-c", "a.yaml"], in: folder)
        try await until("the first has the file") {
            FileManager.default.fileExists(atPath: folder.appending(path: ".millrace-a/agent.json").path)
        }
        let second = try await AgentProcess.run(["run", "-c", "b.yaml"], in: folder)
        #expect(second.status == 3)
        #expect(second.errors.contains("Error: ") && second.errors.contains("Try: "), "\(second.errors)")
        // Commands of the same agent folder go through the running one.
        let query = try await AgentProcess.run(
            ["query", "-c", "a.yaml", "--format", "json", "select 42 as answer"], in: folder)
        #expect(query.status == 0 && query.output.contains("42"), "\(query.errors)")
        first.signal(SIGTERM)
        #expect(await first.wait().status == 0)
    }

    @Test func aWarehouseThatIsAwayIsWaitedFor() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: [Self.topic: 2], logger: logger)
        try """
        pipeline: away
        source:
          kafka: { brokers: "\(broker.bootstrap)", topics: [\(Self.topic)], properties: { fetch.wait.max.ms: 10 } }
        warehouse: { postgres: { url: "\(server.url())" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "a.yaml"), atomically: true, encoding: .utf8)
        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        try await producer.send((1...500).map { record($0, $0) })
        _ = try await producer.flush()
        let agent = try AgentProcess(["run", "-c", "a.yaml", "--log-format", "json"], in: folder)
        try await until("the first records are there") {
            (try? await server.psql("select count(*) from away_live.items"))?.hasPrefix("500") ?? false
        }
        try await server.stop(.immediate)
        try await producer.send((501...1000).map { record($0, $0) })
        _ = try await producer.flush()
        try await until("the agent says that it waits") { agent.said().contains("trying again") }
        // How long the warehouse stays away is what is tested, not what is waited for.
        try await Task.sleep(for: .seconds(Self.outage_s))
        #expect(agent.isRunning)
        try await server.start()
        try await until("it goes on") {
            (try? await server.psql("select count(*) from away_live.items"))?.hasPrefix("1000") ?? false
        }
        #expect(try await server.psql("select count(*) = count(distinct event_id) from away_raw.items").hasPrefix("t"))
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await producer.close()
        broker.close()
        await server.remove()
    }

    @Test func aWrongPipelineFileNamesTheLine() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try "pipeline: shop\nsource:\n  file: { path: x.jsonl }\nwarehous:\n  duckdb: {}\n".write(
            to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let result = try await AgentProcess.run(["run"], in: folder)
        #expect(result.status == 2)
        #expect(result.errors.contains("millrace.yaml:4:1") && result.errors.contains("Try: "), "\(result.errors)")
        #expect(try await AgentProcess.run(["run", "--no-such-flag"], in: folder).status == 2)
    }
}

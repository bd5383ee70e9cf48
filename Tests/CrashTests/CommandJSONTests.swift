import Foundation
import JSON
import Kafka
import Logging
import Testing
import ThrowawayPostgres

/// `--json` of every command, as the real program writes it: with an agent that answers over HTTP, and without one.
@Suite(.serialized) struct CommandJSONTests {
    enum Engine: String, CaseIterable, Sendable { case duckdb, postgres }

    private static let topic = "shop.public.items"

    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-json-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Two good records and one that can't be read; it counts to the one table of its partition.
    private var records: [OutgoingRecord] {
        func value(_ id: Int) -> String {
            #"{"before":null,"after":{"id":\#(id),"v":"x"},"source":{"connector":"postgresql","schema":"public","#
                + #""table":"items","ts_ms":1700000000000,"snapshot":null,"txId":\#(id),"lsn":\#(id),"#
                + #""sequence":"[\"\#(id)\",\"\#(id)\"]"},"op":"c","ts_ms":1,"transaction":null}"#
        }
        return [(1, value(1)), (2, value(2)), (3, "{")].map { id, value in
            OutgoingRecord(topic: Self.topic, key: Array("{\"id\":\(id)}".utf8), value: Array(value.utf8))
        }
    }

    private struct Program {
        var folder: URL

        func run(_ arguments: [String], exit: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation) async throws
            -> JSONValue
        {
            let result = try await AgentProcess.run(arguments + ["--json", "-c", "shop.yaml"], in: folder)
            let what = "millrace \(arguments.joined(separator: " "))"
            #expect(result.status == exit, "\(what): \(result.errors)", sourceLocation: sourceLocation)
            return try #require(
                try? JSONValue(parsing: result.output), "\(what) wrote \(result.output)", sourceLocation: sourceLocation
            )
        }
    }

    private func write(_ engine: Engine, _ broker: MockBroker, _ server: ThrowawayPostgres?, _ folder: URL) throws {
        let warehouse = server.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: shop_warehouse.duckdb }"
        try """
        pipeline: shop
        source:
          kafka: { brokers: "\(broker.bootstrap)", topics: [\(Self.topic)], properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 } }
        warehouse: { \(warehouse) }
        tables: [{ source: public.items, columns: { types: { id: bigint, v: text } } }]
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "shop.yaml"), atomically: true, encoding: .utf8)
    }

    private func expectStatus(_ status: JSONValue, agent: String?, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(status["pipeline"]?.string == "shop", sourceLocation: sourceLocation)
        #expect(status["position"]?.string == "\(Self.topic):0=3", sourceLocation: sourceLocation)
        #expect(status["consistent_since"]?.isNull == true, sourceLocation: sourceLocation)
        #expect(status["agent"]?.string == agent, sourceLocation: sourceLocation)
        let table = status["tables"]?.array?.first
        #expect(table?["source"]?.string == "public.items", sourceLocation: sourceLocation)
        #expect(table?["target"]?.string == "shop.items", sourceLocation: sourceLocation)
        #expect(table?["state"]?.string == "streaming", sourceLocation: sourceLocation)
        for (name, count) in [("read", 3), ("applied", 2), ("superseded", 0), ("duplicate", 0), ("compacted", 0)]
            + [("filtered", 0), ("quarantined", 1), ("deferred", 0)]
        {
            #expect(table?[name]?.int64 == Int64(count), "\(name)", sourceLocation: sourceLocation)
        }
        for name in ["lag_ms", "freshness"] { #expect(table?[name] != nil, "\(name)", sourceLocation: sourceLocation) }
    }

    /// What is the same with an agent and without one.
    private func look(_ program: Program, isRunning: Bool) async throws {
        let findings = try #require(try await program.run(["check"]).array)
        #expect(findings.contains { $0["level"]?.string == "ok" && $0["subject"]?.string == "public.items" })
        #expect(findings.allSatisfy { $0["message"]?.string != nil && $0["try"] != nil })
        #expect(findings.contains { $0["subject"]?.string == "agent" } == isRunning)

        let status = try await program.run(["status"])
        expectStatus(status, agent: isRunning ? "running" : "none")
        #expect(status["state"]?.string == (isRunning ? "degraded" : "stopped"))
        #expect(status["tables"]?.array?.first?["rows"]?["live"]?.int64 == 2)

        let rows = try await program.run(["query", "select id, v from shop_live.items order by id"])
        #expect(rows.serialized == #"[{"id":1,"v":"x"},{"id":2,"v":"x"}]"#)

        let checkpoints = try #require(try await program.run(["checkpoint", "show"]).array)
        #expect(checkpoints.count == 1)
        #expect(checkpoints[0]["topic"]?.string == Self.topic && checkpoints[0]["partition"]?.int64 == 0)
        #expect(checkpoints[0]["position"]?.int64 == 3)

        let paused = try #require(try await program.run(["pause", "items"]).array)
        #expect(paused.first?["source"]?.string == "public.items" && paused.first?["state"]?.string == "paused")
        #expect(try await program.run(["status"])["tables"]?.array?.first?["state"]?.string == "paused")
        let resumed = try #require(try await program.run(["resume", "--all"]).array)
        #expect(resumed.first?["source"]?.string == "public.items" && resumed.first?["events"]?.int64 == 0)
        let list = try #require(try await program.run(["quarantine", "list"]).array)
        #expect(list.count == 1 && list[0]["state"]?.string == "waiting")
        let id = try #require(list[0]["id"]?.int64)
        let record = try await program.run(["quarantine", "show", "\(id)"])
        #expect(record["value"]?.string == "{" && record["offset"]?.int64 == 2 && record["reason"]?.string != nil)
        let replayed = try #require(try await program.run(["quarantine", "replay", "--all"], exit: 1).array)
        #expect(replayed.map { $0["id"]?.int64 } == [id] && replayed[0]["state"]?.string == "waiting")
        #expect(replayed[0]["reason"]?.string != nil)
    }

    @Test(arguments: Engine.allCases) func everyCommandSpeaksJSON(engine: Engine) async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let broker = try MockBroker(topics: [Self.topic: 1], logger: logger)
        defer { broker.close() }
        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        try await producer.send(records)
        _ = try await producer.flush()
        await producer.close()
        let server = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        try write(engine, broker, server, folder)
        let program = Program(folder: folder)

        let summary = try await program.run(["run", "--until-end"])
        expectStatus(summary, agent: nil)
        #expect(summary["state"]?.string == "degraded")
        try await look(program, isRunning: false)

        let agent = try AgentProcess(["run", "--json", "-c", "shop.yaml"], in: folder)
        defer { if agent.isRunning { agent.signal(SIGKILL) } }
        let deadline = ContinuousClock.now + .seconds(120)
        while !FileManager.default.fileExists(atPath: folder.appending(path: ".millrace/agent.json").path) {
            try #require(agent.isRunning && ContinuousClock.now < deadline, "\(agent.said())")
            try await Task.sleep(for: .milliseconds(50))
        }
        // It answers before it has joined its group. The mock broker doesn't get over a member that leaves while it
        // joins; once there is a lag, it has.
        while try await program.run(["status"])["tables"]?.array?.first?["lag_ms"]?.int64 == nil {
            try #require(agent.isRunning && ContinuousClock.now < deadline, "\(agent.said())")
        }
        try await look(program, isRunning: true)
        let back = try #require(try await program.run(["checkpoint", "set", "--to-offset", "earliest"]).array)
        #expect(back.map { $0["position"]?.int64 } == [0])
        while try await program.run(["checkpoint", "show"]).array?.first?["position"]?.int64 != 3 {
            try #require(agent.isRunning && ContinuousClock.now < deadline, "\(agent.said())")
        }
        let refused = try await AgentProcess.run(["drop", "--yes", "--json", "-c", "shop.yaml"], in: folder)
        #expect(refused.status == 3 && refused.output.isEmpty && refused.errors.contains("Try: "))
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors)")
        let told = try JSONValue(parsing: end.output)
        #expect(told["pipeline"]?.string == "shop" && told["tables"]?.array?.first?["duplicate"]?.int64 == 2)

        let discarded = try #require(try await program.run(["quarantine", "discard", "--all"]).array)
        #expect(discarded.allSatisfy { $0["state"]?.string == "discarded" } && !discarded.isEmpty)
        let set = try #require(
            try await program.run(["checkpoint", "set", "--to-offset", "2", "--partition", "\(Self.topic):0"]).array)
        #expect(set.map { $0["position"]?.int64 } == [2])
        let dropped = try await program.run(["drop", "--tables", "--yes"])
        #expect(dropped["dropped"]?.string == "shop" && dropped["tables"]?.bool == true)
        await server?.remove()
    }

    @Test func checkSpeaksJSONWhereItFails() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try """
        pipeline: shop
        source: { file: { path: none.jsonl } }
        warehouse: { duckdb: { path: shop_warehouse.duckdb } }
        """.write(to: folder.appending(path: "shop.yaml"), atomically: true, encoding: .utf8)
        let findings = try #require(try await Program(folder: folder).run(["check"], exit: 3).array)
        let errors = findings.filter { $0["level"]?.string == "error" }
        #expect(!errors.isEmpty && errors.allSatisfy { $0["try"]?.string != nil })
    }

    @Test func theBrokerSaysWhereItListens() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let broker = try AgentProcess(["broker", "--json", "--topic", "a:2"], in: folder)
        defer { if broker.isRunning { broker.signal(SIGKILL) } }
        let deadline = ContinuousClock.now + .seconds(60)
        while broker.output().isEmpty {
            try #require(broker.isRunning && ContinuousClock.now < deadline, "\(broker.said())")
            try await Task.sleep(for: .milliseconds(20))
        }
        broker.signal(SIGTERM)
        let end = await broker.wait()
        #expect(end.status == 0, "\(end.errors)")
        #expect(try JSONValue(parsing: end.output)["bootstrap"]?.string?.contains(":") == true)
    }

    @Test func theDemoSaysWhetherAllIsEqual() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let events = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "connectors/demo/events.jsonl")
        let result = try await AgentProcess.run(
            ["demo", "--json", "--dir", folder.appending(path: "demo").path, "--events", events.path], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let proof = try JSONValue(parsing: result.output)
        #expect(proof["equal"]?.bool == true && proof["differences"]?.int64 == 0)
        #expect((proof["tables"]?.int64 ?? 0) > 0 && (proof["rows"]?.int64 ?? 0) > 0)
    }

    @Test func theDemoOfAPostgresSaysWhetherAllIsEqual() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let result = try await AgentProcess.run(
            ["demo", "--json", "--dir", folder.appending(path: "demo").path], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let proof = try JSONValue(parsing: result.output)
        #expect(proof["equal"]?.bool == true && proof["differences"]?.int64 == 0)
        #expect(proof["tables"]?.int64 == 3 && (proof["rows"]?.int64 ?? 0) > 0)
        #expect((proof["transactions"]?.int64 ?? 0) > 0 && (proof["looks"]?.int64 ?? 0) > 0)
    }
}

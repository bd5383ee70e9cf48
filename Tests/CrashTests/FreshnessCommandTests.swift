import Foundation
import JSON
import Kafka
import Testing
import ThrowawayPostgres

/// Freshness contracts by the real program: after runs that end, under an agent whose pipe stalls, and without one. How long
/// each takes is tested on a virtual clock (FreshnessWatchTests, FreshnessMonitorTests).
@Suite struct FreshnessCommandTests {
    enum Engine: String, CaseIterable, Sendable { case duckdb, postgres }

    private struct Pipeline {
        let folder: URL
        let source: String
        let warehouse: String
        var alerts = "[]"

        func write(_ maxStaleness: String) throws {
            try """
            pipeline: shop
            source: { \(source) }
            warehouse: { \(warehouse) }
            tables:
              - { source: public.a, freshness: { max_staleness: \(maxStaleness), alert: "#data-alerts" } }
            alerts: \(alerts)
            agent: { listen: "127.0.0.1:0" }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess.run(arguments, in: folder)
        }

        /// What `freshness --json` says of the one contract.
        func freshness() async throws -> (exit: Int32, table: JSONValue) {
            let result = try await run("freshness", "--json")
            let table = (try? JSONValue(parsing: result.output))?.array?.first
            return (result.status, try #require(table, "\(result)"))
        }

        func expect(_ status: String, _ sourceLocation: SourceLocation = #_sourceLocation) async throws {
            let (exit, table) = try await freshness()
            #expect(table["table"]?.string == "public.a", sourceLocation: sourceLocation)
            #expect(table["status"]?.string == status, "\(table.serialized)", sourceLocation: sourceLocation)
            #expect(exit == (status == "STALE" ? 5 : 0), sourceLocation: sourceLocation)
            #expect(table["alert_required"]?.bool == (status == "STALE"), sourceLocation: sourceLocation)
        }

        /// What was so, in order.
        func history() async throws -> [String] {
            let sql = "select status from _millrace.freshness where source_table = 'a' order by since"
            let result = try await run("query", "--format", "csv", sql)
            return result.output.split(whereSeparator: \.isNewline).dropFirst().map(String.init)
        }

        func fresh(_ agent: AgentProcess) async throws {
            try await until("it is fresh", [agent]) {
                // A reload may be on its way.
                let result = try await run("freshness", "--json")
                return result.status == 0 && result.output.contains("\"FRESH\"")
            }
        }
    }

    private func warehouse(_ engine: Engine, _ server: ThrowawayPostgres) async throws -> String {
        if engine == .duckdb { return "duckdb: { path: shop_wh.duckdb }" }
        try await server.psql("CREATE DATABASE warehouse")
        return "postgres: { url: \"\(server.url(database: "warehouse"))\" }"
    }

    /// The file's events are years old: it is complete all the same, from the moment on in which it was read.
    @Test(arguments: Engine.allCases) func aFileThatWasReadIsFreshAndAges(engine: Engine) async throws {
        let folder = try temporaryFolder("freshfile")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        let pipeline = Pipeline(
            folder: folder, source: "file: { path: events.jsonl }", warehouse: try await warehouse(engine, server))
        let record = DebeziumRecord.change(
            "shop.public.a", table: "a", op: "c", key: 1, columns: [("n", "int64", "5")], lsn: 100)
        let line: JSONValue = .object([
            ("topic", .string(record.topic)), ("key", .string(String(decoding: record.key ?? [], as: UTF8.self))),
            ("value", .string(String(decoding: record.value ?? [], as: UTF8.self))),
        ])
        try (line.serialized + "\n").write(
            to: folder.appending(path: "events.jsonl"), atomically: true, encoding: .utf8)
        try pipeline.write("1h")
        // Nothing was read yet.
        try await pipeline.expect("STALE")
        let run = try await pipeline.run("run", "--until-end", "--json")
        try #require(run.status == 0, "\(run)")
        let summary = try JSONValue(parsing: run.output)["tables"]?.array?.first?["freshness"]
        #expect(summary?["status"]?.string == "FRESH", "\(run.output)")
        try await pipeline.expect("FRESH")
        let table = try await pipeline.freshness().table
        #expect(table["idle"]?.bool == true && table["last_updated"]?.string == "2023-11-14T22:13:20.100000Z")
        #expect(table["slo_hours"]?.double == 1 && (table["staleness_hours"]?.double ?? 2) < 1)
        let status = try JSONValue(parsing: try await pipeline.run("status", "--json").output)
        #expect(status["tables"]?.array?.first?["freshness"]?["status"]?.string == "FRESH")
        #expect(try await pipeline.history() == ["FRESH"])
        // Another run finds nothing new, and that it found it is news.
        let before = table["complete_as_of_us"]?.int64 ?? .max
        #expect(try await pipeline.run("run", "--until-end").status == 0)
        #expect(try await pipeline.freshness().table["complete_as_of_us"]?.int64 ?? 0 > before)
        #expect(try await pipeline.history() == ["FRESH"])

        // Nobody looks any more: it ages as everything does.
        try pipeline.write("1s")
        try await until("it is stale") { try await pipeline.freshness().exit == 5 }
        try await pipeline.expect("STALE")
        #expect(try await pipeline.freshness().table["reason"]?.string == "no agent runs")
        let text = try await pipeline.run("freshness", "--table", "a")
        #expect(text.status == 5 && text.output.contains("public.a") && text.output.contains("STALE"), "\(text)")
        let unknown = try await pipeline.run("freshness", "--table", "b")
        #expect(unknown.status == 2 && unknown.errors.contains("Try:"), "\(unknown)")
        await server.remove()
    }

    @Test(arguments: Engine.allCases) func aPostgresSourceThatStallsRaisesOneAlert(engine: Engine) async throws {
        let folder = try temporaryFolder("freshpg")
        defer { try? FileManager.default.removeItem(at: folder) }
        let (source, server) = (try await ThrowawayPostgres.start(), try await ThrowawayPostgres.start())
        try await source.psql("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
        var pipeline = Pipeline(
            folder: folder, source: "postgres: { url: \"\(source.url())\" }",
            warehouse: try await warehouse(engine, server))
        try pipeline.write("1h")
        let backfill = try await pipeline.run("backfill")
        try #require(backfill.status == 0, "\(backfill)")
        try await pipeline.expect("FRESH")
        let run = try await pipeline.run("run", "--until-end")
        try #require(run.status == 0, "\(run)")
        try await pipeline.expect("FRESH")
        #expect(try await pipeline.history() == ["FRESH"])

        pipeline.alerts = "[{ exec: ./note.sh, on: [stale] }]"
        try pipeline.write("10s")
        let script = folder.appending(path: "note.sh")
        try "#!/bin/sh\n{ tr -d '\\n'; echo; } >> told\n".write(to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        func told() throws -> [String] {
            let text = (try? String(contentsOf: folder.appending(path: "told"), encoding: .utf8)) ?? ""
            return try text.split(separator: "\n").map { line in
                let notice = try JSONValue(parsing: String(line))
                #expect(notice["channel"]?.string == "#data-alerts")
                return ["kind", "subject", "state"].map { notice[$0]?.string ?? "?" }.joined(separator: " ")
            }
        }
        let agent = try AgentProcess(["run"], in: folder)
        defer { if agent.isRunning { agent.signal(SIGKILL) } }
        try await until("it answers", [agent]) {
            FileManager.default.fileExists(atPath: folder.appending(path: ".millrace/agent.json").path)
        }
        try await pipeline.fresh(agent)
        // Another contract is another's matter until it is read.
        try pipeline.write("15s")
        #expect(try await pipeline.run("freshness").status == 2)
        #expect(try await pipeline.run("reload").status == 0)
        try await pipeline.fresh(agent)
        #expect(try await pipeline.freshness().table["slo_us"]?.int64 == 15_000_000)
        // Nobody writes for longer than the contract allows.
        try await until("it is idle", [agent]) { try await pipeline.freshness().table["idle"]?.bool == true }
        #expect(try await pipeline.freshness().exit == 0)
        #expect(try told().isEmpty)

        // The table stands still: so long as nothing comes for it, it is what the source has.
        #expect(try await pipeline.run("pause", "a").status == 0)
        try await source.psql("INSERT INTO a VALUES (2)")
        let began = "stale public.a began"
        let ended = "stale public.a ended"
        try await until("the table's stall is told", [agent]) { try told() == [began] }
        try await pipeline.expect("STALE")
        #expect(try await pipeline.freshness().table["reason"]?.string == "paused by hand")
        #expect(try await pipeline.run("resume", "a").status == 0)
        try await until("its end is told", [agent]) { try told() == [began, ended] }
        try await pipeline.expect("FRESH")

        // The source is away.
        try await source.stop()
        try await until("the source's stall is told", within: .seconds(180), [agent]) {
            try told() == [began, ended, began]
        }
        try await pipeline.expect("STALE")
        let metrics = try await AgentProcess.run(["status", "--json"], in: folder)
        #expect(metrics.output.contains("\"status\":\"STALE\""), "\(metrics)")
        try await source.start()
        try await until("its end is told", within: .seconds(180), [agent]) {
            try told() == [began, ended, began, ended]
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        let history = try await pipeline.history()
        #expect(history.count >= 5 && history.first == "FRESH" && history.last == "FRESH", "\(history)")
        for (one, next) in zip(history, history.dropFirst()) { #expect(one != next, "\(history)") }
        // An agent that is gone makes everything stale.
        try await until("it is stale") { try await pipeline.freshness().exit == 5 }
        await source.remove()
        await server.remove()
    }

    @Test func aTopicThatIsReadToItsEndIsFresh() async throws {
        let folder = try temporaryFolder("freshkafka")
        defer { try? FileManager.default.removeItem(at: folder) }
        let topic = "shop.public.a"
        let broker = try MockBroker(topics: [topic: 3], logger: silent)
        let producer = try Producer(brokers: broker.bootstrap, logger: silent)
        func produce(_ key: Int) async throws {
            try await producer.send([
                DebeziumRecord.change(topic, table: "a", op: "c", key: key, columns: [("n", "int64", "5")], lsn: key)
            ])
            _ = try await producer.flush()
        }
        try await produce(1)
        let properties = "properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 }"
        let pipeline = Pipeline(
            folder: folder,
            source: "kafka: { brokers: \"\(broker.bootstrap)\", topics: [\(topic)], \(properties) }",
            warehouse: "duckdb: { path: shop_wh.duckdb }")
        try pipeline.write("1h")
        let run = try await pipeline.run("run", "--until-end")
        try #require(run.status == 0, "\(run)")
        try await pipeline.expect("FRESH")
        try pipeline.write("10s")
        let agent = try AgentProcess(["run"], in: folder)
        defer { if agent.isRunning { agent.signal(SIGKILL) } }
        try await until("it answers", [agent]) {
            FileManager.default.fileExists(atPath: folder.appending(path: ".millrace/agent.json").path)
        }
        try await produce(2)
        try await until("it is applied", [agent]) {
            try await pipeline.run("query", "select count(*) as n from shop_live.a").output.contains("{\"n\":2}")
        }
        try await pipeline.fresh(agent)
        try await until("it is idle", [agent]) { try await pipeline.freshness().table["idle"]?.bool == true }
        broker.close()
        try await until("nobody can say where the topic ends", [agent]) { try await pipeline.freshness().exit == 5 }
        agent.signal(SIGTERM)
        _ = await agent.wait()
        await producer.close()
    }
}

import Foundation
import JSON
import Kafka
import Testing
import ThrowawayPostgres

/// `millrace run --standby`: a second agent that takes over, as real processes.
@Suite(.serialized) struct StandbyTests {
    private func state(_ file: String, _ folder: URL) async throws -> String? {
        let result = try await AgentProcess(["status", "--json", "-c", file], in: folder).wait()
        return (try? JSONValue(parsing: result.output))?["state"]?.string
    }

    private static let read = "select coalesce(sum(read), 0) from _millrace.ledger"

    @Test func takesOverTheSlot() async throws {
        let folder = try temporaryFolder("standby")
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = ThrowawayPostgres.Options()
        options.settings = ["wal_sender_timeout": "2s"]
        let source = try await ThrowawayPostgres.start(options)
        let server = try await ThrowawayPostgres.start()
        try await source.psql(
            "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i")
        for agent in ["a", "b"] {
            try """
            pipeline: pair
            source: { postgres: { url: "\(source.url())" } }
            warehouse: { postgres: { url: "\(server.url())" } }
            batch: { max_rows: 100 }
            agent: { listen: "127.0.0.1:0", dir: .millrace-\(agent) }
            """.write(to: folder.appending(path: "\(agent).yaml"), atomically: true, encoding: .utf8)
        }
        var next = 1000
        func write() async throws {
            next += 50
            try await source.psql(
                "INSERT INTO t SELECT i, 0 FROM generate_series(\(next), \(next + 49)) i; UPDATE t SET v = v + 1 WHERE id % 7 = 0"
            )
        }
        func isEqual() async throws -> Bool {
            let digest = "SELECT md5(string_agg(concat_ws('|', id, v), ',' ORDER BY id)) FROM"
            return try await server.value("\(digest) pair_live.t") == source.value("\(digest) t")
        }
        // Inside of its sixth batch the first one will stand still, with the transaction open.
        var first = try AgentProcess(["run", "--standby", "-c", "a.yaml"], in: folder)
        try await until("the first streams", [first]) { first.said().contains("consistent since") }
        let second = try AgentProcess(["run", "--standby", "-c", "b.yaml"], in: folder)
        try await until("the second stands by", [second]) { try await state("b.yaml", folder) == "standby" }
        try await until("it says so", [second]) { second.said().contains("standing by") }
        // Without --standby it is told, with the way out.
        let refused = try await AgentProcess(
            ["run", "-c", "b.yaml"], in: folder, environment: ["MILLRACE_CRASH_AT": ""]
        ).wait()
        #expect(refused.status == 3 && refused.errors.contains("millrace run --standby"), "\(refused.errors)")

        // Killed.
        try await write()
        first.signal(SIGKILL)
        #expect(await first.wait().status == 128 + SIGKILL)
        try await write()
        try await until("the second takes over", [second]) { try await isEqual() }
        #expect(try await state("b.yaml", folder) == "ok")

        // Frozen with a batch in hand: the slot stays busy until the source gives it up.
        first = try AgentProcess(
            ["run", "--standby", "-c", "a.yaml"], in: folder,
            environment: ["MILLRACE_CRASH_AT": "commit:3", "MILLRACE_CRASH_SIGNAL": "STOP"])
        try await until("the first stands by", [first]) { try await state("a.yaml", folder) == "standby" }
        second.signal(SIGKILL)
        #expect(await second.wait().status == 128 + SIGKILL)
        try await until("the first has taken over and is frozen", [first]) {
            try await write()
            return first.isFrozen
        }
        let third = try AgentProcess(["run", "--standby", "-c", "b.yaml"], in: folder)
        try await write()
        try await until("the third takes over from a frozen one", [third]) { try await isEqual() }
        let tokens = "select sum(token) from _millrace.checkpoints where topic = 'millrace_pair'"
        let token = try await server.number(tokens)
        first.signal(SIGCONT)
        try await until("the woken one stands by", [first, third]) {
            try await state("a.yaml", folder) == "standby"
        }
        #expect(try await server.number(tokens) == token, "nobody else has claimed the slot's checkpoint")
        try await write()
        try await until("the third goes on", [third]) { try await isEqual() }

        // And back.
        third.signal(SIGTERM)
        #expect(await third.wait().status == 0)
        try await write()
        try await until("the first goes on", [first]) { try await isEqual() }
        first.signal(SIGTERM)
        let end = await first.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        #expect(try await server.number("select count(*) - count(distinct event_id) from pair_raw.t") == 0)
        #expect(
            try await server.number(
                "select count(*) from _millrace.ledger where read <> applied + superseded + duplicate + compacted + filtered + quarantined + deferred"
            ) == 0)
        await source.remove()
        await server.remove()
    }

    @Test func takesOverTheFile() async throws {
        let folder = try temporaryFolder("standby")
        defer { try? FileManager.default.removeItem(at: folder) }
        let broker = try MockBroker(topics: ["shop.public.items": 2], logger: silent)
        let events = try ItemEvents(broker)
        for agent in ["a", "b"] {
            try """
            pipeline: file
            source:
              kafka: { brokers: "\(broker.bootstrap)", topics: [\(events.topic)], group: \(agent), properties: { fetch.wait.max.ms: 10 } }
            warehouse: { duckdb: { path: file_wh.duckdb } }
            agent: { listen: "127.0.0.1:0", dir: .millrace-\(agent) }
            """.write(to: folder.appending(path: "\(agent).yaml"), atomically: true, encoding: .utf8)
        }
        func count(_ file: String) async throws -> Int {
            let result = try await AgentProcess(
                ["query", "--format", "csv", "-c", file, "select count(distinct event_id) from file_raw.items"],
                in: folder
            ).wait()
            return Int(result.output.split(whereSeparator: \.isNewline).last ?? "") ?? -1
        }
        let first = try AgentProcess(["run", "-c", "a.yaml"], in: folder)
        try await events.produce(500)
        try await until("the first has applied all", [first]) { try await count("a.yaml") == 500 }
        let second = try AgentProcess(["run", "--standby", "-c", "b.yaml"], in: folder)
        try await until("the second stands by", [second]) { try await state("b.yaml", folder) == "standby" }
        let query = try await AgentProcess(["query", "-c", "b.yaml", "select 1"], in: folder).wait()
        #expect(query.status == 3 && query.errors.contains("stands by"), "\(query.errors)")
        let refused = try await AgentProcess(["run", "-c", "b.yaml"], in: folder).wait()
        #expect(refused.status == 3 && refused.errors.contains("millrace run --standby"), "\(refused.errors)")
        try await events.produce(500)
        first.signal(SIGKILL)
        #expect(await first.wait().status == 128 + SIGKILL)
        try await until("the second takes over", [second]) { try await count("b.yaml") == 1000 }
        second.signal(SIGTERM)
        let end = await second.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        let last = try await AgentProcess(
            [
                "query", "--format", "csv", "-c", "b.yaml",
                "select concat(count(*), ' ', (select sum(read) from _millrace.ledger)) as d from file_raw.items",
            ], in: folder
        ).wait()
        #expect(last.output.contains("1000 1000"), "\(last.output)\(last.errors)")
        await events.close()
        broker.close()
    }

    @Test func whatHasNothingToWaitForIsSaid() async throws {
        let folder = try temporaryFolder("standby")
        defer { try? FileManager.default.removeItem(at: folder) }
        try
            "pipeline: p\nsource: { file: { path: x.jsonl } }\nwarehouse: { postgres: { url: postgres://127.0.0.1:1/x } }\n"
            .write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let result = try await AgentProcess(["run", "--standby"], in: folder).wait()
        #expect(result.status == 2 && result.errors.contains("Try: "), "\(result.errors)")
        #expect(try await AgentProcess(["run", "--standby", "--until-end"], in: folder).wait().status == 2)
    }
}

import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `millrace quality`, by the real program: with an agent that holds the warehouse, and without one.
@Suite(.serialized) struct QualityCommandTests {
    enum Engine: String, CaseIterable, Sendable { case duckdb, postgres }

    private func write(_ folder: URL, _ source: String, _ engine: Engine, _ warehouse: String, _ quality: String) throws
    {
        let warehouse = engine == .duckdb ? "duckdb: { path: w.duckdb }" : "postgres: { url: \"\(warehouse)\" }"
        try """
        pipeline: shop
        source:
          postgres: { url: "\(source)" }
        warehouse: { \(warehouse) }
        tables:
          - source: public.items
            quality: [\(quality)]
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "shop.yaml"), atomically: true, encoding: .utf8)
    }

    private func run(_ arguments: [String], in folder: URL) async throws -> AgentProcess.Result {
        try await AgentProcess.run(arguments + ["-c", "shop.yaml"], in: folder)
    }

    @Test(arguments: Engine.allCases) func withAnAgentAndWithoutOne(engine: Engine) async throws {
        let folder = try temporaryFolder("quality")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        try await server.psql("CREATE DATABASE source")
        try await server.psql("CREATE DATABASE warehouse")
        try await server.psql(
            "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (1, 'a'), (2, NULL), (3, 'b')",
            database: "source")
        let urls = (server.url(database: "source"), server.url(database: "warehouse"))
        let passing = "{ expect: in_set, column: v, values: [a, b], on_fail: warn }"
        let failing = "{ expect: not_null, column: v, on_fail: warn }"
        let soft = "{ expect: not_null, column: v, severity: soft }"
        func write(_ quality: String) throws { try self.write(folder, urls.0, engine, urls.1, quality) }

        try write("\(passing), \(soft)")
        let run = try await run(["run", "--until-end"], in: folder)
        try #require(run.status == 0, "\(run.errors)")
        let good = try await self.run(["quality", "--json"], in: folder)
        #expect(good.status == 0, "\(good.errors)")
        let rules = try JSONValue(parsing: good.output)["tables"]?.array?.first?["rules"]?.array ?? []
        #expect(rules.map { $0["verdict"]?.string } == ["pass", "fail"])
        #expect(rules.map { $0["rows"]?.int64 } == [2, 3] && rules.map { $0["failing"]?.int64 } == [0, 1])
        #expect(rules.last?["keys"]?.serialized == "[{\"id\":2}]" && rules.last?["severity"]?.string == "soft")
        #expect(rules.last?["failing_fraction"]?.double.map { abs($0 - 1.0 / 3) < 1e-9 } == true)
        let named = try await self.run(["quality", "--table", "items"], in: folder)
        #expect(
            named.status == 0 && named.output.contains("warn public.items v not_null (soft): 1 of 3 rows"), "\(named)")
        let unknown = try await self.run(["quality", "--table", "nope"], in: folder)
        #expect(unknown.status == 2 && unknown.errors.contains("Try:"), "\(unknown)")

        try write("\(passing), \(failing)")
        let bad = try await self.run(["quality"], in: folder)
        #expect(
            bad.status == 6 && bad.output.contains("fail public.items v not_null (hard): 1 of 3 rows\n  {\"id\":2}"),
            "\(bad)")
        try write("{ expect: length, column: id, max: 1, on_fail: warn }")
        let misfit = try await self.run(["quality"], in: folder)
        #expect(misfit.status == 2 && misfit.errors.contains("id is integer, and length is for texts"), "\(misfit)")
        #expect(try await self.run(["check"], in: folder).output.contains("length is for texts"))

        let lenient = "{ expect: in_set, column: v, values: [a, b], severity: soft }"
        try write("\(lenient), \(soft)")
        let agent = try AgentProcess(["run", "-c", "shop.yaml"], in: folder)
        defer { if agent.isRunning { agent.signal(SIGKILL) } }
        let deadline = ContinuousClock.now + .seconds(120)
        while !FileManager.default.fileExists(atPath: folder.appending(path: ".millrace/agent.json").path) {
            try #require(agent.isRunning && ContinuousClock.now < deadline, "\(agent.said())")
            try await Task.sleep(for: .milliseconds(50))
        }
        try await server.psql(
            "UPDATE items SET v = 'c' WHERE id = 2; DELETE FROM items WHERE id = 3", database: "source")
        var live = try await self.run(["quality", "--json"], in: folder)
        while live.status == 0, !live.output.contains("\"rows\":2,\"failing\":1"), ContinuousClock.now < deadline {
            live = try await self.run(["quality", "--json"], in: folder)
        }
        #expect(live.status == 0 && live.output.contains("\"rows\":2,\"failing\":1"), "\(live)")

        // The agent has the expectations that it has read.
        try write("\(passing), \(failing)")
        let stale = try await self.run(["quality"], in: folder)
        #expect(stale.status == 2 && stale.errors.contains("Try: millrace reload"), "\(stale)")
        try #require(try await self.run(["reload"], in: folder).status == 0)
        let reloaded = try await self.run(["quality"], in: folder)
        #expect(
            reloaded.status == 6 && reloaded.output.contains("fail public.items v in_set (hard): 1 of 2 rows"),
            "\(reloaded)")
        // Rows that are there already are as expected.
        try write("{ expect: not_null, column: v, on_fail: stop }")
        try #require(try await self.run(["reload"], in: folder).status == 0)
        let stops = try await self.run(["quality"], in: folder)
        #expect(stops.status == 0, "\(stops)")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await server.remove()
    }
}

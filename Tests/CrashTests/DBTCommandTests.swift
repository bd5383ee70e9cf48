import ChildProcess
import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `millrace dbt`, by the real program: through an agent that holds the warehouse, and without one.
@Suite(.serialized) struct DBTCommandTests {
    enum Engine: String, CaseIterable, Sendable { case duckdb, postgres }

    private func files(in folder: URL) throws -> [String: String] {
        var found: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            found[name] = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        }
        return found
    }

    @Test(arguments: Engine.allCases) func withAnAgentAndWithoutOne(engine: Engine) async throws {
        let folder = try temporaryFolder("dbt")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        try await server.psql("CREATE DATABASE source")
        try await server.psql("CREATE DATABASE warehouse")
        try await server.psql(
            """
            CREATE TABLE items (id int PRIMARY KEY, "Odd Name" numeric(10,2));
            COMMENT ON COLUMN items."Odd Name" IS 'How odd'; INSERT INTO items VALUES (1, 2.5), (2, NULL);
            """, database: "source")
        let warehouse =
            engine == .duckdb
            ? "duckdb: { path: w.duckdb }" : "postgres: { url: \"\(server.url(database: "warehouse"))\" }"
        try """
        pipeline: shop
        source:
          postgres: { url: "\(server.url(database: "source"))" }
        warehouse: { \(warehouse) }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "shop.yaml"), atomically: true, encoding: .utf8)
        func dbt(_ arguments: [String]) async throws -> AgentProcess.Result {
            try await AgentProcess.run(["dbt", "-c", "shop.yaml"] + arguments, in: folder)
        }

        let early = try await dbt(["--out", "early"])
        #expect(early.status == 3 && early.errors.contains("Try:"), "\(early)")
        #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "early").path))
        let run = try await AgentProcess.run(["run", "--until-end", "-c", "shop.yaml"], in: folder)
        try #require(run.status == 0, "\(run.errors)")
        let first = try await dbt(["--out", "models/a"])
        #expect(first.status == 0 && first.output.contains("written models/a/stg_shop__items.sql"), "\(first)")
        #expect(first.errors.contains("there is no dbt_project.yml"), "\(first)")
        let written = try files(in: folder.appending(path: "models/a"))
        #expect(Set(written.keys) == ["sources.yml", "stg_shop__items.sql"])
        #expect(written["sources.yml"]?.contains("\"How odd\"") == true)
        #expect(try await dbt([]).status == 2, "--out must be said")

        let agent = try AgentProcess(["run", "-c", "shop.yaml"], in: folder)
        defer { if agent.isRunning { agent.signal(SIGKILL) } }
        let deadline = ContinuousClock.now + .seconds(120)
        while !FileManager.default.fileExists(atPath: folder.appending(path: ".millrace/agent.json").path) {
            try #require(agent.isRunning && ContinuousClock.now < deadline, "\(agent.said())")
            try await Task.sleep(for: .milliseconds(50))
        }
        let live = try await dbt(["--out", "models/b", "--json"])
        #expect(live.status == 0, "\(live)")
        #expect(
            try JSONValue(parsing: live.output)["files"]?.array?.map { $0["state"]?.string } == ["written", "written"])
        #expect(try files(in: folder.appending(path: "models/b")) == written)
        let again = try await dbt(["--out", "models/b"])
        #expect(again.status == 0 && again.output.contains("unchanged models/b/sources.yml"), "\(again)")
        if let program = Self.dbt { try await lend(program, engine, server, folder) }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await server.remove()
    }

    /// dbt asks what `millrace freshness` asks, and says the same.
    @Test(.enabled(if: dbt != nil), arguments: Engine.allCases) func sourceFreshnessAgrees(engine: Engine) async throws
    {
        let program = try #require(Self.dbt)
        let folder = try temporaryFolder("dbt")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        try await server.psql("CREATE DATABASE source")
        try await server.psql("CREATE DATABASE warehouse")
        try await server.psql(
            "CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)", database: "source")
        let url = server.url(database: "warehouse")
        let warehouse = engine == .duckdb ? "duckdb: { path: fresh.duckdb }" : "postgres: { url: \"\(url)\" }"
        try """
        pipeline: shop
        source:
          postgres: { url: "\(server.url(database: "source"))" }
        warehouse: { \(warehouse) }
        agent: { listen: "127.0.0.1:0" }
        tables: [{ source: public.items, freshness: { max_staleness: 1h } }]
        """.write(to: folder.appending(path: "shop.yaml"), atomically: true, encoding: .utf8)
        let run = try await AgentProcess.run(["run", "--until-end", "-c", "shop.yaml"], in: folder)
        try #require(run.status == 0, "\(run.errors)")
        let written = try await AgentProcess.run(["dbt", "-c", "shop.yaml", "--out", "models"], in: folder)
        try #require(written.status == 0, "\(written)")
        try "{ name: shop, profile: shop, model-paths: [models], flags: { send_anonymous_usage_stats: false } }"
            .write(to: folder.appending(path: "dbt_project.yml"), atomically: true, encoding: .utf8)
        let parts = try #require(URLComponents(string: url))
        let output =
            engine == .duckdb
            ? "type: duckdb, path: fresh.duckdb, schema: a"
            : """
            type: postgres, host: "\(parts.host ?? "")", port: \(parts.port ?? 0), user: "\(parts.user ?? "")", \
            password: "\(parts.password ?? "")", dbname: warehouse, schema: a
            """
        try "shop: { target: it, outputs: { it: { \(output) } } }".write(
            to: folder.appending(path: "profiles.yml"), atomically: true, encoding: .utf8)
        func verdicts() async throws -> (ours: Int32, status: String?, dbt: Int32) {
            let ours = try await AgentProcess.run(["freshness", "-c", "shop.yaml", "--json"], in: folder)
            let status = try JSONValue(parsing: ours.output).array?.first?["status"]?.string
            let theirs = try ChildProcess(
                [program, "source", "freshness", "--project-dir", folder.path, "--profiles-dir", folder.path],
                folder: folder)
            return (ours.status, status, await theirs.wait())
        }
        let fresh = try await verdicts()
        #expect(fresh.ours == 0 && fresh.status == "FRESH" && fresh.dbt == 0, "\(fresh)")
        let aged = "UPDATE _millrace.freshness SET complete_as_of = complete_as_of - interval '2 hours'"
        if engine == .postgres {
            try await server.psql(aged, database: "warehouse")
        } else {
            let python = URL(fileURLWithPath: program).deletingLastPathComponent().appending(path: "python").path
            let ageing = try ChildProcess(
                [python, "-c", "import duckdb; duckdb.connect('fresh.duckdb').execute(\"\(aged)\")"], folder: folder)
            try #require(await ageing.wait() == 0)
        }
        let stale = try await verdicts()
        #expect(stale.ours == 5 && stale.status == "STALE" && stale.dbt == 1, "\(stale)")
        await server.remove()
    }

    /// `MILLRACE_DBT`, or where `scripts/dbt-check` installs it.
    private static let dbt: String? = {
        let own = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "third-party/dbt/bin/dbt").path
        let path = ProcessInfo.processInfo.environment["MILLRACE_DBT"] ?? own
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()

    /// Under the agent, by what `lend` tells of the file.
    private func lend(_ program: String, _ engine: Engine, _ server: ThrowawayPostgres, _ folder: URL) async throws {
        guard engine == .duckdb else { return }
        try "{ name: shop, profile: shop, model-paths: [models/b], flags: { send_anonymous_usage_stats: false } }"
            .write(to: folder.appending(path: "dbt_project.yml"), atomically: true, encoding: .utf8)
        try """
        shop: { target: it, outputs: { it: { type: duckdb, path: "{{ env_var('MILLRACE_WAREHOUSE') }}", schema: a } } }
        """.write(to: folder.appending(path: "profiles.yml"), atomically: true, encoding: .utf8)
        try await server.psql("DELETE FROM items WHERE id = 2; INSERT INTO items VALUES (3, 1)", database: "source")
        let deadline = ContinuousClock.now + .seconds(120)
        var ids = ""
        while ids != "1,3", ContinuousClock.now < deadline {
            let built = try await AgentProcess.run(["lend", "-c", "shop.yaml", "--", program, "run", "-q"], in: folder)
            try #require(built.status == 0, "\(built)")
            let rows = try await AgentProcess.run(
                ["query", "select string_agg(id, ',' order by id) as ids from a.stg_shop__items", "-c", "shop.yaml"],
                in: folder)
            ids = rows.output.filter { $0.isNumber || $0 == "," }
        }
        #expect(ids == "1,3")
    }
}

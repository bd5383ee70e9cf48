import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `millrace schema` by the real program: beside an agent and without one, and killed in the middle of a decision.
@Suite(.serialized) struct SchemaCommandTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    private struct Pipeline {
        let folder: URL
        let source: ThrowawayPostgres
        var target: ThrowawayPostgres?

        init(_ engine: Engine, _ name: String) async throws {
            folder = try temporaryFolder(name)
            source = try await ThrowawayPostgres.start()
            try await source.psql(
                """
                CREATE TABLE t (id bigint PRIMARY KEY, a text, b int);
                INSERT INTO t SELECT i, 'a' || i, i FROM generate_series(1, 1000) i;
                """)
            var warehouse = "duckdb: { path: schema_wh.duckdb }"
            if engine == .postgres {
                let server = try await ThrowawayPostgres.start()
                target = server
                warehouse = "postgres: { url: \"\(server.url())\" }"
            }
            try """
            pipeline: shop
            source: { postgres: { url: "\(source.url())" } }
            warehouse: { \(warehouse) }
            schema_changes: { deprecate_after: 0s }
            alerts: [{ log: true, on: [schema, held] }]
            agent: { listen: "127.0.0.1:0" }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        func json(
            _ arguments: String..., exit: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> JSONValue {
            let result = try await AgentProcess.run(arguments + ["--json"], in: folder)
            #expect(result.status == exit, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
            return (try? JSONValue(parsing: result.output)) ?? .null
        }

        func waiting() async throws -> [JSONValue] {
            let list = try await AgentProcess.run(["schema", "list", "--json"], in: folder)
            return (try? JSONValue(parsing: list.output))?.array?.filter { $0["state"]?.string == "waiting" } ?? []
        }

        /// `b` of a row.
        func value(of id: Int) async throws -> String? {
            let rows = try await AgentProcess.run(
                ["query", "--format", "csv", "select b from shop_live.t where id = \(id)"], in: folder)
            return rows.output.split(whereSeparator: \.isNewline).dropFirst().first.map(String.init)
        }

        func isStreaming() async throws -> Bool {
            let status = try? JSONValue(parsing: try await AgentProcess.run(["status", "--json"], in: folder).output)
            return status?["agent"]?.string == "running"
                && status?["tables"]?.array?.first?["state"]?.string == "streaming"
                && status?["consistent_since"]?.string != nil
        }
    }

    @Test(arguments: Engine.allCases) func besideAnAgent(engine: Engine) async throws {
        let pipeline = try await Pipeline(engine, "schemacli")
        defer { try? FileManager.default.removeItem(at: pipeline.folder) }
        let agent = try AgentProcess(["run"], in: pipeline.folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        // In the session that has staged rows of the narrower type.
        try await pipeline.source.psql("UPDATE t SET b = 7 WHERE id < 9")
        try await until("it is applied", [agent]) { try await pipeline.value(of: 8) == "7" }
        try await pipeline.source.psql(
            "ALTER TABLE t ALTER COLUMN b TYPE bigint; UPDATE t SET b = 5000000000 WHERE id = 8")
        try await until("the wider value is there", [agent]) { try await pipeline.value(of: 8) == "5000000000" }
        try await pipeline.source.psql(
            "ALTER TABLE t ALTER COLUMN b TYPE text USING 'b' || b; UPDATE t SET b = 'new' WHERE id = 1; INSERT INTO t VALUES (2000, 'x', 'y')"
        )
        try await until("the plan is there", [agent]) { try await pipeline.waiting().count == 1 }
        let plan = try await pipeline.waiting()[0]
        let id = "\(plan["id"]?.int64 ?? 0)"
        #expect(plan["kind"]?.string == "change_type" && plan["class"]?.string == "breaking")
        #expect(plan["before"]?.string == "bigint" && plan["after"]?.string == "text" && plan["column"]?.string == "b")
        try await until("it is shown", [agent]) {
            let status = try await pipeline.json("status")
            return status["tables"]?.array?.first?["state"]?.string == "held"
                && status["schema_changes"]?.array?.count == 1
        }
        try await until("it is told", [agent]) {
            agent.said().contains("bigint to text") && agent.said().contains("schema show \(id)")
        }
        let text = try await AgentProcess.run(["status"], in: pipeline.folder).output
        #expect(text.contains("millrace schema list"))
        // What comes behind it in the same run waits with it.
        try await pipeline.source.psql(
            "ALTER TABLE t ADD COLUMN d int DEFAULT 5; UPDATE t SET b = 'newer', d = 6 WHERE id = 2")
        try await until("the column is told", [agent]) {
            let changes = try await pipeline.json("schema", "list", "--all").array ?? []
            return changes.contains { $0["kind"]?.string == "add_column" }
        }
        try await pipeline.source.psql("UPDATE t SET b = 'newest' WHERE id = 3")
        _ = try await pipeline.json("schema", "approve", "99", exit: 2)
        #expect(try await pipeline.json("schema", "show", id)["state"]?.string == "waiting")
        #expect(try await pipeline.json("schema", "approve", id)["state"]?.string == "done")
        _ = try await pipeline.json("schema", "approve", id, exit: 2)
        try await until("it goes on", [agent]) { try await pipeline.isStreaming() }
        #expect(try await pipeline.json("sweep")["tables"]?.array?.first?["equal"]?.bool == true)
        #expect(try await pipeline.waiting().isEmpty)

        // Taken back, what fits the type that it had comes on.
        #expect(try await pipeline.json("schema", "rollback", id)["state"]?.string == "rolled_back")
        try await pipeline.source.psql("INSERT INTO t VALUES (3000, 'x', '77')")
        try await until("it goes on as before", [agent]) {
            try await pipeline.value(of: 3000) == "77"
        }
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
    }

    /// A column has another name at the source than here: it is compared all the same, and mended.
    @Test(arguments: Engine.allCases) func aSweepBesideARenameThatWaits(engine: Engine) async throws {
        let pipeline = try await Pipeline(engine, "schemasweep")
        defer { try? FileManager.default.removeItem(at: pipeline.folder) }
        let agent = try AgentProcess(["run"], in: pipeline.folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        try await pipeline.source.psql(
            "ALTER TABLE t RENAME COLUMN b TO z; ALTER TABLE t RENAME COLUMN id TO number; UPDATE t SET z = 7 WHERE number = 8"
        )
        try await until("the plans are there", [agent]) { try await pipeline.waiting().count == 2 }
        try await until("it is applied", [agent]) { try await pipeline.value(of: 8) == "7" }
        let equal = try await pipeline.json("sweep")["tables"]?.array?.first
        #expect(
            equal?["equal"]?.bool == true && equal?["uncovered"]?.array?.isEmpty == true, "\(equal?.serialized ?? "")")
        if let target = pipeline.target {
            try await target.psql("UPDATE shop.t SET b = 0 WHERE id = 5; DELETE FROM shop.t WHERE id = 6")
            let told = try await pipeline.json("sweep", exit: 4)["tables"]?.array?.first
            #expect(told?["different"]?.int64 == 1 && told?["missing"]?.int64 == 1, "\(told?.serialized ?? "")")
            _ = try await AgentProcess.run(["sweep", "--repair"], in: pipeline.folder)
            #expect(try await pipeline.json("sweep")["tables"]?.array?.first?["equal"]?.bool == true)
            #expect(try await pipeline.value(of: 5) == "5")
            #expect(try await pipeline.value(of: 6) == "6")
        }
        #expect(try await pipeline.waiting().count == 2)
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
    }

    /// A decision is one transaction a step: killed before its commit it isn't there, behind it it is gone on with.
    @Test(arguments: Engine.allCases) func killedInTheMiddle(engine: Engine) async throws {
        let pipeline = try await Pipeline(engine, "schemakill")
        defer { try? FileManager.default.removeItem(at: pipeline.folder) }
        func run(_ environment: [String: String] = [:]) async throws -> Int32 {
            try await AgentProcess.run(["run", "--until-end"], in: pipeline.folder, environment: environment).status
        }
        #expect(try await run() == 0)
        try await pipeline.source.psql(
            """
            ALTER TABLE t ADD COLUMN c int DEFAULT 7; ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t DROP COLUMN b;
            UPDATE t SET z = 'new' WHERE id = 5
            """)
        // The tables are changed, and their batch isn't written.
        #expect(try await run(["MILLRACE_CRASH_AT": "ddl"]) == 128 + SIGKILL)
        #expect(try await pipeline.waiting().isEmpty)
        #expect(try await run(["MILLRACE_CRASH_AT": "commit"]) == 128 + SIGKILL)
        let plans = try await pipeline.waiting()
        #expect(plans.compactMap { $0["kind"]?.string } == ["drop_column", "rename_column"])
        #expect(try await run() == 0)
        #expect(try await pipeline.waiting().count == 2, "nothing is told twice")
        for plan in plans {
            let id = "\(plan["id"]?.int64 ?? 0)"
            for time in 1...3 {
                let result = try await AgentProcess.run(
                    ["schema", "approve", id], in: pipeline.folder, environment: ["MILLRACE_CRASH_AT": "ddl:\(time)"])
                // The first of them that isn't reached is the end.
                #expect([128 + SIGKILL, 0, 2].contains(result.status), "\(result.errors)")
            }
        }
        // What was approved and not done is done by the next start.
        #expect(try await run() == 0)
        let all = try await pipeline.json("schema", "list", "--all").array ?? []
        #expect(all.allSatisfy { ["applied", "done"].contains($0["state"]?.string) }, "\(all.map(\.serialized))")
        let agent = try AgentProcess(["run"], in: pipeline.folder)
        // Who looks before that has the file.
        try await until("it has the file", [agent]) { agent.said().contains("listening") }
        try await until("it streams", [agent]) { try await pipeline.isStreaming() }
        let sweep = try await pipeline.json("sweep")
        #expect(sweep["tables"]?.array?.first?["equal"]?.bool == true, "\(sweep.serialized)")
        #expect(sweep["tables"]?.array?.first?["uncovered"]?.array?.isEmpty == true)
        agent.signal(SIGTERM)
        _ = await agent.wait()
    }
}

import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// The pipeline file is read again by a running agent: tables come and go, the others go on, and what can't be taken is
/// refused without harm.
@Suite(.serialized) struct ReloadTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    @Test(arguments: Engine.allCases) func tablesComeAndGo(engine: Engine) async throws {
        let folder = try temporaryFolder("reload")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let server = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        try await source.psql(
            ["a", "b", "c", "d"].map {
                "CREATE TABLE \($0) (id int PRIMARY KEY, n bigint); INSERT INTO \($0) SELECT i, 0 FROM generate_series(1, 500) i;"
            }.joined())
        let warehouse =
            server.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: reload_wh.duckdb }"
        func write(_ include: String, _ more: String = "", pipeline: String = "reload") throws {
            try """
            pipeline: \(pipeline)
            source: { include: [\(include)], postgres: { url: "\(source.url())" } }
            warehouse: { \(warehouse) }
            agent: { listen: "127.0.0.1:0" }
            \(more)
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }
        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess.run(arguments, in: folder)
        }
        func sum(_ table: String) async throws -> String {
            let result = try await run(
                "query", "--format", "csv", "select count(*) || ' ' || sum(n) as s from reload_live.\(table)")
            return String(result.output.split(whereSeparator: \.isNewline).last ?? "")
        }
        func isEqual(_ table: String) async throws -> Bool {
            try await sum(table) == source.value("select count(*) || ' ' || sum(n) from \(table)")
        }
        try write("public.a, public.b")
        #expect(try await run("reload").status == 2, "no agent")
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        let stop = StopFlag()
        let writer = source.writing(until: stop) { turn in
            ["a", "b", "c", "d"].map { "UPDATE \($0) SET n = n + 1 WHERE id % 50 = \(turn % 50);" }.joined(
                separator: "\n")
        }
        defer { stop.set() }

        // One comes, by the command.
        try write("public.a, public.b, public.c")
        let reloaded = try await run("reload", "--json")
        #expect(reloaded.status == 0, "\(reloaded.errors)")
        #expect(try JSONValue(parsing: reloaded.output)["changed"]?.bool == true)
        try await until("the new one is copied", [agent]) { (try? await sum("c"))?.hasPrefix("500 ") == true }
        let before = try await sum("a")
        try await until("the others go on", [agent]) { try await sum("a") != before }
        #expect(try JSONValue(parsing: try await run("reload", "--json").output)["changed"]?.bool == false)

        // One goes and one comes, by a signal.
        try write("public.a, public.c, public.d")
        agent.signal(SIGHUP)
        try await until("it says so", [agent]) { agent.said().contains("removed by the reload: public.b") }
        try await until("the new one is copied", [agent]) { (try? await sum("d"))?.hasPrefix("500 ") == true }
        let gone = try await sum("b")

        // What can't be: the agent goes on.
        for (include, more, name, words) in [
            ("public.a", "batch: { max_rows: 7 }", "reload", "batch"), ("public.a", "", "other", "and pipeline,"),
            ("public.*", "tables: [{ source: public.a, target: elsewhere }]", "reload", "its target"),
            ("public.*", "tables: [{ source: public.a, key: [n] }]", "reload", "its key"),
            ("public.*", "tables: [{ source: public.a, nonsense: 1 }]", "reload", "nonsense"),
        ] {
            try write(include, more, pipeline: name)
            agent.signal(SIGHUP)
            try await until("\(words) is refused", [agent]) {
                agent.said().split(separator: "\n").contains {
                    $0.contains("wasn't reloaded") && $0.contains(words)
                }
            }
        }
        // The source refuses it: it goes back.
        try write("public.nothing")
        let hopeless = try await run("reload")
        #expect(hopeless.status == 0)
        try await until("it goes back", [agent]) {
            agent.said().contains("doesn't work, and the agent goes on as before")
        }
        let then = try await sum("a")
        try await until("all go on", [agent]) { try await sum("a") != then }
        #expect(agent.isRunning)

        stop.set()
        _ = await writer.value
        for table in ["a", "c", "d"] {
            try await until("\(table) is equal", [agent]) { try await isEqual(table) }
        }
        #expect(try await sum("b") == gone, "the one that went stands still")
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
    }
}

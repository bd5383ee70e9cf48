import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// Alerts of the real program, by real troubles: each is told once when it begins and once when it is over, and an idle
/// pipeline tells nobody. `MILLRACE_ALERTS=1` adds what takes minutes: a source that is away, and a warehouse that is away
/// until the source's log runs out. How long each takes is tested on a virtual clock (AlertEpisodesTests).
@Suite(.serialized) struct AlertTests {
    private struct Told {
        let file: URL

        /// `kind subject state`, in the order in which they came.
        func all() throws -> [String] {
            let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
            return try text.split(separator: "\n").map { line in
                let notice = try JSONValue(parsing: String(line))
                return ["kind", "subject", "state"].map { notice[$0]?.string ?? "?" }.joined(separator: " ")
            }
        }

        func expect(_ notice: String, _ agent: AgentProcess, within limit: Duration = .seconds(120)) async throws {
            try await until("\(notice) is told", within: limit, [agent]) { try all().contains(notice) }
        }
    }

    @Test func eachIsToldOnce() async throws {
        let isLong = setting("MILLRACE_ALERTS", 0) > 0
        let folder = try temporaryFolder("alerts")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = try await ThrowawayPostgres.start()
        try await source.psql(
            """
            CREATE ROLE reader LOGIN REPLICATION;
            CREATE TABLE a (id int PRIMARY KEY, n bigint); CREATE TABLE b (id int PRIMARY KEY, n bigint);
            INSERT INTO a SELECT i, i FROM generate_series(1, 1000) i; INSERT INTO b VALUES (1, 1);
            CREATE TABLE d (id int PRIMARY KEY, n bigint); INSERT INTO d VALUES (1, 1);
            GRANT SELECT ON a, b, d TO reader; CREATE PUBLICATION mine FOR TABLE a, b, d;
            """)
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url(user: "reader"))", publication: mine } }
        warehouse: { postgres: { url: "\(target.url())" } }
        alerts: [{ exec: ./note.sh, lag_over: 20s }]
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let script = folder.appending(path: "note.sh")
        try "#!/bin/sh\n{ tr -d '\\n'; echo; } >> told\n".write(to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        let told = Told(file: folder.appending(path: "told"))
        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess.run(arguments, in: folder)
        }
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }

        // A table that can't be written.
        try await target.psql("ALTER TABLE shop.a RENAME COLUMN n TO m")
        try await source.psql("UPDATE a SET n = n + 1 WHERE id = 1")
        try await told.expect("held public.a began", agent)
        try await target.psql("ALTER TABLE shop.a RENAME COLUMN m TO n")
        try await told.expect("held public.a ended", agent)

        // A row that is refused.
        try await target.psql("ALTER TABLE shop.b ADD CHECK (n < 1000)")
        try await source.psql("INSERT INTO b VALUES (2, 5000)")
        try await told.expect("quarantine public.b began", agent)

        // A table that can't be copied until we may read it.
        try await source.psql(
            "CREATE TABLE c (id int PRIMARY KEY); INSERT INTO c VALUES (1); ALTER PUBLICATION mine ADD TABLE c")
        try await told.expect("error public.c began", agent)
        try await source.psql("GRANT SELECT ON c TO reader")

        // A row that somebody changed.
        try await target.psql("UPDATE shop.a SET n = -1 WHERE id = 500")
        #expect(try await run("sweep", "--table", "a").status == 4)
        try await told.expect("sweep public.a began", agent)
        #expect(try await run("sweep", "--table", "a", "--repair").status == 0)
        try await told.expect("sweep public.a ended", agent)

        // A column that gets another type, which somebody has to decide on.
        try await source.psql("ALTER TABLE d ALTER n TYPE text; UPDATE d SET n = 'x'")
        try await until("the plan is told", [agent]) {
            try told.all().contains { $0.hasPrefix("schema public.d #") && $0.hasSuffix(" began") }
        }
        let plans = try JSONValue(parsing: try await run("schema", "list", "--json").output)
        let plan = try #require(plans.array?.first?["id"]?.int64)
        #expect(try await run("schema", "approve", "\(plan)").status == 0)
        try await told.expect("schema public.d #\(plan) ended", agent)

        try await told.expect("error public.c ended", agent, within: .seconds(180))
        #expect(try await target.number("SELECT count(*) FROM shop.c") == 1)

        if isLong {
            // While something is copied nobody is told of lag.
            try await until("nothing is copied any more", [agent]) {
                let status = try JSONValue(parsing: try await run("status", "--json").output)
                return status["tables"]?.array?.allSatisfy { $0["state"]?.string == "streaming" } == true
            }
            // A warehouse that is away, while the source's log runs out.
            try await source.psql("ALTER SYSTEM SET max_slot_wal_keep_size = '160MB'")
            try await source.psql("SELECT pg_reload_conf()")
            try await target.stop()
            try await source.psql("UPDATE a SET n = n + 1 WHERE id <= 10")
            try await told.expect("waiting shop began", agent, within: .seconds(240))
            try await told.expect("lag shop began", agent, within: .seconds(240))
            try await source.psql(
                "SELECT count(pg_logical_emit_message(false, 'x', repeat('x', 1000000))) FROM generate_series(1, 148)")
            try await told.expect("retention millrace_shop:0 began", agent, within: .seconds(240))
            try await target.start()
            for kind in ["waiting shop", "lag shop", "retention millrace_shop:0"] {
                try await told.expect("\(kind) ended", agent, within: .seconds(240))
            }
            #expect(try await run("sweep", "--table", "a").status == 0)

            // A source that is away.
            try await source.stop()
            try await told.expect("waiting shop began", agent, within: .seconds(240))
            try await source.start()
            try await told.expect("waiting shop ended", agent, within: .seconds(240))
        }

        // A slot that is gone.
        try await source.dropSlot("millrace_shop", of: agent)
        let end = await agent.wait()
        #expect(end.status == 3, "\(end.errors.suffix(2000))")
        let all = try told.all()
        #expect(all.contains { $0.hasPrefix("lost ") && $0.hasSuffix(" began") }, "\(all)")
        // Nothing twice, and nothing else.
        var once = all
        if isLong {
            // What is away is a warehouse, then a source.
            for state in ["began", "ended"] {
                once.remove(at: try #require(once.firstIndex(of: "waiting shop \(state)")))
            }
        }
        #expect(Set(once).count == once.count, "\(all)")
        let kinds = Set(all.compactMap { $0.split(separator: " ").first.map(String.init) })
        let more: Set<String> = isLong ? ["waiting", "lag", "retention"] : []
        #expect(kinds == more.union(["held", "quarantine", "error", "sweep", "schema", "lost"]), "\(all)")
        let shown = all.joined().contains("5000")
        #expect(!shown, "no cell value")
    }

    @Test func anIdlePipelineTellsNobody() async throws {
        let folder = try temporaryFolder("alertsidle")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { duckdb: { path: shop_wh.duckdb } }
        alerts: [{ exec: ./note.sh, lag_over: 20s }]
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let script = folder.appending(path: "note.sh")
        try "#!/bin/sh\ncat >> told\n".write(to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        let began = ContinuousClock.now
        let length = Duration.seconds(setting("MILLRACE_ALERTS", 0) > 0 ? 120 : 30)
        try await until("time has passed", within: .seconds(240), [agent]) { ContinuousClock.now - began > length }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "told").path))
    }
}

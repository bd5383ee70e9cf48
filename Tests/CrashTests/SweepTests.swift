import DuckDB
import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `millrace sweep` by the real program: no false difference under load, every planted one found with its key and column.
/// `MILLRACE_SWEEPS`: how many sweeps under load.
@Suite(.serialized) struct SweepTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    private struct Pipeline {
        let folder: URL

        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess.run(arguments, in: folder)
        }

        func sweep(_ arguments: String..., exit: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation)
            async throws -> [String: JSONValue]
        {
            let result = try await AgentProcess.run(["sweep", "--json"] + arguments, in: folder)
            #expect(result.status == exit, "\(result.output) \(result.errors)", sourceLocation: sourceLocation)
            guard let report = try? JSONValue(parsing: result.output) else { return [:] }
            return Dictionary(
                (report["tables"]?.array ?? []).map { ($0["source"]?.string ?? "", $0) },
                uniquingKeysWith: { first, _ in first })
        }
    }

    private static let tables = """
        CREATE TABLE orders (id bigint PRIMARY KEY, status text, amount numeric(12,2), note text, at timestamptz, d double precision);
        INSERT INTO orders SELECT i, 'paid', i * 1.01, repeat(md5(i::text), 3), '2026-01-01'::timestamptz + i * interval '1 s', sqrt(i)
          FROM generate_series(1, 20000) i;
        CREATE TABLE lines (order_id bigint, line int, sku text, doc jsonb, tags text[], PRIMARY KEY (order_id, line));
        INSERT INTO lines SELECT i, j, 'sku ' || j, jsonb_build_object('a', i, 'b', ARRAY[j]), ARRAY['x', NULL, j::text]
          FROM generate_series(1, 3000) i, generate_series(1, 3) j;
        CREATE TABLE people (email text PRIMARY KEY, phone text, born date, extra bytea);
        INSERT INTO people SELECT 'p' || i || '@example.org', '030 ' || i, '1970-01-01'::date + i, decode(md5(i::text), 'hex')
          FROM generate_series(1, 5000) i;
        """

    private func start(
        _ engine: Engine, _ name: String, _ options: ThrowawayPostgres.Options = .init()
    ) async throws -> (folder: URL, source: ThrowawayPostgres, target: ThrowawayPostgres?, agent: AgentProcess) {
        let folder = try temporaryFolder(name)
        let source = try await ThrowawayPostgres.start(options)
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        try await source.psql(Self.tables)
        let warehouse = target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: sweep_wh.duckdb }"
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { \(warehouse) }
        tables: [{ source: public.people, columns: { hash: [phone] } }]
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        return (folder, source, target, agent)
    }

    @Test(arguments: Engine.allCases) func noFalseDifferenceUnderLoad(engine: Engine) async throws {
        let sweeps = setting("MILLRACE_SWEEPS", 6)
        let (folder, source, _, agent) = try await start(engine, "sweepload")
        defer { try? FileManager.default.removeItem(at: folder) }
        let pipeline = Pipeline(folder: folder)
        let stop = StopFlag()
        // Not the row of the transaction that stays open, for which it would wait until that ends.
        let writer = source.writing(until: stop) { turn in
            """
            UPDATE orders SET status = 's' || \(turn), d = d + 1 WHERE id % 400 = \(turn % 400) AND id <> 7;
            DELETE FROM orders WHERE id = \(turn * 7 % 20000 + 1);
            INSERT INTO orders VALUES (\(100_000 + turn), 'new', 1, NULL, now(), 'NaN');
            UPDATE lines SET line = line + 100 WHERE order_id = \(turn % 3000 + 1) AND line < 100;
            INSERT INTO people VALUES ('new\(turn)@example.org', 'x', '2000-01-01', '\\x00');
            """
        }
        // One row is changed all the time, and that one alone may never stand still: it is no difference.
        let hot = source.writing(until: stop) { _ in "UPDATE orders SET amount = amount + 1 WHERE id = 1" }
        // The long form's load: a thousand changes a second and more.
        var second: Task<Int, Never>?
        if sweeps > 6 {
            second = source.writing(until: stop) { turn in
                "UPDATE lines SET sku = 'sku \(turn)' WHERE order_id % 60 = \(turn % 60); SELECT pg_sleep(0.05)"
            }
        }
        defer { stop.set() }
        // A transaction that stays open, with a row of its own.
        let open = Task {
            await source.beside(
                "BEGIN; UPDATE orders SET note = 'held' WHERE id = 7; SELECT pg_sleep(600); COMMIT;")
        }
        try await until("it is open", [agent]) {
            try await source.number(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep(600)%'")
                > 0
        }
        var moved = 0
        let begun = Date()
        for round in 1...sweeps {
            let result = try await AgentProcess.run(["sweep", "--json"], in: folder)
            let report = try JSONValue(parsing: result.output)
            for table in report["tables"]?.array ?? [] {
                for kind in ["missing", "extra", "different"] {
                    #expect(table[kind]?.int64 == 0, "\(round): \(table.serialized)")
                }
                #expect((table["rows"]?.int64 ?? 0) > 4000)
                moved += Int(table["moved"]?.int64 ?? 0)
            }
            #expect(report["tables"]?.array?.count == 3, "\(result.errors)")
            #expect(result.status == 0 || result.status == 4)
        }
        try await tellPauses(of: pipeline, since: begun, "\(sweeps) sweeps in \(engine.rawValue)")
        #expect(moved <= sweeps, "\(moved) rows never stood still")
        _ = try await source.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
        )
        await open.value
        stop.set()
        for task in [writer, hot, second].compactMap(\.self) { _ = await task.value }
        let quiet = try await pipeline.sweep()
        #expect(quiet.count == 3 && quiet.values.allSatisfy { $0["equal"]?.bool == true })
        for table in quiet.values {
            #expect(table["digest_source"]?.string == table["digest_warehouse"]?.string)
            #expect(table["uncovered"]?.array?.isEmpty == true)
        }
        let status = try JSONValue(parsing: try await pipeline.run("status", "--json").output)
        for table in status["tables"]?.array ?? [] {
            #expect(table["sweep"]?["equal"]?.bool == true && table["sweep"]?["proven_position"]?.string != nil)
        }
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
    }

    /// A commit stands in the log for a while before anybody sees it: a snapshot that is taken then lacks it, though the log
    /// has gone on behind it.
    @Test(arguments: Engine.allCases) func commitsThatNobodySeesYet(engine: Engine) async throws {
        var options = ThrowawayPostgres.Options()
        options.fsync = true
        // Of each commit's 100 ms.
        options.settings = ["commit_delay": "100000", "commit_siblings": "0"]
        let (folder, source, _, agent) = try await start(engine, "sweepcommits", options)
        defer { try? FileManager.default.removeItem(at: folder) }
        let pipeline = Pipeline(folder: folder)
        let stop = StopFlag()
        defer { stop.set() }
        // Each of a row of its own, whose next commit comes when the warehouse has the last.
        let writers = (1...6).map { id in
            source.writing(until: stop) { _ in "UPDATE orders SET amount = amount + 1 WHERE id = \(id)" }
        }
        for round in 1...setting("MILLRACE_SWEEPS", 5) {
            let result = try await AgentProcess.run(
                ["sweep", "--json", "--table", "orders"] + (round % 2 == 0 ? ["--repair"] : []), in: folder)
            let table = try JSONValue(parsing: result.output)["tables"]?.array?.first
            #expect(
                table?["different"]?.int64 == 0 && table?["repaired"]?.int64 == 0,
                "\(round): \(result.output) \(result.errors)")
        }
        stop.set()
        for writer in writers { _ = await writer.value }
        #expect(try await pipeline.sweep().values.allSatisfy { $0["equal"]?.bool == true })
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
    }

    /// Prints how many changes were applied meanwhile, and the longest time between two commits of the agent.
    private func tellPauses(of pipeline: Pipeline, since begun: Date, _ what: String) async throws {
        let seconds = -begun.timeIntervalSinceNow
        let from_us = Int64(begun.timeIntervalSince1970 * 1e6)
        let result = try await pipeline.run(
            "query", "--format", "json",
            """
            select max(batch - previous) as gap_us, (select sum(read) from _millrace.ledger where batch >= \(from_us)) as changes \
            from (select batch, lag(batch) over (order by batch) as previous \
            from (select distinct batch from _millrace.ledger where batch >= \(from_us)) as b) as g
            """)
        let row = try JSONValue(parsing: result.output).array?.first
        func number(_ name: String) -> Double {
            (row?[name]?.double ?? row?[name]?.string.flatMap { Double($0) }) ?? -1
        }
        #expect(number("changes") > 0 && number("gap_us") > 0, "\(result.output) \(result.errors)")
        print(
            "\(what): \(Int(number("changes") / seconds)) changes/s for \(Int(seconds)) s, longest pause of apply \(Int(number("gap_us") / 1000)) ms"
        )
    }

    @Test(arguments: Engine.allCases) func eachDifferenceIsFound(engine: Engine) async throws {
        let (folder, source, target, first) = try await start(engine, "sweepdiff")
        var agent = first
        defer { try? FileManager.default.removeItem(at: folder) }
        let pipeline = Pipeline(folder: folder)
        #expect(try await pipeline.sweep("--table", "orders").keys.sorted() == ["public.orders"])

        // Behind the agent's back: a cell, a cell to null, a swapped pair, two rows made alike, missing, extra, wrongly
        // deleted, undeleted.
        let tampering = """
            UPDATE shop.orders SET amount = amount + 1 WHERE id = 10;
            UPDATE shop.orders SET note = NULL WHERE id = 11;
            UPDATE shop.orders SET d = CASE id WHEN 12 THEN sqrt(13.0) ELSE sqrt(12.0) END WHERE id IN (12, 13);
            UPDATE shop.orders SET status = 'same' WHERE id IN (14, 15);
            DELETE FROM shop.orders WHERE id = 16;
            INSERT INTO shop.orders (id, status, is_deleted, _version_epoch, _version_commit, _version_seq) VALUES (900001, 'x', false, 0, 1, 2);
            UPDATE shop.orders SET is_deleted = true WHERE id = 17;
            UPDATE shop.lines SET doc = '{"a": 1, "b": [2, 3]}' WHERE order_id = 5 AND line = 2;
            UPDATE shop.people SET phone = 'x', born = '1999-01-01' WHERE email = 'p7@example.org';
            """
        try await source.psql("DELETE FROM orders WHERE id = 18")
        try await until("it is deleted", [agent]) {
            try await pipeline.run(
                "query", "--format", "csv", "select count(*) as n from shop_live.orders where id = 18"
            )
            .output.contains("0")
        }
        let undelete = "UPDATE shop.orders SET is_deleted = false, status = 'back' WHERE id = 18;"
        if let target {
            try await target.psql(tampering + undelete)
        } else {
            agent.signal(SIGTERM)
            #expect(await agent.wait().status == 0)
            let connection = try await Connection.open(path: folder.appending(path: "sweep_wh.duckdb").path)
            try await connection.run(tampering + undelete, purpose: "tampering")
            await connection.close()
            agent = try AgentProcess(["run"], in: folder)
            try await until("it streams again", [agent]) { agent.said().contains("streaming slot") }
        }
        let found = try await pipeline.sweep(exit: 4)
        func differences(_ table: String) -> Set<String> {
            Set(
                (found["public.\(table)"]?["differences"]?.array ?? []).map { difference in
                    func list(_ name: String) -> String {
                        difference[name]?.array?.compactMap(\.string).joined(separator: "/") ?? ""
                    }
                    return "\(difference["kind"]?.string ?? "") \(list("key")) \(list("columns"))"
                })
        }
        #expect(
            differences("orders") == [
                "different 10 amount", "different 11 note", "different 12 d", "different 13 d", "different 14 status",
                "different 15 status", "missing 16 ", "extra 900001 ", "wrongly_deleted 17 ", "undeleted 18 ",
            ])
        #expect(differences("lines") == ["different 5/2 doc"])
        #expect(differences("people") == ["different p7@example.org phone/born"])
        let orders = try #require(found["public.orders"])
        #expect(orders["different"]?.int64 == 6 && orders["missing"]?.int64 == 2 && orders["extra"]?.int64 == 2)
        #expect(orders["digest_source"]?.string != orders["digest_warehouse"]?.string)

        let status = try JSONValue(parsing: try await pipeline.run("status", "--json").output)
        let table = status["tables"]?.array?.first { $0["source"]?.string == "public.orders" }
        #expect(table?["sweep"]?["equal"]?.bool == false && table?["sweep"]?["differences"]?.int64 == 10)
        #expect(table?["sweep"]?["proven_position"]?.string != nil, "the first sweep proved it")

        // Of the rows that were loaded lately the same is told, but for one that nobody loaded; it changes nothing of what is
        // known of the whole.
        let recent = try await pipeline.sweep("--recent", "6h", "--table", "orders", exit: 4)
        #expect(recent["public.orders"]?["missing"]?.int64 == 2 && recent["public.orders"]?["different"]?.int64 == 6)
        #expect(recent["public.orders"]?["extra"]?.int64 == 1)
        try await until("a second without changes is over", [agent]) {
            try await pipeline.sweep("--recent", "1s", "--table", "orders")["public.orders"]?["rows"]?.int64 == 0
        }
        let still = try JSONValue(parsing: try await pipeline.run("status", "--json").output)["tables"]?.array?
            .first { $0["source"]?.string == "public.orders" }
        #expect(still?["sweep"]?["equal"]?.bool == false && still?["sweep"]?["differences"]?.int64 == 10)

        // Repaired under load, it is equal; what the source hasn't got is deleted, not gone.
        let stop = StopFlag()
        let writer = source.writing(until: stop) { turn in
            """
            UPDATE orders SET status = 's\(turn)' WHERE id % 500 = \(turn % 500) AND id > 100;
            DELETE FROM lines WHERE order_id = \(turn % 3000 + 10);
            """
        }
        let repaired = try await pipeline.sweep("--repair")
        stop.set()
        _ = await writer.value
        #expect(repaired.count == 3 && repaired.values.allSatisfy { $0["equal"]?.bool == true })
        #expect(repaired["public.orders"]?["repaired"]?.int64 == 10)
        #expect(repaired["public.lines"]?["repaired"]?.int64 == 1)
        #expect(repaired["public.people"]?["repaired"]?.int64 == 1)
        #expect(!agent.said().contains("resynced"), "rows are mended one by one")
        let told = try await pipeline.run("explain", "orders", "16", "--json")
        let events = try JSONValue(parsing: told.output)["events"]?.array
        #expect(events?.last?["op"]?.string == "r" && (events?.count ?? 0) >= 2, "\(told.output)")
        let after = try await pipeline.sweep("--workers", "3", "--rows-per-second", "200000")
        #expect(after.values.allSatisfy { $0["equal"]?.bool == true && $0["repaired"]?.int64 == 0 })
        let kept = try await pipeline.run(
            "query", "--format", "csv", "select count(*) as n from shop.orders where id in (18, 900001) and is_deleted")
        #expect(kept.output.contains("2"), "\(kept.output)")

        // Nothing is written any more, and a row is spoiled twice: each time it is mended.
        if let target {
            for turn in 1...2 {
                try await target.psql("UPDATE shop.orders SET note = 'spoiled \(turn)' WHERE id = 20")
                let again = try await pipeline.sweep("--repair", "--table", "orders")
                #expect(again["public.orders"]?["repaired"]?.int64 == 1, "turn \(turn)")
            }
        }

        // What stands still isn't compared.
        #expect(try await pipeline.run("pause", "orders").status == 0)
        let paused = try await pipeline.sweep("--table", "orders", exit: 3)
        #expect(paused["public.orders"]?["reason"]?.string?.contains("stands still") == true)
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        #expect(try await pipeline.run("sweep").status == 3, "without an agent")
    }
}

/// What the pipeline file asks for happens by itself, in the real program.
struct SweepScheduleTests {
    @Test func aScheduledSweepMends() async throws {
        let folder = try temporaryFolder("sweepschedule")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE a (id int PRIMARY KEY, n int); INSERT INTO a VALUES (1, 10), (2, 20)")
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { postgres: { url: "\(target.url())" } }
        sweeps: { full: "* * * * *", repair: true, late: { after: 10s } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        try await target.psql("UPDATE shop.a SET n = 0 WHERE id = 2")
        try await until("it is mended", within: .seconds(150), [agent]) {
            let n = try await target.number("SELECT n FROM shop.a WHERE id = 2")
            let proofs = try await target.number(
                "SELECT count(*) FROM _millrace.sweeps WHERE is_equal AND repaired = 1")
            return n == 20 && proofs == 1
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
    }
}

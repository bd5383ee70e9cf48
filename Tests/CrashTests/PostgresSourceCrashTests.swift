import Foundation
import JSON
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// The program that ships on a direct source: a backfill killed under load, a transaction larger than memory, an idle
/// source beside a busy database, and what goes wrong at the source while it runs.
///
/// `MILLRACE_BACKFILL_ROWS`, `MILLRACE_BACKFILL_KILLS`, `MILLRACE_LARGE_ROWS` and `MILLRACE_IDLE_S` make the long forms.
@Suite(.serialized) struct PostgresSourceCrashTests {
    static func setting(_ name: String, _ value: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? value
    }

    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-source-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func write(_ folder: URL, source: String, warehouse: String, more: String = "") throws {
        try """
        pipeline: direct
        source:
          postgres: { url: "\(source)" }
        warehouse: { \(warehouse) }
        \(more)
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    private func until(
        _ what: String, within limit: Duration = .seconds(180), every pause: Duration = .milliseconds(100),
        _ condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + limit
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "waited too long until \(what)")
            try await Task.sleep(for: pause)
        }
    }

    private func query(_ folder: URL, _ sql: String) async throws -> String {
        let result = try await AgentProcess.run(["query", "--format", "csv", sql], in: folder)
        try #require(result.status == 0, "\(result.errors)")
        return String(result.output.split(whereSeparator: \.isNewline).dropFirst().first ?? "")
    }

    // MARK: Backfill under load, killed

    @Test(arguments: ["duckdb", "postgres"]) func aKilledBackfillGoesOn(engine: String) async throws {
        let rows = Self.setting("MILLRACE_BACKFILL_ROWS", 60_000)
        let kills = Self.setting("MILLRACE_BACKFILL_KILLS", 3)
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = engine == "postgres" ? try await ThrowawayPostgres.start() : nil
        try await source.psql(
            """
            CREATE TABLE orders (id bigint PRIMARY KEY, customer int, status text, amount numeric(12,2), note text);
            ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
            INSERT INTO orders SELECT i, i % 1000, 'new', i * 0.01, \
            CASE WHEN i % 500 = 0 THEN repeat(md5(i::text), 100) ELSE repeat('n', 60) END FROM generate_series(1, \(rows)) i;
            """)
        try write(
            folder, source: source.url(),
            warehouse: target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: direct_wh.duckdb }")
        // Updates, deletes, inserts and key changes spread over the whole table, so over every chunk.
        let stop = StopFlag()
        let writer = source.writing(until: stop) { turn in
            """
            UPDATE orders SET status = 's\(turn)', customer = customer + 1 WHERE id % 997 = \(turn % 997);
            DELETE FROM orders WHERE id % 9973 = \(turn % 9973);
            INSERT INTO orders SELECT \(10_000_000 + turn * 10) + i, i, 'ins', i, 'x' FROM generate_series(1, 10) i;
            UPDATE orders SET id = id + 50000000 WHERE id % 50021 = \(turn % 50021) AND id < 10000000;
            """
        }
        var random = SeededRandom(seed: 3)
        var killed = 0
        while killed < kills {
            let agent = try AgentProcess(["backfill", "--workers", "2"], in: folder)
            // Somewhere after it has begun to write.
            let wanted = killed * 2 + 1 + random.below(3)
            var isOver = false
            try await until("the backfill has written something") {
                if !agent.isRunning { isOver = true }
                return isOver || agent.said().components(separatedBy: "\n").count > 3 + random.below(2)
            }
            try await Task.sleep(for: .milliseconds(random.below(400) + wanted * 20))
            if agent.isRunning {
                agent.signal(SIGKILL)
                if await agent.wait().status == 128 + SIGKILL { killed += 1 }
            } else {
                let end = await agent.wait()
                // Through before it was killed: the next one copies all anew.
                try #require(end.status == 0, "\(end.errors.suffix(2000))")
            }
        }
        let done = try await AgentProcess.run(["backfill", "--workers", "2", "--json"], in: folder)
        try #require(done.status == 0, "\(done.errors.suffix(3000))")
        let report = try JSONValue(parsing: done.output)
        #expect(report["tables"]?.array?.first?["equal"]?.bool == true, "verified while the writer writes")
        stop.set()
        let turns = await writer.value
        // Row by row, with nobody writing.
        let end = try await AgentProcess.run(["run", "--until-end", "--json"], in: folder)
        try #require(end.status == 0, "\(end.errors.suffix(3000))")
        let digest =
            "select md5(string_agg(concat_ws('|', id, customer, status, amount, md5(note)), ',' order by id)) as d from"
        let wanted = try await source.psql("\(digest) orders").trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try await query(folder, "\(digest) direct_live.orders") == wanted)
        let slots = try await source.psql("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE '%backfill%'")
        #expect(slots.hasPrefix("0"), "the backfill's slot is gone")
        print("\(engine): \(rows) rows, killed \(killed) times, \(turns) rounds of the writer")
        await source.remove()
        await target?.remove()
    }

    // MARK: A transaction larger than memory

    @Test func aLargeTransactionTakesLittleMemory() async throws {
        let rows = Self.setting("MILLRACE_LARGE_ROWS", 100_000)
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12,2), at timestamptz)")
        try write(folder, source: source.url(), warehouse: "postgres: { url: \"\(target.url())\" }")
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams") { agent.said().contains("consistent since") }
        try await source.psql(
            "INSERT INTO t SELECT i, 'value number ' || i, i * 0.5, now() FROM generate_series(1, \(rows)) i")
        var peak_kB = 0
        var partial = 0
        // Counting reads every row that isn't committed yet, too: not so often that it takes the time.
        let patience = Duration.seconds(180 + rows / 4000)
        try await until("all of it is there", within: patience, every: .milliseconds(min(5000, max(100, rows / 1000))))
        {
            peak_kB = max(peak_kB, Self.residentPeak_kB(agent.pid))
            let count =
                Int(
                    try await target.psql("SELECT count(*) FROM direct_live.t").trimmingCharacters(
                        in: .whitespacesAndNewlines)) ?? -1
            if count != 0, count != rows { partial += 1 }
            return count == rows
        }
        #expect(partial == 0, "a reader saw a part of the transaction")
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        #expect(peak_kB > 0 && peak_kB < 256 * 1024, "peak \(peak_kB / 1024) MiB")
        print("\(rows) rows in one transaction: peak \(peak_kB / 1024) MiB")
        await source.remove()
        await target.remove()
    }

    private static func residentPeak_kB(_ pid: Int32) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        return line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0
    }

    // MARK: An idle source

    @Test func anIdleSourceLetsItsLogGo() async throws {
        let idle_s = Self.setting("MILLRACE_IDLE_S", 15)
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE quiet (id int PRIMARY KEY)")
        try await source.psql("CREATE DATABASE busy")
        try await source.psql("CREATE TABLE noise (id bigserial, v text)", database: "busy")
        try write(folder, source: source.url(), warehouse: "duckdb: { path: direct_wh.duckdb }")
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams") { agent.said().contains("consistent since") }
        func confirmed() async throws -> (moved: Int, behind: Int) {
            let text = try await source.psql(
                "SELECT confirmed_flush_lsn - '0/0'::pg_lsn, pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'millrace_direct'"
            )
            let parts = text.trimmingCharacters(in: .whitespacesAndNewlines).split(separator: "|").compactMap {
                Int($0)
            }
            return (parts[0], parts[1])
        }
        let first = try await confirmed()
        let deadline = ContinuousClock.now + .seconds(idle_s)
        var worst = 0
        var looks = 0
        while ContinuousClock.now < deadline {
            try await source.psql(
                "INSERT INTO noise (v) SELECT repeat('x', 200) FROM generate_series(1, 2000)", database: "busy")
            worst = max(worst, try await confirmed().behind)
            looks += 1
            try await Task.sleep(for: .milliseconds(250))
        }
        let last = try await confirmed()
        #expect(last.moved > first.moved, "confirmed_flush_lsn moves on though nothing of ours is written")
        print(
            "idle for \(idle_s) s: confirmed moved \((last.moved - first.moved) >> 10) KiB, at most \(worst >> 10) KiB behind, \(looks) looks"
        )
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await source.remove()
    }

    // MARK: What goes wrong while it runs

    @Test func whatFailsIsToldAndMended() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = ThrowawayPostgres.Options()
        options.authentication = ["host all guarded 127.0.0.1/32 scram-sha-256"]
        let source = try await ThrowawayPostgres.start(options)
        try await source.psql(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE ROLE guarded LOGIN REPLICATION SUPERUSER PASSWORD 'right'"
        )
        let warehouse = "duckdb: { path: direct_wh.duckdb }"
        func run(_ arguments: [String] = ["run", "--until-end"]) async throws -> AgentProcess.Result {
            try await AgentProcess.run(arguments, in: folder)
        }
        func expectTold(_ result: AgentProcess.Result, _ words: String, _ what: String) {
            #expect(result.status == 3, "\(what): exit \(result.status)")
            #expect(
                result.errors.contains("Error: ") && result.errors.contains("Try: "),
                "\(what): \(result.errors.suffix(600))")
            #expect(result.errors.contains(words), "\(what): \(result.errors.suffix(600))")
            #expect(!result.errors.contains("wrong-secret"), "no secret is told")
        }
        try write(folder, source: source.url(user: "guarded", password: "wrong-secret"), warehouse: warehouse)
        expectTold(try await run(), "password", "a wrong password")

        try write(folder, source: "postgres://postgres@127.0.0.1:1/postgres", warehouse: warehouse)
        expectTold(try await run(), "127.0.0.1", "a source that isn't there")

        try write(folder, source: source.url(), warehouse: warehouse, more: "")
        try #require(try await run().status == 0)

        // A second agent of the pipeline.
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams") { agent.said().contains("streaming slot") }
        let other = folder.appending(path: "other")
        try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
        try write(other, source: source.url(), warehouse: warehouse)
        expectTold(try await AgentProcess.run(["run"], in: other), "is in use by process", "a second agent")

        // The source restarts: it is waited for.
        try await source.restart(.immediate)
        try await source.psql("INSERT INTO t VALUES (2)")
        try await until("it goes on") {
            ((try? await query(folder, "select count(*) as n from direct_live.t")) ?? "") == "2"
        }
        // The slot is taken away under the running agent.
        try await source.psql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'millrace_direct'")
        _ = try? await source.psql(
            "DO $$ BEGIN FOR i IN 1..100 LOOP BEGIN PERFORM pg_drop_replication_slot('millrace_direct'); EXIT; EXCEPTION WHEN OTHERS THEN PERFORM pg_sleep(0.02); END; END LOOP; END $$"
        )
        try await source.psql("INSERT INTO t VALUES (3)")
        let isGone = try await source.psql(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'millrace_direct'"
        ).hasPrefix("0")
        if isGone {
            let end = await agent.wait()
            expectTold(end, "is gone", "a slot that was dropped")
        } else {
            agent.signal(SIGTERM)
            _ = await agent.wait()
            try await source.psql("SELECT pg_drop_replication_slot('millrace_direct')")
        }
        expectTold(try await run(), "is gone", "a slot that was dropped while the agent was away")
        let slots = try await source.psql("SELECT count(*) FROM pg_replication_slots")
        #expect(slots.hasPrefix("0"), "nothing restarts from now by itself")

        // The ways out, as they are told.
        let drop = try await run(["drop", "--tables", "--yes"])
        #expect(drop.status == 0, "\(drop.errors)")
        try #require(try await run().status == 0)
        #expect(try await query(folder, "select count(*) as n from direct_live.t") == "3")
        #expect(try await run(["drop", "--tables", "--yes"]).status == 0)
        #expect(
            try await source.psql("SELECT count(*) FROM pg_replication_slots").hasPrefix("0"), "drop leaves no slot")
        #expect(
            try await source.psql("SELECT count(*) FROM pg_publication").hasPrefix("0"), "nor a publication of ours")
        await source.remove()
    }
}

final class StopFlag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}

import ChildProcess
import Foundation
import JSON
import Synchronization
import Testing
import ThrowawayPostgres

/// One table of many is resynced, one paused, one can't be written: the others go on, and in the end all are equal.
@Suite(.serialized) struct FiftyTablesTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    private static let tables = (0..<50).map { String(format: "t%02d", $0) }
    /// What each of the three is.
    private static let (resynced, failing, paused) = ("t00", "t01", "t02")

    private struct Pipeline {
        let folder: URL
        let source: ThrowawayPostgres

        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess(arguments, in: folder).wait()
        }

        func value(_ sql: String) async throws -> String {
            let result = try await run("query", "--format", "csv", sql)
            return String(result.output.split(whereSeparator: \.isNewline).last ?? "")
        }

        func state(_ table: String) async throws -> String? {
            let status = try? JSONValue(parsing: try await run("status", "--json").output)
            return status?["tables"]?.array?.first { $0["source"]?.string == "public.\(table)" }?["state"]?.string
        }

        func metrics() async throws -> String {
            let file = try String(contentsOf: folder.appending(path: ".millrace/agent.json"), encoding: .utf8)
            let address = try #require(try JSONValue(parsing: file)["address"]?.string)
            return try await Command.runAside(["curl", "-sf", "http://\(address)/metrics"])
        }

        func digest(_ table: String, in schema: String) -> String {
            "select md5(coalesce(string_agg(concat_ws('|', id, n, md5(note)), ',' order by id), '')) as d from \(schema).\(table)"
        }

        func isEqual(_ table: String) async throws -> Bool {
            try await value(digest(table, in: "fifty_live")) == source.value(digest(table, in: "public"))
        }
    }

    /// The largest lag of some tables, in ms, whenever it is looked at.
    private final class LagWatch: Sendable {
        private let seen = Mutex<[Int64]>([])
        var count: Int { seen.withLock { $0.count } }

        /// By the agent's metrics, which ask no warehouse.
        func watch(_ pipeline: Pipeline, _ tables: [String]) -> Task<Void, Never> {
            let names = Set(tables.map { "millrace_lag_seconds{table=\"public.\($0)\"}" })
            return Task {
                while !Task.isCancelled {
                    // Looking takes time from what is looked at.
                    try? await Task.sleep(for: .milliseconds(100))
                    guard let text = try? await pipeline.metrics() else { continue }
                    let lags = text.split(separator: "\n").compactMap { line -> Double? in
                        let parts = line.split(separator: " ")
                        guard parts.count == 2, names.contains(String(parts[0])) else { return nil }
                        return Double(parts[1])
                    }
                    if let lag = lags.max() { seen.withLock { $0.append(Int64(lag * 1000)) } }
                }
            }
        }

        /// What was seen since it was asked last.
        func figures() -> String {
            let all = seen.withLock { seen in
                defer { seen = [] }
                return seen.sorted()
            }
            return all.isEmpty
                ? "not seen" : "median \(all[all.count / 2]) ms, at most \(all[all.count - 1]) ms (\(all.count) looks)"
        }
    }

    @Test(arguments: Engine.allCases) func oneTableOfManyIsMended(engine: Engine) async throws {
        let folder = try temporaryFolder("fifty")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let pipeline = Pipeline(folder: folder, source: source)
        try await source.psql(
            """
            DO $$ BEGIN FOR i IN 0..49 LOOP
              EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, n bigint NOT NULL, note text)', lpad(i::text, 2, '0'));
              EXECUTE format('ALTER TABLE t%s ALTER note SET STORAGE EXTERNAL', lpad(i::text, 2, '0'));
              EXECUTE format('INSERT INTO t%s SELECT i, i, ''note '' || i FROM generate_series(1, 100) i', lpad(i::text, 2, '0'));
            END LOOP; END $$;
            INSERT INTO t00 SELECT i, i, CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 100) ELSE 'note ' || i END
              FROM generate_series(101, 30000) i;
            """)
        try """
        pipeline: fifty
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { \(target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: fifty_wh.duckdb }") }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        var agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)

        // A gap: what happens now is never told.
        try await source.psql(
            """
            UPDATE t00 SET note = 'in the gap' WHERE id % 10 = 1; DELETE FROM t00 WHERE id % 10 = 2;
            UPDATE t00 SET id = id + 1000000 WHERE id % 1000 = 3;
            INSERT INTO t00 SELECT 40000 + i, i, 'new in the gap' FROM generate_series(1, 500) i;
            UPDATE t00 SET note = repeat(md5(note), 100) WHERE id % 50 = 0;
            """)
        try await source.psql("SELECT pg_drop_replication_slot('millrace_fifty')")
        let lost = try await pipeline.run("run", "--until-end")
        #expect(lost.status == 3 && lost.errors.contains("checkpoint set --to-lsn latest"), "\(lost.errors)")
        #expect(try await pipeline.run("checkpoint", "set", "--to-lsn", "latest").status == 0)
        agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("streaming slot") }
        #expect(try await !pipeline.isEqual(Self.resynced), "the gap is one")

        // Under load from here on: some 1,000 changes five times a second, which leaves time for what is to be mended.
        let stop = StopFlag()
        let writer = source.writing(until: stop) { turn in
            Self.tables.map { table in
                """
                UPDATE \(table) SET n = n + 1 WHERE id % 97 = \(turn % 97) OR id % 50 = \(turn % 50);
                DELETE FROM \(table) WHERE id = \(turn % 60 + 1);
                INSERT INTO \(table) VALUES (\(100_000 + turn), \(turn), 'streamed');
                """
            }.joined(separator: "\n") + "SELECT pg_sleep(0.2);"
        }
        defer { stop.set() }
        let others = Self.tables.filter { ![Self.resynced, Self.failing, Self.paused].contains($0) }
        let lags = LagWatch()
        let watch = lags.watch(pipeline, others)
        defer { watch.cancel() }
        try await until("the others' lag is known", [agent]) { lags.count >= 50 }
        let lagBefore = lags.figures()
        #expect(try await pipeline.run("pause", Self.paused).status == 0)
        if let target {
            try await target.psql("ALTER TABLE fifty.\(Self.failing) RENAME COLUMN note TO renamed")
            try await until("the one that can't be written is held", [agent]) {
                try await pipeline.state(Self.failing) == "held"
            }
            let status = try await pipeline.run("status").output
            #expect(status.contains("millrace release public.t01"), "\(status)")
        }

        // Nobody can read it at the source, so its copy has to wait.
        let lock = Task {
            await source.beside("BEGIN; LOCK TABLE t00 IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600);")
        }
        try await until("the lock is held", [agent]) {
            try await source.number(
                "SELECT count(*) FROM pg_locks WHERE relation = 't00'::regclass AND mode = 'AccessExclusiveLock' AND granted"
            ) == 1
        }
        let asked = try await pipeline.run("resync", Self.resynced)
        #expect(asked.status == 0, "\(asked.errors)")
        #expect(try await pipeline.run("resync", Self.resynced).status == 2, "once at a time")
        #expect(try await pipeline.run("pause", Self.resynced).status == 2)
        #expect(try await pipeline.run("resync", Self.paused).status == 2)
        try await source.psql(
            others.map { "INSERT INTO \($0) VALUES (777777, 1, 'marker');" }.joined(separator: "\n"))
        let markers = others.map { "select count(*) as c from fifty_live.\($0) where id = 777777" }
        try await until("the others go on", [agent]) {
            let sum = "select sum(c) from (\(markers.joined(separator: " union all "))) as all_of_them"
            return try await pipeline.value(sum) == "\(others.count)"
        }
        #expect(try await pipeline.state(Self.resynced) == "resyncing")
        #expect(try await pipeline.state(Self.paused) == "paused")

        // Rows that stay are seen at any time, and those that the gap took last.
        let stay = "select count(*) from fifty_live.t00 where id between 101 and 29999 and id % 10 not in (2, 3)"
        let before = try await pipeline.value(stay)
        let looks = Mutex<[String]>([])
        let reader = Task {
            while !Task.isCancelled {
                if let seen = try? await pipeline.value(stay) { looks.withLock { $0.append(seen) } }
            }
        }
        defer { reader.cancel() }
        try await source.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 't00'::regclass AND mode = 'AccessExclusiveLock'"
        )
        await lock.value
        try await until("it is resynced", [agent]) { agent.said().contains("rows resynced") }
        watch.cancel()
        await watch.value
        print(
            "lag of 47 tables, \(engine): before \(lagBefore); beside one that is paused, one that is held, one that is resynced: \(lags.figures())"
        )
        reader.cancel()
        await reader.value
        let seen = looks.withLock { $0 }
        #expect(!seen.isEmpty && seen.allSatisfy { $0 == before }, "\(before) rows, and once \(Set(seen))")

        if let target {
            #expect(try await pipeline.state(Self.failing) == "held")
            let refused = try await pipeline.run("release", Self.failing)
            #expect(refused.status != 0 && refused.errors.contains("Error: "), "\(refused.errors)")
            try await target.psql("ALTER TABLE fifty.\(Self.failing) RENAME COLUMN renamed TO note")
            // By itself, sooner or later.
            try await until("it goes on", [agent]) { try await pipeline.state(Self.failing) == "streaming" }
        }
        #expect(try await pipeline.run("resume", Self.paused).status == 0)
        stop.set()
        _ = await writer.value
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        let last = try await pipeline.run("run", "--until-end", "--json")
        #expect(last.status == 0, "\(last.errors.suffix(2000))")
        for table in Self.tables { #expect(try await pipeline.isEqual(table), "\(table)") }
        let flags = try await pipeline.value(
            "select count(*) from fifty.t00 where id between 101 and 29999 and id % 10 = 2 and is_deleted")
        #expect(Int(flags) ?? 0 > 2900, "what the gap took is marked, and stays")
        let ledger = """
            select cast(sum(read) as bigint) - cast(sum(applied + superseded + duplicate + compacted + filtered + quarantined \
            + deferred) as bigint) as d from _millrace.ledger
            """
        #expect(try await pipeline.value(ledger) == "0")
        await source.remove()
        await target?.remove()
    }
}

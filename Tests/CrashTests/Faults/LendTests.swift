import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `millrace lend` beside a running agent, under load. `MILLRACE_LENDS`: how often.
@Suite(.serialized) struct LendTests {
    private func run(_ folder: URL, _ arguments: [String]) async throws -> AgentProcess.Result {
        try await AgentProcess(arguments, in: folder).wait()
    }

    private func status(_ folder: URL) async throws -> JSONValue? {
        try? JSONValue(parsing: try await run(folder, ["status", "--json"]).output)
    }

    @Test func theFileIsLentAndComesBack() async throws {
        let lends = setting("MILLRACE_LENDS", 6)
        let folder = try temporaryFolder("lend")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        try await source.psql(
            "CREATE TABLE t (id int PRIMARY KEY, n bigint); INSERT INTO t SELECT i, 0 FROM generate_series(1, 2000) i")
        func write(_ name: String, _ source: String) throws {
            try """
            pipeline: \(name)
            source: { \(source) }
            warehouse: { duckdb: { path: both_wh.duckdb } }
            agent: { listen: "127.0.0.1:0", dir: .millrace-\(name) }
            """.write(to: folder.appending(path: "\(name).yaml"), atomically: true, encoding: .utf8)
        }
        try write("millrace", "postgres: { url: \"\(source.url())\" }")
        // Who borrows writes to the same file.
        let record = DebeziumRecord.change(
            "shop.public.items", table: "items", op: "c", key: 1, columns: [("n", "int64", "5")], lsn: 1)
        let event = JSONValue.object([
            ("topic", .string("shop.public.items")),
            ("key", .string(String(decoding: record.key ?? [], as: UTF8.self))),
            ("value", .string(String(decoding: record.value ?? [], as: UTF8.self))),
        ])
        try write("other", "file: { path: other.jsonl }")

        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        let stop = StopFlag()
        let writer = source.writing(until: stop) { turn in
            """
            UPDATE t SET n = n + 1 WHERE id % 31 = \(turn % 31);
            INSERT INTO t VALUES (\(10_000 + turn), \(turn)); DELETE FROM t WHERE id = \(turn % 2000);
            """
        }
        defer { stop.set() }
        var lines = ""
        for lend in 1...lends {
            lines += event.serialized + "\n"
            try lines.write(to: folder.appending(path: "other.jsonl"), atomically: true, encoding: .utf8)
            let result = try await run(
                folder,
                ["lend", "--", AgentProcess.binary.path, "run", "--until-end", "--json", "-c", "other.yaml"])
            #expect(result.status == 0, "\(lend): \(result.errors.suffix(1500))")
            let report = try JSONValue(parsing: result.output)
            #expect(report["tables"]?.array?.first?["read"]?.int64 == 1, "\(result.output)")
            #expect(agent.isRunning)
        }
        // What is written from here on is there, however much has waited.
        let began = ContinuousClock.now
        try await source.psql("INSERT INTO t VALUES (9999999, 1)")
        try await until("the lag has recovered", [agent]) {
            try await run(
                folder, ["query", "--format", "csv", "select count(*) as n from millrace_live.t where id = 9999999"]
            )
            .output.split(whereSeparator: \.isNewline).last == "1"
        }
        print("behind \(lends) loans a new row is there after \(ContinuousClock.now - began)")
        #expect(try await run(folder, ["lend", "--", "sh", "-c", "exit 7"]).status == 7)
        #expect(try await run(folder, ["lend", "--", "sh", "-c", "kill -9 $$"]).status == 128 + SIGKILL)
        #expect(try await run(folder, ["lend", "--", "no-such-program"]).status == 2)
        #expect(try await run(folder, ["lend"]).status == 2)
        let path = try await run(folder, ["lend", "--", "sh", "-c", "echo $MILLRACE_WAREHOUSE"]).output
        #expect(path.hasSuffix("/both_wh.duckdb\n"), "\(path)")

        // While it is lent; and a borrower that is killed.
        let borrower = try AgentProcess(["lend", "--", "sh", "-c", "echo $$ > pid; exec sleep 600"], in: folder)
        try await until("it is lent", [agent]) {
            try await status(folder)?["waiting"]?.string?.contains("is lent to process \(borrower.pid)") == true
        }
        #expect(try await run(folder, ["query", "select 1"]).status == 3)
        #expect(try await run(folder, ["lend", "--", "true"]).status == 3)
        borrower.signal(SIGKILL)
        try await until("it is taken back", [agent]) {
            try await run(folder, ["query", "--format", "csv", "select 1 as n"]).status == 0
        }
        let left = try String(contentsOf: folder.appending(path: "pid"), encoding: .utf8)
        _ = kill(try #require(pid_t(left.trimmingCharacters(in: .whitespacesAndNewlines))), SIGKILL)
        #expect(await borrower.wait().status == 128 + SIGKILL)

        stop.set()
        _ = await writer.value
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        #expect(try await run(folder, ["run", "--until-end"]).status == 0)
        let sum = "select concat_ws(' ', count(*), sum(id), sum(n)) as s from"
        let found = try await run(folder, ["query", "--format", "csv", "\(sum) millrace_live.t"]).output
        #expect(try await found.contains(source.value("\(sum) t")), "\(found)")
        #expect(
            try await run(folder, ["query", "--format", "csv", "select n from other_live.items"]).output.contains("5"))
        let ids = "select count(*) - count(distinct event_id) as d from millrace_raw.t"
        let twice = try await run(folder, ["query", "--format", "csv", ids]).output
        #expect(twice.split(whereSeparator: \.isNewline).last == "0", "nothing came twice: \(twice)")
        await source.remove()
    }
}

import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `millrace erase`, by the real program: what is erased is in nothing that the pipeline has written, logs and answers
/// included, and no replay brings it back.
@Suite(.serialized) struct EraseCommandTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    private struct Pipeline {
        let folder: URL

        func run(_ arguments: [String], exit: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation) async throws
            -> AgentProcess.Result
        {
            let result = try await AgentProcess.run(arguments, in: folder)
            #expect(
                result.status == exit, "\(arguments.joined(separator: " ")): \(result.errors)",
                sourceLocation: sourceLocation)
            #expect(!(result.errors + result.output).contains("secret"), sourceLocation: sourceLocation)
            return result
        }

        func rows(_ sql: String) async throws -> [JSONValue] {
            try await run(["query", "--format", "jsonl", sql]).output.split(separator: "\n").map {
                try JSONValue(parsing: String($0))
            }
        }

        /// Every row of every table and view of the warehouse, as text.
        func everything() async throws -> String {
            let tables = try await rows(
                """
                select table_schema as s, table_name as t from information_schema.tables
                where table_schema like 'shop%' or table_schema = '_millrace' order by 1, 2
                """)
            #expect(tables.count > 15)
            var all = ""
            for table in tables {
                let name = "\"\(table["s"]?.string ?? "")\".\"\(table["t"]?.string ?? "")\""
                for row in try await rows("select * from \(name)") { all += "\(name) \(Self.readable(row))\n" }
            }
            return all
        }

        /// Bytes are shown as hex by one engine and escaped by the other.
        private static func readable(_ row: JSONValue) -> String {
            (row.members ?? []).map { name, value in
                var text = value.string ?? value.serialized
                if text.hasPrefix("\\x") {
                    let digits = Array(text.dropFirst(2))
                    let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
                        UInt8(String(digits[$0...($0 + 1)]), radix: 16)
                    }
                    text = String(decoding: bytes, as: UTF8.self)
                }
                return "\(name)=\(text)"
            }.joined(separator: " ")
        }
    }

    private static func line(_ key: String, _ value: String, topic: String = "shop.public.people") -> String {
        JSONValue.object([("topic", .string(topic)), ("key", .string(key)), ("value", .string(value))]).serialized
    }

    private static func change(_ op: String, _ id: Int, _ email: String, lsn: Int, before: String = "null") -> String {
        let image = #"{"id":\#(id),"email":"\#(email)","n":\#(lsn)}"#
        let value =
            #"{"before":\#(op == "d" ? image : before),"after":\#(op == "d" ? "null" : image),"source":{"connector":"#
            + #""postgresql","schema":"public","table":"people","ts_ms":1700000000000,"snapshot":null,"txId":\#(lsn),"#
            + #""lsn":\#(lsn),"sequence":"[\"\#(lsn)\",\"\#(lsn)\"]"},"op":"\#(op)","ts_ms":1,"transaction":null}"#
        return line("{\"id\":\(id)}", value)
    }

    @Test(arguments: Engine.allCases) func nothingIsLeftOfARow(engine: Engine) async throws {
        let folder = try temporaryFolder("erase")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let pipeline = Pipeline(folder: folder)
        try """
        pipeline: shop
        source: { file: { path: events.jsonl } }
        warehouse: { \(server.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: shop_wh.duckdb }") }
        tables: [{ source: public.people, columns: { types: { id: bigint, email: text, n: bigint } } }]
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let broken = Self.change("u", 7, "secret-5@example.org", lsn: 500).replacing(
            #"\"op\":\"u\""#, with: #"\"op\":\"?\""#)
        let cut = Self.line("{\"id\":7}", #"{"before":null,"after":{"id":7,"email":"secret-6@exa"#)
        let others = Self.line("{\"id\":8}", #"{"before":null,"after":{"id":8,"email":"other@exa"#)
        let first = [
            Self.change("c", 7, "secret-1@example.org", lsn: 100), Self.change("c", 8, "other@example.org", lsn: 101),
            Self.change("u", 7, "secret-2@example.org", lsn: 102), broken, cut, others,
            Self.change("d", 7, "secret-2@example.org", lsn: 103),
        ]
        // What comes late, and what was under way.
        let late = [
            Self.change("u", 7, "secret-3@example.org", lsn: 99), Self.change("u", 7, "secret-4@example.org", lsn: 104),
            Self.change("u", 8, "other-2@example.org", lsn: 105),
        ]
        let events = folder.appending(path: "events.jsonl")
        try (first.joined(separator: "\n") + "\n").write(to: events, atomically: true, encoding: .utf8)
        #expect(try await AgentProcess.run(["run", "--until-end"], in: folder).status == 0)
        #expect(try await pipeline.rows("select id from shop.people order by id").count == 2)
        #expect(try await pipeline.rows("select count(*) as n from _millrace.quarantine")[0]["n"]?.int64 == 3)

        _ = try await pipeline.run(["erase", "people", "9", "--reason", "x"], exit: 2)
        _ = try await pipeline.run(["erase", "people", "no number", "--reason", "x"], exit: 2)
        _ = try await pipeline.run(["erase", "nothing", "7", "--reason", "x"], exit: 2)
        _ = try await pipeline.run(["erase", "people", "7", "--reason", " "], exit: 2)
        let answer = try JSONValue(
            parsing: try await pipeline.run(["erase", "people", "7", "--reason", "request 17", "--json"]).output)
        #expect(answer["row"]?.bool == true && answer["was_live"]?.bool == false)
        #expect(answer["events"]?.int64 == 3 && answer["records"]?.int64 == 2, "\(answer.serialized)")
        #expect(answer["unread"]?.int64 == 0)
        try await expectErased(pipeline)
        #expect(
            try await pipeline.rows("select reason from _millrace.erasures").map { $0["reason"]?.string }
                == ["request 17"])

        let lines = (first + late).joined(separator: "\n") + "\n"
        try lines.write(to: events, atomically: true, encoding: .utf8)
        _ = try await pipeline.run(["run", "--until-end"])
        try await expectErased(pipeline, newest: "other-2@example.org")
        _ = try await pipeline.run(["checkpoint", "set", "--to-offset", "earliest"])
        _ = try await pipeline.run(["run", "--until-end"])
        // The records that can't be read come once more, and are erased once more.
        let again = try JSONValue(
            parsing: try await pipeline.run(["erase", "public.people", "{\"id\":7}", "--reason", "again", "--json"])
                .output)
        #expect(again["was_erased"]?.bool == true && again["row"]?.bool == false && again["events"]?.int64 == 0)
        #expect(again["key_hash"]?.string == answer["key_hash"]?.string)
        try await expectErased(pipeline, newest: "other-2@example.org")
        _ = try await pipeline.run(["quarantine", "replay", "--all"], exit: 1)
        try await expectErased(pipeline, newest: "other-2@example.org")
        let status = try JSONValue(parsing: try await pipeline.run(["status", "--json"]).output)
        let table = try #require(status["tables"]?.array?.first { $0["source"]?.string == "public.people" })
        func count(_ name: String) -> Int64 { table[name]?.int64 ?? -1 }
        let parts = ["applied", "superseded", "duplicate", "compacted", "filtered", "quarantined", "deferred"]
        #expect(count("read") == parts.reduce(0) { $0 + count($1) })
    }

    private func expectErased(
        _ pipeline: Pipeline, newest: String = "other@example.org", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let all = try await pipeline.everything()
        let left = all.split(separator: "\n").filter { $0.contains("secret") || $0.contains("\"id\":7") }
        #expect(left.isEmpty, "\(left.first ?? "")", sourceLocation: sourceLocation)
        let live = try await pipeline.rows("select id, email from shop_live.people")
        #expect(live.map { $0["email"]?.string } == [newest], sourceLocation: sourceLocation)
        let current = try await pipeline.rows("select id from shop.people")
        #expect(current.map { $0["id"]?.int64 } == [8], sourceLocation: sourceLocation)
        let history = try await pipeline.rows("select id from shop_history.people")
        #expect(history.allSatisfy { $0["id"]?.int64 == 8 }, sourceLocation: sourceLocation)
    }

    /// A Postgres source under a running agent, a key of two columns, hashed columns beside it.
    @Test(arguments: Engine.allCases) func besideARunningAgent(engine: Engine) async throws {
        let folder = try temporaryFolder("erase-run")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let server = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let pipeline = Pipeline(folder: folder)
        try await source.psql(
            """
            CREATE TABLE people (area numeric(6,2), email text, note text, phone text, PRIMARY KEY (area, email));
            ALTER TABLE people REPLICA IDENTITY FULL;
            INSERT INTO people SELECT 1.50, 'secret-' || i || '@x', 'secret note', '030' FROM generate_series(1, 3) i;
            """)
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { \(server.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: shop_wh.duckdb }") }
        agent: { listen: "127.0.0.1:0" }
        tables: [{ source: public.people, columns: { hash: [phone] } }]
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        try await source.psql(
            """
            UPDATE people SET note = 'secret b' WHERE email = 'secret-1@x';
            UPDATE people SET email = 'secret-1b@x' WHERE email = 'secret-1@x';
            DELETE FROM people WHERE email = 'secret-1b@x';
            """)
        try await until("it is deleted", [agent]) {
            try await pipeline.rows("select count(*) as n from shop_live.people")[0]["n"]?.int64 == 2
        }
        for (email, earlier) in [("secret-1b@x", 1), ("secret-2@x", 0), ("secret-3@x", 0)] {
            let key = #"{"area":"1.5","email":"\#(email)"}"#
            let result = try await AgentProcess.run(["erase", "people", key, "--reason", "r", "--json"], in: folder)
            #expect(result.status == 0, "\(result.errors)")
            let answer = try JSONValue(parsing: result.output)
            #expect(answer["earlier_keys"]?.int64 == Int64(earlier) && answer["row"]?.bool == true)
            #expect(answer["was_live"]?.bool == (earlier == 0))
        }
        #expect(try await !pipeline.everything().contains("secret"))
        // Deleted at the source at last, with their images.
        try await source.psql("DELETE FROM people; INSERT INTO people VALUES (2, 'plain@x', 'plain', '1')")
        try await until("what comes behind is there", [agent]) {
            try await pipeline.rows("select email from shop_live.people").map { $0["email"]?.string } == ["plain@x"]
        }
        #expect(try await !pipeline.everything().contains("secret"))
        // The whole stream once more, with a resync in it.
        #expect(try await AgentProcess.run(["resync", "people"], in: folder).status == 0)
        try await until("it is resynced", [agent]) { agent.said().contains("rows resynced") }
        #expect(try await !pipeline.everything().contains("secret"))
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0 && !end.errors.contains("secret"), "\(end.errors.suffix(2000))")
    }
}

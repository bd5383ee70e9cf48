import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// Each kind of expectation before a real agent that is killed again and again: a stream that breaks it holds the table, the
/// others go on, and released the table is as if it had never been held.
@Suite struct GateAgentTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    private struct Kind {
        var table: String
        var type: String
        /// `VALUE` is what the pipeline file says of a column `v`.
        var rule: String
        var good: String
        var bad: String
        var named: String
        /// Looked at from time to time, and not before rows are promoted.
        var isOfTable = false
    }

    private static let kinds = [
        Kind(
            table: "t_null", type: "text", rule: "{ expect: not_null, column: v }", good: "'a'", bad: "NULL",
            named: "not_null(v)"),
        Kind(
            table: "t_between", type: "numeric(6,2)", rule: "{ expect: between, column: v, min: 0, max: 100.5 }",
            good: "100.5", bad: "100.51", named: "between(v)"),
        Kind(
            table: "t_in", type: "text", rule: "{ expect: in_set, column: v, values: [a, b] }", good: "'b'", bad: "'z'",
            named: "in_set(v)"),
        Kind(
            table: "t_not_in", type: "integer", rule: "{ expect: not_in_set, column: v, values: [7] }", good: "6",
            bad: "7", named: "not_in_set(v)"),
        Kind(
            table: "t_matches", type: "text", rule: "{ expect: matches, column: v, regex: '^a+$' }", good: "'aa'",
            bad: "'ab'", named: "matches(v)"),
        Kind(
            table: "t_length", type: "varchar(20)", rule: "{ expect: length, column: v, max: 3 }", good: "'äöü'",
            bad: "'four'", named: "length(v)"),
        Kind(
            table: "t_unique", type: "integer", rule: "{ expect: unique, column: v }", good: "id", bad: "1",
            named: "unique(v)", isOfTable: true),
        Kind(
            table: "t_foreign", type: "integer", rule: "{ expect: foreign_key, column: v, references: public.free }",
            good: "1", bad: "999", named: "foreign_key(v)", isOfTable: true),
        Kind(
            table: "t_count", type: "integer", rule: "{ expect: row_count, max: 5 }", good: "1", bad: "",
            named: "row_count",
            isOfTable: true),
        Kind(
            table: "t_expression", type: "integer", rule: "{ expect: expression, sql: 'v < 100' }", good: "1",
            bad: "100", named: "expression", isOfTable: true),
    ]

    private struct Shop {
        let folder: URL
        let source: ThrowawayPostgres
        let warehouse: String

        func write(_ onFail: (Kind) -> String) throws {
            let tables = kinds.map { kind in
                let rule = kind.rule.replacingOccurrences(of: " }", with: ", on_fail: \(onFail(kind)) }")
                return "  - { source: public.\(kind.table), quality: [\(rule)] }"
            }
            try """
            pipeline: gates
            source: { postgres: { url: "\(source.url())" } }
            warehouse: { \(warehouse) }
            agent: { listen: "127.0.0.1:0" }
            quality: { every: 10s }
            tables:
              - { source: public.aside, quality: [{ expect: not_null, column: v, on_fail: quarantine_row }] }
            \(tables.joined(separator: "\n"))
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess(arguments, in: folder).wait()
        }

        /// Nil: nobody answers, as between two agents.
        func rows(_ sql: String) async throws -> [String]? {
            let result = try await AgentProcess(["query", "--format", "csv", sql], in: folder).wait()
            guard result.status == 0 else { return nil }
            return result.output.split(whereSeparator: \.isNewline).dropFirst().map(String.init)
        }

        /// Tables that rules hold, with why; nil: nobody answers.
        func held() async throws -> [String: String]? {
            let sql = "select source_table, reason from _millrace.holds where kind = 'quality'"
            guard let rows = try await rows(sql) else { return nil }
            return Dictionary(
                rows.compactMap { row in
                    guard let comma = row.firstIndex(of: ",") else { return nil }
                    return (String(row[..<comma]), String(row[row.index(after: comma)...]))
                }
            ) { first, _ in first }
        }
    }

    private typealias Kinds = GateAgentTests

    private func shop(_ engine: Engine) async throws -> Shop {
        let source = try await ThrowawayPostgres.start()
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let folder = try temporaryFolder("gates-\(engine)")
        let warehouse = target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: gates_wh.duckdb }"
        var sql = """
            CREATE TABLE free (id int PRIMARY KEY, v int); INSERT INTO free SELECT i, i FROM generate_series(1, 5) i;
            CREATE TABLE aside (id int PRIMARY KEY, v text); INSERT INTO aside SELECT i, 'a' FROM generate_series(1, 5) i;

            """
        for kind in Self.kinds {
            sql += """
                CREATE TABLE \(kind.table) (id int PRIMARY KEY, v \(kind.type), n int);
                INSERT INTO \(kind.table) SELECT id, \(kind.good), 0 FROM generate_series(1, 4) id;

                """
        }
        try await source.psql(sql)
        return Shop(folder: folder, source: source, warehouse: warehouse)
    }

    /// Changes that are as expected, in all tables.
    private func touch(_ shop: Shop, _ turn: Int) async throws {
        let tables = Self.kinds.map { "UPDATE \($0.table) SET n = \(turn) WHERE id <= 2;" }.joined(separator: "\n")
        try await shop.source.psql(
            "\(tables)\nUPDATE free SET v = \(turn) WHERE id = 2; UPDATE aside SET v = 'b' WHERE id = 2;")
    }

    @Test(arguments: Engine.allCases) func eachKindHoldsItsTable(engine: Engine) async throws {
        let shop = try await shop(engine)
        defer { try? FileManager.default.removeItem(at: shop.folder) }
        try shop.write { _ in "hold" }
        let first = try await shop.run("run", "--until-end")
        try #require(first.status == 0, "\(first.errors)")

        // Killed at every stage, before, at and behind what breaks the rules.
        for (turn, point) in ["read:1", "staged:2", "commit:1", "committed:2", "staging:1", "commit:3"].enumerated() {
            try await touch(shop, turn + 1)
            if turn == 2 {
                for kind in Self.kinds {
                    // Set right again in the same transaction: nobody saw it.
                    if !kind.isOfTable {
                        try await shop.source.psql(
                            """
                            BEGIN; UPDATE \(kind.table) SET v = \(kind.bad) WHERE id = 1;
                            UPDATE \(kind.table) SET v = \(kind.good) WHERE id = 1; COMMIT;
                            """)
                    }
                    try await shop.source.psql(
                        kind.bad.isEmpty
                            ? "INSERT INTO \(kind.table) SELECT id, 1, 0 FROM generate_series(5, 9) id"
                            : "UPDATE \(kind.table) SET v = \(kind.bad) WHERE id = 3")
                }
                try await shop.source.psql("UPDATE aside SET v = NULL WHERE id = 3; INSERT INTO aside VALUES (6, NULL)")
            }
            let agent = try AgentProcess(["run"], in: shop.folder, environment: ["MILLRACE_CRASH_AT": point])
            try await until("\(point) is reached", [agent]) {
                // What waits may all come in one batch, and a later point needs several.
                if agent.isRunning { try await shop.source.psql("UPDATE free SET v = \(turn + 1) WHERE id = 2") }
                return !agent.isRunning
            }
            let end = await agent.wait()
            #expect(end.status == 128 + SIGKILL, "\(point): \(end.errors.suffix(1000))")
        }

        let agent = try AgentProcess(["run"], in: shop.folder)
        try await until("each table is held", [agent]) { try await shop.held()?.count == Self.kinds.count }
        let held = try #require(try await shop.held())
        for kind in Self.kinds {
            let reason = try #require(held[kind.table])
            #expect(reason.contains(kind.named) && reason.contains("tables["), "\(kind.table): \(reason)")
            if !kind.isOfTable { #expect(reason.contains("fails in 1 row, from "), "\(reason)") }
        }
        // Current stands at its last good version; the others have gone on.
        try await touch(shop, 10)
        try await shop.source.psql("UPDATE free SET v = 4711 WHERE id = 5")
        try await until("the others go on", [agent]) {
            try await shop.rows("select v from gates_live.free where id = 5") == ["4711"]
        }
        for kind in Self.kinds where !kind.isOfTable {
            let rows = try await shop.rows("select id, n from gates_live.\(kind.table) order by id")
            #expect(rows == ["1,3", "2,3", "3,0", "4,0"], "\(kind.table): \(rows)")
            let raw = try await shop.rows("select count(*) from gates_raw.\(kind.table)")
            // The copied rows, seven turns of two, the two of the transaction that set it right, and what failed.
            #expect(raw == ["21"], "\(kind.table): raw goes on")
        }
        #expect(
            try await shop.rows("select id, v from gates_live.aside order by id") == [
                "1,a", "2,b", "3,a", "4,a", "5,a",
            ])
        let aside = try JSONValue(parsing: try await shop.run("quarantine", "list", "--json").output).array ?? []
        #expect(
            aside.count == 2 && aside.allSatisfy { $0["reason"]?.string == "not_null(v) fails" }, "\(aside)")
        let count = try await shop.rows("select rows from _millrace.gates where source_table = 'aside'")
        #expect(count == ["2"])

        // Nothing was mended: the rows say the same.
        let again = try await shop.run("release", "t_null")
        #expect(again.status == 6 && again.errors.contains("not_null(v)"), "\(again)")
        #expect(try await shop.held()?.count == Self.kinds.count)

        // The data is mended. What a row did meanwhile is put aside, or the rule is another one by now.
        for kind in Self.kinds {
            try await shop.source.psql(
                kind.bad.isEmpty
                    ? "DELETE FROM \(kind.table) WHERE id > 4"
                    : "UPDATE \(kind.table) SET v = \(kind.good) WHERE id = 3")
        }
        try await shop.source.psql("UPDATE aside SET v = 'c' WHERE v IS NULL")
        try await until("all of it is in raw", [agent]) {
            try await shop.rows("select count(*) from gates_live.aside where v = 'c'") == ["2"]
        }
        var result = try await shop.run("release", "t_between", "--quarantine-failing")
        #expect(result.status == 0 && result.output.contains("put aside"), "\(result)")
        try shop.write { $0.isOfTable ? "hold" : "warn" }
        result = try await shop.run("reload")
        #expect(result.status == 0, "\(result.errors)")
        for kind in Self.kinds {
            result = try await shop.run("release", kind.table)
            #expect(result.status == 0, "\(kind.table): \(result)")
        }
        try await until("nothing is held", [agent]) { try await shop.held()?.isEmpty == true }

        let sweep = try await shop.run("sweep")
        #expect(sweep.status == 0, "\(sweep)")
        let status = try JSONValue(parsing: try await shop.run("status", "--json").output)
        let tables = try #require(status["tables"]?.array)
        #expect(tables.count == Self.kinds.count + 2)
        for table in tables {
            #expect(table["state"]?.string == "streaming" && table["deferred"]?.int64 == 0, "\(table)")
        }
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
    }

    /// What was put aside comes back when its rule is gone.
    @Test(arguments: Engine.allCases) func whatWasPutAsideIsReplayed(engine: Engine) async throws {
        let shop = try await shop(engine)
        defer { try? FileManager.default.removeItem(at: shop.folder) }
        try shop.write { _ in "hold" }
        try await shop.source.psql("UPDATE aside SET v = NULL WHERE id = 3; INSERT INTO aside VALUES (6, NULL)")
        let run = try await shop.run("run", "--until-end")
        #expect(run.status == 0, "\(run.errors)")
        #expect(
            try await shop.rows("select count(*) from gates_live.aside") == ["4"], "copied rows come through it, too")
        let refused = try await shop.run("quarantine", "replay", "--all")
        #expect(refused.status == 1 && refused.output.contains("not_null(v) fails"), "\(refused)")
        let file = shop.folder.appending(path: "millrace.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        try text.replacingOccurrences(of: "quarantine_row", with: "warn").write(
            to: file, atomically: true, encoding: .utf8)
        let replayed = try await shop.run("quarantine", "replay", "--all")
        #expect(replayed.status == 0, "\(replayed)")
        #expect(
            try await shop.rows("select id, coalesce(v, 'NULL') from gates_live.aside order by id")
                == ["1,a", "2,a", "3,NULL", "4,a", "5,a", "6,NULL"])
    }

    /// A rule that says stop ends the agent, and nothing of the transaction is there.
    @Test(arguments: Engine.allCases) func aRuleThatSaysStopEndsTheAgent(engine: Engine) async throws {
        let shop = try await shop(engine)
        defer { try? FileManager.default.removeItem(at: shop.folder) }
        try shop.write { $0.table == "t_null" ? "stop" : "hold" }
        let agent = try AgentProcess(["run"], in: shop.folder)
        try await until("it is copied", [agent]) {
            try await shop.rows("select count(*) from gates_live.t_null") == ["4"]
        }
        try await shop.source.psql(
            "BEGIN; UPDATE free SET v = 77 WHERE id = 1; UPDATE t_null SET v = NULL WHERE id = 1; COMMIT")
        let end = await agent.wait()
        #expect(
            end.status == 6 && end.errors.contains("not_null(v)") && end.errors.contains("Try: "),
            "\(end.errors.suffix(1500))")
        #expect(try await shop.rows("select v from gates_live.free where id = 1") == ["1"])
        // It stands at the same place until the rule is another.
        #expect(try await shop.run("run", "--until-end").status == 6)
        try shop.write { _ in "hold" }
        let held = try await shop.run("run", "--until-end")
        #expect(held.status == 6 && held.errors.contains("t_null is held"), "\(held.errors.suffix(1500))")
        #expect(try await shop.rows("select v from gates_live.free where id = 1") == ["77"])
    }
}

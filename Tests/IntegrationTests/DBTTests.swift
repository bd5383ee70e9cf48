import Agent
import ChildProcess
import Foundation
import JSON
import Logging
import Replication
import Testing

/// The real dbt on what `millrace dbt` writes, in both warehouses. `scripts/dbt-check` installs it; where it isn't, what is
/// written is compared as text alone.
@Suite(.serialized, .enabled(if: DBTProjectFolder.program != nil, "dbt isn't installed: see scripts/dbt-check"))
struct DBTTests {
    private static let schema = #"""
        CREATE TABLE customers (id int PRIMARY KEY, name text);
        COMMENT ON TABLE customers IS 'Who buys';
        INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 5) i;
        CREATE TABLE orders ("OrderId" bigint, "Line ""No""" int, customer int, status text, amount numeric(12,2),
            free numeric, tags text[], doc jsonb, "select" text, "{{ braces }} {% if %} {# c" text, at timestamptz,
            PRIMARY KEY ("OrderId", "Line ""No"""));
        COMMENT ON TABLE orders IS E'It''s "the" {{ orders }} {% if %} {# not a comment\nsecond: line - ünïcode \U0001F680';
        COMMENT ON COLUMN orders."{{ braces }} {% if %} {# c" IS '{{ doc("nothing") }}';
        INSERT INTO orders SELECT i, 1 + i % 2, 1 + i % 5, CASE WHEN i % 2 = 0 THEN 'paid' ELSE 'it''s {{ open }}' END,
            i * 1.5, i * 100000000000000000000.5, ARRAY['a', NULL, 'x,"y"'], '{"a": 1}', 's', '{{ v }}',
            '2024-01-01'::timestamptz + i * interval '1 day' FROM generate_series(1, 20) i;
        CREATE TABLE "We""ird {{ x }} {% y" (id int PRIMARY KEY, "größe" text, "Größe 2" text, "a b" int, a_b int);
        COMMENT ON TABLE "We""ird {{ x }} {% y" IS '}} %}';
        INSERT INTO "We""ird {{ x }} {% y" VALUES (1, 'x', 'y', 1, 2), (2, NULL, NULL, NULL, NULL);
        CREATE TABLE log (what text, n int);
        ALTER TABLE log REPLICA IDENTITY FULL;
        INSERT INTO log VALUES ('a', 1), ('a', 1), (NULL, 2);
        """#

    private static let tables = """
        tables:
          - source: public.orders
            quality:
              - { expect: not_null, column: status, on_fail: warn }
              - { expect: not_null, column: 'Line "No"', on_fail: warn }
              - { expect: in_set, column: status, values: [paid, "it's {{ open }}"], on_fail: warn }
              - { expect: in_set, column: customer, values: [1, 2, 3, 4, 5, 6], on_fail: warn }
              - { expect: in_set, column: select, values: ["s", "it's"], on_fail: warn }
              - { expect: between, column: amount, min: 1, max: 1000, on_fail: warn }
              - { expect: between, column: free, min: 1, on_fail: warn }
              - { expect: matches, column: '{{ braces }} {% if %} {# c', regex: '^\\{\\{', on_fail: warn }
              - { expect: unique, columns: [OrderId, 'Line "No"'], on_fail: warn }
              - { expect: unique, column: free, on_fail: warn }
              - { expect: foreign_key, column: customer, references: public.customers, on_fail: warn }
              - { expect: foreign_key, columns: [OrderId, 'Line "No"'], references: public.orders, on_fail: warn }
              - { expect: expression, sql: 'amount > 0 -- {{ not jinja }}', on_fail: warn }
              - { expect: unique, column: customer, severity: soft }
              - { expect: row_count, min: 1, on_fail: warn }
          - source: public.customers
            quality: [{ expect: unique, column: id, on_fail: warn }]
          - source: public.log
            quality: [{ expect: not_null, column: n, on_fail: warn }]
        """

    /// The model's columns beside those of the live view.
    private static let models: [(table: String, model: String, columns: [(view: String, model: String)])] = [
        ("customers", "customers", [("id", "id"), ("name", "name")]),
        (
            "orders", "orders",
            [
                ("OrderId", "order_id"), ("Line \"No\"", "line_no"), ("customer", "customer"), ("status", "status"),
                ("amount", "amount"), ("free", "free"), ("tags", "tags"), ("doc", "doc"), ("select", "select"),
                ("{{ braces }} {% if %} {# c", "braces_if_c"), ("at", "at"),
            ]
        ),
        (
            "We\"ird {{ x }} {% y", "we_ird_x_y",
            [("id", "id"), ("größe", "größe"), ("Größe 2", "größe_2"), ("a b", "a_b"), ("a_b", "a_b_2")]
        ),
        ("log", "log", [("what", "what"), ("n", "n")]),
    ]

    @Test(arguments: Engine.allCases) func buildsFollowsAndForgets(engine: Engine) async throws {
        let source = try await SourceDatabase("dbt_\(engine.rawValue)", Self.schema)
        let run = try await source.pipeline(engine, rest: Self.tables)
        let project = try await DBTProjectFolder(run)
        try await run.untilEnd()
        #expect(try await Set(project.write().map(\.state)) == ["written"])

        let built = try await project.dbt(["build"])
        #expect(built.code == 0, "\(built)")
        #expect(built.results.values.filter { $0 == "success" }.count == 4, "\(built)")
        #expect(built.results.filter { $0.value == "warn" }.map(\.key) == ["\(run.name)__orders__unique__customer"])
        #expect(built.results.values.filter { $0 == "pass" }.count == 15, "\(built)")
        try await expectEqual(run, project, "at first")
        let comments = try project.descriptions()
        #expect(comments["orders"]?.hasPrefix("It's \"the\" {{ orders }} {% if %} {# not a comment\nsecond:") == true)
        #expect(comments["orders"]?.hasSuffix("ünïcode \u{1F680}") == true && comments["we_ird_x_y"] == "}} %}")
        #expect(comments["orders.{{ braces }} {% if %} {# c"] == "{{ doc(\"nothing\") }}")

        try await source.sql(
            """
            INSERT INTO customers VALUES (6, 'new'); UPDATE customers SET name = 'other' WHERE id = 2;
            DELETE FROM orders WHERE "OrderId" <= 3; UPDATE orders SET "OrderId" = 100 WHERE "OrderId" = 4;
            UPDATE orders SET amount = 7 WHERE "OrderId" = 5; DELETE FROM customers WHERE id = 4;
            INSERT INTO orders VALUES (200, 1, 6, 'paid', 1, 2, NULL, NULL, NULL, NULL, NULL);
            UPDATE orders SET customer = 6 WHERE customer = 4;
            DELETE FROM log WHERE n = 2; TRUNCATE "We""ird {{ x }} {% y";
            """)
        try await run.untilEnd()
        #expect(try await Set(project.write().map(\.state)) == ["unchanged"])
        #expect(try await project.dbt(["run"]).code == 0)
        try await expectEqual(run, project, "after changes")
        #expect(try await project.dbt(["test"]).code == 0)

        // Rows that don't change have the new column's value all the same.
        try await source.sql("ALTER TABLE customers ADD COLUMN kind text NOT NULL DEFAULT 'good'")
        try await source.sql("UPDATE customers SET name = 'again' WHERE id = 1")
        try await run.untilEnd()
        let states = Dictionary(uniqueKeysWithValues: try await project.write().map { ($0.name, $0.state) })
        #expect(states["sources.yml"] == "updated" && states["stg_\(run.name)__customers.sql"] == "updated")
        #expect(states["stg_\(run.name)__orders.sql"] == "unchanged")
        #expect(try await project.dbt(["run"]).code == 0)
        try await expectEqual(run, project, "with a new column", adding: ("customers", "kind"))
        #expect(
            try await run.looking { warehouse, _ in
                try await warehouse.query(
                    "SELECT DISTINCT kind FROM \(project.schema).stg_\(run.name)__customers", rows_max: 10
                ).rows
            } == [["good"]])

        // An erased row leaves no mark in the warehouse, and no trace here.
        try await source.sql("DELETE FROM customers WHERE id = 5; DELETE FROM orders WHERE customer = 5")
        try await run.untilEnd()
        _ = try await EraseCommand(table: "customers", key: "5", reason: "request").run(project.context())
        #expect(try await project.dbt(["run"]).code == 0)
        try await expectEqual(run, project, "after an erasure", adding: ("customers", "kind"))

        try await source.sql("UPDATE orders SET status = 'lost', amount = -1 WHERE \"OrderId\" = 200")
        try await run.untilEnd()
        let failed = try await project.dbt(["test"])
        #expect(failed.code == 1)
        let names = ["in_set__status", "between__amount", "expression"].map { "\(run.name)__orders__\($0)" }
        #expect(Set(failed.results.filter { $0.value == "fail" }.map(\.key)) == Set(names), "\(failed)")
    }

    /// `_millrace.freshness` is what the agent keeps; here it says what the test needs.
    @Test(arguments: Engine.allCases) func staleTablesAreTold(engine: Engine) async throws {
        let source = try await SourceDatabase("dbtfresh_\(engine.rawValue)", "CREATE TABLE quiet (id int PRIMARY KEY)")
        let run = try await source.pipeline(engine)
        let project = try await DBTProjectFolder(run)
        try await source.sql("INSERT INTO quiet VALUES (1)")
        try await run.untilEnd()
        let setup = try run.setup
        let known = try await run.looking { warehouse, _ in
            try await setup.control(warehouse, catalog: nil, running: nil).tables()
        }
        var table = DBTProject.Table(try #require(known.tables.first).definition)
        table.staleness_max = .seconds(900)
        let dbt = DBTProject(
            setup.layout, engine: known.engine, serverVersion: known.serverVersion, tables: [table])
        _ = try DBTFolder(project.models).write(dbt.files().files, isModel: dbt.isModelFile)

        let columns = "pipeline, source_schema, source_table, since, seen_at, until, complete_as_of"
        func isComplete(_ moment: String) -> String {
            "INSERT INTO _millrace.freshness (\(columns)) VALUES ('\(run.name)', 'public', 'quiet', now(), now(), NULL, \(moment))"
        }
        let removed = "DELETE FROM _millrace.freshness WHERE pipeline = '\(run.name)'"
        try await project.execute(
            """
            CREATE TABLE IF NOT EXISTS _millrace.freshness (pipeline text, source_schema text, source_table text,
            since timestamptz, seen_at timestamptz, until timestamptz, complete_as_of timestamptz)
            """)
        #expect(try await project.dbt(["source", "freshness"]).code == 1, "it was never complete")
        try await project.execute(isComplete("now() - interval '14 minutes'"))
        #expect(try await project.dbt(["source", "freshness"]).code == 0)
        try await project.execute("\(removed); \(isComplete("now() - interval '16 minutes'"))")
        #expect(try await project.dbt(["source", "freshness"]).code == 1)
        // What is over says nothing.
        try await project.execute(
            "UPDATE _millrace.freshness SET until = now() WHERE pipeline = '\(run.name)'; \(isComplete("now()"))")
        #expect(try await project.dbt(["source", "freshness"]).code == 0)
    }

    private func expectEqual(
        _ run: PipelineRun, _ project: DBTProjectFolder, _ what: String, adding: (table: String, column: String)? = nil
    ) async throws {
        try await run.looking { warehouse, layout in
            for (table, model, columns) in Self.models {
                var columns = columns
                if let adding, adding.table == table { columns.append((adding.column, adding.column)) }
                func texts(_ names: [String]) -> String {
                    names.map { "CAST(\(RowDigest.quoted($0)) AS VARCHAR)" }.joined(separator: ", ")
                }
                let sides = [
                    "SELECT \(texts(columns.map(\.view))) FROM \(RowDigest.quoted(layout.live)).\(RowDigest.quoted(table))",
                    """
                    SELECT \(texts(columns.map(\.model))) \
                    FROM \(project.schema).\(RowDigest.quoted("stg_\(run.name)__\(model)"))
                    """,
                ]
                var rows: [[[String?]]] = []
                for side in sides {
                    let numbers = columns.indices.map { "\($0 + 1)" }.joined(separator: ", ")
                    rows.append(try await warehouse.query("\(side) ORDER BY \(numbers)", rows_max: 10_000).rows)
                }
                #expect(rows[0] == rows[1], "\(run.engine) \(what): \(table)")
            }
        }
    }
}

/// A dbt project of a test's own, for a pipeline's warehouse.
struct DBTProjectFolder {
    /// `MILLRACE_DBT`, or where `scripts/dbt-check` installs it.
    static let program: String? = {
        let own = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "third-party/dbt/bin/dbt").path
        let path = ProcessInfo.processInfo.environment["MILLRACE_DBT"] ?? own
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()

    let run: PipelineRun
    let schema: String
    var models: String { run.folder.path("models") }

    init(_ run: PipelineRun) async throws {
        self.run = run
        schema = "models_\(run.name)"
        try run.yaml.write(toFile: run.folder.path("millrace.yaml"), atomically: true, encoding: .utf8)
        try """
        name: \(run.name)
        profile: millrace
        flags: { send_anonymous_usage_stats: false }
        """.write(toFile: run.folder.path("dbt_project.yml"), atomically: true, encoding: .utf8)
        let output: String
        switch run.engine {
        case .duckdb:
            // The file is called as a schema in it.
            output = """
                { type: duckdb, path: ":memory:", database: warehouse, schema: \(schema), \
                attach: [{ path: "\(run.folder.path(run.name)).duckdb", alias: warehouse }] }
                """
        case .postgres:
            let url = URLComponents(string: try await SharedServer.shared.url())
            output = """
                { type: postgres, host: \(url?.host ?? ""), port: \(url?.port ?? 0), user: \(url?.user ?? ""), \
                password: none, dbname: \(url?.path.dropFirst() ?? ""), schema: \(schema), threads: 2 }
                """
        }
        try "millrace: { target: it, outputs: { it: \(output) } }"
            .write(toFile: run.folder.path("profiles.yml"), atomically: true, encoding: .utf8)
    }

    func context(_ write: @escaping @Sendable (String) -> Void = { _ in }) -> CommandContext {
        CommandContext(
            file: run.folder.path("millrace.yaml"), json: true,
            console: Console { text, isError in if !isError { write(text) } },
            logger: Logger(label: "test"))
    }

    /// What `millrace dbt` does.
    func write(isForced: Bool = false) async throws -> [(name: String, state: String)] {
        let (texts, continuation) = AsyncStream.makeStream(of: String.self)
        try await DBTCommand(out: models, isForced: isForced).run(context { continuation.yield($0) })
        continuation.finish()
        var text = ""
        for await part in texts { text += part }
        return (try JSONValue(parsing: text)["files"]?.array ?? []).map {
            (($0["path"]?.string ?? "").split(separator: "/").last.map(String.init) ?? "", $0["state"]?.string ?? "")
        }
    }

    struct Answer: CustomStringConvertible {
        var code: Int32
        /// The state of each test and model, by its name.
        var results: [String: String]
        var messages: [String]

        var description: String { "\(code) \(results) \(messages)" }
    }

    /// With a look-back window of nothing: what isn't new is read only where it must be.
    func dbt(_ arguments: [String]) async throws -> Answer {
        let folder = run.folder.url.path
        let target = "\(folder)/target"
        var answer = Answer(code: 0, results: [:], messages: [])
        do {
            try await Command.runAside(
                [Self.program ?? "dbt"] + arguments + [
                    "--project-dir", folder, "--profiles-dir", folder, "--target-path", target, "--log-path",
                    "\(folder)/logs", "--quiet", "--vars", "{millrace_lookback: '0 seconds'}",
                ])
        } catch let error as CommandError {
            answer.code = error.exitCode ?? -1
            answer.messages.append(error.message)
        }
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: target + "/run_results.json")) else {
            return answer
        }
        for result in try JSONValue(parsing: data)["results"]?.array ?? [] {
            let name =
                (result["unique_id"]?.string ?? "").split(separator: ".").dropFirst(2).first.map(String.init) ?? ""
            answer.results[name] = result["status"]?.string
            if let message = result["message"]?.string, result["status"]?.string == "error" {
                answer.messages.append(message)
            }
        }
        return answer
    }

    /// Statements without a `"`, by dbt.
    func execute(_ sql: String) async throws {
        // DuckDB is in no transaction then, and in the database in memory.
        let statements = run.engine == .postgres ? sql + "; commit" : "USE warehouse; " + sql
        let line = statements.replacingOccurrences(of: "\n", with: " ")
        let answer = try await dbt(["run-operation", "run_query", "--args", "{\"sql\": \"\(line)\"}"])
        if answer.code != 0 { throw CommandError(message: "\(answer)") }
    }

    /// Of the sources, as dbt understood them: `table` and `table.column`.
    func descriptions() throws -> [String: String] {
        let data = try Data(contentsOf: URL(fileURLWithPath: run.folder.path("target/manifest.json")))
        var found: [String: String] = [:]
        for source in try JSONValue(parsing: data)["sources"]?.members?.map(\.value) ?? []
        where source["source_name"]?.string == run.name {
            let name = source["name"]?.string ?? ""
            found[name] = source["description"]?.string
            for (column, facts) in source["columns"]?.members ?? [] {
                found["\(name).\(column)"] = facts["description"]?.string
            }
        }
        return found
    }
}

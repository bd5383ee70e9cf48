import Foundation
import JSON
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// Random histories of DDL mixed with changes on a Postgres source, with an agent that is killed again and again; in the end,
/// when all plans are approved, a sweep finds every row as it is at the source.
///
/// `MILLRACE_DDL`: how many histories, shared among the engines; `MILLRACE_DDL_SEED`: the first one's. `MILLRACE_DDL_NAMES`:
/// 1: columns also get names that others had, and swap theirs.
@Suite(.serialized) struct SchemaHistoriesTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    private struct Table {
        static let reusesNames = setting("MILLRACE_DDL_NAMES", 0) > 0
        var columns: [(name: String, type: String)] = [("a", "text"), ("b", "integer")]
        var key = "id"
        var made = 0
        var rows = 0
        var random: SeededRandom
        let name: String

        /// A value for a column, as SQL.
        mutating func value(_ type: String) -> String {
            let number = random.below(1000)
            switch type {
            case "integer", "bigint": return "\(number)"
            case "numeric(8,2)", "numeric(12,3)": return "\(number).25"
            case "timestamptz": return "'2026-01-01 00:00:00+00'::timestamptz + \(number) * interval '1 s'"
            default: return random.below(6) == 0 ? "NULL" : "'v\(number)'"
            }
        }

        mutating func changes() -> String {
            var sql = ""
            for _ in 0..<1 + random.below(4) {
                switch random.below(6) {
                case 0, 1:
                    rows += 1
                    let names = ["id", "u"] + columns.map(\.name)
                    let values = ["\(rows)", "\(rows + 1_000_000)"] + columns.map { value($0.type) }
                    sql +=
                        "INSERT INTO \(name) (\(names.joined(separator: ", "))) VALUES (\(values.joined(separator: ", ")));\n"
                case 2: sql += "DELETE FROM \(name) WHERE id = \(1 + random.below(max(rows, 1)));\n"
                case 3:
                    sql +=
                        "UPDATE \(name) SET \(key) = \(key) + 10000000 WHERE id = \(1 + random.below(max(rows, 1)));\n"
                default:
                    guard !columns.isEmpty else { continue }
                    let column = columns[random.below(columns.count)]
                    sql +=
                        "UPDATE \(name) SET \(column.name) = \(value(column.type)) WHERE id % 5 = \(random.below(5));\n"
                }
            }
            return sql
        }

        mutating func ddl() -> String {
            let alter = "ALTER TABLE \(name)"
            func pick() -> Int { random.below(columns.count) }
            switch random.below(columns.isEmpty ? 3 : Self.reusesNames ? 13 : 10) {
            case 0:
                made += 1
                let type = ["integer", "text", "numeric(8,2)", "character varying(10)"][random.below(4)]
                columns.append(("c\(made)", type))
                return "\(alter) ADD COLUMN c\(made) \(type);\n"
            case 1:
                made += 1
                let type = ["integer", "numeric(8,2)", "timestamptz"][random.below(3)]
                columns.append(("c\(made)", type))
                return "\(alter) ADD COLUMN c\(made) \(type) DEFAULT \(value(type));\n"
            case 2:
                made += 1
                columns.append(("c\(made)", "integer"))
                return "\(alter) ADD COLUMN c\(made) integer DEFAULT (random() * 100)::int;\n"
            case 3:
                let column = columns.remove(at: pick())
                return "\(alter) DROP COLUMN \(column.name);\n"
            case 4, 5:
                let index = pick()
                made += 1
                defer { columns[index].name = "r\(made)" }
                return "\(alter) RENAME COLUMN \(columns[index].name) TO r\(made);\n"
            case 6, 7:
                let index = pick()
                let wider = [
                    "integer": "bigint", "numeric(8,2)": "numeric(12,3)",
                    "character varying(10)": "character varying(40)",
                ]
                guard let type = wider[columns[index].type] else { return "" }
                columns[index].type = type
                return
                    "\(alter) ALTER COLUMN \(columns[index].name) DROP DEFAULT, ALTER COLUMN \(columns[index].name) TYPE \(type);\n"
            case 8:
                let index = pick()
                guard columns[index].type != "text" else { return "" }
                columns[index].type = "text"
                return
                    "\(alter) ALTER COLUMN \(columns[index].name) DROP DEFAULT, ALTER COLUMN \(columns[index].name) TYPE text;\n"
            case 9:
                key = key == "id" ? "u" : "id"
                return "\(alter) DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY (\(key));\n"
            // Names that other columns had.
            case 10:
                let index = pick()
                let (name, type) = (columns[index].name, ["integer", "text", "numeric(8,2)"][random.below(3)])
                columns[index].type = type
                let value = random.below(2) == 0 ? " DEFAULT \(value(type))" : ""
                return "\(alter) DROP COLUMN \(name), ADD COLUMN \(name) \(type)\(value);\n"
            case 11:
                let index = pick()
                let (name, type) = (columns[index].name, columns[index].type)
                made += 1
                columns[index].name = "r\(made)"
                columns.append((name, type))
                return "\(alter) RENAME COLUMN \(name) TO r\(made);\n\(alter) ADD COLUMN \(name) \(type);\n"
            default:
                let (a, b) = (pick(), pick())
                guard a != b else { return "" }
                let names = (columns[a].name, columns[b].name)
                (columns[a].name, columns[b].name) = (names.1, names.0)
                return """
                    \(alter) RENAME COLUMN \(names.0) TO swapping;
                    \(alter) RENAME COLUMN \(names.1) TO \(names.0);
                    \(alter) RENAME COLUMN swapping TO \(names.1);

                    """
            }
        }
    }

    private static let histories = setting("MILLRACE_DDL", 2)
    private static let firstSeed = setting("MILLRACE_DDL_SEED", 1)

    @Test(arguments: Engine.allCases) func endsAsTheSource(engine: Engine) async throws {
        let source = try await ThrowawayPostgres.start()
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let count = (Self.histories + (engine == .duckdb ? 1 : 0)) / 2
        for number in 0..<count {
            try await history(Self.firstSeed + number, engine, source, target)
        }
    }

    private func history(
        _ seed: Int, _ engine: Engine, _ source: ThrowawayPostgres, _ target: ThrowawayPostgres?
    ) async throws {
        let name = "h\(seed)"
        let folder = try temporaryFolder("ddl-\(engine)-\(seed)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var random = SeededRandom(seed: UInt64(seed))
        var table = Table(random: SeededRandom(seed: UInt64(seed) &+ 1), name: "\(name).t")
        try await source.psql(
            """
            CREATE SCHEMA \(name);
            CREATE TABLE \(name).t (id bigint, u bigint NOT NULL UNIQUE, a text, b integer, CONSTRAINT t_pkey PRIMARY KEY (id));
            ALTER TABLE \(name).t ALTER id SET NOT NULL;
            INSERT INTO \(name).t SELECT i, i + 1000000, 'a' || i, i FROM generate_series(1, 40) i;
            """)
        table.rows = 40
        let warehouse = target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: wh_\(name).duckdb }"
        try """
        pipeline: \(name)
        source: { include: ["\(name).*"], postgres: { url: "\(source.url())" } }
        warehouse: { \(warehouse) }
        schema_changes: { deprecate_after: 0s }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)

        var log: [String] = []
        for step in 0..<12 {
            let points = ["read", "ddl", "staged", "commit", "committed"]
            var environment: [String: String] = [:]
            if random.below(3) > 0 {
                environment["MILLRACE_CRASH_AT"] = "\(points[random.below(points.count)]):\(1 + random.below(3))"
            }
            let agent = try AgentProcess(["run"], in: folder, environment: environment)
            for _ in 0..<1 + random.below(4) {
                let sql = table.changes() + (random.below(2) == 0 ? table.ddl() : "") + table.changes()
                let text = random.below(3) == 0 ? "BEGIN;\n\(sql)COMMIT;\n" : sql
                log.append(text)
                try await source.psql(text)
            }
            if step % 3 == 2 { await approve(folder) }
            // Long enough for most to be read; what isn't is read by the next.
            try await Task.sleep(for: .milliseconds(100 + random.below(900)))
            agent.signal(SIGKILL)
            _ = await agent.wait()
        }
        let agent = try AgentProcess(["run"], in: folder)
        // Who looks before that has the file.
        try await until("it has the file", [agent]) { agent.said().contains("listening") }
        do {
            try await until("\(engine) \(seed): all is decided and applied", within: .seconds(60), [agent]) {
                // It may not have opened the file yet.
                let answer = try await AgentProcess.run(["status", "--json"], in: folder).output
                guard let status = try? JSONValue(parsing: answer) else { return false }
                let plans = status["schema_changes"]?.array ?? []
                if plans.contains(where: { $0["state"]?.string == "waiting" }) {
                    await approve(folder)
                    return false
                }
                guard let tables = status["tables"]?.array, !tables.isEmpty, status["agent"]?.string == "running",
                    status["consistent_since"]?.string != nil,
                    tables.allSatisfy({ $0["state"]?.string == "streaming" })
                else { return false }
                let end = try await source.value(
                    "SELECT confirmed_flush_lsn >= (SELECT max(x) FROM (SELECT pg_current_wal_flush_lsn() - 20000 AS x) y) FROM pg_replication_slots WHERE slot_name = 'millrace_\(name)'"
                )
                return end == "t"
            }
        } catch {
            let status = try? await AgentProcess.run(["status", "--json"], in: folder).output
            let changes = try? await AgentProcess.run(["schema", "list", "--all"], in: folder).output
            let plan = await approve(folder)
            let reasons = try? await AgentProcess.run(["quarantine", "list"], in: folder).output.suffix(1500)
            Issue.record("\(changes ?? "")\n\(status ?? "")\n\(plan)\n\(reasons ?? "")\n\(log.joined())")
            throw error
        }
        let sweep = try await AgentProcess.run(["sweep", "--json"], in: folder)
        if sweep.status != 0 {
            let changes = try await AgentProcess.run(["schema", "list", "--all"], in: folder)
            Issue.record(
                "\(engine) seed \(seed): \(sweep.output.prefix(1500)) \(sweep.errors)\n\(changes.output)\n\(log.joined())\n\(agent.said().suffix(3000))"
            )
        }
        let report = try JSONValue(parsing: sweep.output)
        #expect(report["tables"]?.array?.first?["equal"]?.bool == true, "\(engine) seed \(seed): \(sweep.output)")
        agent.signal(SIGTERM)
        _ = await agent.wait()
        let quarantined = try await AgentProcess.run(["quarantine", "list", "--json"], in: folder)
        print(
            "\(engine) seed \(seed): \(try JSONValue(parsing: quarantined.output).array?.count ?? -1) records put aside"
        )
        try await until("the slot is free") {
            try await source.number(
                "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'millrace_\(name)' AND active") == 0
        }
        try await source.psql("SELECT pg_drop_replication_slot('millrace_\(name)'); DROP PUBLICATION millrace_\(name)")
    }

    @discardableResult private func approve(_ folder: URL) async -> String {
        guard let list = try? await AgentProcess.run(["schema", "list", "--json"], in: folder), list.status == 0,
            let plans = (try? JSONValue(parsing: list.output))?.array
        else { return "" }
        var errors = ""
        for plan in plans where plan["state"]?.string == "waiting" {
            let answer = try? await AgentProcess.run(["schema", "approve", "\(plan["id"]?.int64 ?? 0)"], in: folder)
            errors += answer?.errors ?? ""
        }
        return errors
    }
}

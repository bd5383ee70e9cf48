import Foundation
import JSON
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// `millrace query --as-of`, by the real program: at moments of a load that the source itself remembers, each table is what
/// it was there, cell by cell.
@Suite(.serialized) struct AsOfTests {
    enum Engine: String, CaseIterable {
        case duckdb, postgres

        /// Every cell as a text that both engines write alike.
        func rows(live schema: String = "") -> String {
            func micros(_ column: String) -> String {
                self == .duckdb ? "epoch_us(\(column))" : "(extract(epoch FROM \(column)) * 1000000)::bigint"
            }
            return """
                select 'orders' as t, id as k, concat_ws('|', status, coalesce(cast(amount as varchar), 'null'),
                    coalesce(cast(\(micros("made")) as varchar), 'null'), coalesce(cast(day as varchar), 'null'),
                    coalesce(case when paid then 'yes' else 'no' end, 'null'), coalesce(cast(digits as varchar), 'null')) as v,
                    note as long from \(schema)orders
                union all select 'lines', order_id * 1000 + line, sku, payload from \(schema)lines
                union all select 'slots', id, label, long from \(schema)slots
                union all select 'log', n, what, null from \(schema)log
                """
        }
    }

    private struct Moment {
        var position: String
        var time: String
        /// `select …` of then, sorted.
        var rows: [String]
    }

    private static let tables = """
        CREATE TABLE orders (id bigint PRIMARY KEY, status text, amount numeric(12,2), note text, made timestamptz, day date,
            paid boolean, digits numeric);
        ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
        INSERT INTO orders SELECT i, 'old', i * 1.01, repeat(md5(i::text), 90), '2026-01-01'::timestamptz + i * interval '1.000007 s',
            '2026-01-01'::date + i, i % 2 = 0, i::numeric / 7 FROM generate_series(1, 30) i;
        CREATE TABLE lines (order_id bigint, line int, sku text, payload text, PRIMARY KEY (order_id, line));
        ALTER TABLE lines ALTER payload SET STORAGE EXTERNAL;
        INSERT INTO lines SELECT i, j, 'sku', repeat(md5((i * j)::text), 90) FROM generate_series(1, 10) i, generate_series(1, 3) j;
        CREATE TABLE slots (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, label text, long text);
        ALTER TABLE slots ALTER long SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
        INSERT INTO slots SELECT i, 'slot ' || i, repeat(md5(i::text), 90) FROM generate_series(1, 6) i;
        CREATE TABLE log (n int, what text);
        ALTER TABLE log REPLICA IDENTITY FULL;
        INSERT INTO log SELECT i % 3, 'twin' FROM generate_series(1, 9) i;
        """

    /// One statement of the load.
    private static func statement(_ random: inout SeededRandom, _ turn: Int) -> String {
        let id = random.below(40) + 1
        let other = random.below(40) + 1
        let long = "repeat(md5('\(turn)'), 90)"
        switch random.below(22) {
        case 0...3:
            return """
                INSERT INTO orders VALUES (\(id), 'it''s "\(turn)"', \(turn).5, \(long), now(), NULL, NULL, 0.\(turn)00) \
                ON CONFLICT DO NOTHING;
                """
        case 4...7: return "UPDATE orders SET status = 's\(turn)', digits = digits + 1.10 WHERE id = \(id);"
        case 8: return "UPDATE orders SET note = \(random.chance(30) ? "NULL" : long) WHERE id = \(id);"
        case 9, 10: return "DELETE FROM orders WHERE id = \(id);"
        case 11...13:
            return """
                UPDATE orders SET id = \(other), status = 'moved' WHERE id = \(id) \
                AND NOT EXISTS (SELECT FROM orders WHERE id = \(other));
                """
        case 14: return "DELETE FROM orders WHERE id = \(id); INSERT INTO orders (id, status) VALUES (\(id), 'again');"
        case 15: return "UPDATE lines SET line = line + 7 WHERE order_id = \(id % 10 + 1) AND line < 500;"
        case 16: return "UPDATE lines SET sku = 'sku \(turn)' WHERE order_id = \(id % 10 + 1);"
        case 17:
            return """
                DELETE FROM lines WHERE order_id = \(id % 10 + 1) AND line % 3 = 0; \
                INSERT INTO lines VALUES (\(id % 10 + 1), 900, 'new', \(long)) ON CONFLICT DO NOTHING;
                """
        case 18: return "UPDATE slots SET id = id % 6 + 1;"
        case 19: return "UPDATE slots SET label = 'label \(turn)' WHERE id = \(id % 6 + 1);"
        case 20:
            return """
                INSERT INTO log VALUES (\(id % 3), 'twin'), (\(id % 3), 'twin'); \
                DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE n = \(other % 3) LIMIT 2);
                """
        default:
            return
                "UPDATE log SET what = 'changed \(turn % 4)' WHERE ctid = (SELECT min(ctid) FROM log WHERE n = \(id % 3));"
        }
    }

    /// What a turn does in one transaction.
    private static func transaction(_ random: inout SeededRandom, _ turn: Int) -> String {
        if random.chance(4) {
            return "BEGIN; TRUNCATE \(random.chance(70) ? "orders" : "log"); \(statement(&random, turn)) COMMIT;"
        }
        var all = "BEGIN; "
        for _ in 0...random.below(4) { all += statement(&random, turn) + " " }
        if random.chance(20) {
            all += "SAVEPOINT s; DELETE FROM orders; DELETE FROM lines; DELETE FROM log; ROLLBACK TO s; "
        }
        return all + (random.chance(10) ? "ROLLBACK;" : "COMMIT;")
    }

    private static func sorted(_ jsonLines: String) throws -> [String] {
        try jsonLines.split(separator: "\n").map { line in
            let row = try JSONValue(parsing: String(line))
            return ["t", "k", "v", "long"].map { row[$0]?.string ?? row[$0]?.serialized ?? "?" }.joined(
                separator: "\u{1F}")
        }.sorted()
    }

    @Test(arguments: Engine.allCases) func everyMomentIsAsTheSourceWas(engine: Engine) async throws {
        let count = setting("MILLRACE_MOMENTS", 50)
        let folder = try temporaryFolder("asof")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        try await source.psql(Self.tables)
        let beforeTheCopy = try await source.value("SELECT pg_current_wal_insert_lsn()")
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { \(target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: asof.duckdb }") }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }

        let seed = UInt64(setting("MILLRACE_SEED", Int.random(in: 1...1_000_000)))
        var random = SeededRandom(seed: seed)
        var moments: [Moment] = []
        var turn = 0
        while moments.count < count {
            var load = ""
            for _ in 0...random.below(6) {
                turn += 1
                load += Self.transaction(&random, turn) + "\n"
            }
            let note = """
                SELECT pg_current_wal_insert_lsn() || ' ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
                SELECT row_to_json(q) FROM (\(Engine.postgres.rows())) q;
                """
            let told = try await source.psql("SET TimeZone = 'UTC';\n" + load + note).split(
                separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let place = told[0].split(separator: " ")
            moments.append(
                Moment(
                    position: String(place[0]), time: String(place[1]),
                    rows: try Self.sorted(told.count > 1 ? String(told[1]) : "")))
        }
        try await source.psql("INSERT INTO log VALUES (99, 'the end')")
        let sizes = moments.map(\.rows.count)
        #expect((sizes.min() ?? 0) < (sizes.max() ?? 0) && Set(moments.map(\.rows)).count > count / 2)

        func asOf(_ moment: String, _ sql: String) async throws -> AgentProcess.Result {
            try await AgentProcess.run(["query", "--format", "jsonl", "--as-of", moment, sql], in: folder)
        }
        let last = try #require(moments.last).position
        let lastTime = try #require(moments.last).time
        try await until("the warehouse has all", [agent]) {
            let positions = try await asOf(last, "select 1 from log")
            return positions.status == 0 ? try await asOf(lastTime, "select 1 from log").status == 0 : false
        }
        for (index, moment) in moments.enumerated() {
            let result = try await asOf(moment.position, engine.rows())
            #expect(result.status == 0, "seed \(seed), moment \(index): \(result.errors)")
            Self.compare(
                try Self.sorted(result.output), moment.rows, "seed \(seed), moment \(index) at \(moment.position)")
            guard index % 5 == 0 else { continue }
            let byTime = try await asOf(moment.time, engine.rows())
            #expect(byTime.status == 0, "seed \(seed), moment \(index): \(byTime.errors)")
            Self.compare(try Self.sorted(byTime.output), moment.rows, "seed \(seed), moment \(index) at \(moment.time)")
        }
        for moment in [beforeTheCopy, "7FFFFFF/0", "2026-01-01", "2999-01-01T00:00:00Z", "yesterday"] {
            let refused = try await asOf(moment, "select 1 from orders")
            #expect(refused.status == 2 && refused.errors.contains("Try:"), "\(moment): \(refused.errors)")
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        for index in [0, count / 2, count - 1] {
            let result = try await asOf(moments[index].position, engine.rows())
            Self.compare(try Self.sorted(result.output), moments[index].rows, "without an agent, moment \(index)")
        }
    }

    /// A source without a log of its own: by time alone; and what can't be shown is refused.
    @Test(arguments: Engine.allCases) func whatCantBeShownIsRefused(engine: Engine) async throws {
        let folder = try temporaryFolder("asoffile")
        defer { try? FileManager.default.removeItem(at: folder) }
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        func write(_ layers: String = "") throws {
            try """
            pipeline: shop
            source: { file: { path: events.jsonl } }
            agent: { listen: "127.0.0.1:0" }
            warehouse: { \(target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: asof.duckdb }") }
            \(layers)
            tables:
              - { source: public.orders, columns: { types: { id: bigint, n: bigint } } }
              - { source: public.drafts, columns: { types: { id: bigint, n: bigint } }, where: "n > 1" }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }
        func event(_ table: String, _ op: String, _ id: Int, _ n: Int, at seconds: Int) -> String {
            let value = """
                {"before":null,"after":\(op == "d" ? "null" : "{\"id\":\(id),\"n\":\(n)}"),"source":{"connector":"postgresql",\
                "schema":"public","table":"\(table)","ts_ms":\(seconds * 1000),"snapshot":null,"txId":\(seconds),\
                "lsn":\(seconds),"sequence":"[\\"\(seconds)\\",\\"\(seconds)\\"]"},"op":"\(op)","ts_ms":1,"transaction":null}
                """
            return JSONValue.object([
                ("topic", .string("shop.public.\(table)")), ("key", .string("{\"id\":\(id)}")),
                ("value", .string(value)),
            ]).serialized
        }
        try write()
        let events = [
            event("orders", "c", 1, 10, at: 100), event("orders", "r", 2, 20, at: 200),
            event("drafts", "c", 1, 5, at: 200),
            event("orders", "u", 1, 11, at: 300), event("orders", "d", 2, 0, at: 400),
            event("orders", "c", 3, 30, at: 500),
        ]
        try (events.joined(separator: "\n") + "\n").write(
            to: folder.appending(path: "events.jsonl"), atomically: true, encoding: .utf8)
        #expect(try await AgentProcess.run(["run", "--until-end"], in: folder).status == 0)
        func rows(_ moment: String, _ sql: String = "select id, n from orders order by id") async throws -> String {
            let result = try await AgentProcess.run(["query", "--format", "csv", "--as-of", moment, sql], in: folder)
            guard result.status == 0 else { return "exit \(result.status): \(result.errors)" }
            return result.output.split(whereSeparator: \.isNewline).dropFirst().joined(separator: ";")
        }
        #expect(try await rows("1970-01-01T00:03:20Z") == "1,10;2,20")
        #expect(try await rows("1970-01-01T00:04:59.999Z") == "1,10;2,20")
        #expect(try await rows("1970-01-01T01:05:00+01:00") == "1,11;2,20")
        #expect(try await rows("1970-01-01T00:06:40Z") == "1,11")
        for (moment, sql, why) in [
            ("1970-01-01T00:01:41Z", "select * from orders", "before"),
            ("1970-01-01T00:08:20Z", "select * from orders", "reached"),
            ("0/64", "select * from orders", "position"), ("100", "select * from orders", "neither"),
            ("1970-01-01T00:06:40Z", "select * from drafts", "where"),
            ("1970-01-01T00:06:40Z", "select * from shop_live.orders", "shop_live.orders"),
            ("1970-01-01T00:06:40Z", "delete from orders", "SELECT"),
            ("1970-01-01T00:06:40Z", "select 1", "names none"),
        ] {
            let found = try await rows(moment, sql)
            #expect(
                found.hasPrefix("exit 2") && found.contains(why) && found.contains("Try:"),
                "\(sql) at \(moment): \(found)")
        }
        try write("layers: { raw: false }")
        let found = try await rows("1970-01-01T00:06:40Z")
        #expect(found.hasPrefix("exit 2") && found.contains("layers"), "\(found)")
    }

    /// Without values: of what differs the table and key.
    private static func compare(_ found: [String], _ expected: [String], _ what: String) {
        guard found != expected else { return }
        let (some, all) = (Set(found), Set(expected))
        func keys(_ rows: Set<String>) -> [String] {
            rows.map {
                $0.split(separator: "\u{1F}", omittingEmptySubsequences: false).map { $0.prefix(60) }.joined(
                    separator: " ")
            }
            .sorted()
        }
        Issue.record(
            "\(what): \(found.count) rows for \(expected.count); extra \(keys(some.subtracting(all)).prefix(4)), missing \(keys(all.subtracting(some)).prefix(4))"
        )
    }
}

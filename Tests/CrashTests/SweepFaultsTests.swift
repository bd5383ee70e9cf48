import DuckDB
import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// Faults by the hundred, of every kind and in columns of every type, planted in the warehouse behind the agent's back: each is
/// told by its key and columns, repaired, and not found again. `MILLRACE_FAULTS`: how many, in both engines; else a few in one.
@Suite(.serialized) struct SweepFaultsTests {
    enum Engine: String, CaseIterable { case duckdb, postgres }

    /// Name, type, and the value of row i; no two rows have the same, but for booleans.
    private static let columns: [(name: String, type: String, value: String)] = [
        ("c_smallint", "smallint", "i"), ("c_int", "int", "i * 7"), ("c_bigint", "bigint", "i::bigint * 4000000000"),
        ("c_numeric", "numeric(12,3)", "i * 1.001"), ("c_any", "numeric", "i + 0.1000"),
        ("c_real", "real", "i / 3.0"), ("c_double", "double precision", "sqrt(i)"), ("c_bool", "boolean", "i % 2 = 0"),
        ("c_text", "text", "repeat('ü''\"' || i, i % 7 + 1)"), ("c_char", "char(8)", "'c' || i"),
        ("c_uuid", "uuid", "md5(i::text)::uuid"), ("c_bytea", "bytea", "decode(md5(i::text), 'hex')"),
        ("c_date", "date", "'0001-01-01 BC'::date + i * 400"),
        ("c_time", "time", "time '00:00' + i * interval '1.5 s'"),
        ("c_ts", "timestamp", "timestamp '1899-01-01' + i * interval '1 day 0.000001 s'"),
        ("c_tstz", "timestamptz", "timestamptz '2026-11-26 00:00+02' + i * interval '17 s'"),
        ("c_interval", "interval", "make_interval(months => i, days => i, secs => i / 8.0)"),
        ("c_json", "json", "('{\"a\" : ' || i || '}')::json"),
        ("c_jsonb", "jsonb", "jsonb_build_object('b', i, 'n', null)"),
        ("c_ints", "int[]", "ARRAY[i, NULL, i + 1]"), ("c_texts", "text[]", "ARRAY['a,' || i, '', NULL]"),
        ("c_inet", "inet", "('10.0.' || i / 250 || '.' || i % 250)::inet"),
    ]
    private static let rows = max(400, setting("MILLRACE_FAULTS", 160) * 2)
    private static let tables = ["one", "two"]

    private struct Fault {
        var sql: String
        /// `kind key columns`.
        var told: [String]
    }

    /// Of row `id`; the row behind it is `id + 1`, which is no other fault's.
    private static func fault(_ number: Int, _ id: Int) -> Fault {
        let column = columns[number / 8 % columns.count].name
        let different = "different \(id) \(column)"
        switch number % 8 {
        case 0: return Fault(sql: "UPDATE @ SET \(column) = NULL WHERE id = \(id);", told: [different])
        case 1:
            // Another row's value, of a column in which all differ.
            let other = column == "c_bool" ? "c_int" : column
            return Fault(
                sql: "UPDATE @ SET \(other) = (SELECT \(other) FROM @ WHERE id = \(id + 1)) WHERE id = \(id);",
                told: ["different \(id) \(other)"])
        case 2: return Fault(sql: "DELETE FROM @ WHERE id = \(id);", told: ["missing \(id) "])
        case 3: return Fault(sql: "UPDATE @ SET is_deleted = true WHERE id = \(id);", told: ["wrongly_deleted \(id) "])
        case 4:
            return Fault(
                sql: """
                    INSERT INTO @ (id, c_int, is_deleted, _version_epoch, _version_commit, _version_seq)
                    VALUES (\(id + 100_000), 1, false, 0, 1, 2);
                    """, told: ["extra \(id + 100_000) "])
        case 5:
            // Both rows have what the other should: sums over the column's values stay.
            return Fault(
                sql: """
                    UPDATE @ SET c_int = CASE id WHEN \(id) THEN \((id + 1) * 7) ELSE \(id * 7) END
                    WHERE id IN (\(id), \(id + 1));
                    """, told: ["different \(id) c_int", "different \(id + 1) c_int"])
        case 6:
            // Twice the same in two rows: it would cancel under xor.
            return Fault(
                sql: "UPDATE @ SET c_text = 'same' WHERE id IN (\(id), \(id + 1));",
                told: ["different \(id) c_text", "different \(id + 1) c_text"])
        default:
            return Fault(
                sql: "UPDATE @ SET is_deleted = false, c_int = 5 WHERE id = \(id + 200_000);",
                told: ["undeleted \(id + 200_000) "])
        }
    }

    private static let engines = setting("MILLRACE_FAULTS", 0) > 0 ? Engine.allCases : [.duckdb]

    @Test(arguments: engines) func eachIsFoundAndRepaired(engine: Engine) async throws {
        let faults = setting("MILLRACE_FAULTS", 160)
        let folder = try temporaryFolder("sweepfaults")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let list = Self.columns.map { "\($0.name) \($0.type)" }.joined(separator: ", ")
        let values = Self.columns.map(\.value).joined(separator: ", ")
        for table in Self.tables {
            try await source.psql(
                """
                CREATE TABLE \(table) (id int PRIMARY KEY, \(list));
                INSERT INTO \(table) SELECT i, \(values) FROM generate_series(1, \(Self.rows)) i;
                INSERT INTO \(table) (id) SELECT i + 200000 FROM generate_series(1, \(Self.rows)) i;
                """)
        }
        let warehouse = target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: faults_wh.duckdb }"
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { \(warehouse) }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        var agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        // Those that are to be undeleted.
        for table in Self.tables { try await source.psql("DELETE FROM \(table) WHERE id > 200000") }
        func sweep(_ arguments: String..., exit: Int32) async throws -> [String: JSONValue] {
            let result = try await AgentProcess.run(["sweep", "--json"] + arguments, in: folder)
            #expect(result.status == exit, "\(result.output.prefix(2000)) \(result.errors)")
            let report = try JSONValue(parsing: result.output)
            return Dictionary(
                (report["tables"]?.array ?? []).map { ($0["source"]?.string ?? "", $0) },
                uniquingKeysWith: { first, _ in first })
        }
        let clean = try await sweep(exit: 0)
        #expect(clean.count == 2 && clean.values.allSatisfy { $0["equal"]?.bool == true })
        #expect(clean.values.allSatisfy { $0["uncovered"]?.array?.isEmpty == true })

        var planted: [String: [Fault]] = [:]
        for number in 0..<faults {
            planted[Self.tables[number % 2], default: []].append(Self.fault(number / 2, 1 + number / 2 * 2))
        }
        let sql = planted.map { table, faults in
            faults.map { $0.sql.replacing("@", with: "shop.\(table)") }.joined(separator: "\n")
        }.joined(separator: "\n")
        if let target {
            try await target.psql(sql)
        } else {
            agent.signal(SIGTERM)
            #expect(await agent.wait().status == 0)
            let connection = try await Connection.open(path: folder.appending(path: "faults_wh.duckdb").path)
            try await connection.run(sql, purpose: "tampering")
            await connection.close()
            agent = try AgentProcess(["run"], in: folder)
            try await until("it streams again", [agent]) { agent.said().contains("streaming slot") }
        }
        let found = try await sweep(exit: 4)
        for table in Self.tables {
            let told = Set(
                (found["public.\(table)"]?["differences"]?.array ?? []).map { difference in
                    func list(_ name: String) -> String {
                        difference[name]?.array?.compactMap(\.string).joined(separator: "/") ?? ""
                    }
                    return "\(difference["kind"]?.string ?? "") \(list("key")) \(list("columns"))"
                })
            let wanted = Set((planted[table] ?? []).flatMap(\.told))
            #expect(
                told == wanted,
                "\(engine), \(table): not told \(wanted.subtracting(told).sorted().prefix(5)), told for nothing \(told.subtracting(wanted).sorted().prefix(5))"
            )
        }
        // Killed in the middle of the repair: the next start goes on with it by itself.
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        agent = try AgentProcess(["run"], in: folder, environment: ["MILLRACE_CRASH_AT": "mend:1"])
        try await until("it streams again", [agent]) { agent.said().contains("streaming slot") }
        let repair = try await AgentProcess.run(["sweep", "--repair"], in: folder)
        #expect(repair.status == 3 && repair.errors.contains("goes on with the sweep"), "\(repair.errors)")
        #expect(await agent.wait().status != 0)
        agent = try AgentProcess(["run"], in: folder)
        try await until("the repair is through", [agent]) {
            guard agent.said().contains("going on with a sweep") else { return false }
            let status = try JSONValue(parsing: try await AgentProcess.run(["status", "--json"], in: folder).output)
            return (status["tables"]?.array ?? []).count { $0["sweep"]?["equal"]?.bool == true } == 2
        }
        #expect(!agent.said().contains("resynced"), "rows are mended one by one")
        let again = try await sweep(exit: 0)
        #expect(again.values.allSatisfy { $0["equal"]?.bool == true && $0["repaired"]?.int64 == 0 })
        print("sweep faults: \(faults) in \(engine.rawValue), each told, repaired through a kill")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
    }
}

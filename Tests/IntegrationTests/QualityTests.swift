import Agent
import Foundation
import JSON
import Replication
import Testing

/// Every kind of expectation over whole tables, passing and failing, in both warehouses.
@Suite struct QualityTests {
    private static let secret = "4111-1111-1111-1111"

    private static let schema = """
        CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
        CREATE TABLE customers (id int PRIMARY KEY, name text);
        INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 5) i;
        CREATE TABLE orders (id bigint PRIMARY KEY, code text, customer int, qty int, amount numeric(12,2), wide numeric,
            status varchar(10), at timestamptz, "odd "" name" text, a int, b text, feeling mood, ratio double precision,
            card text, price numeric(10,2), free numeric);
        INSERT INTO orders SELECT i, 'AB' || i, 1 + i % 5, i, i * 10.50, i * 100000000000000000000000000000000000000000.5,
            CASE WHEN i % 2 = 0 THEN 'paid' ELSE 'pending' END, '2024-01-01T00:00:00Z'::timestamptz + i * interval '1 day',
            'x', i, 'b', 'ok', i / 10.0, '\(secret)', i, (i || '.0')::numeric FROM generate_series(1, 10) i;
        INSERT INTO orders (id, code, customer, qty, amount, wide, status, at, "odd "" name", a, b, ratio, card, price, free) VALUES
            (11, NULL, 99, -1, 0.01, 'NaN', 'lost', 'infinity', '''; DROP TABLE x; --', 1, 'b', 'NaN', '\(secret)', 1.50, 2.00),
            (12, 'ab12', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'b', NULL, '\(secret)', NULL, NULL),
            (13, 'gone', 98, -5, -1, -1, 'gone', '1999-01-01', 'gone', 2, 'b', -1, '\(secret)', 1, 1);
        CREATE TABLE log (what text, n int);
        ALTER TABLE log REPLICA IDENTITY FULL;
        INSERT INTO log VALUES ('a', 1), ('a', 1), (NULL, 2);
        """

    /// With how many rows are looked at, how many of them fail, and which are named.
    private static let rules: [(yaml: String, rows: Int64, failing: Int64, keys: [Int64])] = [
        ("{ expect: not_null, column: id }", 12, 0, []),
        ("{ expect: not_null, column: code }", 12, 1, [11]),
        ("{ expect: between, column: qty, min: -1, max: 10 }", 11, 0, []),
        ("{ expect: between, column: qty, min: 0, max: 9.5 }", 11, 2, [10, 11]),
        ("{ expect: between, column: amount, min: 0.01, max: 105 }", 11, 0, []),
        ("{ expect: between, column: amount, min: 0.011 }", 11, 1, [11]),
        ("{ expect: between, column: wide, min: 100000000000000000000000000000000000000000.5 }", 11, 1, [11]),
        ("{ expect: between, column: wide, max: 1000000000000000000000000000000000000000004.9 }", 11, 2, [10, 11]),
        ("{ expect: between, column: ratio, min: 0.1, max: 1.0 }", 11, 1, [11]),
        ("{ expect: between, column: at, min: 2024-01-02 }", 11, 0, []),
        ("{ expect: between, column: at, max: '2024-01-10T00:00:00Z' }", 11, 2, [10, 11]),
        ("{ expect: in_set, column: status, values: [paid, pending, lost] }", 11, 0, []),
        ("{ expect: in_set, column: status, values: [paid, pending] }", 11, 1, [11]),
        ("{ expect: in_set, column: feeling, values: [ok] }", 10, 0, []),
        (
            "{ expect: in_set, column: wide, values: ['NaN', 100000000000000000000000000000000000000000.50] }", 11, 9,
            Array(2...10)
        ),
        ("{ expect: not_in_set, column: 'odd \" name', values: [\"'; DROP TABLE x; --\"] }", 11, 1, [11]),
        ("{ expect: not_in_set, column: status, values: [gone] }", 11, 0, []),
        ("{ expect: matches, column: code, regex: '^[A-Z]{2}\\d+$' }", 11, 1, [12]),
        ("{ expect: matches, column: code, regex: '(?i)^ab' }", 11, 0, []),
        ("{ expect: not_matches, column: code, regex: '^ab' }", 11, 1, [12]),
        ("{ expect: length, column: code, min: 3, max: 4 }", 11, 0, []),
        ("{ expect: length, column: code, max: 3 }", 11, 2, [10, 12]),
        ("{ expect: unique, column: id }", 12, 0, []),
        ("{ expect: unique, column: a }", 11, 2, [1, 11]),
        ("{ expect: unique, columns: [a, qty] }", 11, 0, []),
        ("{ expect: unique, column: wide }", 11, 0, []),
        ("{ expect: unique, column: b }", 12, 12, Array(1...10)),
        ("{ expect: foreign_key, column: customer, references: public.customers }", 11, 1, [11]),
        ("{ expect: foreign_key, column: a, references: public.orders, to: id }", 11, 0, []),
        ("{ expect: foreign_key, column: price, references: public.customers }", 11, 6, Array(6...11)),
        ("{ expect: foreign_key, column: free, references: public.customers }", 11, 5, Array(6...10)),
        ("{ expect: foreign_key, column: price, references: public.orders, to: free }", 11, 1, [11]),
        ("{ expect: foreign_key, column: a, references: public.orders, to: price }", 11, 0, []),
        ("{ expect: expression, sql: \"count(*) over (partition by a) = 1\" }", 12, 2, [1, 11]),
        ("{ expect: expression, sql: \"qty >= -1 or status = ')'\" }", 11, 0, []),
        ("{ expect: expression, sql: \"amount > 1 -- of \\\"orders\\\"\" }", 11, 1, [11]),
        ("{ expect: not_null, column: code, mostly: 0.9 }", 12, 1, [11]),
        ("{ expect: not_null, column: code, mostly: 0.92 }", 12, 1, [11]),
    ]

    private static let mostly = [rules.count - 2]

    private func report(_ run: PipelineRun, _ selection: TableSelection = .all) async throws -> QualityReport {
        let setup = try run.setup
        return try await run.looking { warehouse, _ in
            try await setup.control(warehouse, catalog: nil, running: nil).quality(selection)
        }
    }

    private func shop(_ engine: Engine, _ name: String, tables: String) async throws -> PipelineRun {
        let source = try await SourceDatabase("quality_\(name)_\(engine.rawValue)", Self.schema)
        let run = try await source.pipeline(engine, rest: tables)
        try await run.untilEnd()
        // Rows that are deleted don't count.
        try await source.sql("DELETE FROM orders WHERE id = 13")
        try await run.untilEnd()
        return run
    }

    @Test(arguments: Engine.allCases) func everyKind(engine: Engine) async throws {
        let rules = Self.rules.map { "      - \($0.yaml)" }.joined(separator: "\n")
        let run = try await shop(
            engine, "kinds", tables: "tables:\n  - source: public.orders\n    quality:\n\(rules)")
        let report = try await report(run)
        let table = try #require(report.tables.first)
        #expect(report.tables.count == 1 && table.source == "public.orders" && table.reason == nil)
        try #require(table.rules.count == Self.rules.count)
        for (index, wanted) in Self.rules.enumerated() {
            let rule = table.rules[index]
            let what = "\(engine): \(wanted.yaml)"
            #expect(rule.rows == wanted.rows && rule.failing == wanted.failing, "\(what): \(rule)")
            #expect(rule.keys == wanted.keys.map { "{\"id\":\($0)}" }, "\(what): \(rule.keys)")
            let passes = wanted.failing == 0 || Self.mostly.contains(index)
            #expect(rule.verdict == (passes ? .pass : .fail), "\(what): \(rule)")
        }
        #expect(!report.json.serialized.contains("4111") && !report.json.serialized.contains("DROP"))
        #expect(QualityReport(json: try JSONValue(parsing: report.json.serialized)) == report)
        #expect(try await self.report(run, .named(["orders"])) == report)
        await #expect(throws: CommandFailure.self) { _ = try await self.report(run, .named(["customers"])) }
    }

    @Test(arguments: Engine.allCases) func whatCantBeHeldAgainstTheTable(engine: Engine) async throws {
        let rules: [(yaml: String, why: String)] = [
            ("{ expect: not_null, column: nope }", "no column nope"),
            ("{ expect: between, column: code, min: 1 }", ""),
            ("{ expect: between, column: qty, min: many }", "no whole number"),
            ("{ expect: length, column: qty, min: 1 }", "for texts"),
            ("{ expect: unique, columns: [id, nope] }", "no column nope"),
            ("{ expect: foreign_key, column: customer, references: public.nowhere }", "isn't replicated"),
            ("{ expect: foreign_key, column: code, references: public.customers }", "is integer"),
            ("{ expect: foreign_key, column: a, references: public.log }", "0 to hold them against"),
            ("{ expect: expression, sql: nope > 1 }", "can't evaluate it"),
            ("{ expect: expression, sql: \"cast(card as integer) > 1\" }", "can't evaluate it"),
            ("{ expect: not_null, column: id }", ""),
        ]
        let lines = rules.map { "      - \($0.yaml)" }.joined(separator: "\n")
        let run = try await shop(
            engine, "misfits", tables: "tables:\n  - source: public.orders\n    quality:\n\(lines)")
        let report = try await report(run)
        for (index, rule) in (report.tables.first?.rules ?? []).enumerated() {
            let wanted = rules[index]
            if wanted.why.isEmpty {
                #expect(rule.verdict == .pass || rule.verdict == .fail, "\(rule)")
            } else {
                #expect(rule.verdict == .misfit && rule.reason?.contains(wanted.why) == true, "\(engine): \(rule)")
                #expect(rule.remedy != nil)
            }
        }
        #expect(!report.json.serialized.contains("4111"), "an error holds no value of a row")
    }

    @Test(arguments: Engine.allCases) func tablesWithoutAKeyAndCounts(engine: Engine) async throws {
        let run = try await shop(
            engine, "counts",
            tables: """
                tables:
                  - source: public.log
                    quality:
                      - { expect: not_null, column: what }
                      - { expect: unique, columns: [what, n] }
                      - { expect: row_count, min: 3, max: 3 }
                      - { expect: row_count, min: 4 }
                      - { expect: row_count, max: 2 }
                      - { expect: row_count, max_change: 0.5 }
                  - source: public.later
                    quality: [{ expect: not_null, column: id }]
                """)
        let report = try await report(run)
        let rules = try #require(report.tables.first).rules
        #expect(rules.prefix(2).map(\.failing) == [1, 2] && rules.prefix(2).allSatisfy { $0.keys.isEmpty })
        #expect(rules.dropFirst(2).map(\.verdict) == [.pass, .fail, .fail, .unknown], "\(rules)")
        #expect(rules[3].reason == "3 rows, fewer than 4" && rules[4].reason == "3 rows, more than 2")
        #expect(rules[5].reason?.contains("yesterday") == true)
        #expect(report.tables.last?.reason == "nothing of it has been replicated yet")
    }

    /// A source's times tell how many rows there were a day ago.
    @Test(arguments: Engine.allCases) func theCountOfYesterday(engine: Engine) async throws {
        let now_ms = Int64(Date().timeIntervalSince1970 * 1000)
        func line(_ id: Int, hoursAgo: Int64) -> Data {
            let value = JSONText.quoted(
                #"{"before":null,"after":{"id":\#(id)},"source":{"connector":"postgresql","schema":"public","table":"items","#
                    + #""ts_ms":\#(now_ms - hoursAgo * 3_600_000),"snapshot":null,"txId":\#(id),"lsn":\#(id),"#
                    + #""sequence":"[\"\#(id)\",\"\#(id)\"]"},"op":"c","ts_ms":1,"transaction":null}"#)
            return Data(#"{"topic":"shop.public.items","key":"{\"id\":\#(id)}","value":\#(value)}"#.utf8)
        }
        let folder = try TestFolder()
        try folder.write(
            (1...10).map { line($0, hoursAgo: 48) } + (11...15).map { line($0, hoursAgo: 1) }, to: "e.jsonl")
        let run = try await PipelineRun(
            "quality_yesterday", engine, source: "  file: { path: \(folder.path("e.jsonl")) }",
            rest: """
                tables:
                  - source: public.items
                    columns: { types: { id: bigint } }
                    quality:
                      - { expect: row_count, max_change: 0.5 }
                      - { expect: row_count, max_change: 0.49 }
                """, folder: folder)
        try await run.untilEnd()
        let rules = try #require(try await report(run).tables.first).rules
        #expect(rules.map(\.verdict) == [.pass, .fail], "\(rules)")
        #expect(rules[1].reason == "15 rows, and 10 24 hours ago: a change of more than 0.49 of them")
    }

    /// A suite of Great Expectations over a replicated table.
    @Test(arguments: Engine.allCases) func aSuite(engine: Engine) async throws {
        let source = try await SourceDatabase("quality_suite_\(engine.rawValue)", Self.schema)
        let folder = try TestFolder()
        try folder.write(
            [
                Data(
                    #"""
                    {"expectation_suite_name": "orders", "expectations": [
                      {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "id"}, "meta": {"severity": "hard"}},
                      {"expectation_type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["customer", "b"]}, "meta": {"severity": "soft"}},
                      {"expectation_type": "expect_column_to_exist", "kwargs": {"column": "nope"}, "meta": {"severity": "soft"}},
                      {"expectation_type": "expect_column_mean_to_be_between", "kwargs": {"column": "qty"}, "meta": {"severity": "soft"}}
                    ], "meta": {}}
                    """#.utf8)
            ], to: "orders.gx.json")
        let run = try await source.pipeline(
            engine, rest: "tables: [{ source: public.orders, quality_suite: orders.gx.json }]", folder: folder)
        try await run.untilEnd()
        let table = try #require(try await report(run).tables.first)
        #expect(table.rules.map(\.verdict) == [.pass, .fail, .fail], "\(table.rules)")
        #expect(table.rules[1].rows == 13 && table.rules[1].failing == 10)
        #expect(table.unmapped.map(\.reason) == ["there is nothing like it here"])
    }
}

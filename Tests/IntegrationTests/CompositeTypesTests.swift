import Agent
import Replication
import Testing

/// Composites that aren't what they were when their table was made.
@Suite struct CompositeTypesTests {
    private func rows(_ run: PipelineRun, _ table: String, _ column: String = "p") async throws -> [String] {
        try await values(run, "\(try run.setup.layout.live).\(table)", column)
    }

    private func history(_ run: PipelineRun, _ table: String) async throws -> [String] {
        try await values(run, "\(try run.setup.layout.history).\(table)", "p")
    }

    private func values(_ run: PipelineRun, _ view: String, _ column: String) async throws -> [String] {
        try await run.looking { warehouse, _ in
            try await warehouse.query(
                "SELECT CAST(id AS VARCHAR), CAST(\(column) AS VARCHAR) FROM \(view) ORDER BY id", rows_max: 99
            ).rows.map { "\($0[0] ?? "")|\($0[1] ?? "NULL")" }
        }
    }

    private func reasons(_ run: PipelineRun) async throws -> [String] {
        try await run.looking { warehouse, _ in try await warehouse.quarantine().map(\.entry.reason) }
    }

    @Test(arguments: Engine.allCases) func aTypeGetsAndLosesFields(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "pairs_\(engine.rawValue)",
            """
            CREATE TYPE pair AS (a int, b text);
            CREATE TABLE pairs (id int PRIMARY KEY, p pair, ps pair[]);
            INSERT INTO pairs VALUES (1, ROW(1, 'x'), ARRAY[ROW(1, 'x')::pair]);
            """)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let isDuckDB = engine == .duckdb
        #expect(try await rows(run, "pairs") == [isDuckDB ? "1|{'a': 1, 'b': x}" : "1|(1,x)"])

        try await source.sql(
            """
            ALTER TYPE pair ADD ATTRIBUTE c int;
            INSERT INTO pairs VALUES (2, ROW(2, 'y', NULL), '{}'), (3, ROW(3, 'z', 5), '{}'),
                (4, NULL, ARRAY[ROW(4, 'z', 5)::pair]);
            """)
        try await run.untilEnd()
        var wanted =
            isDuckDB
            ? [
                "1|{'a': 1, 'b': x, 'c': NULL}", "2|{'a': 2, 'b': y, 'c': NULL}", "3|{'a': 3, 'b': z, 'c': 5}",
                "4|NULL",
            ]
            : ["1|(1,x)", "2|(2,y,)", "3|(3,z,5)", "4|NULL"]
        #expect(try await rows(run, "pairs") == wanted)
        #expect(try await history(run, "pairs") == wanted)

        // Another field stands in the place of b.
        try await source.sql(
            """
            ALTER TYPE pair DROP ATTRIBUTE b;
            INSERT INTO pairs VALUES (5, ROW(5, NULL), ARRAY[ROW(5, 6)::pair]), (6, ROW(6, 7), '{}');
            """)
        try await run.untilEnd()
        wanted +=
            isDuckDB
            ? ["5|{'a': 5, 'b': NULL, 'c': NULL}", "6|{'a': 6, 'b': NULL, 'c': 7}"] : ["5|(5,)", "6|(6,7)"]
        #expect(try await rows(run, "pairs") == wanted)
        #expect(try await history(run, "pairs") == wanted)
        #expect(
            try await rows(run, "pairs", "ps").suffix(2)
                == (isDuckDB ? ["5|[{'a': 5, 'b': NULL, 'c': 6}]", "6|[]"] : ["5|{\"(5,6)\"}", "6|{}"]))
        #expect(try await reasons(run) == [])
    }

    /// A table of before composites were known has them as text, and keeps that.
    @Test(arguments: Engine.allCases) func aColumnKeepsTheTypeThatItHas(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "earlier_\(engine.rawValue)",
            """
            CREATE TYPE pair AS (a int, b text);
            CREATE TABLE pairs (id int PRIMARY KEY, p pair);
            INSERT INTO pairs VALUES (1, ROW(1, 'x y'));
            """)
        let rest = """
            tables:
              - source: public.pairs
                columns: { types: { p: public.pair } }
            """
        var run = try await source.pipeline(engine, rest: rest)
        try await run.untilEnd()
        run.yaml = run.yaml.replacing(rest, with: "")
        try await source.sql(
            "INSERT INTO pairs VALUES (2, ROW(NULL, NULL)); UPDATE pairs SET p = ROW(3, 'z') WHERE id = 1")
        try await run.untilEnd()
        #expect(try await rows(run, "pairs") == ["1|(3,z)", "2|(,)"])
        #expect(try await reasons(run) == [])
        let layout = try run.setup.layout
        let history = try await run.looking { warehouse, _ in
            try await warehouse.query("SELECT p FROM \(layout.history).pairs ORDER BY id, valid_from", rows_max: 9).rows
        }
        #expect(Set(history.map { $0[0] }) == ["(1,\"x y\")", "(3,z)", "(,)"])
    }

    /// Numbers keep their digits in the widest rows, and NULL is another thing than a row of NULLs.
    @Test func fieldsAreReadByTheirNames() async throws {
        let source = try await SourceDatabase(
            "fields",
            """
            CREATE TYPE item AS (sku text, price numeric(20,3));
            CREATE TYPE basket AS (owner text, items item[]);
            CREATE TABLE orders (id int PRIMARY KEY, p basket);
            INSERT INTO orders VALUES (1, ROW('ann', ARRAY[ROW('a"b', 12345678901234567.125)::item])), (2, NULL),
                (3, ROW(NULL, NULL));
            """)
        let run = try await source.pipeline(.duckdb)
        try await run.untilEnd()
        let layout = try run.setup.layout
        for view in [layout.live, layout.history] {
            let rows = try await run.looking { warehouse, _ in
                try await warehouse.query(
                    """
                    SELECT id, p.owner, p.items[1].sku, CAST(p.items[1].price AS VARCHAR), p IS NULL FROM \(view).orders ORDER BY id
                    """, rows_max: 9
                ).rows.map { $0.map { $0 ?? "NULL" }.joined(separator: "|") }
            }
            #expect(
                rows == [
                    "1|ann|a\"b|12345678901234567.125|false", "2|NULL|NULL|NULL|true", "3|NULL|NULL|NULL|false",
                ], "\(view)")
        }
    }
}

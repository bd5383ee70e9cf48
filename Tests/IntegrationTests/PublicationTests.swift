import Agent
import Foundation
import Replication
import Testing

/// Publications that somebody else keeps: what leaves them and comes back, and what they have that we may not read.
@Suite struct PublicationTests {
    /// What happened to a table while it was out of the publication is in no stream, also where the agent was down
    /// for both.
    @Test(arguments: Engine.allCases) func aTableThatCameBackIsCopiedAnew(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "back_\(engine.rawValue)",
            """
            CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, 1 FROM generate_series(1, 50) i;
            CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO b SELECT i, 1 FROM generate_series(1, 50) i;
            """)
        let run = try await source.pipeline(engine)
        let tables = ["public.a", "public.b"]
        try await run.untilEnd()
        try await source.sql(
            """
            ALTER PUBLICATION millrace_\(run.name) DROP TABLE b;
            UPDATE b SET v = 2 WHERE id < 10; DELETE FROM b WHERE id > 40; UPDATE a SET v = 2 WHERE id < 10;
            ALTER PUBLICATION millrace_\(run.name) ADD TABLE b;
            UPDATE b SET v = 3 WHERE id = 20;
            """)
        let second = try await run.untilEnd()
        try await source.expectEqual(run, tables, "after it came back")
        #expect(second.events < 100, "only the table that was out is copied")
        let third = try await run.untilEnd()
        #expect(third.events == 0, "once")

        // Rows that a row filter kept out come by the copy only.
        try await source.sql(
            "ALTER PUBLICATION millrace_\(run.name) SET TABLE a, b WHERE (id <= 15)")
        try await run.untilEnd()
        try await source.sql(
            """
            INSERT INTO b VALUES (200, 9);
            ALTER PUBLICATION millrace_\(run.name) SET TABLE a, b;
            """)
        try await run.untilEnd()
        try await source.expectEqual(run, tables, "after the filter went")
    }

    @Test(arguments: Engine.allCases) func aSchemaThatMayNotBeUsedIsRefusedAlone(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "usage_\(engine.rawValue)",
            """
            CREATE ROLE reader_\(engine.rawValue) LOGIN REPLICATION;
            CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1); GRANT SELECT ON a TO reader_\(engine.rawValue);
            CREATE SCHEMA shut; CREATE TABLE shut.b (id int PRIMARY KEY); INSERT INTO shut.b VALUES (1);
            GRANT SELECT ON shut.b TO reader_\(engine.rawValue);
            """)
        var run = try await source.pipeline(engine)
        try await source.sql("CREATE PUBLICATION millrace_\(run.name) FOR TABLE a, shut.b")
        run.yaml = run.yaml.replacing("postgres://postgres@", with: "postgres://reader_\(engine.rawValue)@")
        if engine == .postgres {
            // The warehouse's user stays.
            run.yaml = run.yaml.replacing(
                "warehouse:\n  postgres: { url: \"postgres://reader_postgres@",
                with: "warehouse:\n  postgres: { url: \"postgres://postgres@")
        }
        let status = try await run.untilEnd()
        #expect(status.progress.refused.keys.map(\.description) == ["shut.b"], "\(status.progress.refused)")
        try await source.expectEqual(run, ["public.a"])
        try await source.sql("GRANT USAGE ON SCHEMA shut TO reader_\(engine.rawValue)")
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.a", "shut.b"])
    }
}

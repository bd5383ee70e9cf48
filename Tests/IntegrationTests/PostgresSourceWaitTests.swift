import Agent
import Foundation
import Postgres
import Replication
import Testing
import ThrowawayPostgres

/// What the source makes wait: slots and snapshots come into being only once the transactions that are open have ended,
/// which may take hours.
@Suite(.timeLimit(.minutes(3))) struct PostgresSourceWaitTests {
    /// A server of its own, as open transactions make all its databases wait, and a transaction that is open.
    private struct Held {
        let source: SourceDatabase
        let holder: Session

        init(_ sql: String) async throws {
            var options = ThrowawayPostgres.Options()
            options.settings = ["max_replication_slots": "10"]
            let server = try await ThrowawayPostgres.start(options)
            try await server.psql("CREATE DATABASE held")
            source = SourceDatabase("held", on: server)
            try await source.sql(sql)
            holder = try Session(url: source.url)
        }

        func begin() throws { try holder.execute("BEGIN; SELECT pg_current_xact_id()", for: "hold a transaction") }
        func end() throws { try holder.execute("ROLLBACK", for: "let it go") }

        /// Somebody waits for a slot, temporary or not.
        func isWaitedFor(_ kind: String = "") async throws -> Bool {
            try await source.sql(
                """
                SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' \
                AND query LIKE 'CREATE_REPLICATION_SLOT%\(kind)%' AND state = 'active'
                """
            ).trimmingCharacters(in: .whitespacesAndNewlines) != "0"
        }
    }

    @Test func aStopEndsTheWaitForASlot() async throws {
        let held = try await Held("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1)")
        let run = try await held.source.pipeline(.duckdb)
        try held.begin()
        try await run.whileRunning { _, _ in
            try await PostgresSourceTests.until("the slot is waited for") { try await held.isWaitedFor() }
        }
        #expect(try await held.source.sql("SELECT count(*) FROM pg_replication_slots").contains("0"))
        try held.end()
        try await run.untilEnd()
        try await held.source.expectEqual(run, ["public.a"])
    }

    @Test func theStreamGoesOnWhileASnapshotIsMade() async throws {
        let held = try await Held("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1)")
        let run = try await held.source.pipeline(.duckdb)
        let name = run.name
        try await run.untilEnd()
        try held.begin()
        try await run.whileRunning { _, warehouse in
            func count(_ table: String) async throws -> String? {
                try? await warehouse.query("select count(*) from \(name)_live.\(table)", rows_max: 1).rows[0][0]
            }
            try await held.source.sql(
                "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 100)")
            try await PostgresSourceTests.until("its snapshot is waited for") {
                try await held.isWaitedFor("TEMPORARY")
            }
            try await held.source.sql("INSERT INTO a VALUES (2, 2); INSERT INTO b VALUES (101)")
            try await PostgresSourceTests.until("the other table is streamed") { try await count("a") == "2" }
            #expect(try await held.isWaitedFor("TEMPORARY"))
            try held.end()
            try await PostgresSourceTests.until("the new table is copied") { try await count("b") == "101" }
        }
        try await held.source.expectEqual(run, ["public.a", "public.b"])
    }

    @Test func aStopEndsTheWaitForASnapshot() async throws {
        let held = try await Held(
            "CREATE TABLE a (v int); ALTER TABLE a REPLICA IDENTITY FULL; INSERT INTO a VALUES (1)")
        let run = try await held.source.pipeline(.duckdb)
        try await held.source.sql(
            """
            CREATE PUBLICATION millrace_\(run.name) FOR TABLE a;
            SELECT pg_create_logical_replication_slot('millrace_\(run.name)', 'pgoutput');
            """)
        try held.begin()
        // Of a table without a key the stream itself waits.
        try await run.whileRunning { _, _ in
            try await PostgresSourceTests.until("the snapshot is waited for") {
                try await held.isWaitedFor("TEMPORARY")
            }
        }
        try held.end()
        try await run.untilEnd()
        try await held.source.expectEqual(run, ["public.a"])
    }
}

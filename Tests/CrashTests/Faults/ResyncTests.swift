import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// What stands in the way of a resync deletes nothing.
@Suite(.serialized) struct ResyncTests {
    private func run(_ folder: URL, _ arguments: String...) async throws -> AgentProcess.Result {
        try await AgentProcess(arguments, in: folder).wait()
    }

    private func state(_ folder: URL, _ table: String) async throws -> String? {
        let status = try? JSONValue(parsing: try await run(folder, "status", "--json").output)
        return status?["tables"]?.array?.first { $0["source"]?.string == table }?["state"]?.string
    }

    private func write(_ folder: URL, _ source: ThrowawayPostgres, _ warehouse: String) throws {
        try """
        pipeline: again
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { \(warehouse) }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    /// Its row stays as it was: the warehouse can't tell it from one that the source no longer has.
    @Test func aRowThatIsPutAsideIsNotDeleted() async throws {
        let folder = try temporaryFolder("again")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = try await ThrowawayPostgres.start()
        try await source.psql(
            "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 1000) i"
        )
        try write(folder, source, "postgres: { url: \"\(target.url())\" }")
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        try await target.psql(
            """
            ALTER TABLE again.t ADD CONSTRAINT c CHECK (id <> 7 OR v = 'old') NOT VALID;
            UPDATE again.t SET v = 'old' WHERE id = 7; DELETE FROM again.t WHERE id = 9
            """)
        #expect(try await run(folder, "resync", "t").status == 0)
        try await until("it has ended", [agent]) { try await state(folder, "public.t") == "error" }
        try await until("it says so", [agent]) { agent.said().contains("1 records were put aside") }
        #expect(try await target.value("SELECT is_deleted, v FROM again.t WHERE id = 7") == "f|old")
        #expect(try await target.number("SELECT count(*) FROM again_live.t") == 1000, "row 9 is back")

        // Mended, it is resynced.
        try await target.psql("ALTER TABLE again.t DROP CONSTRAINT c")
        #expect(try await run(folder, "quarantine", "discard", "--all").status == 0)
        #expect(try await run(folder, "resync", "t").status == 0)
        try await until("it is resynced", [agent]) { agent.said().contains("1000 rows resynced") }
        try await until("it streams", [agent]) { try await state(folder, "public.t") == "streaming" }
        #expect(try await target.value("SELECT is_deleted, v FROM again.t WHERE id = 7") == "f|v7")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await source.remove()
        await target.remove()
    }

    /// The snapshot waits for open transactions; what is made meanwhile is in it.
    @Test func aPartitionThatIsMadeMeanwhileIsRead() async throws {
        let folder = try temporaryFolder("again")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        try await source.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
            CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (1) TO (1000);
            INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 500) i; CREATE TABLE other (id int PRIMARY KEY)
            """)
        try write(folder, source, "duckdb: { path: again_wh.duckdb }")
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        let open = Task { await source.beside("BEGIN; INSERT INTO other VALUES (1); SELECT pg_sleep(600);") }
        let sleeping =
            "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()"
        try await until("a transaction is open", [agent]) {
            try await source.number("SELECT count(*) \(sleeping)") == 1
        }
        #expect(try await run(folder, "resync", "t").status == 0)
        try await until("its copy is planned", [agent]) { agent.said().contains("it is resynced") }
        try await source.psql(
            """
            CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (1000) TO (2000);
            INSERT INTO t SELECT i, 'v' || i FROM generate_series(1000, 1299) i; DELETE FROM t WHERE id <= 100
            """)
        try await source.psql("SELECT pg_terminate_backend(pid) \(sleeping)")
        await open.value
        try await until("it is resynced", [agent]) { agent.said().contains("rows resynced") }
        #expect(agent.said().contains("700 rows resynced"), "\(agent.said().suffix(600))")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        #expect(try await run(folder, "run", "--until-end").status == 0)
        let sum = "select concat(count(*), ' ', sum(id))"
        let found = try await run(folder, "query", "--format", "csv", "\(sum) as s from again_live.t").output
        #expect(try await found.contains(source.value("\(sum) from t")), "\(found)")
        await source.remove()
    }
}

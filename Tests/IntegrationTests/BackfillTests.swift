import Agent
import Foundation
import JSON
import Kafka
import Logging
import Postgres
import Replication
import Testing
import ThrowawayPostgres

/// `millrace backfill` in this process, against a real server.
@Suite struct BackfillTests {
    private func context(_ run: PipelineRun, json: Bool = true) throws -> CommandContext {
        let file = run.folder.path("millrace.yaml")
        try run.yaml.write(toFile: file, atomically: true, encoding: .utf8)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return CommandContext(file: file, json: json, console: Console { _, _ in }, logger: logger)
    }

    private func backfill(
        _ run: PipelineRun, tables: [String] = [], restart: Bool = false, follow: Bool = false
    ) async throws -> Int32 {
        try await BackfillCommand(tables: tables, workers: 3, isRestart: restart, isFollowed: follow).run(context(run))
    }

    private func slots(_ source: SourceDatabase, _ run: PipelineRun) async throws -> [String] {
        try await source.sql("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'millrace_\(run.name)%'")
            .split(separator: "\n").map(String.init)
    }

    @Test(arguments: Engine.allCases) func copiesVerifiesAndLeavesNoSlot(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "fill_\(engine.rawValue)",
            """
            CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 30000) i;
            CREATE TABLE b (id int PRIMARY KEY, v numeric(9,2)); INSERT INTO b SELECT i, i / 4.0 FROM generate_series(1, 50) i;
            CREATE TABLE c (v text); ALTER TABLE c REPLICA IDENTITY FULL; INSERT INTO c SELECT 'x' FROM generate_series(1, 4);
            """)
        let run = try await source.pipeline(engine)
        #expect(try await backfill(run) == 0)
        let tables = ["public.a", "public.b", "public.c"]
        try await source.expectEqual(run, tables, "first")
        #expect(try await slots(source, run).isEmpty)

        // Once more: what was deleted meanwhile is in no snapshot, and is marked all the same.
        try await source.sql(
            "DELETE FROM a WHERE id % 3 = 0; UPDATE a SET v = 'w' WHERE id < 100; DELETE FROM c WHERE ctid = (SELECT min(ctid) FROM c)"
        )
        #expect(try await backfill(run) == 0)
        try await source.expectEqual(run, tables, "again")
        let deleted = try await run.looking { warehouse, layout in
            try await warehouse.query("select count(*) from \(layout.current).a where is_deleted", rows_max: 1).rows[0][
                0]
        }
        #expect(deleted == "10000")

        // With the pipeline's own slot, and on from there.
        try await source.sql("DELETE FROM b WHERE id < 10")
        #expect(try await backfill(run, follow: true) == 0)
        #expect(try await slots(source, run) == ["millrace_\(run.name)"])
        try await source.sql("INSERT INTO b VALUES (1000, 1); DELETE FROM b WHERE id = 20")
        let rest = try await run.untilEnd()
        #expect(rest.events == 2, "the stream goes on where the backfill ended")
        try await source.expectEqual(run, tables, "followed")
    }

    @Test(arguments: Engine.allCases) func someTablesUnderLoad(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "fillsome_\(engine.rawValue)",
            """
            CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, 0 FROM generate_series(1, 20000) i;
            CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1);
            """)
        let run = try await source.pipeline(engine)
        let writer = Task {
            var turn = 0
            while !Task.isCancelled {
                turn += 1
                try await source.sql(
                    "UPDATE a SET v = v + 1 WHERE id % 97 = \(turn % 97); DELETE FROM a WHERE id = \(turn * 3); INSERT INTO a VALUES (\(100_000 + turn), 1)"
                )
            }
        }
        // Verified as of a snapshot, whoever writes meanwhile.
        let status = try await backfill(run, tables: ["public.a"])
        writer.cancel()
        _ = try? await writer.value
        #expect(status == 0)
        let made = try await run.looking { warehouse, _ in try await warehouse.knownTables().map(\.source.table) }
        #expect(made == ["a"])
        await #expect { _ = try await backfill(run, tables: ["private.b"]) } throws: { error in
            (error as? CommandFailure)?.exit == 3 || (error as? ReplicationError)?.kind == .environment
        }
    }

    /// Of a Kafka pipeline: a transaction that is open while the snapshot is taken comes through Kafka later, with a commit
    /// that is older than the snapshot. Its update must win over what the snapshot read.
    @Test(arguments: Engine.allCases) func updatesInFlightAcrossACatalogsSnapshotWin(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "catalog_\(engine.rawValue)",
            "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items SELECT i, 'old' FROM generate_series(1, 2000) i"
        )
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let broker = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: logger)
        defer { broker.close() }
        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        func lsn() async throws -> Int {
            Int(
                try await source.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").trimmingCharacters(
                    in: .whitespacesAndNewlines)) ?? 0
        }
        func produce(_ id: Int, _ v: String, commit: Int) async throws {
            try await producer.send([
                OutgoingRecord(
                    topic: SyntheticEvents.topic, key: Array(SyntheticEvents.key(id).utf8),
                    value: Array(SyntheticEvents.value("u", commit, id: id, v: v).utf8))
            ])
            _ = try await producer.flush()
        }
        let run = try await PipelineRun(
            "cat_\(engine.rawValue)", engine,
            source: """
                  kafka:
                    brokers: \(broker.bootstrap)
                    topics: ["shop.*"]
                    catalog: \(source.url)
                    properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 }
                """, folder: TestFolder())
        // Something is applied through Kafka before.
        try await source.sql("UPDATE items SET v = 'first' WHERE id = 1")
        try await produce(1, "first", commit: try await lsn())
        try await run.untilEnd()

        // A writer holds a transaction open over the whole backfill.
        let held = try Session(url: source.url)
        try held.execute("BEGIN; UPDATE public.items SET v = 'in flight' WHERE id IN (5, 6)", for: "hold a transaction")
        // Its events carry the last commit before its own: older than what others write, and than the snapshot.
        let before = try await lsn()
        try await source.sql("UPDATE items SET v = 'seen' WHERE id = 7; DELETE FROM items WHERE id = 8")
        #expect(try await backfill(run) == 0)
        try held.execute("COMMIT", for: "let it go")
        try await produce(5, "in flight", commit: before)
        try await produce(6, "in flight", commit: before)
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.items"])
        // The event of what the snapshot had seen comes late, and changes nothing.
        try await produce(7, "seen", commit: before)
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.items"])
        await producer.close()
    }

    /// A difference is found: the checksum isn't a formality.
    @Test func aDifferenceIsExitFour() async throws {
        let source = try await SourceDatabase(
            "filldiff",
            "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'v' FROM generate_series(1, 100) i")
        let run = try await source.pipeline(.postgres)
        #expect(try await backfill(run, follow: true) == 0)
        let warehouse = try await SharedServer.shared.theServer()
        try await warehouse.psql("UPDATE \(run.name).a SET v = 'changed by somebody' WHERE id = 7")
        #expect(try await backfill(run, follow: true) == 4)
    }
}

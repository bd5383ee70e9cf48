import Agent
import Foundation
import Replication
import Testing
import ThrowawayPostgres

/// Postgres as a direct source: copy and stream against a real server, into both warehouses; the source itself is the
/// oracle.
@Suite struct PostgresSourceTests {
    /// A text of so many KiB that doesn't shrink.
    private static func big(_ seed: String, KiB: Int = 128) -> String {
        "(SELECT string_agg(md5(n::text || '\(seed)'), '') FROM generate_series(1, \(KiB * 32)) n)"
    }

    @Test(arguments: Engine.allCases) func copiesThenStreams(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "basics_\(engine.rawValue)",
            """
            CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric(12,2), at timestamptz, tags text[]);
            CREATE TABLE pairs (a int, b text, v text, PRIMARY KEY (b, a));
            CREATE TABLE untouched (id int PRIMARY KEY);
            INSERT INTO items SELECT i, E'n\\t' || i || E'\\n\\\\', i * 1.01, '2026-01-01'::timestamptz + i * interval '1 s', \
            ARRAY['a', NULL, 'b "c"'] FROM generate_series(1, 3000) i;
            INSERT INTO pairs SELECT i % 10, 'k' || i, NULL FROM generate_series(1, 500) i;
            """)
        let run = try await source.pipeline(engine)
        let tables = ["public.items", "public.pairs", "public.untouched"]
        let first = try await run.untilEnd()
        try await source.expectEqual(run, tables, "copied")
        #expect(first.events == 3500)
        #expect(first.progress.consistentSince != nil)
        let made = try await run.looking { warehouse, _ in try await warehouse.knownTables().map(\.source.table) }
        #expect(made.contains("untouched"), "also a table without rows is made")

        try await source.sql(
            """
            BEGIN;
            UPDATE items SET price = price + 1 WHERE id % 7 = 0;
            DELETE FROM items WHERE id % 11 = 0;
            INSERT INTO items SELECT i, 'new', NULL, NULL, '{}' FROM generate_series(4000, 4100) i;
            SAVEPOINT a; UPDATE items SET name = 'never'; ROLLBACK TO a;
            UPDATE pairs SET a = a + 100 WHERE a < 5;
            COMMIT;
            UPDATE items SET id = id + 100000 WHERE id < 20;
            INSERT INTO items VALUES (7, 'again', 1, now(), NULL);
            DELETE FROM items WHERE id = 7;
            INSERT INTO items VALUES (7, 'and again', 2, now(), NULL);
            """)
        let second = try await run.untilEnd()
        try await source.expectEqual(run, tables, "streamed")
        #expect(second.events > 0)

        try await source.sql("TRUNCATE pairs; INSERT INTO pairs VALUES (1, 'x', 'after the truncate')")
        try await run.untilEnd()
        try await source.expectEqual(run, tables, "truncated")
        let again = try await run.untilEnd()
        #expect(again.events == 0, "nothing is read twice")
        let twice = try await run.looking { warehouse, layout in
            try await warehouse.query(
                "select count(*) - count(distinct event_id) from \(layout.raw).items", rows_max: 1
            ).rows[0][0]
        }
        #expect(twice == "0")
    }

    /// Changes that commit between the slot and the snapshot are in both; an update that leaves a large column alone
    /// doesn't bring it, whether its row was copied before or not.
    @Test(arguments: Engine.allCases) func unchangedLargeColumnsAreKept(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "toast_\(engine.rawValue)",
            """
            CREATE TABLE docs (id int PRIMARY KEY, v int, big text, j jsonb);
            ALTER TABLE docs ALTER big SET STORAGE EXTERNAL;
            INSERT INTO docs SELECT i, 0, \(Self.big("a", KiB: 1024)) || i, jsonb_build_object('k', \(Self.big("j"))) \
            FROM generate_series(1, 20) i;
            """)
        let run = try await source.pipeline(engine)
        // The slot is there before: what follows is streamed, and most of it is in the snapshot, too.
        try await source.sql(
            """
            CREATE PUBLICATION millrace_\(run.name) FOR TABLE docs;
            SELECT pg_create_logical_replication_slot('millrace_\(run.name)', 'pgoutput');
            """)
        try await source.sql(
            """
            UPDATE docs SET v = 1 WHERE id <= 10;
            UPDATE docs SET id = id + 100, v = 2 WHERE id IN (1, 2, 3);
            DELETE FROM docs WHERE id = 4;
            INSERT INTO docs VALUES (4, 9, 'small', NULL);
            """)
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.docs"], "before the copy")
        try await source.sql(
            """
            UPDATE docs SET v = v + 10;
            UPDATE docs SET id = id + 1000 WHERE id IN (5, 6, 101);
            UPDATE docs SET id = 5, v = 77 WHERE id = 1006;
            UPDATE docs SET big = 'now small' WHERE id = 8;
            UPDATE docs SET v = -1 WHERE id IN (8, 102);
            """)
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.docs"], "after the copy")
        let incomplete = try await run.looking { warehouse, _ in
            try await warehouse.counts(try await warehouse.knownTables()[0]).incomplete
        }
        #expect(incomplete == 0)
    }

    @Test(arguments: Engine.allCases) func replicaIdentities(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "identities_\(engine.rawValue)",
            """
            CREATE TABLE whole (id int PRIMARY KEY, v text, big text);
            ALTER TABLE whole REPLICA IDENTITY FULL;
            CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL UNIQUE, v text);
            ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key;
            CREATE TABLE keyless (a int, b text);
            ALTER TABLE keyless REPLICA IDENTITY FULL;
            CREATE TABLE unpublished (a int);
            INSERT INTO whole SELECT i, 'v', \(Self.big("w")) FROM generate_series(1, 9) i;
            INSERT INTO by_index SELECT i, 'c' || i, 'v' FROM generate_series(1, 9) i;
            INSERT INTO keyless SELECT i % 3, 'x' FROM generate_series(1, 90) i;
            """)
        let run = try await source.pipeline(engine)
        try await source.sql(
            """
            CREATE PUBLICATION millrace_\(run.name) FOR TABLE whole, by_index, keyless;
            SELECT pg_create_logical_replication_slot('millrace_\(run.name)', 'pgoutput');
            """)
        // In the slot and in the copy: rows without a key must not come twice.
        try await source.sql("INSERT INTO keyless VALUES (5, 'both'), (5, 'both'); DELETE FROM keyless WHERE a = 1")
        try await run.untilEnd()
        let tables = ["public.whole", "public.by_index", "public.keyless"]
        try await source.expectEqual(run, tables, "copied")
        try await source.sql(
            """
            UPDATE whole SET v = 'w' WHERE id < 5; UPDATE whole SET id = id + 50 WHERE id > 7; DELETE FROM whole WHERE id = 1;
            UPDATE by_index SET v = 'w' WHERE id < 5; UPDATE by_index SET code = 'z' || id WHERE id = 6;
            UPDATE by_index SET id = 60 WHERE id = 7; DELETE FROM by_index WHERE id = 1;
            DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE a = 2 LIMIT 3);
            UPDATE keyless SET b = 'y' WHERE a = 0; INSERT INTO keyless VALUES (7, NULL), (7, NULL);
            INSERT INTO unpublished VALUES (1);
            """)
        try await run.untilEnd()
        try await source.expectEqual(run, tables, "streamed")
        // The application's own writes to a table that can't be published still work.
        try await source.sql("UPDATE unpublished SET a = 2; DELETE FROM unpublished")
        #expect(try await run.untilEnd().tables.keys.allSatisfy { $0.table != "unpublished" })
    }

    @Test(arguments: Engine.allCases) func partitionsFiltersAndLists(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "shapes_\(engine.rawValue)",
            """
            CREATE TABLE parted (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
            CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
            CREATE TABLE parted_2 (v text, at date NOT NULL, id int NOT NULL);
            ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
            CREATE TABLE somewhat (id int PRIMARY KEY, secret text, v int);
            CREATE TABLE "Odd ""name" (id int PRIMARY KEY, "a'b;c" text);
            INSERT INTO parted SELECT i, '2026-01-01'::date + i % 59, 'v' || i FROM generate_series(1, 200) i;
            INSERT INTO somewhat SELECT i, 's', i FROM generate_series(1, 100) i;
            INSERT INTO "Odd ""name" VALUES (1, 'x');
            """)
        let run = try await source.pipeline(engine)
        try await source.sql(
            """
            CREATE PUBLICATION millrace_\(run.name) FOR TABLE parted, somewhat (id, v) WHERE (id > 50), "Odd ""name" \
            WITH (publish_via_partition_root = true)
            """)
        try await run.untilEnd()
        try await source.sql(
            """
            CREATE VIEW public.some_of AS SELECT id, v FROM somewhat WHERE id > 50;
            UPDATE parted SET at = at + 28 WHERE at < '2026-01-20';
            DELETE FROM parted WHERE id % 9 = 0;
            UPDATE somewhat SET v = v + 1, secret = 't';
            INSERT INTO somewhat VALUES (10001, 's', 1), (-1, 's', 1);
            DELETE FROM somewhat WHERE id = 70;
            UPDATE "Odd ""name" SET "a'b;c" = '; drop table some; --';
            """)
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.parted", "public.\"Odd \"\"name\""], "root")
        let rows = try await run.looking { warehouse, layout in
            try await warehouse.query("select id, v from \(layout.live).somewhat order by id", rows_max: 1000).rows
        }
        let wanted = try await source.sql("SELECT id, v FROM some_of ORDER BY id").split(separator: "\n")
        #expect(rows.map { "\($0[0] ?? "")|\($0[1] ?? "")" } == wanted.map(String.init))
        let columns = try await run.looking { warehouse, _ in
            try await warehouse.knownTables().first { $0.source.table == "somewhat" }?.columns.map(\.name)
        }
        #expect(columns == ["id", "v"], "a column that isn't published is nowhere")
    }

    /// A publication of leaves: each is a table of its own.
    @Test(arguments: Engine.allCases) func partitionsAsTables(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "leaves_\(engine.rawValue)",
            """
            CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
            CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
            CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200);
            INSERT INTO parted SELECT i, 'v' FROM generate_series(1, 150) i;
            """)
        let run = try await source.pipeline(engine)
        try await source.sql("CREATE PUBLICATION millrace_\(run.name) FOR TABLE parted")
        try await run.untilEnd()
        try await source.sql(
            "UPDATE parted SET v = 'w'; UPDATE parted SET id = id + 150 WHERE id < 20; DELETE FROM parted WHERE id = 150"
        )
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.parted_1", "public.parted_2"])
    }

    /// One transaction of many batches: readers see all of it or nothing, and the ledger has it once.
    @Test(arguments: Engine.allCases) func aLargeTransactionIsApplied(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "large_\(engine.rawValue)",
            "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int); INSERT INTO a SELECT i, 0 FROM generate_series(1, 1000) i"
        )
        let run = try await source.pipeline(engine, rest: "batch: { max_rows: 500 }")
        try await run.untilEnd()
        try await source.sql(
            """
            BEGIN;
            INSERT INTO a SELECT i, 0 FROM generate_series(1001, 6000) i;
            UPDATE a SET v = 1;
            INSERT INTO b SELECT id, v FROM a;
            DELETE FROM a WHERE id % 2 = 0;
            UPDATE b SET v = 2 WHERE id % 2 = 0;
            COMMIT;
            """)
        let name = run.name
        try await run.whileRunning { status, warehouse in
            // Whoever reads beside it never sees a part.
            let sums = "select (select count(*) from \(name)_live.a), (select coalesce(sum(v), -1) from \(name)_live.a)"
            try await Self.until("all of it is there") {
                let row = try await warehouse.query(sums, rows_max: 1).rows[0].map { $0 ?? "" }
                #expect(row == ["1000", "0"] || row == ["3000", "3000"], "\(row)")
                return row[0] == "3000"
            }
        }
        try await source.expectEqual(run, ["public.a", "public.b"])
        // A part whose table isn't there yet, and a value that is refused: the transaction comes again.
        try await source.sql(
            "BEGIN; UPDATE b SET v = 3; ALTER TABLE b ADD c text; UPDATE b SET c = 'x' WHERE id < 3000; COMMIT")
        await #expect { try await run.untilEnd() } throws: { ($0 as? ReplicationError)?.kind == .restart }
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.a", "public.b"])
    }

    /// A table that comes into the publication is copied while the others stream.
    @Test(arguments: Engine.allCases) func aTableIsAddedLater(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "added_\(engine.rawValue)", "CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1)")
        let run = try await source.pipeline(engine)
        let name = run.name
        try await run.whileRunning { status, warehouse in
            func count(_ table: String) async throws -> String? {
                try? await warehouse.query("select count(*) from \(name)_live.\(table)", rows_max: 1).rows[0][0]
            }
            try await Self.until("the first table is there") { try await count("a") == "1" }
            try await source.sql(
                """
                CREATE TABLE later (id int PRIMARY KEY, v text); INSERT INTO later SELECT i, 'v' FROM generate_series(1, 777) i;
                CREATE TABLE heap (v text); ALTER TABLE heap REPLICA IDENTITY FULL; INSERT INTO heap SELECT 'x' FROM generate_series(1, 5);
                """)
            try await Self.until("the new tables are copied") {
                let counts = (try await count("later"), try await count("heap"))
                return counts == ("777", "5")
            }
            try await source.sql(
                "DELETE FROM later WHERE id < 78; INSERT INTO heap VALUES ('y'); INSERT INTO a VALUES (2, 2)")
            try await Self.until("they are streamed") {
                let counts = (try await count("later"), try await count("heap"), try await count("a"))
                return counts == ("700", "6", "2")
            }
        }
        try await source.expectEqual(run, ["public.a", "public.later", "public.heap"])
    }

    static func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "waited too long until \(what)")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    // MARK: What is told

    private func failure(_ run: PipelineRun) async -> ReplicationError? {
        do {
            try await run.untilEnd()
            return nil
        } catch {
            return error as? ReplicationError
        }
    }

    @Test(arguments: Engine.allCases) func aLostSlotIsTold(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "lost_\(engine.rawValue)", "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
        let run = try await source.pipeline(engine)
        let slot = "millrace_\(run.name)"
        try await run.untilEnd()

        try await source.sql(
            "INSERT INTO a VALUES (2); SELECT pg_replication_slot_advance('\(slot)', pg_current_wal_lsn())")
        var error = await failure(run)
        #expect(
            error?.kind == .environment && error?.message.contains("behind the checkpoint") == true,
            "\(error?.message ?? "")")
        #expect(error?.remedy?.contains("millrace drop --tables") == true)

        try await source.sql("SELECT pg_drop_replication_slot('\(slot)'); INSERT INTO a VALUES (3)")
        error = await failure(run)
        #expect(error?.kind == .environment && error?.message.contains("is gone") == true, "\(error?.message ?? "")")
        let slots = try await source.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '\(slot)'")
        #expect(slots.hasPrefix("0"), "nothing restarts from now by itself")

        // The way out: all anew.
        let warehouse = try run.setup.makeWarehouse()
        try await warehouse.open(readOnly: false)
        try await warehouse.drop(tables: true)
        await warehouse.close()
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.a"])
    }

    @Test(arguments: Engine.allCases) func anotherServerIsTold(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "other_\(engine.rawValue)", "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
        var run = try await source.pipeline(engine)
        try await run.untilEnd()
        var options = ThrowawayPostgres.Options()
        options.hasOwnSystemIdentifier = true
        let other = try await ThrowawayPostgres.start(options)
        try await other.psql("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (7)")
        run.yaml = run.yaml.replacing(source.url, with: other.url())
        let error = await failure(run)
        #expect(error?.message.contains("another server") == true, "\(error?.message ?? "")")
        await other.remove()
    }

    @Test func whatTheSourceLacksIsTold() async throws {
        let source = try await SourceDatabase("lacks", "CREATE TABLE a (id int PRIMARY KEY)")
        var run = try await source.pipeline(.duckdb, postgres: "publication: nothing_in_it")
        try await source.sql(
            "CREATE PUBLICATION nothing_in_it; CREATE ROLE visitor LOGIN; ALTER PUBLICATION nothing_in_it OWNER TO postgres"
        )
        // Ours to add to: it gets the table.
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.a"])

        run = try await source.pipeline(.duckdb, source: "  include: [\"private.*\"]")
        var error = await failure(run)
        #expect(
            error?.kind == .environment && error?.remedy?.contains("source.include") == true, "\(error?.message ?? "")")

        run = try await source.pipeline(.duckdb)
        run.yaml = run.yaml.replacing("postgres://postgres@", with: "postgres://visitor@")
        error = await failure(run)
        #expect(error?.remedy == "ALTER ROLE visitor REPLICATION;", "\(error?.message ?? "")")

        run.yaml = run.yaml.replacing("127.0.0.1:\(source.server.port)", with: "127.0.0.1:1")
        error = await failure(run)
        #expect(error?.kind == .passing, "\(error?.message ?? "")")
    }
}

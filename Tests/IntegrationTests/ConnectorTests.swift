import Agent
import Foundation
import Logging
import Replication
import Testing
import ThrowawayPostgres

/// What stands in connectors/postgres: its SQL is loaded with psql, and its pipeline files are run as they are by the
/// roles that the SQL makes, in databases where nobody has a right that wasn't granted.
@Suite struct ConnectorTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "connectors/postgres")
    private static let tables = ["public.customers", "public.orders", "public.events", "public.notes"]

    /// A server with a source and a warehouse, on which our roles need their passwords.
    private struct Place {
        let server: ThrowawayPostgres
        let source: SourceDatabase
        let warehouse: SourceDatabase
        let folder: TestFolder

        init() async throws {
            var options = ThrowawayPostgres.Options()
            options.authentication = ["host all replicator,loader 127.0.0.1/32 scram-sha-256"]
            server = try await ThrowawayPostgres.start(options)
            source = SourceDatabase("shop", on: server)
            warehouse = SourceDatabase("analytics", on: server)
            folder = try TestFolder()
            try await server.psql("CREATE ROLE shop_owner")
            try await server.psql("CREATE DATABASE shop OWNER shop_owner")
            try await server.psql("CREATE DATABASE analytics")
            for (database, owner) in [("shop", "shop_owner"), ("analytics", "postgres")] {
                try await server.psql("REVOKE ALL ON DATABASE \(database) FROM PUBLIC")
                try await server.psql(
                    "ALTER SCHEMA public OWNER TO \(owner); REVOKE ALL ON SCHEMA public FROM PUBLIC", database: database
                )
            }
            try await own(
                """
                CREATE TABLE customers (id int PRIMARY KEY, name text);
                CREATE TABLE orders (id bigint PRIMARY KEY, customer_id int REFERENCES customers, total numeric(12,2));
                CREATE TABLE events (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
                CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
                CREATE TABLE notes (v text);
                ALTER TABLE notes REPLICA IDENTITY FULL;
                CREATE TABLE private (id int PRIMARY KEY);
                INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 100) i;
                INSERT INTO orders SELECT i, 1 + i % 100, i * 1.01 FROM generate_series(1, 1000) i;
                INSERT INTO events SELECT i, '2026-01-01'::date + i % 30, 'v' FROM generate_series(1, 200) i;
                INSERT INTO notes SELECT 'n' || i % 3 FROM generate_series(1, 30) i;
                """)
            try await load("role.sql", "\\set password 'it''s secret'")
            try await load(
                "tables.sql", "SET ROLE shop_owner;\n\\set tables '\(ConnectorTests.tables.joined(separator: ", "))'")
            try await load("warehouse.sql", "\\set password loading", database: "analytics")
        }

        /// As the tables' owner.
        func own(_ sql: String) async throws { try await source.sql("SET ROLE shop_owner;\n\(sql)") }

        func load(_ file: String, _ before: String, database: String = "shop") async throws {
            let text = try String(contentsOf: ConnectorTests.folder.appending(path: file), encoding: .utf8)
            try await server.psql("\(before)\n\(text)", database: database)
        }

        func pipeline(_ engine: Engine) throws -> PipelineRun {
            let yaml = try String(
                contentsOf: ConnectorTests.folder.appending(path: "to-\(engine).yaml"), encoding: .utf8)
            return PipelineRun(
                file: yaml, "shop", engine,
                environment: [
                    "SOURCE_URL": server.url(database: "shop", user: "replicator", password: "it's secret"),
                    "WAREHOUSE_URL": server.url(database: "analytics", user: "loader", password: "loading"),
                ], folder: folder)
        }

        /// What `check` says, and its exit code.
        func check(_ run: PipelineRun) async throws -> (code: Int32, text: String) {
            let said = Said()
            return (try await CheckCommand().run(try context(run, said)), said.text)
        }

        /// For commands, which read the file themselves.
        func context(_ run: PipelineRun, _ said: Said) throws -> CommandContext {
            var yaml = run.yaml
            for (name, value) in run.environment { yaml = yaml.replacing("${\(name)}", with: value) }
            let file = folder.path("millrace.yaml")
            try yaml.write(toFile: file, atomically: true, encoding: .utf8)
            return CommandContext(
                file: file, json: false, console: Console { text, _ in said.add(text) }, logger: Logger(label: "test"))
        }
    }

    private final class Said: @unchecked Sendable {
        // Guarded by the lock.
        private var parts: [String] = []
        private let lock = NSLock()
        func add(_ text: String) { lock.withLock { parts.append(text) } }
        var text: String { lock.withLock { parts.joined() } }
    }

    private static func within(_ body: (Place) async throws -> Void) async throws {
        let place = try await Place()
        do { try await body(place) } catch {
            await place.server.remove()
            throw error
        }
        await place.server.remove()
    }

    /// What the first start would meet is told before it.
    @Test func aPublicationThatTheRoleCantMakeIsTold() async throws {
        try await Self.within { place in
            let run = try place.pipeline(.duckdb)
            try await place.own("DROP PUBLICATION millrace_shop")
            let refused = try await place.check(run)
            #expect(refused.code == 3 && refused.text.contains("can't make it: it may not create in database shop"))
            try await place.source.sql("GRANT CREATE ON DATABASE shop TO replicator")
            let foreign = try await place.check(run)
            #expect(foreign.code == 3 && foreign.text.contains("it doesn't own public."), "\(foreign.text)")
            let statement = "CREATE PUBLICATION \"millrace_shop\" FOR TABLE \"public\"."
            #expect(foreign.text.contains(statement), "\(foreign.text)")
        }
    }

    /// A start adds tables to a publication of its own, which only their owner may.
    @Test func aTableThatTheRoleCantAddIsTold() async throws {
        try await Self.within { place in
            let run = try place.pipeline(.duckdb)
            try await place.own("DROP PUBLICATION millrace_shop")
            try await place.source.sql(
                """
                GRANT CREATE ON DATABASE shop TO replicator;
                GRANT CREATE ON SCHEMA public TO replicator;
                SET ROLE replicator;
                CREATE TABLE mine (id int PRIMARY KEY);
                CREATE PUBLICATION millrace_shop FOR TABLE mine
                """)
            let told = try await place.check(run)
            #expect(told.code == 3 && told.text.contains("can't add it to the publication"), "\(told.text)")
            #expect(told.text.contains("ALTER PUBLICATION millrace_shop ADD TABLE public.orders"), "\(told.text)")
        }
    }

    /// Where the provider has the attribute and gives a membership in its place.
    @Test func aMembershipOfRDSMayReplicate() async throws {
        try await Self.within { place in
            let run = try place.pipeline(.duckdb)
            try await place.source.sql("ALTER ROLE replicator NOREPLICATION; CREATE ROLE rds_replication")
            let refused = try await place.check(run)
            #expect(refused.code == 3 && refused.text.contains("may not replicate"), "\(refused.text)")
            try await place.source.sql("GRANT rds_replication TO replicator")
            let told = try await place.check(run)
            #expect(!told.text.contains("may not replicate"), "\(told.text)")
        }
    }

    /// Copied, streamed, and a table and a partition that come later.
    @Test(arguments: Engine.allCases) func thePipelineFilesRun(engine: Engine) async throws {
        try await Self.within { place in
            let run = try place.pipeline(engine)
            if engine == .postgres { try await place.load("slot.sql", "SET ROLE replicator;") }
            let checked = try await place.check(run)
            #expect(checked.code == 0, "\(checked.text)")
            try await run.untilEnd()
            try await place.source.expectEqual(run, Self.tables, "copied")

            try await place.own(
                """
                UPDATE orders SET total = total + 1 WHERE id % 7 = 0;
                DELETE FROM orders WHERE id % 11 = 0;
                UPDATE customers SET name = NULL WHERE id = 3;
                UPDATE notes SET v = 'changed' WHERE v = 'n1';
                CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
                UPDATE events SET at = at + 31 WHERE id % 5 = 0 AND at < '2026-01-20';
                CREATE TABLE later (id int PRIMARY KEY, v text);
                INSERT INTO later SELECT i, 'v' FROM generate_series(1, 50) i;
                ALTER PUBLICATION millrace_shop ADD TABLE later;
                """)
            let status = try await run.untilEnd()
            #expect(status.progress.refused.isEmpty && status.progress.consistentSince != nil)
            try await place.source.expectEqual(run, Self.tables + ["public.later"], "streamed")
            let known = try await run.looking { warehouse, _ in try await warehouse.knownTables().map(\.source.table) }
            #expect(!known.contains("private"))
            let slots = try await place.source.sql("SELECT string_agg(slot_name, ',') FROM pg_replication_slots")
            #expect(slots == "millrace_shop")
        }
    }

    /// Each right that the source's SQL gives is taken away in turn; the agent, or the check before it, says which one.
    @Test func everyRightAtTheSourceIsNeeded() async throws {
        try await Self.within { place in
            let run = try place.pipeline(.duckdb)
            let rights = [
                ("ALTER ROLE replicator", "NOLOGIN", "LOGIN", "not permitted to log in"),
                ("ALTER ROLE replicator", "NOREPLICATION", "REPLICATION", "ALTER ROLE replicator REPLICATION;"),
                ("ALTER ROLE replicator", "PASSWORD 'another'", "PASSWORD 'it''s secret'", "password"),
            ]
            for (statement, without, with, words) in rights {
                try await place.source.sql("\(statement) \(without)")
                let said = await Self.failure(run)
                #expect(said.contains(words), "\(without): \(said)")
                try await place.source.sql("\(statement) \(with)")
            }
            try await place.source.sql("REVOKE CONNECT ON DATABASE shop FROM replicator")
            let said = await Self.failure(run)
            #expect(said.contains("permission denied for database"), "\(said)")
            try await place.source.sql("GRANT CONNECT ON DATABASE shop TO replicator")

            // A schema's tables are refused, and others aren't.
            try await place.source.sql("REVOKE USAGE ON SCHEMA public FROM replicator")
            let shut = try await place.check(run)
            #expect(
                shut.code == 3 && shut.text.contains("GRANT USAGE ON SCHEMA public TO replicator;"), "\(shut.text)")
            let none = try await run.untilEnd()
            #expect(none.progress.refused.count == Self.tables.count, "\(none.progress.refused)")
            try await place.source.sql("GRANT USAGE ON SCHEMA public TO replicator")

            // One table's trouble is its own. A partition is one.
            try await place.source.sql("REVOKE SELECT ON orders, events_1 FROM replicator")
            let checked = try await place.check(run)
            #expect(
                checked.code == 3 && checked.text.contains("GRANT SELECT ON public.orders TO replicator;"),
                "\(checked.text)")
            let status = try await run.untilEnd()
            #expect(
                Set(status.progress.refused.keys.map(\.table)) == ["orders", "events"],
                "\(status.progress.refused)")
            try await place.source.expectEqual(run, ["public.customers", "public.notes"], "the others")

            // With the grants as the SQL has them all is well; a later table needs the default rights.
            try await place.source.sql("GRANT SELECT ON orders, events_1 TO replicator")
            try await place.own("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM replicator")
            try await place.own(
                "CREATE TABLE later (id int PRIMARY KEY); ALTER PUBLICATION millrace_shop ADD TABLE later")
            let second = try await run.untilEnd()
            #expect(second.progress.refused.keys.map(\.table) == ["later"], "\(second.progress.refused)")
            try await place.source.expectEqual(run, Self.tables, "granted")
        }
    }

    @Test func everyRightInTheWarehouseIsNeeded() async throws {
        try await Self.within { place in
            let run = try place.pipeline(.postgres)
            let rights = [
                ("CONNECT", "permission denied for database"), ("CREATE", "permission denied for database"),
                ("TEMPORARY", "permission denied to create temporary tables"),
            ]
            for (right, words) in rights {
                try await place.source.sql("REVOKE \(right) ON DATABASE analytics FROM loader")
                let said = await Self.failure(run)
                #expect(said.contains(words), "\(right): \(said)")
                try await place.source.sql("GRANT \(right) ON DATABASE analytics TO loader")
            }
            try await run.untilEnd()
            try await place.source.expectEqual(run, Self.tables)
        }
    }

    /// The slots go, a backfill's too; the publication is its owner's; and all can be made anew.
    @Test func thePipelineIsTakenAwayAndMadeAnew() async throws {
        try await Self.within { place in
            let run = try place.pipeline(.postgres)
            try await run.untilEnd()
            try await place.load("slot.sql", "SET ROLE replicator;\n\\set slot millrace_shop_backfill")
            let slots = "SELECT count(*) FROM pg_replication_slots"
            #expect(try await place.source.sql(slots) == "2")
            let said = Said()
            try await DropCommand(tables: true, isConfirmed: true).run(try place.context(run, said))
            #expect(try await place.source.sql(slots) == "0", "\(said.text)")
            #expect(try await place.source.sql("SELECT pubname FROM pg_publication") == "millrace_shop")
            let left = "SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspowner = 'loader'::regrole"
            #expect(try await place.warehouse.sql(left) == "_millrace")
            try await run.untilEnd()
            try await place.source.expectEqual(run, Self.tables)
        }
    }

    /// Message and remedy of the run's error; empty: there was none.
    private static func failure(_ run: PipelineRun) async -> String {
        do {
            try await run.untilEnd()
            return ""
        } catch {
            guard let error = error as? ReplicationError else { return "\(error)" }
            return "\(error.message) \(error.remedy ?? "")"
        }
    }
}

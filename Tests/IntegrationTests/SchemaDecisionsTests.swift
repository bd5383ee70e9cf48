import Agent
import Foundation
import Replication
import Testing
import ThrowawayPostgres

/// What people decide on plans, and what the pipeline file says of them.
@Suite(.serialized) struct SchemaDecisionsTests {
    private static let setup = """
        CREATE TABLE t (id bigint PRIMARY KEY, code int NOT NULL UNIQUE, a text, b int, c text);
        INSERT INTO t SELECT i, i * 10, 'a' || i, i, CASE WHEN i % 2 = 0 THEN 'c' || i END FROM generate_series(1, 5) i;
        """
    /// A change of a row that leaves it as it is: the stream describes the table in front of it.
    private static let touch = "UPDATE t SET id = id WHERE id = 1;"

    /// Columns and rows of a view or table of the pipeline's.
    private func shown(_ run: PipelineRun, _ layer: KeyPath<WarehouseLayout, String>) async throws -> [[String?]] {
        try await run.looking { warehouse, layout in
            let result = try await warehouse.query(
                "SELECT * FROM \(layout[keyPath: layer]).t ORDER BY id", rows_max: 1000)
            return [result.columns.map(\.name)] + result.rows
        }
    }

    struct Plan: Sendable, CustomStringConvertible {
        var kind: String
        var sql: String
        var description: String { kind }
    }

    static let plans = [
        Plan(kind: "drop_column", sql: "ALTER TABLE t DROP COLUMN a;"),
        Plan(kind: "rename_column", sql: "ALTER TABLE t RENAME COLUMN a TO z;"),
        Plan(kind: "change_type", sql: "ALTER TABLE t ALTER COLUMN b TYPE text;"),
        Plan(kind: "change_key", sql: "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (code);"),
        Plan(kind: "set_not_null", sql: "ALTER TABLE t ALTER COLUMN a SET NOT NULL;"),
        Plan(kind: "lower_identity", sql: ""),
    ]

    @Test(arguments: Engine.allCases, plans) func rolledBackItIsAsBefore(engine: Engine, plan: Plan) async throws {
        let source = try await SourceDatabase("rollback_\(plan.kind)_\(engine.rawValue)", Self.setup)
        if plan.kind == "lower_identity" { try await source.sql("ALTER TABLE t REPLICA IDENTITY FULL") }
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let before = try await shown(run, \.live)
        try await source.sql(
            (plan.sql.isEmpty ? "ALTER TABLE t REPLICA IDENTITY DEFAULT;" : plan.sql) + Self.touch)
        try await run.untilEnd()
        let changes = try await run.schemaChanges().filter { $0.state == .waiting }
        #expect(changes.map(\.kind.rawValue) == [plan.kind])
        let decided = try await run.decide(approving: false)
        #expect(decided.map(\.state) == [.rolledBack])
        try await run.untilEnd()
        #expect(try await shown(run, \.live) == before)
        let holds = try await run.looking { warehouse, _ in try await warehouse.holds() }
        #expect(holds.isEmpty)
        // It isn't asked again, and the table goes on.
        try await source.sql(
            Self.touch
                + "INSERT INTO t (id, code\(plan.kind == "set_not_null" ? ", a" : "")) VALUES (6, 60\(plan.kind == "set_not_null" ? ", 'x'" : ""))"
        )
        try await run.untilEnd()
        #expect(try await run.schemaChanges().filter { $0.state == .waiting }.isEmpty)
        #expect(try await shown(run, \.live).count == before.count + 1)
    }

    @Test(arguments: Engine.allCases) func backFromTheEnd(engine: Engine) async throws {
        let source = try await SourceDatabase("taken_back_\(engine.rawValue)", Self.setup)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let before = try await shown(run, \.live)
        try await source.sql("ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t ALTER COLUMN b TYPE text;" + Self.touch)
        try await run.untilEnd()
        let decided = try await run.decide()
        #expect(decided.map(\.state) == [.approved, .done])
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.t"], "approved")
        let setup = try run.setup
        try await run.writing { warehouse, _ in
            let control = setup.control(warehouse, catalog: nil, running: nil)
            for change in decided {
                let state = try await control.rollBack(schemaChange: change.id).state
                #expect(state == .rolledBack)
            }
        }
        #expect(try await shown(run, \.live) == before)
        try await source.sql("INSERT INTO t (id, code, z, b) VALUES (6, 60, 'z', '7'), (7, 70, 'z', 'seven')")
        try await run.untilEnd()
        let after = try await shown(run, \.live)
        #expect(after.count == before.count + 1 && after.last?.contains("z") == true, "what doesn't fit is put aside")
    }

    /// Approved, what the source dropped goes when its time has come, and history and the past have its values.
    @Test(arguments: Engine.allCases) func approvedItGoesInTime(engine: Engine) async throws {
        let source = try await SourceDatabase("due_\(engine.rawValue)", Self.setup)
        var run = try await source.pipeline(engine)
        run.yaml += "schema_changes: { deprecate_after: 0s }\n"
        try await run.untilEnd()
        let then = try await source.sql("SELECT pg_current_wal_insert_lsn()").trimmingCharacters(
            in: .whitespacesAndNewlines)
        try await source.sql(
            "UPDATE t SET a = 'later' WHERE id = 2; ALTER TABLE t DROP COLUMN c, ADD COLUMN d text DEFAULT 'd'; ALTER TABLE t RENAME COLUMN a TO z;"
                + Self.touch)
        try await run.untilEnd()
        let waiting = try await shown(run, \.live)
        #expect(waiting[0] == ["id", "code", "a", "b", "c", "z", "d"])
        #expect(waiting[2][2] == "later" && waiting[2][5] == "later" && waiting[2][4] == "c2" && waiting[2][6] == "d")
        let decided = try await run.decide()
        #expect(decided.map(\.state) == [.done, .done])
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.t"], "approved")
        #expect(try await shown(run, \.live)[0] == ["id", "code", "b", "z", "d"])
        let (current, history) = try await run.looking { warehouse, layout in
            (
                try await warehouse.query("SELECT * FROM \(layout.current).t", rows_max: 100).columns.map(\.name),
                try await warehouse.query(
                    "SELECT z, d FROM \(layout.history).t WHERE id = 2 ORDER BY valid_from, is_current", rows_max: 100
                ).rows
            )
        }
        #expect(!current.contains("c") && !current.contains("a"))
        #expect(Set(history.map { $0[0] }) == ["a2", "later"], "under the new name, also what came under the old")
        let setup = try run.setup
        let past = try await run.looking { warehouse, _ in
            try await setup.control(warehouse, catalog: nil, running: nil).query(
                "SELECT z FROM t WHERE id = 2", asOf: then, rows_max: 10
            ).rows
        }
        #expect(past == [["a2"]])
    }

    @Test(arguments: Engine.allCases) func policies(engine: Engine) async throws {
        let source = try await SourceDatabase("policies_\(engine.rawValue)", Self.setup)
        var run = try await source.pipeline(engine)
        try await run.untilEnd()
        let yaml = run.yaml
        try await source.sql("ALTER TABLE t ADD COLUMN d int DEFAULT 5;" + Self.touch)
        run.yaml = yaml + "schema_changes: { additive: stop }\n"
        await #expect(throws: ReplicationError.self) { try await run.untilEnd() }
        #expect(try await run.schemaChanges().count == 1, "nothing is written of it")
        run.yaml = yaml + "schema_changes: { additive: plan }\n"
        try await run.untilEnd()
        #expect(try await run.schemaChanges().last?.state == .waiting)
        let holds = try await run.looking { warehouse, _ in try await warehouse.holds() }
        #expect(holds.map(\.kind) == [.schema])
        #expect(try await shown(run, \.live)[0].contains("d") == false)
        try await source.sql("UPDATE t SET d = 6 WHERE id = 2")
        try await run.untilEnd()
        try await run.decide()
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.t"], "approved")
        try await source.sql(
            "ALTER TABLE t DROP COLUMN c; ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t ALTER b TYPE text; UPDATE t SET b = 'x', z = 'z' WHERE id = 3; UPDATE t SET b = '77' WHERE id = 4"
        )
        run.yaml = yaml + "schema_changes: { breaking: stop }\n"
        await #expect(throws: ReplicationError.self) { try await run.untilEnd() }
        run.yaml = yaml + "schema_changes: { breaking: ignore }\n"
        try await run.untilEnd()
        #expect(try await run.schemaChanges().suffix(3).allSatisfy { $0.state == .ignored })
        let rows = try await shown(run, \.live)
        #expect(rows[4][3] == "77" && rows[3][3] == "3", "what fits is taken, the rest put aside")
        #expect(rows[0].contains("z") && rows[0].contains("c"))
    }

    /// A table that is held for one change goes on to follow others, and has all of them in the end.
    @Test(arguments: Engine.allCases, ["change_type", "change_key"])
    func whatComesBehindAPlanWaitsWithIt(engine: Engine, kind: String) async throws {
        let source = try await SourceDatabase("behind_\(kind)_\(engine.rawValue)", Self.setup)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let plan = try #require(Self.plans.first { $0.kind == kind })
        let value = kind == "change_type" ? "'b'" : "7"
        for sql in [
            plan.sql + "UPDATE t SET b = \(value) WHERE id = 1;",
            "ALTER TABLE t ADD COLUMN d int DEFAULT 5; UPDATE t SET d = 6, b = \(value) WHERE id = 2;",
            "ALTER TABLE t RENAME COLUMN a TO z; INSERT INTO t (id, code, z, b, d) VALUES (6, 60, 'z', \(value), 7);",
            "ALTER TABLE t DROP COLUMN c; UPDATE t SET z = 'y' WHERE id = 3;",
        ] {
            try await source.sql(sql)
            let summary = try await run.untilEnd()
            let quarantined = summary.tables.values.reduce(0) { $0 + $1.ledger.quarantined }
            #expect(quarantined == 0, "\(sql)")
            let holds = try await run.looking { warehouse, _ in try await warehouse.holds() }
            #expect(holds.map(\.kind) == [.schema], "\(sql)")
        }
        let changes = try await run.schemaChanges()
        #expect(changes.map(\.kind.rawValue) == ["new_table", kind, "add_column", "rename_column", "drop_column"])
        try await run.decide()
        try await run.untilEnd()
        let holds = try await run.looking { warehouse, _ in try await warehouse.holds() }
        #expect(holds.isEmpty)
        try await source.expectEqual(run, ["public.t"], "approved")
    }

    /// Rows are known by it: the table is made anew, as under another key.
    @Test(arguments: Engine.allCases) func aKeyOfAnotherType(engine: Engine) async throws {
        let source = try await SourceDatabase("keytype_\(engine.rawValue)", Self.setup)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        try await source.sql(
            "ALTER TABLE t ALTER COLUMN id TYPE text; UPDATE t SET a = 'x' WHERE id = '2'; INSERT INTO t (id, code) VALUES ('six', 60); DELETE FROM t WHERE id = '3'"
        )
        try await run.untilEnd()
        let decided = try await run.decide()
        #expect(decided.map(\.kind) == [.changeType] && decided.map(\.state) == [.done])
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.t"], "approved")
        let setup = try run.setup
        try await run.writing { warehouse, _ in
            _ = await #expect(throws: CommandFailure.self, "it isn't taken back") {
                try await setup.control(warehouse, catalog: nil, running: nil).rollBack(schemaChange: decided[0].id)
            }
        }
    }

    /// Dropped and made anew under its name with another type: told, and not taken for the same one.
    @Test(arguments: Engine.allCases) func aKeyMadeAnew(engine: Engine) async throws {
        let source = try await SourceDatabase("keyanew_\(engine.rawValue)", Self.setup)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        try await source.sql(
            "ALTER TABLE t DROP COLUMN id; ALTER TABLE t ADD COLUMN id text PRIMARY KEY DEFAULT '0' || (random() * 1e9)::int; INSERT INTO t (id, code) VALUES ('007', 70)"
        )
        try await run.untilEnd()
        #expect(try await run.schemaChanges().contains { $0.kind == .changeType && $0.state == .waiting })
        try await run.decide()
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.t"], "approved")
    }

    /// Views of other people stand in the way of what changes columns that they may show, and of nothing else.
    @Test func aViewOfSomebodyElse() async throws {
        let source = try await SourceDatabase("viewed", Self.setup)
        var run = try await source.pipeline(.postgres)
        run.yaml += "schema_changes: { deprecate_after: 0s }\n"
        try await run.untilEnd()
        let warehouse = try await SharedServer.shared.theServer()
        try await warehouse.psql("CREATE VIEW public.of_somebody AS SELECT id, b FROM \(run.name)_live.t")
        try await source.sql("ALTER TABLE t RENAME COLUMN a TO z;" + Self.touch)
        try await run.untilEnd()
        // The name alone: nothing goes from the view.
        let renamed = try await run.decide()
        #expect(renamed.map(\.kind) == [.renameColumn] && renamed[0].steps.contains { $0.what.hasPrefix("renamed") })
        try await source.sql("ALTER TABLE t DROP COLUMN c;" + Self.touch)
        try await run.untilEnd()
        let dropped = try await run.decide()
        #expect(dropped.map(\.state) == [.approved])
        #expect(dropped[0].steps.last?.what.contains("waits") == true, "\(dropped[0].steps)")
        try await run.untilEnd()
        #expect(try await run.schemaChanges().last?.state == .approved)
        try await warehouse.psql("DROP VIEW public.of_somebody")
        try await run.untilEnd()
        #expect(try await run.schemaChanges().map(\.state) == [.applied, .done, .done])
        try await source.expectEqual(run, ["public.t"], "approved")
    }

    /// The same stream once more, from before the changes.
    @Test(arguments: Engine.allCases) func aReplayChangesNothing(engine: Engine) async throws {
        let source = try await SourceDatabase("again_\(engine.rawValue)", Self.setup)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let slot = "millrace_\(run.name)"
        try await source.sql("SELECT pg_copy_logical_replication_slot('\(slot)', 'kept_\(slot)')")
        for sql in [
            "ALTER TABLE t ADD COLUMN d int DEFAULT 5; INSERT INTO t (id, code) VALUES (6, 60);",
            "UPDATE t SET c = 'gone' WHERE id = 3; ALTER TABLE t DROP COLUMN c; INSERT INTO t (id, code, a) VALUES (7, 70, 'x');",
            "ALTER TABLE t RENAME COLUMN a TO z; UPDATE t SET z = 'y' WHERE id = 2; DELETE FROM t WHERE id = 4;",
            "ALTER TABLE t ALTER COLUMN b TYPE bigint; INSERT INTO t (id, code, b) VALUES (8, 80, 5000000000);",
            "ALTER TABLE t ALTER COLUMN b TYPE text; INSERT INTO t (id, code, b) VALUES (9, 90, 'nine');",
        ] {
            try await source.sql(sql)
            try await run.untilEnd()
            try await run.decide()
            try await run.untilEnd()
        }
        try await source.expectEqual(run, ["public.t"], "first")
        let (live, current, changes) = (
            try await shown(run, \.live), try await shown(run, \.current), try await run.schemaChanges()
        )
        try await source.sql(
            "SELECT pg_drop_replication_slot('\(slot)'); SELECT pg_copy_logical_replication_slot('kept_\(slot)', '\(slot)')"
        )
        let position = try await source.sql(
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = 'kept_\(slot)'")
        try await run.writing { warehouse, _ in
            let partition = try #require(try await warehouse.checkpoints().first).partition
            try await warehouse.set(positions: [
                partition: Int64(position.trimmingCharacters(in: .whitespacesAndNewlines))
            ])
        }
        let again = try await run.untilEnd()
        let sum = again.tables.values.reduce(into: LedgerEntry(table: nil)) { $0 += $1.ledger }
        #expect(sum.read > 0 && sum.applied == 0 && sum.quarantined == 0, "\(sum)")
        #expect(try await shown(run, \.live) == live)
        #expect(try await shown(run, \.current) == current)
        #expect(try await run.schemaChanges() == changes)
    }

    @Test func grantsOutliveViewsThatAreMadeAnew() async throws {
        let source = try await SourceDatabase("grants", Self.setup)
        let run = try await source.pipeline(.postgres)
        try await run.untilEnd()
        let warehouse = try await SharedServer.shared.theServer()
        let live = "\(run.name)_live"
        try await warehouse.psql(
            "CREATE ROLE reader_of_grants; GRANT SELECT ON \(live).t TO reader_of_grants; GRANT SELECT ON \(live).t TO PUBLIC"
        )
        func rights() async throws -> String {
            try await warehouse.psql(
                "SELECT has_table_privilege('reader_of_grants', '\(live).t', 'SELECT'), (SELECT relacl::text LIKE '%{=r/%' OR relacl::text LIKE '%,=r/%' FROM pg_class WHERE oid = '\(live).t'::regclass)"
            )
        }
        let before = try await rights()
        try await source.sql("ALTER TABLE t ALTER COLUMN b TYPE bigint;" + Self.touch)
        try await run.untilEnd()
        #expect(try await rights() == before && before.contains("t"))
        try await source.sql("ALTER TABLE t ALTER COLUMN b TYPE text;" + Self.touch)
        try await run.untilEnd()
        try await run.decide()
        #expect(try await rights() == before)
    }
}

import Foundation
import JSON
import Replication
import Testing

@testable import Agent

/// Tables that Fivetran, Airbyte, PeerDB and the Debezium JDBC sink made, adopted, and held against the source.
@Suite struct AdoptionTests {
    private let kinds = ForeignKind.all

    /// A source with a table for each kind, and a warehouse that has them all, each by another's hand.
    private func adopting(
        _ name: String, _ engine: Engine, snapshot: String
    ) async throws -> (SourceDatabase, PipelineRun) {
        let tables = kinds.map {
            """
            CREATE TABLE \($0.name) (id bigint PRIMARY KEY, status text, note text);
            INSERT INTO \($0.name) VALUES \(ForeignKind.sourceRows.joined(separator: ", "));
            """
        }
        let source = try await SourceDatabase("\(name)_\(engine.rawValue)", tables.joined())
        let entries = kinds.map { kind in
            let metadata = kind.yaml.map { ", metadata_columns: \($0)" } ?? ""
            return "  - { source: public.\(kind.name), existing: adopt\(metadata) }\n"
        }
        let run = try await source.pipeline(
            engine, source: "  snapshot: \(snapshot)", rest: "tables:\n" + entries.joined())
        try await foreign(
            run, "create schema if not exists \(schema(run));" + kinds.map { $0.sql(schema(run), engine) }.joined())
        return (source, run)
    }

    /// DuckDB names a file's catalog after it, and so like the schema.
    private func schema(_ run: PipelineRun) -> String { run.engine == .duckdb ? "\(run.name).\(run.name)" : run.name }

    private func foreign(_ run: PipelineRun, _ sql: String) async throws {
        switch run.engine {
        case .duckdb: try await ForeignSQL.duckdb(run.folder.path("\(run.name).duckdb"), sql)
        case .postgres: try await ForeignSQL.postgres(SharedServer.shared.url(), sql)
        }
    }

    private func rows(_ run: PipelineRun, _ sql: String) async throws -> [[String?]] {
        try await run.looking { warehouse, _ in try await warehouse.query(sql, rows_max: 1000).rows }
    }

    /// What a reader finds who compares the live views with the source.
    private func differences(_ source: SourceDatabase, _ run: PipelineRun) async throws -> [String: [String]] {
        let expected = try await source.expected(kinds.map { "public.\($0.name)" })
        return try await run.looking { warehouse, layout in
            let known = try await warehouse.knownTables()
            var found: [String: [String]] = [:]
            for table in expected.tables {
                let definition = try #require(expected.definition(of: table, in: known), "\(table.name) isn't known")
                let query = ExpectedTables.query(definition, layout: layout, engine: run.engine.rawValue)
                let rows = try await warehouse.query(query, rows_max: 1000).rows
                found[table.name] = ExpectedTables.differences(table, definition: definition, rows: rows)
                    .map { $0.description.replacing("\(table.name) ", with: "").replacing("e0", with: "") }.sorted()
            }
            return found
        }
    }

    /// Theirs, of the rows that were there before.
    private func kept(_ run: PipelineRun) async throws -> [String: [[String?]]] {
        var found: [String: [[String?]]] = [:]
        for kind in kinds where !kind.kept.isEmpty {
            let columns = kind.kept.map { "cast(\"\($0)\" as varchar)" }.joined(separator: ", ")
            found[kind.name] = try await rows(
                run, "select id, \(columns) from \(run.name).\(kind.name) where id not in (3, 9) order by id")
        }
        return found
    }

    @Test(arguments: Engine.allCases) func whatDiffersIsListed(engine: Engine) async throws {
        let (source, run) = try await adopting("adopt_never", engine, snapshot: "never")
        let before = try await kept(run)
        try await run.untilEnd()
        // The first event of each table.
        try await source.sql(kinds.map { "UPDATE \($0.name) SET note = note WHERE id = 6;" }.joined())
        try await run.untilEnd()
        for (table, found) in try await differences(source, run) {
            #expect(found == ForeignKind.differences, "\(engine) \(table)")
        }
        #expect(try await kept(run) == before, "theirs stay")
        for kind in kinds {
            let versions = "select id from \(run.name).\(kind.name) where _version_epoch is not null"
            #expect(try await rows(run, versions) == [["6"]], "\(kind.name): no version is older than any")
        }
        // From then on all is as in a table of ours.
        try await source.sql(
            kinds.map {
                "UPDATE \($0.name) SET status = 'x'; DELETE FROM \($0.name) WHERE id = 1; INSERT INTO \($0.name) VALUES (9, 'n', 'n');"
            }.joined())
        try await run.untilEnd()
        for (table, found) in try await differences(source, run) {
            #expect(found == ["row 5: extra", "row 8: extra"], "\(engine) \(table)")
        }
        #expect(try await kept(run) == before, "theirs stay")
    }

    @Test(arguments: Engine.allCases) func theFirstCopyIsAResync(engine: Engine) async throws {
        let (source, run) = try await adopting("adopt_copy", engine, snapshot: "initial")
        let before = try await kept(run)
        try await run.untilEnd()
        let tables = kinds.map { "public.\($0.name)" }
        try await source.expectEqual(run, tables, "copied into adopted tables")
        for kind in kinds {
            let names = kind.metadata
            let found = try await rows(
                run,
                """
                select id, case when "\(names.deletedAt)" > timestamptz '2026-02-01 00:00:00Z' then 'now' \
                else cast(cast(extract(epoch from "\(names.deletedAt)") as bigint) as varchar) end \
                from \(run.name).\(kind.name) where "\(names.isDeleted)" order by id
                """)
            var expected: [[String?]] = [["5", "now"], ["8", "now"]]
            if kind.hasFlags { expected.insert(["7", kind.deletedAt_s], at: 1) }
            #expect(found == expected, "\(engine) \(kind.name)")
        }
        #expect(try await kept(run) == before, "theirs stay")
        try await source.sql(
            kinds.map {
                "UPDATE \($0.name) SET status = 'x' WHERE id = 2; DELETE FROM \($0.name) WHERE id = 1; INSERT INTO \($0.name) VALUES (9, 'n', 'n');"
            }.joined())
        try await run.untilEnd()
        try await source.expectEqual(run, tables, "streamed into adopted tables")
        #expect(try await kept(run) == before, "theirs stay")
        let again = try await run.untilEnd()
        #expect(again.events == 0, "it is copied once")
    }

    @Test(arguments: Engine.allCases) func checkTells(engine: Engine) async throws {
        let (_, run) = try await adopting("adopt_check", engine, snapshot: "initial")
        let setup = try run.setup
        let findings = try await run.looking { warehouse, _ in await CheckCommand.source(setup, nil, warehouse) }
        func said(_ kind: String) -> [String] {
            findings.filter { $0.subject == "public.\(kind)" }.map { "\($0.level.rawValue): \($0.message)" }
        }
        for kind in kinds {
            let rows = kind.hasFlags ? "its 7 rows (2 of them deleted)" : "its 5 rows"
            let maker = kind.maker.map { ", a table of \($0.rawValue)," } ?? ","
            let adopted = "\(run.name).\(kind.name) is there already\(maker) and will be adopted with \(rows)"
            #expect(said(kind.name).contains { $0.hasPrefix("ok: \(adopted)") }, "\(said(kind.name))")
            #expect(said(kind.name).contains { $0.contains("will be copied anew in place") })
        }
        #expect(
            said("fivetran").contains { $0.contains("_fivetran_deleted → is_deleted, _fivetran_synced → _loaded_at") })
        #expect(said("fivetran").contains { $0.hasPrefix("warning: nobody will keep up _fivetran_deleted") })
        #expect(
            said("fivetran_in_place").contains { $0.contains("used in place: _fivetran_deleted, _fivetran_synced") })
        #expect(
            said("airbyte_text").contains {
                $0.contains("NOT NULL will be dropped from _airbyte_raw_id, _airbyte_extracted_at, _airbyte_meta")
            })
        #expect(said("airbyte_in_place").contains { $0.contains("dropped from _airbyte_raw_id, _airbyte_meta,") })
        #expect(!findings.contains { $0.level == .error && $0.subject.hasPrefix("public.") })
        #expect(try await rows(run, "select count(*) from \(run.name).fivetran") == [["7"]])
    }

    private static let refused: [(name: String, sql: String, says: String)] = [
        (
            "history", "(id bigint, note text, _fivetran_start timestamp, _fivetran_active boolean)", "history mode"
        ),
        (
            "appended", "(id bigint, note text, _airbyte_raw_id varchar not null)",
            "has several rows with one key: 1 key has 2 rows"
        ),
        ("raw", "(_airbyte_raw_id varchar, _airbyte_data json)", "lacks the key column id"),
        ("number", "(id bigint, note text, _fivetran_deleted date)", "which doesn't tell what is deleted"),
    ]

    @Test(arguments: Engine.allCases) func whatCannotBeIsRefusedBeforeAnythingIsWritten(engine: Engine) async throws {
        for (name, columns, says) in Self.refused {
            let folder = try TestFolder()
            let pipeline = "refuse_\(name)_\(engine.rawValue.prefix(1))"
            let event = """
                {"topic":"s.public.orders","key":"{\\"id\\":1}","value":"{\\"before\\":null,\\"after\\":{\\"id\\":1,\\"note\\":\\"n\\"},\\"source\\":{\\"connector\\":\\"postgresql\\",\\"schema\\":\\"public\\",\\"table\\":\\"orders\\",\\"lsn\\":10,\\"txId\\":1,\\"sequence\\":\\"[\\\\\\"9\\\\\\",\\\\\\"10\\\\\\"]\\",\\"ts_ms\\":1},\\"op\\":\\"c\\"}"}
                """
            try event.write(toFile: folder.path("events.jsonl"), atomically: true, encoding: .utf8)
            let run = try await PipelineRun(
                pipeline, engine, source: "  file: { path: events.jsonl }",
                rest: """
                    tables:
                      - source: public.orders
                        existing: adopt
                        columns: { types: { id: bigint, note: text } }
                    """, folder: folder)
            let at = schema(run)
            let rows =
                name == "appended" ? "insert into \(at).orders values (1, 'secret', 'a'), (1, 'secret', 'b');" : ""
            try await foreign(
                run, "create schema if not exists \(at); create table \(at).orders \(columns); \(rows)")
            let before = try await self.rows(run, "select * from \(pipeline).orders")
            let setup = try run.setup
            let findings = try await run.looking { warehouse, _ in await CheckCommand.source(setup, nil, warehouse) }
            let error = try #require(findings.first { $0.level == .error }, "\(engine) \(name)")
            #expect(error.message.contains(says) && error.remedy != nil, "\(engine) \(name): \(error)")
            await #expect {
                try await run.untilEnd()
            } throws: { error in
                guard let error = error as? ReplicationError else { return false }
                return error.kind == .configuration && error.message.contains(says) && error.remedy != nil
                    && !error.message.contains("secret")
            }
            #expect(
                try await self.rows(run, "select * from \(pipeline).orders") == before, "\(name): nothing was written")
        }
    }
}

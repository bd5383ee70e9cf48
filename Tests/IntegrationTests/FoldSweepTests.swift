import Agent
import DuckDB
import Foundation
import JSON
import Replication
import Testing

/// Where no source can be asked, current is held against raw: every planted difference is found with its key and columns,
/// and mended from raw.
@Suite struct FoldSweepTests {
    /// - Parameter sql: names the schema `@`.
    private func execute(_ sql: String, _ run: PipelineRun) async throws {
        // The file's name is the schema's.
        let schema = run.engine == .duckdb ? "\"\(run.name)\".\"\(run.name)\"" : "\"\(run.name)\""
        let sql = sql.replacing("@", with: schema)
        switch run.engine {
        case .duckdb:
            let connection = try await Connection.open(path: run.folder.path("\(run.name).duckdb"))
            try await connection.run(sql, purpose: "tampering")
            await connection.close()
        case .postgres: try await SharedServer.shared.theServer().psql(sql)
        }
    }

    /// A cell of every column of every table is lost, of one of its rows.
    @Test(arguments: ["types_a_schema", "mysql_types_schema", "basic"], Engine.allCases)
    func everyColumn(name: String, engine: Engine) async throws {
        try await Turns.shared.one {
            let file = try #require((CorpusFile.all + CorpusFile.everyType).first { $0.name == name })
            let run = try await file.run(
                "fs_\(file.slug)", engine, path: Corpus.path(name + ".jsonl"), folder: TestFolder())
            try await run.untilEnd()
            var planted: [String: Set<String>] = [:]
            var statements: [String] = []
            let tables = try await run.looking { warehouse, _ in try await warehouse.knownTables() }
            for table in tables where !table.isKeyless {
                let key = "\"\(table.columns[table.key[0]].name)\""
                let relation = "\"\(run.name)\".\"\(table.target)\""
                for (index, column) in table.columns.enumerated() where !table.key.contains(index) {
                    let name = "\"\(column.name)\""
                    // A cell that says something.
                    let first = try await run.looking { warehouse, _ in
                        try await warehouse.query(
                            """
                            select min(\(key)) from \(relation) where \(name) is not null and is_deleted is not true \
                            \(engine == .duckdb ? "and cast(\(name) as varchar) <> 'null'" : "and concat(\(name)) <> 'null'")
                            """, rows_max: 1
                        ).rows[0][0]
                    }
                    guard let first else { continue }
                    planted["\(table.source) \(first)", default: []].insert(column.name)
                    statements.append("UPDATE @.\"\(table.target)\" SET \(name) = NULL WHERE \(key) = '\(first)';")
                }
            }
            #expect(!planted.isEmpty)
            try await execute(statements.joined(), run)
            let found = try await run.folded()
            var told: [String: Set<String>] = [:]
            for table in found.tables {
                for difference in table.differences {
                    #expect(difference.kind == .different)
                    told["\(table.source) \(difference.key.joined())"] = Set(difference.columns)
                }
            }
            #expect(told == planted, "\(engine): \(found.tables.map(\.reason))")
            let mended = try await run.folded(repairs: true)
            #expect(mended.tables.allSatisfy { $0.record?.isEqual ?? true })
            #expect(mended.tables.reduce(0) { $0 + ($1.record?.repaired ?? 0) } == planted.count)
            try await file.expectEqual(run, "mended")
            #expect(try await run.untilEnd().events == 0)
        }
    }

    @Test(arguments: Engine.allCases) func everyKind(engine: Engine) async throws {
        let file = try #require(CorpusFile.all.first { $0.name == "basic" })
        let run = try await file.run(
            "fs_kinds", engine, path: Corpus.path(file.name + ".jsonl"), folder: TestFolder())
        try await run.untilEnd()
        let table = try #require(
            try await run.looking { warehouse, _ in try await warehouse.knownTables() }.first { $0.target == "orders" })
        let key = "\"\(table.columns[table.key[0]].name)\""
        let relation = "\"\(run.name)\".\"orders\""
        let ids = try await run.looking { warehouse, _ in
            try await warehouse.query(
                "select \(key) from \(relation) where is_deleted is not true order by 1 limit 3", rows_max: 3
            ).rows.compactMap { $0[0] }
        }
        try #require(ids.count == 3)
        try await execute(
            """
            DELETE FROM @.orders WHERE \(key) = \(ids[0]);
            UPDATE @.orders SET is_deleted = true WHERE \(key) = \(ids[1]);
            INSERT INTO @.orders (\(key), is_deleted, _version_epoch, _version_commit, _version_seq)
              VALUES (987654321, false, 0, 1, 2);
            """, run)
        let found = try #require(try await run.folded().tables.first { $0.source == table.source.description })
        #expect(
            Set(found.differences.map { "\($0.kind) \($0.key.joined())" }) == [
                "missing \(ids[0])", "wronglyDeleted \(ids[1])", "extra 987654321",
            ], "\(engine): \(found)")
        // Of rows of which something came lately the same is told, since all of raw is asked then.
        let recent = try #require(
            try await run.folded(recent_s: 86400).tables.first { $0.source == table.source.description })
        #expect(Set(recent.differences) == Set(found.differences) && recent.record?.isRecent == false)
        let mended = try #require(
            try await run.folded(repairs: true).tables.first { $0.source == table.source.description })
        // What raw doesn't know is told and stays.
        #expect(mended.record?.repaired == 2 && mended.differences.map(\.kind) == [.extra], "\(engine): \(mended)")
        try await execute("DELETE FROM @.orders WHERE \(key) = 987654321;", run)
        try await file.expectEqual(run, "mended")
        #expect(try await run.folded().tables.first { $0.source == table.source.description }?.record?.isEqual == true)
        let some = try await run.folded(recent_s: 86400).tables.compactMap(\.record)
        #expect(!some.isEmpty && some.allSatisfy { $0.isEqual && $0.isRecent && $0.isFold }, "\(engine): \(some)")
        #expect(some.contains { $0.table == table.source && $0.rows >= 3 }, "\(engine): \(some)")
        let sweeps = try await run.looking { warehouse, _ in try await warehouse.lastSweeps() }
        #expect(sweeps[table.source]?.proof?.isFold == true && sweeps[table.source]?.proof?.isRecent == false)
    }

    /// Events in any order, and twice; a row of them was lost and one is older than raw says.
    @Test(arguments: Engine.allCases) func lateEventsAreReconciled(engine: Engine) async throws {
        let file = try #require(CorpusFile.all.first { $0.name == "basic" })
        let folder = try TestFolder()
        let lines = try file.lines()
        try folder.write(lines.reversed() + lines, to: "late.jsonl")
        let run = try await file.run(
            "fs_late", engine, path: folder.path("late.jsonl"), rest: "batch: { max_rows: 2 }\n", folder: folder)
        try await run.untilEnd()
        try await file.expectEqual(run, "in reverse")
        func late(_ condition: String) async throws -> Int {
            try await run.looking { warehouse, _ in
                let rows = try await warehouse.query(
                    """
                    select count(*) from _millrace.late_events where pipeline = '\(run.name)' and key is not null \
                    and reconciled_at \(condition)
                    """, rows_max: 1
                ).rows
                return Int(rows[0][0] ?? "") ?? -1
            }
        }
        let count = try await late("is null")
        try #require(count > 0)
        let (table, key) = try await run.looking { warehouse, _ in
            let row = try await warehouse.query(
                """
                select source_table, cast(key as varchar) from _millrace.late_events where pipeline = '\(run.name)' \
                and op <> 'd' order by 1, 2 limit 1
                """, rows_max: 1
            ).rows[0]
            return (row[0] ?? "", try JSONValue(parsing: row[1] ?? "").members?.first)
        }
        let column = try #require(key)
        try await execute(
            "DELETE FROM @.\"\(table)\" WHERE \"\(column.key)\" = \(column.value.serialized);", run)
        let report = try await run.reconciled()
        #expect(report.tables.allSatisfy { $0.late != nil && $0.reason == nil })
        #expect(report.tables.reduce(0) { $0 + ($1.late?.mended ?? 0) } == 1, "\(engine): \(report)")
        #expect(try await late("is null") == 0)
        #expect(try await late("is not null") == count)
        try await file.expectEqual(run, "reconciled")
        #expect(try await run.reconciled().tables.allSatisfy { $0.late == .init(rows: 0, mended: 0) })
    }
}

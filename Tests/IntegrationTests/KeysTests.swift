import Foundation
import JSON
import Replication
import Testing

/// Each key of the pipeline file that this step has: set, and its effect seen in both warehouses.
@Suite struct KeysTests {
    /// Events of `public.orders (id int, status text, email text, card text, amount int)`, with schema.
    private static func line(
        _ op: String, _ lsn: Int, id: Int, _ rest: [String: String] = [:], table: String = "orders"
    ) -> String {
        let row =
            "{\"id\":\(id),\"status\":\(rest["status"] ?? "\"paid\""),\"email\":\(rest["email"] ?? "\"a@example.com\""),"
            + "\"card\":\(rest["card"] ?? "\"4111\""),\"amount\":\(rest["amount"] ?? "5")}"
        let payload =
            "{\"before\":\(op == "d" ? row : "null"),\"after\":\(op == "d" ? "null" : row),\"source\":{\"version\":\"3\","
            + "\"connector\":\"postgresql\",\"name\":\"shop\",\"ts_ms\":\(1_700_000_000_000 + lsn),\"snapshot\":\"false\",\"db\":\"shop\","
            + "\"sequence\":\"[\\\"\(lsn)\\\",\\\"\(lsn)\\\"]\",\"schema\":\"public\",\"table\":\"\(table)\",\"txId\":\(lsn),\"lsn\":\(lsn)},"
            + "\"op\":\"\(op)\",\"ts_ms\":1}"
        func field(_ name: String, _ type: String) -> String {
            "{\"type\":\"\(type)\",\"optional\":true,\"field\":\"\(name)\"}"
        }
        let fields = [
            field("id", "int32"), field("status", "string"), field("email", "string"), field("card", "string"),
            field("amount", "int32"),
        ]
        let image = { (name: String) in
            "{\"type\":\"struct\",\"fields\":[\(fields.joined(separator: ","))],\"optional\":true,\"name\":\"shop.Value\",\"field\":\"\(name)\"}"
        }
        let schema =
            "{\"type\":\"struct\",\"fields\":[\(image("before")),\(image("after"))],\"optional\":false,\"name\":\"shop.Envelope\"}"
        let value = "{\"schema\":\(schema),\"payload\":\(payload)}"
        let key =
            "{\"schema\":{\"type\":\"struct\",\"fields\":[\(field("id", "int32"))],\"optional\":false,\"name\":\"shop.Key\"},\"payload\":{\"id\":\(id)}}"
        return
            "{\"topic\":\"shop.public.\(table)\",\"key\":\(JSONText.quoted(key)),\"value\":\(JSONText.quoted(value))}"
    }

    private static let orders = [
        line("r", 10, id: 1), line("c", 20, id: 2, ["status": "\"draft\""]), line("c", 30, id: 3),
        line("u", 40, id: 2, ["status": "\"paid\"", "amount": "7"]), line("u", 50, id: 3, ["status": "\"draft\""]),
        line("d", 60, id: 1), line("c", 70, id: 9, table: "secrets"),
    ]

    private func run(
        _ name: String, _ engine: Engine, lines: [String] = orders, sourceKeys: String = "", rest: String = "",
        folder: TestFolder? = nil
    ) async throws -> PipelineRun {
        let folder = try folder ?? TestFolder()
        let path = folder.path("\(name).jsonl")
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        let run = try await PipelineRun(
            name, engine, source: "  file: { path: \(JSONText.quoted(path)) }\n\(sourceKeys)", rest: rest,
            folder: folder)
        try await run.untilEnd()
        return run
    }

    private func rows(_ run: PipelineRun, _ sql: String) async throws -> [[String?]] {
        try await run.looking { warehouse, _ in try await warehouse.query(sql, rows_max: 1000).rows }
    }

    private func tables(_ run: PipelineRun) async throws -> [String] {
        try await run.looking { warehouse, _ in try await warehouse.knownTables().map(\.target) }
    }

    @Test(arguments: Engine.allCases) func includeAndExclude(engine: Engine) async throws {
        #expect(try await tables(run("inc", engine, sourceKeys: "  include: [\"public.o*\"]")) == ["orders"])
        #expect(try await tables(run("exc", engine, sourceKeys: "  exclude: [\"*.secrets\"]")) == ["orders"])
    }

    @Test(arguments: Engine.allCases) func snapshot(engine: Engine) async throws {
        var run = try await run("never", engine, sourceKeys: "  snapshot: never\n  include: [public.orders]")
        #expect(
            try await rows(run, "select op from never_raw.orders order by _version_commit").map { $0[0] } == [
                "c", "c", "u", "u", "d",
            ])
        run = try await self.run("only", engine, sourceKeys: "  snapshot: only\n  include: [public.orders]")
        #expect(try await rows(run, "select op from only_raw.orders").map { $0[0] } == ["r"])
        #expect(try await rows(run, "select id from only_live.orders") == [["1"]])
    }

    @Test(arguments: Engine.allCases) func targetAndSchemas(engine: Engine) async throws {
        let run = try await PipelineKeysRun.schemas(self, engine)
        #expect(
            try await rows(run, "select id, status from \"Live now\".\"my orders\" order by id") == [
                ["2", "paid"], ["3", "draft"],
            ])
        #expect(try await rows(run, "select count(*) from cur.\"my orders\"") == [["3"]])
        #expect(try await rows(run, "select count(*) from \"raw-layer\".\"my orders\"") == [["6"]])
        #expect(try await rows(run, "select count(*) from hist.\"my orders\" where is_current") == [["2"]])
    }

    fileprivate func run(
        named name: String, _ engine: Engine, schemas: String, tables: String
    ) async throws -> PipelineRun {
        let folder = try TestFolder()
        let path = folder.path("events.jsonl")
        try Self.orders.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        var run = try await PipelineRun(
            name, engine, source: "  include: [public.orders]\n  file: { path: \(JSONText.quoted(path)) }",
            rest: tables,
            folder: folder)
        run.yaml = run.yaml.replacing("warehouse:\n", with: "warehouse:\n  schemas: \(schemas)\n")
        try await run.untilEnd()
        return run
    }

    @Test(arguments: Engine.allCases) func key(engine: Engine) async throws {
        let run = try await run(
            "keyed", engine, lines: [Self.line("c", 10, id: 1), Self.line("u", 20, id: 1, ["amount": "6"])],
            rest: "tables:\n  - source: public.orders\n    key: [status, id]")
        let known = try await run.looking { warehouse, _ in try await warehouse.knownTables() }
        #expect(known[0].key.map { known[0].columns[$0].name } == ["status", "id"])
        #expect(try await rows(run, "select status, id, amount from keyed_live.orders") == [["paid", "1", "6"]])
    }

    @Test(arguments: Engine.allCases) func existing(engine: Engine) async throws {
        for policy in ["error", "adopt", "replace"] {
            let name = "exist_\(policy)"
            let folder = try TestFolder()
            var first = try await PipelineRun(
                name, engine, source: "  file: { path: none.jsonl }", folder: folder)
            first.yaml += "tables:\n  - source: public.orders\n    existing: \(policy)\n"
            try await foreignTable(first, engine)
            if policy == "error" {
                await #expect {
                    _ = try await self.run(
                        name, engine, rest: "tables:\n  - source: public.orders\n    existing: error", folder: folder)
                } throws: { ($0 as? ReplicationError)?.kind == .configuration }
                continue
            }
            let run = try await self.run(
                name, engine, sourceKeys: "  include: [public.orders]",
                rest: "tables:\n  - source: public.orders\n    existing: \(policy)", folder: folder)
            let live = try await rows(run, "select id, status from \(name)_live.orders order by id")
            // An adopted row that no event names stays as it was, older than everything.
            let adopted: [[String?]] = [["2", "paid"], ["3", "draft"], ["77", "old"]]
            #expect(live == (policy == "adopt" ? adopted : [["2", "paid"], ["3", "draft"]]), "\(policy)")
            if policy == "replace" {
                #expect(try await rows(run, "select id, status from \(name).orders_replaced_1") == [["77", "old"]])
            }
        }
    }

    /// Somebody else's table where ours would be.
    private func foreignTable(_ run: PipelineRun, _ engine: Engine) async throws {
        // DuckDB names a file's catalog after it, and so like the schema.
        let schema = engine == .duckdb ? "\(run.name).\(run.name)" : run.name
        let sql = """
            create schema if not exists \(schema);
            create table \(schema).orders (id int, status text, email text, card text, amount int);
            insert into \(schema).orders values (77, 'old', null, null, null);
            """
        switch engine {
        case .duckdb: try await ForeignSQL.duckdb(run.folder.path("\(run.name).duckdb"), sql)
        case .postgres: try await ForeignSQL.postgres(SharedServer.shared.url(), sql)
        }
    }

    @Test(arguments: Engine.allCases) func excludeHashAndTypes(engine: Engine) async throws {
        let run = try await run(
            "cols", engine, sourceKeys: "  include: [public.orders]",
            rest: """
                tables:
                  - source: public.orders
                    columns: { exclude: [card], hash: [email], types: { amount: "numeric(12,2)" } }
                """)
        let known = try await run.looking { warehouse, _ in try await warehouse.knownTables() }
        #expect(known[0].columns.map(\.name) == ["id", "status", "email", "amount"])
        #expect(known[0].columns[3].type == .numeric(precision: 12, scale: 2))
        let mails = try await rows(run, "select distinct email from cols_live.orders")
        #expect(mails.count == 1 && mails[0][0]?.count == 64 && mails[0][0] != "a@example.com")
        #expect(try await rows(run, "select amount from cols_live.orders where id = 2") == [["7.00"]])
        let raw = try await rows(run, "select cast(after as varchar), cast(before as varchar) from cols_raw.orders")
        for cell in raw.flatMap({ $0 }).compactMap({ $0 }) {
            #expect(!cell.contains("4111") && !cell.contains("a@example.com") && !cell.contains("card"))
        }
    }

    @Test(arguments: Engine.allCases) func whereKeepsRowsOut(engine: Engine) async throws {
        let run = try await run(
            "filt", engine, sourceKeys: "  include: [public.orders]",
            rest: "tables:\n  - source: public.orders\n    where: \"status <> 'draft'\"")
        #expect(try await rows(run, "select id, amount from filt_live.orders order by id") == [["2", "7"]])
        // 3 was live until it became a draft; its row says so, deleted.
        #expect(try await rows(run, "select id from filt.orders where is_deleted order by id") == [["1"], ["3"]])
        #expect(try await rows(run, "select count(*) from filt_raw.orders") == [["6"]], "filtered events are in raw")
        let ledger = try await run.looking { warehouse, _ in try await warehouse.ledger().tables[0] }
        #expect(ledger.filtered == 2 && ledger.compacted == 2 && ledger.addsUp)
    }

    @Test(arguments: Engine.allCases) func metadataColumns(engine: Engine) async throws {
        let presets: [(String, [String])] = [
            ("default", ["is_deleted", "deleted_at", "_source_updated_at", "_loaded_at"]),
            ("fivetran", ["_fivetran_deleted", "deleted_at", "_source_updated_at", "_fivetran_synced"]),
            ("airbyte", ["is_deleted", "_ab_cdc_deleted_at", "_ab_cdc_updated_at", "_airbyte_extracted_at"]),
            ("peerdb", ["_PEERDB_IS_DELETED", "deleted_at", "_source_updated_at", "_PEERDB_SYNCED_AT"]),
        ]
        for (preset, names) in presets {
            let run = try await run(
                "meta_\(preset)", engine, sourceKeys: "  include: [public.orders]", rest: "metadata_columns: \(preset)")
            let list = names.map { "\"\($0)\"" }.joined(separator: ", ")
            let deleted = try await rows(run, "select \(list) from meta_\(preset).orders where \"\(names[0])\"")
            #expect(deleted.count == 1 && deleted[0].allSatisfy { $0 != nil }, "\(preset)")
        }
        let own = try await run(
            "meta_own", engine, sourceKeys: "  include: [public.orders]",
            rest: """
                tables:
                  - source: public.orders
                    metadata_columns: { is_deleted: gone, _loaded_at: "seen at" }
                """)
        #expect(
            try await rows(own, "select id, gone from meta_own.orders where \"seen at\" is not null and gone") == [
                ["1", "true"]
            ])
    }

    /// A preset for one table alone, and names of one's own for all.
    @Test(arguments: Engine.allCases) func metadataColumnsPerTableAndForAll(engine: Engine) async throws {
        for (preset, name) in [
            ("default", "is_deleted"), ("fivetran", "_fivetran_deleted"), ("airbyte", "_ab_cdc_deleted_at"),
            ("peerdb", "_PEERDB_IS_DELETED"),
        ] {
            let run = try await run(
                "metat_\(preset)", engine,
                rest: """
                    metadata_columns: { is_deleted: gone, deleted_at: "gone at", _source_updated_at: seen, _loaded_at: here }
                    tables: [{ source: public.orders, metadata_columns: \(preset) }]
                    """)
            let condition = preset == "airbyte" ? "is not null" : ""
            let live = try await rows(
                run, "select id from metat_\(preset).orders where \"\(name)\" \(condition) order by id")
            #expect(live == [["1"]], "\(preset)")
            let others = try await rows(
                run, "select id, gone, \"gone at\", seen is not null, here is not null from metat_\(preset).secrets")
            #expect(others == [["9", "false", nil, "true", "true"]], "\(preset)")
        }
    }

    /// `schema__table` where the schema isn't the default one.
    @Test(arguments: Engine.allCases) func targetsOfOtherSchemas(engine: Engine) async throws {
        let other = Self.line("c", 70, id: 9, table: "people").replacing(
            "\\\"schema\\\":\\\"public", with: "\\\"schema\\\":\\\"crm")
        let run = try await run("targets", engine, lines: [Self.orders[0], other])
        #expect(try await tables(run) == ["crm__people", "orders"])
        #expect(try await rows(run, "select id from targets_live.crm__people") == [["9"]])
    }

    @Test(arguments: Engine.allCases) func whereIsALanguage(engine: Engine) async throws {
        for (index, (condition, ids)) in [
            ("amount > 6 or status = 'draft'", ["2", "3"]), ("not (amount < 6)", ["2"]),
            ("status in ('draft', 'new')", ["3"]), ("email is not null and card like '41%'", ["2", "3"]),
            ("email is null", []), ("amount = 7 and status <> 'draft'", ["2"]),
        ].enumerated() {
            let run = try await run(
                "wh\(index)", engine, sourceKeys: "  include: [public.orders]",
                rest: "tables:\n  - source: public.orders\n    where: \"\(condition)\"")
            let live = try await rows(run, "select id from wh\(index)_live.orders order by id")
            #expect(live.map { $0[0] } == ids, "\(condition)")
        }
    }

    /// The engine's own keys.
    @Test func duckDBIsGivenItsMemory() async throws {
        let run = try await run("limited", .duckdb)
        let limit = try await rows(run, "select current_setting('memory_limit')")[0][0]
        #expect(limit?.hasPrefix("512") == true, "\(limit ?? "")")
        #expect(FileManager.default.fileExists(atPath: run.folder.path("limited.duckdb")))
    }

    @Test(arguments: Engine.allCases) func layers(engine: Engine) async throws {
        let noRaw = try await run("noraw", engine, rest: "layers: { raw: false }")
        #expect(try await rows(noRaw, "select id from noraw_live.orders order by id") == [["2"], ["3"]])
        await #expect(throws: (any Error).self) { try await rows(noRaw, "select * from noraw_raw.orders") }
        let noCurrent = try await run("nocur", engine, rest: "layers: { current: false }")
        #expect(try await rows(noCurrent, "select count(*) from nocur_raw.orders") == [["6"]])
        await #expect(throws: (any Error).self) { try await rows(noCurrent, "select * from nocur.orders") }
    }

    @Test(arguments: Engine.allCases) func batch(engine: Engine) async throws {
        for (index, batch) in ["{ max_rows: 2 }", "{ max_bytes: 1KiB }", "{ max_delay: 0ms }"].enumerated() {
            let run = try await run(
                "batch\(index)", engine, sourceKeys: "  include: [public.orders]", rest: "batch: \(batch)")
            let batches = try await rows(
                run, "select count(distinct batch) from _millrace.ledger where pipeline = 'batch\(index)'")
            if index < 2 { #expect((Int(batches[0][0] ?? "") ?? 0) >= 3, "\(batch)") }
            #expect(try await rows(run, "select count(*) from batch\(index)_live.orders") == [["2"]])
        }
    }

    @Test(arguments: Engine.allCases) func collisionsAreToldWithTheWayOut(engine: Engine) async throws {
        let line = Self.line("c", 10, id: 1).replacing("card", with: "is_deleted")
        await #expect {
            _ = try await run("coll", engine, lines: [line])
        } throws: { error in
            let error = error as? ReplicationError
            return error?.kind == .configuration && error?.remedy?.contains("metadata_columns") == true
        }
    }
}

private enum PipelineKeysRun {
    static func schemas(_ tests: KeysTests, _ engine: Engine) async throws -> PipelineRun {
        try await tests.run(
            named: "sch", engine, schemas: "{ current: cur, raw: raw-layer, live: \"Live now\", history: hist }",
            tables: "tables:\n  - source: public.orders\n    target: my orders")
    }
}

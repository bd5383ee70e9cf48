import Foundation
import Replication
import Testing

@testable import Agent

/// What `check` says of flattened events, and what the pipeline file's keys for them do.
@Suite struct FlattenedCheckTests {
    private func findings(_ file: String, source: String = "", rest: String = "") async throws -> [String] {
        let run = try await PipelineRun(
            "chk", .duckdb, source: "  file: { path: \(JSONText.quoted(Corpus.path(file + ".jsonl"))) }\n\(source)",
            rest: rest, folder: TestFolder())
        let setup = try run.setup
        return await CheckCommand.source(setup, nil, nil).map {
            "\($0.level.rawValue) \($0.subject): \($0.message)"
        }
    }

    @Test(arguments: [("sqlserver", "SQL Server"), ("oracle", "Oracle"), ("mongodb", "MongoDB")])
    func connectorsThatNobodyMet(_ connector: String, _ name: String) async throws {
        let found = try await findings("documented_\(connector)")
        #expect(
            found.contains { $0.hasPrefix("warning source: events of Debezium's connector for \(name)") }, "\(found)")
        let met = try await findings("basic")
        #expect(!met.contains { $0.contains("documentation has them") })
    }

    @Test func typesWithoutAPlaceholder() async throws {
        func columns(_ file: String, _ source: String = "") async throws -> [String] {
            let found = try await findings(
                file, source: source, rest: Corpus.tablesYAML(file)
            ).first { $0.contains("which looks like a real one") }
            let list = found?.split(separator: " value of ").last?.split(separator: " alone").first
            return (list ?? "").split(separator: ", ").map(String.init).sorted()
        }
        let always = ["a_bool", "a_double", "a_enum", "a_num", "a_ts", "a_tstz", "c_varbit"]
        #expect(try await columns("toast_types_a") == always)
        #expect(
            try await columns("toast_types_b", "  debezium: { binary_handling_mode: base64 }")
                == (always + ["a_bytea", "c_bytea"]).sorted())
        #expect(try await columns("basic") == [])
    }

    @Test func whatFlattenedEventsLeaveOut() async throws {
        let plain = try await findings("unwrap_plain")
        #expect(plain.contains { $0.hasPrefix("ok public.orders: → ") && $0.hasSuffix("key (id)") })
        #expect(plain.contains { $0.contains("warning public.orders") && $0.contains("convergence") })
        #expect(plain.contains { $0.contains("public.orders") && $0.contains("tombstones without a position") })
        #expect(plain.contains { $0.contains("public.orders") && $0.contains("whether they insert or update") })
        #expect(plain.contains { $0.contains("truncates") })

        let dropped = try await findings("unwrap_drop")
        #expect(dropped.contains { $0.hasPrefix("error public.orders: rows change their key") })
        #expect(dropped.contains { $0.hasPrefix("warning public.nopk: no delete is among the records") })
        #expect(dropped.contains { $0.hasPrefix("error public.nopk: the table has no key") })

        for good in ["unwrap_rewrite", "unwrap_tombstone"] {
            let told = try await findings(good).filter { $0.contains("public.orders") && !$0.hasPrefix("ok") }
            #expect(told.count == 2, "\(told)")
            #expect(told.contains { $0.contains("truncates") } && told.contains { $0.contains("stored as the JSON") })
        }
    }

    @Test func cloudEventsAreLookedAtAsTheirEnvelopes() async throws {
        let found = try await findings("basic_cloudevents")
        #expect(found.contains { $0.hasPrefix("ok public.orders: → ") && $0.hasSuffix("key (order_id)") })
        // `snapshot` is "false" for streamed events: NULL becomes the default.
        #expect(found.contains { $0.hasPrefix("warning public.orders: the connector sends a column's default") })
    }

    @Test(arguments: Engine.allCases) func theTableOfARoutedTopic(engine: Engine) async throws {
        let folder = try TestFolder()
        let lines = [
            #"{"topic":"feed","key":"{\"id\":1}","value":"{\"id\":1,\"v\":\"a\"}"}"#,
            #"{"topic":"feed","key":"{\"id\":2}","value":"{\"id\":2,\"v\":\"b\"}"}"#,
            #"{"topic":"feed","key":"{\"id\":1}","value":null}"#,
        ]
        try folder.write(lines.map { Data($0.utf8) }, to: "feed.jsonl")
        let run = try await PipelineRun(
            "routed", engine,
            source: "  file: { path: \(JSONText.quoted(folder.path("feed.jsonl"))), format: flattened }",
            rest: "tables: [{ source: app.events, topic: feed, columns: { types: { id: integer, v: text } } }]",
            folder: folder)
        try await run.untilEnd()
        let rows = try await run.looking { warehouse, _ in
            try await warehouse.query("select id, v, is_deleted from routed.app__events order by id", rows_max: 10).rows
        }
        #expect(rows.map { $0[0] } == ["1", "2"] && rows.map { $0[1] } == ["a", "b"])
        #expect(rows.map { $0[2]?.hasPrefix("t") } == [true, false])
    }
}

import Agent
import Foundation
import JSON
import Logging
import Replication
import Synchronization
import Testing

/// Records in Confluent's wire format whose schemas aren't all to be had, through the whole of a pipeline.
@Suite struct FramedRecordsTests {
    /// A pipeline over `basic_avro`, whose schemas' file lies in the run's folder.
    private func run(_ name: String, _ engine: Engine) async throws -> PipelineRun {
        let folder = try TestFolder()
        let source = """
              file:
                path: \(JSONText.quoted(Corpus.path("basic_avro.jsonl")))
                schema_registry: { file: registry.jsonl }
            """
        return try await PipelineRun(name, engine, source: source, folder: folder)
    }

    private func schemas() throws -> [Data] {
        try Corpus.data("basic_avro.registry.jsonl").split(separator: 0x0A).map { Data($0) }
    }

    @Test(arguments: Engine.allCases)
    func aSchemaThatComesLate(engine: Engine) async throws {
        let run = try await run("late_schema", engine)
        let file = CorpusFile(name: "basic_avro", isFramed: true)
        // Orders' values have schema 4.
        let all = try schemas()
        try run.folder.write(
            all.filter { !String(decoding: $0, as: UTF8.self).contains("\"id\":4,") }, to: "registry.jsonl")
        try await run.untilEnd()
        try await file.expectEqual(run, leavingOut: ["public.orders"], "without a schema")
        let waiting = try await run.looking { warehouse, _ in try await warehouse.quarantine() }
        #expect(waiting.count == 23)
        for record in waiting {
            #expect(record.entry.reason.hasSuffix("its schema (id 4) can't be had: registry.jsonl doesn't have it"))
            #expect(record.entry.value?.prefix(5) == [0, 0, 0, 0, 4])
        }
        try run.folder.write(all, to: "registry.jsonl")
        let setup = try run.setup
        let outcomes = try await setup.withWarehouse(readOnly: false) { warehouse in
            try await setup.control(warehouse, catalog: nil, running: nil).replay(.all)
        }
        #expect(outcomes.count == 23 && outcomes.allSatisfy { $0.state == .replayed }, "\(outcomes)")
        try await file.expectEqual(run, "replayed from quarantine")
    }

    private final class Said: Sendable {
        let parts = Mutex<[String]>([])
    }

    @Test func checkLooksAtThem() async throws {
        let run = try await run("check_schemas", .duckdb)
        func check() async throws -> [String] {
            let said = Said()
            let context = CommandContext(
                file: run.folder.path("millrace.yaml"), json: false,
                console: Console { text, _ in said.parts.withLock { $0.append(text) } }, logger: Logger(label: "test"))
            _ = try await CheckCommand().run(context)
            return said.parts.withLock { $0.joined() }.split(separator: "\n").map(String.init)
        }
        try run.yaml.write(toFile: run.folder.path("millrace.yaml"), atomically: true, encoding: .utf8)
        let missing = try await check()
        #expect(missing.contains { $0.hasPrefix("error schema registry: cannot read the schemas' file") }, "\(missing)")
        try run.folder.write(try schemas(), to: "registry.jsonl")
        let found = try await check()
        #expect(found.contains { $0.hasPrefix("ok schema registry: 6 schemas in ") }, "\(found)")
        #expect(found.contains("ok public.orders: → check_schemas.orders, key (order_id)"), "\(found)")
        #expect(!found.contains { $0.hasPrefix("error") }, "\(found)")
    }
}

import Agent
import Foundation
import JSON
import Kafka
import Logging
import Replication
import ReplicationTestKit
import Testing

/// Recorded files of the real Debezium, replayed through both sources into both warehouses: live rows equal what the
/// source's tables held at the end, value by value.
@Suite struct CorpusTests {
    /// What a file's events can't give, with the fact of the real connector that says why. Everything else must be equal.
    struct Exception: Sendable {
        var table: String
        /// Nil: rows.
        var column: String?
        var reason: String
    }

    struct File: Sendable, CustomTestStringConvertible {
        var name: String
        /// Partitions of each topic on the broker; tables without a key need one.
        var partitions = 1
        var exceptions: [Exception] = []
        /// Further lines of `tables:` entries.
        var overrides: [String: String] = [:]
        var source = ""
        /// Tables without a key can't be replayed in another order, and neither their snapshot reads nor twins at one
        /// position can be told from a second delivery at other offsets (semantics 1).
        var keyless: Set<String> = []
        var testDescription: String { name }
    }

    private static let partialIdentity =
        "fact 3: REPLICA IDENTITY USING INDEX doesn't cover the key; deletes and key changes name no row"
    private static let customKey =
        "fact 3: message.key.columns on other columns than the key; deletes and key changes name no row"
    private static let literalPlaceholder =
        "fact 4: an update to the literal placeholder text is what an unchanged column looks like"
    private static let notANumber = "fact 7: NaN is null in precise mode"
    private static let rootReads =
        "fact 18: the snapshot emits rows under root and leaf, streaming only under leaves"

    static let files: [File] = [
        File(name: "basic", partitions: 3),
        File(name: "basic_noschema", partitions: 3),
        File(name: "pk_update", partitions: 3),
        File(name: "pk_update_schema", partitions: 3),
        File(
            name: "toast",
            exceptions: [
                Exception(table: "public.t_index", reason: partialIdentity),
                Exception(table: "public.custkey", reason: customKey),
                Exception(table: "public.t_default", column: "big", reason: literalPlaceholder),
            ], keyless: ["public.nopk_full", "public.nopk_nothing", "public.nopk_default"]),
        File(name: "throughput", partitions: 40),
        File(
            name: "unicode_edge", partitions: 2,
            exceptions: [Exception(table: "public.edge", column: "n", reason: notANumber)],
            // DuckDB calls "Order" and "order" one table.
            overrides: ["public.order": "target: order_lower"]),
        File(
            name: "truncate_msg_heartbeat_tx",
            exceptions: [
                Exception(table: "public.part", reason: rootReads)
            ]),
        File(name: "snapshot", keyless: ["public.nopk"]),
    ]

    // MARK: Replaying

    /// Live rows against the expected ones; exceptions are left out, and must be needed.
    private func expectEqual(
        _ run: PipelineRun, _ file: File, leavingOut: Set<String> = [], _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let expected = try ExpectedTables(
            json: String(decoding: Corpus.data(file.name + ".expected.json"), as: UTF8.self))
        let engine = run.engine.rawValue
        let differences = try await run.looking { warehouse, layout in
            var all: [ExpectedTables.Difference] = []
            let known = try await warehouse.knownTables()
            for table in expected.tables where !leavingOut.contains(table.name) {
                let definition = expected.definition(of: table, in: known)
                var rows: [[String?]] = []
                if let definition {
                    rows = try await warehouse.query(
                        ExpectedTables.query(definition, layout: layout, engine: engine), rows_max: 1_000_000
                    ).rows
                }
                all += ExpectedTables.differences(table, definition: definition, rows: rows)
            }
            return all
        }
        let unexplained = differences.filter { difference in
            !file.exceptions.contains {
                $0.table == difference.table && ($0.column == nil || $0.column == difference.column)
            }
        }
        #expect(
            unexplained.isEmpty, "\(file.name), \(run.engine), \(what): \(unexplained.prefix(10).map(\.description))",
            sourceLocation: sourceLocation)
        for exception in file.exceptions where !leavingOut.contains(exception.table) {
            #expect(
                differences.contains { $0.table == exception.table },
                "\(file.name): the exception for \(exception.table) isn't needed any more",
                sourceLocation: sourceLocation)
        }
    }

    private func expectRawOnce(_ run: PipelineRun, events: Int?, _ what: String) async throws {
        let name = run.name
        let counts = try await run.looking { warehouse, layout in
            var rows = 0
            var distinct = 0
            for table in try await warehouse.knownTables() {
                let target = table.target.replacing("\"", with: "\"\"")
                let result = try await warehouse.query(
                    "select count(*), count(distinct event_id) from \"\(layout.raw)\".\"\(target)\"", rows_max: 1)
                rows += Int(result.rows[0][0] ?? "") ?? 0
                distinct += Int(result.rows[0][1] ?? "") ?? 0
            }
            let ledger = try await warehouse.ledger().tables
            return (rows, distinct, ledger)
        }
        #expect(counts.0 == counts.1, "\(name), \(what): raw holds an event twice")
        if let events { #expect(counts.0 == events, "\(name), \(what): raw") }
        for entry in counts.2 { #expect(entry.addsUp, "\(name), \(what): ledger") }
    }

    private func fileRun(
        _ file: File, _ engine: Engine, path: String, rest: String = "", folder: TestFolder, name: String? = nil
    ) async throws -> PipelineRun {
        try await PipelineRun(
            name ?? "f_\(file.name)", engine,
            source: "  file: { path: \(JSONText.quoted(path)) }\n\(file.source)",
            rest: try Corpus.tablesYAML(file.name, overrides: file.overrides) + rest, folder: folder)
    }

    @Test(arguments: files, Engine.allCases) func throughAFile(file: File, engine: Engine) async throws {
        let run = try await fileRun(file, engine, path: Corpus.path(file.name + ".jsonl"), folder: TestFolder())
        let first = try await run.untilEnd()
        try await expectEqual(run, file, "first run")
        try await expectRawOnce(run, events: nil, "first run")
        let again = try await run.untilEnd()
        #expect(first.events > 0 && again.events == 0, "the checkpoint stands at the end")
    }

    @Test(arguments: files, Engine.allCases) func throughABroker(file: File, engine: Engine) async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let records = try Corpus.records(file.name)
        let topics = Set(records.map(\.topic))
        let broker = try MockBroker(
            topics: Dictionary(uniqueKeysWithValues: topics.map { ($0, file.partitions) }), logger: logger)
        defer { broker.close() }
        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        for start in stride(from: 0, to: records.count, by: 5000) {
            try await producer.send(Array(records[start..<min(start + 5000, records.count)]))
        }
        _ = try await producer.flush()
        await producer.close()
        let run = try await PipelineRun(
            "k_\(file.name)", engine,
            source: """
                  kafka:
                    brokers: \(broker.bootstrap)
                    topics: ["*"]
                    properties: { fetch.wait.max.ms: 10 }
                """, rest: try Corpus.tablesYAML(file.name, overrides: file.overrides), folder: TestFolder())
        let first = try await run.untilEnd()
        try await expectEqual(run, file, "through a broker")
        try await expectRawOnce(run, events: nil, "through a broker")
        #expect(first.events > 0)
    }

    // MARK: Replays

    static let replayed = files.filter {
        ["basic", "pk_update", "toast", "unicode_edge", "truncate_msg_heartbeat_tx"].contains($0.name)
    }

    /// The whole file twice over, record by record doubled, cut at every record, in another order.
    @Test(arguments: replayed, Engine.allCases) func replaysChangeNothing(file: File, engine: Engine) async throws {
        let folder = try TestFolder()
        let lines = try Corpus.lines(file.name)
        func write(_ name: String, _ lines: [Data]) throws -> String {
            let path = folder.path(name)
            try Data(lines.joined(separator: [0x0A])).write(to: URL(fileURLWithPath: path))
            return path
        }
        let events = try await countEvents(file, engine, folder)

        let twice = try await fileRun(
            file, engine, path: write("twice.jsonl", lines + lines), folder: folder, name: "twice_\(file.name)")
        try await twice.untilEnd()
        try await expectEqual(twice, file, leavingOut: file.keyless, "twice")
        try await expectRawOnce(twice, events: file.keyless.isEmpty ? events : nil, "twice")

        let doubled = try await fileRun(
            file, engine, path: write("doubled.jsonl", lines.flatMap { [$0, $0] }),
            rest: "batch: { max_rows: 7 }", folder: folder, name: "doubled_\(file.name)")
        try await doubled.untilEnd()
        try await expectEqual(doubled, file, leavingOut: file.keyless, "doubled")
        try await expectRawOnce(doubled, events: file.keyless.isEmpty ? events : nil, "doubled")

        let split = try await fileRun(
            file, engine, path: write("split.jsonl", lines), rest: "batch: { max_rows: 1 }", folder: folder,
            name: "split_\(file.name)")
        try await split.untilEnd()
        try await expectEqual(split, file, "split at every record")
        try await expectRawOnce(split, events: events, "split at every record")

        for seed in UInt64(1)...2 {
            var random = SeededRandom(seed: seed)
            let shuffled = try numbered(lines).shuffled(using: &random)
            let run = try await fileRun(
                file, engine, path: write("shuffled.jsonl", shuffled), rest: "batch: { max_rows: 13 }", folder: folder,
                name: "shuffled\(seed)_\(file.name)")
            try await run.untilEnd()
            try await expectEqual(run, file, leavingOut: file.keyless, "shuffled by seed \(seed)")
            if file.keyless.isEmpty { try await expectRawOnce(run, events: events, "shuffled by seed \(seed)") }
        }
    }

    private func countEvents(_ file: File, _ engine: Engine, _ folder: TestFolder) async throws -> Int {
        let run = try await fileRun(
            file, engine, path: Corpus.path(file.name + ".jsonl"), folder: folder, name: "once_\(file.name)")
        let status = try await run.untilEnd()
        return status.events
            - status.tables.values.reduce(status.unknown.quarantined + status.unknown.duplicate) {
                $0 + $1.ledger.quarantined + $1.ledger.duplicate
            }
    }

    /// Lines that say their offset, so that they keep it in any order.
    private func numbered(_ lines: [Data]) throws -> [Data] {
        lines.enumerated().map { index, line in Data("{\"offset\":\(index),".utf8) + line.dropFirst() }
    }
}

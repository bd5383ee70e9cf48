import Agent
import Foundation
import Kafka
import Logging
import Testing

/// Recorded files of the real Debezium, replayed through both sources into both warehouses: live rows equal what the
/// source's tables held at the end, value by value.
@Suite struct CorpusTests {
    @Test(arguments: CorpusFile.all, Engine.allCases) func throughAFile(file: CorpusFile, engine: Engine) async throws {
        try await Turns.shared.one { try await replayAFile(file, engine) }
    }

    /// Every type, through each of the connector's modes, ends as the same values wherever the mode carries them.
    @Test(arguments: CorpusFile.everyType, Engine.allCases) func everyType(file: CorpusFile, engine: Engine)
        async throws
    {
        try await Turns.shared.one { try await replayAFile(file, engine) }
    }

    @Test(arguments: CorpusFile.documented, Engine.allCases) func asDocumented(file: CorpusFile, engine: Engine)
        async throws
    {
        try await Turns.shared.one {
            try await replayAFile(file, engine)
            // A connector that sends all of it again, at other offsets.
            let folder = try TestFolder()
            let lines = try file.lines()
            try folder.write(lines + lines, to: "twice.jsonl")
            let run = try await file.run(
                "d_\(file.slug)", engine, path: folder.path("twice.jsonl"), rest: "batch: { max_rows: 7 }\n",
                folder: folder)
            let twice = try await run.untilEnd()
            let distinct = twice.events / 2
            try await file.expectEqual(run, "delivered twice")
            try await file.expectRawOnce(run, events: distinct, "delivered twice")
            #expect(twice.tables.values.reduce(0) { $0 + $1.ledger.duplicate } == distinct)
        }
    }

    /// Every value goes through raw and back: all is deferred, then released in steps.
    @Test(arguments: CorpusFile.withEngines(CorpusFile.held, isWhole: isLong))
    func heldFromTheFirstEventOn(file: CorpusFile, engine: Engine) async throws {
        try await Turns.shared.one {
            let folder = try TestFolder()
            let path = Corpus.path(file.name + ".jsonl")
            let plain = try await file.run("n_\(file.slug)", engine, path: path, folder: folder).untilEnd()
            let run = try await file.run("h_\(file.slug)", engine, path: path, folder: folder)
            try await run.writing { warehouse, _ in
                try await warehouse.hold(Array(plain.tables.keys), .paused, reason: "a test's")
            }
            let first = try await run.untilEnd()
            #expect(first.tables.values.reduce(0) { $0 + $1.ledger.applied } == 0, "\(file.name)")
            try await run.writing { warehouse, _ in
                for table in try await warehouse.knownTables() {
                    while try await !warehouse.release(table, .paused, limit: 101).isDone {}
                }
                let ledger = try await warehouse.ledger().tables
                #expect(ledger.allSatisfy { $0.addsUp && $0.deferred == 0 }, "\(file.name)")
                let accounted = ledger.reduce(0) { $0 + $1.accounted }
                #expect(accounted == first.events, "\(file.name)")
                let aside = try await warehouse.quarantine()
                #expect(aside.count == plain.quarantined, "\(file.name): \(aside.map(\.entry.reason))")
            }
            try await file.expectEqual(run, "held and released")
            try await file.expectRawOnce(run, "held and released")
        }
    }

    private func replayAFile(_ file: CorpusFile, _ engine: Engine) async throws {
        let run = try await file.run(
            "f_\(file.slug)", engine, path: Corpus.path(file.name + ".jsonl"), folder: TestFolder())
        let first = try await run.untilEnd()
        try await file.expectEqual(run, "first run")
        try await file.expectRawOnce(run, "first run")
        try await expectFolded(run, file)
        let again = try await run.untilEnd()
        #expect(first.events > 0 && again.events == 0, "the checkpoint stands at the end")
    }

    /// Raw says what current has. In both warehouses in the long form, else by turns.
    private func expectFolded(_ run: PipelineRun, _ file: CorpusFile) async throws {
        // Unoptimised code takes its time over 200,000 events.
        guard
            Self.isLong
                || (file.name.utf8.count % 2 == 0) == (run.engine == .duckdb) && !file.name.hasPrefix("throughput")
        else { return }
        for table in try await run.folded().tables {
            guard let record = table.record else {
                #expect(table.reason?.hasPrefix("it has no key") == true, "\(table.source): \(table.reason ?? "")")
                continue
            }
            #expect(record.isEqual && record.isFold, "\(file.name), \(run.engine): \(table)")
        }
    }

    private static let isLong = ProcessInfo.processInfo.environment["MILLRACE_LONG"] == "1"

    /// Into both warehouses in the long form, else by turns: `throughAFile` has every file in both.
    @Test(arguments: CorpusFile.withEngines(CorpusFile.all, isWhole: isLong))
    func throughABroker(file: CorpusFile, engine: Engine) async throws {
        try await Turns.shared.one { try await replayFromABroker(file, engine) }
    }

    private func replayFromABroker(_ file: CorpusFile, _ engine: Engine) async throws {
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
        let run = try await file.run("k_\(file.slug)", engine, brokers: broker.bootstrap)
        let first = try await run.untilEnd()
        try await file.expectEqual(run, "through a broker")
        try await file.expectRawOnce(run, "through a broker")
        #expect(first.events > 0)
    }
}

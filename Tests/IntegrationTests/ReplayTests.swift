import Agent
import Foundation
import Replication
import ReplicationTestKit
import Testing

/// Each recorded file twice over, record by record doubled, stopped and begun again behind any record, in another
/// order: the same live rows, the same deleted ones with the same versions, and no event twice in raw.
///
/// `MILLRACE_LONG=1` replays all of `throughput` and every file into both warehouses, and stops behind every record of the smaller files.
@Suite struct ReplayTests {
    private static let isLong = ProcessInfo.processInfo.environment["MILLRACE_LONG"] == "1"

    static let files = CorpusFile.all.filter(\.isReplayed).map { file in
        var file = file
        if file.name == "throughput", !isLong { file.prefix = 3_000 }
        return file
    }

    /// In the long form every file into both warehouses; else by turns, which shows the same of either within the time.
    static var cases: [(CorpusFile, Engine)] { CorpusFile.withEngines(files, isWhole: isLong) }

    /// A file of some of a corpus file's lines.
    private struct Replay {
        var file: CorpusFile
        var engine: Engine
        var lines: [Data]
        let folder: TestFolder

        init(_ file: CorpusFile, _ engine: Engine) throws {
            self.file = file
            self.engine = engine
            lines = try file.lines()
            folder = try TestFolder()
        }

        /// At least so many records a batch that there are some 150 of them.
        func rows(_ small: Int) -> String { "batch: { max_rows: \(max(small, lines.count / 150)) }" }

        func run(_ name: String, _ lines: [Data], rest: String = "") async throws -> PipelineRun {
            try folder.write(lines, to: "\(name).jsonl")
            let run = try await file.run(
                "\(name)_\(file.name)", engine, path: folder.path("\(name).jsonl"), rest: rest, folder: folder)
            try await run.untilEnd()
            return run
        }

        /// Lines that say their offset, so that they keep it in any order.
        var numbered: [Data] {
            lines.enumerated().map { index, line in Data("{\"offset\":\(index),".utf8) + line.dropFirst() }
        }
    }

    /// Gives a turn, and what becomes of the file when nothing happens.
    private func replaying(
        _ file: CorpusFile, _ engine: Engine, _ body: (Replay, Undisturbed.Result) async throws -> Void
    ) async throws {
        try await Turns.shared.one {
            try await body(Replay(file, engine), Undisturbed.shared.result(file, engine))
        }
    }

    /// - Parameters:
    ///   - isWhole: nothing of the file can be told from something else in this way of replaying it.
    ///   - isRedelivered: records came twice, at other offsets.
    private func expectSame(
        _ once: Undisturbed.Result, _ run: PipelineRun, _ file: CorpusFile, isWhole: Bool, isRedelivered: Bool = false,
        _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await file.expectEqual(
            run, leavingOut: isWhole ? [] : file.keyless, what, sourceLocation: sourceLocation)
        try await file.expectRawOnce(
            run, events: isWhole || file.keyless.isEmpty ? once.events : nil, what, sourceLocation: sourceLocation)
        if file.isOfArrival, isRedelivered { return }
        let found = try await file.versions(run)
        for (table, rows) in once.versions {
            let differing = zip(rows, found[table] ?? []).first { $0 != $1 }
            #expect(
                found[table] == rows,
                """
                \(file.name), \(run.engine), \(what): versions of \(table) \
                (\(rows.count) and \(found[table]?.count ?? 0) rows; \(String(describing: differing)))
                """, sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: cases) func twiceAndDoubled(file: CorpusFile, engine: Engine) async throws {
        try await replaying(file, engine) { replay, once in
            let twice = try await replay.run("twice", replay.lines + replay.lines)
            try await expectSame(once, twice, file, isWhole: false, isRedelivered: true, "twice")
            let doubled = try await replay.run("doubled", replay.lines.flatMap { [$0, $0] }, rest: replay.rows(7))
            try await expectSame(once, doubled, file, isWhole: false, isRedelivered: true, "doubled")
        }
    }

    /// Behind a record the run ends; a new one goes on from the checkpoint, with what the file has got since.
    @Test(arguments: cases) func stoppedAndBegunAgain(file: CorpusFile, engine: Engine) async throws {
        try await replaying(file, engine) { replay, once in
            let run = try await file.run(
                "growing_\(file.name)", engine, path: replay.folder.path("growing.jsonl"), rest: replay.rows(3),
                folder: replay.folder)
            var read = 0
            for end in cuts(of: replay.lines.count) {
                try replay.folder.write(replay.lines.prefix(end), to: "growing.jsonl")
                let status = try await run.untilEnd()
                read += status.events + status.control
            }
            #expect(read == replay.lines.count, "\(file.name), \(engine): each record is read in one run only")
            try await expectSame(once, run, file, isWhole: true, "stopped and begun again")
        }
    }

    /// Every record of the smallest files; of others some by chance, two of them in a row.
    private func cuts(of count: Int) -> [Int] {
        guard count > (Self.isLong ? 600 : 24) else { return Array(1...count) }
        var random = SeededRandom(seed: UInt64(count))
        var cuts: Set<Int> = [1, count]
        for _ in 0..<(Self.isLong ? 8 : 4) {
            let cut = 1 + random.below(count)
            cuts.formUnion([cut, min(cut + 1, count)])
        }
        return cuts.sorted()
    }

    /// A batch ends behind each record, in one run; of the large files as often as that is affordable.
    @Test(arguments: cases) func smallBatches(file: CorpusFile, engine: Engine) async throws {
        try await replaying(file, engine) { replay, once in
            let rest = replay.lines.count > 600 ? replay.rows(1) : "batch: { max_rows: 1 }"
            let run = try await replay.run("split", replay.lines, rest: rest)
            try await expectSame(once, run, file, isWhole: true, "small batches")
        }
    }

    @Test(arguments: cases) func shuffled(file: CorpusFile, engine: Engine) async throws {
        try await replaying(file, engine) { replay, once in
            for seed in UInt64(1)...(replay.lines.count > 600 && !Self.isLong ? 1 : 2) {
                var random = SeededRandom(seed: seed)
                let run = try await replay.run(
                    "shuffled\(seed)", replay.numbered.shuffled(using: &random), rest: replay.rows(13))
                var once = once
                // A truncate that comes before any row of its table leaves a floor, but isn't in raw.
                if file.name.hasPrefix("truncate") { once.events = nil }
                try await expectSame(once, run, file, isWhole: false, "shuffled by seed \(seed)")
            }
        }
    }
}

/// What becomes of each file when nothing happens: made once, for all tests.
private actor Undisturbed {
    struct Result: Sendable {
        /// How many events raw has of the file.
        var events: Int?
        /// What its rows end with.
        var versions: [String: [[String?]]]
    }

    static let shared = Undisturbed()
    private var results: [String: Task<Result, any Error>] = [:]

    func result(_ file: CorpusFile, _ engine: Engine) async throws -> Result {
        let name = "\(file.name) \(engine)"
        let task = results[name] ?? Task { try await Self.make(file, engine) }
        results[name] = task
        return try await task.value
    }

    private static func make(_ file: CorpusFile, _ engine: Engine) async throws -> Result {
        let folder = try TestFolder()
        try folder.write(file.lines(), to: "once.jsonl")
        let run = try await file.run("once_\(file.name)", engine, path: folder.path("once.jsonl"), folder: folder)
        let status = try await run.untilEnd()
        let aside = status.tables.values.reduce(status.unknown.quarantined + status.unknown.duplicate) {
            $0 + $1.ledger.quarantined + $1.ledger.duplicate
        }
        return Result(events: status.events - aside, versions: try await file.versions(run))
    }
}

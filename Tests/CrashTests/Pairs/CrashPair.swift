import CrashPoint
import Foundation
import JSON
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// What is killed, and how: one line of a plan.
struct CrashPlan: Sendable, CustomStringConvertible {
    /// Nil: at random, from outside.
    var point: CrashPoint?
    /// In the middle of what follows the point.
    var isDelayed = false

    init(_ point: CrashPoint?, isDelayed: Bool = false) {
        self.point = point
        self.isDelayed = isDelayed
    }

    var description: String { point.map { isDelayed ? "\($0.rawValue)+" : $0.rawValue } ?? "random" }

    /// The value of `MILLRACE_CRASH_AT`.
    func text(_ random: inout SeededRandom) -> String? {
        guard let point else { return nil }
        let times =
            switch point {
            case .ddl: 1
            case .copy: 1 + random.below(12)
            case .staging, .staged: 1 + random.below(5)
            case .read, .commit, .committed, .mend: 1 + random.below(3)
            }
        return "\(point.rawValue):\(times)\(isDelayed ? "+\(1 + random.below(4000))" : "")"
    }
}

/// A source of changes that a pair of source and warehouse is fed with, one history after another.
protocol CrashSource {
    static var name: String { get }
    /// Kills of one history, in this order; the short form makes one history of `shortPlan`.
    static var plan: [CrashPlan] { get }
    static var shortPlan: [CrashPlan] { get }
    /// Until when a random kill comes after the start.
    static var random_ms: Range<Int> { get }

    /// Begins a history under a name of its own.
    func begin(_ pipeline: String) async throws
    /// Some batches' worth of changes; `isWider`: with a new column, so that the tables have to be altered.
    func feed(isWider: Bool) async throws
    /// The `source:` of the pipeline file. Each attempt may need another.
    func yaml(attempt: Int) -> String
    /// What the table is called in the warehouse.
    func target(_ table: String) -> String
    /// What must be in the warehouse, as `digest` says it of each table.
    func wanted() async throws -> [String: String]
    /// Changes that must be in raw, beside copied rows.
    func changes() async throws -> [String: Int]
    func end() async throws
}

extension CrashSource {
    /// A digest of the rows that are live, the same in all engines.
    static func digest(of table: String, columns: [String]) -> String {
        let cells = columns.map { "coalesce(cast(\($0) as varchar), '-')" }.joined(separator: ", ")
        return """
            select concat(count(*), ' ', coalesce(md5(string_agg(concat_ws('|', \(cells)), ',' order by id)), '-')) as d \
            from \(table)
            """
    }
}

/// One of the four pairs: kills, restarts, and in the end compares.
struct CrashPair<Source: CrashSource> {
    let source: Source
    let warehouse: String
    /// The `warehouse:` of the pipeline file; `NAME` is the pipeline.
    let warehouseYAML: String
    let columns: () -> [String: [String]]

    struct Report: Sendable {
        var name: String
        var kills: [String: Int] = [:]
        var histories = 0
        var events = 0
        /// Ended by itself before it was killed.
        var missed = 0

        var line: String {
            let points = kills.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
            let count = kills.values.reduce(0, +)
            return
                "\(name): killed \(count) times (\(points)) in \(histories) histories of \(events) events; current, raw and ledger exact\(missed > 0 ? "; \(missed) ended before" : "")"
        }
    }

    func run(kills wanted: Int, seed: UInt64) async throws -> Report {
        let folder = try temporaryFolder("pair")
        defer { try? FileManager.default.removeItem(at: folder) }
        var report = Report(name: "\(Source.name) to \(warehouse)")
        var random = SeededRandom(seed: seed)
        var killed = 0
        while killed < wanted {
            report.histories += 1
            let pipeline = "\(Source.name)\(report.histories)"
            let plan = wanted < Source.plan.count ? Source.shortPlan : Source.plan
            try await source.begin(pipeline)
            var attempt = 0
            for (index, kill) in plan.enumerated() where killed < wanted {
                var isKilled = false
                for _ in 0..<10 where !isKilled {
                    // What is copied is there already, and is to be copied without what is streamed beside it.
                    if index > 0 || kill.point != .copy { try await source.feed(isWider: kill.point == .ddl) }
                    attempt += 1
                    isKilled = try await self.attempt(pipeline, attempt, kill, folder, &random)
                    if !isKilled { report.missed += 1 }
                }
                try #require(isKilled, "\(report.name): \(kill) is never reached")
                report.kills[kill.description, default: 0] += 1
                killed += 1
            }
            try await source.feed(isWider: false)
            try write(pipeline, attempt + 1, folder)
            let last = try await AgentProcess(["run", "--until-end", "--json"], in: folder).wait()
            try #require(last.status == 0, "\(report.name): \(last.errors.suffix(3000))")
            report.events += try await compare(pipeline, folder, report.name)
            try await source.end()
        }
        return report
    }

    private func write(_ pipeline: String, _ attempt: Int, _ folder: URL) throws {
        try """
        pipeline: \(pipeline)
        source:
        \(source.yaml(attempt: attempt).split(separator: "\n").map { "  \($0)" }.joined(separator: "\n"))
        warehouse: { \(warehouseYAML.replacing("NAME", with: pipeline)) }
        batch: { max_rows: 100 }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    /// Whether it was killed; it may have been through before.
    private func attempt(
        _ pipeline: String, _ attempt: Int, _ kill: CrashPlan, _ folder: URL, _ random: inout SeededRandom
    ) async throws -> Bool {
        try write(pipeline, attempt, folder)
        let place = kill.text(&random)
        let agent = try AgentProcess(
            ["run", "--until-end", "--json"], in: folder, environment: place.map { ["MILLRACE_CRASH_AT": $0] } ?? [:])
        if place == nil {
            let range = Source.random_ms
            try await Task.sleep(for: .milliseconds(range.lowerBound + random.below(range.count)))
            agent.signal(SIGKILL)
        }
        let end = await agent.wait()
        try #require(
            end.status == 0 || end.status == 128 + SIGKILL, "\(kill): exit \(end.status): \(end.errors.suffix(3000))")
        return end.status == 128 + SIGKILL
    }

    private func query(_ sql: String, _ folder: URL) async throws -> String {
        let result = try await AgentProcess(["query", "--format", "csv", sql], in: folder).wait()
        try #require(result.status == 0, "\(sql): \(result.errors)")
        return String(result.output.split(whereSeparator: \.isNewline).dropFirst().first ?? "")
    }

    /// Returns how many events the ledger has.
    private func compare(_ pipeline: String, _ folder: URL, _ name: String) async throws -> Int {
        for (table, rows) in try await source.wanted() {
            let sql = Source.digest(of: "\(pipeline)_live.\(source.target(table))", columns: columns()[table] ?? [])
            #expect(try await query(sql, folder) == rows, "\(name), \(pipeline): rows of \(table)")
        }
        var inRaw = 0
        for (table, changes) in try await source.changes() {
            let counts = try await query(
                """
                select concat(count(*), ' ', count(distinct event_id), ' ', \
                sum(case when op = 'r' then 0 else 1 end)) as d from \(pipeline)_raw.\(source.target(table))
                """, folder
            ).split(separator: " ").compactMap { Int($0) }
            try #require(counts.count == 3)
            #expect(counts[0] == counts[1], "\(name), \(pipeline): raw of \(table) has an event twice")
            #expect(counts[2] == changes, "\(name), \(pipeline): changes of \(table) in raw")
            inRaw += counts[0]
        }
        let fates = "applied + superseded + duplicate + compacted + filtered + quarantined + deferred"
        let ledger = try await query(
            """
            select concat(sum(read), ' ', sum(\(fates)), ' ', sum(duplicate + quarantined), ' ', \
            sum(case when read = \(fates) then 0 else 1 end)) as d from _millrace.ledger where pipeline = '\(pipeline)'
            """, folder
        ).split(separator: " ").compactMap { Int($0) }
        try #require(ledger.count == 4)
        #expect(ledger[0] == ledger[1] && ledger[3] == 0, "\(name), \(pipeline): the ledger adds up")
        #expect(ledger[0] - ledger[2] == inRaw, "\(name), \(pipeline): ledger and raw agree")
        return ledger[0]
    }
}

import Logging
import PipelineFile
import Replication
import ServiceLifecycle

/// An expectation of a whole table that wasn't met when it was looked at last.
package struct FailingExpectation: Sendable, Equatable {
    package var table: String
    /// As people read it: `unique(email)`.
    package var rule: String
    package var origin: String
    /// Nil where rows aren't what is counted.
    package var rows: Int64?
    package var message: String
    /// It does nothing but warn.
    package var isWarning: Bool
}

/// Holds whole tables against what rows by themselves don't tell, from time to time, and holds those that aren't as
/// expected; and sees to it that no table is held by a rule for longer, or with more in wait, than it may be.
///
/// Ends with an error (exit 6) where a rule says `stop`, or a hold has reached its limit.
struct QualityService: Service {
    private static let look = Duration.seconds(1)
    /// How often holds are measured.
    private static let measure = Duration.seconds(120)
    /// Of a look that failed, or was under way.
    private static let pause = Duration.seconds(30)

    let live: LiveSetup
    let warehouse: any Warehouse
    let status: AgentStatus
    /// Nil: it is under way.
    let examine: @Sendable () async throws -> QualityReport?
    let logger: Logger

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            var next = ContinuousClock.now + (live.setup.pipeline.quality.every ?? .seconds(900))
            var nextMeasure = ContinuousClock.now
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: Self.look)
                } catch {
                    return
                }
                let snapshot = status.current
                guard snapshot.state == .ok || snapshot.state == .degraded, snapshot.lent == nil,
                    snapshot.waitsFor == nil
                else { continue }
                if ContinuousClock.now >= nextMeasure {
                    nextMeasure = .now + Self.measure
                    try await measure()
                }
                guard let every = live.setup.pipeline.quality.every, ContinuousClock.now >= next else { continue }
                let isDone = try await Self.turn(warehouse, status, logger) { try await examine() }
                next = .now + (isDone ? every : min(every, Self.pause))
            }
        }
    }

    /// False: it couldn't be.
    ///
    /// - Throws: `.quality` where a rule says `stop`; whatever else there is is tried again.
    static func turn(
        _ warehouse: any Warehouse, _ status: AgentStatus, _ logger: Logger,
        examine: () async throws -> QualityReport?
    ) async throws -> Bool {
        do {
            guard let report = try await examine() else { return false }
            try await settle(report, warehouse, status, logger)
            return true
        } catch is CancellationError {
            return false
        } catch let error as ReplicationError where error.kind == .quality {
            throw error
        } catch {
            logger.warning("tables couldn't be held against what is expected: \(ExitStatus.failure(of: error).message)")
            return false
        }
    }

    /// Does what failing rules say.
    ///
    /// - Throws: `.quality` where one says `stop`.
    static func settle(
        _ report: QualityReport, _ warehouse: any Warehouse, _ status: AgentStatus, _ logger: Logger
    ) async throws {
        let known = Dictionary(
            try await warehouse.knownTables().map { ($0.source.description, $0.source) }
        ) { first, _ in first }
        var all: [FailingExpectation] = []
        for table in report.tables {
            if let reason = table.reason { logger.warning("\(table.source) wasn't looked at to the end: \(reason)") }
            let failing = table.rules.filter { $0.verdict == .fail || $0.verdict == .misfit }
            all += failing.map { rule in
                FailingExpectation(
                    table: table.source, rule: rule.name, origin: rule.origin, rows: rule.failing,
                    message: rule.message, isWarning: rule.onFail == .warn)
            }
            if let rule = failing.first(where: { $0.onFail == .stop }) {
                throw ReplicationError(
                    .quality, "\(table.source): \(rule.message), and on_fail says to stop there",
                    remedy: "mend the data, or set on_fail: hold, then: millrace run")
            }
            guard let rule = failing.first(where: { $0.onFail == .hold }), let id = known[table.source] else {
                continue
            }
            let isHeld = try await warehouse.holds().contains { $0.table == id && $0.kind == .quality }
            guard !isHeld else { continue }
            try await warehouse.hold([id], .quality, reason: rule.message)
            logger.error("\(table.source) is held: \(rule.message)", metadata: ["try": "millrace quality"])
        }
        let before = status.current.failing
        for failing in all where failing.isWarning && !before.contains(where: { $0.isSame(as: failing) }) {
            logger.warning("\(failing.table): \(failing.message)")
        }
        let found = all
        let holds = try await warehouse.holds()
        status.update {
            $0.failing = found
            $0.holds = holds
        }
    }

    // MARK: Limits

    private func measure() async throws {
        let holds: [TableHold]
        var deferred: [TableID: Int] = [:]
        do {
            holds = try await warehouse.holds().filter { $0.kind == .quality }
            if !holds.isEmpty { deferred = try await warehouse.deferredCounts() }
        } catch {
            // It is measured again.
            return
        }
        let limits = Self.limits(holds, deferred, live.setup.pipeline.quality, now_us: Moment.now_us())
        status.update { $0.limits = limits }
        guard let (table, limit) = limits.first(where: { $0.value.share >= 1 }) else { return }
        throw ReplicationError(
            .quality,
            "\(table): \(limit.reason), which is reached: the agent stops, so that raw doesn't grow without end",
            remedy: "mend the rule or the data, then: millrace release \(table); or give it more in quality:",
            table: table)
    }

    static func limits(
        _ holds: [TableHold], _ deferred: [TableID: Int], _ bounds: Pipeline.Quality, now_us: Int64
    ) -> [TableID: (share: Double, reason: String)] {
        var limits: [TableID: (share: Double, reason: String)] = [:]
        for hold in holds where hold.kind == .quality {
            let age = Duration.microseconds(max(0, now_us - hold.since_us)) / bounds.held_max
            let count = Double(deferred[hold.table] ?? 0) / Double(bounds.deferred_max)
            limits[hold.table] =
                age >= count
                ? (age, "a rule holds it, for at most \(bounds.held_max.pipelineText) (quality.held_max)")
                : (count, "a rule holds it, with at most \(bounds.deferred_max) events deferred (quality.deferred_max)")
        }
        return limits
    }
}

extension FailingExpectation {
    fileprivate func isSame(as other: FailingExpectation) -> Bool {
        table == other.table && origin == other.origin && rule == other.rule
    }
}

extension QualityReport.Rule {
    /// As people read it: `unique(email)`.
    var name: String { columns.isEmpty ? expect : "\(expect)(\(columns.joined(separator: ", ")))" }

    /// What is wrong.
    var message: String {
        if let reason { return "\(name) (\(origin)) isn't met: \(reason)" }
        guard let rows, let failing else { return "\(name) (\(origin)) isn't met" }
        return "\(name) (\(origin)) fails in \(failing) of \(rows) rows"
    }
}

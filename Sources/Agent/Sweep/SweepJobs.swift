import JSON
import Postgres
import Replication
import Synchronization

/// The agent's sweeps: one at a time, beside replication, and what the last one said.
package final class SweepJobs: Sendable {
    package enum State: Sendable {
        case running(progress: String)
        case done(SweepReport)
        case failed(CommandFailure)
    }

    private struct Held {
        var number = 0
        var state: State?
        var task: Task<Void, Never>?
        /// Nobody waits for it.
        var isScheduled = false
        /// It was ended before its time.
        var isStopped = false
        /// As it was asked for, for an agent that goes on with it.
        var entry: SweepMemo.Entry?
        /// What was asked for and not finished, the newest first.
        var unfinished: [SweepMemo.Entry] = []
    }
    private let held = Mutex(Held())
    /// - Parameter repaired: how many differences of a table were mended just before.
    package typealias Work =
        @Sendable (
            _ tables: [TableDefinition], _ repaired: [TableID: Int], _ request: SweepRequest,
            _ progress: @escaping @Sendable (String) -> Void
        ) async throws -> SweepReport
    /// Mends tables and returns when that is through; of those that it can't mend the reasons.
    package typealias Repair =
        @Sendable (
            _ tables: [TableID], _ request: SweepRequest, _ progress: @escaping @Sendable (String) -> Void
        ) async throws -> [TableID: Unmended]
    package typealias Reconcile =
        @Sendable (
            _ tables: [TableDefinition], _ arrived_us: Range<Int64>, _ progress: @escaping @Sendable (String) -> Void
        ) async throws -> SweepReport

    /// Tables that still differ after so many repairs are left so.
    private static let repairs_max = 3

    private let memo: SweepMemo?
    private let lineage: LineageReporter?
    private let work: Work
    /// Mends what differs.
    private let repair: Repair
    private let reconcile: Reconcile

    /// - Parameters:
    ///   - memo: keeps what was asked for, for an agent that is killed meanwhile.
    ///   - lineage: is told of each.
    package init(
        memo: SweepMemo? = nil, lineage: LineageReporter? = nil, _ work: @escaping Work, repair: @escaping Repair,
        reconcile: @escaping Reconcile
    ) {
        self.memo = memo
        self.lineage = lineage
        // Before another is asked for.
        let left = memo?.read() ?? []
        held.withLock { $0.unfinished = left }
        self.work = work
        self.repair = repair
        self.reconcile = reconcile
    }

    /// Begins to compare tables and gives the sweep's number.
    package func start(
        _ tables: [TableDefinition], _ request: SweepRequest, isScheduled: Bool = false
    ) throws -> Int {
        try start(isScheduled, request.kind, tables, memo: SweepMemo.Entry(tables.map(\.source), request)) { tell in
            try await self.run(tables, request, tell)
        }
    }

    /// The newest that was asked for and not finished when the agent ended, or that gave way; nil: nothing.
    var unfinished: SweepMemo.Entry? { held.withLock { $0.unfinished.first } }

    /// That one isn't wanted any more.
    func forget() { note { $0.unfinished = Array($0.unfinished.dropFirst()) } }

    /// Goes on with that one.
    ///
    /// - Parameter tables: those of it that aren't through.
    func goOn(_ tables: [TableDefinition]) throws -> Int? {
        // The file has it until the sweep stands there for itself.
        let taken = held.withLock { $0.unfinished.isEmpty ? nil : $0.unfinished.removeFirst() }
        guard let entry = taken else { return nil }
        do {
            return try start(true, entry.request.kind, tables, memo: entry.again) { tell in
                try await self.run(tables, entry.request, tell)
            }
        } catch {
            held.withLock { $0.unfinished.insert(entry, at: 0) }
            throw error
        }
    }

    /// Keeps the file as what is under way and what is still to be gone on with.
    private func note(_ change: (inout Held) -> Void) {
        held.withLock { held in
            change(&held)
            memo?.write((held.entry.map { [$0] } ?? []) + held.unfinished)
        }
    }

    /// Begins to fold rows from raw again, of events that came late then (µs since 1970).
    package func reconcileLate(
        _ tables: [TableDefinition], _ arrived_us: Range<Int64>, isScheduled: Bool = false
    ) throws -> Int {
        try start(isScheduled, .late, tables, memo: nil) { tell in
            try await self.reconcile(tables, arrived_us, tell)
        }
    }

    private func start(
        _ isScheduled: Bool, _ kind: SweepKind, _ tables: [TableDefinition], memo entry: SweepMemo.Entry?,
        _ body: @escaping @Sendable (@escaping @Sendable (String) -> Void) async throws -> SweepReport
    ) throws -> Int {
        let number: Int? = held.withLock { held in
            if case .running = held.state { return nil }
            held = Held(
                number: held.number + 1, state: .running(progress: ""), isScheduled: isScheduled, entry: entry,
                unfinished: held.unfinished)
            let number = held.number
            if let entry { memo?.write([entry] + held.unfinished) }
            held.task = Task {
                let told = await lineage?.began(kind, tables)
                let state: State
                do {
                    let report = try await body { progress in
                        self.held.withLock { $0.state = .running(progress: progress) }
                    }
                    state = .done(report)
                } catch {
                    state = .failed(ExitStatus.failure(of: error))
                }
                if let told {
                    await lineage?.ended(told, kind, tables, state, wasStopped: self.wasStopped(number))
                }
                // One that gave way, or ended with the agent, is gone on with.
                if let entry {
                    self.note { held in
                        held.entry = nil
                        guard held.number == number, held.isStopped else { return }
                        var again = entry
                        again.attempts = 0
                        held.unfinished.insert(again, at: 0)
                    }
                }
                self.held.withLock { $0.state = state }
            }
            return held.number
        }
        guard let number else {
            throw CommandFailure(
                ExitStatus.environment, "a sweep is under way already", try: "sweep again when it has ended")
        }
        return number
    }

    private func run(
        _ tables: [TableDefinition], _ request: SweepRequest, _ tell: @escaping @Sendable (String) -> Void
    ) async throws -> SweepReport {
        var report = try await work(tables, [:], request, tell)
        guard request.kind == .repair else { return report }
        var repaired: [TableID: Int] = [:]
        var refusals: [TableID: Unmended] = [:]
        for _ in 0..<Self.repairs_max {
            let before = report.differences
            let differing = report.tables.compactMap(\.record).filter {
                $0.differences > 0 && refusals[$0.table] == nil
            }
            guard !differing.isEmpty else { break }
            tell("mending \(differing.map(\.table.description).joined(separator: ", "))")
            for record in differing { repaired[record.table] = max(repaired[record.table] ?? 0, record.differences) }
            let refused: [TableID: Unmended]
            do {
                refused = try await repair(differing.map(\.table), request, tell)
            } catch let error where !(error is CancellationError) {
                // What was found is told all the same.
                let reason = ExitStatus.failure(of: error).message
                refused = Dictionary(uniqueKeysWithValues: differing.map { ($0.table, Unmended(reason)) })
            }
            // Of a table that was mended in part, too, it is known only then what is left.
            let mended = differing.map(\.table)
            let again = try await work(tables.filter { mended.contains($0.source) }, repaired, request, tell)
            // Of each table the last look counts.
            for table in again.tables {
                if let at = report.tables.firstIndex(where: { $0.source == table.source }) { report.tables[at] = table }
            }
            refusals.merge(refused) { $1 }
            for (table, unmended) in refusals {
                guard let at = report.tables.firstIndex(where: { $0.source == table.description }),
                    report.tables[at].record.map({ $0.differences > 0 }) ?? false
                else { continue }
                report.tables[at].reason = "it isn't mended: \(unmended.reason)"
            }
            // What one more repair didn't mend, another won't.
            guard report.differences < before else { break }
        }
        return report
    }

    /// Ends what runs, and returns when it has.
    ///
    /// - Parameter scheduled: only what nobody waits for.
    package func stop(scheduled: Bool = false) async {
        let task = held.withLock { held -> Task<Void, Never>? in
            guard case .running = held.state, !scheduled || held.isScheduled else { return nil }
            held.isStopped = true
            return held.task
        }
        task?.cancel()
        await task?.value
    }

    /// Whether it was ended before its time, by `stop`.
    func wasStopped(_ number: Int) -> Bool { held.withLock { $0.number == number && $0.isStopped } }

    package var isRunning: Bool {
        held.withLock { if case .running = $0.state { true } else { false } }
    }

    /// - Parameter number: of a sweep that was begun; nil where another has been begun since.
    package func state(of number: Int) -> State? { held.withLock { $0.number == number ? $0.state : nil } }
}

extension SweepJobs.State {
    /// As the API answers it.
    package var json: JSONValue {
        switch self {
        case .running(let progress):
            .object([("state", .string("running")), ("progress", .string(progress))])
        case .done(let report): .object([("state", .string("done")), ("report", report.json)])
        case .failed(let failure):
            .object([
                ("state", .string("failed")), ("error", .string(failure.message)), ("try", .text(failure.remedy)),
                ("exit", .integer(failure.exit)),
            ])
        }
    }

    package init?(json: JSONValue) {
        switch json["state"]?.string {
        case "running": self = .running(progress: json["progress"]?.string ?? "")
        case "done":
            guard let report = json["report"].flatMap(SweepReport.init(json:)) else { return nil }
            self = .done(report)
        case "failed":
            guard let message = json["error"]?.string else { return nil }
            self = .failed(
                CommandFailure(Int32(clamping: json["exit"]?.int64 ?? 1), message, try: json["try"]?.string))
        default: return nil
        }
    }
}

extension SweepReport {
    /// It held current against raw, no source.
    package var isFold: Bool { snapshot == SweepRecord.fold }

    package var json: JSONValue {
        .object([
            ("snapshot", .string(snapshot)), ("proves", .string(isFold ? "raw" : "source")),
            ("position", isFold ? .null : .string(LSN.text(position))),
            ("tables", .array(tables.map(\.json))),
        ])
    }

    package init?(json: JSONValue) {
        guard let snapshot = json["snapshot"]?.string, let tables = json["tables"]?.array else { return nil }
        let position = json["position"]?.string.flatMap(LSN.parse) ?? 0
        self.init()
        self.snapshot = snapshot
        self.position = position
        self.tables = tables.compactMap(Table.init(json:))
    }
}

extension SweepReport.Table {
    var json: JSONValue {
        var members: [JSONValue.Member] = [
            ("source", .string(source)), ("rows", record.map { .integer($0.rows) } ?? .null),
            ("equal", .bool(record?.isEqual ?? false)), ("reason", .text(reason)),
        ]
        if let late {
            members = [
                ("source", .string(source)), ("late_rows", .integer(late.rows)), ("mended", .integer(late.mended)),
                ("reason", .text(reason)),
            ]
        }
        guard let record else { return .object(members) }
        // Of a table that was repaired they are of its last look, behind the report's own.
        members += [
            ("snapshot", .string(record.snapshot)),
            ("position", record.isFold ? .null : .string(LSN.text(record.position))),
        ]
        func list(_ names: [String]) -> JSONValue { .array(names.map(JSONValue.string)) }
        members += [
            ("missing", .integer(record.missing)), ("extra", .integer(record.extra)),
            ("different", .integer(record.different)), ("moved", .integer(record.moved)),
            ("repaired", .integer(record.repaired)), ("digest_source", .string(record.digestSource)),
            ("digest_warehouse", .string(record.digestWarehouse)), ("columns", list(record.columns)),
            ("uncovered", list(record.uncovered)),
            (
                "differences",
                .array(
                    differences.map { difference in
                        .object([
                            ("kind", .string(difference.kind.rawValue)), ("key", list(difference.key)),
                            ("columns", list(difference.columns)),
                        ])
                    })
            ),
        ]
        return .object(members)
    }

    init?(json: JSONValue) {
        guard let source = json["source"]?.string else { return nil }
        self.init(source: source, record: nil, reason: json["reason"]?.string)
        if let rows = json["late_rows"]?.int64, let mended = json["mended"]?.int64 {
            late = SweepReport.Late(rows: Int(rows), mended: Int(mended))
        }
        guard let rows = json["rows"]?.int64, let snapshot = json["snapshot"]?.string else { return }
        let position = json["position"]?.string.flatMap(LSN.parse) ?? 0
        func count(_ name: String) -> Int { Int(json[name]?.int64 ?? 0) }
        func list(_ value: JSONValue?) -> [String] { value?.array?.compactMap(\.string) ?? [] }
        let parts = source.split(separator: ".", maxSplits: 1)
        record = SweepRecord(
            table: TableID(schema: String(parts[0]), table: parts.count > 1 ? String(parts[1]) : ""), startedAt_us: 0,
            finishedAt_us: 0, snapshot: snapshot, position: position, rows: rows, columns: list(json["columns"]),
            uncovered: list(json["uncovered"]), digestSource: json["digest_source"]?.string ?? "",
            digestWarehouse: json["digest_warehouse"]?.string ?? "", missing: count("missing"), extra: count("extra"),
            different: count("different"), moved: count("moved"), repaired: count("repaired"))
        differences = (json["differences"]?.array ?? []).compactMap { entry in
            guard let kind = entry["kind"]?.string.flatMap(SweepDifference.Kind.init(rawValue:)) else { return nil }
            return SweepDifference(kind: kind, key: list(entry["key"]), columns: list(entry["columns"]))
        }
    }
}

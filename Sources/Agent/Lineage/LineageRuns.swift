import Replication

/// The runs of one process that replicates, an agent's or a backfill's: from what is so now to the events that tell it.
///
/// A run begins when the process is at work, tells its counts every five minutes if it goes on until it is stopped, and
/// ends once. An agent that stands by has none; where another one takes over from it, its run is aborted, and the next
/// begins when it is at work again. A state machine without a clock: each step is given the time.
struct LineageRuns: Sendable {
    /// Between events of a run.
    static let period_s: Int64 = 300
    /// A table that is new, or has other columns, is told earlier than with its turn.
    static let shape_us: Int64 = 60_000_000
    /// So often it is looked for.
    static let glance_us: Int64 = 10_000_000
    /// Tables with all that is told of them in one event; more go into several.
    static let tables_max = 100
    /// So long the first event waits for what the warehouse knows of tables.
    static let patience_us: Int64 = 5_000_000

    private struct Run {
        var key: LineageRunKey
        var beganAt_us: Int64
        /// Counts of earlier runs of this process.
        var before: [TableID: LedgerEntry]
        /// What was told last of each table; nil: no event was sent yet.
        var told: [TableID: LineageTable]?
        var toldAt_us = Int64.min
        var glancedAt_us = Int64.min
    }

    private let builder: LineageEventBuilder
    private let job: LineageJob
    private let isContinuous: Bool
    private let makeID: @Sendable (_ now_us: Int64) -> String
    private var run: Run?
    private var hasEnded = false
    private var before: [TableID: LedgerEntry] = [:]

    /// - Parameter isContinuous: it goes on until it is stopped.
    init(
        _ builder: LineageEventBuilder, _ job: LineageJob, isContinuous: Bool,
        makeID: @escaping @Sendable (Int64) -> String = { LineageRunID.make(now_us: $0) }
    ) {
        self.builder = builder
        self.job = job
        self.isContinuous = isContinuous
        self.makeID = makeID
    }

    /// The run that is told of now.
    var current: LineageRunKey.Parent? { run.map { .init(id: $0.key.id, job: job) } }

    /// - Parameter tables: in order; what their ledgers count is of this process.
    mutating func step(
        _ state: AgentStatus.State, now_us: Int64, _ tables: () -> [LineageTable]
    ) -> [LineageEvent] {
        guard !hasEnded else { return [] }
        guard state != .standby else {
            // Nobody was told of one that had hardly begun.
            guard run?.told != nil else {
                run = nil
                return []
            }
            let events = finish(.aborted("another agent has taken over"), now_us: now_us, tables())
            run = nil
            return events
        }
        if run == nil { begin(now_us: now_us) }
        guard let run else { return [] }
        if run.told == nil {
            guard state != .starting || now_us - run.beganAt_us >= Self.patience_us else { return [] }
            return start(tables())
        }
        let since_us = now_us - run.toldAt_us
        if since_us >= Self.period_s * 1_000_000 { return running(tables(), now_us: now_us) }
        guard since_us >= Self.shape_us, now_us - max(run.glancedAt_us, run.toldAt_us) >= Self.glance_us else {
            return []
        }
        self.run?.glancedAt_us = now_us
        let all = tables()
        return all.contains(where: hasNewShape) ? running(all, now_us: now_us) : []
    }

    /// The run's last event, and its first where that has to be made up for. Nothing comes after it.
    ///
    /// - Parameter isUnbegun: what ended it stood in the way of its beginning.
    mutating func end(
        _ outcome: LineageOutcome, isUnbegun: Bool = false, now_us: Int64, _ tables: [LineageTable]
    ) -> [LineageEvent] {
        guard !hasEnded else { return [] }
        hasEnded = true
        guard run != nil, !(isUnbegun && run?.told == nil) else { return [] }
        return finish(outcome, now_us: now_us, tables)
    }

    /// Before the first step, where nobody else can be at work.
    mutating func begin(now_us: Int64) {
        guard run == nil, !hasEnded else { return }
        run = Run(
            key: LineageRunKey(id: makeID(now_us), job: job, period_s: isContinuous ? Self.period_s : nil),
            beganAt_us: now_us, before: before)
    }

    // MARK: Events

    /// Of when the run began, though what is known of tables came after.
    private mutating func start(_ tables: [LineageTable]) -> [LineageEvent] {
        let at_us = run?.beganAt_us ?? 0
        // What came meanwhile is told with the next one.
        let all = tables.map { table in
            var table = table
            table.ledger = LedgerEntry(table: table.id)
            return table
        }
        return tell(.start, all, at_us: at_us) { _ in .all }
    }

    private mutating func running(_ tables: [LineageTable], now_us: Int64) -> [LineageEvent] {
        let told = run?.told ?? [:]
        let all = ofThisRun(tables)
        return tell(.running, all, at_us: now_us) { table in
            guard let before = told[table.id], !table.hasOtherShape(than: before) else { return .all }
            return before.ledger == table.ledger ? .nothing : .counts
        }
    }

    private mutating func finish(
        _ outcome: LineageOutcome, now_us: Int64, _ tables: [LineageTable]
    ) -> [LineageEvent] {
        let first = run?.told == nil ? start(tables) : []
        let last = tell(outcome.kind, ofThisRun(tables), at_us: now_us, message: outcome.message) { _ in .all }
        for table in tables { before[table.id] = table.ledger }
        return first + last
    }

    /// What doesn't go into one event goes into RUNNINGs beside it: behind the first of a run, and before its last.
    private mutating func tell(
        _ kind: LineageEvent.Kind, _ tables: [LineageTable], at_us: Int64, message: String? = nil,
        _ part: (LineageTable) -> LineageEventBuilder.Part
    ) -> [LineageEvent] {
        guard let key = run?.key else { return [] }
        let parts = Dictionary(tables.map { ($0.id, part($0)) }, uniquingKeysWith: { $1 })
        let whole = tables.filter { parts[$0.id] == .all }.map(\.id)
        var pieces = stride(from: 0, to: whole.count, by: Self.tables_max).map {
            Set(whole[$0..<min($0 + Self.tables_max, whole.count)])
        }
        if pieces.isEmpty { pieces = [[]] }
        let main = kind == .start ? 0 : pieces.count - 1
        let events = pieces.enumerated().map { index, piece in
            // Counts alone are small.
            let told = { (table: LineageTable) -> LineageEventBuilder.Part in
                if piece.contains(table.id) { return .all }
                return index == main && parts[table.id] == .counts ? .counts : .nothing
            }
            let isMain = index == main
            return builder.event(
                isMain ? kind : .running, key, at: at_us, inputs: builder.inputs(tables, told),
                outputs: builder.outputs(tables, told), message: isMain ? message : nil)
        }
        run?.told = Dictionary(tables.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        run?.toldAt_us = at_us
        return events
    }

    private func hasNewShape(_ table: LineageTable) -> Bool {
        run?.told?[table.id].map { table.hasOtherShape(than: $0) } ?? true
    }

    private func ofThisRun(_ tables: [LineageTable]) -> [LineageTable] {
        tables.map { table in
            guard let before = run?.before[table.id] else { return table }
            var table = table
            table.ledger -= before
            return table
        }
    }
}

extension LedgerEntry {
    fileprivate static func -= (a: inout LedgerEntry, b: LedgerEntry) {
        a.read -= b.read
        a.applied -= b.applied
        a.superseded -= b.superseded
        a.duplicate -= b.duplicate
        a.compacted -= b.compacted
        a.filtered -= b.filtered
        a.quarantined -= b.quarantined
        a.deferred -= b.deferred
    }
}

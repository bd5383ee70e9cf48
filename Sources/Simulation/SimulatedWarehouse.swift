import Replication
import ReplicationTestKit

/// One agent's connection to the simulated warehouse, whose tables all agents of a history share.
actor SimulatedWarehouse: Warehouse {
    nonisolated let loop: SimulationLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let engine = "memory"

    private let store: MemoryStore
    private let transaction: MemoryTransaction
    private let layout: WarehouseLayout
    private let faults: FaultScript
    private let rates: FaultRates
    private var writer = BatchWriter()
    /// The store's commits when the open transaction began.
    private var begun = 0
    private let freezer: Freezer?
    /// Told after each commit: what is durable.
    private let onCommit: @Sendable (MemoryTables) -> Void
    private let onTrace: (@Sendable (String) -> Void)?
    /// How far the agent's clock is before the true one.
    private var ahead_us: Int64 = 0
    private let day: Day?

    init(
        _ store: MemoryStore, _ layout: WarehouseLayout, _ loop: SimulationLoop, _ faults: FaultScript,
        _ rates: FaultRates, without: Set<MemoryTransaction.Guard>, freezer: Freezer? = nil,
        day: Day? = nil, onTrace: (@Sendable (String) -> Void)? = nil,
        onCommit: @escaping @Sendable (MemoryTables) -> Void
    ) {
        self.day = day
        self.onTrace = onTrace
        self.store = store
        self.layout = layout
        self.loop = loop
        self.faults = faults
        self.rates = rates
        self.freezer = freezer
        self.onCommit = onCommit
        transaction = MemoryTransaction(store: store)
        transaction.without = without
        transaction.fault = { step in
            if step == "committed" {
                if faults.strikes(rates.lostAnswer, "the answer to a commit is lost") {
                    throw ReplicationError(.passing, "the connection went while committing")
                }
                return
            }
            if faults.strikes(rates.crash, "crash in \(step)") { throw SimulatedCrash() }
            if faults.strikes(rates.cut, "cut in \(step)") { throw ReplicationError(.passing, "cut") }
        }
    }

    func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], part: BatchPart, probesAll: Bool
    ) async throws -> BatchApplier.Outcome {
        await freezer?.pass()
        try await day?.write(batch)
        // A part that others have written over in the meantime: its transaction is gone with its locks.
        if writer.isUnfinished, begun != store.commits { writer.abandon(transaction) }
        if !writer.isUnfinished { begun = store.commits }
        let before = store.commits
        defer { if store.commits != before { onCommit(store.tables) } }
        do {
            let outcome = try writer.apply(
                batch, advancing: advances, part: part, layout: layout, in: transaction, loadedAt_us: now_us(),
                probesAll: probesAll)
            onTrace?(Self.trace(batch, advances, "durable"))
            if part.isLast { try operate() }
            return outcome
        } catch {
            onTrace?(Self.trace(batch, advances, "\(error)"))
            throw error
        }
    }

    /// The agent's clock.
    private func now_us() -> Int64 {
        if faults.strikes(rates.clockJump, "the clock jumps") {
            ahead_us += Int64(faults.below(4 * 86_400) - 2 * 86_400) * 1_000_000
        }
        return (day?.tick() ?? store.tick()) + ahead_us
    }

    /// What a person does to one table meanwhile.
    private func operate() throws {
        let tables = store.tables
        let known = tables.definitions.values.filter(\.hasShape).sorted { $0.source < $1.source }
        if !known.isEmpty, faults.strikes(rates.hold, "a table is held") {
            let table = known[faults.below(known.count)].source
            onTrace?("\(table) is held")
            try writer.hold(
                [TableHold(table: table, kind: .paused, reason: "", since_us: store.tick())], in: transaction)
        }
        // Not drawn from the faults that a history may have: most holds shall end while it goes on.
        if let hold = tables.holds.first, let table = tables.definitions[hold.table],
            faults.below(1000) < rates.release
        {
            let step = try writer.release(
                table, hold.kind, layout: layout, in: transaction, loadedAt_us: store.tick(),
                ReleaseOptions(limit: 1 + faults.below(12)))
            onTrace?("\(step.count) events of \(hold.table) are released\(step.isDone ? ", all" : "")")
        }
    }

    /// What a batch was and what became of it, for whoever looks at a failure.
    private static func trace(_ batch: ChangeBatch, _ advances: [CheckpointAdvance], _ end: String) -> String {
        let events = batch.events.map { event in
            let key = event.key.isNull ? "" : " " + batch.arena.string(event.key)
            return "\(batch.tables[Int(event.table)].source.table) \(event.operation)\(key) \(event.version)"
        }
        let moved = advances.map { "\($0.partition) \($0.from ?? -1)…\($0.to)" }
        return "\(moved.joined(separator: ", ")): \(events.joined(separator: "; ")): \(end)"
    }

    func abandon() async { writer.abandon(transaction) }

    func knownTables() async throws -> [TableDefinition] {
        try day?.reachWarehouse()
        return store.tables.definitions.values.sorted { $0.source < $1.source }
    }

    func foreignTable(at definition: TableDefinition) async throws -> [Column]? { nil }
    func adoption(of definition: TableDefinition) async throws -> Adoption? { nil }
    func hasForeignRows(at definition: TableDefinition) async throws -> Bool { false }

    func ensure(_ tables: [TableDefinition], recording changes: [SchemaChange]) async throws {
        writer.abandon(transaction)
        try store.amend { try $0.ensure(tables, recording: changes, now_us: 0) }
    }

    func schemaChanges() async throws -> [SchemaChange] { store.tables.schemaChanges }
    func carryOut(_ decision: SchemaDecision) async throws -> SchemaDecision.Outcome {
        writer.abandon(transaction)
        var outcome = SchemaDecision.Outcome.nothing
        store.amend { outcome = $0.carryOut(decision) }
        return outcome
    }

    func claim(_ partitions: [TopicPartition], owner: String) async throws -> [Checkpoint] {
        try day?.reachWarehouse()
        writer.abandon(transaction)
        store.amend { all in
            for partition in partitions {
                all.checkpoints[partition, default: Checkpoint(partition: partition)].token += 1
            }
        }
        return partitions.compactMap { store.tables.checkpoints[$0] }
    }

    func checkpoints() async throws -> [Checkpoint] {
        try day?.reachWarehouse()
        if faults.strikes(rates.cut, "cut in checkpoints") { throw ReplicationError(.passing, "cut") }
        return store.tables.checkpoints.values.sorted { $0.partition < $1.partition }
    }

    func copied(job: String) async throws -> [CopyMark] { store.tables.copied.filter { $0.job == job } }
    func forgetCopied(job: String, _ tables: [TableID]?) async throws {
        store.amend { $0.copied.removeAll { $0.job == job && (tables?.contains($0.table) ?? true) } }
    }

    func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String] {
        let rows = (store.tables.current[table.source] ?? [:]).values
        return Array(rows.filter { !$0.isDeleted && $0.columnVersions.isIncomplete }.map(\.key).sorted().prefix(limit))
    }

    func holds() async throws -> [TableHold] {
        try day?.reachWarehouse()
        return store.tables.holds
    }

    /// What somebody does beside the agent. False: not in the middle of a source transaction.
    func beside(_ act: @Sendable (inout BatchWriter, MemoryTransaction) throws -> Void) rethrows -> Bool {
        guard !writer.isUnfinished else { return false }
        try act(&writer, transaction)
        return true
    }

    func deferredCounts() async throws -> [TableID: Int] { store.tables.deferred.mapValues(\.count) }

    func hold(_ tables: [TableID], _ kind: TableHold.Kind, reason: String) async throws {
        let holds = tables.map { TableHold(table: $0, kind: kind, reason: reason, since_us: store.tick()) }
        try writer.hold(holds, in: transaction)
    }

    func release(_ table: TableDefinition, _ kind: TableHold.Kind, _ options: ReleaseOptions) async throws
        -> ReleaseStep
    {
        try day?.release(table.source, kind)
        return try writer.release(table, kind, layout: layout, in: transaction, loadedAt_us: store.tick(), options)
    }

    func replay(_ ids: [Int64], of table: TableDefinition, _ options: ReleaseOptions) async throws
        -> (outcome: BatchApplier.Outcome, promoted: Set<Int64>)
    {
        try writer.replay(ids, of: table, layout: layout, in: transaction, loadedAt_us: store.tick(), options)
    }

    func acceptRedelivery() async throws {
        try writer.acceptOlder(since_us: store.tick(), in: transaction)
    }

    func beginEpoch() async throws {
        try writer.beginEpoch(
            Array(store.tables.definitions.values), layout: layout, in: transaction, loadedAt_us: store.tick())
    }

    func snapshot() async throws -> any WarehouseSnapshot {
        throw ReplicationError(.permanent, "the in-memory warehouse has no SQL")
    }
    func record(_ sweeps: [SweepRecord]) async throws {}
    func lastSweeps() async throws -> [TableID: (last: SweepRecord, proof: SweepRecord?)] { [:] }

    func freshness() async throws -> [FreshnessRecord] {
        try day?.reachWarehouse()
        return store.tables.openFreshness
    }

    func record(freshness records: [FreshnessRecord]) async throws {
        try day?.reachWarehouse()
        // Of a transaction of its own: what the runner has begun stays as it is.
        guard !writer.isUnfinished else { throw ReplicationError(.passing, "locked") }
        store.amend { $0.record(freshness: records) }
    }

    func rollUpLedger(before time_us: Int64) async throws -> UpkeepStep { UpkeepStep() }
    func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) async throws -> UpkeepStep {
        UpkeepStep()
    }

    func refold(_ request: RefoldRequest) async throws -> Int {
        try writer.refold(request, layout: layout, in: transaction, loadedAt_us: 0)
    }
    func mend(_ mend: RowMend) async throws -> BatchApplier.Outcome {
        try writer.mend(mend, layout: layout, in: transaction, loadedAt_us: 0)
    }
    func lateKeys(_ table: TableID, _ arrived_us: Range<Int64>, limit: Int) async throws -> [String] { [] }

    func erase(_ request: ErasureRequest) async throws -> ErasureReport {
        try writer.erase(request, layout: layout, in: transaction, erasedAt_us: 0)
    }

    func epochs() async throws -> SourceEpochs { store.tables.epochs }

    // MARK: What the runner doesn't ask

    func open(readOnly: Bool) async throws {}
    func close() async {}
    func set(positions: [TopicPartition: Int64?]) async throws {}
    func ledger() async throws -> (tables: [LedgerEntry], control: Int) { store.tables.ledgerSums }
    func counts(_ table: TableDefinition) async throws -> TableCounts { .init(live: 0, deleted: 0, incomplete: 0) }
    func quarantine() async throws -> [QuarantinedRecord] { [] }
    func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) async throws {}
    func query(_ sql: String, rows_max: Int) async throws -> QueryResult {
        throw ReplicationError(.permanent, "the simulated warehouse has no SQL")
    }
    func query(_ query: AsOfQuery, rows_max: Int) async throws -> QueryResult {
        throw ReplicationError(.permanent, "the simulated warehouse has no SQL")
    }
    func drop(tables: Bool) async throws {}
    func preflight() async -> [Finding] { [] }
    nonisolated func interrupt() {}
}

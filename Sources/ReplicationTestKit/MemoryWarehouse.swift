package import Replication

/// A warehouse in memory: what every other one is held against.
package actor MemoryWarehouse: Warehouse {
    package nonisolated let engine = "memory"
    package nonisolated let restsAfterCommit: Int
    private let layout: WarehouseLayout
    private let transaction: MemoryTransaction
    private var clock_us: Int64 = 2_000_000_000_000_000
    private var writer = BatchWriter()

    package init(layout: WarehouseLayout, tables: MemoryTables = .init(), restsAfterCommit: Int = 0) {
        self.layout = layout
        self.restsAfterCommit = restsAfterCommit
        transaction = MemoryTransaction(tables)
    }

    package var tables: MemoryTables { transaction.committed }

    /// Scripts faults by step name, see `MemoryTransaction.fault`.
    package func setFault(_ fault: (@Sendable (String) throws -> Void)?) { transaction.fault = fault }

    package func open(readOnly: Bool) async throws {}
    package func close() async {}

    package func knownTables() async throws -> [TableDefinition] {
        transaction.committed.definitions.values.sorted { $0.source < $1.source }
    }

    package func foreignTable(at definition: TableDefinition) async throws -> [Column]? { nil }
    package func adoption(of definition: TableDefinition) async throws -> Adoption? { nil }
    package func hasForeignRows(at definition: TableDefinition) async throws -> Bool { false }

    package func ensure(_ tables: [TableDefinition], recording changes: [SchemaChange]) async throws {
        writer.abandon(transaction)
        clock_us += 1
        let now_us = clock_us
        try transaction.amend { try $0.ensure(tables, recording: changes, now_us: now_us) }
    }

    package func schemaChanges() async throws -> [SchemaChange] { transaction.committed.schemaChanges }

    package func carryOut(_ decision: SchemaDecision) async throws -> SchemaDecision.Outcome {
        writer.abandon(transaction)
        var outcome = SchemaDecision.Outcome.nothing
        transaction.amend { outcome = $0.carryOut(decision) }
        return outcome
    }

    package func claim(_ partitions: [TopicPartition], owner: String) async throws -> [Checkpoint] {
        transaction.amend { all in
            for partition in partitions {
                all.checkpoints[partition, default: Checkpoint(partition: partition)].token += 1
            }
        }
        return partitions.compactMap { transaction.committed.checkpoints[$0] }
    }

    package func checkpoints() async throws -> [Checkpoint] {
        transaction.committed.checkpoints.values.sorted { $0.partition < $1.partition }
    }

    package func set(positions: [TopicPartition: Int64?]) async throws {
        transaction.amend { all in
            for (partition, position) in positions {
                all.checkpoints[partition, default: Checkpoint(partition: partition)].token += 1
                all.checkpoints[partition]?.position = position
                all.checkpoints[partition]?.lastOffset = nil
                all.checkpoints[partition]?.lastHash = nil
            }
        }
    }

    package func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], part: BatchPart, probesAll: Bool
    ) async throws -> BatchApplier.Outcome {
        clock_us += 1
        return try writer.apply(
            batch, advancing: advances, part: part, layout: layout, in: transaction, loadedAt_us: clock_us,
            probesAll: probesAll)
    }

    package func abandon() async { writer.abandon(transaction) }

    package func copied(job: String) async throws -> [CopyMark] {
        transaction.committed.copied.filter { $0.job == job }
    }

    package func forgetCopied(job: String, _ tables: [TableID]?) async throws {
        transaction.amend { all in
            all.copied.removeAll { $0.job == job && (tables?.contains($0.table) ?? true) }
        }
    }

    package func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String] {
        let rows = (transaction.committed.current[table.source] ?? [:]).values
        return Array(rows.filter { !$0.isDeleted && $0.columnVersions.isIncomplete }.map(\.key).sorted().prefix(limit))
    }

    package func ledger() async throws -> (tables: [LedgerEntry], control: Int) {
        transaction.committed.ledgerSums
    }

    package func counts(_ table: TableDefinition) async throws -> TableCounts {
        let rows = (transaction.committed.current[table.source] ?? [:]).values
        return TableCounts(
            live: rows.count { !$0.isDeleted }, deleted: rows.count { $0.isDeleted },
            incomplete: rows.count { !$0.isDeleted && $0.columnVersions.isIncomplete })
    }

    package func quarantine() async throws -> [QuarantinedRecord] { transaction.committed.quarantine }

    package func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) async throws {
        transaction.amend { all in
            for index in all.quarantine.indices where ids.contains(all.quarantine[index].id) {
                all.quarantine[index].state = state
            }
        }
    }

    package func holds() async throws -> [TableHold] { transaction.committed.holds }

    package func deferredCounts() async throws -> [TableID: Int] {
        transaction.committed.deferred.mapValues(\.count)
    }

    package func hold(_ tables: [TableID], _ kind: TableHold.Kind, reason: String) async throws {
        clock_us += 1
        let holds = tables.map { TableHold(table: $0, kind: kind, reason: reason, since_us: clock_us) }
        try writer.hold(holds, in: transaction)
    }

    package func release(_ table: TableDefinition, _ kind: TableHold.Kind, _ options: ReleaseOptions) async throws
        -> ReleaseStep
    {
        clock_us += 1
        return try writer.release(table, kind, layout: layout, in: transaction, loadedAt_us: clock_us, options)
    }

    package func replay(_ ids: [Int64], of table: TableDefinition, _ options: ReleaseOptions) async throws
        -> (outcome: BatchApplier.Outcome, promoted: Set<Int64>)
    {
        clock_us += 1
        return try writer.replay(ids, of: table, layout: layout, in: transaction, loadedAt_us: clock_us, options)
    }

    package func acceptRedelivery() async throws {
        clock_us += 1
        try writer.acceptOlder(since_us: clock_us, in: transaction)
    }

    package func beginEpoch() async throws {
        clock_us += 1
        try writer.beginEpoch(
            Array(transaction.committed.definitions.values), layout: layout, in: transaction, loadedAt_us: clock_us)
    }

    package func epochs() async throws -> SourceEpochs { transaction.committed.epochs }

    package func snapshot() async throws -> any WarehouseSnapshot {
        throw ReplicationError(.permanent, "the in-memory warehouse has no SQL")
    }
    package func record(_ sweeps: [SweepRecord]) async throws {}
    package func lastSweeps() async throws -> [TableID: (last: SweepRecord, proof: SweepRecord?)] { [:] }

    package func freshness() async throws -> [FreshnessRecord] {
        transaction.committed.openFreshness
    }

    package func record(freshness records: [FreshnessRecord]) async throws {
        transaction.amend { $0.record(freshness: records) }
    }

    package func rollUpLedger(before time_us: Int64) async throws -> UpkeepStep { UpkeepStep() }
    package func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) async throws -> UpkeepStep {
        UpkeepStep()
    }

    package func refold(_ request: RefoldRequest) async throws -> Int {
        clock_us += 1
        return try writer.refold(request, layout: layout, in: transaction, loadedAt_us: clock_us)
    }

    package func mend(_ mend: RowMend) async throws -> BatchApplier.Outcome {
        clock_us += 1
        return try writer.mend(mend, layout: layout, in: transaction, loadedAt_us: clock_us)
    }

    package func lateKeys(_ table: TableID, _ arrived_us: Range<Int64>, limit: Int) async throws -> [String] {
        let all = transaction.committed
        let keys = all.late.filter { $0.table == table && !all.reconciled.contains($0.id) }.compactMap(\.key)
        return Array(Set(keys).sorted().prefix(limit))
    }

    package func erase(_ request: ErasureRequest) async throws -> ErasureReport {
        clock_us += 1
        return try writer.erase(request, layout: layout, in: transaction, erasedAt_us: clock_us)
    }

    package func query(_ sql: String, rows_max: Int) async throws -> QueryResult {
        throw ReplicationError(.permanent, "the in-memory warehouse has no SQL")
    }
    package func query(_ query: AsOfQuery, rows_max: Int) async throws -> QueryResult {
        throw ReplicationError(.permanent, "the in-memory warehouse has no SQL")
    }

    package func drop(tables: Bool) async throws {
        transaction.amend { all in
            if tables { all = .init() } else { all.checkpoints = [:] }
        }
    }

    package func preflight() async -> [Finding] { [Finding(.ok, "warehouse", "in memory")] }
    package nonisolated func interrupt() {}
}

/// Where replicated tables live. An actor of its own owns the engine's handle; its methods are called by the runner
/// one after the other (one writer), and by status and query commands in between.
///
/// - Durability: what `apply` returned from is durable, whole: rows, raw, checkpoint and ledger in one transaction.
/// - Duplicates: applying the same events again changes nothing but the ledger.
/// - Errors: `ReplicationError`; `.passing` ones leave the warehouse usable again by itself (it reconnects on the next
///   call). After a passing error of `apply` the caller asks `checkpoints` whether the commit took effect.
package protocol Warehouse: Sendable {
    /// `duckdb`, `postgres` or `memory`.
    nonisolated var engine: String { get }

    /// So many times as long as a small batch took to commit the next one gathers events; 0: a commit costs little.
    nonisolated var restsAfterCommit: Int { get }

    /// Connects, and makes or migrates `_millrace` in one transaction; refuses a newer one (`.environment`).
    /// With `readOnly` nothing is written: a missing `_millrace` then means that nothing was replicated yet.
    func open(readOnly: Bool) async throws
    func close() async

    /// The pipeline's tables as they were made: columns in order with types, from `_millrace.tables`.
    func knownTables() async throws -> [TableDefinition]

    /// Columns of a table that stands in the place of `definition` and isn't ours; nil if there is none. For
    /// `existing: adopt` and for `check`.
    func foreignTable(at definition: TableDefinition) async throws -> [Column]?

    /// Whether a table that stands in the place of `definition` and isn't ours holds rows.
    func hasForeignRows(at definition: TableDefinition) async throws -> Bool

    /// What adopting a table that stands in the place of `definition` and isn't ours would do; nil if there is none. Reads
    /// all of its rows, and writes nothing.
    func adoption(of definition: TableDefinition) async throws -> Adoption?

    /// Makes what is missing, in one transaction: schemas, current, raw, views; adds columns that a known table lacks.
    /// Idempotent. Of a table of which nothing but its name is known (`hasShape`) raw alone is made. A table in our place that we didn't make is `.configuration` unless its policy says adopt (missing
    /// columns of ours are added, filled from what the tool that made it tells: `AdoptionPlan`; its rows have no version,
    /// and so are older than everything) or replace (it is renamed aside, never dropped).
    ///
    /// A definition may follow a newer schema of its source (`SchemaEvolution`): what it has retired stays in current, types
    /// are widened in place, new columns have their initial value in the rows that are there. One that follows an older
    /// schema than the table does changes nothing.
    /// - Parameter changes: recorded in the same transaction, unless they are known already.
    func ensure(_ tables: [TableDefinition], recording changes: [SchemaChange]) async throws

    /// Schema changes and what became of them, in the order of their numbers.
    func schemaChanges() async throws -> [SchemaChange]
    /// Tells from the plan and its table, as they are behind their lock, what is to be done, and does it in that transaction.
    func carryOut(_ decision: SchemaDecision) async throws -> SchemaDecision.Outcome

    /// Raises the token of each partition in the transaction that reads its position.
    func claim(_ partitions: [TopicPartition], owner: String) async throws -> [Checkpoint]

    /// All checkpoints of the pipeline.
    func checkpoints() async throws -> [Checkpoint]

    /// Sets positions on purpose (nil takes a partition's checkpoint away), raising tokens, so that a running agent is
    /// fenced. Marks stay, so that what is read again is known as such.
    func set(positions: [TopicPartition: Int64?]) async throws

    /// Applies a batch in one transaction, or the parts of a source transaction in one: durable with the last of them.
    /// - Parameter probesAll: look for every event in raw; for a batch of which an earlier attempt may have committed.
    func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], part: BatchPart, probesAll: Bool
    ) async throws -> BatchApplier.Outcome

    /// Undoes the parts of a source transaction whose last one won't come.
    func abandon() async

    /// What of an initial copy or backfill is durable, under the slot's name.
    func copied(job: String) async throws -> [CopyMark]
    /// Forgets it: these tables are copied anew; nil: all of them.
    func forgetCopied(job: String, _ tables: [TableID]?) async throws

    /// Keys (JSON objects) of live rows with a column that never arrived, at most `limit`.
    func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String]

    /// Lifetime sums per table (nil: unknown tables), and control records.
    func ledger() async throws -> (tables: [LedgerEntry], control: Int)

    /// Live rows, deleted rows and incomplete rows of a table's current.
    func counts(_ table: TableDefinition) async throws -> TableCounts

    func quarantine() async throws -> [QuarantinedRecord]
    /// Marks entries as replayed or discarded; they stay on record.
    func settleQuarantine(_ ids: [Int64], as state: QuarantinedRecord.State) async throws

    /// Applies events that rules keep out of current and that raw has, by the numbers of their entries in the quarantine.
    /// Gives those that are promoted; the others wait on.
    func replay(_ ids: [Int64], of table: TableDefinition, _ options: ReleaseOptions) async throws
        -> (outcome: BatchApplier.Outcome, promoted: Set<Int64>)

    /// Tables whose current stands still, in order of their names.
    func holds() async throws -> [TableHold]
    /// Events that wait for a hold's end, by table.
    func deferredCounts() async throws -> [TableID: Int]
    /// Lets current of these tables stand still. Each must be known, and raw be on.
    func hold(_ tables: [TableID], _ kind: TableHold.Kind, reason: String) async throws
    /// Takes one step in releasing a table: the oldest of its deferred events are applied, at most `options.limit`, and the
    /// hold ends with the last. A table that isn't held so is done at once.
    func release(_ table: TableDefinition, _ kind: TableHold.Kind, _ options: ReleaseOptions) async throws
        -> ReleaseStep
    /// The suspicion that the source was restored was wrong: it isn't raised again for a day.
    func acceptRedelivery() async throws
    /// The suspicion was right: what came since the source's step back, in raw too, and all that comes belongs to a new
    /// epoch, newer than all before. Fences the agents; the tables stay held, with all of that deferred.
    func beginEpoch() async throws
    /// Where the source's epochs begin.
    func epochs() async throws -> SourceEpochs

    /// Scrubs a row's values from all that the pipeline has written, and keeps its events from bringing them back. The one
    /// exception to raw never being rewritten and rows never being deleted.
    func erase(_ request: ErasureRequest) async throws -> ErasureReport

    /// Makes rows what raw says; gives how many are others now.
    func refold(_ request: RefoldRequest) async throws -> Int
    /// Writes what a sweep read at the source, in one transaction. Rows of which more is known than it read are left as they
    /// are, and told in the outcome. `.data` where the engine refuses a value: nothing is written then.
    func mend(_ mend: RowMend) async throws -> BatchApplier.Outcome
    /// Keys, as raw has them, of late events that aren't reconciled and arrived then (µs since 1970); at most `limit`.
    func lateKeys(_ table: TableID, _ arrived_us: Range<Int64>, limit: Int) async throws -> [String]

    /// What is durable now, for as long as it isn't closed.
    func snapshot() async throws -> any WarehouseSnapshot
    func record(_ sweeps: [SweepRecord]) async throws
    /// Of each table the last sweep, and the last that proved it equal.
    func lastSweeps() async throws -> [TableID: (last: SweepRecord, proof: SweepRecord?)]

    /// What is so of each table's freshness now, a record a table at most.
    func freshness() async throws -> [FreshnessRecord]
    /// Writes what is so, in their order and in one transaction beside batches. Where a table's status is what it was, what
    /// is known of it is brought up to date; else its record is closed with the new one's `since_us`, and the new one
    /// written. What is over for longer than `FreshnessRecord.kept_us` goes.
    func record(freshness records: [FreshnessRecord]) async throws

    /// Takes the ledger's rows of before a time (µs since 1970, a whole hour) together, an hour's to one; one step of it.
    /// While a source transaction in parts is under way nothing is done, here and in `trimRaw`: it would have to come again.
    func rollUpLedger(before time_us: Int64) async throws -> UpkeepStep
    /// Deletes rows of raw that were loaded before a time and that nothing needs any more, at most `limit`.
    func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) async throws -> UpkeepStep

    /// Runs one read-only statement. More rows than `rows_max` is an error that says so.
    func query(_ sql: String, rows_max: Int) async throws -> QueryResult
    /// The same over tables as they were. That the moment is reached, the caller knows; that a table's past is known is
    /// checked in the transaction that reads it.
    func query(_ query: AsOfQuery, rows_max: Int) async throws -> QueryResult

    /// Takes away what `_millrace` has of the pipeline, and with `tables` its schemas' tables and views too.
    func drop(tables: Bool) async throws

    /// Findings of `check` about this side: permissions, versions, foreign tables.
    func preflight() async -> [Finding]

    /// Stops a statement that runs now; from any thread.
    nonisolated func interrupt()
}

extension Warehouse {
    package nonisolated var restsAfterCommit: Int { 0 }

    package func release(
        _ table: TableDefinition, _ kind: TableHold.Kind, limit: Int = BatchApplier.release_max
    ) async throws -> ReleaseStep {
        try await release(table, kind, ReleaseOptions(limit: limit))
    }

    package func ensure(_ tables: [TableDefinition]) async throws { try await ensure(tables, recording: []) }

    package func forgetCopied(job: String) async throws { try await forgetCopied(job: job, nil) }

    package func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance]
    ) async throws -> BatchApplier.Outcome {
        try await apply(batch, advancing: advances, part: .whole, probesAll: false)
    }
}

package struct TableCounts: Sendable, Equatable {
    package var live: Int
    package var deleted: Int
    /// Live rows with a column whose value never arrived.
    package var incomplete: Int

    package init(live: Int, deleted: Int, incomplete: Int) {
        self.live = live
        self.deleted = deleted
        self.incomplete = incomplete
    }
}

package struct QuarantinedRecord: Sendable {
    package enum State: String, Sendable { case waiting, replayed, discarded }

    package var id: Int64
    package var entry: QuarantineEntry
    package var state: State
    /// µs since 1970.
    package var loadedAt_us: Int64

    package init(id: Int64, entry: QuarantineEntry, state: State, loadedAt_us: Int64) {
        self.id = id
        self.entry = entry
        self.state = state
        self.loadedAt_us = loadedAt_us
    }
}

/// The answer to a query: cells as text, with what they are in JSON.
package struct QueryResult: Sendable {
    package enum CellKind: Sendable {
        /// Quoted in JSON.
        case text
        /// Numbers, booleans and JSON: stand as they are.
        case literal
    }

    package var columns: [(name: String, kind: CellKind)]
    package var rows: [[String?]]

    package init(columns: [(name: String, kind: CellKind)], rows: [[String?]]) {
        self.columns = columns
        self.rows = rows
    }
}

/// One finding of `check`.
package struct Finding: Sendable, Equatable {
    package enum Level: String, Sendable { case ok, warning, error }

    package var level: Level
    /// What was looked at: `warehouse`, `source`, `public.orders`.
    package var subject: String
    package var message: String
    package var remedy: String?

    package init(_ level: Level, _ subject: String, _ message: String, remedy: String? = nil) {
        self.level = level
        self.subject = subject
        self.message = message
        self.remedy = remedy
    }
}

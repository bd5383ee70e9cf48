/// One transaction of a warehouse, as `BatchApplier` drives it: synchronous, called on the
/// warehouse's own executor, one step a table and batch.
///
/// Contract:
/// - Everything between `begin` and `commit` is one transaction: all of it is durable when `commit` returns, none of
///   it after `rollback` or a crash. `commit` may fail after it took effect (a lost answer); the caller then reads the
///   checkpoint again.
/// - Methods throw `ReplicationError` whose kind decides what happens: `.passing` is retried, `.data` names the table
///   whose rows the engine refuses, `.duplicateRaw` repeats the batch with every event probed, `.fenced` stops.
/// - Row order inside a batch has no meaning; versions decide.
/// - Values never appear in an error.
package protocol WarehouseTransaction: AnyObject {
    func begin() throws

    /// Takes the tables' shared locks in the order given, then reads their states. A table without state has the default.
    /// `exclusive` where the batch truncates one of them.
    func lock(_ tables: [TableID], exclusive: Bool) throws -> [TableID: TableState]

    /// What `refuseOutdated` has found. Kept from transaction to transaction.
    var agreements: Agreements { get set }
    /// A table's definition as it is stored; nil: there is none. Behind its lock.
    func storedDefinition(_ table: TableID) throws -> TableDefinition?

    /// Asserts that each partition's stored token and position are the ones expected and keeps them locked until the
    /// end; throws `.fenced` otherwise. Gives all of the pipeline's checkpoints (for their marks).
    func assertOwned(_ advances: [CheckpointAdvance]) throws -> [Checkpoint]

    /// Which of `events` (indices into the batch) have their id in the table's raw already. All have `_version_seq` as
    /// raw has it, so an index on `(_version_seq, event_id)` serves.
    func knownEvents(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws -> Set<Int32>

    /// Appends to raw. Throws `.duplicateRaw` if one of the ids is there already and the engine tells.
    func appendRaw(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws

    /// Writes rows (indices into `staged`, all whole and live) without staging them, if current has none of their keys.
    /// False: nothing was written, since it has one, or since staging them is the better way.
    func insertNew(_ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, loadedAt_us: Int64) throws -> Bool

    /// Brings rows into a staging table of the transaction; replaces what was staged for the table before.
    func stage(_ staged: StagedTable, _ batch: ChangeBatch) throws

    /// Version, flag and map of the warehouse's rows for the keys of staged rows that are masked, and, if `sparse`, of
    /// all whose stored row has a map and a version not below the staged one. Locks them where agents share the table.
    func storedRows(_ staged: StagedTable, sparse: Bool) throws -> [StoredRow]

    /// Writes the staged rows. Rows without a patch pass if the key is new or the stored version is older; rows with one
    /// do as it says. A masked row whose key is new is inserted with its unknown columns null and its own map.
    func merge(_ staged: StagedTable, _ batch: ChangeBatch, patches: [RowPatch], loadedAt_us: Int64) throws
        -> MergeAnswer

    /// Soft-deletes every row with an older version (rows already deleted too: they take the truncate's version and
    /// time). Gives the number of rows.
    func truncate(_ table: TableDefinition, version: Version, time_us: Int64, loadedAt_us: Int64) throws -> Int

    /// Keys (JSON) with map and version of all live rows that have a map and a version above `version`.
    func sparseRows(_ table: TableDefinition, above version: Version) throws -> [SparseRow]

    /// Keyless tables: adds `inserts` (event indices; the row is named by the event's id, its image is the event's
    /// after-image), skipping those whose name is there already (returned as `superseded`); then ends, for each of
    /// `ends` (in version order), the oldest live row that has its `imageBefore` and an older version, unless one was
    /// ended by that event already. Ends that found no row are returned as `unmatched`; if such an event also inserts,
    /// the caller retracts it.
    func applyKeyless(
        _ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32], ends: [Int32], loadedAt_us: Int64
    ) throws -> KeylessAnswer

    /// Removes rows that this same transaction added by `applyKeyless`.
    func retract(_ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32]) throws

    /// All raw events of the keys (JSON text), in no order; and all truncates of the table if `truncates`.
    func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) throws -> [RawEvent]

    /// Dependencies of moved rows on any of `oldKeys` (all of the table's where nil).
    func moves(_ table: TableID, oldKeys: [String]?) throws -> [MoveDependency]
    func record(_ moves: [MoveDependency]) throws

    /// Puts records aside. Of a source transaction that comes in parts, each part's own.
    func quarantine(_ entries: [QuarantineEntry], loadedAt_us: Int64) throws

    /// Names events that raw has as deferred.
    func putOff(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32], hasImmediateKey: Bool) throws
    /// The oldest deferred events of the table, by version, at most `limit`.
    func deferredEvents(_ table: TableDefinition, limit: Int) throws -> [DeferredEvent]
    func forgetDeferred(_ table: TableDefinition, _ events: [DeferredEvent]) throws
    /// All tables of the pipeline.
    func allTables() throws -> [TableID]
    /// Holds tables, or goes on doing so: the first reason stays. Their locks are held exclusively.
    func hold(_ holds: [TableHold]) throws
    func endHold(_ table: TableID, _ kind: TableHold.Kind) throws

    /// Whose equality of keys holds here.
    var keyEquality: KeyEquality { get }
    /// Erasures of a table's keys by their names (`KeyNames`), as far as there are any.
    func erasures(_ table: TableID, _ names: [String]) throws -> [String: Erasure]
    /// Writes erasures, over earlier ones of their keys, and marks their tables (`TableState.hasErasures`).
    /// - Parameter reason: nil: as it stands.
    func write(_ erasures: [Erasure], reason: String?) throws
    /// Gives the text of each key that raw has, the other keys of key changes too; more than once, maybe.
    func rawKeys(_ table: TableDefinition, _ body: (String) throws -> Void) throws
    /// Takes keys and images from events of raw; their key becomes `Erasure.rawKey` of the name.
    func scrubRaw(_ table: TableDefinition, _ events: [RawEvent], as name: String) throws
    /// Takes the before-image and the old key from events that moved a row away from one of the keys.
    func scrubOldKeys(_ table: TableDefinition, _ keys: [String]) throws
    /// Deletes the rows of current that have the keys of rows (indices) staged last, after `storedRows` has found them.
    func removeRows(_ staged: StagedTable, _ rows: [Int]) throws
    /// Takes the keys from late events and moves, and the events from what is deferred; gives the number of the latter.
    func forgetKeys(_ table: TableID, _ keys: [String], _ events: [EventID]) throws -> Int
    /// Takes key, value and headers from records of the quarantine and gives them up; gives their number.
    func scrubQuarantine(_ ids: [Int64]) throws -> Int

    /// Notes that late events of the keys that arrived then (µs since 1970) are reconciled.
    func reconcile(_ table: TableID, _ keys: [String], _ arrived_us: Range<Int64>) throws

    /// Whether a live row has a column that is still to be filled.
    func hasIncompleteRows(_ table: TableDefinition) throws -> Bool
    /// Deletes rows of raw that were loaded before a time (µs since 1970), at most `limit`, and moves that were recorded
    /// before, and notes how far back raw goes (`TableState.rawFrom_us`). Gives the number of rows.
    func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) throws -> Int

    /// Where the source's epochs begin.
    func epochs() throws -> SourceEpochs
    /// All holds of a kind.
    func holds(_ kind: TableHold.Kind) throws -> [TableHold]
    /// The least source time of superseded late events that were written after `time_us` (µs since 1970).
    func firstLate(after time_us: Int64) throws -> Int64?
    /// The event of the highest version of those that raw has of the table and that were written before a time (nil: of
    /// all), by partition.
    func highest(_ table: TableDefinition, before time_us: Int64?) throws -> [TopicPartition: EpochSearch.Highest]
    /// The offset of the first of the table's events in raw that were written at that time or later and are older than
    /// `versions` says, by partition; snapshot reads are left out.
    func first(
        _ table: TableDefinition, from time_us: Int64, below versions: [TopicPartition: Version]
    ) throws -> [TopicPartition: Int64]
    /// Gives raw's events of the epoch its number, and defers them all. Snapshot reads are of it by their offset only.
    func renumber(_ table: TableDefinition, _ beginning: SourceEpochs.Beginning) throws -> EpochChange.Renumbered
    /// Stores where the epoch begins, writes the highest versions, and fences all agents.
    func store(_ beginning: SourceEpochs.Beginning, marks: [TopicPartition: [TableID: Version]]) throws
    /// Events older than what is there are expected from now on.
    func acceptOlder(since_us: Int64) throws

    /// Writes checkpoints (with the marks given by partition), ledger and table states.
    func record(_ commit: CommitRecord) throws

    func commit() throws
    /// Never throws: a transaction that can't be rolled back is gone with its connection.
    func rollback()
}

extension WarehouseTransaction {
    package var keyEquality: KeyEquality { .postgres }

    package func insertNew(
        _ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, loadedAt_us: Int64
    ) throws -> Bool { false }

    /// Does `work` in one transaction: durable when this returns, undone when it throws.
    func run<Value>(_ work: () throws -> Value) throws -> Value {
        try begin()
        do {
            let value = try work()
            try commit()
            return value
        } catch {
            rollback()
            throw error
        }
    }
}

/// What the agent must know of a table inside the transaction.
package struct TableState: Sendable, Equatable {
    /// The newest truncate's version and time; `.none` if there was none.
    package var floor: Version = .none
    package var floorTime_us: Int64 = .min
    /// Some row of current may have a map.
    package var isSparse = false
    /// Some row was moved with columns carried over.
    package var hasMoves = false
    /// Some key's events are to be hidden. Read, never written with the state.
    package var hasErasures = false
    /// Raw may lack what was loaded before that, µs since 1970 (`layers.raw_retention`); nil: it has all. Read, never
    /// written with the state.
    package var rawFrom_us: Int64?
    /// Its columns are known and current is there. Read, never written: `ensure` sees to it.
    package var isMade = false
    /// Of its stored definition: changes with it. As `isMade`.
    package var digest: Int64?
    /// Why its current stands still. Read, never written with the state.
    package var holds: Set<TableHold.Kind> = []
    /// Events older than what is there are expected for now (`Warehouse.acceptRedelivery`). As `holds`.
    package var acceptsOlder = false

    package init() {}
}

package struct SparseRow: Sendable {
    package var key: String
    package var version: Version
    package var columnVersions: ColumnVersions

    package init(key: String, version: Version, columnVersions: ColumnVersions) {
        self.key = key
        self.version = version
        self.columnVersions = columnVersions
    }
}

package struct KeylessAnswer: Sendable {
    package var inserted: Int
    /// Inserts (event indices) that were there already.
    package var superseded: [Int32]
    /// Ends (event indices) that ended a row now.
    package var ended: Int
    /// Ends that had been carried out before.
    package var repeated: [Int32]
    package var unmatched: [Int32]

    package init(inserted: Int, superseded: [Int32], ended: Int, repeated: [Int32], unmatched: [Int32]) {
        self.inserted = inserted
        self.superseded = superseded
        self.ended = ended
        self.repeated = repeated
        self.unmatched = unmatched
    }
}

/// One row of the raw layer, as text.
package struct RawEvent: Sendable {
    package var id: EventID
    package var operation: Operation
    package var version: Version
    /// JSON object; nil for truncates and keyless tables.
    package var key: String?
    /// The other key of a key change.
    package var otherKey: String?
    package var before: String?
    package var after: String?
    package var unchanged: [String]
    /// As `ChangeEvent.transaction`.
    package var transaction: Int64
    /// As `ChangeEvent.sourceTime_us`.
    package var sourceTime_us: Int64
    /// When it came, µs since 1970 of the agent that brought it; nil where it wasn't asked for.
    package var loadedAt_us: Int64?

    package init(
        id: EventID, operation: Operation, version: Version, key: String?, otherKey: String? = nil,
        before: String? = nil, after: String? = nil, unchanged: [String] = [], transaction: Int64 = -1,
        sourceTime_us: Int64 = .min
    ) {
        self.id = id
        self.operation = operation
        self.version = version
        self.key = key
        self.otherKey = otherKey
        self.before = before
        self.after = after
        self.unchanged = unchanged
        self.transaction = transaction
        self.sourceTime_us = sourceTime_us
    }
}

extension RawEvent {
    /// What can be told of the event's flags.
    package var flags: ChangeEvent.Flags {
        // Of some key changes the old key isn't told, but the version is that of a create half all the same.
        guard otherKey != nil || operation == .create && version.createsMovedKey else { return [] }
        return operation == .delete ? .moveDelete : .moveCreate
    }

    /// The event as raw will show it.
    ///
    /// - Parameter isStored: with the names that raw has for the columns, instead of their own.
    package init(
        _ event: ChangeEvent, _ definition: TableDefinition, in batch: ChangeBatch, isStored: Bool = false
    ) {
        func name(_ column: Column) -> String { isStored ? column.nameInRaw : column.name }
        func object(_ image: Int32) -> String? {
            guard image >= 0 else { return nil }
            let sink = ByteArena()
            var parts: [String] = []
            for (column, definition) in definition.columns.enumerated() {
                let field = batch.field(image, column, width: event.width)
                guard field.isKnown else { continue }
                sink.removeAll()
                FieldText.appendJSON(field, definition.type, from: batch.arena, to: sink)
                parts.append(
                    JSONText.quoted(name(definition)) + ":" + sink.string(ByteRange(offset: 0, length: sink.count)))
            }
            return "{" + parts.joined(separator: ",") + "}"
        }
        let unchanged =
            event.after < 0
            ? []
            : definition.columns.indices.filter {
                batch.field(event.after, $0, width: event.width).kind == .unchanged
            }.map { name(definition.columns[$0]) }
        self.init(
            id: event.id, operation: event.operation, version: event.version,
            key: event.key.isNull ? nil : batch.arena.string(event.key),
            otherKey: event.otherKey.isNull ? nil : batch.arena.string(event.otherKey), before: object(event.before),
            after: object(event.after), unchanged: unchanged, transaction: event.transaction,
            sourceTime_us: event.sourceTime_us)
    }
}

/// The row `newKey`, made by a key change at `create`, has columns that come from `oldKey` as it was
/// below the delete half. Kept for the late window, so that a later fill of the donor reaches it.
///
/// Of a key on itself: the delete at `create` was found to spare the row (`SharedKeys`), which an older event that comes
/// later may change.
package struct MoveDependency: Hashable, Sendable {
    package var table: TableID
    package var newKey: String
    package var oldKey: String
    package var create: Version

    var isOnItself: Bool { newKey == oldKey }

    package init(table: TableID, newKey: String, oldKey: String, create: Version) {
        self.table = table
        self.newKey = newKey
        self.oldKey = oldKey
        self.create = create
    }
}

/// Everything beside rows that one commit writes.
package struct CommitRecord: Sendable {
    package var ledger: [LedgerEntry] = []
    package var control = 0
    package var states: [TableID: TableState] = [:]
    package var advances: [CheckpointAdvance] = []
    /// New highest versions, by partition of `advances`.
    package var marks: [TopicPartition: [TableID: Version]] = [:]
    /// Of streamed events, and not later than `loadedAt_us`.
    package var newestSourceTime_us = Int64.min
    package var loadedAt_us: Int64 = 0
    /// What of an initial copy or backfill is done with this commit.
    package var copied: [CopyMark] = []
    /// At most `BatchApplier.late_max` of a batch.
    package var late: [LateEvent] = []

    package init() {}
}

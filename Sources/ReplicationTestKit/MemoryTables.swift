package import Replication

/// One row of current as the in-memory warehouse has it.
package struct MemoryRow: Sendable, Equatable {
    /// JSON text per column name; a missing name is null that nobody knows.
    package var values: [String: String]
    package var key: String
    package var version: Version
    package var isDeleted: Bool
    package var deletedAt_us: Int64?
    package var sourceUpdatedAt_us: Int64?
    package var loadedAt_us: Int64
    package var columnVersions: ColumnVersions = .init()
    package var rowID: EventID?
    package var rowImage: EventID?
    package var endedBy: EventID?
}

/// All that the in-memory warehouse holds: a value, so that a transaction is a copy.
package struct MemoryTables: Sendable {
    package var definitions: [TableID: TableDefinition] = [:]
    package var current: [TableID: [String: MemoryRow]] = [:]
    package var raw: [TableID: [RawEvent]] = [:]
    package var rawIDs: [TableID: Set<EventID>] = [:]
    package var states: [TableID: TableState] = [:]
    package var checkpoints: [TopicPartition: Checkpoint] = [:]
    package var ledger: [LedgerEntry] = []
    package var control = 0
    package var quarantine: [QuarantinedRecord] = []
    package var moves: Set<MoveDependency> = []
    package var copied: [CopyMark] = []
    package var late: [LateEvent] = []
    package var reconciled: Set<EventID> = []
    package var gates: [GateCount] = []
    package var holds: [TableHold] = []
    package var deferred: [TableID: [DeferredEvent]] = [:]
    package var places: [EventID: (partition: TopicPartition, offset: Int64)] = [:]
    package var epochs = SourceEpochs()
    package var erasures: [TableID: [String: Erasure]] = [:]
    package var acceptsOlder = false
    package var schemaChanges: [SchemaChange] = []
    /// What is so, and what was before it: the last of each table holds.
    package var freshness: [FreshnessRecord] = []

    package init() {}

    /// Live rows of a table as `column: JSON`, in key order; what analysts see.
    package func live(_ table: TableID) -> [[String: String]] {
        (current[table] ?? [:]).values.filter { !$0.isDeleted }
            .sorted { ($0.key, $0.rowID?.text ?? "") < ($1.key, $1.rowID?.text ?? "") }
            .map { row in
                var all: [String: String] = [:]
                for column in definitions[table]?.columns ?? [] { all[column.name] = row.values[column.name] ?? "null" }
                return all
            }
    }

    /// Everything that must converge whatever the order of arrival: live rows whole (with the sparse map), and of the
    /// deleted ones key, version and time.
    package func convergent(_ table: TableID) -> [String] {
        let columns = definitions[table]?.columns ?? []
        return (current[table] ?? [:]).values.map { row in
            if row.isDeleted { return "\(row.key) deleted \(row.version) \(row.deletedAt_us ?? 0)" }
            let cells = columns.map { "\($0.name)=\(row.values[$0.name] ?? "null")" }.joined(separator: " ")
            return "\(row.key) \(row.version) \(row.columnVersions.json) \(cells)"
        }.sorted()
    }
}

extension MemoryTables {
    /// What is so of each table.
    package var openFreshness: [FreshnessRecord] {
        var open: [TableID: FreshnessRecord] = [:]
        for record in freshness { open[record.table] = record }
        return open.values.sorted { $0.table < $1.table }
    }

    package mutating func record(freshness records: [FreshnessRecord]) {
        for record in records {
            guard let open = freshness.lastIndex(where: { $0.table == record.table }),
                freshness[open].status == record.status
            else {
                freshness.append(record)
                continue
            }
            let before = freshness[open]
            freshness[open] = record
            freshness[open].since_us = before.since_us
            freshness[open].staleness_us = before.staleness_us
            freshness[open].reason = before.reason
        }
    }

    package var ledgerSums: (tables: [LedgerEntry], control: Int) {
        var sums: [TableID?: LedgerEntry] = [:]
        for entry in ledger { sums[entry.table, default: .init(table: entry.table)] += entry }
        return (sums.values.sorted { ($0.table?.description ?? "") < ($1.table?.description ?? "") }, control)
    }
}

/// What is durable of the in-memory warehouse. Not `Sendable`-checked: whoever shares it sees to it that one at a time
/// uses it.
package final class MemoryStore: @unchecked Sendable {
    package private(set) var tables: MemoryTables
    /// Transactions that became durable; and changes from outside of them.
    package private(set) var commits = 0
    // Later than any source's clock in the tests.
    private var clock_us: Int64 = 2_000_000_000_000_000

    package init(_ tables: MemoryTables = .init()) { self.tables = tables }

    func commit(_ tables: MemoryTables) {
        self.tables = tables
        commits += 1
    }

    package func amend(_ change: (inout MemoryTables) throws -> Void) rethrows {
        var changed = tables
        try change(&changed)
        tables = changed
        commits += 1
    }

    /// A time that no other batch has.
    package func tick() -> Int64 {
        clock_us += 1
        return clock_us
    }
}

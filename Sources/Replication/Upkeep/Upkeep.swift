/// What is done from time to time beside batches, so that `_millrace` and raw don't grow for ever.
package struct Upkeep: Sendable {
    /// Ledger rows that are older become one row a table and hour.
    package static let ledgerAge_us: Int64 = 7 * 86_400_000_000
    /// Hours of the ledger that one step rolls up at most.
    package static let hours_max: Int64 = 24
    /// Rows of a table's raw that one step deletes at most, in one transaction.
    package static let rows_max = 50_000

    /// The agent's clock, µs since 1970.
    package var now_us: Int64
    /// How long raw is kept after it was loaded; nil: for ever.
    package var rawAge_us: Int64?
    package var rows_max = Upkeep.rows_max

    package init(now_us: Int64, rawAge_us: Int64? = nil) {
        self.now_us = now_us
        self.rawAge_us = rawAge_us
    }

    /// The ledger's whole hours before that are old; so no hour becomes two rows.
    package var ledgerEnd_us: Int64 { Self.hour(now_us - Self.ledgerAge_us) }
    package static func hour(_ time_us: Int64) -> Int64 { time_us - time_us % 3_600_000_000 }
}

/// What a step of the upkeep did, or all of them.
package struct UpkeepStep: Sendable, Equatable {
    /// Rows of the ledger that were taken together.
    package var ledgerRows = 0
    /// Rows of raw that were deleted.
    package var rawRows = 0
    /// Tables whose raw is kept whole for now, and why.
    package var kept: [TableID: String] = [:]
    /// False: there is more.
    package var isDone = true

    package init() {}

    mutating func add(_ other: UpkeepStep) {
        ledgerRows += other.ledgerRows
        rawRows += other.rawRows
        kept.merge(other.kept) { $1 }
    }
}

extension Upkeep {
    /// Takes steps until nothing is left, each a transaction of its own, or until `goesOn`, asked before each, says no.
    package func run(on warehouse: any Warehouse, goesOn: () async -> Bool = { true }) async throws -> UpkeepStep {
        var sum = UpkeepStep()
        func all(_ step: () async throws -> UpkeepStep) async throws {
            var isDone = false
            while !isDone, await goesOn() {
                let step = try await step()
                sum.add(step)
                isDone = step.isDone
            }
        }
        try await all { try await warehouse.rollUpLedger(before: ledgerEnd_us) }
        guard let rawAge_us else { return sum }
        for table in try await warehouse.knownTables() {
            do {
                try await all {
                    try await warehouse.trimRaw(table, before: now_us - rawAge_us, limit: rows_max)
                }
            } catch let error as ReplicationError where error.kind != .passing && error.kind != .fenced {
                // One table's trouble is its own.
                sum.kept[table.source] = error.message
            }
        }
        return sum
    }
}

enum RawTrimming {
    /// Deletes the oldest rows of a table's raw that nothing needs any more, in one transaction.
    static func step(
        _ table: TableDefinition, before time_us: Int64, limit: Int, in transaction: some WarehouseTransaction
    ) throws -> UpkeepStep {
        try transaction.run {
            var step = UpkeepStep()
            let state = try transaction.lock([table.source], exclusive: false)[table.source] ?? .init()
            if let reason = try obstacle(table, state, transaction) {
                step.kept[table.source] = reason
                return step
            }
            step.rawRows = try transaction.trimRaw(table, before: time_us, limit: limit)
            step.isDone = step.rawRows < limit
            return step
        }
    }

    /// What is deferred is applied from raw, and what is incomplete is filled from it.
    private static func obstacle(
        _ table: TableDefinition, _ state: TableState, _ transaction: some WarehouseTransaction
    ) throws -> String? {
        if let hold = state.holds.map(\.rawValue).sorted().first { return "the table is held (\(hold))" }
        if try !transaction.deferredEvents(table, limit: 1).isEmpty { return "events of it are deferred" }
        if try transaction.hasPutAside(table) { return "rows of it are put aside: millrace quarantine list" }
        guard state.isSparse, !table.isKeyless else { return nil }
        return try transaction.hasIncompleteRows(table) ? "it has rows with columns whose value never came" : nil
    }
}

extension BatchWriter {
    /// Parts of a source transaction that have come have to come again.
    package mutating func trimRaw(
        _ table: TableDefinition, before time_us: Int64, limit: Int, in transaction: some WarehouseTransaction
    ) throws -> UpkeepStep {
        abandon(transaction)
        return try RawTrimming.step(table, before: time_us, limit: limit, in: transaction)
    }
}

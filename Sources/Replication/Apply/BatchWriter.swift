/// Which part of a source transaction a batch is. One too large for a batch comes in parts, which commit together.
package enum BatchPart: Sendable {
    /// One or more source transactions, whole.
    case whole
    case first
    case middle
    case last

    package var isLast: Bool { self == .whole || self == .last }
    package var goesOn: Bool { self == .middle || self == .last }
}

/// What a warehouse keeps between batches: the source transaction of which not all parts have come.
package struct BatchWriter {
    private var unfinished: BatchApplier.Unfinished?
    /// Events of a source transaction in parts that the engine refused, with reasons: put aside when it comes again.
    private var refused: [EventID: String] = [:]
    /// Rows of it that aren't as expected, likewise.
    private var asideRows: [TableID: [[UInt8]: PendingGate.Row]] = [:]
    private var probesAll = false
    private var suspicion = RestoreSuspicion()

    package init() {}

    /// The warehouse transaction is open.
    package var isUnfinished: Bool { unfinished != nil }

    /// - Parameter probesAll: look for every event in raw; for a batch of which an earlier attempt may have committed.
    /// - Throws: `.restart` where the source transaction's earlier parts have to come again.
    package mutating func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], part: BatchPart, layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, probesAll: Bool = false
    ) throws -> BatchApplier.Outcome {
        if part.goesOn != isUnfinished {
            abandon(transaction)
            if part.goesOn {
                throw ReplicationError(.restart, "the warehouse transaction of a large source transaction was given up")
            }
        }
        if part == .whole, refused.isEmpty {
            return try applyWhole(batch, advances, layout, transaction, loadedAt_us, probesAll)
        }
        return try applyPart(batch, advances, part, layout, transaction, loadedAt_us, probesAll)
    }

    private mutating func tryPart(
        _ batch: ChangeBatch, _ advances: [CheckpointAdvance], _ part: BatchPart, _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ probesAll: Bool
    ) throws -> BatchApplier.Outcome {
        do {
            let outcome = try BatchApplier.apply(
                batch, advancing: advances, layout: layout, in: transaction, loadedAt_us: loadedAt_us,
                probeAll: probesAll || self.probesAll, refused: known(in: batch),
                asideRows: part == .whole ? [:] : asideRows, continuing: &unfinished, isLast: part.isLast)
            // Other batches may come before the transaction comes again.
            if part == .last {
                refused = [:]
                asideRows = [:]
                self.probesAll = false
            }
            return outcome
        } catch let error as ReplicationError where error.kind == .duplicateRaw && !self.probesAll {
            self.probesAll = true
            throw ReplicationError(.restart, "raw has an event of this source transaction already: each is looked up")
        } catch let error as ReplicationError where error.kind == .data {
            let found = try BatchApplier.refusals(
                batch, error, known(in: batch), layout: layout, in: transaction, loadedAt_us: loadedAt_us)
            guard !found.isEmpty else { throw error }
            for (index, reason) in found { refused[batch.events[Int(index)].id] = reason }
            throw ReplicationError(.restart, "\(found.count) rows are refused by the warehouse and will be put aside")
        }
    }

    /// Applies a part of a source transaction; where a table's own trouble stands in its way, the table is held, and the
    /// transaction has to come again.
    private mutating func applyPart(
        _ batch: ChangeBatch, _ advances: [CheckpointAdvance], _ part: BatchPart, _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ probesAll: Bool
    ) throws -> BatchApplier.Outcome {
        do {
            return try tryPart(batch, advances, part, layout, transaction, loadedAt_us, probesAll)
        } catch let closed as GateClosed {
            try note(closed, transaction, loadedAt_us)
            throw ReplicationError(.restart, "rows of this source transaction aren't as expected")
        } catch let error as ReplicationError where error.mayHoldTable {
            var placed: Set<TableID> = []
            guard try holdFailing(error, batch, layout, transaction, loadedAt_us, &placed) else { throw error }
            // Found before the table was held; what is still in the way is found again.
            refused = [:]
            throw ReplicationError(.restart, "a table of this source transaction is held: \(error.message)")
        }
    }

    /// What becomes of rows that aren't as expected when the source transaction comes again.
    private mutating func note(
        _ closed: GateClosed, _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64
    ) throws {
        try transaction.run {
            _ = try transaction.lock(
                Set(closed.counts.map(\.table) + closed.holds.map(\.table)).sorted(), exclusive: true)
            try transaction.hold(closed.holds)
            var record = CommitRecord()
            record.gates = closed.counts
            record.loadedAt_us = loadedAt_us
            try transaction.record(record)
        }
        for (table, rows) in closed.rows { asideRows[table, default: [:]].merge(rows) { first, _ in first } }
    }

    /// Holds the table that an error is about, if nobody has: true where it is to be tried again so.
    ///
    /// - Parameter placed: tables that were held here.
    private func holdFailing(
        _ error: ReplicationError, _ batch: ChangeBatch, _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ placed: inout Set<TableID>
    ) throws -> Bool {
        guard layout.hasRaw, layout.hasCurrent, let table = error.table, !placed.contains(table),
            batch.tables.contains(where: { $0.source == table && $0.hasShape })
        else { return false }
        var isNew = false
        // A lock that another agent has passes, as it did for what failed.
        try transaction.run {
            isNew = try transaction.lock([table], exclusive: true)[table]?.holds.isEmpty ?? true
            guard isNew else { return }
            try transaction.hold([
                TableHold(table: table, kind: .failing, reason: error.message, since_us: loadedAt_us)
            ])
        }
        if isNew { placed.insert(table) }
        return true
    }

    /// Of a table that can't be written to raw either. Where another agent has deferred something meanwhile the hold stays.
    private func endFailing(
        _ table: TableID, _ batch: ChangeBatch, _ transaction: some WarehouseTransaction
    ) {
        guard let definition = batch.tables.first(where: { $0.source == table }) else { return }
        // Not worth another error: whoever tries the table again ends it then.
        try? transaction.run {
            _ = try transaction.lock([table], exclusive: true)
            if try transaction.deferredEvents(definition, limit: 1).isEmpty {
                try transaction.endHold(table, .failing)
            }
        }
    }

    /// Undoes the parts that have come.
    package mutating func abandon(_ transaction: some WarehouseTransaction) {
        guard unfinished != nil else { return }
        unfinished = nil
        transaction.rollback()
    }

    private mutating func applyWhole(
        _ batch: ChangeBatch, _ advances: [CheckpointAdvance], _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ probesAll: Bool
    ) throws -> BatchApplier.Outcome {
        // One table's trouble is its own: it is held, and the batch is applied with its events deferred.
        func apply(_ suspicion: RestoreSuspicion?) throws -> BatchApplier.Outcome {
            var placed: Set<TableID> = []
            var attempts = 0
            while true {
                do {
                    return try BatchApplier.applyWithRemedies(
                        batch, advancing: advances, layout: layout, in: transaction, loadedAt_us: loadedAt_us,
                        probeAll: probesAll, suspicion: suspicion)
                } catch let error as ReplicationError where error.mayHoldTable {
                    attempts += 1
                    guard attempts <= 2 * batch.tables.count,
                        try holdFailing(error, batch, layout, transaction, loadedAt_us, &placed)
                    else {
                        if let table = error.table, placed.contains(table) { endFailing(table, batch, transaction) }
                        throw error
                    }
                }
            }
        }
        // What comes beside the log, a replay of quarantined records, tells nothing of it.
        guard layout.suspectsRestore, layout.hasRaw, layout.hasCurrent, !advances.isEmpty else { return try apply(nil) }
        do {
            let outcome = try apply(suspicion)
            suspicion = outcome.suspicion ?? suspicion
            return outcome
        } catch let error as RestoreSuspected {
            suspicion = RestoreSuspicion()
            try hold(in: transaction) {
                try transaction.allTables().map {
                    TableHold(
                        table: $0, kind: .restored, reason: RestoreSuspicion.reason, since_us: loadedAt_us,
                        from_us: error.from_us)
                }
            }
            return try apply(nil)
        }
    }

    package mutating func beginEpoch(
        _ tables: [TableDefinition], layout: WarehouseLayout, in transaction: some WarehouseTransaction,
        loadedAt_us: Int64
    ) throws {
        abandon(transaction)
        suspicion = RestoreSuspicion()
        try EpochChange.run(tables, layout: layout, in: transaction, loadedAt_us: loadedAt_us)
    }

    package mutating func acceptOlder(since_us: Int64, in transaction: some WarehouseTransaction) throws {
        abandon(transaction)
        suspicion = RestoreSuspicion()
        try transaction.run { try transaction.acceptOlder(since_us: since_us) }
    }

    /// Takes one step in releasing a table; parts of a source transaction that have come have to come again.
    package mutating func release(
        _ table: TableDefinition, _ kind: TableHold.Kind, layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, _ options: ReleaseOptions,
        equality: KeyEquality = .postgres
    ) throws -> ReleaseStep {
        abandon(transaction)
        return try BatchApplier.release(
            table, kind, layout: layout, in: transaction, loadedAt_us: loadedAt_us, options, equality: equality)
    }

    /// Applies events of the quarantine that raw has.
    package mutating func replay(
        _ ids: [Int64], of table: TableDefinition, layout: WarehouseLayout, in transaction: some WarehouseTransaction,
        loadedAt_us: Int64, _ options: ReleaseOptions, equality: KeyEquality = .postgres
    ) throws -> (outcome: BatchApplier.Outcome, promoted: Set<Int64>) {
        abandon(transaction)
        return try BatchApplier.replay(
            ids, of: table, layout: layout, in: transaction, loadedAt_us: loadedAt_us, options, equality: equality)
    }

    package mutating func hold(_ holds: [TableHold], in transaction: some WarehouseTransaction) throws {
        abandon(transaction)
        try hold(in: transaction) { holds }
    }

    /// - Parameter holds: told inside of the transaction.
    private func hold(in transaction: some WarehouseTransaction, _ holds: () throws -> [TableHold]) throws {
        try transaction.run {
            let holds = try holds()
            _ = try transaction.lock(holds.map(\.table).sorted(), exclusive: true)
            try transaction.hold(holds)
        }
    }

    private func known(in batch: ChangeBatch) -> [Int32: String] {
        guard !refused.isEmpty else { return [:] }
        var known: [Int32: String] = [:]
        for index in batch.events.indices {
            if let reason = refused[batch.events[index].id] { known[Int32(index)] = reason }
        }
        return known
    }
}

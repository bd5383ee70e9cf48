/// Applies one batch: drives a `WarehouseTransaction` through the steps that make rows, raw,
/// checkpoint and ledger commit together. Holds no state between batches and touches nothing itself.
///
/// A source transaction too large for one batch comes in several, which all go into one warehouse transaction: what
/// must be remembered from one to the next is in `Unfinished`.
package struct BatchApplier {
    package struct Outcome: Sendable {
        package var ledger: [LedgerEntry] = []
        package var control = 0
        /// Rows written to current.
        package var rows = 0
        package var quarantined = 0
        /// What rules found, those that only warn among them.
        package var gates: [GateCount] = []
        /// Tables that are held from here on.
        package var closed: [TableHold] = []
        /// When the newest event of each table was made at the source, of those that were streamed.
        package var newestSourceTimes_us: [TableID: Int64] = [:]
        /// Of a mend: keys of rows that weren't written, as more is known of them than the source was asked.
        package var unmended: [String] = []
        /// What is left of it for the next batch.
        var suspicion: RestoreSuspicion?

        package init() {}
    }

    /// What the batches so far of one source transaction have left; the warehouse transaction is open.
    package struct Unfinished {
        var record = CommitRecord()
        var outcome = Outcome()
        var marks: Marks
        var pending = PendingGate()
    }

    let layout: WarehouseLayout
    let batch: ChangeBatch
    let advances: [CheckpointAdvance]
    let loadedAt_us: Int64
    let probeAll: Bool
    /// Events (indices) put aside because the warehouse refused their rows in an earlier attempt.
    let refused: [Int32: String]
    /// The events are in raw already, and deferred.
    let isReplay: Bool
    /// The events are what a sweep read at the source.
    var mend: RowMend?
    /// No part of a larger source transaction.
    var isWhole = true
    /// The tables' locks are held exclusively.
    var isAlone = false
    /// Of the source transaction's parts so far.
    var pending = PendingGate()
    /// Rows of this source transaction whose events are put aside, as an earlier attempt has found.
    var asideRows: [TableID: [[UInt8]: PendingGate.Row]] = [:]
    /// What earlier batches have left of it; nil: it isn't to be raised.
    var suspicion: RestoreSuspicion?
    var signs: [TopicPartition: RestoreSuspicion.Signs] = [:]
    var ahead: CoalescedAhead?
    var record = CommitRecord()
    var outcome = Outcome()
    /// What this batch puts into quarantine.
    var putAside: [QuarantineEntry] = []

    /// - Parameters:
    ///   - loadedAt_us: the agent's clock; must differ from that of every other batch of this agent.
    ///   - probeAll: look for every event in raw, not only for those at or below the marks.
    ///   - refused: events to quarantine, with reasons, because the engine refuses their values.
    package static func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, probeAll: Bool = false,
        refused: [Int32: String] = [:], suspicion: RestoreSuspicion? = nil
    ) throws -> Outcome {
        var unfinished: Unfinished?
        return try apply(
            batch, advancing: advances, layout: layout, in: transaction, loadedAt_us: loadedAt_us, probeAll: probeAll,
            refused: refused, suspicion: suspicion, continuing: &unfinished, isLast: true)
    }

    static func mend(
        _ mend: RowMend, layout: WarehouseLayout, in transaction: some WarehouseTransaction, loadedAt_us: Int64
    ) throws -> Outcome {
        var applier = BatchApplier(
            layout: layout, batch: mend.batch, advances: [], loadedAt_us: loadedAt_us, probeAll: false, refused: [:])
        applier.mend = mend
        var unfinished: Unfinished?
        return try applier.run(transaction, &unfinished, isLast: true)
    }

    /// Applies one batch of a source transaction that comes in several.
    ///
    /// - Parameters:
    ///   - asideRows: rows of it that aren't as expected, by `GateRow.key`.
    ///   - unfinished: what the batch before left; nil for the first. Nil again after the last, and after an error,
    ///     which undoes them all.
    ///   - isLast: ends the source transaction; until then the checkpoint stays where it is.
    package static func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, probeAll: Bool = false,
        refused: [Int32: String] = [:], asideRows: [TableID: [[UInt8]: PendingGate.Row]] = [:],
        suspicion: RestoreSuspicion? = nil, continuing unfinished: inout Unfinished?, isLast: Bool
    ) throws -> Outcome {
        var applier = BatchApplier(
            layout: layout, batch: batch, advances: advances, loadedAt_us: loadedAt_us, probeAll: probeAll,
            refused: refused)
        applier.asideRows = asideRows
        applier.suspicion = suspicion
        return try applier.run(transaction, &unfinished, isLast: isLast)
    }

    init(
        layout: WarehouseLayout, batch: ChangeBatch, advances: [CheckpointAdvance], loadedAt_us: Int64,
        probeAll: Bool, refused: [Int32: String], isReplay: Bool = false
    ) {
        self.layout = layout
        self.batch = batch
        self.advances = advances
        self.loadedAt_us = loadedAt_us
        self.probeAll = probeAll
        self.refused = refused
        self.isReplay = isReplay
    }

    var writesRaw: Bool { layout.hasRaw && !isReplay }

    private mutating func run(
        _ transaction: some WarehouseTransaction, _ unfinished: inout Unfinished?, isLast: Bool
    ) throws -> Outcome {
        isWhole = unfinished == nil && isLast
        pending = unfinished?.pending ?? PendingGate()
        if unfinished == nil { try transaction.begin() }
        do {
            // For one attempt: what it fills in of images is no part of what was foreseen.
            ahead = refused.isEmpty && mend == nil ? batch.ahead : nil
            batch.ahead = nil
            let byTable = ahead?.byTable ?? EventsByTable(batch, leavingOut: refused)
            let tables = byTable.indices.map { batch.tables[$0].source }
            // A transaction in parts holds none: it comes again for that.
            let mayHold = isWhole && batch.findings.values.contains(where: \.mayHold)
            isAlone = byTable.hasTruncate || mend != nil || mayHold
            var states = try transaction.lock(tables.sorted(), exclusive: isAlone)
            if let changed = unfinished?.record.states {
                states.merge(changed) { stored, changed in
                    var state = changed
                    state.hasPutAside = stored.hasPutAside
                    return state
                }
            }
            let marks = try unfinished?.marks ?? Marks(transaction.assertOwned(advances), advances)
            if layout.suspectsRestore, !layout.hasRaw { try refuseRestored(marks) }
            // Behind the tokens: who is fenced has lost more than a definition.
            for table in byTable.indices {
                let definition = batch.tables[table]
                try transaction.refuseOutdated(definition, states[definition.source], layout)
            }

            var entries = [LedgerEntry]()
            for table in byTable.indices {
                let source = batch.tables[table].source
                do {
                    entries.append(
                        try apply(table, byTable.events[table], states[source] ?? .init(), marks, transaction))
                } catch var error as ReplicationError where error.table == nil {
                    error.table = source
                    throw error
                }
            }
            quarantine(&entries)
            try settle(entries)
            try transaction.quarantine(putAside, loadedAt_us: loadedAt_us)
            record.control = batch.control
            record.advances = advances
            record.newestSourceTime_us = noteNewest()
            record.loadedAt_us = loadedAt_us
            record.copied = batch.copied
            advanceMarks()
            try suspect(marks, states)
            outcome.control = batch.control
            if let before = unfinished {
                record.continue(before.record)
                outcome.continue(before.outcome)
            }
            guard isLast else {
                unfinished = Unfinished(record: record, outcome: outcome, marks: marks, pending: pending)
                return outcome
            }
            unfinished = nil
            if !isWhole {
                if let closed = try pending.closed(hasRaw: layout.hasRaw, loadedAt_us: loadedAt_us) { throw closed }
                record.gates = GateCount.sums(record.gates + pending.warnings)
                outcome.gates = record.gates
            }
            try transaction.record(record)
            try transaction.commit()
        } catch {
            unfinished = nil
            transaction.rollback()
            throw error
        }
        return outcome
    }

    // MARK: One table

    private mutating func apply(
        _ table: Int, _ events: [Int32], _ stored: TableState, _ marks: Marks, _ transaction: some WarehouseTransaction
    ) throws -> LedgerEntry {
        let definition = batch.tables[table]
        var entry = LedgerEntry(table: definition.source)
        var state = stored
        entry.read = table < batch.read.count ? batch.read[table] : 0
        let events = try mend.map { try admit(table, events, of: $0, stored, &entry, transaction) } ?? events

        var fresh = ahead?.distinct(table) ?? DistinctEvents.of(batch, events)
        entry.duplicate = events.count - fresh.count
        if layout.hasRaw, let duplicates = try duplicates(definition, fresh, marks, transaction) {
            entry.duplicate += duplicates.count
            fresh = fresh.filter { !duplicates.contains($0) }
        }
        if stored.hasErasures { fresh = try hideErased(table, fresh, &entry, transaction) }
        if !stored.holds.isEmpty, layout.hasRaw, layout.hasCurrent, definition.hasShape {
            try putOff(table, fresh, &entry, transaction)
            return entry
        }
        let gated = mend == nil ? try gate(table, fresh, stored, &entry, transaction) : Gated(now: fresh)
        try place(table, gated.now, stored, marks, &entry, &state, transaction)
        if let hold = gated.hold { try close(hold, table, gated.later, &entry, transaction) }
        if state != stored { record.states[definition.source] = state }
        return entry
    }

    /// Holds the table from these events on.
    private mutating func close(
        _ hold: TableHold, _ table: Int, _ later: [Int32], _ entry: inout LedgerEntry,
        _ transaction: some WarehouseTransaction
    ) throws {
        try transaction.hold([hold])
        outcome.closed.append(hold)
        try putOff(table, later, &entry, transaction)
    }

    /// As `apply`, of events that are in raw: what was deferred. Those that stay so, as they aren't as expected, are `later`.
    ///
    /// - Parameter isPromoted: they were let through before.
    mutating func replay(
        _ table: Int, _ events: [Int32], _ stored: TableState, isPromoted: Bool = false,
        _ transaction: some WarehouseTransaction
    ) throws -> (entry: LedgerEntry, gated: Gated) {
        var entry = LedgerEntry(table: batch.tables[table].source)
        var state = stored
        let events = stored.hasErasures ? try hideErased(table, events, &entry, transaction) : events
        let gated = isPromoted ? Gated(now: events) : try gate(table, events, stored, &entry, transaction)
        try place(table, gated.now, stored, .everything, &entry, &state, transaction)
        if state != stored { record.states[batch.tables[table].source] = state }
        return (entry, gated)
    }

    /// Brings events that are no duplicates to where they belong.
    private mutating func place(
        _ table: Int, _ fresh: [Int32], _ stored: TableState, _ marks: Marks, _ entry: inout LedgerEntry,
        _ state: inout TableState, _ transaction: some WarehouseTransaction
    ) throws {
        let definition = batch.tables[table]
        var rowEvents: [Int32] = []
        rowEvents.reserveCapacity(fresh.count)
        var truncates: [Int32] = []
        for index in fresh {
            if batch.events[Int(index)].operation == .truncate {
                truncates.append(index)
            } else {
                rowEvents.append(index)
            }
        }

        if !definition.hasShape, layout.hasCurrent, stored.isMade {
            // Another agent has made it since, with rows that a truncate has to delete.
            throw ReplicationError(
                .restart, "\(definition.source) was made by another agent meanwhile", table: definition.source)
        }
        if !definition.hasShape {
            for index in rowEvents {
                quarantine(index, "a row of a table without columns can't be told from another", &entry)
            }
            if writesRaw { try transaction.appendRaw(definition, batch, truncates) }
            leaveFloor(truncates, &entry, &state)
        } else if definition.isKeyless {
            try applyKeyless(definition, rowEvents, truncates, &entry, &state, transaction)
            noteLate(definition, rowEvents, StagedTable(table: table, definition: definition), [], marks, &entry)
        } else {
            try applyKeyed(table, definition, rowEvents, truncates, marks, &entry, &state, transaction)
        }
    }

    private func duplicates(
        _ definition: TableDefinition, _ events: [Int32], _ marks: Marks, _ transaction: some WarehouseTransaction
    ) throws -> Set<Int32>? {
        let suspects = probeAll ? events : events.filter { marks.suspects(batch.events[Int($0)], definition.source) }
        return suspects.isEmpty ? nil : try transaction.knownEvents(definition, batch, suspects)
    }

    /// A table whose rows were never seen has nothing that a truncate could delete; its floor stays.
    private func leaveFloor(_ truncates: [Int32], _ entry: inout LedgerEntry, _ state: inout TableState) {
        for event in truncates.map({ batch.events[Int($0)] }) {
            entry.applied += 1
            guard event.version > state.floor else { continue }
            state.floor = event.version
            state.floorTime_us = event.sourceTime_us
        }
    }

    private mutating func applyKeyed(
        _ table: Int, _ definition: TableDefinition, _ rowEvents: [Int32], _ truncates: [Int32], _ marks: Marks,
        _ entry: inout LedgerEntry, _ state: inout TableState, _ transaction: some WarehouseTransaction
    ) throws {
        var floors = truncates.map { batch.events[Int($0)].version }
        if !state.floor.isNone { floors.append(state.floor) }
        floors.sort()
        var coalesced =
            ahead?.take(table, rowEvents, floors: floors)
            ?? Coalescer.coalesce(batch, table: table, events: rowEvents, floors: floors)
        entry.compacted += coalesced.compacted
        entry.filtered += coalesced.filtered

        if writesRaw { try transaction.appendRaw(definition, batch, rowEvents + truncates) }
        guard layout.hasCurrent else {
            noteLate(definition, rowEvents, coalesced.staged, [], marks, &entry)
            entry.applied += coalesced.staged.rows.count { $0.counts } + truncates.count
            return
        }
        if layout.hasRaw {
            try CarriedColumns.resolve(
                &coalesced, batch: batch, events: rowEvents, truncates: !truncates.isEmpty, floors: floors,
                state: &state, in: transaction)
        }
        var shared =
            batch.immediateKeys.contains(table)
            ? nil : SharedKeys(batch, definition, rowEvents, hasRaw: layout.hasRaw)
        try shared?.look(coalesced, marks, in: transaction)
        lower(&coalesced.staged, under: state)
        let written = try write(coalesced.staged, floors, &entry, &state, transaction)
        _ = try write(coalesced.carried, floors, &entry, &state, transaction)
        let newer = written.newer.sorted { $0.key < $1.key }.map { (row: $0.key, by: $0.value) }
        noteLate(definition, rowEvents, coalesced.staged, newer, marks, &entry)
        if suspicion != nil { noteSigns(coalesced.staged, rowEvents, newer, marks, rawFrom_us: state.rawFrom_us) }
        if var shared { try settle(&shared, coalesced, written, floors, &entry, &state, transaction) }
        try truncate(definition, truncates, &entry, &state, transaction)
    }

    /// A row older than the table's last truncate becomes a row deleted by it.
    private func lower(_ staged: inout StagedTable, under state: TableState) {
        guard !state.floor.isNone else { return }
        for index in staged.rows.indices where staged.rows[index].version < state.floor {
            staged.rows[index].version = state.floor
            staged.rows[index].time_us = state.floorTime_us
            if !staged.rows[index].isDeleted, staged.rows[index].registers >= 0 {
                // What the row knew is all that is shown of it.
                let registers = Int(staged.rows[index].registers)
                staged.registers[registers] = staged.registers[registers].map {
                    ColumnRegister(own: state.floor, isKnown: $0.isKnown)
                }
            }
            staged.rows[index].isDeleted = true
        }
    }

    /// What a merge met that was newer than the rows written.
    private struct Written {
        /// Rows that count and did not pass.
        var superseded: [Int] = []
        /// Rows with columns of their own versions, with what the warehouse had.
        var masked: [StoredRow] = []
        var newer: [Int: NewerRow] = [:]
    }

    private mutating func write(
        _ staged: StagedTable, _ floors: [Version], _ entry: inout LedgerEntry, _ state: inout TableState,
        _ transaction: some WarehouseTransaction
    ) throws -> Written {
        let new = staged.rows.indices.filter { Self.mayInsert(staged.rows[$0]) }
        guard !new.isEmpty, try transaction.insertNew(staged, new, batch, loadedAt_us: loadedAt_us) else {
            return try merge(staged, floors, &entry, &state, transaction)
        }
        entry.applied += new.count { staged.rows[$0].counts }
        outcome.rows += new.count
        guard new.count < staged.rows.count else { return Written() }
        let others = staged.rows.indices.filter { !Self.mayInsert(staged.rows[$0]) }
        var rest = staged
        rest.rows = others.map { staged.rows[$0] }
        var written = try merge(rest, floors, &entry, &state, transaction)
        written.superseded = written.superseded.map { others[$0] }
        for index in written.masked.indices { written.masked[index].row = others[written.masked[index].row] }
        written.newer = Dictionary(uniqueKeysWithValues: written.newer.map { (others[$0.key], $0.value) })
        return written
    }

    private static func mayInsert(_ row: StagedRow) -> Bool {
        row.isNew && row.mode == .full && !row.isDeleted && row.registers < 0
    }

    private mutating func merge(
        _ staged: StagedTable, _ floors: [Version], _ entry: inout LedgerEntry, _ state: inout TableState,
        _ transaction: some WarehouseTransaction
    ) throws -> Written {
        var written = Written()
        guard !staged.rows.isEmpty else { return written }
        try transaction.stage(staged, batch)
        let hasMasked = staged.rows.contains { $0.mode == .masked }
        var patches: [RowPatch] = []
        if hasMasked || state.isSparse {
            for stored in try transaction.storedRows(staged, sparse: state.isSparse) {
                patches.append(RowMerge.patch(row: stored.row, in: staged, onto: stored, floors: floors))
                written.masked.append(stored)
            }
        }
        let answer = try transaction.merge(staged, batch, patches: patches, loadedAt_us: loadedAt_us)
        entry.applied += answer.applied
        entry.superseded += answer.superseded.count
        entry.filled += answer.filled
        outcome.rows += answer.applied + answer.filled
        if patches.contains(where: { $0.columnVersions != nil }) || staged.rows.contains(where: Self.isSparse) {
            state.isSparse = true
        }
        written.superseded = answer.superseded
        written.newer = answer.newer
        return written
    }

    private static func isSparse(_ row: StagedRow) -> Bool { row.mode == .masked && !row.settles }

    /// Puts right what deletes of rows that share their key for the length of a transaction did.
    private mutating func settle(
        _ shared: inout SharedKeys, _ coalesced: Coalescer.Result, _ written: Written, _ floors: [Version],
        _ entry: inout LedgerEntry, _ state: inout TableState, _ transaction: some WarehouseTransaction
    ) throws {
        let late = written.masked.filter { stored in coalesced.oldest[stored.row].map { $0 < stored.version } ?? false }
        try shared.add(
            late: Set(written.superseded + late.map(\.row)).sorted(), of: coalesced.staged, in: transaction)
        let settlement = try shared.settle(spared: coalesced.spared, floors: floors, in: transaction)
        for index in settlement.tables.indices {
            _ = try write(settlement.tables[index], floors, &entry, &state, transaction)
        }
        let moves = settlement.moves.subtracting(coalesced.spared)
        if layout.hasRaw, !moves.isEmpty {
            try transaction.record(moves.sorted { $0.create < $1.create })
            state.hasMoves = true
        }
        for index in settlement.undecided.sorted() {
            takeBack(index, coalesced, written, &entry)
            quarantine(index, SharedKeys.reason, &entry)
        }
    }

    /// The event was answered for already; it will be otherwise.
    private func takeBack(
        _ index: Int32, _ coalesced: Coalescer.Result, _ written: Written, _ entry: inout LedgerEntry
    ) {
        let row = coalesced.staged.rows.firstIndex { $0.event == index }
        if !batch.events[Int(index)].flags.isDisjoint(with: [.filtered, .undecided]) {
            entry.filtered -= 1
        } else if let row, written.superseded.contains(row) {
            entry.superseded -= 1
        } else if row != nil {
            entry.applied -= 1
        } else {
            entry.compacted -= 1
        }
    }

    mutating func truncate(
        _ definition: TableDefinition, _ truncates: [Int32], _ entry: inout LedgerEntry, _ state: inout TableState,
        _ transaction: some WarehouseTransaction
    ) throws {
        let ordered = truncates.sorted { batch.events[Int($0)].version < batch.events[Int($1)].version }
        for index in ordered {
            let event = batch.events[Int(index)]
            outcome.rows += try transaction.truncate(
                definition, version: event.version, time_us: event.sourceTime_us, loadedAt_us: loadedAt_us)
            entry.applied += 1
            if event.version > state.floor {
                state.floor = event.version
                state.floorTime_us = event.sourceTime_us
            }
            if state.isSparse, !definition.isKeyless {
                try void(definition, below: event.version, &entry, transaction)
            }
        }
    }

    /// A truncate that comes late: live rows above it lose the columns whose own version lies below it.
    private mutating func void(
        _ definition: TableDefinition, below floor: Version, _ entry: inout LedgerEntry,
        _ transaction: some WarehouseTransaction
    ) throws {
        let rows = try transaction.sparseRows(definition, above: floor)
        guard !rows.isEmpty else { return }
        var staged = StagedTable(
            table: batch.tables.firstIndex { $0.source == definition.source } ?? 0, definition: definition)
        var patches: [RowPatch] = []
        for row in rows {
            let stored = StoredRow(
                row: staged.rows.count, version: row.version, isDeleted: false, columnVersions: row.columnVersions)
            try CarriedColumns.appendKeyRow(row.key, version: row.version, to: &staged, batch: batch)
            staged.registers.append(.init(repeating: .unseen, count: definition.columns.count))
            staged.rows[staged.rows.count - 1].registers = Int32(staged.registers.count - 1)
            let patch = RowMerge.patch(row: stored.row, in: staged, onto: stored, floors: [floor])
            if patch.kind == .fill { patches.append(patch) } else { staged.rows.removeLast() }
        }
        guard !patches.isEmpty else { return }
        try transaction.stage(staged, batch)
        entry.filled += try transaction.merge(staged, batch, patches: patches, loadedAt_us: loadedAt_us).filled
    }
}

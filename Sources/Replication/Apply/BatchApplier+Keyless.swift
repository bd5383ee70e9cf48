/// Tables without a key: each row is named by the event that inserted it.
extension BatchApplier {
    mutating func applyKeyless(
        _ definition: TableDefinition, _ rowEvents: [Int32], _ truncates: [Int32], _ entry: inout LedgerEntry,
        _ state: inout TableState, _ transaction: some WarehouseTransaction
    ) throws {
        if writesRaw { try transaction.appendRaw(definition, batch, rowEvents + truncates) }
        guard layout.hasCurrent else {
            entry.applied += rowEvents.count + truncates.count
            return
        }
        guard !truncates.isEmpty else {
            return try applyKeyless(definition, rowEvents, &entry, state, transaction)
        }
        // In between of two truncates at a time: which row a before-image means hangs on what was truncated before.
        func byVersion(_ events: [Int32]) -> [Int32] {
            events.sorted { batch.events[Int($0)].version < batch.events[Int($1)].version }
        }
        var events = byVersion(rowEvents)[...]
        for index in byVersion(truncates) {
            let version = batch.events[Int(index)].version
            let older = events.prefix { batch.events[Int($0)].version < version }
            try applyKeyless(definition, Array(older), &entry, state, transaction)
            events = events.dropFirst(older.count)
            try truncate(definition, [index], &entry, &state, transaction)
        }
        try applyKeyless(definition, Array(events), &entry, state, transaction)
    }

    private mutating func applyKeyless(
        _ definition: TableDefinition, _ events: [Int32], _ entry: inout LedgerEntry, _ state: TableState,
        _ transaction: some WarehouseTransaction
    ) throws {
        guard !events.isEmpty else { return }
        var inserts: [Int32] = []
        var ends: [Int32] = []
        for index in events {
            let event = batch.events[Int(index)]
            if event.flags.contains(.contained) {
                entry.superseded += 1
                continue
            }
            // What it would have ended or left, the truncate has deleted.
            guard event.version > state.floor else {
                entry.superseded += 1
                continue
            }
            let filtered = !event.flags.isDisjoint(with: [.filtered, .undecided])
            if event.operation != .delete, !filtered { inserts.append(index) }
            if event.operation == .delete || event.operation == .update { ends.append(index) }
            if filtered, event.operation != .update { entry.filtered += 1 }
        }
        ends.sort { batch.events[Int($0)].version < batch.events[Int($1)].version }
        let answer = try transaction.applyKeyless(
            definition, batch, inserts: inserts, ends: ends, loadedAt_us: loadedAt_us)
        outcome.rows += answer.inserted + answer.ended

        let inserting = Set(inserts)
        let superseded = Set(answer.superseded)
        let unmatched = Set(answer.unmatched)
        let repeated = Set(answer.repeated)
        try transaction.retract(
            definition, batch, inserts: answer.unmatched.filter { inserting.contains($0) && !superseded.contains($0) })
        var matched = 0
        for index in ends {
            if unmatched.contains(index) {
                quarantine(index, "no live row equals the before-image of this event, and the table has no key", &entry)
            } else if repeated.contains(index) {
                entry.superseded += 1
            } else {
                matched += 1
                entry.applied += 1
            }
        }
        // Inserts proper: `applied` is what the warehouse says it inserted, less the after-images of updates.
        let updates = ends.count { inserting.contains($0) && !superseded.contains($0) }
        entry.applied += answer.inserted - updates
        entry.superseded += superseded.count { batch.events[Int($0)].operation != .update }
        guard matched == answer.ended else {
            throw ReplicationError(
                .invariant, "\(definition.source): the warehouse ended \(answer.ended) rows for \(matched) events")
        }
    }
}

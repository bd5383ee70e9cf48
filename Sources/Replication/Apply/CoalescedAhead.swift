/// What of applying a batch asks nothing of the warehouse, done while that still writes the batch before: its events by
/// table, without second deliveries, coalesced. Pure.
///
/// It foresees the usual: all events are new, none is put aside, and no truncate lies between them. Where that doesn't
/// hold the table is coalesced again.
struct CoalescedAhead {
    struct Table {
        let definition: TableDefinition
        /// Each once, in order.
        let distinct: [Int32]
        /// Nil where there is a truncate among them, or no key.
        let coalesced: Coalescer.Result?
    }

    let byTable: EventsByTable
    private var tables: [Int: Table] = [:]

    init(_ batch: ChangeBatch) {
        byTable = EventsByTable(batch, leavingOut: [:])
        for index in byTable.indices {
            let definition = batch.tables[index]
            let distinct = DistinctEvents.of(batch, byTable.events[index])
            let isPlain =
                definition.hasShape && !definition.isKeyless
                && !(byTable.hasTruncate && distinct.contains { batch.events[Int($0)].operation == .truncate })
            tables[index] = Table(
                definition: definition, distinct: distinct,
                coalesced: isPlain ? Coalescer.coalesce(batch, table: index, events: distinct, floors: []) : nil)
        }
    }

    /// Its events without second deliveries, if these are still all of them.
    func distinct(_ index: Int, _ definition: TableDefinition, of events: [Int32]) -> [Int32]? {
        guard let table = tables[index], table.definition == definition, byTable.events[index] == events else {
            return nil
        }
        return table.distinct
    }

    /// What was foreseen of a table, if it comes to pass: these are its events, and no truncate is newer than one of
    /// them. It isn't kept: whoever changes it has it alone.
    ///
    /// - Parameter floors: of truncates before the batch. Below all of a key's events they say nothing of a row of which
    ///   every column is known.
    mutating func take(
        _ index: Int, _ definition: TableDefinition, _ events: [Int32], floors: [Version], in batch: ChangeBatch
    ) -> Coalescer.Result? {
        guard let table = tables.removeValue(forKey: index), let coalesced = table.coalesced,
            table.definition == definition, table.distinct == events
        else { return nil }
        if let floor = floors.last {
            guard coalesced.staged.registers.isEmpty,
                events.allSatisfy({ batch.events[Int($0)].version > floor })
            else { return nil }
        }
        return coalesced
    }
}

extension ChangeBatch {
    /// For whoever waits for the batch before to be written; not needed for applying this one.
    package func coalesceAhead() { ahead = CoalescedAhead(self) }
}

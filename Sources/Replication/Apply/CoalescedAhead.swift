/// What of applying a batch asks nothing of the warehouse, done while that still writes the batch before: its events by
/// table, without second deliveries, coalesced. Pure.
///
/// It foresees the usual: all events are new, none is put aside, and no truncate lies between them. Where that doesn't
/// hold the table is coalesced again.
struct CoalescedAhead {
    private struct Table {
        /// Each event once, in order.
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
                distinct: distinct,
                coalesced: isPlain ? Coalescer.coalesce(batch, table: index, events: distinct, floors: []) : nil)
        }
    }

    /// A table's events without second deliveries.
    func distinct(_ table: Int) -> [Int32]? { tables[table]?.distinct }

    /// What was foreseen of a table, if it comes to pass: these are its events, and truncates before them change nothing
    /// of it. It isn't kept: whoever changes it has it alone.
    ///
    /// - Parameter floors: of truncates. They say nothing of a row without registers, of which the newest event tells every
    ///   column.
    mutating func take(_ table: Int, _ events: [Int32], floors: [Version]) -> Coalescer.Result? {
        guard let foreseen = tables.removeValue(forKey: table), let coalesced = foreseen.coalesced,
            foreseen.distinct == events, floors.isEmpty || coalesced.staged.registers.isEmpty
        else { return nil }
        return coalesced
    }

    /// Its events are others now.
    mutating func forget(_ table: Int) { tables[table] = nil }
}

extension ChangeBatch {
    /// For whoever waits for the batch before to be written; not needed for applying this one.
    package func coalesceAhead() { ahead = CoalescedAhead(self) }
}

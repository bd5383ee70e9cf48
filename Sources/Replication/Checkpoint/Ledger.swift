/// Where the data events of one table in one batch ended. Every event is in exactly one of the counts
/// behind `read`; a sum that doesn't add up stops the pipeline.
package struct LedgerEntry: Sendable, Equatable {
    /// Nil for records whose table couldn't be told.
    package var table: TableID?
    /// Counted by the decoder, before anything is known of the events' fate.
    package var read = 0
    /// At least one of the event's rows passed the warehouse's version test (a truncate always).
    package var applied = 0
    /// None did: the warehouse had newer. Columns that such an event filled all the same are in `filled`.
    package var superseded = 0
    /// The event id is in raw already, or twice in the batch.
    package var duplicate = 0
    /// All its rows coalesced into newer ones of the batch.
    package var compacted = 0
    package var filtered = 0
    package var quarantined = 0
    /// In raw, not yet in current (held, paused).
    package var deferred = 0
    /// Rows of which a late event filled or voided columns; no part of the sum.
    package var filled = 0
    /// Events that came late (`LateEvent`), and those of them that were later than allowed; no part of the sum.
    package var late = 0
    package var tooLate = 0

    package init(table: TableID?) { self.table = table }

    package var accounted: Int {
        applied + superseded + duplicate + compacted + filtered + quarantined + deferred
    }
    package var addsUp: Bool { read == accounted }

    package static func += (a: inout LedgerEntry, b: LedgerEntry) {
        a.read += b.read
        a.applied += b.applied
        a.superseded += b.superseded
        a.duplicate += b.duplicate
        a.compacted += b.compacted
        a.filtered += b.filtered
        a.quarantined += b.quarantined
        a.deferred += b.deferred
        a.filled += b.filled
        a.late += b.late
        a.tooLate += b.tooLate
    }

    /// One entry a table, in order of appearance.
    package static func sums(_ entries: [LedgerEntry]) -> [LedgerEntry] {
        var sums: [LedgerEntry] = []
        for entry in entries {
            if let at = sums.firstIndex(where: { $0.table == entry.table }) {
                sums[at] += entry
            } else {
                sums.append(entry)
            }
        }
        return sums
    }
}

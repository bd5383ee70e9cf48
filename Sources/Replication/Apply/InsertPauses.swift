/// Which tables' batches `insertNew` leaves alone: after rows that weren't new, the next 1, 3, 7 … of them are staged.
package struct InsertPauses: Sendable {
    /// Batches.
    package static let pause_max = 63

    private var pauses: [TableID: (left: Int, length: Int)] = [:]

    package init() {}

    /// Whether the table's next batch is one that is left alone; counts it.
    package mutating func takes(_ table: TableID) -> Bool {
        guard let left = pauses[table]?.left, left > 0 else { return false }
        pauses[table]?.left = left - 1
        return true
    }

    /// A row was there already.
    package mutating func note(met table: TableID) {
        let length = min((pauses[table]?.length ?? 0) * 2 + 1, Self.pause_max)
        pauses[table] = (length, length)
    }

    /// All were new.
    package mutating func note(inserted table: TableID) { pauses[table] = nil }
}

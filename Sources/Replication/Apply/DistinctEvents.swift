/// Events of a batch that were delivered more than once in it.
///
/// By id alone: a second delivery may have another version, as what stood before it decides on that where an event
/// doesn't tell the commit before it; and another key, where its schema changed in between.
enum DistinctEvents {
    /// The first delivery of each, in their order.
    static func of(_ batch: ChangeBatch, _ events: [Int32]) -> [Int32] {
        guard events.count > 1 else { return events }
        // Open addressing: ids are hashes already.
        let capacity = 1 << (Int.bitWidth - (2 * events.count - 1).leadingZeroBitCount)
        return withUnsafeTemporaryAllocation(of: Int32.self, capacity: capacity) { slots in
            slots.initialize(repeating: -1)
            var distinct: [Int32] = []
            distinct.reserveCapacity(events.count)
            for index in events {
                let id = batch.events[Int(index)].id
                var at = Int(truncatingIfNeeded: id.low) & (capacity - 1)
                while slots[at] >= 0, batch.events[Int(slots[at])].id != id { at = (at + 1) & (capacity - 1) }
                guard slots[at] < 0 else { continue }
                slots[at] = index
                distinct.append(index)
            }
            return distinct
        }
    }
}

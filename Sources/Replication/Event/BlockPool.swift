import Synchronization

/// Large blocks of memory between two uses. A block that goes back to the system comes again page by page, each at the
/// price of a fault: with batches of megabytes that was a sixth of the agent's time.
///
/// Bounded by `bytes_max`; what is more goes back to the system.
package enum BlockPool {
    /// Smaller blocks are the allocator's.
    static let block_min = 128 << 10
    static let bytes_max = 16 << 20

    struct Block: @unchecked Sendable {
        let base: UnsafeMutableRawPointer
        let size: Int
    }

    private struct Kept {
        /// The one given last comes last.
        var blocks: [Block] = []
        var bytes = 0
    }

    private static let kept = Mutex(Kept())

    /// A block of at least `size` bytes, whatever stands in it.
    static func take(_ size: Int) -> Block {
        guard size >= block_min else { return allocate(size) }
        let found = kept.withLock { kept -> Block? in
            // The smallest that will do, and not much larger than asked for: whoever holds it counts it as its own.
            var best: Int?
            for (index, block) in kept.blocks.enumerated() where block.size >= size && block.size - size <= size / 4 {
                if best.map({ block.size <= kept.blocks[$0].size }) ?? true { best = index }
            }
            guard let best else { return nil }
            let block = kept.blocks.remove(at: best)
            kept.bytes -= block.size
            return block
        }
        return found ?? allocate(size)
    }

    static func give(_ block: Block) {
        guard block.size >= block_min else { return block.base.deallocate() }
        let dropped = kept.withLock { kept -> [Block] in
            kept.blocks.append(block)
            kept.bytes += block.size
            var dropped: [Block] = []
            // The oldest first: sizes that nobody asks for any more.
            while kept.bytes > bytes_max {
                let oldest = kept.blocks.removeFirst()
                kept.bytes -= oldest.size
                dropped.append(oldest)
            }
            return dropped
        }
        for block in dropped { block.base.deallocate() }
    }

    /// Gives all back to the system: for an agent that has nothing to do.
    package static func empty() {
        let dropped = kept.withLock { kept in
            defer { kept = Kept() }
            return kept.blocks
        }
        for block in dropped { block.base.deallocate() }
        ArrayPool.empty()
    }

    private static func allocate(_ size: Int) -> Block {
        Block(base: .allocate(byteCount: size, alignment: 16), size: size)
    }
}

/// The same for the arrays of batches.
enum ArrayPool {
    private static let count_max = 2
    /// Of one array.
    private static let bytes_max = 16 << 20

    private struct Kept: @unchecked Sendable {
        var fields: [ContiguousArray<Field>] = []
        var events: [ContiguousArray<ChangeEvent>] = []
        var records: [ContiguousArray<RecordBatch.Record>] = []
    }

    private static let kept = Mutex(Kept())

    static func takeFields() -> ContiguousArray<Field> { kept.withLock { $0.fields.popLast() ?? [] } }
    static func takeEvents() -> ContiguousArray<ChangeEvent> { kept.withLock { $0.events.popLast() ?? [] } }
    static func takeRecords() -> ContiguousArray<RecordBatch.Record> { kept.withLock { $0.records.popLast() ?? [] } }

    static func give(_ fields: inout ContiguousArray<Field>, _ events: inout ContiguousArray<ChangeEvent>) {
        let (fields, events) = (taken(&fields), taken(&events))
        kept.withLock {
            if fields.capacity > 0, $0.fields.count < count_max { $0.fields.append(fields) }
            if events.capacity > 0, $0.events.count < count_max { $0.events.append(events) }
        }
    }

    static func give(_ records: inout ContiguousArray<RecordBatch.Record>) {
        let records = taken(&records)
        kept.withLock { if records.capacity > 0, $0.records.count < count_max { $0.records.append(records) } }
    }

    static func empty() { kept.withLock { $0 = Kept() } }

    /// Nothing is kept of an array that is small, or larger than any ordinary batch's.
    private static func taken<Element>(_ array: inout ContiguousArray<Element>) -> ContiguousArray<Element> {
        defer { array = [] }
        let bytes = array.capacity * MemoryLayout<Element>.stride
        guard bytes >= BlockPool.block_min, bytes <= bytes_max else { return [] }
        array.removeAll(keepingCapacity: true)
        return array
    }
}

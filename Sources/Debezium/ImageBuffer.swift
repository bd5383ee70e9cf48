import Replication

/// The fields of one image while it is decoded, by column.
final class ImageBuffer {
    @exclusivity(unchecked) private var base: UnsafeMutablePointer<Field>
    private var capacity = 64
    @exclusivity(unchecked) private(set) var count = 0

    init() {
        base = .allocate(capacity: 64)
        base.initialize(repeating: .absent, count: 64)
    }

    deinit { base.deallocate() }

    /// `count` absent fields.
    @inline(__always)
    func reset(_ count: Int) {
        if count > capacity { grow(to: count) }
        base.update(repeating: .absent, count: count)
        self.count = count
    }

    /// Further absent fields up to `count`.
    @inline(__always)
    func extend(to count: Int) {
        guard count > self.count else { return }
        if count > capacity { grow(to: count) }
        (base + self.count).update(repeating: .absent, count: count - self.count)
        self.count = count
    }

    private func grow(to wanted: Int) {
        let larger = max(capacity * 2, wanted)
        let next = UnsafeMutablePointer<Field>.allocate(capacity: larger)
        next.initialize(repeating: .absent, count: larger)
        next.update(from: base, count: count)
        base.deallocate()
        base = next
        capacity = larger
    }

    @inline(__always)
    subscript(_ column: Int) -> Field {
        get { base[column] }
        set { base[column] = newValue }
    }

    /// Appends the fields to the batch's; returns the index of the first.
    func append(to batch: ChangeBatch) -> Int32 {
        let start = Int32(batch.fields.count)
        batch.fields.append(contentsOf: UnsafeBufferPointer(start: base, count: count))
        return start
    }
}

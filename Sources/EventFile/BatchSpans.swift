import Replication

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The spans of one batch by topic and partition. Neighbouring records mostly are of the same, for which
/// no `String` is made.
struct BatchSpans {
    private var known: [TopicPartition: Int32] = [:]
    private var lastTopic: [UInt8] = []
    private var lastPartition: Int32 = 0
    private var last: Int32?

    mutating func removeAll() {
        known.removeAll(keepingCapacity: true)
        last = nil
    }

    /// The index in the batch's spans, made with `start` if it wasn't there.
    mutating func index(
        of topic: UnsafeRawBufferPointer, _ partition: Int32, in batch: RecordBatch, startingAt start: Int64
    ) -> Int32 {
        if let last, partition == lastPartition, isLast(topic) { return last }
        let name = TopicPartition(topic: String(decoding: topic, as: UTF8.self), partition: partition)
        let index = known[name] ?? batch.span(of: name, startingAt: start)
        known[name] = index
        lastTopic = Array(topic)
        lastPartition = partition
        last = index
        return index
    }

    private func isLast(_ topic: UnsafeRawBufferPointer) -> Bool {
        guard topic.count == lastTopic.count, let bytes = topic.baseAddress else { return false }
        return memcmp(bytes, lastTopic, topic.count) == 0
    }
}

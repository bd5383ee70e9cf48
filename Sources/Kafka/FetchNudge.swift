import CRDKafka
import Dispatch
import Replication
import Synchronization

/// Has librdkafka fetch again at once after its queue was full.
///
/// Before 2.2 (where `fetch.queue.backoff.ms` came) a broker's thread that found the queue full sleeps for up to a second,
/// however fast the queue is emptied, unless something happens to it: so no more than the queue's bound came in a second.
/// Any request wakes the thread, and it looks at its queues then. Here that is a question for a partition's offsets.
final class FetchNudge: Sendable {
    /// 2.2.0.
    static let isNeeded = rd_kafka_version() < 0x0202_0000
    /// Partitions asked about at once: their leaders are different brokers, mostly.
    static let partitions_max = 4
    private static let patience_ms: Int32 = 1000

    private let handle: ClientHandle
    private let thread = DispatchQueue(label: "kafka.nudge")
    private let isUnderWay = Atomic<Bool>(false)

    init(_ handle: ClientHandle) { self.handle = handle }

    /// Returns at once; nothing happens while an earlier one is under way.
    func nudge(leadersOf partitions: [TopicPartition]) {
        guard !partitions.isEmpty, !isUnderWay.exchange(true, ordering: .acquiring) else { return }
        thread.async { [self] in
            for partition in partitions {
                var low: Int64 = 0
                var high: Int64 = 0
                // The answer is of no interest.
                _ = rd_kafka_query_watermark_offsets(
                    handle.rk, partition.topic, partition.partition, &low, &high, Self.patience_ms)
            }
            isUnderWay.store(false, ordering: .releasing)
        }
    }

    /// Before the client is freed: none is under way afterwards, or begins.
    func end() { thread.sync { isUnderWay.store(true, ordering: .releasing) } }
}

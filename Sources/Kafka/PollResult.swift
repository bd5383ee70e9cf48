import Replication

/// What `Consumer.poll` found, in the order in which it happened.
package enum PollResult: Sendable {
    /// Records, or moved positions without records (`RecordBatch.spans`).
    case records(RecordBatch)
    /// The group gave us these. Nothing is read from them until `assign` is called with all of them.
    case assigned([TopicPartition])
    /// The group takes these back: finish the batch in hand, then `unassign` them. No more records of them
    /// come. `lost`: they may have another owner already, so a commit is likely to be fenced off.
    case revoked([TopicPartition], lost: Bool)
    /// The log no longer holds the offset that reading would go on from, or the partition is gone. Nothing
    /// more is read from it until `seek`.
    case lost(TopicPartition, reason: KafkaError)
    /// Something that librdkafka won't mend by itself: permissions, a topic that isn't there (yet), a record
    /// that can't be read. `at.partition` is -1 where it isn't about one partition; nil: about no topic.
    case problem(KafkaError, at: TopicPartition?)
    /// Nothing came in time, or `wake` was called.
    case idle
}

package struct ConsumerStatistics: Sendable, Equatable {
    package struct Partition: Sendable, Equatable {
        package var partition: TopicPartition
        /// The offset that the next record comes from, at least.
        package var position: Int64
        /// The log's bounds as the last fetch told them; nil before the first fetch.
        package var low: Int64?
        package var high: Int64?
        package var isPaused: Bool
        /// Read to its end when last looked at.
        package var isAtEnd: Bool

        /// Offsets still to be read, markers and compacted ones included; nil before the first fetch.
        package var lag: Int64? { high.map { max($0 - position, 0) } }
    }

    /// What we are assigned, sorted.
    package var partitions: [Partition] = []
    /// Broken connections and the like, which librdkafka mends by itself, since the start.
    package var connectionErrors = 0
    package var failedCommits = 0
    /// No broker was reachable, and nothing has been heard since.
    package var isDisconnected = false
    /// The last error of any kind; still here after it passed.
    package var lastError: KafkaError?

    package var lag: Int64 { partitions.reduce(0) { $0 + ($1.lag ?? 0) } }
}

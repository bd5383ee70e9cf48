/// A durable position of one partition (or file), as the warehouse has it: the truth on start.
package struct Checkpoint: Sendable, Equatable {
    package var partition: TopicPartition
    /// Where reading goes on: the consumer's position, not a record's offset + 1. Nil: nothing was read yet.
    package var position: Int64?
    /// Raised each time an agent claims the partition; a commit with an older one is refused.
    package var token: Int64
    /// The last record read, to recognise a topic that was made anew: its offset and the hash of its bytes.
    package var lastOffset: Int64?
    package var lastHash: String?
    /// The decoder's memory of this partition (JSON), see `DebeziumDecoder`.
    package var decoderState: String?
    /// Highest version per table that came out of this partition.
    package var marks: [TableID: Version]
    /// Source time of the newest event that isn't a snapshot read, µs since 1970.
    package var sourceTime_us: Int64?

    package init(
        partition: TopicPartition, position: Int64? = nil, token: Int64 = 0, lastOffset: Int64? = nil,
        lastHash: String? = nil, decoderState: String? = nil, marks: [TableID: Version] = [:],
        sourceTime_us: Int64? = nil
    ) {
        self.partition = partition
        self.position = position
        self.token = token
        self.lastOffset = lastOffset
        self.lastHash = lastHash
        self.decoderState = decoderState
        self.marks = marks
        self.sourceTime_us = sourceTime_us
    }
}

/// One partition's step in a batch. The commit asserts that the stored position is `from` and the token `token`.
package struct CheckpointAdvance: Sendable {
    package var partition: TopicPartition
    /// Nil: the claim found no stored position.
    package var from: Int64?
    package var to: Int64
    package var token: Int64
    package var lastOffset: Int64?
    package var lastHash: String?
    package var decoderState: String?
    /// The batch's spans that this checkpoint stands for.
    package var spans: [Int]

    package init(
        partition: TopicPartition, from: Int64?, to: Int64, token: Int64, lastOffset: Int64? = nil,
        lastHash: String? = nil, decoderState: String? = nil, spans: [Int]
    ) {
        self.partition = partition
        self.from = from
        self.to = to
        self.token = token
        self.lastOffset = lastOffset
        self.lastHash = lastHash
        self.decoderState = decoderState
        self.spans = spans
    }
}

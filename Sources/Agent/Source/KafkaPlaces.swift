import Kafka
import Replication

/// Whether partitions can be read on from their checkpoints: what a start refuses, and `check` tells beforehand.
struct KafkaPlaces: Sendable {
    let consumer: Consumer

    func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] {
        var lost: [LostPartition] = []
        var verify: [TopicPartition: Int64] = [:]
        for checkpoint in checkpoints {
            guard let position = checkpoint.position else { continue }
            let partition = checkpoint.partition
            let ends = try await consumer.watermarks(of: partition)
            if position < ends.low {
                lost.append(
                    Self.lost(
                        partition,
                        "the checkpoint is at offset \(position), the log begins at \(ends.low): retention has passed it"
                    ))
            } else if position > ends.high {
                lost.append(
                    Self.lost(
                        partition,
                        "the checkpoint is at offset \(position), the log ends at \(ends.high): the topic was made anew or cut"
                    ))
            } else if let last = checkpoint.lastOffset, last >= ends.low, checkpoint.lastHash != nil {
                verify[partition] = last
            }
        }
        return try await lost + verified(verify, against: checkpoints)
    }

    /// The record before each checkpoint must be the one that was read then, unless it was compacted away.
    private func verified(
        _ offsets: [TopicPartition: Int64], against claims: [Checkpoint]
    ) async throws -> [LostPartition] {
        let found = try await consumer.recordsAt(offsets)
        var lost: [LostPartition] = []
        for claim in claims {
            guard let last = offsets[claim.partition], let probe = found[claim.partition] else { continue }
            switch probe {
            case .record(let batch):
                guard let record = batch.records.first, record.offset == last else { continue }
                if batch.fingerprint(record) != claim.lastHash {
                    lost.append(
                        Self.lost(
                            claim.partition,
                            "the record at offset \(last) isn't the one that was read before: the topic was made anew"))
                }
            case .end: continue
            case .lost(let reason):
                lost.append(Self.lost(claim.partition, "offset \(last) can't be read any more (\(reason.message))"))
            }
        }
        return lost
    }

    static func lost(_ partition: TopicPartition, _ reason: String) -> LostPartition {
        LostPartition(
            partition: partition, reason: reason,
            remedy: """
                read the topic from its beginning with `millrace checkpoint set --to-offset earliest --partition \
                \(partition)` (what was read before is recognised), or go on behind the gap, knowing that it is lost, \
                with `--to-offset latest`
                """)
    }
}

import CRDKafka
import Replication

/// What lies at or behind an offset.
package enum RecordProbe: Sendable {
    /// A batch of exactly one record: the one at the offset or, where that was compacted away, the next.
    case record(RecordBatch)
    /// No record there yet, though the offset is within the log or right at its end.
    case end
    /// The offset lies outside the log, or the partition is gone.
    case lost(KafkaError)
}

extension Consumer {
    /// Reads one record of each partition, at or behind the offset given, beside the consumer's own reading
    /// and without changing it: how the record before a checkpoint is verified. One connection for all.
    /// - Throws: passing `_TIMED_OUT` where not all answered in time; permanent errors of any partition.
    package func recordsAt(
        _ offsets: [TopicPartition: Int64], timeout_ms: Int = 10_000
    ) throws(KafkaError) -> [TopicPartition: RecordProbe] {
        try checkOpen()
        guard !offsets.isEmpty else { return [:] }
        let reader = try makeReader(group: group)
        defer { reader.destroy() }
        let list = PartitionList(offsets)
        let code = rd_kafka_assign(reader.rk, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "reading single records") }

        var found: [TopicPartition: RecordProbe] = [:]
        let deadline = ContinuousClock.now + .milliseconds(timeout_ms)
        while found.count < offsets.count {
            let left_ms = (deadline - .now) / .milliseconds(1)
            guard left_ms > 0 else {
                throw KafkaError(
                    RD_KAFKA_RESP_ERR__TIMED_OUT,
                    "reading single records: \(offsets.count - found.count) of \(offsets.count) partitions"
                )
            }
            guard let message = rd_kafka_consumer_poll(reader.rk, Int32(left_ms.rounded(.up))) else { continue }
            defer { rd_kafka_message_destroy(message) }
            guard let (partition, probe) = try Self.probe(message) else { continue }
            if offsets[partition] != nil, found[partition] == nil { found[partition] = probe }
        }
        return found
    }

    /// The record at or behind one offset; nil at the partition's end.
    /// - Throws: also where the offset is outside the log (`_AUTO_OFFSET_RESET`).
    package func recordAt(
        _ partition: TopicPartition, offset: Int64, timeout_ms: Int = 10_000
    ) throws(KafkaError) -> RecordBatch? {
        switch try recordsAt([partition: offset], timeout_ms: timeout_ms)[partition] {
        case .record(let batch): return batch
        case .lost(let reason): throw reason
        case .end, nil: return nil
        }
    }

    /// nil: an error that passes by itself.
    private static func probe(
        _ message: UnsafePointer<rd_kafka_message_t>
    ) throws(KafkaError) -> (TopicPartition, RecordProbe)? {
        let record = message.pointee
        guard let topic = record.rkt, record.partition >= 0 else {
            let error = KafkaError(record.err, "reading single records")
            if error.kind == .passing || record.err == RD_KAFKA_RESP_ERR_NO_ERROR { return nil }
            throw error
        }
        let partition = TopicPartition(
            topic: String(cString: rd_kafka_topic_name(topic)), partition: record.partition
        )
        switch record.err {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            let filling = Filling()
            let span = filling.batch.span(of: partition, startingAt: record.offset)
            filling.append(message, span: span)
            filling.batch.advance(span: span, to: record.offset + 1)
            return (partition, .record(filling.batch))
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
            return (partition, .end)
        case let code:
            let error = KafkaError(code, "reading \(partition)")
            if error.meansLost { return (partition, .lost(error)) }
            if error.kind == .passing { return nil }
            throw error
        }
    }
}

import CRDKafka
import Replication

/// Questions to the brokers. Each blocks the consumer's thread for at most `timeout_ms`, and throws a passing
/// `_TIMED_OUT` or `_TRANSPORT` where nobody answers.
extension Consumer {
    /// Of each partition the first offset held (where the log is empty, the next one) and the one behind the
    /// last; behind the last committed transaction unless `isolation.level` is `read_uncommitted`.
    package func watermarks(
        of partitions: [TopicPartition], timeout_ms: Int = 10_000
    ) throws(KafkaError) -> [TopicPartition: (low: Int64, high: Int64)] {
        // Not rd_kafka_query_watermark_offsets, which waits for ever once a broker has gone.
        let low = try offsets(of: partitions, at: .earliest, timeout_ms: timeout_ms)
        let high = try offsets(of: partitions, at: .latest, timeout_ms: timeout_ms)
        var marks: [TopicPartition: (low: Int64, high: Int64)] = [:]
        for partition in partitions {
            guard let low = low[partition], let high = high[partition], low >= 0, high >= low else {
                throw KafkaError(RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, "asking for the ends of \(partition)")
            }
            marks[partition] = (low, high)
        }
        return marks
    }

    package func watermarks(
        of partition: TopicPartition, timeout_ms: Int = 10_000
    ) throws(KafkaError) -> (low: Int64, high: Int64) {
        guard let marks = try watermarks(of: [partition], timeout_ms: timeout_ms)[partition] else {
            throw KafkaError(RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, "asking for the ends of \(partition)")
        }
        return marks
    }

    /// What another group has committed, for taking over from it. Partitions without an offset are left out.
    /// Doesn't join that group.
    package func committed(
        group: String, _ partitions: [TopicPartition], timeout_ms: Int = 10_000
    ) throws(KafkaError) -> [TopicPartition: Int64] {
        try checkOpen()
        guard !partitions.isEmpty else { return [:] }
        let reader = try makeReader(group: group)
        defer { reader.destroy() }
        let list = PartitionList(partitions)
        let code = rd_kafka_committed(reader.rk, list.pointer, Int32(timeout_ms))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(code, "asking for the offsets of group \(group)")
        }
        if let error = list.firstError("asking for group \(group)'s offset of") { throw error }
        return list.entries.reduce(into: [:]) { found, entry in
            if entry.offset >= 0 { found[entry.partition] = entry.offset }
        }
    }

    /// The first offsets whose record isn't older than `time_ms` (since 1970); a partition's end where all are.
    package func offsets(
        of partitions: [TopicPartition], atTime_ms time_ms: Int64, timeout_ms: Int = 10_000
    ) throws(KafkaError) -> [TopicPartition: Int64] {
        guard time_ms >= 0 else { throw .invalid("\(time_ms) ms since 1970 isn't a time that Kafka knows") }
        let found = try offsets(of: partitions, at: .time(ms: time_ms), timeout_ms: timeout_ms)
        let behind = partitions.filter { (found[$0] ?? -1) < 0 }
        let ends = try offsets(of: behind, at: .latest, timeout_ms: timeout_ms)
        return found.merging(ends) { _, end in end }
    }

    private enum Moment {
        case earliest, latest, time(ms: Int64)

        /// As the protocol's ListOffsets has it.
        var timestamp: Int64 {
            switch self {
            case .earliest: -2
            case .latest: -1
            case .time(let ms): ms
            }
        }
    }

    /// -1 where nothing is that late.
    private func offsets(
        of partitions: [TopicPartition], at moment: Moment, timeout_ms: Int
    ) throws(KafkaError) -> [TopicPartition: Int64] {
        try checkOpen()
        guard !partitions.isEmpty else { return [:] }
        let moments = partitions.map { ($0, moment.timestamp) }
        let list = PartitionList(Dictionary(moments, uniquingKeysWith: { first, _ in first }))
        let code = rd_kafka_offsets_for_times(rk, list.pointer, Int32(timeout_ms))
        // The partition's own error says more than that all have failed.
        if let error = list.firstError("asking for the offsets of") { throw explained(error) }
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw explained(KafkaError(code, "asking for offsets")) }
        return list.entries.reduce(into: [:]) { $0[$1.partition] = $1.offset }
    }

    /// All topics that we may see, each with the number of its partitions; also Kafka's internal ones (`__…`).
    package func topics(timeout_ms: Int = 10_000) throws(KafkaError) -> [String: Int] {
        try checkOpen()
        var found: UnsafePointer<rd_kafka_metadata>?
        let code = rd_kafka_metadata(rk, 1, nil, &found, Int32(timeout_ms))
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let found else { throw explained(KafkaError(code, "listing topics")) }
        defer { rd_kafka_metadata_destroy(found) }
        return (0..<Int(found.pointee.topic_cnt)).reduce(into: [:]) { topics, index in
            let topic = found.pointee.topics[index]
            guard topic.partition_cnt > 0, let name = topic.topic else { return }
            topics[String(cString: name)] = Int(topic.partition_cnt)
        }
    }

    /// Where the consumer stands in what it is assigned, without asking anybody.
    package func statistics() -> ConsumerStatistics {
        var statistics = counts
        guard !isClosed else { return statistics }
        statistics.partitions = assignment.sorted.map { state in
            var low: Int64 = -1, high: Int64 = -1
            let code = rd_kafka_get_watermark_offsets(
                rk, state.partition.topic, state.partition.partition, &low, &high
            )
            let known = code == RD_KAFKA_RESP_ERR_NO_ERROR
            return ConsumerStatistics.Partition(
                partition: state.partition, position: state.position,
                low: known && low >= 0 ? low : nil, high: known && high >= 0 ? high : nil,
                isPaused: state.isPaused, isAtEnd: state.isAtEnd
            )
        }
        return statistics
    }

    /// The offset behind what was read; nil where the partition isn't assigned.
    package func position(of partition: TopicPartition) -> Int64? { assignment[partition]?.position }

    /// A client with our connection properties that never joins `group`: for single questions.
    func makeReader(group: String) throws(KafkaError) -> ClientHandle {
        var properties = properties
        properties["group.id"] = group
        properties["group.instance.id"] = nil
        properties["fetch.message.max.bytes"] = "1048576"
        properties["queued.min.messages"] = "1"
        return try ClientHandle(.reader, properties: properties, logger: logger)
    }
}

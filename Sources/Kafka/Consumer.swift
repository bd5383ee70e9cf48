import CRDKafka
import Logging
import Replication
import SerialQueue

/// A member of a consumer group, on librdkafka, that leaves every decision about positions to its caller.
///
/// ```swift
/// switch try await consumer.poll(maxRecords: 10_000, maxBytes: 32 << 20, maxWait_ms: 500) {
/// case .assigned(let partitions):       // read their checkpoints in the warehouse
///     try await consumer.assign(offsets)
/// case .revoked(let partitions, _):     // finish the batch in hand
///     try await consumer.unassign(partitions)
/// case .records(let batch): …
/// }
/// ```
/// Rebalancing is cooperative: partitions that stay are read on meanwhile. Between `.assigned` and `assign`,
/// and between `.revoked` and `unassign`, the group waits for us.
///
/// `poll` must be called at least every `max.poll.interval.ms` (5 minutes unless set), also while everything
/// is paused or no offset is known yet: else the group takes the partitions away (`.revoked`, lost).
///
/// Every call runs on the consumer's own thread, which `poll` blocks while it waits: `wake` ends the wait.
package actor Consumer {
    private let executor = SerialQueueExecutor(label: "kafka.consumer")
    nonisolated package var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    package nonisolated let group: String
    nonisolated let handle: ClientHandle
    nonisolated let properties: ClientProperties
    nonisolated let logger: Logger

    var isClosed = false
    /// What happened and wasn't handed out yet, oldest first.
    var pending: [PollResult] = []
    var assignment = Assignment()
    /// Given by the group, not yet answered with `assign`.
    var unanswered: Set<TopicPartition> = []
    var counts = ConsumerStatistics()
    /// What ended the consumer: `poll` throws it.
    var failure: KafkaError?
    /// Records may be in the queue.
    private(set) var isSubscribed = false
    /// Of the batch handed out last: about what the next one takes.
    var latestBytes = 0
    private let fetching: FetchNudge
    /// Where the next nudge begins among the partitions that lag.
    private var nudged = 0
    /// How many batches were begun: tells a partition's span in this batch from one in an earlier batch.
    var batches = 0

    /// For who reads little.
    package static let ahead_bytes = 4 << 20

    /// - Parameters:
    ///   - brokers: `host:port`, comma-separated.
    ///   - ahead_bytes: what is fetched ahead, over all partitions.
    ///   - properties: anything librdkafka knows. What `millrace` sets itself can't be changed.
    package init(
        brokers: String, group: String, ahead_bytes: Int = Consumer.ahead_bytes, properties: [String: String] = [:],
        logger: Logger
    ) throws(KafkaError) {
        self.group = group
        self.logger = logger
        self.properties = try .consumer(
            brokers: brokers, group: group, ahead_bytes: ahead_bytes, user: properties)
        handle = try ClientHandle(.consumer, properties: self.properties, logger: logger)
        fetching = FetchNudge(handle)
    }

    var rk: OpaquePointer { handle.rk }

    func checkOpen() throws(KafkaError) {
        if isClosed { throw .closed("consumer") }
    }

    /// Joins the group for `topics`: names, or globs as of `TopicPattern`. A glob's new topics, and new
    /// partitions, are found within `topic.metadata.refresh.interval.ms` (30 s unless set).
    package func subscribe(topics: [String]) throws(KafkaError) {
        try checkOpen()
        var names: [String] = []
        for topic in topics { names.append(try TopicPattern(topic).subscription) }
        let list = PartitionList(names.map { TopicPartition(topic: $0, partition: RD_KAFKA_PARTITION_UNASSIGNED) })
        let code = rd_kafka_subscribe(rk, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "subscribing to topics") }
        isSubscribed = true
    }

    /// Answers `.assigned`: reading begins at these offsets. All of the event's partitions must be among
    /// them; where a partition can't be read yet, `pause` it right after.
    package func assign(_ offsets: [TopicPartition: Int64]) throws(KafkaError) {
        try checkOpen()
        if let negative = offsets.first(where: { $0.value < 0 }) {
            throw .invalid("\(negative.key) can't be read from offset \(negative.value)")
        }
        if let missing = unanswered.subtracting(offsets.keys).min() {
            throw .invalid("\(missing) was assigned by the group and has no offset to start from")
        }
        let list = PartitionList(offsets)
        if let error = rd_kafka_incremental_assign(rk, list.pointer) {
            throw KafkaError(consuming: error, "beginning to read \(offsets.count) partitions")
        }
        unanswered.removeAll()
        for (partition, offset) in offsets { assignment.add(partition, position: offset) }
    }

    /// Answers `.revoked`: the group goes on, and another member may read these from now on.
    package func unassign(_ partitions: [TopicPartition]) throws(KafkaError) {
        try checkOpen()
        // What was revoked before it was ever assigned isn't known to librdkafka, which still wants its answer.
        let list = PartitionList(partitions.filter { assignment[$0] != nil })
        if let error = rd_kafka_incremental_unassign(rk, list.pointer) {
            throw KafkaError(consuming: error, "giving back \(partitions.count) partitions")
        }
        for partition in partitions { assignment.remove(partition) }
    }

    /// Reads nothing from these until `resume`; what was fetched ahead is dropped and fetched again.
    package func pause(_ partitions: [TopicPartition]) throws(KafkaError) {
        try checkOpen()
        let list = PartitionList(partitions)
        let code = rd_kafka_pause_partitions(rk, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "pausing partitions") }
        if let error = list.firstError("pausing") { throw error }
        for partition in partitions { assignment[partition]?.isPaused = true }
    }

    package func resume(_ partitions: [TopicPartition]) throws(KafkaError) {
        try checkOpen()
        let list = PartitionList(partitions)
        let code = rd_kafka_resume_partitions(rk, list.pointer)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "resuming partitions") }
        if let error = list.firstError("resuming") { throw error }
        for partition in partitions {
            guard let state = assignment[partition] else { continue }
            state.isPaused = false
            if state.skippedWhilePaused { try seek(partition, to: state.position) }
        }
    }

    /// Goes on from `offset`, also where the partition was `.lost`. The partition must be assigned.
    package func seek(
        _ partition: TopicPartition, to offset: Int64, timeout_ms: Int = 10_000
    ) throws(KafkaError) {
        try checkOpen()
        guard offset >= 0, let state = assignment[partition] else {
            throw .invalid("\(partition) isn't assigned, or can't be read from offset \(offset)")
        }
        let list = PartitionList([partition: offset])
        if let error = rd_kafka_seek_partitions(rk, list.pointer, Int32(timeout_ms)) {
            throw KafkaError(consuming: error, "reading \(partition) from offset \(offset)")
        }
        if list.entries.contains(where: { $0.error == RD_KAFKA_RESP_ERR__STATE }) {
            try restart(state, at: offset)
        } else if let error = list.firstError("reading from another offset:") {
            throw error
        }
        state.position = offset
        state.isAtEnd = false
        state.skippedWhilePaused = false
    }

    /// librdkafka doesn't seek in a partition that it stopped reading. Taking it away and giving it back would
    /// also answer a rebalance, were one waiting for an answer.
    private func restart(_ state: Assignment.State, at offset: Int64) throws(KafkaError) {
        guard unanswered.isEmpty, !assignment.sorted.contains(where: \.isRevoked) else {
            throw KafkaError(RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, "reading \(state.partition) again")
        }
        let list = PartitionList([state.partition: offset])
        if let error = rd_kafka_incremental_unassign(rk, list.pointer) {
            throw KafkaError(consuming: error, "reading \(state.partition) again")
        }
        if let error = rd_kafka_incremental_assign(rk, list.pointer) {
            throw KafkaError(consuming: error, "reading \(state.partition) again")
        }
        if state.isPaused { rd_kafka_pause_partitions(rk, list.pointer) }
    }

    /// Tells the group how far we are, for the outside world's lag tools: we never read it back. Goes out
    /// in the background; failures are counted and logged.
    package func commit(_ offsets: [TopicPartition: Int64], metadata: String? = nil) throws(KafkaError) {
        try checkOpen()
        guard !offsets.isEmpty else { return }
        let list = PartitionList(offsets, metadata: metadata)
        let code = rd_kafka_commit(rk, list.pointer, 1)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "committing offsets to the group") }
    }

    /// Makes a `poll` that waits return at once, or the next one. From any thread, not from a signal handler.
    package nonisolated func wake() { handle.wake() }

    /// Leaves the group, within `timeout_ms` as far as brokers answer, and frees the client. Every later call throws.
    package func close(timeout_ms: Int = 10_000) {
        guard !isClosed else { return }
        isClosed = true
        pending.removeAll()
        leaveGroup(timeout_ms: timeout_ms)
        assignment = Assignment()
        fetching.end()
        handle.destroy()
    }

    /// After records were taken out of a queue that may have been full: more is fetched while these are worked on.
    func fetchOn() {
        guard FetchNudge.isNeeded else { return }
        let lagging = statistics().partitions.filter { !$0.isPaused && !$0.isAtEnd && $0.lag ?? 0 > 0 }
        guard !lagging.isEmpty else { return }
        let count = min(lagging.count, FetchNudge.partitions_max)
        fetching.nudge(leadersOf: (0..<count).map { lagging[(nudged + $0) % lagging.count].partition })
        nudged = (nudged + count) % lagging.count
    }

    private func leaveGroup(timeout_ms: Int) {
        let deadline = ContinuousClock.now + .milliseconds(timeout_ms)
        if let error = rd_kafka_consumer_close_queue(rk, handle.queue) {
            logger.warning("\(KafkaError(consuming: error, "leaving group \(group)"))")
            return
        }
        while rd_kafka_consumer_closed(rk) == 0, ContinuousClock.now < deadline {
            guard let event = rd_kafka_queue_poll(handle.queue, 20) else { continue }
            // The group waits for our answer to its revocation before it lets us go.
            if rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE { rd_kafka_assign(rk, nil) }
            rd_kafka_event_destroy(event)
        }
        if rd_kafka_consumer_closed(rk) == 0 {
            logger.warning("group \(group) wasn't left in time; it will notice by its session timeout")
        }
    }
}

/// `RD_KAFKA_PARTITION_UA`, a cast in a macro, which Swift doesn't import.
let RD_KAFKA_PARTITION_UNASSIGNED: Int32 = -1

import CRDKafka
import Replication

extension Consumer {
    /// How long a batch that has records waits for more when nothing is fetched ahead.
    private static let gap_ms: Int32 = 2
    private static let slice_ms: Int32 = 10

    /// Waits up to `idle_ms` for something to happen; once there is a first record, gathers what is fetched
    /// ahead, until `maxRecords`, until `maxBytes` is reached (the last record may pass it), or for
    /// `maxWait_ms`, and no longer than a few milliseconds when nothing more is there.
    ///
    /// The end of a partition moves its span to the consumer's position, past markers and compacted records.
    ///
    /// - Parameter rest: until then, asked again and again, a batch that has records waits for more; within `maxWait_ms`.
    /// - Throws: only where the consumer is of no more use (`.fatal`, or closed).
    package func poll(
        maxRecords: Int, maxBytes: Int, maxWait_ms: Int, idle_ms: Int = 500,
        resting rest: @Sendable () -> ContinuousClock.Instant? = { nil }
    ) throws(KafkaError) -> PollResult {
        try checkOpen()
        if !pending.isEmpty { return pending.removeFirst() }

        defer { fetchOn() }
        var filling = Filling(number: nextBatchNumber(), latest_bytes: latestBytes, bytes_max: maxBytes)
        var deadline = ContinuousClock.now + .milliseconds(idle_ms)
        while pending.isEmpty, failure == nil,
            filling.batch.records.count < maxRecords, filling.batch.weight_bytes < maxBytes
        {
            guard let event = nextEvent(until: deadline, begun: filling.hasBegun, rest) else { break }
            let begun = filling.hasBegun
            take(event, into: &filling)
            rd_kafka_event_destroy(event)
            if !begun, filling.hasBegun { deadline = .now + .milliseconds(maxWait_ms) }
        }
        if filling.hasBegun {
            latestBytes = filling.batch.held_bytes
            return .records(filling.batch)
        }
        if !pending.isEmpty { return pending.removeFirst() }
        if let error = handle.fatalError() ?? failure { throw error }
        return .idle
    }

    /// nil: woken, time is up, or there is a batch and nothing more fetched ahead.
    private func nextEvent(
        until deadline: ContinuousClock.Instant, begun: Bool, _ rest: () -> ContinuousClock.Instant?
    ) -> OpaquePointer? {
        if !begun {
            while true {
                if handle.takeWake() { return nil }
                let left_ms = (deadline - .now) / .milliseconds(1)
                if let event = rd_kafka_queue_poll(handle.queue, Int32(max(left_ms.rounded(.up), 0))) { return event }
                if left_ms <= 0 { return nil }
            }
        }
        if deadline <= .now { return nil }
        if let event = rd_kafka_queue_poll(handle.queue, 0) ?? rd_kafka_queue_poll(handle.queue, Self.gap_ms) {
            return event
        }
        while let end = rest().map({ min($0, deadline) }), end > .now {
            let left_ms = Int32(((end - .now) / .milliseconds(1)).rounded(.up))
            if let event = rd_kafka_queue_poll(handle.queue, min(max(left_ms, 1), Self.slice_ms)) { return event }
        }
        return nil
    }

    private func nextBatchNumber() -> Int {
        batches += 1
        return batches
    }

    private func take(_ event: OpaquePointer, into filling: inout Filling) {
        switch rd_kafka_event_type(event) {
        case RD_KAFKA_EVENT_FETCH:
            counts.isDisconnected = false
            while let message = rd_kafka_event_message_next(event) { take(message, into: &filling) }
        case RD_KAFKA_EVENT_REBALANCE:
            takeRebalance(event)
        case RD_KAFKA_EVENT_ERROR:
            takeError(event, into: &filling)
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
            let code = rd_kafka_event_error(event)
            guard code != RD_KAFKA_RESP_ERR_NO_ERROR, code != RD_KAFKA_RESP_ERR__NO_OFFSET else { return }
            counts.failedCommits += 1
            note(KafkaError(code, "committing offsets to group \(group)"))
        default: break
        }
    }

    private func take(_ message: UnsafePointer<rd_kafka_message_t>, into filling: inout Filling) {
        let record = message.pointee
        let state = assignment.state(topic: record.rkt, partition: record.partition) { topic in
            String(cString: rd_kafka_topic_name(topic))
        }
        // Fetched before it was taken back or sought elsewhere: it is read again by whoever goes on.
        guard let state, !state.isRevoked else { return }
        guard !state.isPaused else {
            state.skippedWhilePaused = true
            return
        }
        guard record.offset >= state.position else { return }
        guard record.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
            return surface(KafkaError(record.err, "reading \(state.partition)"), at: state.partition)
        }
        filling.append(message, of: state)
        state.position = record.offset + 1
        state.isAtEnd = false
    }

    private func takeRebalance(_ event: OpaquePointer) {
        guard let list = rd_kafka_event_topic_partition_list(event) else { return }
        let partitions = PartitionList.entries(of: list).map(\.partition).sorted()
        switch rd_kafka_event_error(event) {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS where partitions.isEmpty:
            // Nothing for the caller to decide, but the group waits for the answer.
            if let error = rd_kafka_incremental_assign(rk, list) {
                note(KafkaError(consuming: error, "joining group \(group)"))
            }
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
            unanswered = Set(partitions)
            pending.append(.assigned(partitions))
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
            unanswered.subtract(partitions)
            for partition in partitions { assignment[partition]?.isRevoked = true }
            pending.append(.revoked(partitions, lost: rd_kafka_assignment_lost(rk) != 0))
        case let code:
            surface(KafkaError(code, "rebalancing group \(group)"), at: nil)
        }
    }

    private func takeError(_ event: OpaquePointer, into filling: inout Filling) {
        let code = rd_kafka_event_error(event)
        var place: TopicPartition?
        var offset: Int64 = -1
        if let entry = rd_kafka_event_topic_partition(event) {
            place = TopicPartition(entry.pointee)
            offset = entry.pointee.offset
            rd_kafka_topic_partition_destroy(entry)
        }
        if code == RD_KAFKA_RESP_ERR__PARTITION_EOF {
            if let place { reachEnd(of: place, at: offset, filling: &filling) }
            return
        }
        let detail = rd_kafka_event_error_string(event).map { String(cString: $0) }
        let context = place.map { "reading \($0)" } ?? ""
        var error = KafkaError(code, context, detail: detail.map(properties.scrubbed))
        if rd_kafka_event_error_is_fatal(event) != 0 { error.kind = .fatal }
        surface(error, at: place)
    }

    private func reachEnd(of partition: TopicPartition, at offset: Int64, filling: inout Filling) {
        counts.isDisconnected = false
        guard let state = assignment[partition], !state.isRevoked else { return }
        guard !state.isPaused else {
            state.skippedWhilePaused = true
            return
        }
        state.isAtEnd = true
        guard offset > state.position else { return }
        filling.advance(state, to: offset)
        state.position = offset
    }

    /// Sorts an error into what is handed on, what is counted, and what ends the consumer (thrown by `poll`).
    private func surface(_ error: KafkaError, at place: TopicPartition?) {
        if error.kind == .fatal {
            failure = error
            return note(error)
        }
        if let place, place.partition >= 0, error.meansLost {
            guard let state = assignment[place], !state.isRevoked else { return }
            note(error)
            pending.append(.lost(place, reason: error))
        } else if error.isConnection {
            counts.connectionErrors += 1
            if error.code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN.rawValue { counts.isDisconnected = true }
            note(error)
        } else {
            note(error)
            pending.append(.problem(error, at: place))
        }
    }

    /// Why no broker answers, where that is known: librdkafka tells who asks only that none does.
    func explained(_ error: KafkaError) -> KafkaError {
        // What comes to one that is subscribed is `poll`'s, which tells it.
        guard error.isConnection, !isSubscribed else { return error }
        var refusal: KafkaError?
        while let event = rd_kafka_queue_poll(handle.queue, 0) {
            defer { rd_kafka_event_destroy(event) }
            guard rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR else { continue }
            let detail = rd_kafka_event_error_string(event).map { properties.scrubbed(String(cString: $0)) }
            let found = KafkaError(rd_kafka_event_error(event), "", detail: detail)
            if found.meansRefused { refusal = found }
        }
        // A connection that is cut in the middle of it is told so, too: whoever tries again may go on to.
        refusal?.kind = error.kind
        return refusal ?? error
    }

    private func note(_ error: KafkaError) {
        counts.lastError = error
        logger.debug("kafka: \(error.name): \(error.message)")
    }
}

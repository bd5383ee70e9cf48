import Kafka
import Logging
import PipelineFile
import Replication
import Synchronization

/// Kafka as a `RecordSource`: what is read begins where the warehouse's checkpoint says, is verified
/// against what was read last, and never falls back to an offset that nobody chose.
package actor KafkaSource: RecordSource {
    package nonisolated let kind = "kafka"
    private let settings: Pipeline.Kafka
    private let limits: Pipeline.Batch
    let consumer: Consumer
    private let logger: Logger
    private var isSubscribed = false
    /// Partitions whose checkpoint lies outside the log: assigned by the group, not read.
    private var stopped: Set<TopicPartition> = []
    private var paused: Set<TopicPartition> = []
    private var logs = KafkaLogs()
    /// When a batch that is begun is handed on though more is to come.
    struct Patience {
        /// Whoever asks for the client's attention meanwhile (lag, a pause) waits for as long: so the warehouse's being away
        /// isn't waited out.
        static let gathering_max = Duration.seconds(1)

        /// The warehouse's commits are dear enough.
        let gathers: Bool
        /// While the batch before is written.
        var gathersUntil: ContinuousClock.Instant?
        var restsUntil = ContinuousClock.now
        var isStopping = false

        init(gathers: Bool) { self.gathers = gathers }

        /// Asked again each millisecond while it gathers.
        func end(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
            if isStopping { return nil }
            guard let gathersUntil, now < gathersUntil else { return restsUntil }
            return max(restsUntil, now + .milliseconds(1))
        }
    }

    nonisolated let patience: Mutex<Patience>
    /// Brokers have let us in, so that a refusal is theirs to mend, or passes: it is waited for as one that is away.
    private var hasMetBrokers: Bool
    /// What a broker last said that doesn't let us in, and when.
    private var refusal: (message: String, at: ContinuousClock.Instant)?
    /// Longer than the client waits before it tries again.
    private static let refusal_max = Duration.seconds(60)

    /// - Parameters:
    ///   - ahead_bytes: what the client fetches ahead, over all partitions; no more than a batch.
    ///   - gathers: while a batch is written the next one waits for more records, which is decoded only then.
    ///   - hasMetBrokers: an earlier source of this agent has read from them.
    package init(
        _ settings: Pipeline.Kafka, limits: Pipeline.Batch, ahead_bytes: Int = Consumer.ahead_bytes,
        gathers: Bool = false, hasMetBrokers: Bool = false, logger: Logger
    ) throws {
        patience = Mutex(Patience(gathers: gathers))
        self.hasMetBrokers = hasMetBrokers
        self.settings = settings
        self.limits = limits
        self.logger = logger
        consumer = try Consumer(settings, ahead_bytes: min(limits.bytes_max.bytes, ahead_bytes), logger: logger)
    }

    package func next() async throws -> SourceStep {
        if !isSubscribed {
            try await consumer.subscribe(topics: settings.topics.map(\.pattern))
            isSubscribed = true
        }
        let result = try await consumer.poll(
            maxRecords: limits.rows_max, maxBytes: limits.bytes_max.bytes,
            maxWait_ms: Int(limits.delay_max / .milliseconds(1)), idle_ms: 200
        ) { self.patience.withLock { $0.end(at: .now) } }
        switch result {
        case .records(let batch): return .records(SourceRecords(batch: batch, advances: advances(of: batch)))
        case .assigned(let partitions):
            hasMetBrokers = true
            return .assigned(partitions)
        case .revoked(let partitions, let lost):
            stopped.subtract(partitions)
            paused.subtract(partitions)
            return .revoked(partitions, lost: lost)
        case .lost(let partition, let reason):
            return .lost(KafkaPlaces.lost(partition, "the log no longer holds the offset to go on from (\(reason))"))
        case .problem(let error, let place):
            let isWaitedFor = hasMetBrokers && error.meansRefused && error.kind != .fatal
            if !isWaitedFor, error.kind == .permanent || error.kind == .fatal {
                throw ReplicationError(
                    .environment, "Kafka\(place.map { ": \($0.topic)" } ?? ""): \(error.message)",
                    remedy: error.remedy ?? "millrace check")
            }
            if isWaitedFor { refusal = (error.message, .now) }
            let remedy = error.remedy.map { ". Try: \($0)" } ?? ""
            logger.warning("Kafka\(place.map { ": \($0.topic)" } ?? ""): \(error.message)\(remedy)")
            return .idle
        case .idle: return .idle
        }
    }

    private func advances(of batch: RecordBatch) -> [SourceAdvance] {
        var last = [Int](repeating: -1, count: batch.spans.count)
        for (index, record) in batch.records.enumerated() { last[Int(record.span)] = index }
        return batch.spans.indices.map { span in
            let record = last[span] < 0 ? nil : batch.records[last[span]]
            return SourceAdvance(
                partition: batch.spans[span].partition, from: batch.spans[span].start, to: batch.spans[span].end,
                lastOffset: record?.offset, lastHash: record.map { batch.fingerprint($0) }, spans: [span])
        }
    }

    package func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        let chosen = try await firstOffsets(claims.filter { $0.position == nil }.map(\.partition))
        let lost = try await lostPartitions(claims)
        var offsets: [TopicPartition: Int64] = [:]
        for claim in claims { offsets[claim.partition] = claim.position ?? chosen[claim.partition] ?? 0 }
        // The group wants an answer for every partition; those that are lost are held at their end and not read.
        for partition in lost.map(\.partition) {
            offsets[partition] = try await consumer.watermarks(of: partition).high
        }
        try await consumer.assign(offsets)
        stopped.formUnion(lost.map(\.partition))
        if !lost.isEmpty { try await consumer.pause(lost.map(\.partition)) }
        return lost
    }

    package func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] {
        try await KafkaPlaces(consumer: consumer).lostPartitions(checkpoints)
    }

    private func firstOffsets(_ partitions: [TopicPartition]) async throws -> [TopicPartition: Int64] {
        guard !partitions.isEmpty else { return [:] }
        var offsets: [TopicPartition: Int64] = [:]
        switch settings.start {
        case .earliest:
            for partition in partitions { offsets[partition] = try await consumer.watermarks(of: partition).low }
        case .latest:
            for partition in partitions { offsets[partition] = try await consumer.watermarks(of: partition).high }
        case .timestamp(let time_ms):
            offsets = try await consumer.offsets(of: partitions, atTime_ms: time_ms)
        case .group(let group):
            offsets = try await consumer.committed(group: group, partitions)
            for partition in partitions where offsets[partition] == nil {
                offsets[partition] = try await consumer.watermarks(of: partition).low
            }
        }
        return offsets
    }

    package func pause(_ partitions: Set<TopicPartition>) async throws {
        let added = partitions.subtracting(paused).subtracting(stopped)
        let gone = paused.subtracting(partitions)
        if !added.isEmpty { try await consumer.pause(added.sorted()) }
        paused.formUnion(added)
        if !gone.isEmpty { try await consumer.resume(gone.sorted()) }
        paused.subtract(gone)
    }

    package func release(_ partitions: [TopicPartition]) async throws { try await consumer.unassign(partitions) }

    package func confirm(_ positions: [TopicPartition: Int64]) async {
        // The batch before is durable; and a batch that gathers on would keep the client for itself.
        gather(false)
        do {
            try await consumer.commit(positions, metadata: "millrace")
        } catch {
            logger.debug("Kafka: the group's offsets were not updated: \(error.message)")
        }
    }

    package func endPositions() async throws -> [TopicPartition: Int64]? {
        var all: [TopicPartition] = []
        for (topic, partitions) in try await consumer.topics() {
            guard settings.topics.contains(where: { $0.matches(topic) }), !topic.hasPrefix("__consumer_offsets") else {
                continue
            }
            all += (0..<partitions).map { TopicPartition(topic: topic, partition: Int32($0)) }
        }
        guard !all.isEmpty else { return [:] }
        return try await consumer.watermarks(of: all).mapValues(\.high)
    }

    package func readPositions() async -> [TopicPartition: Int64] {
        var positions: [TopicPartition: Int64] = [:]
        for partition in await consumer.statistics().partitions where !stopped.contains(partition.partition) {
            positions[partition.partition] = partition.position
        }
        return positions
    }

    package func lag() async -> [TopicPartition: Int64] {
        var lag: [TopicPartition: Int64] = [:]
        for partition in await consumer.statistics().partitions where !stopped.contains(partition.partition) {
            if let behind = partition.lag { lag[partition.partition] = behind }
        }
        return lag
    }

    package func progress() async -> SourceProgress {
        let statistics = await consumer.statistics()
        var progress = SourceProgress()
        for partition in statistics.partitions where !stopped.contains(partition.partition) {
            guard let low = partition.low, let high = partition.high else { continue }
            progress.logLeft[partition.partition] = logs.left(
                partition.partition, position: partition.position, low: low, high: high)
        }
        if let refusal, .now - refusal.at < Self.refusal_max {
            // One broker of several, too: its partitions stand still, and nothing else would tell.
            progress.away = refusal.message
        } else if statistics.isDisconnected {
            progress.away = "no broker of \(settings.brokers) answers"
        }
        return progress
    }

    package nonisolated func gather(_ isWanted: Bool) {
        patience.withLock { $0.gathersUntil = isWanted && $0.gathers ? .now + Patience.gathering_max : nil }
    }
    package nonisolated func rest(until end: ContinuousClock.Instant) { patience.withLock { $0.restsUntil = end } }
    package nonisolated func wake() {
        patience.withLock { $0.isStopping = true }
        consumer.wake()
    }

    package func close() async { await consumer.close() }
}

/// Where partitions' logs began when they were looked at first.
struct KafkaLogs {
    private var firsts: [TopicPartition: Int64] = [:]

    /// The part of a log that stands before a position; nil where nothing is taken from its beginning, which its moving on
    /// alone shows.
    mutating func left(_ partition: TopicPartition, position: Int64, low: Int64, high: Int64) -> Double? {
        guard high > low else { return nil }
        let first = firsts[partition] ?? low
        firsts[partition] = first
        return low > first ? Double(max(0, position - low)) / Double(high - low) : nil
    }
}

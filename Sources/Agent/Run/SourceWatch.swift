import Kafka
import Logging
import PipelineFile
import Postgres
import Replication
import ServiceLifecycle

/// Measures lag and what is left of the source's log while the runner doesn't: it waits for a warehouse that is away or
/// hangs, or whose file is lent, and that is when a log runs out. On connections of its own, which stand only then.
package struct SourceWatch: Service {
    /// So long nothing was measured, and so often it is then.
    private static let patience = Duration.seconds(10)

    let status: AgentStatus
    let logger: Logger
    let clock: AgentClock
    private let makeSource: @Sendable () throws -> (any WatchedSource)?

    init(live: LiveSetup, status: AgentStatus, logger: Logger) {
        self.init(status: status, logger: logger, clock: AgentClock()) { try Self.makeSource(live, logger) }
    }

    package init(
        status: AgentStatus, logger: Logger, clock: AgentClock,
        makeSource: @escaping @Sendable () throws -> (any WatchedSource)?
    ) {
        self.status = status
        self.logger = logger
        self.clock = clock
        self.makeSource = makeSource
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var source: (any WatchedSource)?
            while !Task.isCancelled {
                try? await clock.sleep(Self.patience)
                if Task.isCancelled { break }
                guard isDue else {
                    await source?.close()
                    source = nil
                    continue
                }
                do {
                    let watched = try source ?? makeSource()
                    source = watched
                    guard let watched else { return }
                    let found = try await watched.look(status.current.positions)
                    // The runner knows better.
                    if isDue { note(found) }
                } catch {
                    // The agent waits for the source, too, and tells so.
                    logger.debug("the source can't be measured", metadata: ["error": "\(type(of: error))"])
                    await source?.close()
                    source = nil
                }
            }
            await source?.close()
        }
    }

    private var isDue: Bool {
        let snapshot = status.current
        guard snapshot.state != .standby, snapshot.hasBegun else { return false }
        return snapshot.lagAt.map { clock.instant() - $0 > Self.patience } ?? true
    }

    private func note(_ found: SourceMeasure) {
        status.update { snapshot in
            for (partition, end) in found.ends {
                guard let position = snapshot.positions[partition] else { continue }
                snapshot.lag[partition] = max(0, end - position)
                snapshot.lagFrom[partition] = position
            }
            let own = found.logLeft.filter { snapshot.positions[$0.key] != nil }
            snapshot.progress.logLeft.merge(own) { $1 }
            if let retained = found.retainedLog_bytes { snapshot.progress.retainedLog_bytes = retained }
        }
    }

    /// Nil: the source has no end that moves.
    static func makeSource(_ live: LiveSetup, _ logger: Logger) throws -> (any WatchedSource)? {
        switch live.setup.pipeline.source.input {
        case .postgres(let server): WatchedPostgres(server)
        case .kafka(let settings): try WatchedKafka(settings, logger: logger)
        case .file: nil
        }
    }
}

/// Where a source ends, beside what reads it.
package struct SourceMeasure: Sendable {
    var ends: [TopicPartition: Int64]
    /// As `SourceProgress` has it.
    var logLeft: [TopicPartition: Double] = [:]
    var retainedLog_bytes: Int64?

    package init(ends: [TopicPartition: Int64] = [:]) { self.ends = ends }
}

package protocol WatchedSource: Sendable {
    /// - Parameter positions: what is durable, as far as it is known.
    func look(_ positions: [TopicPartition: Int64]) async throws -> SourceMeasure
    func close() async
}

private struct WatchedPostgres: WatchedSource {
    private let server: Pipeline.PostgresServer
    private let control: SourceControl

    init(_ server: Pipeline.PostgresServer) {
        self.server = server
        control = SourceControl(url: server.url.text)
    }

    func look(_ positions: [TopicPartition: Int64]) async throws -> SourceMeasure {
        let name = server.slot
        let (slot, end) = try await control.with { (try $0.slot(name), try $0.position()) }
        var found = SourceMeasure()
        // A copy's or a backfill's own has another end.
        for partition in positions.keys where partition.topic == name {
            found.ends[partition] = end
            found.logLeft[partition] = slot?.logLeft
        }
        found.retainedLog_bytes = slot?.retained_bytes
        return found
    }

    func close() async { await control.close() }
}

/// A consumer that joins no group.
actor WatchedKafka: WatchedSource {
    private static let answer_ms = 5000
    /// Partitions are asked for so often.
    private static let listed = Duration.seconds(5)

    let consumer: Consumer
    private let topics: [Glob]
    private var partitions: (all: [TopicPartition], at: ContinuousClock.Instant)?
    private var logs = KafkaLogs()

    init(_ settings: Pipeline.Kafka, logger: Logger) throws {
        topics = settings.topics
        consumer = try Consumer(settings, logger: logger)
    }

    /// All partitions of the pipeline's topics, whoever reads them.
    private func list() async throws -> [TopicPartition] {
        if let partitions, ContinuousClock.now - partitions.at < Self.listed { return partitions.all }
        var all: [TopicPartition] = []
        for (topic, count) in try await consumer.topics(timeout_ms: Self.answer_ms) {
            guard topics.contains(where: { $0.matches(topic) }), !topic.hasPrefix("__consumer_offsets") else {
                continue
            }
            all += (0..<count).map { TopicPartition(topic: topic, partition: Int32($0)) }
        }
        partitions = (all.sorted(), .now)
        return all
    }

    func look(_ positions: [TopicPartition: Int64]) async throws -> SourceMeasure {
        let marks = try await consumer.watermarks(of: try await list(), timeout_ms: Self.answer_ms)
        var found = SourceMeasure()
        for (partition, mark) in marks {
            // Nobody has to read what is empty.
            guard positions[partition] != nil || mark.high > mark.low else { continue }
            found.ends[partition] = mark.high
            found.logLeft[partition] = logs.left(
                partition, position: positions[partition] ?? mark.low, low: mark.low, high: mark.high)
        }
        return found
    }

    func close() async { await consumer.close() }
}

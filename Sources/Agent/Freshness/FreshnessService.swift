import Logging
import PipelineFile
import Replication
import ServiceLifecycle

/// Keeps freshness contracts in sight beside replication: asks the source where it ends, looks at what the warehouse has of
/// that, judges, and writes what changed. What it asks may hang: then nothing new is known, and tables become stale.
package struct FreshnessService: Service {
    /// The source is asked so often, and oftener where a contract is narrow: four times in it.
    static let interval_max = Duration.seconds(5)
    static let interval_min = Duration.milliseconds(250)
    /// Below it an idle source's position is made durable as it is asked for, instead of each 10 seconds.
    static let hurry = Duration.seconds(60)
    private static let look = Duration.seconds(1)

    private let contracts: @Sendable ([TableID]) -> [FreshnessContract]
    let warehouse: any Warehouse
    let status: AgentStatus
    let monitor: FreshnessMonitor
    let logger: Logger
    /// Has an idle source's position made durable.
    var hurry: @Sendable (Int64) -> Void = { _ in }
    var makeSource: @Sendable () throws -> (any WatchedSource)?
    let clock: AgentClock

    init(
        live: LiveSetup, warehouse: any Warehouse, status: AgentStatus, monitor: FreshnessMonitor, logger: Logger,
        hurry: @escaping @Sendable (Int64) -> Void = { _ in }
    ) {
        self.init(
            warehouse: warehouse, status: status, monitor: monitor, logger: logger, clock: AgentClock(), hurry: hurry,
            contracts: { live.setup.freshness($0) }, makeSource: { try SourceWatch.makeSource(live, logger) })
    }

    package init(
        warehouse: any Warehouse, status: AgentStatus, monitor: FreshnessMonitor, logger: Logger, clock: AgentClock,
        hurry: @escaping @Sendable (Int64) -> Void = { _ in },
        contracts: @escaping @Sendable ([TableID]) -> [FreshnessContract],
        makeSource: @escaping @Sendable () throws -> (any WatchedSource)?
    ) {
        self.contracts = contracts
        self.warehouse = warehouse
        self.status = status
        self.monitor = monitor
        self.logger = logger
        self.clock = clock
        self.hurry = hurry
        self.makeSource = makeSource
    }

    package func run() async throws {
        let (measuring, writing) = (OneAtATime(), OneAtATime())
        let asked = AskedSource(makeSource)
        await cancelWhenGracefulShutdown {
            var (measuredAt, writtenAt) = (clock.instant() - .seconds(3600), clock.instant())
            while !Task.isCancelled {
                let contracts = contracts(Array(status.current.tables.keys))
                let interval = Self.interval(contracts)
                if isOurs, !contracts.isEmpty {
                    if clock.instant() - measuredAt >= interval, measuring.begin() {
                        measuredAt = clock.instant()
                        // Not waited for: at a stop, too, it may hang.
                        Task(executorPreference: clock.executor) {
                            await measure(asked, contracts)
                            measuring.end()
                        }
                    }
                } else if status.current.state == .standby {
                    monitor.forget()
                }
                judge(contracts)
                let mayWrite = isOurs && status.current.waiting == nil && clock.instant() >= writtenAt
                if mayWrite, !monitor.due(now_us: clock.now_us()).isEmpty, writing.begin() {
                    writtenAt = clock.instant() + Self.look
                    Task(executorPreference: clock.executor) {
                        await write()
                        writing.end()
                    }
                }
                try? await clock.sleep(min(interval, Self.look))
            }
        }
        Task(executorPreference: clock.executor) { await asked.close() }
    }

    /// Whether the warehouse is in our hands.
    private var isOurs: Bool {
        let snapshot = status.current
        return snapshot.state != .standby && snapshot.lent == nil && snapshot.hasBegun
    }

    static func interval(_ contracts: [FreshnessContract]) -> Duration {
        guard let narrowest = contracts.map(\.maxStaleness_us).min() else { return interval_max }
        return max(interval_min, min(interval_max, .microseconds(narrowest / 4)))
    }

    // MARK: Steps

    private func measure(_ asked: AskedSource, _ contracts: [FreshnessContract]) async {
        do {
            if !monitor.hasResumed { monitor.resume(try await warehouse.freshness()) }
        } catch {
            return logger.debug("what is known of freshness can't be read", metadata: ["error": "\(type(of: error))"])
        }
        do {
            let at_us = clock.now_us()
            var positions = status.current.positions
            // Other agents' partitions, too.
            for checkpoint in try await warehouse.checkpoints() {
                if let position = checkpoint.position, positions[checkpoint.partition] == nil {
                    positions[checkpoint.partition] = position
                }
            }
            if let end = try await asked.end(positions, at_us: at_us) {
                monitor.note(end)
                if contracts.contains(where: { $0.maxStaleness_us < Int64(Self.hurry / .microseconds(1)) }) {
                    for position in end.ends.values { hurry(position) }
                }
            }
        } catch {
            await asked.close()
            return logger.debug("the source can't be asked where it ends", metadata: ["error": "\(type(of: error))"])
        }
        do {
            let at_us = clock.now_us()
            monitor.note(try await FreshnessWatch.Look.at(warehouse, now_us: at_us))
        } catch {
            logger.debug("the warehouse can't be looked at", metadata: ["error": "\(type(of: error))"])
        }
    }

    private func judge(_ contracts: [FreshnessContract]) {
        let before = status.current.freshness
        let tables = monitor.step(status.current, contracts, now_us: clock.now_us())
        status.update { $0.freshness = tables }
        for (id, table) in tables.sorted(by: { $0.key < $1.key }) where table.since_us != before[id]?.since_us {
            guard let earlier = before[id], earlier.since_us != nil else { continue }
            let metadata: Logger.Metadata = table.reason.map { ["reason": "\($0)"] } ?? [:]
            logger.log(
                level: table.status == .stale ? .warning : .notice, "\(id) is \(table.status.rawValue)",
                metadata: metadata)
        }
    }

    private func write() async {
        let time_us = clock.now_us()
        let records = monitor.due(now_us: time_us)
        guard !records.isEmpty else { return }
        do {
            try await warehouse.record(freshness: records)
            monitor.written(records, now_us: time_us)
        } catch {
            logger.debug("freshness can't be written", metadata: ["error": "\(type(of: error))"])
        }
    }
}

/// The source's end, asked for on connections of its own.
actor AskedSource {
    private let make: @Sendable () throws -> (any WatchedSource)?
    private var source: (any WatchedSource)?

    init(_ make: @escaping @Sendable () throws -> (any WatchedSource)?) { self.make = make }

    /// Nil: the source has no end that moves, or nothing is read of it.
    func end(_ positions: [TopicPartition: Int64], at_us: Int64) async throws -> SourceEnd? {
        guard let asked = try source ?? make() else { return nil }
        source = asked
        let ends = try await asked.look(positions).ends
        return ends.isEmpty ? nil : SourceEnd(at_us: at_us, ends: ends)
    }

    func close() async {
        let closed = source
        source = nil
        await closed?.close()
    }
}

extension FreshnessMonitor {
    /// What the runner has reached when it ended, for whoever asks while no agent runs.
    ///
    /// - Throws: what the warehouse meets.
    func finish(
        _ warehouse: any Warehouse, _ status: AgentStatus, _ contracts: [FreshnessContract],
        now_us: Int64 = Moment.now_us()
    ) async throws {
        if !hasResumed { resume(try await warehouse.freshness()) }
        note(try await FreshnessWatch.Look.at(warehouse, now_us: now_us))
        let tables = step(status.current, contracts, now_us: now_us, isLast: true)
        status.update { $0.freshness = tables }
        let records = due(now_us: now_us, isLast: true)
        if !records.isEmpty { try await warehouse.record(freshness: records) }
        written(records, now_us: now_us)
    }
}

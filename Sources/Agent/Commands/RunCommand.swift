import Foundation
import JSON
import Logging
import PipelineFile
import Replication
import ServiceLifecycle
import Synchronization

/// `millrace run`: the agent.
package struct RunCommand: Sendable {
    package var untilEnd: Bool
    /// Exit 1 if anything was put into quarantine.
    package var isStrict: Bool
    /// Wait for the agent that is at work, and take over when it is gone.
    package var isStandby: Bool

    package init(untilEnd: Bool, isStrict: Bool, isStandby: Bool = false) {
        self.untilEnd = untilEnd
        self.isStrict = isStrict
        self.isStandby = isStandby
    }

    /// Returns the exit code. SIGINT and SIGTERM drain; a second one ends the process at once.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        try setup.refuseGates()
        let status = AgentStatus()
        status.update { $0.startedAt_us = Moment.now_us() }
        let mustWait = try hasToWait(setup)
        if mustWait { status.update { $0.state = .standby } }
        let live = LiveSetup(setup)
        let lineage = setup.makeLineage(live: live, status: status, follows: (.run, !untilEnd))
        let reloading = Reloading(context: context)
        let parts = Parts(setup: setup, live: live, status: status, lineage: lineage, reloading: reloading)
        // Until all is written and closed: a signal that finds the agent at its end doesn't change how it ends.
        let stopping = Stopping()
        let watch = SignalWatch(
            onHangUp: reloading.signal, onSecond: { lineage?.endNow(.aborted("a second signal has ended it")) }
        ) { signal in
            guard let group = stopping.stop() else {
                lineage?.endNow(.aborted("it was stopped before it had begun"))
                _exit(ExitStatus.signal(signal))
            }
            Task { await group.triggerGracefulShutdown() }
            Self.end(after: setup.pipeline.agent.drain, context.console, stopping, lineage)
        }
        defer { withExtendedLifetime(watch) {} }
        return try await lineage.telling(stopped: { stopping.isStopped }) {
            try await attend(parts, stopping, mustWait: mustWait, context)
            stopping.end()
            let exit = try finish(setup, status, context)
            return (
                exit, exit == ExitStatus.ok ? nil : "records were put into quarantine, which --strict doesn't allow"
            )
        }
    }

    /// What the parts of an agent are made of.
    private struct Parts {
        let setup: PipelineSetup
        let live: LiveSetup
        let status: AgentStatus
        let lineage: LineageReporter?
        let reloading: Reloading
    }

    private func attend(_ parts: Parts, _ stopping: Stopping, mustWait: Bool, _ context: CommandContext) async throws {
        let setup = parts.setup
        do {
            let catalog = try await setup.readCatalog()
            // Opened once the other agent has let it go.
            let isFile = if case .duckdb = setup.pipeline.warehouse.engine { true } else { false }
            try await setup.withWarehouse(isOpen: !(mustWait && isFile), readOnly: false) { warehouse in
                try await replicate(parts, warehouse, catalog, stopping, context)
            }
        } catch var error as ReplicationError where error.kind == .taken {
            let other = error.remedy.map { "\($0); or" } ?? ""
            error.remedy = "\(other) let this one wait and take over: millrace run --standby"
            throw error
        }
    }

    /// Whether there is something that only one agent can have.
    private func hasToWait(_ setup: PipelineSetup) throws -> Bool {
        guard isStandby else { return false }
        if case .duckdb = setup.pipeline.warehouse.engine { return true }
        switch setup.pipeline.source.input {
        case .postgres: return true
        case .kafka:
            setup.logger.notice(
                "agents of a Kafka pipeline share its partitions through the group: this one takes its part at once")
            return false
        case .file:
            throw CommandFailure(
                ExitStatus.usage, "an event file and a Postgres warehouse have nothing that one agent holds",
                try: "millrace run, without --standby")
        }
    }

    private func replicate(
        _ parts: Parts, _ warehouse: any Warehouse, _ catalog: SourceCatalog?, _ stopping: Stopping,
        _ context: CommandContext
    ) async throws {
        let (setup, status) = (parts.setup, parts.status)
        // What was found before the start is so still.
        if let sweeps = try? await warehouse.lastSweeps() { status.update { $0.sweeps = sweeps } }
        let monitor = FreshnessMonitor()
        let group = try makeGroup(parts, warehouse, monitor, catalog)
        stopping.begin(group)
        let progress = RunProgress(status: status, console: context.console, logger: context.logger)
        let showing = Task { await progress.run() }
        defer {
            showing.cancel()
            context.console.progress("")
        }
        try await group.run()
        await finishFreshness(parts.live, warehouse, status, monitor)
        // An agent that runs each hour for a minute has no other time for it.
        if untilEnd {
            await UpkeepService.turn(
                warehouse, status: status, rawAge: setup.pipeline.layers.raw_retention, logger: setup.logger,
                limit: .seconds(10))
            // Whole tables, where the end was reached.
            guard !stopping.isStopped, status.current.state != .standby, status.current.lent == nil,
                setup.expectations.contains(where: { $0.ofWholeTables != nil })
            else { return }
            let control = setup.control(warehouse, catalog: catalog, running: nil)
            _ = try await QualityService.turn(warehouse, status, setup.logger) { try await control.examineWhole() }
        }
    }

    /// For whoever asks while no agent runs.
    private func finishFreshness(
        _ live: LiveSetup, _ warehouse: any Warehouse, _ status: AgentStatus, _ monitor: FreshnessMonitor
    ) async {
        let snapshot = status.current
        guard snapshot.state != .standby, snapshot.lent == nil, snapshot.hasBegun else { return }
        do {
            try await monitor.finish(warehouse, status, live.setup.freshness(Array(snapshot.tables.keys)))
        } catch {
            live.setup.logger.warning(
                "how far tables are complete couldn't be written: \(ExitStatus.failure(of: error).message)")
        }
    }

    /// What a signal stops. Nothing has begun before there is a group: the signal then ends the process.
    private final class Stopping: Sendable {
        private struct State {
            var group: ServiceGroup?
            var isStopped = false
            var isThrough = false
        }
        private let running = Mutex(State())

        func begin(_ group: ServiceGroup) { running.withLock { $0.group = group } }
        func stop() -> ServiceGroup? {
            running.withLock { running in
                running.isStopped = true
                return running.group
            }
        }
        func end() { running.withLock { $0.isThrough = true } }
        var isStopped: Bool { running.withLock { $0.isStopped } }
        var isThrough: Bool { running.withLock { $0.isThrough } }
    }

    /// Whatever hangs then, a statement or a lookup of a name: it is as a crash, which loses nothing.
    private static func end(
        after drain: Duration, _ console: Console, _ stopping: Stopping, _ lineage: LineageReporter?
    ) {
        // Not on Swift's own threads, which may be what hangs.
        DispatchQueue(label: "drain").asyncAfter(deadline: .now() + drain / .seconds(1)) {
            // All is written and closed: what is still to be told has its own bound.
            guard !stopping.isThrough else { return }
            console.report(
                CommandFailure(
                    ExitStatus.runtime,
                    "the end took longer than agent.drain (\(drain.pipelineText)), and was not waited for",
                    try: "millrace run, which reads it again: nothing is lost"))
            lineage?.endNow(.aborted("the end took longer than agent.drain, and was not waited for"))
            _exit(ExitStatus.runtime)
        }
    }

    private func makeGroup(
        _ parts: Parts, _ warehouse: any Warehouse, _ monitor: FreshnessMonitor, _ catalog: SourceCatalog?
    ) throws -> ServiceGroup {
        let (setup, live, status, reloading) = (parts.setup, parts.live, parts.status, parts.reloading)
        let agent = setup.pipeline.agent
        let token = try AccessToken.make(configured: agent.token, dir: agent.dir)
        var settings = Replicator.Settings(owner: "\(ProcessInfo.processInfo.hostName):\(getpid())")
        settings.untilEnd = untilEnd
        settings.validate = { try live.setup.validate($0, beside: $1) }
        settings.prepare = { try await live.setup.prepare($0) }
        settings.holdsTables = setup.layout.hasRaw && setup.layout.hasCurrent
        settings.schema = setup.schemaSettings
        settings.gate = { live.setup.gate(of: $0) }
        settings.notesTopics = parts.lineage != nil
        settings.release = { live.setup.releaseOptions(of: $0) }
        // The rest of the time is for ending.
        settings.drain_s = agent.drain / .seconds(1) * 0.8
        let (isListening, continuation) = AsyncStream.makeStream(of: Void.self)
        let announcement = AgentAnnouncement(agent: agent, pipeline: setup.pipeline.name, logger: setup.logger)
        var onTakeover: (@Sendable () async -> Void)?
        if status.current.state == .standby { onTakeover = { await announcement.write() } }
        let replication = ReplicationService(
            live: live, warehouse: warehouse, status: status, settings: settings, catalog: catalog,
            isListening: isListening, onTakeover: onTakeover)
        var running = WarehouseControl.Running(
            status: status, copyAnew: { await replication.copyAnew($0) },
            lend: { borrower in
                if let borrower {
                    try await replication.lend(to: borrower.pid, program: borrower.program)
                } else {
                    try await replication.endLoan()
                }
            }, reload: reloading.run,
            rejoin: { try await replication.rejoin(after: $0) })
        let beside = running
        var copyAnew: (@Sendable ([TableID]) async throws -> Void)?
        if setup.canCopyAnew {
            copyAnew = { try await live.control(warehouse, catalog: catalog, running: beside).copyAnew($0) }
        }
        let jobs = setup.sweepJobs(
            warehouse, status, live, lineage: parts.lineage, hurry: { replication.hurry(to: $0) }, copyAnew: copyAnew)
        running.sweeps = jobs
        reloading.begin { try await reloading.reload(live, warehouse, replication) }
        var router = AgentRouter(
            control: live.control(warehouse, catalog: catalog, running: running), status: status,
            layout: setup.layout, token: token, pid: getpid(), isLoopback: AgentServer.isLoopback(agent.listen.host))
        let history = PageHistory()
        router.history = history
        router.names = setup.pageNames
        router.check = {
            .array(await CheckCommand.findings(live.setup).map(\.json))
        }
        router.testAlerts = {
            AlertsCommand.json(await AlertsCommand.test(live.setup.pipeline, live.setup.logger))
        }
        let server = AgentServer(router: router, agent: agent, announcement: announcement, logger: setup.logger) { _ in
            continuation.yield()
        }
        let upkeep = UpkeepService(
            warehouse: warehouse, status: status, rawAge: setup.pipeline.layers.raw_retention, logger: setup.logger)
        let schedule = SweepSchedule(
            live: live, warehouse: warehouse, status: status, jobs: jobs, logger: setup.logger)
        let quality = QualityService(
            live: live, warehouse: warehouse, status: status,
            examine: { [running] in
                try await live.control(warehouse, catalog: catalog, running: running).examineWhole()
            }, logger: setup.logger)
        let watch = SourceWatch(live: live, status: status, logger: setup.logger)
        let freshness = FreshnessService(
            live: live, warehouse: warehouse, status: status, monitor: monitor, logger: setup.logger,
            hurry: { replication.hurry(to: $0) })
        var quiet = setup.logger
        quiet.logLevel = max(setup.logger.logLevel, .critical)
        var alerts: [ServiceGroupConfiguration.ServiceConfiguration] = []
        if !setup.pipeline.alerts.isEmpty {
            // Its end, which a stop brings, is nobody else's.
            alerts.append(
                .init(
                    service: AlertService(
                        pipeline: setup.pipeline.name, targets: setup.pipeline.alerts, status: status,
                        logger: setup.logger), successTerminationBehavior: .ignore,
                    failureTerminationBehavior: .ignore))
        }
        return ServiceGroup(
            configuration: .init(
                services: alerts + [
                    .init(
                        service: PageHistoryService(history: history, status: status),
                        successTerminationBehavior: .ignore, failureTerminationBehavior: .ignore),
                    .init(
                        service: upkeep, successTerminationBehavior: .ignore, failureTerminationBehavior: .ignore),
                    .init(
                        service: schedule, successTerminationBehavior: .ignore, failureTerminationBehavior: .ignore),
                    .init(
                        service: quality, successTerminationBehavior: .ignore,
                        failureTerminationBehavior: .gracefullyShutdownGroup),
                    .init(service: watch, successTerminationBehavior: .ignore, failureTerminationBehavior: .ignore),
                    .init(
                        service: freshness, successTerminationBehavior: .ignore, failureTerminationBehavior: .ignore),
                    .init(service: server, failureTerminationBehavior: .cancelGroup),
                    .init(
                        service: replication, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .cancelGroup),
                ], logger: quiet))
    }

    private func finish(_ setup: PipelineSetup, _ status: AgentStatus, _ context: CommandContext) throws -> Int32 {
        let snapshot = status.current
        let report = StatusReport(snapshot, layout: setup.layout, isRunning: false, now_us: Moment.now_us())
        if untilEnd || context.json {
            context.console.result(context.json ? report.json.serialized : report.text(context.console))
        } else {
            context.logger.info(
                "stopped", metadata: ["events": "\(snapshot.events)", "position": "\(report.position)"])
        }
        // The end was reached without them.
        if untilEnd, let (table, reason) = snapshot.progress.refused.min(by: { $0.key < $1.key }) {
            let others = snapshot.progress.refused.count - 1
            throw CommandFailure(
                ExitStatus.environment,
                "\(table) can't be copied\(others > 0 ? ", nor can \(others) others" : ""): \(reason)",
                try: "see what the user of the source may read: millrace check; then run it again")
        }
        if untilEnd, let hold = snapshot.holds.first(where: { !$0.kind.isWanted }) {
            throw CommandFailure(held: hold)
        }
        return isStrict && report.quarantined > 0 ? ExitStatus.runtime : ExitStatus.ok
    }
}

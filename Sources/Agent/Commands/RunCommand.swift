import Foundation
import Logging
import Replication
import ServiceLifecycle

/// `millrace run`: the agent.
package struct RunCommand: Sendable {
    package var untilEnd: Bool
    /// Exit 1 if anything was put into quarantine.
    package var isStrict: Bool

    package init(untilEnd: Bool, isStrict: Bool) {
        self.untilEnd = untilEnd
        self.isStrict = isStrict
    }

    /// Returns the exit code. SIGINT and SIGTERM drain; a second one ends the process at once.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        let status = AgentStatus()
        status.update { $0.startedAt_us = Moment.now_us() }
        let catalog = try await setup.readCatalog()
        let progress = RunProgress(status: status, console: context.console, logger: context.logger)
        try await setup.withWarehouse(readOnly: false) { warehouse in
            let group = try makeGroup(setup, warehouse, status, catalog)
            let watch = SignalWatch { _ in Task { await group.triggerGracefulShutdown() } }
            let showing = Task { await progress.run() }
            defer {
                showing.cancel()
                context.console.progress("")
                withExtendedLifetime(watch) {}
            }
            try await group.run()
        }
        return try finish(setup, status, context)
    }

    private func makeGroup(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ status: AgentStatus, _ catalog: SourceCatalog?
    ) throws -> ServiceGroup {
        let agent = setup.pipeline.agent
        let token = try AccessToken.make(configured: agent.token, dir: agent.dir)
        var settings = Replicator.Settings(owner: "\(ProcessInfo.processInfo.hostName):\(getpid())")
        settings.untilEnd = untilEnd
        settings.validate = { try setup.validate($0, beside: $1) }
        settings.prepare = { try await setup.prepare($0) }
        let (isListening, continuation) = AsyncStream.makeStream(of: Void.self)
        let replication = ReplicationService(
            setup: setup, warehouse: warehouse, status: status, settings: settings, catalog: catalog,
            isListening: isListening)
        let running = WarehouseControl.Running(status: status) { try await replication.rejoin(after: $0) }
        let router = AgentRouter(
            control: setup.control(warehouse, catalog: catalog, running: running), status: status,
            layout: setup.layout, token: token, pid: getpid(), isLoopback: AgentServer.isLoopback(agent.listen.host))
        let server = AgentServer(router: router, agent: agent, logger: setup.logger) { _ in continuation.yield() }
        var quiet = setup.logger
        quiet.logLevel = max(setup.logger.logLevel, .critical)
        return ServiceGroup(
            configuration: .init(
                services: [
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
        return isStrict && report.quarantined > 0 ? ExitStatus.runtime : ExitStatus.ok
    }
}

import Foundation
import Hummingbird
import Logging
import PipelineFile
import Replication
import ServiceLifecycle

/// The HTTP server as a service: listens, tells so in `agent.json`, and takes that away at its end.
package struct AgentServer: Service {
    private let router: AgentRouter
    private let agent: Pipeline.Agent
    private let announcement: AgentAnnouncement
    private let logger: Logger
    /// Told once when the server listens.
    private let onListening: @Sendable (_ address: String) -> Void

    package init(
        router: AgentRouter, agent: Pipeline.Agent, announcement: AgentAnnouncement? = nil, logger: Logger,
        onListening: @escaping @Sendable (_ address: String) -> Void
    ) {
        self.router = router
        self.agent = agent
        self.announcement =
            announcement ?? AgentAnnouncement(agent: agent, pipeline: router.layout.pipeline, logger: logger)
        self.logger = logger
        self.onListening = onListening
    }

    /// Whether only this machine can reach the address.
    package static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "::1" || host.hasPrefix("127.")
    }

    package func run() async throws {
        var quiet = logger
        // What it says at its end, when we end it, is no error of anybody's; what it can't do it throws.
        quiet.logLevel = max(logger.logLevel, .critical)
        let application = Application(
            router: router.router(),
            server: .http1(configuration: .init(idleTimeout: .seconds(60))),
            configuration: .init(address: .hostname(agent.listen.host, port: agent.listen.port)),
            onServerRunning: { channel in
                await listening(Pipeline.ListenAddress(host: agent.listen.host, port: channel.localAddress?.port ?? 0))
            },
            logger: quiet)
        defer { takeFileAway() }
        do {
            try await application.run()
        } catch {
            guard let reason = Self.bindFailure(error) else { throw error }
            throw ReplicationError(
                .environment, "the agent can't listen on \(agent.listen): \(reason)",
                remedy: "set another address in the pipeline file, e.g. agent: { listen: \(agent.listen.host):0 }")
        }
    }

    private func listening(_ bound: Pipeline.ListenAddress) async {
        // An address that stands for all of the machine's is reached on loopback.
        let host = bound.host == "0.0.0.0" ? "127.0.0.1" : bound.host == "::" ? "::1" : bound.host
        let address = Pipeline.ListenAddress(host: host, port: bound.port).description
        await announcement.write(address)
        logger.info("listening on http://\(address)/")
        onListening(address)
    }

    private func takeFileAway() {
        guard let file = AgentFile.read(in: agent.dir), file.pid == getpid() else { return }
        file.remove(in: agent.dir)
    }

    /// What the system said when it refused the address; nil for other errors.
    private static func bindFailure(_ error: any Error) -> String? {
        let text = String(describing: error)
        guard let mark = text.range(of: "(errno: "), text.contains("bind") || text.contains("listen") else {
            return text.contains("address") && text.contains("resolve") ? "the name can't be resolved" : nil
        }
        let number = Int32(text[mark.upperBound...].prefix { $0.isNumber }) ?? 0
        return String(cString: strerror(number)).lowercased()
    }
}

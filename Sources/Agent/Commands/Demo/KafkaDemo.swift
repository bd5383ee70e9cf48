import Foundation
import JSON
import Kafka
import Logging
import Replication

/// `millrace demo --kafka`: recorded Debezium events are played into a local broker while an agent replicates them; at
/// the end the warehouse is held against what must be in it.
struct KafkaDemo: Sendable {
    let recording: Recording
    /// How long the events take to play.
    var play_s = 5.0

    func run(_ folder: DemoFolder, _ context: CommandContext) async throws -> Int32 {
        let console = context.console
        console.note("Millrace demo: recorded Debezium events → local Kafka broker → DuckDB in \(folder.path)\n")

        let playback = try Playback(path: recording.events)
        let broker: MockBroker
        do {
            broker = try MockBroker(topics: playback.partitions, logger: context.logger)
        } catch {
            throw CommandFailure(ExitStatus.environment, error.message, try: error.remedy)
        }
        defer { broker.close() }
        console.note(
            "broker on \(broker.bootstrap): \(playback.partitions.count) topics, \(playback.records) records to play")
        let setup = try makeSetup(folder, broker: broker.bootstrap, topics: playback.partitions, context)
        return try await setup.withWarehouse(readOnly: false) { warehouse in
            let status = try await replicate(setup, warehouse, playback, broker.bootstrap, console)
            let proof = DemoProof(setup: setup, warehouse: warehouse, folder: folder, context: context)
            if !context.json {
                try await proof.showRows()
                proof.show(
                    StatusReport(status.current, layout: setup.layout, isRunning: false, now_us: Moment.now_us()))
            }
            return try await proof.conclude(try ExpectedTables(json: recording.readExpected()))
        }
    }

    private func makeSetup(
        _ folder: DemoFolder, broker: String, topics: [String: Int], _ context: CommandContext
    ) throws -> PipelineSetup {
        let names = topics.keys.sorted().map { JSONValue.string($0).serialized }.joined(separator: ", ")
        let text = """
            # Made by `millrace demo`. The broker ends with the demo; the tables stay.
            pipeline: demo
            source:
              kafka:
                brokers: \(broker)
                topics: [\(names)]
                properties: { fetch.wait.max.ms: "10" }
            warehouse:
              duckdb: { path: demo.duckdb }
            agent: { listen: 127.0.0.1:0 }

            """
        return try folder.setup(text, context.logger)
    }

    /// Runs the agent while the events play, until all that was played is durable.
    private func replicate(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ playback: Playback, _ broker: String, _ console: Console
    ) async throws -> AgentStatus {
        let status = AgentStatus()
        let service = DemoAgent.service(setup, warehouse, status)
        let progress = RunProgress(status: status, console: console, logger: setup.logger)
        let showing = Task { await progress.run() }
        defer {
            showing.cancel()
            console.progress("")
        }
        let watch = SignalWatch { _ in service.stop() }
        defer { withExtendedLifetime(watch) {} }

        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await service.run()
                return true
            }
            group.addTask { [play_s] in
                let ends = try await playback.play(to: broker, in_s: play_s, logger: setup.logger)
                while !ends.allSatisfy({ (status.current.positions[$0.key] ?? -1) >= $0.value }) {
                    try await Task.sleep(for: .milliseconds(50))
                }
                service.stop()
                return false
            }
            let isStopped = try await group.next() ?? true
            guard !isStopped else {
                group.cancelAll()
                throw CommandFailure(ExitStatus.signal(SIGINT), "the demo was stopped before all was played")
            }
            _ = try await group.next()
        }
        return status
    }
}

/// The agent as a demo runs it: without its HTTP server.
enum DemoAgent {
    static func service(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ status: AgentStatus, untilEnd: Bool = false
    ) -> ReplicationService {
        var settings = Replicator.Settings(owner: "demo")
        settings.untilEnd = untilEnd
        settings.validate = { try setup.validate($0, beside: $1) }
        let (isListening, continuation) = AsyncStream.makeStream(of: Void.self)
        continuation.finish()
        return ReplicationService(
            live: LiveSetup(setup), warehouse: warehouse, status: status, settings: settings, catalog: nil,
            isListening: isListening)
    }
}

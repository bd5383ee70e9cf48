import Debezium
import Foundation
import Logging
import PipelineFile
import Replication
import ServiceLifecycle
import Testing

@testable import Agent

@Suite("Commands and a running agent")
struct APIClientTests {
    private func pipeline(_ dir: String) -> Pipeline {
        var pipeline = Pipeline(
            name: "shop", source: .init(.file(.init(path: "events.jsonl"))),
            warehouse: .init(.duckdb(.init(path: dir + "/shop.duckdb")), schemas: .init(pipeline: "shop")))
        pipeline.agent.listen = .init(host: "127.0.0.1", port: 0)
        pipeline.agent.dir = dir
        return pipeline
    }

    /// Runs an agent's server for `body`.
    private func withServer(
        _ pipeline: Pipeline, _ fixture: AgentFixture, _ body: @Sendable @escaping (String) async throws -> Void
    ) async throws {
        let (addresses, continuation) = AsyncStream.makeStream(of: String.self)
        let token = try AccessToken.make(configured: nil, dir: pipeline.agent.dir)
        let router = AgentRouter(
            control: fixture.control, status: fixture.status, layout: fixture.layout, token: token, pid: getpid())
        let server = AgentServer(router: router, agent: pipeline.agent, logger: Logger(label: "test")) {
            continuation.yield($0)
        }
        let group = ServiceGroup(configuration: .init(services: [server], logger: Logger(label: "test")))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            tasks.addTask {
                for await address in addresses {
                    try await body(address)
                    break
                }
                await group.triggerGracefulShutdown()
            }
            try await tasks.waitForAll()
        }
    }

    @Test("find it by its file and ask it over HTTP")
    func asks() async throws {
        try await withTemporaryFolder { dir in
            let pipeline = pipeline(dir)
            let fixture = try await AgentFixture()
            try await withServer(pipeline, fixture) { address in
                #expect(AgentFile.read(in: dir)?.address == address)
                let client = try #require(try await APIClient.running(pipeline))
                func withoutLag(_ report: StatusReport) -> StatusReport {
                    // The lag moves by itself; the JSON names the table beside its ledger, not in it.
                    var report = report
                    for index in report.tables.indices {
                        report.tables[index].lag_ms = nil
                        report.tables[index].ledger.table = nil
                    }
                    return report
                }
                let status = try await client.status()
                let told = withoutLag(try await fixture.control.status())
                #expect(withoutLag(status) == told)
                #expect(status.isAgentRunning)
                let partition = TopicPartition(topic: "test", partition: 0)
                #expect(try await client.checkpoints().map(\.position) == [1])
                try await client.set(positions: [partition: Int64?.none])
                #expect(try await fixture.warehouse.checkpoints().map(\.position) == [nil])
                #expect(try await client.quarantine().isEmpty)
                #expect(try await client.quarantined(3) == nil)
                await #expect(throws: CommandFailure.self) { try await client.replay(.ids([3])) }
                await #expect(throws: CommandFailure.self) {
                    try await client.query("select 1", asOf: nil, rows_max: 5)
                }
                do {
                    _ = try await client.query("select * from shop_live.orders", asOf: "1970-01-01", rows_max: 5)
                    Issue.record("it answers with what is there now")
                } catch {
                    // Found by the agent, which was told of the moment.
                    let failure = ExitStatus.failure(of: error)
                    #expect(failure.exit == 2 && failure.message.contains("shop_live.orders"), "\(failure.message)")
                }
            }
            #expect(AgentFile.read(in: dir) == nil)
        }
    }

    @Test("take a file left behind for none")
    func stale() async throws {
        try await withTemporaryFolder { dir in
            let pipeline = pipeline(dir)
            #expect(try await APIClient.running(pipeline) == nil)
            // Nobody listens on the discard port of this machine.
            let file = AgentFile(pid: getpid(), pipeline: "shop", address: "127.0.0.1:9", started_us: 0)
            try file.write(in: dir)
            #expect(try await APIClient.running(pipeline) == nil)
            try "{".write(toFile: AgentFile.path(in: dir), atomically: true, encoding: .utf8)
            #expect(try await APIClient.running(pipeline) == nil)
        }
    }

    @Test("don't take another process at its address for it")
    func stranger() async throws {
        try await withTemporaryFolder { dir in
            let pipeline = pipeline(dir)
            try await withServer(pipeline, try await AgentFixture()) { address in
                let file = AgentFile(pid: 1, pipeline: "shop", address: address, started_us: 0)
                try file.write(in: dir)
                #expect(try await APIClient.running(pipeline) == nil)
            }
        }
    }

    @Test("A port that is taken is told with a remedy")
    func taken() async throws {
        try await withTemporaryFolder { dir in
            let first = pipeline(dir)
            let fixture = try await AgentFixture()
            try await withServer(first, fixture) { address in
                var second = first
                second.agent.listen.port = Int(address.split(separator: ":").last ?? "") ?? 0
                second.agent.dir = dir + "/second"
                let router = AgentRouter(
                    control: fixture.control, status: fixture.status, layout: fixture.layout,
                    token: AccessToken(Secret("x")), pid: 1)
                let server = AgentServer(router: router, agent: second.agent, logger: Logger(label: "test")) { _ in }
                do {
                    try await server.run()
                    Issue.record("it listens twice")
                } catch {
                    let failure = ExitStatus.failure(of: error)
                    #expect(failure.exit == 3)
                    #expect(failure.message.contains("in use"))
                    #expect(failure.remedy?.contains("listen") == true)
                }
            }
        }
    }
}

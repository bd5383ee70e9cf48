import Foundation
import Kafka
import Testing
import ThrowawayPostgres

/// What brokers do to their clients, by the mock cluster's own faults.
@Suite(.serialized) struct KafkaFaultTests {
    @Test func goesOnThroughWhateverTheBrokersDo() async throws {
        let folder = try temporaryFolder("brokers")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: ["shop.public.items": 4], brokers: 3, logger: silent)
        let events = try ItemEvents(broker)
        try """
        pipeline: brokers
        source:
          kafka:
            brokers: "\(broker.bootstrap)"
            topics: [\(events.topic)]
            properties:
              fetch.wait.max.ms: 10
              session.timeout.ms: 6000
              heartbeat.interval.ms: 500
              reconnect.backoff.ms: 10
              reconnect.backoff.max.ms: 200
              topic.metadata.refresh.interval.ms: 500
        warehouse: { postgres: { url: "\(server.url())" } }
        batch: { max_rows: 50 }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        let read = "select coalesce(sum(read), 0) from _millrace.ledger where pipeline = 'brokers'"
        func caughtUp(_ after: String) async throws {
            try await until("all is read after \(after)", [agent]) {
                ((try? await server.number(read)) ?? 0) >= events.count
            }
        }
        try await events.produce(300)
        try await caughtUp("the start")

        // Leaders move while records flow.
        for leader: Int32 in [1, 2, 3, 1] {
            for partition: Int32 in 0..<4 {
                try broker.setLeader(topic: events.topic, partition: partition, broker: leader)
            }
            try await events.produce(200)
        }
        try await caughtUp("leader changes")

        // Requests fail, one after the other.
        for (request, faults) in [
            (
                MockBroker.Request.fetch,
                [MockBroker.Fault.notLeader, .disconnect, .notLeader, .disconnect, .disconnect]
            ),
            (.offsetCommit, [.notCoordinator, .illegalGeneration, .disconnect, .rebalanceInProgress]),
            (.heartbeat, [.notCoordinator, .coordinatorNotAvailable, .unknownMember]),
            (.metadata, [.disconnect, .disconnect]),
            (.listOffsets, [.notLeader, .disconnect]),
            (.findCoordinator, [.coordinatorNotAvailable]),
        ] {
            broker.failNext(request, with: faults)
            for _ in 0..<2 { try await events.produce(100) }
        }
        try await caughtUp("failing requests")
        #expect(agent.isRunning)

        // Slow brokers.
        try broker.setRoundTrip(300)
        try await events.produce(200)
        try await caughtUp("slow round trips")
        try broker.setRoundTrip(0)

        // One goes, and all go.
        for down: Int32? in [2, nil] {
            // It hangs up on everybody at once.
            try broker.setDown(broker: down)
            try broker.setUp(broker: down)
            try await events.produce(200)
            try await caughtUp(down == nil ? "all brokers away" : "one broker away")
        }
        try await events.expectExact(server, "brokers")
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(3000))")
        try await events.expectExact(server, "brokers")
        await events.close()
        broker.close()
        await server.remove()
    }
}

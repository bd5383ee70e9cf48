import Agent
import Foundation
import Kafka
import Logging
import Replication
import Synchronization
import Testing

/// Two agents share a topic's partitions and one Postgres warehouse, and one of them is behind the other's schema changes.
@Suite(.serialized) struct LaggingAgentTests {
    private static let topic = "shop.public.t"

    /// An agent that begins anew as the service does.
    private final class Runner: Sendable {
        let status = AgentStatus()
        private struct State {
            var replicator: Replicator?
            var isStopping = false
            var restarts: [String] = []
        }
        private let state = Mutex(State())

        var restarts: [String] { state.withLock { $0.restarts } }

        func stop() {
            state.withLock {
                $0.isStopping = true
                $0.replicator?.stop()
            }
        }

        func run(_ pipeline: PipelineRun) async throws {
            let setup = try pipeline.setup
            let warehouse = setup.makeWarehouse()
            try await warehouse.open(readOnly: false)
            var settings = Replicator.Settings(owner: "test")
            settings.validate = { try setup.validate($0, beside: $1) }
            settings.schema = setup.schemaSettings
            settings.holdsTables = true
            settings.release = { setup.releaseOptions(of: $0) }
            var isThrough = false
            while !isThrough {
                let source = try setup.makeSource(warehouse)
                let replicator = Replicator(
                    source: source, warehouse: warehouse, status: status, settings: settings, logger: setup.logger
                ) { known in try setup.makeDecoder(known: known, catalog: nil) }
                let mayRun = state.withLock { state in
                    state.replicator = replicator
                    return !state.isStopping
                }
                do {
                    if mayRun { try await replicator.run() }
                    isThrough = true
                } catch let error as ReplicationError where error.kind == .restart || error.kind == .fenced {
                    if error.kind == .restart { state.withLock { $0.restarts.append(error.message) } }
                }
                await source.close()
            }
            await warehouse.close()
        }
    }

    /// - Parameter type: of `a`.
    private static func event(
        _ partition: Int32, _ lsn: Int, _ id: Int, _ members: [(String, String)], type: String = "string"
    ) -> OutgoingRecord {
        func field(_ name: String, _ type: String) -> String {
            "{\"type\":\"\(type)\",\"optional\":\(name != "id"),\"field\":\"\(name)\"}"
        }
        let fields = [field("id", "int32")] + members.map { field($0.0, $0.0 == "a" ? type : "string") }
        let values = members.map { name, value in
            ",\"\(name)\":" + (name == "a" && type != "string" ? value : "\"\(value)\"")
        }
        let row = "{\"id\":\(id)" + values.joined() + "}"
        let images = ["before", "after"].map {
            "{\"type\":\"struct\",\"fields\":[\(fields.joined(separator: ","))],\"optional\":true,\"field\":\"\($0)\"}"
        }.joined(separator: ",")
        let key = "{\"schema\":{\"type\":\"struct\",\"fields\":[\(field("id", "int32"))]},\"payload\":{\"id\":\(id)}}"
        let value = """
            {"schema":{"type":"struct","fields":[\(images)]},"payload":{"before":null,"after":\(row),\
            "source":{"connector":"postgresql","schema":"public","table":"t","txId":\(lsn),"lsn":\(lsn),\
            "sequence":"[\\"\(lsn)\\",\\"\(lsn)\\"]","ts_ms":1700000000000},"op":"c","ts_ms":1}}
            """
        return OutgoingRecord(
            topic: topic, partition: partition, key: Array(key.utf8), value: Array(value.utf8))
    }

    private struct Group {
        let run: PipelineRun
        let producer: Producer
        let agents: [Runner]
        let tasks: [Task<Void, any Error>]

        func send(_ records: OutgoingRecord...) async throws {
            try await producer.send(records)
            _ = try await producer.flush()
        }

        func rows(_ sql: String) async throws -> [[String?]] {
            let name = run.name
            return try await run.looking { warehouse, _ in
                try await warehouse.query(sql.replacing("NAME", with: name), rows_max: 100).rows
            }
        }

        /// Until so many events are in raw.
        func raw(_ count: Int) async throws {
            try await PostgresSourceTests.until("\(count) events are in raw") {
                let found = try? await rows("select count(*) from \"NAME_raw\".t")
                return Int(found?.first?.first.flatMap { $0 } ?? "") ?? 0 >= count
            }
        }

        func end() async throws {
            for agent in agents { agent.stop() }
            for task in tasks { try await task.value }
            await producer.close()
        }
    }

    /// Both run, each has one of the two partitions, and knows the table by an event of its own.
    private func group(
        _ name: String, _ broker: MockBroker, _ logger: Logger, type: String = "string"
    ) async throws -> Group {
        let run = try await PipelineRun(
            name, .postgres,
            source: """
                  kafka:
                    brokers: \(broker.bootstrap)
                    topics: [\(Self.topic)]
                    properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
                """, folder: try TestFolder())
        let agents = [Runner(), Runner()]
        let group = Group(
            run: run, producer: try Producer(brokers: broker.bootstrap, logger: logger), agents: agents,
            tasks: agents.map { agent in Task { try await agent.run(run) } })
        try await PostgresSourceTests.until("each has a partition") {
            agents.map { $0.status.current.lag.count } == [1, 1]
        }
        try await group.send(
            Self.event(0, 100, 1, [("a", "1"), ("b", "b1")], type: type),
            Self.event(1, 101, 2, [("a", "2"), ("b", "b2")], type: type))
        try await group.raw(2)
        return group
    }

    private func broker() throws -> (MockBroker, Logger) {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return (try MockBroker(topics: [Self.topic: 2], logger: logger), logger)
    }

    /// One is past "drop b, add b" when the other brings an event of before: its `b` isn't what is called so now.
    @Test func aColumnThatWasMadeAnew() async throws {
        let (broker, logger) = try broker()
        defer { broker.close() }
        let group = try await group("lagging", broker, logger)
        try await group.send(Self.event(0, 110, 3, [("a", "a3")]))
        try await group.raw(3)
        try await group.send(Self.event(0, 120, 4, [("a", "a4"), ("b", "b4 new")]))
        try await group.raw(4)
        try await group.send(Self.event(1, 105, 5, [("a", "a5"), ("b", "b5")]))
        try await group.raw(5)
        try await group.send(
            Self.event(1, 121, 6, [("a", "a6"), ("b", "b6 new")]),
            Self.event(0, 122, 7, [("a", "a7"), ("b", "b7 new")]))
        try await group.raw(7)
        try await group.end()
        let restarts = group.agents.flatMap(\.restarts)
        #expect(restarts.count == 1 && restarts[0].contains("public.t"), "\(restarts)")
        #expect(try await group.run.schemaChanges().map(\.kind) == [.newTable, .dropColumn, .addColumn])
        #expect(try await group.rows("select count(*) from _millrace.quarantine where pipeline = 'NAME'") == [["0"]])
        let rows = try await group.rows("select id, b_retired_1, b from \"NAME\".t order by id")
        let names = try await group.rows(
            "select after::json->>'b', after::json->>'b_2' from \"NAME_raw\".t order by _version_commit")
        #expect(
            rows == [
                ["1", "b1", nil], ["2", "b2", nil], ["3", nil, nil], ["4", nil, "b4 new"], ["5", "b5", nil],
                ["6", nil, "b6 new"], ["7", nil, "b7 new"],
            ])
        #expect(
            names == [
                ["b1", nil], ["b2", nil], ["b5", nil], [nil, nil], [nil, "b4 new"], [nil, "b6 new"],
                [nil, "b7 new"],
            ], "raw tells them apart, too")
    }

    /// A type isn't to be followed, which somebody has decided before the other agent meets it.
    @Test func aPlanThatWasDecided() async throws {
        let (broker, logger) = try broker()
        defer { broker.close() }
        let group = try await group("decided", broker, logger, type: "int64")
        try await group.send(Self.event(0, 110, 3, [("a", "5"), ("b", "b3")]))
        try await PostgresSourceTests.until("a plan waits") {
            try await group.run.schemaChanges().contains { $0.state == .waiting }
        }
        #expect(try await group.run.decide(approving: false).map(\.kind) == [.changeType])
        // Neither has read anything since.
        try await group.send(Self.event(1, 120, 4, [("a", "6"), ("b", "b4")]))
        try await group.raw(4)
        try await group.send(Self.event(0, 130, 5, [("a", "7"), ("b", "b5")]))
        try await group.raw(5)
        try await PostgresSourceTests.until("the table goes on") {
            try await group.rows("select count(*) from \"NAME_live\".t") == [["5"]]
        }
        try await group.end()
        let rows = try await group.rows("select id, a from \"NAME_live\".t order by id")
        #expect(rows.map { $0[1] } == ["1", "2", "5", "6", "7"])
        #expect(try await group.run.schemaChanges().map(\.state) == [.applied, .rolledBack], "none is raised again")
        #expect(try await group.rows("select count(*) from _millrace.holds where pipeline = 'NAME'") == [["0"]])
    }

    /// Columns that only come are no reason to begin anew, whoever meets them first.
    @Test func columnsThatCome() async throws {
        let (broker, logger) = try broker()
        defer { broker.close() }
        let group = try await group("coming", broker, logger)
        var members = [("a", "a"), ("b", "b")]
        for step in 0..<4 {
            members.append(("c\(step)", "c"))
            let id = 10 + step * 4
            // Older events come later, and some know nothing of it.
            let (first, other): (Int32, Int32) = step % 2 == 0 ? (0, 1) : (1, 0)
            try await group.send(Self.event(first, 200 + step * 10 + 5, id, members))
            try await group.raw(3 + step * 4)
            try await group.send(
                Self.event(other, 200 + step * 10 + 1, id + 1, Array(members.dropLast())),
                Self.event(other, 200 + step * 10 + 3, id + 2, members))
            try await group.raw(5 + step * 4)
            try await group.send(Self.event(first, 200 + step * 10 + 8, id + 3, members))
            try await group.raw(6 + step * 4)
        }
        try await group.end()
        #expect(group.agents.flatMap(\.restarts) == [])
        let counts = try await group.rows(
            "select count(*), count(c0), count(c1), count(c2), count(c3) from \"NAME_live\".t")
        #expect(counts == [["18", "15", "11", "7", "3"]])
        let kinds = try await group.run.schemaChanges().map(\.kind)
        #expect(kinds == [.newTable] + [SchemaChange.Kind](repeating: .addColumn, count: 4))
    }
}

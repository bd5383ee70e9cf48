import Foundation
import JSON
import Kafka
import Logging
import ReplicationTestKit
import Synchronization
import Testing

/// Money moves between two tables, each in a topic of several partitions, with transaction metadata; the agent is killed
/// while it holds halves. Whoever reads the DuckDB file finds the total constant from `consistent_since` on.
///
/// `MILLRACE_KAFKA_BANK_ROUNDS` is how many blocks of transactions are written; at each third the agent is killed.
@Suite(.serialized) struct KafkaBankTests {
    private static let rounds =
        ProcessInfo.processInfo.environment["MILLRACE_KAFKA_BANK_ROUNDS"].flatMap { Int($0) } ?? 9
    private static let accounts = 200

    private final class Looks: Sendable {
        struct State: Sendable {
            var right = 0
            var wrong: [String] = []
            /// Found in parts that the agent had told of: silence of 10 s in the middle of one, on a busy machine.
            var told = 0
            var since: String?
        }
        private let state = Mutex(State())
        var current: State { state.withLock { $0 } }
        var count: Int { state.withLock { $0.right + $0.wrong.count + $0.told } }
        func becomeConsistent(since: String) { state.withLock { $0.since = since } }
        func wasTold() {
            state.withLock {
                $0.told += 1
                $0.since = nil
            }
        }
        func add(_ isRight: Bool, _ found: String) {
            state.withLock { if isRight { $0.right += 1 } else { $0.wrong.append(found) } }
        }
    }

    private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "waited too long until \(what)")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private static func status(_ folder: URL) async -> JSONValue? {
        let status = try? await AgentProcess.run(["status", "--json"], in: folder)
        return status.flatMap { try? JSONValue(parsing: $0.output) }
    }

    private static func consistentSince(_ folder: URL) async -> String? {
        await status(folder)?["consistent_since"]?.string
    }

    /// What a dead agent has left is whole.
    private static func isRunning(_ folder: URL) async -> Bool { await status(folder)?["agent"]?.string == "running" }

    @Test func theTotalIsConstant() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-kbank-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let broker = try MockBroker(
            topics: ["shop.public.checking": 4, "shop.public.savings": 3, "shop.transaction": 1], logger: logger)
        defer { broker.close() }
        try """
        pipeline: kbank
        source:
          kafka:
            brokers: \(broker.bootstrap)
            topics: ["shop.*"]
            properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
        warehouse: { duckdb: { path: kbank.duckdb } }
        tables:
          - { source: public.checking, columns: { types: { id: integer, balance: integer } } }
          - { source: public.savings, columns: { types: { id: integer, balance: integer } } }
        batch: { max_rows: 100 }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)

        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        func send(_ events: [TransactionEvents.Event]) async throws {
            try await producer.send(
                events.map { .init(topic: $0.topic, key: Array($0.key.utf8), value: Array($0.value.utf8)) })
            _ = try await producer.flush()
        }
        var events = TransactionEvents()
        var random = SeededRandom(seed: 11)
        var balances = ["checking": [Int](repeating: 100, count: Self.accounts)]
        balances["savings"] = balances["checking"]
        func transfer() -> TransactionEvents.Transaction {
            var rows: [(table: String, id: Int, balance: Int)] = []
            for _ in 0..<(1 + random.below(6)) {
                let amount = 1 + random.below(30)
                for (table, change) in [("checking", -amount), ("savings", amount)] {
                    let id = random.below(Self.accounts)
                    balances[table]?[id] += change
                    rows.append((table, id, balances[table]?[id] ?? 0))
                }
            }
            return events.commit(rows)
        }
        let opening = events.commit(
            ["checking", "savings"].flatMap { table in (0..<Self.accounts).map { (table, $0, 100) } }, operation: "c")
        try await send(opening.changes + [opening.begin, opening.end])

        var agent = try AgentProcess(["run"], in: folder)
        let total = "\(2 * Self.accounts * 100)"
        let looks = Looks()
        let reader = Task {
            let sum =
                "select (select sum(balance) from kbank_live.checking) + (select sum(balance) from kbank_live.savings) as total"
            while !Task.isCancelled {
                if looks.current.since == nil {
                    guard let since = await Self.consistentSince(folder) else { continue }
                    looks.becomeConsistent(since: since)
                }
                // While the agent is down and comes up nobody can read.
                guard let result = try? await AgentProcess.run(["query", "--format", "csv", sum], in: folder),
                    result.status == 0
                else { continue }
                let found = result.output.split(whereSeparator: \.isNewline).dropFirst().first.map(String.init) ?? ""
                // Whoever must be certain asks after reading, too.
                if found != total, await Self.isRunning(folder),
                    await Self.consistentSince(folder) != looks.current.since
                {
                    looks.wasTold()
                } else {
                    looks.add(found == total, found)
                }
            }
        }
        defer { reader.cancel() }
        try await until("it is consistent") { looks.current.since != nil }
        func lookTwice() async throws {
            let before = looks.count
            try await until("the reader has looked") { looks.count >= before + 2 }
        }
        /// The reader may have the file open just when an agent comes up, which then ends.
        func revive() async throws {
            try await until("an agent runs") {
                if !agent.isRunning {
                    _ = await agent.wait()
                    agent = try AgentProcess(["run"], in: folder)
                }
                let status = try? await AgentProcess.run(["status", "--json"], in: folder)
                return status.flatMap { try? JSONValue(parsing: $0.output) }?["agent"]?.string == "running"
            }
        }
        var kills = 0
        for round in 0..<Self.rounds {
            let block = (0..<20).map { _ in transfer() }
            let changes = block.flatMap(\.changes)
            let first = round % 2 == 0 ? "shop.public.checking" : "shop.public.savings"
            try await send(changes.filter { $0.topic == first })
            try await lookTwice()
            if round % 3 == 1 {
                agent.signal(SIGKILL)
                _ = await agent.wait()
                kills += 1
                try await revive()
            }
            // ENDs before events, and the other way round.
            let rest = [changes.filter { $0.topic != first }, block.flatMap { [$0.begin, $0.end] }]
            for part in round % 2 == 0 ? rest : rest.reversed() {
                try await send(part)
                try await lookTwice()
            }
        }
        reader.cancel()
        await reader.value
        try await revive()
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "SIGTERM drains: \(end.errors.suffix(2000))")
        let last = try await AgentProcess.run(["run", "--until-end", "--json"], in: folder)
        try #require(last.status == 0, "\(last.errors.suffix(2000))")
        let (right, wrong) = (looks.current.right, looks.current.wrong)
        print(
            "killed \(kills) times, \(right) looks found the total, \(looks.current.told) were told that it may differ")
        #expect(wrong.isEmpty, "looks that found another total: \(wrong.prefix(5))")
        for (table, rows) in balances {
            let found = try await AgentProcess.run(
                ["query", "--format", "csv", "select balance from kbank_live.\(table) order by id"], in: folder)
            let lines = found.output.split(whereSeparator: \.isNewline).dropFirst().map(String.init)
            #expect(lines == rows.map(String.init), "\(table)")
        }
        await producer.close()
    }
}

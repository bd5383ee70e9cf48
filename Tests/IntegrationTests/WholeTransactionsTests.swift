import Agent
import Foundation
import JSON
import Kafka
import Logging
import Replication
import ReplicationTestKit
import Synchronization
import Testing

/// Source transactions over several topics and partitions, through a broker into a real warehouse.
@Suite struct WholeTransactionsTests {
    private static let accounts = 40
    private static let total = 2 * accounts * 100
    private static let heartbeats = "shop.heartbeat"

    private static let logger: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    /// A bank whose transactions move money from `checking` to `savings`, and what the broker holds of them.
    private struct Bank {
        let broker: MockBroker
        var events = TransactionEvents()
        var checking = [Int](repeating: 100, count: accounts)
        var savings = [Int](repeating: 100, count: accounts)
        var random = SeededRandom(seed: 5)
        var beats: Int64 = 0
        /// Records of the transaction topic so far.
        var ended: Int64 = 0
        /// Half of it was sent.
        var half: TransactionEvents.Transaction?

        init() throws {
            broker = try MockBroker(
                topics: [
                    "shop.public.checking": 3, "shop.public.savings": 4, "shop.transaction": 1, heartbeats: 1,
                ], logger: WholeTransactionsTests.logger)
        }

        /// All accounts, as one transaction.
        mutating func open() -> TransactionEvents.Transaction {
            let rows = (0..<accounts).flatMap { [("checking", $0, 100), ("savings", $0, 100)] }
            return events.commit(rows.map { (table: $0.0, id: $0.1, balance: $0.2) }, operation: "c")
        }

        mutating func transfer() -> TransactionEvents.Transaction {
            var rows: [(table: String, id: Int, balance: Int)] = []
            for _ in 0..<(1 + random.below(4)) {
                let (from, to, amount) = (random.below(accounts), random.below(accounts), 1 + random.below(20))
                checking[from] -= amount
                savings[to] += amount
                rows += [("checking", from, checking[from]), ("savings", to, savings[to])]
            }
            return events.commit(rows)
        }

        func send(_ events: [TransactionEvents.Event]) async throws {
            let producer = try Producer(brokers: broker.bootstrap, logger: WholeTransactionsTests.logger)
            try await producer.send(
                events.map { .init(topic: $0.topic, key: Array($0.key.utf8), value: Array($0.value.utf8)) })
            _ = try await producer.flush()
            await producer.close()
        }

        /// A record that waits for nothing, behind the others: once it is durable the others have been read, or soon are.
        mutating func beat() async throws -> Int64 {
            beats += 1
            try await send([events.heartbeat(heartbeats)])
            return beats
        }
    }

    private func run(_ name: String, _ engine: Engine, _ broker: MockBroker, _ folder: TestFolder) async throws
        -> PipelineRun
    {
        try await PipelineRun(
            name, engine,
            source: """
                  kafka:
                    brokers: \(broker.bootstrap)
                    topics: ["shop.*"]
                    properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 }
                """, rest: Self.types, folder: folder)
    }

    private static let types = """
        tables:
          - { source: public.checking, columns: { types: { id: integer, balance: integer } } }
          - { source: public.savings, columns: { types: { id: integer, balance: integer } } }
        """

    /// Money in the bank, as a reader finds it; nil: no table yet.
    private static func sum(_ warehouse: any Warehouse, _ run: PipelineRun) async throws -> Int? {
        let live = try run.setup.layout.live
        let sql =
            "select (select sum(balance) from \(live).checking) + (select sum(balance) from \(live).savings)"
        return try? await warehouse.query(sql, rows_max: 1).rows[0][0].flatMap { Int($0) }
    }

    private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "waited too long until \(what)")
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Every table's events first, then the other's, and the ENDs last of all: whoever applied what came would show halves.
    @Test(arguments: Engine.allCases) func aReaderNeverSeesHalfOfATransaction(engine: Engine) async throws {
        let folder = try TestFolder()
        var bank = try Bank()
        defer { bank.broker.close() }
        let run = try await run("whole", engine, bank.broker, folder)
        var looks = 0
        // Three lives of the agent; each ends in the middle of what it has read.
        for life in 0..<3 {
            var transactions = life == 0 ? [bank.open()] : []
            for _ in 0..<6 { transactions.append(bank.transfer()) }
            let sent = transactions
            let state = bank
            let (found, after) = try await run.whileRunning { status, warehouse in
                var bank = state
                var found = 0
                func look() async throws {
                    guard let sum = try await Self.sum(warehouse, run) else { return }
                    found += 1
                    #expect(sum == Self.total, "life \(life), look \(found)")
                }
                func settle() async throws {
                    let beat = try await bank.beat()
                    let place = TopicPartition(topic: Self.heartbeats, partition: 0)
                    try await until("the heartbeat is there") {
                        try await look()
                        return status.current.positions[place] ?? 0 >= beat
                    }
                    try await look()
                }
                try await bank.send(sent.flatMap(\.changes).filter { $0.topic == "shop.public.checking" })
                try await settle()
                try await bank.send(sent.flatMap(\.changes).filter { $0.topic == "shop.public.savings" })
                try await settle()
                let ends = sent.flatMap { [$0.begin, $0.end] }
                for end in ends {
                    try await bank.send([end])
                    try await look()
                }
                let place = TopicPartition(topic: "shop.transaction", partition: 0)
                let wanted = state.ended + Int64(ends.count)
                try await until("all ENDs are durable") {
                    try await look()
                    return status.current.positions[place] ?? 0 >= wanted
                }
                try await until("it says that it is consistent") {
                    status.current.progress.consistentSince?.hasPrefix("shop.transaction:0=") == true
                }
                #expect(try await Self.sum(warehouse, run) == Self.total)
                // What the next life begins with: the half of something, and this one ends.
                bank.ended = wanted
                let half = bank.transfer()
                try await bank.send([half.begin, half.changes[0]])
                try await settle()
                try await look()
                bank.half = half
                return (found, bank)
            }
            looks += found
            bank = after
            if let half = bank.half {
                try await bank.send(Array(half.changes.dropFirst()) + [half.end])
                bank.ended += 2
            }
        }
        #expect(looks > 20)
        let last = try await run.untilEnd()
        #expect(last.progress.cutTransactions == 0)
        let (checking, savings) = (bank.checking, bank.savings)
        try await run.looking { warehouse, layout in
            for (table, wanted) in [("checking", checking), ("savings", savings)] {
                let rows = try await warehouse.query(
                    "select balance from \(layout.live).\(table) order by id", rows_max: 100)
                #expect(rows.rows.map { $0[0].flatMap { Int($0) } } == wanted.map { $0 })
            }
        }
    }

    @Test func aTransactionThatNeverEndsDoesNotHoldTheEndUp() async throws {
        let folder = try TestFolder()
        var bank = try Bank()
        defer { bank.broker.close() }
        let open = bank.open()
        let half = bank.transfer()
        try await bank.send([open.begin] + open.changes + [open.end, half.begin, half.changes[0]])
        let run = try await run("unended", .duckdb, bank.broker, folder)
        let status = try await run.untilEnd()
        #expect(status.progress.cutTransactions == 1 && status.progress.consistentSince == nil)
        #expect(status.events == 2 * Self.accounts + 1, "at the end all is applied")
    }
}

import Debezium
import Logging
import PipelineFile
import Replication
import ReplicationTestKit
import Synchronization
import Testing

@testable import Agent

@Suite("A source that hands on whole transactions")
struct WholeTransactionSourceTests {
    /// A clock that a test moves.
    private final class Clock: Sendable {
        private let time = Mutex(Duration.zero)
        var now: Duration { time.withLock { $0 } }
        func move(_ duration: Duration) { time.withLock { $0 += duration } }
    }

    private struct Setup {
        let scripted = ScriptedSource()
        let clock = Clock()
        let source: WholeTransactionSource

        init(rows_max: Int = 1000, held_bytes_max: Int = 1 << 20) throws {
            var limits = Pipeline.Batch()
            limits.rows_max = rows_max
            var hold = TransactionHold.Limits()
            hold.bytes_max = held_bytes_max
            let clock = clock
            source = try WholeTransactionSource(
                scripted, limits: limits, hold: hold, schemas: nil, logger: Logger(label: "test"),
                clock: { clock.now })
        }

        /// Begins reading one partition of each topic.
        func begin(_ topics: [String], partition: Int32 = 0) async throws {
            let partitions = topics.map { TopicPartition(topic: $0, partition: partition) }
            _ = try await source.begin(partitions.map { Checkpoint(partition: $0, position: 0) })
        }

        /// What the next batch holds: the offsets by topic; nil where nothing came.
        func next() async throws -> [String: [Int64]]? {
            guard case .records(let records) = try await source.next() else { return nil }
            var found: [String: [Int64]] = [:]
            for record in records.batch.records {
                found[records.batch.spans[Int(record.span)].partition.topic, default: []].append(record.offset)
            }
            return found
        }

        /// Lets time pass while the source has nothing to say.
        func listen(_ duration: Duration) async throws {
            let clock = clock
            await scripted.add(idle: { clock.move(duration) })
            guard case .idle = try await source.next() else {
                Issue.record("something came")
                return
            }
        }

        /// Hands on the next batch and confirms it, as the runner does.
        func apply() async throws -> SourceRecords? {
            guard case .records(let records) = try await source.next() else { return nil }
            await source.confirm(
                Dictionary(records.advances.map { ($0.partition, $0.to) }, uniquingKeysWith: { $1 }))
            return records
        }
    }

    private let topics = ["shop.public.a", "shop.public.b", "shop.transaction"]

    private func place(_ topic: String) -> TopicPartition { TopicPartition(topic: topic, partition: 0) }

    @Test("A transaction over two topics comes in one batch, whatever was read when")
    func whole() async throws {
        let setup = try Setup()
        try await setup.begin(topics)
        var events = TransactionEvents()
        let transaction = events.commit([("a", 1, 5), ("b", 1, 7)])
        await setup.scripted.add([transaction.changes[0]])
        #expect(try await setup.next() == nil)
        await setup.scripted.add([transaction.begin, transaction.end])
        #expect(try await setup.next() == nil)
        #expect(await setup.source.readPositions().values.allSatisfy { $0 == 0 }, "before what is held")
        #expect(await setup.source.lag().values.reduce(0, +) == 3, "held is not handed on")
        await setup.scripted.add([transaction.changes[1]])
        #expect(
            try await setup.next() == ["shop.public.a": [0], "shop.public.b": [0], "shop.transaction": [0, 1]])
        #expect(await setup.source.lag().values.reduce(0, +) == 0)
    }

    @Test("Positions, last records and headers are those of what is handed on")
    func advances() async throws {
        let setup = try Setup()
        try await setup.begin(topics)
        var events = TransactionEvents()
        let first = events.commit([("a", 1, 5), ("a", 2, 5)])
        let second = events.commit([("a", 3, 5), ("b", 1, 7)])
        await setup.scripted.add(first.changes + [second.changes[0], first.begin, first.end, second.begin])
        guard case .records(let records) = try await setup.source.next() else {
            Issue.record("nothing came")
            return
        }
        let rows = try #require(records.advances.first { $0.partition.topic == "shop.public.a" })
        #expect(rows.from == 0 && rows.to == 2 && rows.lastOffset == 1)
        let last = try #require(records.batch.records.last { Int($0.span) == rows.spans[0] })
        #expect(rows.lastHash == records.batch.fingerprint(last) && last.offset == 1)
        #expect(records.batch.spans[rows.spans[0]] == .init(partition: rows.partition, start: 0, end: 2))
        #expect(records.advances.map(\.partition.topic).sorted() == ["shop.public.a", "shop.transaction"])
        await setup.scripted.add([second.changes[1], second.end])
        guard case .records(let rest) = try await setup.source.next() else {
            Issue.record("nothing came")
            return
        }
        let again = try #require(rest.advances.first { $0.partition.topic == "shop.public.a" })
        #expect(again.from == 2 && again.to == 3 && again.lastOffset == 2)
    }

    @Test("Batches keep to their limit, also where much was held")
    func limits() async throws {
        let setup = try Setup(rows_max: 10)
        try await setup.begin(topics)
        var events = TransactionEvents()
        let transactions = (0..<10).map { events.commit([("a", $0, 1), ("b", $0, 1)]) }
        await setup.scripted.add(transactions.flatMap(\.changes))
        #expect(try await setup.next() == nil)
        await setup.scripted.add(transactions.flatMap { [$0.begin, $0.end] })
        var sizes: [Int] = []
        while let batch = try await setup.next() { sizes.append(batch.values.reduce(0) { $0 + $1.count }) }
        #expect(sizes.reduce(0, +) == 40 && sizes.allSatisfy { $0 <= 10 })
    }

    @Test("Without a transaction topic, or where others read too, batches pass untouched")
    func passing() async throws {
        var events = TransactionEvents()
        let transaction = events.commit([("a", 1, 5), ("b", 1, 7)])
        let alone = try Setup()
        try await alone.begin(["shop.public.a", "shop.public.b"])
        await alone.scripted.add([transaction.changes[0]])
        #expect(try await alone.next() == ["shop.public.a": [0]])
        #expect(await alone.scripted.endsAsked == 0)

        let shared = try Setup()
        await shared.scripted.setForeign([TopicPartition(topic: "shop.public.b", partition: 1)])
        try await shared.begin(topics)
        await shared.scripted.add([transaction.changes[0]])
        #expect(try await shared.next() == ["shop.public.a": [0]])
        #expect(await shared.source.progress().consistentSince == nil)
    }

    @Test("What is held of a partition that goes to another agent is dropped, the rest goes on")
    func revoked() async throws {
        let setup = try Setup()
        try await setup.begin(topics)
        var events = TransactionEvents()
        let transaction = events.commit([("a", 1, 5), ("b", 1, 7), ("b", 2, 7)])
        await setup.scripted.add([transaction.begin] + transaction.changes.dropLast())
        #expect(try await setup.next() == nil)
        #expect(await setup.source.progress().consistentSince == nil)
        let gone = place("shop.public.b")
        await setup.scripted.setForeign([gone])
        await setup.scripted.add(.revoked([gone], lost: false))
        guard case .revoked(let partitions, false) = try await setup.source.next() else {
            Issue.record("it must be told at once")
            return
        }
        #expect(partitions == [gone])
        try await setup.source.release([gone])
        #expect(try await setup.next() == ["shop.public.a": [0], "shop.transaction": [0]])
        // It comes back, from where the other one stood.
        await setup.scripted.setForeign([])
        _ = try await setup.source.begin([Checkpoint(partition: gone, position: 2)])
        let later = events.commit([("a", 1, 6), ("b", 1, 6)])
        await setup.scripted.add(later.changes)
        #expect(try await setup.next() == nil, "it holds again")
    }

    @Test("Where partitions go to another agent, nobody is told any more that it is consistent before parts show")
    func toldBeforeParts() async throws {
        let setup = try Setup()
        try await setup.begin(topics)
        var events = TransactionEvents()
        let first = events.commit([("a", 1, 5)])
        await setup.scripted.add([first.begin] + first.changes + [first.end])
        #expect(try await setup.apply() != nil)
        #expect(await setup.source.progress().consistentSince != nil)
        let gone = place("shop.public.b")
        await setup.scripted.setForeign([gone])
        await setup.scripted.add(.revoked([gone], lost: false))
        await setup.scripted.add([events.commit([("a", 1, 4), ("b", 1, 8)]).changes[0]])
        guard case .revoked = try await setup.source.next() else {
            Issue.record("it must be told at once")
            return
        }
        #expect(try await setup.next() == nil, "told first")
        #expect(await setup.source.progress().consistentSince == nil)
        #expect(try await setup.next() == ["shop.public.a": [1]])
    }

    @Test("It is consistent from the END on that was durable once all of the log's first end was")
    func consistentSince() async throws {
        let setup = try Setup()
        var events = TransactionEvents()
        let first = events.commit([("a", 1, 5), ("b", 1, 7)])
        let second = events.commit([("a", 1, 4), ("b", 1, 8)])
        await setup.scripted.add(first.changes + second.changes + [first.begin, first.end])
        await setup.scripted.add([second.begin, second.end])
        try await setup.begin(topics)
        #expect(try await setup.apply() != nil)
        #expect(await setup.source.progress().consistentSince == nil, "the second one was in the log")
        #expect(try await setup.apply() != nil)
        #expect(await setup.source.progress().consistentSince == "shop.transaction:0=4")
    }

    @Test("A transaction that never ends is let go after a while, and nobody is told then that it is consistent")
    func cutByTime() async throws {
        let setup = try Setup()
        try await setup.begin(topics)
        var events = TransactionEvents()
        let first = events.commit([("a", 1, 5)])
        await setup.scripted.add([first.begin] + first.changes + [first.end])
        #expect(try await setup.apply() != nil)
        #expect(await setup.source.progress().consistentSince == "shop.transaction:0=2")
        let lost = events.commit([("a", 1, 4), ("b", 1, 8)])
        await setup.scripted.add([lost.changes[0]])
        #expect(try await setup.next() == nil)
        // What the warehouse takes isn't the source's silence.
        setup.clock.move(.seconds(60))
        #expect(try await setup.next() == nil)
        #expect(await setup.source.progress().cutTransactions == 0)
        try await setup.listen(.seconds(11))
        #expect(try await setup.next() == nil, "told first")
        #expect(await setup.source.progress().consistentSince == nil)
        #expect(try await setup.next() == ["shop.public.a": [1]])
        #expect(await setup.source.progress().cutTransactions == 1)
        // A later one is complete, and what the log holds then is durable.
        let later = events.commit([("a", 1, 3), ("b", 1, 9)])
        await setup.scripted.add([later.begin] + later.changes + [later.end])
        #expect(try await setup.apply() != nil)
        try await setup.listen(.seconds(1))
        #expect(try await setup.next() == nil)
        #expect(await setup.source.progress().consistentSince == "shop.transaction:0=4")
    }

    @Test("More than may be held is let go")
    func cutByBytes() async throws {
        let setup = try Setup(held_bytes_max: 4000)
        try await setup.begin(topics)
        var events = TransactionEvents()
        let large = events.commit((0..<20).map { ("a", $0, 1) })
        await setup.scripted.add([large.begin])
        await setup.scripted.add(large.changes)
        var found: [Int64] = []
        for _ in 0..<3 {
            guard let records = try await setup.apply() else { continue }
            let rows = records.batch.spans.firstIndex { $0.partition.topic == "shop.public.a" }
            found += records.batch.records.filter { Int($0.span) == rows }.map(\.offset)
        }
        #expect(found == Array(0..<20))
        #expect(await setup.source.progress().cutTransactions == 1)
        await setup.scripted.add([large.end])
        #expect(try await setup.apply() != nil)
        #expect(await setup.source.progress().consistentSince == nil, "the log's end is looked at first")
        try await setup.listen(.seconds(1))
        _ = try await setup.apply()
        #expect(await setup.source.progress().consistentSince == "shop.transaction:0=2", "it is whole now")
    }

    @Test("A topic that is far ahead isn't read on until the other has come, or has nothing")
    func pausing() async throws {
        let setup = try Setup(held_bytes_max: 40_000)
        try await setup.begin(topics)
        var events = TransactionEvents()
        let transactions = (0..<50).map { events.commit([("a", $0, 1), ("b", $0, 1)]) }
        await setup.scripted.add(transactions.map { $0.changes[0] })
        #expect(try await setup.next() == nil)
        #expect(try await setup.next() == nil)
        #expect(await setup.scripted.paused == [place("shop.public.a")])
        await setup.scripted.add(transactions.flatMap { [$0.changes[1], $0.begin, $0.end] })
        #expect(try await setup.next()?["shop.public.a"]?.count == 50)
        #expect(try await setup.next() == nil)
        #expect(await setup.scripted.paused.isEmpty)
        #expect(await setup.source.progress().cutTransactions == 0)
        // ENDs that aren't there any more.
        await setup.scripted.add((0..<50).flatMap { events.commit([("a", $0, 2)]).changes })
        for _ in 0..<4 { #expect(try await setup.next() == nil) }
        #expect(await setup.scripted.paused == [place("shop.public.a")])
        for _ in 0..<4 { #expect(try await setup.next() == nil) }
        #expect(await setup.scripted.paused.isEmpty)
    }

    @Test("Snapshot reads aren't held, and nothing is consistent while they come")
    func snapshot() async throws {
        let setup = try Setup()
        try await setup.begin(topics)
        var events = TransactionEvents()
        let reads = [events.loose(("a", 1, 5)), events.loose(("b", 1, 7))]
        await setup.scripted.add(reads)
        #expect(try await setup.apply()?.batch.records.count == 2)
        #expect(await setup.source.progress().consistentSince == nil)
        let first = events.commit([("a", 1, 5)])
        await setup.scripted.add([first.begin] + first.changes + [first.end])
        #expect(try await setup.apply() != nil)
        try await setup.listen(.seconds(1))
        _ = try await setup.apply()
        #expect(await setup.source.progress().consistentSince == "shop.transaction:0=2")
    }
}

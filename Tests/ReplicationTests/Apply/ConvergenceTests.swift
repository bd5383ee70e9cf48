import Foundation
import Replication
import ReplicationTestKit
import Testing

/// Any replay, reorder, duplication or re-batching of the same events ends in the same tables. Each history comes from a
/// seed; a failure names it.
@Suite struct ConvergenceTests {
    /// `MILLRACE_HISTORIES` for the long form.
    static let histories =
        ProcessInfo.processInfo.environment["MILLRACE_HISTORIES"].flatMap { UInt64($0) } ?? 150
    /// Keys that are checked at each change, and keys that are checked at commit.
    static let shapes = [ModelHistory.Shape(), ModelHistory.Shape(keys: 5, steps: 40, deferrable: true)]

    private struct Run {
        var tables: MemoryTables
        var sum = LedgerEntry(table: nil)
    }

    /// Applies batches in order, each through the real applier.
    private func run(
        _ batches: [[EventSpec]], raw: Bool = true, partition: (Int) -> Int32 = { _ in 0 },
        without: Set<MemoryTransaction.Guard> = [], isAhead: (Int) -> Bool = { $0 % 2 == 0 },
        after: (MemoryTables) -> Void = { _ in }
    ) throws -> Run {
        let transaction = MemoryTransaction()
        transaction.without = without
        transaction.amend { $0.definitions[ModelHistory.table] = ModelHistory.definition }
        var run = Run(tables: .init())
        var positions: [TopicPartition: Int64] = [:]
        for (index, events) in batches.enumerated() {
            var builder = BatchBuilder([ModelHistory.definition])
            builder.partition = TopicPartition(topic: "model", partition: partition(index))
            let from = positions[builder.partition]
            let batch = builder.batch(events, from: from ?? 0)
            // As the runner does while the batch before is written.
            if isAhead(index) { batch.coalesceAhead() }
            let to = (from ?? 0) + Int64(events.count)
            positions[builder.partition] = to
            if from == nil {
                transaction.amend { $0.checkpoints[builder.partition] = Checkpoint(partition: builder.partition) }
            }
            let outcome = try BatchApplier.applyWithRemedies(
                batch,
                advancing: [CheckpointAdvance(partition: builder.partition, from: from, to: to, token: 0, spans: [0])],
                layout: WarehouseLayout(pipeline: "model", hasRaw: raw), in: transaction, loadedAt_us: Int64(index + 1))
            for entry in outcome.ledger { run.sum += entry }
            after(transaction.committed)
        }
        run.tables = transaction.committed
        return run
    }

    private func cut(_ events: [EventSpec], _ random: inout SeededRandom) -> [[EventSpec]] {
        var batches: [[EventSpec]] = []
        var at = 0
        while at < events.count {
            let size = 1 + random.below(random.chance(30) ? 1 : 12)
            batches.append(Array(events[at..<min(at + size, events.count)]))
            at += size
        }
        return batches
    }

    private func expectEqual(_ run: Run, _ history: ModelHistory, _ reference: Run, _ seed: UInt64, _ what: String) {
        #expect(run.tables.live(ModelHistory.table) == history.expected, "seed \(seed): \(what): live rows")
        #expect(
            run.tables.convergent(ModelHistory.table) == reference.tables.convergent(ModelHistory.table),
            "seed \(seed): \(what): versions, flags and maps")
        let raw = run.tables.raw[ModelHistory.table] ?? []
        #expect(raw.count == Set(raw.map(\.id)).count, "seed \(seed): \(what): raw holds an event twice")
        #expect(raw.count == history.events.count, "seed \(seed): \(what): raw")
        #expect(run.sum.addsUp, "seed \(seed): \(what): ledger")
    }

    @Test(arguments: shapes) func inOrderHoweverCut(_ shape: ModelHistory.Shape) throws {
        for seed in 0..<Self.histories { try inOrderHoweverCut(seed, shape) }
    }

    private func inOrderHoweverCut(_ seed: UInt64, _ shape: ModelHistory.Shape) throws {
        let history = ModelHistory(seed: seed, shape: shape)
        var random = SeededRandom(seed: seed ^ 0xC0FFEE)
        let reference = try run([history.events])
        expectEqual(reference, history, reference, seed, "one batch")
        expectEqual(try run(history.events.map { [$0] }), history, reference, seed, "event by event")
        let pieces = try run(cut(history.events, &random))
        expectEqual(pieces, history, reference, seed, "cut at random")
        #expect(reference.sum.quarantined + pieces.sum.quarantined == 0, "seed \(seed): in order nothing is in doubt")
    }

    @Test(arguments: shapes) func shuffled(_ shape: ModelHistory.Shape) throws {
        for seed in 0..<Self.histories { try shuffled(seed, shape) }
    }

    private func shuffled(_ seed: UInt64, _ shape: ModelHistory.Shape) throws {
        let history = ModelHistory(seed: seed, shape: shape)
        var random = SeededRandom(seed: seed &+ 77)
        let reference = try run(history.events.map { [$0] })
        let shuffled = history.events.shuffled(using: &random)
        expectEqual(try run(cut(shuffled, &random)), history, reference, seed, "shuffled")
        let partitions = (0..<200).map { _ in Int32(random.below(3)) }
        expectEqual(
            try run(cut(shuffled, &random), partition: { partitions[$0 % 200] }), history, reference, seed,
            "shuffled over partitions")
    }

    @Test(arguments: shapes) func doubledAndReplayed(_ shape: ModelHistory.Shape) throws {
        for seed in 0..<Self.histories { try doubledAndReplayed(seed, shape) }
    }

    private func doubledAndReplayed(_ seed: UInt64, _ shape: ModelHistory.Shape) throws {
        let history = ModelHistory(seed: seed, shape: shape)
        var random = SeededRandom(seed: seed &+ 991)
        let reference = try run([history.events])
        let doubled = history.events.flatMap { [$0, $0] }
        let twice = try run(cut(doubled, &random))
        expectEqual(twice, history, reference, seed, "doubled")
        #expect(twice.sum.duplicate == history.events.count, "seed \(seed): each second delivery is a duplicate")
        var replayed = history.events
        for _ in 0..<3 {
            let from = random.below(history.events.count)
            replayed += history.events[from..<min(from + 1 + random.below(15), history.events.count)]
        }
        replayed += history.events
        expectEqual(try run(cut(replayed, &random)), history, reference, seed, "replayed")
        expectEqual(
            try run(cut(doubled.shuffled(using: &random), &random)), history, reference, seed, "doubled, shuffled")
    }

    /// Not only in the end: each batch writes the same.
    @Test(arguments: shapes) func coalescedAheadOrNot(_ shape: ModelHistory.Shape) throws {
        for seed in 0..<Self.histories { try coalescedAheadOrNot(seed, shape) }
    }

    private func coalescedAheadOrNot(_ seed: UInt64, _ shape: ModelHistory.Shape) throws {
        let history = ModelHistory(seed: seed, shape: shape)
        var random = SeededRandom(seed: seed &+ 313)
        let batches = cut((history.events + history.events.prefix(10)).shuffled(using: &random), &random)
        let runs = try [false, true].map { isAhead in
            var steps: [MemoryTables] = []
            let run = try run(batches, isAhead: { _ in isAhead }, after: { steps.append($0) })
            return (rows: steps.map { $0.convergent(ModelHistory.table) }, sum: run.sum)
        }
        let differing = zip(runs[0].rows, runs[1].rows).enumerated().first { $0.element.0 != $0.element.1 }
        #expect(
            differing == nil && runs[0].rows.count == runs[1].rows.count,
            "seed \(seed): batch \(differing?.offset ?? 0)")
        #expect(runs[0].sum == runs[1].sum, "seed \(seed): ledger")
    }

    /// Without raw there is no memory of events; rows still converge where no column has to be carried from another key.
    @Test func withoutRaw() throws {
        for seed in 0..<Self.histories { try withoutRaw(seed) }
    }

    private func withoutRaw(_ seed: UInt64) throws {
        let history = ModelHistory(seed: seed, shape: .init(moves: false))
        var random = SeededRandom(seed: seed &+ 5)
        let shuffled = (history.events + history.events).shuffled(using: &random)
        let end = try run(cut(shuffled, &random), raw: false)
        #expect(end.tables.live(ModelHistory.table) == history.expected, "seed \(seed)")
        #expect(end.sum.addsUp)
        #expect(end.tables.raw.isEmpty)
    }

    /// The test of the tests: without any one guard some history ends wrong. Holds are SimulationTests' matter, and what is put aside GateTests'.
    @Test(arguments: MemoryTransaction.Guard.allCases.filter { ![.deferral, .erasures, .putAside].contains($0) })
    func isSeenToFail(without missing: MemoryTransaction.Guard) throws {
        for seed in 0..<Self.histories {
            let history = ModelHistory(seed: seed, shape: Self.shapes[missing == .sparedDeletes ? 1 : 0])
            var random = SeededRandom(seed: seed &+ 31)
            let events = (history.events + history.events).shuffled(using: &random)
            let end = try? run(cut(events, &random), without: [missing])
            guard let end else { return }
            let raw = end.tables.raw[ModelHistory.table] ?? []
            if end.tables.live(ModelHistory.table) != history.expected || raw.count != history.events.count { return }
        }
        Issue.record("no history of \(Self.histories) needs \(missing.rawValue)")
    }
}

import Replication
import ReplicationTestKit
import Synchronization

/// Keeps an agent from doing anything for a while, as SIGSTOP does: what it was about to do, it does when it wakes.
actor Freezer {
    nonisolated let loop: SimulationLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private var isFrozen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ loop: SimulationLoop) { self.loop = loop }

    func freeze() { isFrozen = true }

    func thaw() {
        isFrozen = false
        for one in waiting { one.resume() }
        waiting = []
    }

    func pass() async {
        guard isFrozen else { return }
        // It may have been thawed on the way here: with an executor preference getting here can be a job of its own.
        await withCheckedContinuation { if isFrozen { waiting.append($0) } else { $0.resume() } }
    }
}

/// The topics of a model as a connector wrote them, some of it twice after it was killed.
struct SimulatedLog: Sendable {
    private(set) var partitions: [TopicPartition: [LogRecord]] = [:]

    static let partitionsPerTopic: Int32 = 3
    private var late: [(RowChange, ModelTransaction)] = []

    init(_ model: SourceModel, seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for table in ModelTable.all {
            let topic = "sim.\(table.id)"
            for partition in 0..<(table.isKeyless ? 1 : Self.partitionsPerTopic) {
                partitions[TopicPartition(topic: topic, partition: partition)] = []
            }
        }
        var at = 0
        var restarts = 3
        while at < model.transactions.count {
            write(model.transactions[at], &random)
            writeLate(&random, all: at + 1 == model.transactions.count)
            at += 1
            if restarts > 0, random.chance(12) {
                restarts -= 1
                at = max(0, at - 1 - random.below(4))
            }
        }
    }

    /// Changes that come long after what was written after them, as from a connector's task that hung.
    private mutating func writeLate(_ random: inout SeededRandom, all: Bool) {
        while !late.isEmpty, all || random.chance(12) {
            let (change, transaction) = late.removeFirst()
            write(change, of: transaction, &random)
        }
    }

    private mutating func write(_ transaction: ModelTransaction, _ random: inout SeededRandom) {
        for change in transaction.changes {
            // Of rows without a key the order is all that there is.
            if !ModelTable.all[change.table].isKeyless, random.chance(6) {
                late.append((change, transaction))
            } else {
                write(change, of: transaction, &random)
            }
        }
    }

    private mutating func write(
        _ change: RowChange, of transaction: ModelTransaction, _ random: inout SeededRandom
    ) {
        let table = ModelTable.all[change.table]
        for record in DebeziumText.records(change, of: transaction) {
            // A key is always in the same partition; what has none is anywhere.
            let count = table.isKeyless ? 1 : Self.partitionsPerTopic
            let partition =
                record.key.map { Int32($0.utf8.reduce(7) { ($0 &* 31 &+ Int($1)) & 0xFFFF } % Int(count)) }
                ?? Int32(random.below(Int(count)))
            partitions[TopicPartition(topic: "sim.\(table.id)", partition: partition), default: []].append(record)
        }
    }
}

/// The consumer group: who has which partition. Used on the simulation's loop only.
final class SimulatedGroup: @unchecked Sendable {
    let log: SimulatedLog
    private let store: MemoryStore
    private let faults: FaultScript
    private let rates: FaultRates

    private struct Member {
        var freezer: Freezer
        var owned: Set<TopicPartition> = []
        var steps: [SourceStep] = []
        var isFrozen = false
        /// The group has given it up.
        var isLost = false
    }

    private var members: [Int: Member] = [:]
    private var homeless: [TopicPartition]
    /// Who has to let go of a partition, and who gets it then (-1: whoever is there).
    private var promised: [TopicPartition: (from: Int, to: Int)] = [:]
    private var idle = 0

    init(_ log: SimulatedLog, _ store: MemoryStore, _ faults: FaultScript, _ rates: FaultRates) {
        self.log = log
        self.store = store
        self.faults = faults
        self.rates = rates
        homeless = log.partitions.keys.sorted()
    }

    var isFinished: Bool {
        log.partitions.allSatisfy { partition, records in
            records.isEmpty || (store.tables.checkpoints[partition]?.position ?? 0) >= Int64(records.count)
        }
    }

    func join(_ id: Int, _ freezer: Freezer) {
        leave(id)
        members[id] = Member(freezer: freezer)
        settle()
    }

    func leave(_ id: Int) {
        guard let gone = members.removeValue(forKey: id) else { return }
        homeless += gone.owned.sorted()
        forget(id)
        settle()
    }

    /// What a member had to let go of it has let go of; what it was to get goes to somebody else.
    private func forget(_ id: Int) {
        for (partition, promise) in promised.sorted(by: { $0.key < $1.key }) {
            if promise.from == id {
                promised[partition] = nil
                hand(partition, to: promise.to)
            } else if promise.to == id {
                promised[partition] = (promise.from, -1)
            }
        }
    }

    private func hand(_ partition: TopicPartition, to id: Int) {
        if living.contains(id) { give(partition, to: id) } else { homeless.append(partition) }
    }

    private var living: [Int] { members.filter { !$0.value.isLost }.keys.sorted() }

    /// Gives what nobody has to somebody.
    private func settle() {
        let living = living
        guard !living.isEmpty, !homeless.isEmpty else { return }
        for partition in homeless { give(partition, to: living[faults.below(living.count)]) }
        homeless = []
    }

    private func give(_ partition: TopicPartition, to id: Int) {
        members[id]?.owned.insert(partition)
        members[id]?.steps.append(.assigned([partition]))
    }

    func released(_ partition: TopicPartition, by id: Int) {
        guard let promise = promised[partition], promise.from == id else { return }
        promised[partition] = nil
        hand(partition, to: promise.to)
        settle()
    }

    /// The next thing that the group tells a member.
    nonisolated(nonsending) func step(_ id: Int) async -> SourceStep? {
        if faults.strikes(rates.freeze, "agent \(id) freezes"), members.values.count(where: { !$0.isFrozen }) > 1,
            members[id]?.isFrozen == false
        {
            members[id]?.isFrozen = true
            await members[id]?.freezer.freeze()
        }
        if faults.strikes(rates.rebalance, "rebalance") { rebalance() }
        guard members[id]?.steps.isEmpty == false else { return nil }
        return members[id]?.steps.removeFirst()
    }

    private func rebalance() {
        let living = living
        guard living.count > 1 else { return }
        let from = living[faults.below(living.count)]
        let to = living[faults.below(living.count)]
        guard from != to, let partition = members[from]?.owned.sorted().first else { return }
        members[from]?.owned.remove(partition)
        promised[partition] = (from, to)
        members[from]?.steps.append(.revoked([partition], lost: false))
    }

    /// Nobody has anything to read: frozen members time out, and wake later on.
    nonisolated(nonsending) func rest() async {
        idle += 1
        guard idle % 20 == 0 else { return }
        for id in members.keys.sorted() where members[id]?.isFrozen == true {
            if members[id]?.isLost == false {
                members[id]?.isLost = true
                let owned = members[id]?.owned.sorted() ?? []
                members[id]?.owned = []
                if !owned.isEmpty { members[id]?.steps = [.revoked(owned, lost: true)] }
                homeless += owned
                forget(id)
                settle()
            } else {
                members[id]?.isFrozen = false
                members[id]?.isLost = false
                await members[id]?.freezer.thaw()
                settle()
            }
        }
    }

    nonisolated(nonsending) func thawAll() async {
        for id in members.keys.sorted() {
            members[id]?.isFrozen = false
            await members[id]?.freezer.thaw()
        }
    }
}

/// One agent's consumer.
actor SimulatedConsumer: RecordSource {
    nonisolated let loop: SimulationLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let kind = "kafka"

    private let id: Int
    private let group: SimulatedGroup
    private let freezer: Freezer
    private let faults: FaultScript
    private let rates: FaultRates
    private var positions: [TopicPartition: Int64] = [:]

    init(
        _ id: Int, _ group: SimulatedGroup, _ freezer: Freezer, _ loop: SimulationLoop, _ faults: FaultScript,
        _ rates: FaultRates
    ) {
        self.id = id
        self.group = group
        self.freezer = freezer
        self.loop = loop
        self.faults = faults
        self.rates = rates
    }

    func next() async throws -> SourceStep {
        await freezer.pass()
        if faults.strikes(rates.sourceCrash, "agent \(id) crashes while reading") { throw SimulatedCrash() }
        if let step = await group.step(id) {
            if case .revoked(let partitions, _) = step { for one in partitions { positions[one] = nil } }
            return step
        }
        await freezer.pass()
        let readable = positions.keys.filter { positions[$0] ?? 0 < Int64(group.log.partitions[$0]?.count ?? 0) }
            .sorted()
        guard !readable.isEmpty else {
            if group.isFinished {
                await group.thawAll()
                return .end
            }
            await group.rest()
            return .idle
        }
        var chosen: Set<TopicPartition> = [readable[faults.below(readable.count)]]
        if faults.below(3) == 0 { chosen.insert(readable[faults.below(readable.count)]) }
        return .records(read(chosen.sorted()))
    }

    private func read(_ partitions: [TopicPartition]) -> SourceRecords {
        let batch = RecordBatch(capacity: 4096)
        var advances: [SourceAdvance] = []
        for partition in partitions {
            let records = group.log.partitions[partition] ?? []
            let from = positions[partition] ?? 0
            let to = min(Int64(records.count), from + 1 + Int64(faults.below(6)))
            let span = batch.span(of: partition, startingAt: from)
            for offset in from..<to { append(records[Int(offset)], at: offset, span, to: batch) }
            batch.advance(span: span, to: to)
            advances.append(SourceAdvance(partition: partition, from: from, to: to, spans: [Int(span)]))
            positions[partition] = to
        }
        return SourceRecords(batch: batch, advances: advances)
    }

    private func append(_ record: LogRecord, at offset: Int64, _ span: Int32, to batch: RecordBatch) {
        func with(_ text: String?, _ body: (UnsafeRawBufferPointer?) -> Void) {
            guard let text else { return body(nil) }
            Array(text.utf8).withUnsafeBytes { body($0) }
        }
        with(record.key) { key in
            with(record.value) { batch.append(span: span, offset: offset, key: key, value: $0) }
        }
        if let header = record.header {
            with(header.name) { name in
                with(header.value) { value in if let name { batch.appendHeader(name: name, value: value) } }
            }
        }
    }

    func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        for claim in claims { positions[claim.partition] = claim.position ?? 0 }
        return []
    }

    func release(_ partitions: [TopicPartition]) async throws {
        for partition in partitions { group.released(partition, by: id) }
    }

    func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
    func confirm(_ positions: [TopicPartition: Int64]) async {}
    func endPositions() async throws -> [TopicPartition: Int64]? { nil }
    func readPositions() async -> [TopicPartition: Int64] { positions }
    func lag() async -> [TopicPartition: Int64] { [:] }
    nonisolated func wake() {}
    func close() async {}
}

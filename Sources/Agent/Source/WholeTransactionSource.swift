import Debezium
import EventSchemas
import JSON
import Logging
import PipelineFile
import Replication
import SerialQueue

/// Hands on what another source reads so that each batch ends with whole source transactions, over all topics.
///
/// It does so while a connector's transaction topic is among what is read, and this agent reads all partitions; else
/// batches pass through untouched. `TransactionHold` says how far records go on, the rest is held in memory and comes
/// first next time. Positions are those of what was handed on, so that what is held is read again after a restart.
///
/// A transaction comes in one batch, which may be larger than the batch limits for it, up to what may be held. What
/// passes the bounds is handed on as it is; `consistentSince` is nil before that happens.
package actor WholeTransactionSource: RecordSource {
    private let executor = SerialQueueExecutor(label: "transactions")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// How long `next` gathers without anything to hand on.
    private static let idle_max = Duration.milliseconds(200)
    /// So often nothing comes while partitions aren't read on; then they are.
    private static let quiet_max = 5
    /// Of a record in memory beside its bytes.
    private static let overhead_bytes = 112

    package nonisolated var kind: String { source.kind }
    private nonisolated let source: any RecordSource
    private let records_max: Int
    private let bytes_max: Int
    private let schemas: SchemaStore?
    private let prepare: @Sendable (RecordBatch) async throws -> Void
    private let logger: Logger
    private let clock: @Sendable () -> Duration

    private enum Mode { case passing, asking, holding }

    private var mode = Mode.passing
    private let reader: TransactionReader
    private var hold: TransactionHold
    private var gate = ConsistencyGate()
    private var places: [TopicPartition: Place] = [:]
    /// What was read last, where nothing else was held: it goes on as it is if all of it does.
    private var untouched: SourceRecords?
    /// Read, and not yet looked at: a schema of it can't be had.
    private var unread: SourceRecords?
    /// Somebody was told that readers see whole transactions.
    private var hasTold = false
    /// Time passes only while records could come: what the warehouse takes isn't the source's silence.
    private var listened = Duration.zero
    private var listeningSince: Duration?
    private var nextLook = Duration.zero
    /// Not read on for now.
    private var paused: Set<TopicPartition> = []
    private var quiet = 0
    private var warnings = RareWarning()

    /// A partition that is read.
    private struct Place {
        /// Behind what was handed on.
        var handed: Int64
        /// Behind what was read.
        var read: Int64
        var held = HeldRecords()
    }

    /// - Parameters:
    ///   - prepare: fetches what reading the records needs beside them.
    ///   - clock: time since any moment.
    package init(
        _ source: any RecordSource, limits: Pipeline.Batch, hold: TransactionHold.Limits,
        schemas: SchemaStore?, logger: Logger,
        clock: @escaping @Sendable () -> Duration = WholeTransactionSource.steadyClock(),
        prepare: @escaping @Sendable (RecordBatch) async throws -> Void = { _ in }
    ) throws {
        self.source = source
        records_max = limits.rows_max
        bytes_max = limits.bytes_max.bytes
        self.hold = TransactionHold(hold)
        self.schemas = schemas
        self.prepare = prepare
        self.logger = logger
        self.clock = clock
        reader = try TransactionReader(schemas: schemas)
    }

    package static func steadyClock() -> @Sendable () -> Duration {
        let start = ContinuousClock.now
        return { ContinuousClock.now - start }
    }

    // MARK: Reading

    package func next() async throws -> SourceStep {
        guard isTold() else { return .idle }
        if mode == .passing, hold.isEmpty, unread == nil, paused.isEmpty { return noted(try await source.next()) }
        listeningSince = clock()
        defer {
            listened = now
            listeningSince = nil
        }
        try await lookAround()
        let started = now
        repeat {
            guard isTold() else { return .idle }
            if var records = handOn() {
                records.hasWholeTransactions = mode == .holding
                return .records(records)
            }
            if cut() { continue }
            if let records = unread {
                guard try await take(records) else { return .idle }
                continue
            }
            try await pause()
            if mode == .passing { return noted(try await source.next()) }
            switch try await source.next() {
            case .records(let records):
                quiet = 0
                guard try await take(records) else { return .idle }
            case .idle:
                quiet += 1
                if quiet >= Self.quiet_max { hold.readAll() }
                return .idle
            case let step: return noted(step)
            }
        } while now - started < Self.idle_max || untouched != nil
        return .idle
    }

    /// False: somebody believes that readers see whole transactions, and is to be told first.
    private func isTold() -> Bool {
        guard hasTold, gate.since == nil else { return true }
        hasTold = false
        return false
    }

    private var now: Duration { listeningSince.map { listened + (clock() - $0) } ?? listened }

    /// Steps that change what is read.
    private func noted(_ step: SourceStep) -> SourceStep {
        switch step {
        case .revoked(let partitions, _):
            hold.drop(partitions)
            gate.forget(partitions)
            for partition in partitions { places[partition] = nil }
            paused.subtract(partitions)
            pass(because: "another agent reads some of the partitions")
            choose()
        case .lost(let partition): pass(because: "\(partition.partition) can't be read on")
        case .records(let records):
            for advance in records.advances {
                places[advance.partition]?.handed = advance.to
                places[advance.partition]?.read = advance.to
            }
        case .assigned, .idle, .end: break
        }
        return step
    }

    private func pass(because reason: String) {
        if mode != .passing { logger.notice("source transactions are applied as they come: \(reason)") }
        mode = .passing
        untouched = nil
        hold.letGo()
        gate.restart()
    }

    /// Holds where a transaction topic is read; whether all else is, is asked then.
    private func choose() {
        let topics = Set(places.keys.map(\.topic))
        guard topics.contains(where: { $0.hasSuffix(TransactionReader.suffix) }) else { return }
        reader.begin(topics: topics)
        gate.restart()
        mode = .asking
        nextLook = .zero
    }

    /// Reads on where what is held waits for more.
    private func pause() async throws {
        let ahead = mode == .passing ? [] : Set(hold.ahead().map { hold.partition(of: $0) })
        guard ahead != paused else { return }
        if paused.isEmpty { quiet = 0 }
        do {
            try await source.pause(ahead)
            paused = ahead
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // In the middle of a rebalance; it is tried again.
            logger.debug("what to read on can't be said: \(error)")
        }
    }

    /// Asks for the ends of the log, which also tell whether others read of it.
    private func lookAround() async throws {
        guard mode == .asking || mode == .holding && gate.wantsHorizon, now >= nextLook else { return }
        nextLook = now + .seconds(1)
        let ends: [TopicPartition: Int64]
        do {
            guard let found = try await source.endPositions() else { return pass(because: "the source has no ends") }
            ends = found
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            return logger.debug("the ends of the log can't be had: \(error)")
        }
        let isAll = ends.keys.allSatisfy { places[$0] != nil }
        if mode == .asking {
            guard isAll else { return pass(because: "this agent doesn't read all partitions") }
            mode = .holding
            logger.info("batches end with whole source transactions")
        }
        // A partition that is new is assigned sooner or later.
        if isAll { gate.setHorizon(ends) }
    }

    /// False: a schema of it can't be had, and it waits.
    private func take(_ records: SourceRecords) async throws -> Bool {
        unread = records
        if schemas != nil {
            do {
                try await prepare(records.batch)
            } catch let error as ReplicationError where error.kind == .passing {
                warnings.log(at: now) { logger.warning("waiting for schemas: \(error.message)") }
                try await Task.sleep(for: Self.idle_max)
                return false
            }
        }
        unread = nil
        let batch = records.batch
        let wasEmpty = hold.isEmpty
        let now = now
        let lanes = batch.spans.map { hold.lane(of: $0.partition) }
        let tellers = batch.spans.map { reader.stream(toldBy: $0.partition.topic) }
        var indices = [[Int32]](repeating: [], count: batch.spans.count)
        for (index, record) in batch.records.enumerated() {
            let span = Int(record.span)
            let mark = mode == .passing ? .none : reader.mark(of: record, in: batch, toldBy: tellers[span])
            let bytes = record.weight_bytes + Self.overhead_bytes
            indices[span].append(Int32(index))
            guard hold.add(mark, to: lanes[span], bytes: bytes, at: now) else { continue }
            gate.takeLoose(stream(of: mark), batch.spans[span].partition, record.offset)
        }
        for (span, indices) in zip(batch.spans, indices) {
            places[span.partition]?.read = span.end
            if !indices.isEmpty { places[span.partition]?.held.append(batch, indices) }
        }
        for stream in hold.takeSettled() { gate.takeSettled(stream) }
        untouched = wasEmpty ? records : nil
        return true
    }

    private func stream(of mark: TransactionMark) -> Int32? {
        switch mark {
        case .change(let id, _, _), .begin(let id), .end(let id, _, _): id.stream
        case .loose(let stream): stream
        case .none: nil
        }
    }

    /// True: something can go on that couldn't.
    private func cut() -> Bool {
        let cut = hold.cut(at: now)
        for stream in cut { gate.takeCut(stream) }
        if !cut.isEmpty {
            let connectors = cut.map { reader.prefix(of: $0) }.sorted().joined(separator: ", ")
            warnings.log(at: now) {
                logger.warning(
                    """
                    source transactions of \(connectors) are applied in parts (\(hold.cutCount) so far): they are too \
                    large to be held, or some of their events, or their END, didn't come
                    """)
            }
        }
        return !cut.isEmpty
    }

    // MARK: Handing on

    /// What can go on now; nil: nothing can.
    private func handOn() -> SourceRecords? {
        let isWhole = untouched != nil
        let released = hold.release(
            records_max: isWhole ? .max : records_max, bytes_max: isWhole ? .max : bytes_max, at: now)
        for stream in hold.takeSettled() { gate.takeSettled(stream) }
        defer { untouched = nil }
        if let records = untouched, released.reduce(0, { $0 + $1.records }) == records.batch.records.count {
            for advance in records.advances {
                places[advance.partition]?.handed = advance.to
                places[advance.partition]?.held = HeldRecords()
            }
            return records
        }
        let counts = Dictionary(
            released.map { (hold.partition(of: $0.lane), $0.records) }, uniquingKeysWith: { $0 + $1 })
        let batch = RecordBatch()
        var advances: [SourceAdvance] = []
        for (partition, place) in places.sorted(by: { $0.key < $1.key }) {
            if let advance = handOn(counts[partition] ?? 0, of: partition, place, in: batch) {
                advances.append(advance)
            }
        }
        return advances.isEmpty ? nil : .init(batch: batch, advances: advances)
    }

    /// Nil: the partition stays where it is.
    private func handOn(
        _ count: Int, of partition: TopicPartition, _ place: Place, in batch: RecordBatch
    ) -> SourceAdvance? {
        var held = place.held
        // One owner, so that taking from it copies nothing.
        places[partition]?.held = HeldRecords()
        defer { places[partition]?.held = held }
        guard count > 0 || held.isEmpty && place.read > place.handed else {
            held.compact()
            return nil
        }
        let span = batch.span(of: partition, startingAt: place.handed)
        held.take(count) { record, other in batch.append(record, of: other, span: span) }
        held.compact()
        let last = count > 0 ? batch.records.last : nil
        let to = held.firstOffset ?? place.read
        batch.advance(span: span, to: to)
        places[partition]?.handed = to
        return SourceAdvance(
            partition: partition, from: place.handed, to: to, lastOffset: last?.offset,
            lastHash: last.map { batch.fingerprint($0) }, spans: [Int(span)])
    }

    // MARK: The source's other sides

    package func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        let lost = try await source.begin(claims)
        let positions = await source.readPositions()
        for claim in claims {
            guard let position = positions[claim.partition] ?? claim.position,
                !lost.contains(where: { $0.partition == claim.partition })
            else { continue }
            places[claim.partition] = Place(handed: position, read: position)
            gate.confirm([claim.partition: position])
        }
        choose()
        return lost
    }

    package func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] {
        try await source.lostPartitions(checkpoints)
    }

    package func release(_ partitions: [TopicPartition]) async throws { try await source.release(partitions) }

    package func confirm(_ positions: [TopicPartition: Int64]) async {
        gate.confirm(positions.filter { places[$0.key] != nil })
        await source.confirm(positions)
    }

    package func endPositions() async throws -> [TopicPartition: Int64]? { try await source.endPositions() }

    package func readPositions() async -> [TopicPartition: Int64] {
        var positions = await source.readPositions()
        for (partition, place) in places where positions[partition] != nil { positions[partition] = place.handed }
        return positions
    }

    package func lag() async -> [TopicPartition: Int64] {
        var lag = await source.lag()
        for (partition, place) in places { lag[partition]? += max(0, place.read - place.handed) }
        return lag
    }

    package func isCopying() async -> Bool { await source.isCopying() }
    package func pause(_ partitions: Set<TopicPartition>) async throws { try await source.pause(partitions) }

    package func progress() async -> SourceProgress {
        var progress = await source.progress()
        progress.cutTransactions = hold.cutCount
        if mode == .holding, let since = gate.since {
            progress.consistentSince = since.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                .joined(separator: ", ")
            hasTold = true
        }
        return progress
    }

    package nonisolated func gather(_ isWanted: Bool) { source.gather(isWanted) }
    package nonisolated func rest(until end: ContinuousClock.Instant) { source.rest(until: end) }
    package nonisolated func wake() { source.wake() }
    package func close() async { await source.close() }
}

/// Records of one partition that weren't handed on yet, in order, in the batches that they came in.
struct HeldRecords {
    fileprivate var pieces: [(batch: RecordBatch, indices: [Int32])] = []
    fileprivate var first = 0
    fileprivate var taken = 0

    var isEmpty: Bool { pieces.isEmpty }

    var firstOffset: Int64? {
        guard first < pieces.count else { return nil }
        let (batch, indices) = pieces[first]
        return batch.records[Int(indices[taken])].offset
    }

    mutating func append(_ batch: RecordBatch, _ indices: [Int32]) { pieces.append((batch, indices)) }

    mutating func take(_ count: Int, _ body: (RecordBatch.Record, RecordBatch) -> Void) {
        for _ in 0..<count {
            let (batch, indices) = pieces[first]
            body(batch.records[Int(indices[taken])], batch)
            taken += 1
            guard taken == indices.count else { continue }
            taken = 0
            first += 1
            if first == pieces.count || first > 64 {
                pieces.removeFirst(first)
                first = 0
            }
        }
    }
}

extension HeldRecords {
    /// A batch of which little is left isn't kept whole for it.
    mutating func compact() {
        for index in first..<pieces.count {
            let (batch, indices) = pieces[index]
            let left = index == first ? indices[taken...] : indices[...]
            guard left.count * 2 < batch.records.count else { continue }
            let small = RecordBatch(capacity: 4096)
            let span = small.span(
                of: batch.spans[Int(batch.records[Int(left[left.startIndex])].span)].partition, startingAt: 0)
            for record in left { small.append(batch.records[Int(record)], of: batch, span: span) }
            pieces[index] = (small, (0..<Int32(left.count)).map { $0 })
            if index == first { taken = 0 }
        }
    }
}

/// A warning that is said once a minute at most.
struct RareWarning {
    private var next = Duration.zero

    mutating func log(at now: Duration, _ body: () -> Void) {
        guard now >= next else { return }
        next = now + .seconds(60)
        body()
    }
}

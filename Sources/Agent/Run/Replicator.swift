import CrashPoint
import Dispatch
import Foundation
import Logging
import Replication
import SerialQueue
import Synchronization

/// The runner: pulls records, decodes them and has the warehouse apply them, one batch filling while one
/// applies. All decisions are made in the core; this only moves batches and reacts to what happens.
package actor Replicator {
    package struct Settings: Sendable {
        package var owner: String
        package var untilEnd = false
        /// So long after a stop was asked for a drain gives up and leaves the batch in hand to the next start.
        package var drain_s = 30.0
        /// Called before a table is made: throws where its columns collide with ours.
        package var validate: @Sendable (TableDefinition, [TableDefinition]) throws -> Void = { _, _ in }
        /// Called before a batch is decoded: fetches what decoding needs beside the records.
        package var prepare: @Sendable (RecordBatch) async throws -> Void = { _ in }

        /// A table that can't be changed as its events want is held, by itself: raw keeps them.
        package var holdsTables = false
        package var schema = SchemaSettings()

        /// What is expected of a table's rows before they are promoted; nil: nothing.
        package var gate: @Sendable (TableDefinition) -> TableGate? = { _ in nil }

        /// The status has which topics each table comes out of.
        package var notesTopics = false

        /// How a table's deferred events are released.
        package var release: @Sendable (TableID) -> ReleaseOptions = { _ in ReleaseOptions() }

        package var clock = AgentClock()

        package init(owner: String) { self.owner = owner }
    }

    private let executor: any SerialExecutor
    private let taskExecutor: (any TaskExecutor)?
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let source: any RecordSource
    let warehouse: any Warehouse
    let status: AgentStatus
    let settings: Settings
    let logger: Logger
    private let makeDecoder: @Sendable ([TableDefinition]) throws -> any RecordDecoder

    var decoder: (any RecordDecoder)?
    var claims: [TopicPartition: Int64] = [:]
    var positions: [TopicPartition: Int64?] = [:]
    /// The decoder's memory of each partition, as it goes into checkpoints.
    var decoderStates: [TopicPartition: String] = [:]
    var known: [TableID: TableDefinition] = [:]
    private var inFlight: Task<Void, any Error>?
    /// The batches so far end inside a source transaction: nothing of it is durable yet.
    var isUnfinished = false
    var remaining: [TopicPartition: Int64]?
    private let isStopRequested = Atomic<Bool>(false)
    private let stoppedAt = Mutex<ContinuousClock.Instant?>(nil)
    var failing: [TableID: FailingTable] = [:]
    /// Tables that are held until somebody decides, as their events want them.
    var waiting: [TableID: TableDefinition] = [:]
    /// Tables that this run has copied anew, as the source alone knows what their rows are.
    var copiedAnew: Set<TableID> = []
    /// Those of them of which events couldn't be read.
    var unreadable: Set<TableID> = []
    var schemaChanges: [SchemaChange] = []
    /// Of these: approved, and in somebody's way; tried again as failing tables are.
    var stuckChanges: [Int64: FailingTable] = [:]
    private var gates: [TableID: (definition: TableDefinition, gate: TableGate?)] = [:]
    private var desk = RowDesk()
    private var lastLook: ContinuousClock.Instant
    private var lastTold: ContinuousClock.Instant

    /// - Parameters:
    ///   - executor: where the runner's own steps run, and `taskExecutor` those of its tasks: a simulation has one for
    ///     everything.
    package init(
        source: any RecordSource, warehouse: any Warehouse, status: AgentStatus, settings: Settings, logger: Logger,
        executor: any SerialExecutor = SerialQueueExecutor(label: "replicator"),
        taskExecutor: (any TaskExecutor)? = nil,
        makeDecoder: @escaping @Sendable ([TableDefinition]) throws -> any RecordDecoder
    ) {
        self.source = source
        self.warehouse = warehouse
        self.status = status
        self.settings = settings
        self.logger = logger
        self.executor = executor
        self.taskExecutor = taskExecutor
        self.makeDecoder = makeDecoder
        lastLook = settings.clock.instant()
        lastTold = lastLook
    }

    /// Asks for a drain: the batch in hand is finished, then `run` returns.
    package nonisolated func stop() {
        stoppedAt.withLock { $0 = $0 ?? settings.clock.instant() }
        isStopRequested.store(true, ordering: .releasing)
        source.wake()
    }

    nonisolated var stopRequested: Bool { isStopRequested.load(ordering: .acquiring) }

    /// Replicates until stopped, or, with `untilEnd`, until what the source held at the start is durable.
    package func run() async throws {
        try await settleSchema()
        for definition in try await warehouse.knownTables() {
            known[definition.source] = definition
            status.update { all in
                // What an earlier turn of this process has counted is counted.
                let before = all.tables[definition.source]
                all.tables[definition.source] = .init(
                    definition: definition, ledger: before?.ledger ?? .init(table: definition.source),
                    topics: before?.topics ?? [])
            }
        }
        // Held by an earlier run: what stood in the way may be mended.
        let holds = try await warehouse.holds()
        status.update { $0.holds = holds }
        for hold in holds where hold.kind == .failing {
            failing[hold.table] = FailingTable(settings.clock, isDue: true)
        }
        decoder = try makeDecoder(known.values.sorted { $0.source < $1.source })
        let began_us = settings.clock.now_us()
        if settings.untilEnd, let ends = try await source.endPositions() {
            status.update { $0.sourceEnd = SourceEnd(at_us: began_us, ends: ends) }
            // A checkpoint behind an end says that it was reached only if it is a checkpoint of this very log.
            let stored = try await warehouse.checkpoints().filter { ends[$0.partition] != nil }
            try report(try await source.lostPartitions(stored))
            remaining = ends
        }
        let hasLSNs = source.kind == "postgres"
        status.update {
            if $0.state == .starting || $0.state == .standby { $0.state = .ok }
            $0.hasLSNs = hasLSNs
            $0.waiting = nil
        }
        do {
            while try await !isDone() {
                // While it stops nothing more is wanted of a source that is away.
                let asked_us = settings.clock.now_us()
                guard let next = try await asking({ try await source.next() }) else { break }
                if try await !step(next) {
                    // What a snapshot shows is as old as its beginning.
                    if case .end = next { await noteEnd(at: source.kind == "file" ? asked_us : began_us) }
                    break
                }
            }
            try await drain()
            if settings.untilEnd {
                await tell()
                try await mend()
                while try await !endSchemaHolds() {}
            }
            // Of a source transaction that hasn't ended nothing is kept: it is read again.
            if isUnfinished { await warehouse.abandon() }
            await tell()
        } catch {
            inFlight?.cancel()
            _ = try? await inFlight?.value
            await warehouse.abandon()
            throw error
        }
    }

    /// A finite source has nothing beyond what was read.
    private func noteEnd(at time_us: Int64) async {
        let ends = await source.readPositions()
        guard !ends.isEmpty else { return }
        status.update { $0.sourceEnd = SourceEnd(at_us: time_us, ends: ends) }
    }

    private func isDone() async throws -> Bool {
        if stopRequested || Task.isCancelled { return true }
        guard let remaining else { return false }
        if remaining.isEmpty { return true }
        // Partitions of other agents are seen in the warehouse only.
        if settings.clock.instant() - lastLook > .milliseconds(500) {
            lastLook = settings.clock.instant()
            try await drain()
            try await look()
        }
        return self.remaining?.isEmpty ?? false
    }

    /// False: the source is through.
    private func step(_ step: SourceStep) async throws -> Bool {
        switch step {
        case .assigned(let partitions): try await take(partitions)
        case .revoked(let partitions, let lost): try await giveBack(partitions, lost: lost)
        case .records(let records):
            guard try await prepare(records.batch) else { return false }
            try await apply(records)
            if settings.clock.instant() - lastTold > .seconds(1) {
                await tell()
                try await mend()
            }
        case .lost(let partition): try report([partition])
        case .idle:
            try await drain()
            BlockPool.empty()
            if remaining != nil { try await look() }
            await tell()
            try await mend()
        case .end:
            try await drain()
            return false
        }
        return true
    }

    /// Lag and the copy's progress, for status.
    private func tell() async {
        // Not worth a retry: it is asked again in a second. Before the source, which knows of a resync that is asked for
        // meanwhile.
        let holds = try? await warehouse.holds()
        let told_us = settings.clock.now_us()
        // Before the lag: a commit between the two makes the end too near, not too far.
        let from = status.current.positions
        let (lag, progress) = (await source.lag(), await source.progress())
        lastTold = settings.clock.instant()
        let toldAt = lastTold
        for hold in holds ?? [] where !hold.kind.isWanted && !status.current.holds.contains(hold) {
            logger.error("\(hold.table) is held: \(hold.reason)", metadata: ["try": "\(hold.remedy)"])
        }
        status.update {
            $0.lag = lag
            $0.lagFrom = from
            $0.lagAt = toldAt
            $0.toldAt_us = told_us
            $0.progress = progress
            if let holds { $0.holds = holds }
        }
    }

    /// Nil where a stop made the source give up.
    func asking<R: Sendable>(_ body: () async throws -> R) async throws -> R? {
        do {
            return try await body()
        } catch let error as ReplicationError where error.kind == .passing && stopRequested {
            return nil
        }
    }

    // MARK: Batches

    /// False: a stop was asked for while what decoding needs can't be had. The records are read again by the next run.
    private func prepare(_ batch: RecordBatch) async throws -> Bool {
        do {
            try await retrying("fetching schemas", drain_s: 0) { [settings] in try await settings.prepare(batch) }
            return true
        } catch let error as ReplicationError where error.kind == .passing && stopRequested {
            return false
        }
    }

    private func apply(_ records: SourceRecords) async throws {
        guard let decoder else { return }
        let batch = decoder.decode(records.batch)
        CrashPoint.read.reach()
        judge(batch, byTransaction: records.hasWholeTransactions || source.kind == "postgres")
        // Only where there is a wait to be used.
        if inFlight != nil { batch.coalesceAhead() }
        batch.copied = records.copied
        for entry in records.malformed {
            batch.quarantined.append(entry)
            batch.readUnknown += 1
        }
        let advances = records.advances.compactMap { advance -> CheckpointAdvance? in
            guard let token = claims[advance.partition], let position = positions[advance.partition] else { return nil }
            var isNew = advance.state != nil
            for span in advance.spans {
                if let state = batch.decoderState[span] {
                    isNew = true
                    decoderStates[batch.spans[span].partition] = state
                }
            }
            if let state = advance.state { decoderStates[advance.partition] = state }
            return CheckpointAdvance(
                partition: advance.partition, from: position, to: advance.to, token: token,
                lastOffset: advance.lastOffset, lastHash: advance.lastHash,
                decoderState: isNew
                    ? DecoderStates.write(decoderStates, of: advance.partition, source: source.kind) : nil,
                spans: advance.spans)
        }
        // Until a source transaction has ended the checkpoint stays before it, also where there is none yet.
        if !records.isUnfinished { for advance in advances { positions[advance.partition] = .some(advance.to) } }
        try await drain()
        guard !advances.isEmpty else { return }
        try await ensure(batch)
        // What an earlier copy still does of a table that is to be copied anew must not pass for that, after a crash.
        batch.copied.removeAll { copiedAnew.contains($0.table) && !($0.startsOver && $0.state != .copying) }
        let part: BatchPart =
            switch (isUnfinished, records.isUnfinished) {
            case (false, false): .whole
            case (false, true): .first
            case (true, true): .middle
            case (true, false): .last
            }
        isUnfinished = records.isUnfinished
        source.gather(true)
        let count = records.batch.records.count
        inFlight = Task(executorPreference: taskExecutor) { [self] in
            let started = settings.clock.instant()
            defer { source.gather(false) }
            try await commit(batch, advances, part)
            let (ended, times) = (settings.clock.instant(), warehouse.restsAfterCommit)
            if let pause = CommitPace.rest(after: ended - started, records: count, times: times) {
                source.rest(until: ended + pause)
            }
        }
    }

    /// While the batch before is written.
    private func judge(_ batch: ChangeBatch, byTransaction: Bool) {
        var byTable: EventsByTable?
        for (index, definition) in batch.tables.enumerated() {
            if gates[definition.source]?.definition != definition {
                gates[definition.source] = (definition, settings.gate(definition))
            }
            guard let gate = gates[definition.source]?.gate else { continue }
            let events = byTable ?? EventsByTable(batch, leavingOut: [:])
            byTable = events
            guard !events.events[index].isEmpty else { continue }
            batch.findings[index] = gate.judge(
                batch, events.events[index], byTransaction: byTransaction, &desk)
        }
    }

    func drain() async throws {
        guard let task = inFlight else { return }
        inFlight = nil
        try await task.value
    }

    private func ensure(_ batch: ChangeBatch) async throws {
        var used = Set<Int>()
        for event in batch.events { used.insert(Int(event.table)) }
        // A table that was copied is made, also if there was no row.
        for mark in batch.copied {
            if let index = batch.tables.firstIndex(where: { $0.source == mark.table && $0.hasShape }) {
                used.insert(index)
            }
        }
        for table in batch.mixed.sorted() {
            logger.error(
                "\(table): its events show several schemas in turn, and none of them is the later one: changes of its schema aren't followed until the agent starts anew",
                metadata: ["try": "see that no transformation of the connector leaves members out"])
        }
        let isInside = isUnfinished
        let hasFollowed = try await follow(batch.evolutions, batch.schemaChanges)
        if !batch.unreadable.isEmpty { try await copyUnreadable(batch.unreadable) }
        let changed = used.sorted().map { batch.tables[$0] }.filter {
            // What failed already is tried by `mend`, and what waits for a person by nobody.
            batch.evolutions[$0.source]?.isOfEvents != false && !isCovered($0)
        }
        guard !changed.isEmpty || hasFollowed else { return }
        for definition in changed {
            let others =
                known.values.filter { $0.source != definition.source }
                + changed.filter { $0.source < definition.source }
            try settings.validate(definition, others)
        }
        // Tables are made in a transaction of their own; with them known the source transaction comes again.
        if isInside, !changed.isEmpty { await warehouse.abandon() }
        var wanted: [TableDefinition] = []
        var changes: [SchemaChange] = []
        for definition in changed {
            let (made, found) = try await adding(definition)
            wanted.append(made)
            changes += found
        }
        for definition in wanted.isEmpty ? [] : try await make(wanted, recording: changes) {
            if known[definition.source] == nil {
                logger.info("table \(definition.source) → \(definition.target): \(definition.columns.count) columns")
            }
            note(definition)
        }
        tell(changes)
        if !changes.isEmpty { try await readSchemaChanges() }
        if isInside {
            throw ReplicationError(.restart, "a table changed inside a large source transaction, which is read again")
        }
    }

    private func isCovered(_ definition: TableDefinition) -> Bool {
        let table = definition.source
        let isThere = [waiting[table], known[table], failing[table]?.wanted].contains { there in
            guard let there else { return false }
            return there == definition || definition.followed != nil && definition.isCovered(by: there)
        }
        if isThere { return true }
        // As where a column is left out that was replicated once.
        guard definition.followed != nil, let known = known[table], known.hasShape else { return false }
        return known.adding(what: definition, beside: waiting[table]).made == known
    }

    func commit(_ batch: ChangeBatch, _ advances: [CheckpointAdvance], _ part: BatchPart) async throws {
        guard part != .first, part != .middle else {
            _ = try await warehouse.apply(batch, advancing: advances, part: part, probesAll: false)
            return
        }
        let started = settings.clock.instant()
        var first = true
        let outcome = try await retrying("writing a batch") { [warehouse] () -> BatchApplier.Outcome? in
            if !first {
                // A lost answer: the commit may have taken effect.
                let stored = try await warehouse.checkpoints()
                let isDurable = advances.allSatisfy { advance in
                    stored.contains {
                        $0.partition == advance.partition && $0.token == advance.token && $0.position == advance.to
                    }
                }
                if isDurable, advances.contains(where: { $0.from != $0.to }) { return nil }
                // The parts before went with the connection.
                if part == .last { throw ReplicationError(.restart, "a large source transaction is read again") }
            }
            let isRepeated = !first
            first = false
            return try await warehouse.apply(batch, advancing: advances, part: part, probesAll: isRepeated)
        }
        CrashPoint.committed.reach()
        var positions: [TopicPartition: Int64] = [:]
        for advance in advances { positions[advance.partition] = advance.to }
        let seconds = (settings.clock.instant() - started) / .seconds(1)
        status.committed(
            outcome ?? .init(), batch.tables, positions: positions, topics: topics(of: batch), seconds: seconds,
            newestSourceTime_us: batch.newestSourceTime_us, recordBytes: batch.recordBytes, at: settings.clock.now_us())
        if let outcome {
            logger.debug(
                "batch committed",
                metadata: [
                    "events": "\(outcome.ledger.reduce(0) { $0 + $1.read })", "rows": "\(outcome.rows)",
                    "seconds": "\(seconds)",
                ])
            let tooLate = outcome.ledger.reduce(0) { $0 + $1.tooLate }
            if tooLate > 0 {
                logger.error(
                    "\(tooLate) events were later than allowed_lateness; they are applied, and in _millrace.late_events"
                )
            }
            for hold in outcome.closed {
                logger.error("\(hold.table) is held: \(hold.reason)", metadata: ["try": "\(hold.remedy)"])
            }
            for count in outcome.gates where count.rule.onFail == .warn {
                logger.warning(
                    "\(count.table): \(count.rule.name) fails in \(count.rows) rows, from \(count.first) on",
                    metadata: ["rule": "\(count.rule.origin)"])
            }
            if outcome.quarantined > 0 {
                logger.error("\(outcome.quarantined) records were put into quarantine. Try: millrace quarantine list")
            }
        } else {
            logger.notice("a batch whose answer was lost is durable")
        }
        await source.confirm(positions)
    }

    /// Runs `work` until it succeeds or fails for good. What passes by itself is waited for with backoff and jitter, without
    /// end: a warehouse that is away is not the source's fault, and the source keeps its log meanwhile.
    func retrying<R: Sendable>(
        _ what: String, drain_s: Double? = nil, _ work: () async throws -> R
    ) async throws -> R {
        var delay_s = 0.1
        while true {
            do {
                let result = try await work()
                if status.current.waiting != nil {
                    status.update { $0.waiting = nil }
                    logger.notice("\(what): goes on")
                }
                return result
            } catch let error as ReplicationError where error.kind == .passing {
                status.update {
                    $0.waiting = error.message
                    $0.retries += 1
                }
                var left_s = Double.infinity
                if let stoppedAt = stoppedAt.withLock({ $0 }) {
                    left_s = (drain_s ?? settings.drain_s) - (settings.clock.instant() - stoppedAt) / .seconds(1)
                    if left_s <= 0 { throw error }
                    delay_s = min(delay_s, 0.5)
                }
                let remedy = error.remedy.map { ". Try: \($0)" } ?? ""
                logger.warning(
                    "\(what): \(error.message); trying again in \(String(format: "%.1f", delay_s)) s\(remedy)")
                try await pause(min(delay_s * settings.clock.jitter(0.7...1.3), left_s))
                delay_s = min(delay_s * 2, 5)
            }
        }
    }

    /// A stop ends it: there is little time left to try once more.
    private func pause(_ seconds: Double) async throws {
        let wasStopping = stopRequested
        var left_s = seconds
        while left_s > 0, wasStopping || !stopRequested {
            let slice_s = min(left_s, 0.25)
            try await settings.clock.sleep(.seconds(slice_s))
            left_s -= slice_s
        }
    }
}

/// The agent's clock, µs since 1970.
package func now_us() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

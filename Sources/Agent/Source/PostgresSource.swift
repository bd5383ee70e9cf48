import Foundation
import Logging
import PipelineFile
import Postgres
import Replication
import SerialQueue
import Synchronization

/// A Postgres server as a `RecordSource`: the initial copy from exported snapshots, and the stream of a logical slot
/// beside it.
///
/// The slot is made before any snapshot is opened, so whatever commits after a snapshot is streamed; versions settle the
/// rest. Tables without a key have none that could, and are copied whole, each in one warehouse transaction, while the
/// stream stands still at a transaction's end.
package actor PostgresSource: RecordSource {
    struct Settings: Sendable {
        var server: Pipeline.PostgresServer
        var tables: TableSelector
        /// Keys that the pipeline file chooses, by `schema.table`.
        var keys: [String: [String]] = [:]
        /// What a table that somebody else made is to become, as far as it can be told before its columns are known; nil:
        /// none is adopted in its place.
        var adopted: @Sendable (TableID) -> TableDefinition? = { _ in nil }
        var snapshot: Pipeline.Snapshot
        var limits: Pipeline.Batch
        var bytes = BatchBytes.forPostgres
        /// Ends once all is copied and the stream has reached one more snapshot, in which the result can be verified.
        var isBackfill = false
        /// How often an idle source's position is made durable.
        var heartbeat: Duration = .seconds(10)
        /// How often the publication is looked at for new tables.
        var publicationLook: Duration = .seconds(5)
        /// Is told what the stream shows of commits.
        var commits: RecentCommits?
        /// How long a slot that somebody else streams is waited for.
        var slotWait: Duration = .seconds(20)
        /// We streamed it just now: what holds it is most likely our own connection that was lost, which the source
        /// notices after its wal_sender_timeout.
        var isOwnSlot = false

        var slot: String { server.slot }
    }

    private let executor = SerialQueueExecutor(label: "postgres-stream")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    package nonisolated let kind = "postgres"

    let settings: Settings
    let ledger: any CopyLedger
    let logger: Logger
    let partition: TopicPartition
    let control: SourceControl
    nonisolated let waker = Waker()
    /// What the runner has told us is durable.
    nonisolated let durable = Mutex(Durable())

    /// What waits for the source's open transactions, to be interrupted where a stop is asked for.
    nonisolated let patience = Mutex(Patience())

    struct Patience {
        var isStopping = false
        /// The batch that was handed out last is being written.
        var isGathering = false
        /// It is durable, and the next may gather until then.
        var restsUntil: ContinuousClock.Instant?
        var holder: SnapshotHolder?

        func mayGather(at now: ContinuousClock.Instant) -> Bool {
            !isStopping && (isGathering || restsUntil.map { now < $0 } ?? false)
        }
    }

    struct Durable {
        var position: Int64 = 0
        /// Batches that were handed out and are durable.
        var batches = 0
    }

    // The stream.
    var stream: ReplicationStream?
    var state: PostgresSourceState?
    /// As it went with what was handed out: it is told again where it changed.
    var handedState: PostgresSourceState?
    /// A checkpoint that wants to be made before anything is read.
    var firstPosition: Int64?
    /// Ends of what was handed out, and of what the server says it has sent.
    var handed: Int64 = 0
    var received: Int64 = 0
    /// The server's end, as it last told.
    var serverEnd: Int64 = 0
    /// The last message stands inside a transaction.
    var isInTransaction = false
    /// A part of a source transaction was handed out, and not yet its end.
    var isInsideTransaction = false
    var batchesHanded = 0
    var lastFeedback = ContinuousClock.now
    var lastHeartbeat = ContinuousClock.now
    var isHurried = false
    /// Somebody waits for the checkpoint to come there.
    nonisolated let hurriedTo = Atomic<Int64>(0)
    private var isAssigned = false
    private var isClosed = false
    private var ticker: Task<Void, Never>?

    // The copy.
    var copy = CopyProgress()
    var mailbox: CopyMailbox?
    var holder: SnapshotHolder?
    var workers: [CopyWorker] = []
    /// The snapshot of the chunks that are read next, while it is made.
    var opening: SnapshotRequest?
    var isCopyTurn = true
    var lastPublicationLook = ContinuousClock.now
    var publicationLook: PublicationLook?
    /// Tables that somebody asked for to be copied anew.
    var wantedAnew: Set<TableID> = []
    /// Of the stream's last batch: about what the next one takes.
    var streamedBytes = 0
    /// What the source keeps of its log for us, as it was looked at last.
    private var retention: SourceServer.Slot?
    private var lastRetentionLook = ContinuousClock.now - .seconds(60)
    private var lastSettled = ContinuousClock.now - .seconds(1)
    /// Chunks of tables with a key that wait until those without are copied.
    var pendingChunks: [CopyChunk] = []
    var isReadingWhole = false
    var pendingResync: (facts: RelationFacts, position: Int64)?
    /// What is to be said of copies that begin.
    var pendingMarks: [CopyMark] = []
    /// Of a backfill: the snapshot in which it is verified; the stream ends in front of it.
    var stopAt: Int64?
    var hasStopped = false
    var proof: (holder: SnapshotHolder, snapshot: String)?
    /// Before it was asked for, by our clock.
    var proofAsked_us: Int64?
    var snapshotsOpened = 0
    /// Numbers of tables that are gone, as was told in this run.
    var goneTables: Set<UInt32> = []
    /// Whether tables are missing is still to be looked at.
    var looksForGone = true
    /// Of the publication's tables, as it was last looked at.
    var memberships: [TableID: Int64] = [:]
    var isRereadDone = false
    var isRereading = false
    /// Chunks of them that were not handed out yet.
    var rereadsLeft: [TableID: Int] = [:]
    /// Keys of incomplete rows that were read once more in this run.
    var reread: [TableID: Set<String>] = [:]
    /// Of a table that is copied as one: taken, and to be handed out behind the resync.
    var heldPiece: CopyPiece?
    /// Of tables without a key: what was said of them in the stream, and what is to be said anew.
    var streamed: [TableID: RelationFacts] = [:]
    var pendingFacts: [RelationFacts] = []

    init(_ settings: Settings, ledger: any CopyLedger, logger: Logger) {
        self.settings = settings
        self.ledger = ledger
        self.logger = logger
        // A copy alone streams nothing, and its checkpoint must not be taken for a slot's.
        partition = TopicPartition(
            topic: settings.snapshot == .only ? "\(settings.slot):copy" : settings.slot, partition: 0)
        control = SourceControl(url: settings.server.url.text)
    }

    // MARK: What happens next

    package func next() async throws -> SourceStep {
        if !isAssigned {
            // Before the claim, which would fence an agent that is at work.
            try await waitForSlot()
            isAssigned = true
            return .assigned([partition])
        }
        if let position = firstPosition {
            firstPosition = nil
            handed = position
            return .records(advance(from: position, to: position))
        }
        if looksForGone, settings.snapshot != .only {
            looksForGone = false
            if let step = try await lookForGone(Set(memberships.keys)) { return step }
        }
        // Nothing comes between the parts of a transaction, nor between those of a table that is copied as one.
        if isReadingWhole { return try await nextOfWholeCopies() ?? .idle }
        if isInsideTransaction { return try await nextOfStream() ?? .idle }
        try await beginOpened()
        if let step = try await endOfResync() { return step }
        if settings.snapshot == .only, !copy.isGoingOn { return .end }
        if !pendingMarks.isEmpty, !isReadingWhole, let step = try await settleCopies() { return step }
        if hasStopped { return try await endOfBackfill() }
        if isCopyTurn, let step = try nextPiece() {
            isCopyTurn = false
            return step
        }
        isCopyTurn = true
        if settings.snapshot == .only {
            waker.wait(.milliseconds(200))
            return try nextPiece() ?? .idle
        }
        // Also while the stream never rests, and at once where the end of a copy has become durable.
        if ContinuousClock.now - lastSettled > .milliseconds(500) || isCopySettleable {
            lastSettled = .now
            if let step = try await settleCopies() { return step }
        }
        if let step = try await nextOfStream() { return step }
        return try nextPiece() ?? .idle
    }

    private var isCopySettleable: Bool {
        state.map { $0.consistentSince == nil } ?? false && !copy.isGoingOn && !isRereading && opening == nil
            && durable.withLock({ $0.batches >= copy.lastBatch && $0.position >= copy.newestSnapshot ?? 0 })
    }

    /// A batch without records, which moves the checkpoint alone.
    func advance(from: Int64, to: Int64) -> SourceRecords {
        let batch = RecordBatch(capacity: 64)
        let span = batch.span(of: partition, startingAt: from)
        batch.advance(span: span, to: to)
        return hand(batch, to: to, isUnfinished: false)
    }

    /// What is given to the runner: the batch with its checkpoint.
    func hand(_ batch: RecordBatch, to: Int64, isUnfinished: Bool) -> SourceRecords {
        var records = SourceRecords(
            batch: batch,
            advances: [
                SourceAdvance(
                    partition: partition, from: handed, to: isUnfinished ? handed : to,
                    spans: Array(batch.spans.indices), state: state == handedState ? nil : state?.json)
            ])
        records.isUnfinished = isUnfinished
        isInsideTransaction = isUnfinished
        if !isUnfinished {
            handed = max(handed, to)
            handedState = state
            batchesHanded += 1
        }
        lastHeartbeat = .now
        return records
    }

    // MARK: What the runner says and asks

    package func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
    package func release(_ partitions: [TopicPartition]) async throws {}

    package nonisolated func confirm(_ positions: [TopicPartition: Int64]) async {
        durable.withLock { durable in
            durable.batches += 1
            durable.position = max(durable.position, positions[partition] ?? 0)
        }
        // Whoever waits for the copy's end sees it.
        waker.wake()
    }

    package func endPositions() async throws -> [TopicPartition: Int64]? {
        isHurried = true
        if settings.snapshot == .only { return nil }
        return [partition: try await control.with { try $0.position() }]
    }

    /// None before the first checkpoint, which the source makes itself.
    package func readPositions() async -> [TopicPartition: Int64] {
        firstPosition == nil ? [partition: durable.withLock { $0.position }] : [:]
    }

    package func lag() async -> [TopicPartition: Int64] {
        let position = durable.withLock { $0.position }
        return [partition: max(0, max(serverEnd, received) - position)]
    }

    package func isCopying() async -> Bool {
        copy.isGoingOn || isRereading || !wantedAnew.isEmpty || opening != nil
            || state?.consistentSince == nil && settings.snapshot != .never
    }

    package func progress() async -> SourceProgress {
        var progress = SourceProgress(
            copying: copy.isGoingOn
                ? copy.tables.filter { !$0.value.isDone }.mapValues { ($0.rows, $0.estimate) } : [:],
            resyncing: Set(copy.resyncing.keys).union(copy.whole.filter(\.isResync).map(\.table)).union(wantedAnew),
            refused: copy.refused.merging(copy.retried) { $1 }.mapValues(\.message),
            consistentSince: state?.consistentSince.map(LSN.text))
        progress.retainedLog_bytes = retention?.retained_bytes
        progress.logLeft[partition] = retention?.logLeft
        return progress
    }

    /// Beside the stream, which the answer doesn't hold up.
    private func lookAtRetention() {
        guard settings.snapshot != .only, ContinuousClock.now - lastRetentionLook > .seconds(10) else { return }
        lastRetentionLook = .now
        let slot = settings.slot
        Task {
            if let found = try? await control.with({ try $0.slot(slot) }), found.retained_bytes != nil {
                retention = found
            }
        }
    }

    package nonisolated var hasAnswered: Bool { control.hasAnswered.load(ordering: .acquiring) }

    package nonisolated func gather(_ isWanted: Bool) {
        patience.withLock { $0.isGathering = isWanted }
        if !isWanted { waker.wake() }
    }

    package nonisolated func rest(until end: ContinuousClock.Instant) {
        patience.withLock { $0.restsUntil = end }
        Task { [waker] in
            try? await Task.sleep(until: end, clock: .continuous)
            waker.wake()
        }
    }

    nonisolated var isStopping: Bool { patience.withLock { $0.isStopping } }

    package nonisolated func hurry(to position: Int64) {
        hurriedTo.max(position, ordering: .releasing)
        waker.wake()
    }

    /// Whether a batch waits for more.
    nonisolated var mayGather: Bool { patience.withLock { $0.mayGather(at: .now) } }

    package nonisolated func wake() {
        patience.withLock { patience in
            patience.isStopping = true
            return patience.holder
        }?.interrupt()
        waker.wake()
    }

    /// Does what waits for the source's open transactions, which may take hours; a stop ends it.
    func waiting<R: Sendable>(
        _ holder: SnapshotHolder, _ body: @Sendable (SnapshotHolder) async throws -> R
    ) async throws -> R {
        try patience.withLock { patience throws(ReplicationError) in
            if patience.isStopping { throw Self.stopped }
            patience.holder = holder
        }
        defer { patience.withLock { if $0.holder === holder { $0.holder = nil } } }
        return try await body(holder)
    }

    static let stopped = ReplicationError(.passing, "the agent stops")

    package func close() async {
        isClosed = true
        ticker?.cancel()
        stopCopying()
        if let proof {
            proof.holder.interrupt()
            await proof.holder.close()
        }
        proof = nil
        try? sendFeedback()
        stream?.close()
        stream = nil
        await control.close()
    }

    /// Tells the server once a second that we live and what is durable, also while nobody asks for more.
    func startTicking() {
        ticker = Task { [weak self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(1))
                guard let self, await self.tick() else { return }
            }
        }
    }

    private func tick() -> Bool {
        guard !isClosed else { return false }
        // A connection that is lost shows itself when it is read.
        try? sendFeedback()
        lookAtRetention()
        return true
    }

    func sendFeedback() throws {
        guard let stream, stream.isUsable else { return }
        lastFeedback = .now
        try stream.confirm(
            durable: durable.withLock { $0.position }, received: isInTransaction ? handed : received, now_us: now_us())
    }
}

extension Waker {
    /// Also for waits that no connection is part of.
    package static let pause: Duration = .milliseconds(200)
}

/// Where records come from: Kafka, an event file, or a Postgres server.
///
/// Contract:
/// - Nothing is handed out before the runner said where to begin (`begin`), and that comes from the warehouse's
///   checkpoint, never from the source's own memory.
/// - Records of one partition come in order; every batch continues where the previous one of that partition ended.
/// - `confirm` is called after the batch is durable and is only news for others (lag tools): losing it loses nothing.
/// - Errors that pass by themselves are dealt with inside; what is thrown is final.
package protocol RecordSource: Sendable {
    /// `kafka`, `file` or `postgres`.
    nonisolated var kind: String { get }

    /// The next thing that happened; returns `.idle` after a while if nothing did.
    func next() async throws -> SourceStep

    /// Begins reading partitions that a step called `.assigned`, at the checkpoints that were claimed for them. Those that
    /// can't be continued (a lost slot) are given back with the reason, and aren't read.
    func begin(_ claims: [Checkpoint]) async throws -> [LostPartition]

    /// Which of these checkpoints can't be continued, whoever reads their partitions.
    func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition]

    /// Lets go of partitions after `.revoked`, once nothing of them is in flight.
    func release(_ partitions: [TopicPartition]) async throws

    /// Tells the source what is durable.
    func confirm(_ positions: [TopicPartition: Int64]) async

    /// Ends at this moment, for `--until-end`, whoever owns the partitions; nil where the end shows itself by `.end`.
    func endPositions() async throws -> [TopicPartition: Int64]?

    /// Where reading stands, per partition; not what is durable.
    func readPositions() async -> [TopicPartition: Int64]

    /// Records (of Postgres: bytes of its log) not read yet per partition, as far as known.
    func lag() async -> [TopicPartition: Int64]

    /// Whether there is more to come than positions tell: a copy that goes on beside the stream.
    func isCopying() async -> Bool

    func progress() async -> SourceProgress

    /// Copies tables anew, beside all else, of which the warehouse was told to forget that they were copied.
    func copyAnew(_ tables: [TableID]) async

    /// Reads nothing of these for now, and all else that was begun.
    func pause(_ partitions: Set<TopicPartition>) async throws

    /// While `isWanted`, a batch may wait for more records, since the one before it isn't durable yet: many small batches
    /// cost more than a few large ones. It is wanted until `confirm` has returned, which must not wait for `next`. From any
    /// thread.
    nonisolated func gather(_ isWanted: Bool)

    /// A batch that is begun may wait for more records until then, though the one before it is durable: see `CommitPace`.
    /// From any thread.
    nonisolated func rest(until end: ContinuousClock.Instant)

    /// Somebody waits until a position (bytes of a Postgres source's log) is durable: an idle source's, too, is to become
    /// so at once. From any thread.
    nonisolated func hurry(to position: Int64)

    /// It was reached once, so an error that passes is no wrong address.
    nonisolated var hasAnswered: Bool { get }

    /// A stop is asked for: what waits (`next`, `begin`) returns soon, or throws an error of kind `passing`. From any thread.
    nonisolated func wake()
    func close() async
}

extension RecordSource {
    package func isCopying() async -> Bool { false }
    package func progress() async -> SourceProgress { SourceProgress() }
    package func copyAnew(_ tables: [TableID]) async {}
    package func pause(_ partitions: Set<TopicPartition>) async throws {}
    package nonisolated func gather(_ isWanted: Bool) {}
    package nonisolated func rest(until end: ContinuousClock.Instant) {}
    package nonisolated func hurry(to position: Int64) {}
    package nonisolated var hasAnswered: Bool { false }
}

/// What a source tells of its copying, and of what readers see.
package struct SourceProgress: Sendable {
    /// Tables that are being copied: rows handed out, and as many as there may be.
    package var copying: [TableID: (rows: Int64, estimate: Int64)]
    /// Tables that are copied anew, or are about to be, into rows that stand there.
    package var resyncing: Set<TableID>
    /// Tables that can't be copied, with the reason.
    package var refused: [TableID: String]
    /// The position from which on a reader of the warehouse sees whole source transactions; nil: not (yet).
    package var consistentSince: String?
    /// Source transactions that were applied in parts, since they never became complete or were too large.
    package var cutTransactions: Int
    /// Of what the source keeps of its log for us: the part (0 to 1) by which what wasn't read may still grow before it is
    /// gone. Only where the source says so, and bounds it.
    package var logLeft: [TopicPartition: Double] = [:]
    /// Bytes of a Postgres source's log that its slot keeps from being removed.
    package var retainedLog_bytes: Int64?
    /// What doesn't answer, while the source waits for it inside.
    package var away: String?

    package init(
        copying: [TableID: (rows: Int64, estimate: Int64)] = [:], resyncing: Set<TableID> = [],
        refused: [TableID: String] = [:], consistentSince: String? = nil, cutTransactions: Int = 0
    ) {
        self.copying = copying
        self.resyncing = resyncing
        self.refused = refused
        self.consistentSince = consistentSince
        self.cutTransactions = cutTransactions
    }
}

/// Makes change events of a source's records. Pure and synchronous; one owner, one batch after the other.
package protocol RecordDecoder: AnyObject {
    /// What checkpoints kept for these partitions, before their first batch; what was remembered of them is forgotten.
    /// Returns the partitions whose state can't be read.
    @discardableResult
    func restore(_ states: [TopicPartition: String?]) -> [TopicPartition]

    /// Where the source's epochs begin; none until it is told.
    func take(_ epochs: SourceEpochs)

    /// Decodes all records, in order. A record that can't be decoded goes to the batch's quarantine and is counted.
    func decode(_ records: RecordBatch) -> ChangeBatch
}

package enum SourceStep: Sendable {
    case assigned([TopicPartition])
    /// `lost`: somebody else may have them already; nothing of them may be committed any more (fencing sees to it).
    case revoked([TopicPartition], lost: Bool)
    case records(SourceRecords)
    case lost(LostPartition)
    case idle
    /// A finite source is through.
    case end
}

/// Records with what the checkpoint must say before and after them.
package struct SourceRecords: Sendable {
    package var batch: RecordBatch
    package var advances: [SourceAdvance]
    /// Records that weren't even records (lines of a file that aren't JSON): quarantined, counted as read.
    package var malformed: [QuarantineEntry]
    /// The batch ends inside a source transaction: the next one goes on with it, and both commit together.
    package var isUnfinished = false
    /// It begins and ends with source transactions, or is a part of one (`isUnfinished`).
    package var hasWholeTransactions = false
    /// What of an initial copy is done once the batch is durable.
    package var copied: [CopyMark] = []

    package init(batch: RecordBatch, advances: [SourceAdvance], malformed: [QuarantineEntry] = []) {
        self.batch = batch
        self.advances = advances
        self.malformed = malformed
    }
}

package struct SourceAdvance: Sendable {
    /// What the checkpoint is kept for: a topic's partition, or a file.
    package var partition: TopicPartition
    package var from: Int64
    package var to: Int64
    package var lastOffset: Int64?
    package var lastHash: String?
    /// The record batch's spans that it stands for.
    package var spans: [Int]
    /// What the source wants to find in the checkpoint again, where that is more than the decoder's own state.
    package var state: String?

    package init(
        partition: TopicPartition, from: Int64, to: Int64, lastOffset: Int64? = nil, lastHash: String? = nil,
        spans: [Int], state: String? = nil
    ) {
        self.state = state
        self.partition = partition
        self.from = from
        self.to = to
        self.lastOffset = lastOffset
        self.lastHash = lastHash
        self.spans = spans
    }
}

/// A partition whose checkpoint lies outside what the source still has, or that isn't the one we read before.
package struct LostPartition: Sendable, Equatable {
    package var partition: TopicPartition
    package var reason: String
    /// The ways out.
    package var remedy: String

    package init(partition: TopicPartition, reason: String, remedy: String) {
        self.partition = partition
        self.reason = reason
        self.remedy = remedy
    }
}

extension RecordBatch {
    /// A fingerprint of a record's key and value, to recognise it when it is read again.
    package func fingerprint(_ record: Record) -> String {
        var hash = Hash128()
        hash.add(record.key.isNull ? UnsafeRawBufferPointer(start: nil, count: 0) : arena.bytes(record.key))
        hash.add(optionalValue(of: record) ?? UnsafeRawBufferPointer(start: nil, count: 0))
        hash.add(record.key.isNull ? 1 : 0, record.hasValue ? 0 : 1)
        return hash.finish().text
    }

    package static func fingerprint(key: [UInt8]?, value: [UInt8]?) -> String {
        let batch = RecordBatch(capacity: 64)
        func append(_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?) {
            batch.append(span: 0, offset: 0, key: key, value: value)
        }
        (key ?? []).withUnsafeBytes { keyBytes in
            (value ?? []).withUnsafeBytes { valueBytes in
                append(key == nil ? nil : keyBytes, value == nil ? nil : valueBytes)
            }
        }
        return batch.fingerprint(batch.records[0])
    }
}

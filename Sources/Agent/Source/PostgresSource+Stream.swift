import Foundation
import Postgres
import Replication

/// Reading the slot's stream.
extension PostgresSource {
    /// Part of a transaction too large for one batch: smaller than a batch may be, so that what is filled, what is
    /// decoded and what is applied fit into little memory together.
    static let partBytes_max = 4 << 20
    static let partChanges_max = 20_000

    /// The next batch of whole transactions, or a part of a large one; nil where nothing came for a while.
    func nextOfStream() async throws -> SourceStep? {
        guard let stream else { return nil }
        let batch = RecordBatch(capacity: max(streamedBytes + streamedBytes / 8, 1 << 16))
        defer { streamedBytes = batch.bytes }
        let span = batch.span(of: partition, startingAt: handed)
        for facts in pendingFacts { append(facts, to: batch, span, handed) }
        let bytes_max = settings.limits.bytes_max.bytes
        let whole_max = min(bytes_max, settings.bytes.stream)
        let part_max = min(bytes_max, Self.partBytes_max)
        let part_changes = min(settings.limits.rows_max, Self.partChanges_max)
        var end = handed
        var changes = 0
        // Where the transaction in hand began in this batch. Only one that is itself too large comes in parts: whole
        // ones before it don't make it so.
        var (begunBytes, begunChanges) = (0, 0)
        var lastMessage = ContinuousClock.now
        var backlog = BacklogGather()
        reading: while true {
            var relation: [UInt8]?
            var wantsReply = false
            var isFull = false
            var burst = 0
            let isEmpty = batch.records.count == pendingFacts.count
            let outcome: ReplicationStream.Outcome
            do {
                let backlog_left = backlog.left(at: .now)
                let gathers = mayGather
                var (nap, wait) = (gathers || backlog_left > .zero ? Self.nap : .zero, backlog_left)
                if isEmpty || isInTransaction || gathers { wait = Waker.pause }
                // A copied piece waits for nothing that the stream may bring.
                if isEmpty, !isInTransaction, hasPiece { (nap, wait) = (.zero, .zero) }
                outcome = try stream.receive(waker: waker, nap: nap, wait: wait) { message in
                    switch message {
                    case .keepalive(let position, let asks):
                        wantsReply = asks
                        serverEnd = max(serverEnd, position)
                        // Inside a transaction it says where the sender stands, not what was sent whole.
                        if !isInTransaction { received = max(received, position) }
                        if let stopAt, !isInTransaction, position >= stopAt { hasStopped = true }
                    case .data(let position, let sentAt, let bytes):
                        serverEnd = max(serverEnd, position)
                        switch bytes.first {
                        case _ where hasStopped: break
                        case UInt8(ascii: "B"):
                            if let stopAt, bytes.count >= 9,
                                Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: Int64.self)) >= stopAt
                            {
                                // Not in the snapshot: whoever goes on from here reads it again.
                                hasStopped = true
                                break
                            }
                            isInTransaction = true
                            note(commit: bytes)
                            backlog.note(begin: bytes, sentAt: sentAt, at: .now)
                            (begunBytes, begunChanges) = (batch.bytes, changes)
                            batch.append(span: span, offset: position, key: nil, value: bytes)
                        case UInt8(ascii: "C"):
                            isInTransaction = false
                            guard bytes.count >= 18 else { throw Self.garbled }
                            end = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: 10, as: Int64.self))
                            received = max(received, end)
                            // Also where the commit is all that was missing.
                            batch.append(span: span, offset: position, key: nil, value: bytes)
                        case UInt8(ascii: "R"): relation = Array(bytes)
                        default:
                            changes += 1
                            batch.append(span: span, offset: position, key: nil, value: bytes)
                        }
                    }
                    isFull =
                        isInTransaction
                        ? batch.bytes - begunBytes >= part_max || changes - begunChanges >= part_changes
                        : batch.bytes >= whole_max || changes >= settings.limits.rows_max
                    burst += 1
                    return !isFull && !hasStopped && !wantsReply && relation == nil && burst < Self.burst_max
                }
            } catch let error as PostgresError {
                throw ReplicationError(source: error)
            }
            if let relation { try await append(relation, to: batch, span) }
            let now = ContinuousClock.now
            if wantsReply || now - lastFeedback > .seconds(1) { try translating { try sendFeedback() } }
            if hasStopped || isFull { break reading }
            if burst > 0 { lastMessage = now }
            switch outcome {
            case .ended:
                throw ReplicationError(.passing, "the source ended the stream of slot \(settings.slot)")
            case .message: break
            case .nothing:
                if batch.records.count == pendingFacts.count {
                    // A sign of life alone is nothing to hand out, and moves the checkpoint no sooner than silence does.
                    if burst > 0, !hasPiece, !isHeartbeatWanted { continue }
                } else if isInTransaction {
                    // The rest of it is on its way; but somebody may want to stop.
                    if now - lastMessage < .seconds(1) { continue }
                } else if mayGather || backlog.left(at: now) > .zero && !isStopping {
                    // What comes until the batch before is durable goes into this one.
                    continue
                }
                break reading
            }
        }
        if batch.records.count > pendingFacts.count {
            pendingFacts = []
            if !isInTransaction { batch.advance(span: span, to: end) }
            return .records(hand(batch, to: end, isUnfinished: isInTransaction))
        }
        return heartbeat()
    }

    /// So long the connection is left alone where nobody waits for what comes next, µs being what a wake-up costs: the
    /// socket holds some hundred messages, a millisecond's worth at the fastest.
    static let nap = Duration.microseconds(300)
    /// Messages that are taken without looking at anything else.
    static let burst_max = 256

    /// - Parameter begin: of a transaction, which tells where its commit stands.
    private func note(commit begin: UnsafeRawBufferPointer) {
        guard let commits = settings.commits, begin.count >= 21 else { return }
        commits.note(
            UInt32(bigEndian: begin.loadUnaligned(fromByteOffset: 17, as: UInt32.self)),
            at: Int64(bigEndian: begin.loadUnaligned(fromByteOffset: 1, as: Int64.self)))
    }

    private static let garbled = PostgresError(
        kind: .permanent, message: "a commit message ends too early", purpose: "read the replication stream")

    func translating<R>(_ body: () throws -> R) throws -> R {
        do { return try body() } catch let error as PostgresError { throw ReplicationError(source: error) }
    }

    /// Somebody waits for the checkpoint to follow.
    private var isHeartbeatWanted: Bool { isHurried || handed < hurriedTo.load(ordering: .acquiring) }

    /// Transactions of others have moved the log on: the checkpoint follows, so that the server may let it go.
    private func heartbeat() -> SourceStep? {
        // Empty transactions are between what was handed and what was received, too.
        guard !isInTransaction, !isInsideTransaction, received > handed, !hasStopped else { return nil }
        guard isHeartbeatWanted || ContinuousClock.now - lastHeartbeat > settings.heartbeat else { return nil }
        return .records(advance(from: handed, to: received))
    }

    /// What the catalog says of a relation goes in front of its message.
    private func append(_ relation: [UInt8], to batch: RecordBatch, _ span: Int32) async throws {
        let offset = batch.records.last?.offset ?? handed
        if let name = PgOutputMessage.relation(relation) {
            // Nil: it is gone. An error must not pass for that, as the key would.
            let described = try await control.with { server in
                try server.relations([.init(table: name.table, columns: nil, filter: nil)]).first
            }
            if var described {
                described.oid = name.oid
                if isKeyless(described), settings.snapshot != .never {
                    // Until it is copied, all that comes of it will be in the copy.
                    described.copiedAt = copy.snapshots[name.table] ?? .max
                    streamed[name.table] = described
                }
                append(described, to: batch, span, offset)
            }
        }
        relation.withUnsafeBytes { batch.append(span: span, offset: offset, key: nil, value: $0) }
    }

    private func append(_ facts: RelationFacts, to batch: RecordBatch, _ span: Int32, _ offset: Int64) {
        Array(facts.json.utf8).withUnsafeBytes {
            batch.append(span: span, offset: offset, tag: SourceRecord.facts, value: $0)
        }
    }
}

import CrashPoint
import Dispatch
import Replication
import Synchronization

/// Chunks to be copied from one snapshot, taken by several workers.
package final class CopyQueue: Sendable {
    private let chunks: Mutex<[CopyChunk]>

    package init(_ chunks: [CopyChunk]) { self.chunks = Mutex(chunks.reversed()) }

    func next() -> CopyChunk? { chunks.withLock { $0.popLast() } }

    /// For one whose table is locked: others come first.
    func putBack(_ chunk: CopyChunk) { chunks.withLock { $0.insert(chunk, at: 0) } }

    /// Leaves a table out whose rows can't be read.
    func drop(_ table: TableID) { chunks.withLock { $0.removeAll { $0.facts.table == table } } }
}

/// Reads chunks from an exported snapshot, on a connection and a thread of its own.
package final class CopyWorker: Sendable {
    private let url: String
    private let snapshot: String
    private let position: Int64
    private let queue: CopyQueue
    private let mailbox: CopyMailbox
    private let partition: TopicPartition
    private let bytes_max: Int
    private let interrupter = Interrupter()
    private let thread: DispatchQueue

    /// - Parameters:
    ///   - snapshot: as the server named it; whoever exported it keeps it until `isReady` and longer.
    ///   - position: of the snapshot: the version of its rows.
    ///   - partition: under which quarantined rows are filed.
    ///   - bytes_max: of one piece.
    package init(
        url: String, snapshot: String, position: Int64, queue: CopyQueue, mailbox: CopyMailbox,
        partition: TopicPartition, bytes_max: Int, number: Int
    ) {
        self.url = url
        self.snapshot = snapshot
        self.position = position
        self.queue = queue
        self.mailbox = mailbox
        self.partition = partition
        self.bytes_max = bytes_max
        thread = DispatchQueue(label: "copy-\(number)")
    }

    /// Begins; ends by itself with the queue, or with the mailbox.
    package func start() { thread.async { [self] in run() } }

    package func stop() { interrupter.interrupt() }

    private func run() {
        do {
            var settings = ConnectionSettings(url: url)
            settings.serverSettings += ConnectionSettings.patience + [("lock_timeout", "2s")]
            let session = try Session(settings, interrupter: interrupter)
            defer { session.close() }
            try open(session)
            while let chunk = queue.next() {
                do {
                    guard try copy(chunk, session) else { return }
                } catch let error as PostgresError where error.sqlstate == "55P03" {
                    // Before its first row, or there would be no lock to wait for.
                    queue.putBack(chunk)
                    session.rollback()
                    try open(session)
                } catch let error as PostgresError where error.kind == .permanent || error.kind == .data {
                    // One table's trouble is its own: dropped meanwhile, or not to be read by us.
                    queue.drop(chunk.facts.table)
                    guard mailbox.put(.refused(chunk.facts.table, ReplicationError(source: error))) else { return }
                    session.rollback()
                    try open(session)
                }
            }
        } catch let error as PostgresError {
            guard error.kind != .interrupted else { return }
            _ = mailbox.put(.failed(ReplicationError(source: error)))
        } catch {
            _ = mailbox.put(.failed(ReplicationError(.permanent, "copying failed: \(type(of: error))")))
        }
    }

    private func open(_ session: Session) throws {
        do {
            try session.execute(
                """
                SET synchronize_seqscans = off; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
                SET TRANSACTION SNAPSHOT \(try quoteLiteral(snapshot))
                """,
                for: "open the snapshot to copy from")
        } catch var error as PostgresError {
            // It went with its session, as when the source restarts: another one will do.
            if error.sqlstate == "22023" || error.sqlstate == "42704" { error.kind = .passing }
            throw error
        }
    }

    private struct Closed: Error {}

    /// False: the mailbox is closed.
    private func copy(_ chunk: CopyChunk, _ session: Session) throws -> Bool {
        var pieces = 0
        var piece = begin(chunk, pieces)
        var rows: Int64 = 0
        var chunkRows: Int64 = 0
        func put(isLast: Bool) -> Bool {
            let done = mailbox.put(
                .piece(
                    CopyPiece(
                        chunk: chunk, records: piece, rows: rows, isLast: isLast, chunkRows: chunkRows,
                        snapshot: position)))
            pieces += 1
            if !isLast { piece = begin(chunk, pieces) }
            rows = 0
            return done
        }
        do {
            try session.copyOut(try chunk.sql(), for: "copy \(chunk.facts.table)") { row in
                Self.append(row, to: piece, snapshot: position)
                rows += 1
                chunkRows += 1
                if chunkRows & 1023 == 512 { CrashPoint.copy.reach() }
                if piece.bytes >= bytes_max, !put(isLast: false) { throw Closed() }
            }
        } catch is Closed {
            return false
        }
        return put(isLast: true)
    }

    private func begin(_ chunk: CopyChunk, _ number: Int) -> RecordBatch {
        let batch = RecordBatch(capacity: bytes_max + bytes_max / 8)
        _ = batch.span(of: partition, startingAt: position)
        Self.appendFacts(chunk, "\(chunk.part.identity)/\(chunk.number)/\(number)/\(snapshot)", to: batch, position)
        return batch
    }

    private static func appendFacts(_ chunk: CopyChunk, _ name: String, to batch: RecordBatch, _ position: Int64) {
        let json = [SourceRecord.copying] + Array(chunk.facts.json.utf8)
        let key = Array(name.utf8)
        json.withUnsafeBytes { value in
            key.withUnsafeBytes { batch.append(span: 0, offset: position, key: $0, value: value) }
        }
    }

    private static func append(_ row: UnsafeRawBufferPointer, to batch: RecordBatch, snapshot: Int64) {
        batch.append(span: 0, offset: snapshot, tag: SourceRecord.row, value: row)
    }
}

extension ReplicationError {
    /// What an error of a Postgres source means to the pipeline.
    package init(source error: PostgresError) {
        let kind: Kind =
            switch error.kind {
            case .passing, .interrupted, .diskFull: .passing
            case .data, .permanent: .environment
            }
        let remedy =
            error.remedy
            ?? (kind == .passing
                ? "see that the source runs, and that source.postgres.url names it: millrace check" : nil)
        self.init(kind, "the source: \(error.description)", remedy: remedy)
        isLock = error.sqlstate == "55P03"
    }
}

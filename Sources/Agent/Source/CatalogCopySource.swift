import Foundation
import Logging
import Postgres
import Replication
import Synchronization

/// Copies tables of a Kafka pipeline from its catalog database: a `RecordSource` that ends when all is read.
///
/// A row's version is `(epoch, L, 0)`, where L is the lowest commit durably applied of the table, known before the
/// snapshot is opened. All that committed before L is in the snapshot; all else that comes through Kafka has L or more
/// for its commit, and wins, also where its transaction was open while the snapshot was taken.
actor CatalogCopySource: RecordSource {
    nonisolated let kind = "postgres"
    private let url: String
    private let tables: [SourceServer.PublishedTable]
    private let versions: [TableID: Int64]
    private let workers: Int
    private let logger: Logger
    let partition: TopicPartition
    private let control: SourceControl
    private nonisolated let waker = Waker()

    private var isAssigned = false
    private var hasBegun = false
    private var exporter: SourceControl?
    private var pending: [(facts: RelationFacts, chunks: [CopyChunk])] = []
    private var snapshot = ""
    private var mailbox: CopyMailbox?
    private var reading: [CopyWorker] = []
    private var chunksLeft = 0
    private(set) var rows: [TableID: Int64] = [:]

    /// - Parameters:
    ///   - versions: L of each table; 0 where nothing of it was applied yet.
    ///   - pipeline: names the checkpoint's partition, which fences two backfills.
    init(
        url: String, tables: [TableID], versions: [TableID: Int64], pipeline: String, workers: Int, logger: Logger
    ) {
        self.url = url
        self.tables = tables.map { SourceServer.PublishedTable(table: $0) }
        self.versions = versions
        self.workers = workers
        self.logger = logger
        partition = TopicPartition(topic: "backfill:\(pipeline)", partition: 0)
        control = SourceControl(url: url)
    }

    func next() async throws -> SourceStep {
        if !isAssigned {
            isAssigned = true
            return .assigned([partition])
        }
        while true {
            if mailbox == nil {
                guard !pending.isEmpty else { return .end }
                readNextTable()
            }
            guard let item = mailbox?.take() else {
                waker.wait(Waker.pause)
                if mailbox?.isEmpty ?? true { return .idle }
                continue
            }
            switch item {
            case .failed(let error): throw error
            case .refused(_, let error): throw error
            case .piece(let piece):
                rows[piece.chunk.facts.table, default: 0] += piece.rows
                if piece.isLast { chunksLeft -= 1 }
                if chunksLeft == 0 { stopReading() }
                return .records(
                    SourceRecords(
                        batch: piece.records,
                        advances: [SourceAdvance(partition: partition, from: 0, to: 0, spans: [0])]))
            }
        }
    }

    private func readNextTable() {
        let (facts, chunks) = pending.removeFirst()
        let mailbox = CopyMailbox(bytes_max: 8 << 20, waker: waker)
        self.mailbox = mailbox
        chunksLeft = chunks.count
        let queue = CopyQueue(chunks)
        reading = (0..<min(workers, chunks.count)).map { number in
            CopyWorker(
                url: url, snapshot: snapshot, position: versions[facts.table] ?? 0, queue: queue, mailbox: mailbox,
                partition: partition, bytes_max: 4 << 20, number: number)
        }
        for worker in reading { worker.start() }
        logger.info(
            "\(facts.table): reading at version \(LSN.text(versions[facts.table] ?? 0)), \(chunks.count) chunks")
    }

    private func stopReading() {
        mailbox?.close()
        for worker in reading { worker.stop() }
        mailbox = nil
        reading = []
    }

    func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        guard !hasBegun else { return [] }
        hasBegun = true
        let exporter = SourceControl(url: url)
        self.exporter = exporter
        snapshot = try await exporter.with { server in
            if server.facts.isInRecovery {
                throw ReplicationError(
                    .environment, "the catalog is a standby, whose snapshots don't say what was open",
                    remedy: "let source.kafka.catalog name the primary")
            }
            try server.session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", for: "open a snapshot")
            return try server.session.scalar("SELECT pg_export_snapshot()", for: "export a snapshot") ?? ""
        }
        let tables = tables
        pending = try await control.with { server in
            try tables.compactMap { table in
                guard let facts = try server.relations([table]).first else { return nil }
                let parts = try server.parts(of: table.table)
                return (facts, CopyPlan.chunks(facts, filter: nil, parts: parts, done: []))
            }
        }.filter { !$0.1.isEmpty }
        return []
    }

    func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
    func release(_ partitions: [TopicPartition]) async throws {}
    nonisolated func confirm(_ positions: [TopicPartition: Int64]) async { waker.wake() }
    func endPositions() async throws -> [TopicPartition: Int64]? { nil }
    func readPositions() async -> [TopicPartition: Int64] { [partition: 0] }
    func lag() async -> [TopicPartition: Int64] { [:] }
    nonisolated func wake() { waker.wake() }

    func close() async {
        stopReading()
        await exporter?.close()
        await control.close()
    }
}

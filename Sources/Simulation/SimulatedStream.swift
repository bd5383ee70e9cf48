import Postgres
import Replication

/// A direct source over a model: the slot's stream, and copies of the tables beside it, as `PostgresSource` hands them out.
actor SimulatedStream: RecordSource {
    nonisolated let loop: SimulationLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let kind = "postgres"

    static let slot = TopicPartition(topic: "sim", partition: 0)

    private let model: SourceModel
    private let warehouse: any Warehouse
    private let faults: FaultScript
    private let rates: FaultRates
    private let copies: Bool

    private var isAssigned = false
    private var firstPosition: Int64?
    /// Transactions handed out.
    private var handed = 0
    private var handedPosition = SourceModel.start
    private var confirmed = SourceModel.start
    private var described: Set<Int> = []
    private var describedWider: Set<Int> = []
    /// Messages left of a transaction that comes in parts.
    private var rest: [Message] = []
    private var isInside = false

    private struct Message {
        var position: Int64
        var bytes: [UInt8]
        var tag: UInt8?
    }

    private struct Piece {
        var table: Int
        var block: Int
        var rows: [ModelRow]
        var isLastOfTable: Bool
    }

    /// Which transactions the snapshot has.
    private var snapshot = 0
    private var pieces: [Piece] = []
    private var wholes: [Int] = []
    private var wholeRest: [[ModelRow]] = []
    private var copiedAt: [Int: Int64] = [:]
    private var hasReread = false
    /// When what happens; nil: all of it is there from the beginning.
    private let day: Day?

    init(
        _ model: SourceModel, _ warehouse: any Warehouse, _ loop: SimulationLoop, _ faults: FaultScript,
        _ rates: FaultRates, copies: Bool, day: Day? = nil
    ) {
        self.day = day
        self.model = model
        self.warehouse = warehouse
        self.loop = loop
        self.faults = faults
        self.rates = rates
        self.copies = copies
    }

    func next() async throws -> SourceStep {
        if !isAssigned {
            isAssigned = true
            return .assigned([Self.slot])
        }
        try await day?.pass(rest.isEmpty ? handed : -1)
        if let day, day.isSourceAway { return .idle }
        if faults.strikes(rates.sourceCrash, "crash while reading") { throw SimulatedCrash() }
        if faults.strikes(rates.sourceCut, "the source is cut") { throw ReplicationError(.passing, "cut") }
        if let position = firstPosition {
            firstPosition = nil
            return .records(advance(to: position))
        }
        if faults.strikes(rates.slotLoss, "the slot is lost") {
            faults.loseSlot()
            return .lost(lost)
        }
        if !rest.isEmpty { return .records(part()) }
        if !wholeRest.isEmpty { return .records(wholePiece()) }
        if let table = wholes.first, !isInside {
            beginWhole(table)
            return .records(wholePiece())
        }
        let hasStream = handed < there
        if !pieces.isEmpty, !hasStream || faults.below(2) == 0 { return .records(piece()) }
        if hasStream {
            if faults.below(12) == 0 { return .records(advance(to: handedPosition)) }
            return .records(transactions())
        }
        if day != nil { return .idle }
        if copies, !hasReread {
            hasReread = true
            if let records = try await reread() { return .records(records) }
        }
        return .end
    }

    /// How many transactions the source has.
    private var there: Int { day?.there ?? model.transactions.count }

    private var lost: LostPartition {
        LostPartition(partition: Self.slot, reason: "the slot is gone", remedy: "copy anew")
    }

    func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        guard let claim = claims.first else { return [] }
        if faults.slotIsLost { return [lost] }
        if let position = claim.position {
            confirmed = position
            handed = model.count(upTo: position)
            handedPosition = position
        } else {
            firstPosition = SourceModel.start
        }
        guard copies else { return [] }
        // Whatever committed meanwhile may be in it.
        snapshot = handed + faults.below(model.transactions.count - handed + 1)
        let marks = try await warehouse.copied(job: "sim")
        for (index, table) in ModelTable.all.enumerated() {
            let mine = marks.filter { $0.table == table.id }
            if let done = mine.first(where: { $0.isWholeTable && $0.state == .done }) {
                copiedAt[index] = done.snapshot
                continue
            }
            if table.isKeyless {
                wholes.append(index)
                continue
            }
            let read = Set(mine.filter { !$0.isWholeTable }.map(\.chunk))
            let blocks = (0..<4).filter { !read.contains(Int64($0)) }
            for block in blocks {
                let rows = model.states[snapshot][index].filter { $0.block == block }.map(\.values)
                pieces.append(Piece(table: index, block: block, rows: rows, isLastOfTable: block == blocks.last))
            }
        }
        return []
    }

    // MARK: The stream

    private func advance(to position: Int64) -> SourceRecords {
        let batch = RecordBatch(capacity: 64)
        let span = batch.span(of: Self.slot, startingAt: handedPosition)
        batch.advance(span: span, to: position)
        return hand(batch, to: position, isUnfinished: false)
    }

    private func hand(_ batch: RecordBatch, to: Int64, isUnfinished: Bool) -> SourceRecords {
        var records = SourceRecords(
            batch: batch,
            advances: [
                SourceAdvance(
                    partition: Self.slot, from: handedPosition, to: isUnfinished ? handedPosition : to,
                    spans: Array(batch.spans.indices))
            ])
        records.isUnfinished = isUnfinished
        isInside = isUnfinished
        day?.note(inFlight: handed - model.count(upTo: confirmed))
        if !isUnfinished { handedPosition = to }
        return records
    }

    private func messages(_ transaction: ModelTransaction) -> [Message] {
        var all = [Message(position: transaction.commitLSN, bytes: PgOutputText.begin(transaction))]
        for change in transaction.changes {
            let table = ModelTable.all[change.table]
            let added = day?.added(change)
            if let added, describedWider.insert(change.table).inserted {
                let facts = PgOutputText.facts(table, traits: true, added: added.name)
                all.append(Message(position: change.lsn, bytes: facts, tag: SourceRecord.facts))
                all.append(Message(position: change.lsn, bytes: PgOutputText.relation(table, added: added.name)))
            } else if added == nil, described.insert(change.table).inserted {
                // Until it is copied, all that comes of it will be in the copy.
                let copiedAt = copies && table.isKeyless ? copiedAt[change.table] ?? .max : nil
                let facts = PgOutputText.facts(table, copiedAt: copiedAt, traits: day != nil)
                all.append(Message(position: change.lsn, bytes: facts, tag: SourceRecord.facts))
                all.append(Message(position: change.lsn, bytes: PgOutputText.relation(table)))
            }
            all.append(Message(position: change.lsn, bytes: PgOutputText.change(added?.change ?? change)))
        }
        all.append(Message(position: transaction.commitLSN, bytes: PgOutputText.commit(transaction)))
        return all
    }

    /// One to three transactions whole, or the first part of one.
    private func transactions() -> SourceRecords {
        let first = messages(model.transactions[handed])
        handed += 1
        if first.count > 3, faults.below(4) == 0 {
            rest = first
            return part()
        }
        var all = first
        for _ in 0..<faults.below(day == nil ? 3 : Day.batch_max) where handed < there {
            all += messages(model.transactions[handed])
            handed += 1
        }
        return hand(batch(all), to: model.end(handed), isUnfinished: false)
    }

    private func part() -> SourceRecords {
        let count = min(rest.count, 1 + faults.below(4))
        let some = Array(rest.prefix(count))
        rest.removeFirst(count)
        return hand(batch(some), to: model.end(handed), isUnfinished: !rest.isEmpty)
    }

    private func batch(_ messages: [Message]) -> RecordBatch {
        let batch = RecordBatch(capacity: 1024)
        let span = batch.span(of: Self.slot, startingAt: handedPosition)
        for message in messages {
            message.bytes.withUnsafeBytes { bytes in
                if let tag = message.tag {
                    batch.append(span: span, offset: message.position, tag: tag, value: bytes)
                } else {
                    batch.append(span: span, offset: message.position, key: nil, value: bytes)
                }
            }
        }
        return batch
    }

    // MARK: The copy

    private func copied(_ table: Int, _ rows: [ModelRow], name: String, at position: Int64) -> RecordBatch {
        let batch = RecordBatch(capacity: 1024)
        let span = batch.span(of: Self.slot, startingAt: position)
        var head = [SourceRecord.copying]
        head += PgOutputText.facts(ModelTable.all[table])
        head.withUnsafeBytes { head in
            Array(name.utf8).withUnsafeBytes { batch.append(span: span, offset: position, key: $0, value: head) }
        }
        for row in rows {
            PgOutputText.copied(row).withUnsafeBytes {
                batch.append(span: span, offset: position, tag: SourceRecord.row, value: $0)
            }
        }
        return batch
    }

    private func piece() -> SourceRecords {
        let piece = pieces.removeFirst()
        let position = model.end(snapshot)
        let id = ModelTable.all[piece.table].id
        var records = hand(
            copied(piece.table, piece.rows, name: "\(id) \(piece.block) \(position)", at: position), to: handedPosition,
            isUnfinished: false)
        let rows = Int64(piece.rows.count)
        records.copied.append(
            CopyMark(
                job: "sim", table: id, part: "p", chunk: Int64(piece.block), snapshot: position, rows: rows))
        if piece.isLastOfTable {
            copiedAt[piece.table] = position
            records.copied.append(CopyMark(job: "sim", table: id, snapshot: position, rows: rows))
        }
        return records
    }

    private func beginWhole(_ table: Int) {
        let rows = model.states[snapshot][table].map(\.values)
        wholeRest = stride(from: 0, to: max(rows.count, 1), by: 2).map { Array(rows[$0..<min($0 + 2, rows.count)]) }
    }

    /// Of a table without a key: all its pieces are one warehouse transaction.
    private func wholePiece() -> SourceRecords {
        let table = wholes[0]
        let position = model.end(snapshot)
        let rows = wholeRest.removeFirst()
        let id = ModelTable.all[table].id
        let isLast = wholeRest.isEmpty
        var records = hand(
            copied(table, rows, name: "\(id) \(wholeRest.count) \(position)", at: position), to: handedPosition,
            isUnfinished: !isLast)
        if isLast {
            wholes.removeFirst()
            copiedAt[table] = position
            // What is streamed from now on is told anew what the copy has.
            described.remove(table)
            records.copied.append(CopyMark(job: "sim", table: id, snapshot: position, rows: Int64(rows.count)))
        }
        return records
    }

    /// Rows that moved into blocks that were done are read once more.
    private func reread() async throws -> SourceRecords? {
        for (index, table) in ModelTable.all.enumerated() where !table.isKeyless {
            guard let definition = try await warehouse.knownTables().first(where: { $0.source == table.id }) else {
                continue
            }
            let keys = Set(try await warehouse.incompleteKeys(definition, limit: 1000))
            guard !keys.isEmpty else { continue }
            snapshot = model.transactions.count
            let position = model.end(snapshot)
            let rows = model.states[snapshot][index].map(\.values).filter { row in
                keys.contains(DebeziumText.key(row, table) ?? "")
            }
            hasReread = false
            return hand(
                copied(index, rows, name: "\(table.id) again \(position) \(keys.sorted())", at: position),
                to: handedPosition, isUnfinished: false)
        }
        return nil
    }

    // MARK: The rest of the contract

    func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
    func release(_ partitions: [TopicPartition]) async throws {}
    func confirm(_ positions: [TopicPartition: Int64]) async {
        if let position = positions[Self.slot] { confirmed = max(confirmed, position) }
    }
    func endPositions() async throws -> [TopicPartition: Int64]? { nil }
    func readPositions() async -> [TopicPartition: Int64] {
        firstPosition == nil ? [Self.slot: handedPosition] : [:]
    }
    func lag() async -> [TopicPartition: Int64] {
        // Where the source is away, nobody tells what it has.
        guard let day, !day.isSourceAway, isAssigned else { return [:] }
        return [Self.slot: max(0, model.end(day.there) - confirmed)]
    }

    func progress() async -> SourceProgress {
        var progress = SourceProgress()
        if let day, day.isSourceAway { progress.away = "the source: connection refused" }
        return progress
    }
    nonisolated func wake() {}
    func close() async {}
}

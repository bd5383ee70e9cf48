import Foundation
import Postgres
import Replication

/// An exported snapshot that is on its way, for chunks that are read from it.
struct SnapshotRequest {
    typealias Snapshot = (snapshot: String, position: Int64)

    let slot: String
    let chunks: [CopyChunk]
    /// Nil while it isn't there.
    var result: Result<Snapshot, any Error>?
}

/// Copying tables beside the stream.
extension PostgresSource {
    /// Plans what of these tables isn't copied yet, and begins to read it.
    func planCopies(_ published: [SourceServer.PublishedTable], _ marks: [CopyMark]) async throws {
        let wanted = published.filter { !copy.known.contains($0.table) && copy.refused[$0.table] == nil }
        let made = try await ledger.knownTables()
        for table in wanted {
            copy.known.insert(table.table)
            guard let facts = try await facts(table) else { continue }
            var isResync = false
            if !marks.contains(where: { $0.table == table.table }),
                // One that is adopted isn't known before its first rows are written, and holds rows all the same.
                let definition = made.first(where: { $0.source == table.table }) ?? settings.adopted(table.table)
            {
                isResync = try await ledger.hasRows(definition)
            }
            if isKeyless(facts) {
                copy.whole.append(CopyProgress.Whole(published: table, isResync: isResync))
                continue
            }
            if isResync {
                // Without a mark until its end: after a restart it is resynced from the beginning.
                copy.resyncing[table.table] = try await ledger.quarantined(table.table)
                logger.notice(
                    "\(table.table) holds rows already: it is resynced, and what the source no longer has is marked as deleted"
                )
            } else {
                // Marks of an earlier copy, which doesn't count, must not be taken for this one's after a restart.
                pendingMarks.append(
                    CopyMark(
                        job: settings.slot, table: table.table, state: .copying, snapshot: 0, rows: 0,
                        startsOver: !marks.contains { $0.table == table.table }))
            }
            let parts = try await control.with { try $0.parts(of: table.table) }
            copy.plannedParts[table.table] = Set(parts.map(\.relation))
            let left = CopyPlan.chunks(
                facts, filter: table.filter, parts: parts, done: marks.filter { $0.table == table.table })
            // A table without a part to read (no leaves yet) still gets its table.
            let all = left.isEmpty ? [Self.emptyChunk(facts, table.filter)] : left
            copy.tables[table.table] = CopyProgress.Table(
                estimate: parts.reduce(0) { $0 + $1.rows }, chunksLeft: all.count)
            pendingChunks += all
        }
        try await startNextCopy()
    }

    /// Tables without a key first: the stream waits for them.
    private func startNextCopy() async throws {
        guard mailbox == nil, opening == nil else { return }
        while let whole = copy.whole.first {
            let table = whole.published
            guard let facts = try await facts(table) else {
                copy.whole.removeFirst()
                continue
            }
            let parts = try await control.with { try $0.parts(of: table.table) }
            copy.plannedParts[table.table] = Set(parts.map(\.relation))
            let chunks = parts.map { CopyChunk(facts: facts, filter: table.filter, part: $0) }
            let all = chunks.isEmpty ? [Self.emptyChunk(facts, table.filter)] : chunks
            copy.tables[table.table] = CopyProgress.Table(
                estimate: parts.reduce(0) { $0 + $1.rows }, chunksLeft: all.count)
            isReadingWhole = true
            try await readHoldingStream(all)
            if whole.isResync { pendingResync = (facts, copy.snapshots[table.table] ?? 0) }
            return
        }
        guard !pendingChunks.isEmpty else { return }
        let chunks = pendingChunks
        pendingChunks = []
        read(chunks)
    }

    private static func emptyChunk(_ facts: RelationFacts, _ filter: String?) -> CopyChunk {
        CopyChunk(
            facts: facts, filter: filter,
            part: SourceServer.Part(
                schema: facts.table.schema, name: facts.table.table, identity: "\(facts.oid)/0", blocks: 0, rows: 0))
    }

    func isKeyless(_ facts: RelationFacts) -> Bool {
        facts.effectiveKey.isEmpty && settings.keys[facts.table.description] == nil
    }

    private func facts(_ table: SourceServer.PublishedTable) async throws -> RelationFacts? {
        try await control.with { try $0.relations([table]).first }
    }

    /// Lets workers read the chunks from a snapshot, once there is one. The stream goes on meanwhile: what is open at the
    /// source may stay so for hours.
    private func read(_ chunks: [CopyChunk]) {
        stopCopying()
        let holder = SnapshotHolder(url: settings.server.url.text)
        self.holder = holder
        let slot = nextSnapshotSlot()
        opening = SnapshotRequest(slot: slot, chunks: chunks)
        Task {
            let result: Result<SnapshotRequest.Snapshot, any Error>
            do {
                result = .success(try await waiting(holder) { try await $0.export(slot: slot) })
            } catch {
                result = .failure(error)
            }
            // Given up meanwhile: its place may be another's.
            if opening?.slot == slot { opening?.result = result }
            waker.wake()
        }
    }

    /// For tables that no version tells apart: what is streamed while the snapshot is made could be in it or not.
    private func readHoldingStream(_ chunks: [CopyChunk]) async throws {
        stopCopying()
        let holder = SnapshotHolder(url: settings.server.url.text)
        self.holder = holder
        let slot = nextSnapshotSlot()
        let opened = try await waiting(holder) { try await $0.export(slot: slot) }
        begin(try await withNewParts(chunks), opened)
    }

    /// A name of its own each time: the one before may still be on its way out.
    func nextSnapshotSlot() -> String {
        snapshotsOpened += 1
        return "\(settings.slot)_c\(getpid())_\(snapshotsOpened)"
    }

    /// Begins what `read` asked for, if its snapshot is there.
    func beginOpened() async throws {
        guard let request = opening, let result = request.result else { return }
        opening = nil
        let opened = try result.get()
        try await begin(withNewParts(request.chunks), opened)
    }

    /// Partitions that were made since the chunks were planned: what was written to them before the snapshot is in it.
    private func withNewParts(_ chunks: [CopyChunk]) async throws -> [CopyChunk] {
        var all = chunks
        for chunk in Dictionary(grouping: chunks.filter { $0.keys == nil }, by: \.facts.table).values.compactMap(
            \.first)
        {
            let table = chunk.facts.table
            guard let planned = copy.plannedParts[table] else { continue }
            let parts = try await control.with { try $0.parts(of: table) }.filter { !planned.contains($0.relation) }
            guard !parts.isEmpty else { continue }
            all += parts.map { CopyChunk(facts: chunk.facts, filter: chunk.filter, part: $0) }
            copy.tables[table]?.chunksLeft += parts.count
            copy.plannedParts[table] = planned.union(parts.map(\.relation))
        }
        return all
    }

    private func begin(_ chunks: [CopyChunk], _ opened: SnapshotRequest.Snapshot) {
        let (snapshot, position) = opened
        for table in Set(chunks.map(\.facts.table)) {
            copy.snapshots[table] = position
            copy.snapshotTimes_ms[table] = now_us() / 1000
        }
        // Readers see whole transactions again once the stream has passed it.
        state?.consistentSince = nil
        let count = min(settings.server.copyWorkers, chunks.count)
        let mailbox = CopyMailbox(bytes_max: settings.bytes.copy * count, waker: waker)
        self.mailbox = mailbox
        let queue = CopyQueue(chunks)
        workers = (0..<count).map { number in
            CopyWorker(
                url: settings.server.url.text, snapshot: snapshot, position: position, queue: queue, mailbox: mailbox,
                partition: partition, bytes_max: settings.bytes.copy, number: number)
        }
        for worker in workers { worker.start() }
        let tables = Set(chunks.map(\.facts.table)).count
        logger.info(
            "copying \(tables) tables from the snapshot at \(LSN.text(position)), in \(chunks.count) chunks")
    }

    func stopCopying() {
        opening = nil
        mailbox?.close()
        for worker in workers { worker.stop() }
        workers = []
        mailbox = nil
        if let holder {
            holder.interrupt()
            Task { await holder.close() }
        }
        holder = nil
    }

    // MARK: Pieces

    /// One is there to be taken.
    var hasPiece: Bool { mailbox?.isEmpty == false && !waitsForFloor }

    /// Rows of a resync come behind the snapshot's position in the stream. A copy alone has none.
    private var waitsForFloor: Bool {
        settings.snapshot != .only && copy.resyncFloor.map { handed < $0 } ?? false
    }

    /// A piece that a worker has read.
    func nextPiece() throws -> SourceStep? {
        guard !waitsForFloor, let item = mailbox?.take() else { return nil }
        switch item {
        case .failed(let error): throw error
        case .refused(let table, let error):
            refuse(table, error)
            return .idle
        case .piece(let piece):
            return .records(hand(piece))
        }
    }

    func refuse(_ table: TableID, _ error: ReplicationError) {
        rereadsLeft[table] = nil
        guard copy.refuse(table, error, at: .now) else { return }
        let remedy = error.remedy.map { ". Try: \($0)" } ?? ""
        logger.error("\(table): can't be copied: \(error.message)\(remedy)")
    }

    private func hand(_ piece: CopyPiece, isUnfinished: Bool = false) -> SourceRecords {
        var records = hand(piece.records, to: handed, isUnfinished: isUnfinished)
        records.isUnfinished = isUnfinished
        guard piece.chunk.keys == nil else {
            let table = piece.chunk.facts.table
            if piece.isLast, let left = rereadsLeft[table] { rereadsLeft[table] = left > 1 ? left - 1 : nil }
            copy.lastBatch = batchesHanded
            return records
        }
        let table = piece.chunk.facts.table
        // Given up: what is durable of it is no part of a copy.
        guard copy.refused[table] == nil else { return records }
        let isDone = copy.note(table, rows: piece.rows, isLastOfChunk: piece.isLast)
        if copy.resyncing[table] != nil {
            if isDone {
                copy.resynced.append(
                    .init(
                        facts: piece.chunk.facts, snapshot: piece.snapshot, rows: copy.tables[table]?.rows ?? 0,
                        lastBatch: batchesHanded))
            }
            return records
        }
        if piece.isLast {
            records.copied.append(
                CopyMark(
                    job: settings.slot, table: table, part: piece.chunk.part.identity, chunk: piece.chunk.number,
                    blocks: (piece.chunk.from, piece.chunk.to), snapshot: piece.snapshot, rows: piece.chunkRows))
        }
        if isDone {
            records.copied.append(
                CopyMark(
                    job: settings.slot, table: table, snapshot: piece.snapshot, rows: copy.tables[table]?.rows ?? 0))
            copy.lastBatch = batchesHanded
            copy.forgetRefusal(table)
            logger.info("\(table): \(copy.tables[table]?.rows ?? 0) rows copied")
        }
        return records
    }

    // MARK: Tables without a key

    /// Copies one after the other, each in one warehouse transaction: a part of one can't be told from the next attempt's.
    func nextOfWholeCopies() async throws -> SourceStep? {
        guard isReadingWhole, let table = copy.whole.first?.table else { return nil }
        guard let item = heldPiece.map(CopyMailbox.Item.piece) ?? mailbox?.take() else {
            try translating { try sendFeedback() }
            waker.wait(Waker.pause)
            return .idle
        }
        switch item {
        case .failed(let error): throw error
        case .refused(let id, let error):
            let isHalf = isInsideTransaction
            refuse(id, error)
            pendingResync = nil
            try await endWhole()
            // What was handed out of it must not stay: the runner begins again.
            if isHalf { throw ReplicationError(.restart, "\(id) can't be copied") }
            return .idle
        case .piece(let piece):
            if let (facts, position) = pendingResync {
                // Now that its rows can be read.
                pendingResync = nil
                heldPiece = piece
                logger.notice("\(table) holds rows already: those that the source no longer has are marked as deleted")
                return .records(hand(resyncBatch(facts, position), to: handed, isUnfinished: true))
            }
            heldPiece = nil
            let isLast = piece.isLast && copy.tables[table]?.chunksLeft == 1
            if isLast { noteMemberships([table]) }
            let records = hand(piece, isUnfinished: !isLast)
            if isLast {
                if let facts = streamed[table] {
                    var facts = facts
                    facts.copiedAt = copy.snapshots[table]
                    pendingFacts.append(facts)
                }
                copy.forgetRefusal(table)
                try await endWhole()
            }
            return .records(records)
        }
    }

    private func endWhole() async throws {
        copy.whole.removeFirst()
        isReadingWhole = false
        stopCopying()
        try await startNextCopy()
    }

    // MARK: When all is copied

    /// Once all that was read is durable: rows that lack columns are read once more, new tables are looked for, and the
    /// position is told from which on readers see whole transactions.
    func settleCopies() async throws -> SourceStep? {
        if !pendingMarks.isEmpty, !isReadingWhole {
            // Known before the first rows are there: a copy that is killed goes on, and isn't taken for an earlier one.
            noteMemberships(Set(pendingMarks.map(\.table)))
            var records = advance(from: handed, to: handed)
            records.copied = pendingMarks
            pendingMarks = []
            return .records(records)
        }
        guard !copy.isGoingOn else { return nil }
        let (position, batches) = durable.withLock { ($0.position, $0.batches) }
        guard batches >= copy.lastBatch else { return nil }
        if mailbox != nil, !isRereading {
            stopCopying()
            try await startNextCopy()
            if copy.isGoingOn { return .idle }
        }
        if !isRereadDone, settings.snapshot != .never {
            isRereadDone = true
            if try await rereadIncomplete() { return .idle }
        }
        if isRereading {
            guard rereadsLeft.isEmpty else { return nil }
            isRereading = false
            stopCopying()
            // There may be more than were asked for at once.
            if try await rereadIncomplete() { return .idle }
        }
        if state?.consistentSince == nil, position >= copy.newestSnapshot ?? 0 {
            state?.consistentSince = copy.newestSnapshot ?? position
            logger.info(
                "consistent since \(LSN.text(state?.consistentSince ?? 0)): readers see whole source transactions")
            return .records(advance(from: handed, to: handed))
        }
        if settings.isBackfill {
            if stopAt == nil { try await openProof() }
            return nil
        }
        return try await lookForNewTables()
    }

    /// Rows that moved between two snapshots, into blocks that were done, show only what the stream told of them.
    private func rereadIncomplete() async throws -> Bool {
        let known = try await ledger.knownTables()
        var chunks: [CopyChunk] = []
        for table in known where copy.snapshots[table.source] != nil && !table.isKeyless {
            // Those that stay incomplete (a column that the source no longer has) are read once.
            let before = reread[table.source] ?? []
            guard before.count < Self.rereads_max else { continue }
            var keys = try await ledger.incompleteKeys(table, limit: before.count + Self.rereadKeys_max)
            keys.removeAll { before.contains($0) }
            guard !keys.isEmpty else { continue }
            // With its column list and row filter: what isn't published isn't read.
            let key = table.key.map { table.columns[$0].name }
            guard let published = try await publication().0.tables.first(where: { $0.table == table.source }),
                let facts = try await facts(published), Set(key).isSubset(of: facts.columns.map(\.name))
            else { continue }
            reread[table.source] = before.union(keys)
            logger.notice("\(table.source): \(keys.count) incomplete rows are read once more at the source")
            for start in stride(from: 0, to: keys.count, by: 1000) {
                var chunk = Self.emptyChunk(facts, published.filter)
                chunk.keys = Array(keys[start..<min(start + 1000, keys.count)])
                chunk.keyColumns = key
                chunk.number = Int64(start)
                chunks.append(chunk)
            }
        }
        guard !chunks.isEmpty else { return false }
        isRereading = true
        rereadsLeft = Dictionary(chunks.map { ($0.facts.table, 1) }, uniquingKeysWith: +)
        read(chunks)
        return true
    }

    private static let rereadKeys_max = 10_000
    /// A table's, in one run.
    private static let rereads_max = 200_000

    /// A table that came into the publication meanwhile is copied while the others go on.
    private func lookForNewTables() async throws -> SourceStep? {
        guard settings.snapshot == .initial else { return nil }
        if !wantedAnew.isEmpty { return try await beginAnew() }
        guard let look = publicationLook, let result = look.result else {
            if publicationLook == nil, ContinuousClock.now - lastPublicationLook > settings.publicationLook {
                beginPublicationLook()
            }
            return nil
        }
        publicationLook = nil
        lastPublicationLook = .now
        // It was made before a copy that took its time: what it shows may be no more.
        guard ContinuousClock.now - look.begunAt < settings.publicationLook * 12 else { return nil }
        let (publication, added) = try result.get()
        // What happened to a table while it was out is in no stream.
        let published = Set(publication.tables.map(\.table))
        let missing = !copy.known.isSubset(of: published)
        copy.known.subtract(added.union(returned(publication)).union(copy.known.subtracting(published)))
        copy.retryRefused(of: published, at: .now)
        guard publication.tables.contains(where: { !copy.known.contains($0.table) && copy.refused[$0.table] == nil })
        else { return missing ? try await lookForGone(published) : nil }
        looksForGone = missing
        isRereadDone = false
        try await planCopies(publication.tables, [])
        return .idle
    }

    /// Asks beside the stream: the catalog's answer may take a tenth of a second, which nobody's rows should wait for.
    private func beginPublicationLook() {
        publicationLook = PublicationLook()
        Task {
            let result: Result<(SourceServer.Publication, added: Set<TableID>), any Error>
            do {
                result = .success(try await publication())
            } catch {
                result = .failure(error)
            }
            publicationLook?.result = result
            waker.wake()
        }
    }
}

/// A look for tables that came into the publication.
struct PublicationLook {
    let begunAt = ContinuousClock.now
    var result: Result<(SourceServer.Publication, added: Set<TableID>), any Error>?
}

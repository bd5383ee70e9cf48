import Postgres
import Replication

/// Copies into tables that hold rows already.
extension PostgresSource {
    /// Behind the rows of a resynced table: what of it is older than they is deleted.
    func endOfResync() async throws -> SourceStep? {
        guard let ended = copy.resynced.first, durable.withLock({ $0.batches }) >= ended.lastBatch else { return nil }
        copy.resynced.removeFirst()
        let table = ended.facts.table
        let before = copy.resyncing.removeValue(forKey: table) ?? 0
        let all = try await ledger.quarantined(table) - before
        // Events that were put aside meanwhile say nothing of the snapshot.
        let putAside = all > 0 ? try await ledger.quarantinedReads(table, amongLast: all) : 0
        guard putAside <= 0 else {
            // The rows that are there for them are older than the snapshot, and would be deleted.
            refuse(
                table,
                ReplicationError(
                    .permanent,
                    "\(putAside) records were put aside while it was resynced, so what the source no longer has can't be told",
                    remedy: "millrace quarantine list; mend what it names, then millrace resync \(table)"))
            return .idle
        }
        noteMemberships([table])
        var records = hand(resyncBatch(ended.facts, ended.snapshot), to: handed, isUnfinished: false)
        records.copied.append(
            CopyMark(
                job: settings.slot, table: table, snapshot: ended.snapshot, rows: ended.rows, startsOver: true))
        copy.lastBatch = batchesHanded
        copy.forgetRefusal(table)
        logger.info("\(table): \(ended.rows) rows resynced")
        return .records(records)
    }

    /// What the source no longer has was deleted before the snapshot; nobody knows better when.
    func resyncBatch(_ facts: RelationFacts, _ position: Int64) -> RecordBatch {
        let batch = RecordBatch(capacity: 1024)
        let span = batch.span(of: partition, startingAt: position)
        Array(facts.json.utf8).withUnsafeBytes {
            batch.append(
                span: span, offset: position, timestamp_ms: copy.snapshotTimes_ms[facts.table] ?? -1,
                tag: SourceRecord.resync, value: $0)
        }
        return batch
    }

    /// What was asked for by hand.
    func beginAnew() async throws -> SourceStep? {
        let tables = try await publication().0.tables
        for table in wantedAnew.sorted() where !tables.contains(where: { $0.table == table }) {
            logger.warning("\(table) can't be copied anew: the publication \(settings.server.publication) hasn't it")
        }
        let begun = wantedAnew
        copy.known.subtract(begun)
        for table in begun {
            copy.forgetRefusal(table)
            reread[table] = nil
        }
        isRereadDone = false
        try await planCopies(tables, [])
        // Until they are planned they are told as wanted.
        wantedAnew.subtract(begun)
        return .idle
    }

    package func copyAnew(_ tables: [TableID]) {
        // One that is under way has just begun.
        wantedAnew.formUnion(Set(tables).subtracting(copy.resyncing.keys))
        waker.wake()
    }
}

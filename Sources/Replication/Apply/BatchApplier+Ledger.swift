/// Every event is accounted for: the ledger, the quarantine, the marks.
extension BatchApplier {
    mutating func quarantine(_ index: Int32, _ reason: String, _ entry: inout LedgerEntry) {
        let event = batch.events[Int(index)]
        entry.quarantined += 1
        outcome.quarantined += 1
        var put = QuarantineEntry(
            table: entry.table, partition: batch.spans[Int(event.span)].partition, offset: event.offset,
            reason: reason, operation: event.operation)
        if event.record >= 0, let records = batch.records {
            let source = records.records[Int(event.record)]
            put.key = source.key.isNull ? nil : Array(records.arena.bytes(source.key))
            put.value = records.optionalValue(of: source).map { Array($0) }
            put.headers = records.headersJSON(source)
        }
        putAside.append(put)
    }

    mutating func quarantine(_ entries: inout [LedgerEntry]) {
        for (index, reason) in refused.sorted(by: { $0.key < $1.key }) {
            let table = batch.tables[Int(batch.events[Int(index)].table)].source
            let at = entries.firstIndex { $0.table == table } ?? entries.endIndex
            if at == entries.endIndex {
                var entry = LedgerEntry(table: table)
                entry.read = batch.read[Int(batch.events[Int(index)].table)]
                entries.append(entry)
            }
            quarantine(index, reason, &entries[at])
        }
        for item in batch.quarantined {
            let at = entries.firstIndex { $0.table == item.table } ?? entries.endIndex
            if at == entries.endIndex { entries.append(LedgerEntry(table: item.table)) }
            entries[at].quarantined += 1
            outcome.quarantined += 1
        }
        putAside += batch.quarantined
        for (table, definition) in batch.tables.enumerated() {
            // A table all of whose records were put aside has no events, but was read.
            if let at = entries.firstIndex(where: { $0.table == definition.source }) {
                entries[at].read = table < batch.read.count ? batch.read[table] : 0
            }
        }
        if batch.readUnknown > 0 || entries.contains(where: { $0.table == nil }) {
            let at = entries.firstIndex { $0.table == nil } ?? entries.endIndex
            if at == entries.endIndex { entries.append(LedgerEntry(table: nil)) }
            entries[at].read = batch.readUnknown
        }
    }

    mutating func settle(_ entries: [LedgerEntry]) throws {
        for entry in entries {
            guard entry.addsUp else {
                throw ReplicationError(
                    .invariant,
                    """
                    the ledger of \(entry.table?.description ?? "records of unknown tables") doesn't add up: read \
                    \(entry.read), applied \(entry.applied), superseded \(entry.superseded), duplicate \
                    \(entry.duplicate), compacted \(entry.compacted), filtered \(entry.filtered), quarantined \
                    \(entry.quarantined), deferred \(entry.deferred)
                    """,
                    remedy: "report this with the agent's log; nothing of this batch was committed", table: entry.table)
            }
        }
        let read = batch.read.reduce(0, +) + batch.readUnknown
        let told = entries.reduce(0) { $0 + $1.read }
        guard read == told else {
            throw ReplicationError(.invariant, "the decoder read \(read) events, the ledger accounts for \(told)")
        }
        record.ledger = entries.filter { $0.read > 0 || $0.deferred != 0 || $0.quarantined < 0 }
        outcome.ledger = record.ledger
    }

    /// Tells of each table what its newest event's time is; gives that of all.
    mutating func noteNewest() -> Int64 {
        let newest = newestStreamed_us
        for (table, time_us) in newest.enumerated() where time_us != .min {
            let source = batch.tables[table].source
            outcome.newestSourceTimes_us[source] = max(time_us, outcome.newestSourceTimes_us[source] ?? .min)
        }
        return newest.max() ?? .min
    }

    /// What a checkpoint keeps: reads tell the time of reading, which says nothing of how far the stream is; and no event
    /// comes from the future.
    ///
    /// Of each of the batch's tables.
    var newestStreamed_us: [Int64] {
        var newest = [Int64](repeating: .min, count: batch.tables.count)
        for event in batch.events where event.operation != .read && event.sourceTime_us > newest[Int(event.table)] {
            newest[Int(event.table)] = event.sourceTime_us
        }
        return newest.map { min($0, loadedAt_us) }
    }

    mutating func advanceMarks() {
        for advance in advances {
            let spans = Set(advance.spans.map(Int32.init))
            var marks: [TableID: Version] = [:]
            for event in batch.events where spans.contains(event.span) {
                let table = batch.tables[Int(event.table)].source
                if event.version > marks[table, default: .none] { marks[table] = event.version }
            }
            record.marks[advance.partition] = marks
        }
    }
}

extension CommitRecord {
    /// Adds what the batches before left, of the same source transaction.
    mutating func `continue`(_ before: CommitRecord) {
        ledger = LedgerEntry.sums(before.ledger + ledger)
        control += before.control
        states = before.states.merging(states) { $1 }
        for (partition, versions) in before.marks { marks[partition, default: [:]].merge(versions) { max($0, $1) } }
        newestSourceTime_us = max(newestSourceTime_us, before.newestSourceTime_us)
        copied = before.copied + copied
        gates = GateCount.sums(before.gates + gates)
        late = Array((before.late + late).prefix(BatchApplier.late_max))
    }
}

extension BatchApplier.Outcome {
    mutating func `continue`(_ before: BatchApplier.Outcome) {
        ledger = LedgerEntry.sums(before.ledger + ledger)
        control += before.control
        rows += before.rows
        newestSourceTimes_us.merge(before.newestSourceTimes_us) { max($0, $1) }
        quarantined += before.quarantined
        gates = GateCount.sums(before.gates + gates)
        closed = before.closed + closed
    }
}

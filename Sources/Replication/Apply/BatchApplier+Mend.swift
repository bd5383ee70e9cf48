/// Rows that a sweep mends are written like any other, unless the warehouse knows more of them than the snapshot shows.
extension BatchApplier {
    /// Gives those of a mend's events that may be applied; keys of the others are told in the outcome, and count as not
    /// read.
    mutating func admit(
        _ table: Int, _ events: [Int32], of mend: RowMend, _ state: TableState, _ entry: inout LedgerEntry,
        _ transaction: some WarehouseTransaction
    ) throws -> [Int32] {
        let definition = batch.tables[table]
        guard state.holds.isEmpty else {
            throw ReplicationError(
                .environment, "\(definition.source) stands still, and its rows aren't mended",
                remedy: "millrace status",
                table: definition.source)
        }
        let keys = events.map { batch.arena.string(batch.events[Int($0)].key) }
        let stored = try self.stored(keys, table, definition, transaction)
        var known: [String: [RawEvent]] = [:]
        var truncates: [RawEvent] = []
        for event in try transaction.rawEvents(definition, keys: keys, truncates: true) {
            if let key = event.key { known[key, default: []].append(event) } else { truncates.append(event) }
        }
        var admitted: [Int32] = []
        for (at, index) in events.enumerated() {
            let its = (known[keys[at]] ?? []) + truncates
            let newest = its.map(\.version).max()
            if its.allSatisfy({ mend.shows($0) }), mend.shows(stored[at]),
                let version = mend.version(batch.events[Int(index)].version, newest, stored[at], state.floor)
            {
                batch.events[Int(index)].version = version
                admitted.append(index)
            } else {
                outcome.unmended.append(keys[at])
            }
        }
        batch.read[table] -= events.count - admitted.count
        entry.read = batch.read[table]
        return admitted
    }

    /// Versions of the rows that current has, by the keys' places.
    private func stored(
        _ keys: [String], _ table: Int, _ definition: TableDefinition, _ transaction: some WarehouseTransaction
    ) throws -> [Int: Version] {
        var staged = StagedTable(table: table, definition: definition)
        for key in keys { try CarriedColumns.appendKeyRow(key, version: .all, to: &staged, batch: batch) }
        try transaction.stage(staged, batch)
        return Dictionary(try transaction.storedRows(staged, sparse: false).map { ($0.row, $0.version) }) {
            max($0, $1)
        }
    }
}

extension RowMend {
    fileprivate func shows(_ event: RawEvent) -> Bool {
        switch unseen {
        case .since: shows(event.version)
        // What a copy or a mend read is older than the snapshot: none is under way.
        case .outside(let extent): event.transaction < 0 || event.operation == .read || extent.shows(event.transaction)
        }
    }

    fileprivate func shows(_ version: Version?) -> Bool {
        guard case .since(let before) = unseen, let version else { return true }
        return version.commit < before || (version.commit == before && version.seq <= 0)
    }

    fileprivate func version(_ own: Version, _ raw: Version?, _ stored: Version?, _ floor: Version) -> Version? {
        guard isAboveStored, let newest = [raw, stored, floor.isNone ? nil : floor].compactMap({ $0 }).max(),
            newest >= own
        else { return own }
        return newest.mended
    }
}

extension BatchWriter {
    /// Writes what a sweep read at the source.
    ///
    /// - Throws: `.passing` while a source transaction comes in parts, which would have to come again.
    package mutating func mend(
        _ mend: RowMend, layout: WarehouseLayout, in transaction: some WarehouseTransaction, loadedAt_us: Int64
    ) throws -> BatchApplier.Outcome {
        guard !isUnfinished else {
            throw ReplicationError(.passing, "a large source transaction is under way", remedy: "try again later")
        }
        return try BatchApplier.mend(mend, layout: layout, in: transaction, loadedAt_us: loadedAt_us)
    }
}

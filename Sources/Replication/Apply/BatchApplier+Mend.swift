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
        for event in try transaction.rawEvents(definition, keys: keys, truncates: true, promoted: false) {
            if let key = event.key { known[key, default: []].append(event) } else { truncates.append(event) }
        }
        // A row may stand there by another spelling of its key, and so its events in raw.
        let mayDiffer = KeyNames(definition, transaction.keyEquality).mayDiffer
        let failing = Set(batch.findings[table]?.refused ?? [])
        let isClosed = batch.findings[table]?.gate.misfit != nil
        var admitted: [Int32] = []
        for (at, index) in events.enumerated() {
            guard !isClosed, !failing.contains(index) else {
                outcome.unmended.append(keys[at])
                continue
            }
            let its = (known[keys[at]] ?? []) + truncates
            let row = stored[at]
            let isKnown = !mayDiffer || row.map { version in its.contains { $0.version == version } } ?? true
            if its.allSatisfy({ mend.shows($0) }), mend.shows(row, isKnown: isKnown),
                let version = mend.version(
                    batch.events[Int(index)].version, its.map(\.version).max(), row, state.floor)
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
    func stored(
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
        case .since(let before): Self.shows(event.version, before)
        case .outside(let extent, let from_us, let taken_us):
            event.operation == .read || event.transaction < 0
                ? (event.loadedAt_us ?? .min) < taken_us
                : event.loadedAt_us.map { $0 < from_us } ?? false || extent.shows(event.transaction)
        }
    }

    /// - Parameter isKnown: one of the row's events that were looked at made it.
    fileprivate func shows(_ version: Version?, isKnown: Bool) -> Bool {
        guard let version else { return true }
        return if case .since(let before) = unseen { Self.shows(version, before) } else { isKnown }
    }

    private static func shows(_ version: Version, _ before: Int64) -> Bool {
        version.commit < before || (version.commit == before && version.seq <= 0)
    }

    /// Nil: there is no place for it.
    fileprivate func version(_ own: Version, _ raw: Version?, _ stored: Version?, _ floor: Version) -> Version? {
        guard let newest = [raw, stored, floor.isNone ? nil : floor].compactMap({ $0 }).max() else { return own }
        // Below every position stands what shows none, and the next of it may stand anywhere.
        if isAboveStored { return newest.commit < 0 ? nil : newest.mended.map { max($0, own) } }
        return newest < own ? own : nil
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

/// Begins a new epoch of the source where its positions began again from lower numbers: raw's events from there on, and
/// those that come, are newer than all before. What current had made of them is undone by applying them again, when the
/// tables are released.
package enum EpochChange {
    /// What renumbering a table's raw found: events that weren't deferred, by where the ledger has them.
    package struct Renumbered: Sendable {
        package var superseded: Int
        /// Of keys of which one is listed as superseded.
        package var compacted: Int
        /// Applied, as far as can be told.
        package var others: Int

        package init(superseded: Int, compacted: Int, others: Int) {
            self.superseded = superseded
            self.compacted = compacted
            self.others = others
        }
    }

    /// In one transaction. - Throws: `.permanent` where nothing shows that it began.
    static func run(
        _ tables: [TableDefinition], layout: WarehouseLayout, in transaction: some WarehouseTransaction,
        loadedAt_us: Int64
    ) throws {
        try transaction.run {
            _ = try transaction.lock(tables.map(\.source).sorted(), exclusive: true)
            let tables = tables.filter(\.hasShape).sorted { $0.source < $1.source }
            guard let from_us = try transaction.holds(.restored).compactMap(\.from_us).min() else {
                throw ReplicationError(
                    .permanent, "the source's events tell no times, so where a new epoch begins can't be told",
                    remedy: "millrace drop --tables, then run again with the connector's snapshot")
            }
            let beginning = try beginning(tables, seenAt: from_us, in: transaction)
            var record = CommitRecord()
            var marks: [TopicPartition: [TableID: Version]] = [:]
            for table in tables {
                let found = try transaction.renumber(table, beginning)
                var entry = LedgerEntry(table: table.source)
                entry.superseded = -found.superseded
                entry.compacted = -found.compacted
                entry.applied = -found.others
                entry.deferred = found.superseded + found.compacted + found.others
                if entry.deferred > 0 {
                    record.ledger.append(entry)
                    // One that came to be known since the others were held.
                    try transaction.hold([
                        TableHold(
                            table: table.source, kind: .restored, reason: RestoreSuspicion.reason,
                            since_us: loadedAt_us, from_us: from_us)
                    ])
                }
                for (partition, highest) in try transaction.highest(table, before: nil) {
                    marks[partition, default: [:]][table.source] = highest.version
                }
            }
            record.loadedAt_us = loadedAt_us
            try transaction.record(record)
            try transaction.store(beginning, marks: marks)
        }
    }

    private static func beginning(
        _ tables: [TableDefinition], seenAt seen_us: Int64, in transaction: some WarehouseTransaction
    ) throws -> SourceEpochs.Beginning {
        func search(from from_us: Int64) throws -> EpochSearch {
            var search = EpochSearch(from_us: from_us)
            for table in tables {
                for (partition, highest) in try transaction.highest(table, before: from_us) {
                    search.add(highest, of: partition)
                }
            }
            for table in tables {
                for (partition, offset) in try transaction.first(table, from: from_us, below: search.versions) {
                    search.addFirst(offset, of: partition)
                }
            }
            return search
        }
        var found = try search(from: seen_us)
        if let last_us = found.last_us {
            // Other agents may have met it before. Between the last of before and the first of after there was a time when
            // the source stood still; whatever is read late of a partition that shows no step is of before it.
            let first_us = min(seen_us, try transaction.firstLate(after: last_us) ?? seen_us)
            found = try search(from: last_us + (first_us - last_us) / 2 + 1)
        }
        guard found.showsStep else {
            throw ReplicationError(
                .permanent, "no partition shows a step back in the source's log, so no new epoch begins",
                remedy: "millrace release --as redelivery")
        }
        return found.beginning(after: try transaction.epochs())
    }
}

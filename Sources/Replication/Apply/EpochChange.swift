/// Begins a new epoch of the source where its positions began again from lower numbers: raw's events from there on, and
/// those that come, are newer than all before. What current had made of them is undone by applying them again, when the
/// tables are released.
package enum EpochChange {
    /// What renumbering a table's raw found.
    package struct Renumbered: Sendable {
        /// Events that weren't deferred, by where the ledger has them: superseded, or else applied.
        package var superseded: Int
        package var others: Int

        package init(superseded: Int, others: Int) {
            self.superseded = superseded
            self.others = others
        }
    }

    /// In one transaction. - Throws: `.configuration` where no partition shows a step back.
    static func run(
        _ tables: [TableDefinition], layout: WarehouseLayout, in transaction: some WarehouseTransaction,
        loadedAt_us: Int64
    ) throws {
        try transaction.begin()
        do {
            _ = try transaction.lock(tables.map(\.source).sorted(), exclusive: true)
            let tables = tables.filter(\.hasShape).sorted { $0.source < $1.source }
            var search = EpochSearch()
            for table in tables {
                for (partition, highest) in try transaction.highest(table) { search.add(highest, of: partition) }
            }
            for table in tables {
                for (partition, found) in try transaction.first(table, behind: search.lastOffsets) {
                    search.addFirst(found.offset, time_us: found.time_us, of: partition)
                }
            }
            guard let beginning = search.beginning(after: try transaction.epochs()) else {
                throw ReplicationError(
                    .permanent, "no partition shows a step back in the source's log, so no new epoch begins",
                    remedy: "millrace release --as redelivery")
            }
            var record = CommitRecord()
            var marks: [TopicPartition: [TableID: Version]] = [:]
            for table in tables {
                let found = try transaction.renumber(table, beginning)
                var entry = LedgerEntry(table: table.source)
                entry.superseded = -found.superseded
                entry.applied = -found.others
                entry.deferred = found.superseded + found.others
                if entry.deferred > 0 { record.ledger.append(entry) }
                for (partition, highest) in try transaction.highest(table) {
                    marks[partition, default: [:]][table.source] = highest.version
                }
            }
            record.loadedAt_us = loadedAt_us
            try transaction.record(record)
            try transaction.store(beginning, marks: marks)
            try transaction.commit()
        } catch {
            transaction.rollback()
            throw error
        }
    }
}

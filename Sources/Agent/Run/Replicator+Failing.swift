import Replication

/// Tables that can't be written or changed are held by themselves, and tried again.
extension Replicator {
    /// Returns those that are as they should be. Others were made before, and are held: their events go to raw alone.
    func make(_ tables: [TableDefinition], recording changes: [SchemaChange] = []) async throws -> [TableDefinition] {
        let mayHold = settings.holdsTables && tables.allSatisfy { known[$0.source]?.hasShape == true }
        do {
            try await retrying("making tables") { [warehouse] in
                guard mayHold else { return try await warehouse.ensure(tables, recording: changes) }
                try await FailingTable.telling(tables) { try await warehouse.ensure(tables, recording: changes) }
            }
            return tables
        } catch let error as ReplicationError where mayHold && error.mayHoldTable {
            guard let table = error.table, let wanted = tables.first(where: { $0.source == table }) else {
                throw error
            }
            let holds = try await retrying("holding a table") { [warehouse] in
                try await warehouse.hold([table], .failing, reason: error.message)
                return try await warehouse.holds()
            }
            status.update { $0.holds = holds }
            logger.error("\(table) is held: \(error.message)")
            failing[table, default: FailingTable(settings.clock)].wanted = wanted
            let others = tables.filter { $0.source != table }
            // They happened all the same.
            try await retrying("recording schema changes") { [warehouse] in
                try await warehouse.ensure([], recording: changes)
            }
            return others.isEmpty ? [] : try await make(others)
        }
    }

    /// Tries tables again that are held since something of their own failed.
    func mend() async throws {
        let held = Set(status.current.holds.filter { $0.kind == .failing }.map(\.table))
        failing = failing.filter { held.contains($0.key) }
        for table in held where failing[table] == nil { failing[table] = FailingTable(settings.clock) }
        let due = held.filter { failing[$0]?.isDue ?? false }.sorted()
        // A release undoes the parts of a transaction that have come.
        guard !isUnfinished, !stopRequested else { return }
        try await beginDueSchemaChanges()
        _ = try await endSchemaHolds()
        guard !due.isEmpty else { return }
        try await drain()
        for table in due {
            var entry = failing[table] ?? FailingTable(settings.clock)
            do {
                if let wanted = entry.wanted {
                    try await warehouse.ensure([wanted])
                    entry.wanted = nil
                    known[table] = wanted
                    status.update { $0.tables[table]?.definition = wanted }
                }
                // Of another program's time; it comes with its first event.
                guard let definition = known[table] else { continue }
                if try await release(definition, lockWait_ms: entry.lockWait_ms) {
                    failing[table] = nil
                    if try await warehouse.holds().contains(where: { $0.table == table }) {
                        logger.notice("\(table) can be written again, and is still held")
                    } else {
                        logger.notice("\(table) goes on: what was deferred is applied")
                    }
                    continue
                }
                entry.succeeded()
            } catch let error as ReplicationError where error.leavesTableHeld {
                entry.failed()
                logger.warning("\(table) stays held: \(error.message)")
                failing[table] = entry
                // What it waited for the others waited for, too: they come first.
                return
            }
            failing[table] = entry
        }
    }

    /// For a short while; false: there is more.
    func release(
        _ table: TableDefinition, _ kind: TableHold.Kind = .failing, lockWait_ms: Int
    ) async throws -> Bool {
        var options = settings.release(table.source)
        options.lockWait_ms = lockWait_ms
        let started = settings.clock.instant()
        while settings.clock.instant() - started < .milliseconds(500) {
            let step = try await warehouse.release(table, kind, options)
            status.released(step.outcome)
            if step.isDone { return true }
        }
        return false
    }
}

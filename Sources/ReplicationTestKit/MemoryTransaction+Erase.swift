package import Replication

extension MemoryTransaction {
    package func erasures(_ table: TableID, _ names: [String]) throws -> [String: Erasure] {
        try step("erasures")
        return (working.erasures[table] ?? [:]).filter { names.contains($0.key) }
    }

    package func write(_ erasures: [Erasure], reason: String?) throws {
        try step("writeErasures")
        for erasure in erasures { working.erasures[erasure.table, default: [:]][erasure.keyHash] = erasure }
    }

    package func rawKeys(_ table: TableDefinition, _ body: (String) throws -> Void) throws {
        try step("rawKeys")
        for event in working.raw[table.source] ?? [] {
            if let key = event.key { try body(key) }
            if let key = event.otherKey { try body(key) }
        }
    }

    package func scrubRaw(_ table: TableDefinition, _ events: [RawEvent], as name: String) throws {
        try step("scrubRaw")
        let ids = Set(events.map(\.id))
        amendRaw(table.source) { event in
            guard ids.contains(event.id) else { return }
            event.key = Erasure.rawKey(name)
            event.otherKey = nil
            event.before = nil
            event.after = nil
            event.unchanged = []
        }
    }

    package func scrubOldKeys(_ table: TableDefinition, _ keys: [String]) throws {
        try step("scrubOldKeys")
        amendRaw(table.source) { event in
            guard let other = event.otherKey, keys.contains(other) else { return }
            event.otherKey = nil
            event.before = nil
        }
    }

    private func amendRaw(_ table: TableID, _ change: (inout RawEvent) -> Void) {
        guard var events = working.raw[table] else { return }
        for index in events.indices { change(&events[index]) }
        working.raw[table] = events
    }

    package func removeRows(_ staged: StagedTable, _ rows: [Int]) throws {
        try step("removeRows")
        for row in rows { working.current[staged.definition.source]?[groups[row]] = nil }
    }

    /// It notes no times of arrival.
    package func reconcile(_ table: TableID, _ keys: [String], _ arrived_us: Range<Int64>) throws {
        try step("reconcile")
        for late in working.late where late.table == table && late.key.map(keys.contains) ?? false {
            working.reconciled.insert(late.id)
        }
    }

    package func forgetKeys(_ table: TableID, _ keys: [String], _ events: [EventID]) throws -> Int {
        try step("forgetKeys")
        for index in working.late.indices where working.late[index].table == table {
            let late = working.late[index]
            if events.contains(late.id) || late.key.map(keys.contains) ?? false { working.late[index].key = nil }
        }
        working.moves = working.moves.filter {
            $0.table != table || !keys.contains($0.oldKey) && !keys.contains($0.newKey)
        }
        let before = working.deferred[table]?.count ?? 0
        working.deferred[table]?.removeAll { events.contains($0.event.id) }
        return before - (working.deferred[table]?.count ?? 0)
    }

    package func scrubQuarantine(_ ids: [Int64]) throws -> Int {
        try step("scrubQuarantine")
        var count = 0
        for index in working.quarantine.indices where ids.contains(working.quarantine[index].id) {
            working.quarantine[index].entry.key = nil
            working.quarantine[index].entry.value = nil
            working.quarantine[index].entry.headers = nil
            working.quarantine[index].entry.gate?.key = nil
            working.quarantine[index].state = .discarded
            count += 1
        }
        return count
    }

    package func hasIncompleteRows(_ table: TableDefinition) throws -> Bool {
        try step("hasIncompleteRows")
        return (working.current[table.source] ?? [:]).values.contains {
            !$0.isDeleted && $0.columnVersions.isIncomplete
        }
    }

    /// It doesn't know when an event was loaded.
    package func trimRaw(_ table: TableDefinition, before time_us: Int64, limit: Int) throws -> Int {
        try step("trimRaw")
        return 0
    }
}

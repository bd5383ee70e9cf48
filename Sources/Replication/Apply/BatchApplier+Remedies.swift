extension BatchApplier {
    /// How often one batch is tried before a data error that can't be pinned on rows is passed on.
    private static var attempts_max: Int { 32 }
    /// Rows of a batch that are put aside since the engine refuses them. With more the table is at fault, not its rows.
    static var refused_max: Int { 100 }

    /// Applies a batch and deals with what one attempt may run into: a raw row that is there though the marks said
    /// otherwise (all events are probed), and rows that the engine refuses (found by halving, put aside).
    package static func applyWithRemedies(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, probeAll: Bool = false,
        suspicion: RestoreSuspicion? = nil
    ) throws -> Outcome {
        var probeAll = probeAll
        var refused: [Int32: String] = [:]
        for attempt in 1... {
            do {
                return try apply(
                    batch, advancing: advances, layout: layout, in: transaction, loadedAt_us: loadedAt_us,
                    probeAll: probeAll, refused: refused, suspicion: suspicion)
            } catch let error as ReplicationError where error.kind == .duplicateRaw && !probeAll {
                probeAll = true
            } catch let error as ReplicationError where error.kind == .data && attempt < attempts_max {
                let found = try refusals(
                    batch, error, refused, layout: layout, in: transaction, loadedAt_us: loadedAt_us)
                guard !found.isEmpty else { throw error }
                refused.merge(found) { old, _ in old }
            }
        }
        throw ReplicationError(.invariant, "unreachable")
    }

    /// Events (indices) of the table that `error` is about whose rows the engine refuses, with reasons; `known` ones left
    /// out. The transaction isn't open, and isn't when this returns.
    static func refusals(
        _ batch: ChangeBatch, _ error: ReplicationError, _ known: [Int32: String], layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, isReplay: Bool = false,
        quarantinesAll: Bool = false
    ) throws -> [Int32: String] {
        guard let table = error.table, let index = batch.tables.firstIndex(where: { $0.source == table }) else {
            throw error
        }
        let suspects = batch.events.indices.map(Int32.init).filter {
            Int(batch.events[Int($0)].table) == index && known[$0] == nil
                && batch.events[Int($0)].operation != .truncate
                // Of erased rows there is nothing that could be refused.
                && (batch.events[Int($0)].before >= 0 || batch.events[Int($0)].after >= 0)
        }
        var found: [Int32: String] = [:]
        // Where raw is off nothing could keep the events of a table that is held.
        let isBounded = !quarantinesAll && layout.hasRaw && layout.hasCurrent
        try findRefusals(batch, index, suspects, layout, transaction, loadedAt_us, isReplay, isBounded, &found)
        return found
    }

    /// Events whose rows the engine refuses, found by trying halves in transactions that are rolled back.
    private static func findRefusals(
        _ batch: ChangeBatch, _ table: Int, _ events: [Int32], _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ isReplay: Bool, _ isBounded: Bool,
        _ found: inout [Int32: String]
    ) throws {
        guard let reason = try refusal(batch, table, events, layout, transaction, loadedAt_us, isReplay) else { return }
        if events.count <= 1 {
            if let event = events.first { found[event] = reason }
            guard !isBounded || found.count <= refused_max else {
                var error = ReplicationError(
                    .permanent, "more than \(refused_max) rows of a batch are refused, the first so: \(reason)",
                    remedy: "mend the table, or put the rows aside: millrace release TABLE --quarantine-failing",
                    table: batch.tables[table].source)
                error.isTablesOwn = true
                throw error
            }
            return
        }
        let middle = events.count / 2
        for half in [events[..<middle], events[middle...]] {
            try findRefusals(
                batch, table, Array(half), layout, transaction, loadedAt_us, isReplay, isBounded, &found)
        }
    }

    /// Tries the events alone; the reason if the engine refuses one of their rows.
    private static func refusal(
        _ batch: ChangeBatch, _ table: Int, _ events: [Int32], _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ isReplay: Bool
    ) throws -> String? {
        guard !events.isEmpty else { return nil }
        let definition = batch.tables[table]
        try transaction.begin()
        defer { transaction.rollback() }
        do {
            _ = try transaction.lock([definition.source], exclusive: false)
            if layout.hasRaw, !isReplay {
                do {
                    try transaction.appendRaw(definition, batch, events)
                } catch let error as ReplicationError where error.kind == .duplicateRaw {
                    return nil
                }
            }
            guard layout.hasCurrent else { return nil }
            if definition.isKeyless {
                let inserts = events.filter { batch.events[Int($0)].operation != .delete }
                _ = try transaction.applyKeyless(
                    definition, batch, inserts: inserts, ends: [], loadedAt_us: loadedAt_us)
            } else {
                let staged = Coalescer.coalesce(batch, table: table, events: events, floors: []).staged
                try transaction.stage(staged, batch)
                _ = try transaction.merge(staged, batch, patches: [], loadedAt_us: loadedAt_us)
            }
            return nil
        } catch let error as ReplicationError where error.kind == .data {
            return "the warehouse refuses a value: \(error.message)"
        }
    }
}

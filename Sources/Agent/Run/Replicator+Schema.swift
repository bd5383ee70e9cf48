import Replication

/// Schema changes: what the warehouse gets at once, what waits for a person, and what was decided.
extension Replicator {
    package struct SchemaSettings: Sendable {
        package var policy = SchemaPolicy()
        /// Under which the source's copies are marked; nil: it can't copy tables.
        package var copyJob: String?
        /// Raw keeps what current can't have yet.
        package var mayHold = true
        /// Without it there is nothing that a change could break.
        package var hasCurrent = true

        package init() {}
    }

    /// Has the warehouse follow what the batch shows of its tables' schemas. Before any of its rows is written.
    ///
    /// - Returns: whether something was changed.
    func follow(_ all: [TableID: SchemaEvolution], _ gone: [SchemaChange]) async throws -> Bool {
        var evolutions: [TableID: SchemaEvolution] = [:]
        for (table, evolution) in all {
            // A table that isn't there yet has nothing that could break, either, unless it is made for events of before.
            let isThere = known[table]?.hasShape == true || evolution.isOfEvents && evolution.isHeld
            let hasCurrent = settings.schema.hasCurrent && isThere
            let evolution = hasCurrent ? evolution : evolution.withoutCurrent
            // Also with what came since of a table that waits for something else.
            waiting[table] = evolution.wanted == evolution.applied ? nil : evolution.wanted
            if isNew(evolution, of: table) { evolutions[table] = evolution }
        }
        guard !evolutions.isEmpty || !gone.isEmpty else { return false }
        // Tables are made in a transaction of their own; with them known the source transaction comes again.
        if isUnfinished { await warehouse.abandon() }
        for (table, evolution) in evolutions.sorted(by: { $0.key < $1.key }) {
            try refuse(evolution, of: table)
            try settings.validate(evolution.applied, known.values.filter { $0.source != table })
            let isKnown = known[table]?.hasShape == true
            if evolution.needsCopy, isKnown { try await forgetCopy(of: table) }
            if evolution.isHeld {
                let plans = evolution.changes.filter { $0.state == .waiting && $0.kind.holdsTable }
                try await hold(table, plans.map(\.what).joined(separator: "; "))
            }
            let isMade = evolution.isOfEvents && !isKnown
            let made = try await make(
                [evolution.applied],
                recording: (isMade ? [SchemaChange.new(table: table)] : []) + evolution.changes)
            tell(evolution.changes)
            if !made.isEmpty { note(evolution.applied) }
            if evolution.needsCopy, isKnown { await source.copyAnew([table]) }
        }
        if let change = gone.first, settings.schema.policy.breaking == .stop {
            throw ReplicationError(
                .configuration, "\(change.what), and schema_changes says to stop there",
                remedy: "set schema_changes: { breaking: plan } (or ignore) in the pipeline file, then millrace run",
                table: change.table)
        }
        if !gone.isEmpty {
            try await retrying("recording schema changes") { [warehouse] in
                try await warehouse.ensure([], recording: gone)
            }
            tell(gone)
        }
        try await readSchemaChanges()
        return true
    }

    /// False: a start has met again what waits already.
    private func isNew(_ evolution: SchemaEvolution, of table: TableID) -> Bool {
        if known[table] != evolution.applied || evolution.stops != nil { return true }
        if evolution.isHeld, !status.current.holds.contains(where: { $0.table == table && $0.kind == .schema }) {
            return true
        }
        return !SchemaChange.new(evolution.changes, beside: schemaChanges, now_us: 0).isEmpty
    }

    /// Has tables copied anew of which events couldn't be read, once a run.
    func copyUnreadable(_ tables: Set<TableID>) async throws {
        for table in tables.sorted() where !unreadable.contains(table) {
            unreadable.insert(table)
            logger.warning("\(table): events of before a change of its key are put aside; it is copied anew")
            try await forgetCopy(of: table)
            await source.copyAnew([table])
        }
    }

    /// Changes that a decoder doesn't tell of: members that events have and the table hasn't. Gives what is to be made.
    func adding(_ wanted: TableDefinition) async throws -> (made: TableDefinition, changes: [SchemaChange]) {
        guard let before = known[wanted.source], before.hasShape else {
            return (wanted, [.new(table: wanted.source)])
        }
        let (wanted, added) = before.adding(what: wanted, beside: waiting[wanted.source])
        if var waiting = waiting[wanted.source] {
            waiting.columns += added
            self.waiting[wanted.source] = waiting
        }
        let policy = settings.schema.policy
        var changes: [SchemaChange] = added.map { column in
            var change = SchemaChange(
                table: wanted.source, kind: .addColumn, state: policy.additive == .plan ? .waiting : .applied,
                column: column.name, after: column.type.sql, position: 0)
            change.wanted = column
            return change
        }
        guard let first = changes.first, policy.additive != .apply else { return (wanted, changes) }
        var evolution = SchemaEvolution(
            before, wanted: before, to: SourceSchema(position: 0, columns: []), told: .init(),
            choice: TableChoice(target: before.target), policy: policy)
        evolution.changes = changes
        evolution.stops = policy.additive == .stop ? first : nil
        try refuse(evolution, of: wanted.source)
        try await hold(wanted.source, changes.map(\.what).joined(separator: "; "))
        waiting[wanted.source] = waiting[wanted.source] ?? wanted
        changes = evolution.changes
        return (before, changes)
    }

    private func refuse(_ evolution: SchemaEvolution, of table: TableID) throws {
        if let change = evolution.stops {
            throw ReplicationError(
                .configuration, "\(table): \(change.what), and schema_changes says to stop there",
                remedy: change.kind.isAdditive
                    ? "set schema_changes: { additive: apply } (or plan) in the pipeline file, then millrace run"
                    : "set schema_changes: { breaking: plan } (or ignore) in the pipeline file, then millrace run",
                table: table)
        }
        guard evolution.isHeld, !settings.schema.mayHold else { return }
        throw ReplicationError(
            .configuration,
            "\(table): \(evolution.changes.last?.what ?? ""), and without its raw layer nothing could keep its events until that is decided",
            remedy: "set layers: { raw: true, current: true }, or schema_changes: { breaking: ignore }", table: table)
    }

    private func hold(_ table: TableID, _ reason: String) async throws {
        // Where it was decided meanwhile, through another agent, there is nothing that it would wait for.
        let stored = try await retrying("reading tables") { [warehouse] in try await warehouse.knownTables() }
        if let stored = stored.first(where: { $0.source == table }), let known = known[table],
            known.revision < stored.revision
        {
            throw ReplicationError.outdated(table, "a schema change of it was decided")
        }
        let holds = try await retrying("holding a table") { [warehouse] in
            try await warehouse.hold([table], .schema, reason: reason)
            return try await warehouse.holds()
        }
        status.update { $0.holds = holds }
    }

    /// Before the warehouse follows: whatever happens then, the next start copies it.
    private func forgetCopy(of table: TableID) async throws {
        guard let job = settings.schema.copyJob else {
            logger.warning("\(table): earlier rows have values that no event brings, and this source can't be asked")
            return
        }
        copiedAnew.insert(table)
        try await retrying("forgetting a copy") { [warehouse] in try await warehouse.forgetCopied(job: job, [table]) }
    }

    func tell(_ changes: [SchemaChange]) {
        for change in changes where change.kind != .newTable {
            if change.state == .waiting {
                logger.warning("\(change.table): \(change.what). Try: millrace schema list")
            } else {
                logger.notice("\(change.table): \(change.what)")
            }
        }
    }

    func note(_ definition: TableDefinition) {
        known[definition.source] = definition
        status.update {
            $0.tables[
                definition.source, default: .init(definition: definition, ledger: .init(table: definition.source))
            ].definition = definition
        }
    }

    // MARK: What was decided

    func readSchemaChanges() async throws {
        let changes = try await retrying("reading schema changes") { [warehouse] in
            try await warehouse.schemaChanges()
        }
        schemaChanges = changes
        status.update { $0.schemaChanges = changes }
    }

    /// Does what is due of approved plans; before anything is read, so that decoders begin with what is there then.
    func settleSchema() async throws {
        let stuck = try await retrying("changing schemas") { [warehouse, logger] in
            try await SchemaDecisions.settle(warehouse, logger: logger)
        }
        stuckChanges = Dictionary(uniqueKeysWithValues: stuck.map { ($0, FailingTable(settings.clock)) })
        try await readSchemaChanges()
    }

    /// Lets tables go on whose plans are decided. False: there is more to apply.
    func endSchemaHolds() async throws -> Bool {
        let held = status.current.holds.filter { $0.kind == .schema }.map(\.table).sorted()
        for table in held {
            let isOpen = schemaChanges.contains { $0.table == table && $0.state.isOpen && $0.kind.holdsTable }
            guard !isOpen, let definition = known[table] else { continue }
            try await drain()
            guard try await release(definition, .schema, lockWait_ms: 4000) else { return false }
            waiting[table] = nil
            logger.notice("\(table) goes on: what was deferred is applied")
            let holds = try await warehouse.holds()
            status.update { $0.holds = holds }
        }
        return true
    }

    /// Something of a plan is to be done now; the runner begins anew, with what is there then.
    func beginDueSchemaChanges() async throws {
        let due = schemaChanges.filter { $0.isDue(at: settings.clock.now_us()) && stuckChanges[$0.id]?.isDue ?? true }
            .map(\.id)
        guard !due.isEmpty, source.kind != "file" else { return }
        try await drain()
        // Where they are stuck still there is nothing to begin anew for.
        if due.allSatisfy({ stuckChanges[$0] != nil }) {
            let stuck = try await SchemaDecisions.settle(warehouse, only: Set(due), logger: logger)
            for id in stuck { stuckChanges[id]?.failed() }
            try await readSchemaChanges()
            guard stuck.count < due.count else { return }
        }
        throw ReplicationError(.restart, "a schema change that was approved is due")
    }
}

import Debezium
import Postgres
import Replication

/// `AgentControl` over a warehouse in hand: the running agent's, or one that a command opened.
package struct WarehouseControl: AgentControl {
    /// What only a running agent has.
    package struct Running: Sendable {
        package var status: AgentStatus
        /// Does what changes checkpoints, and lets the runner begin anew from what is stored then.
        package var rejoin: @Sendable (_ work: @Sendable () async throws -> Void) async throws -> Void
        /// Lets the source copy tables anew.
        package var copyAnew: @Sendable ([TableID]) async -> Void
        /// Lets the warehouse's file go, and takes it back (nil).
        package var lend: @Sendable (_ borrower: (pid: Int32, program: String)?) async throws -> Void
        /// Reads the pipeline file again.
        package var reload: @Sendable () async throws -> ReloadReport
        /// Nil: the source can't be compared with.
        package var sweeps: SweepJobs?
        /// Of `quality`.
        let examinations = OneAtATime()

        package init(
            status: AgentStatus,
            copyAnew: @escaping @Sendable ([TableID]) async -> Void = { _ in },
            lend: @escaping @Sendable (_ borrower: (pid: Int32, program: String)?) async throws -> Void = { _ in },
            reload: @escaping @Sendable () async throws -> ReloadReport = { ReloadReport() },
            rejoin: @escaping @Sendable (_ work: @Sendable () async throws -> Void) async throws -> Void
        ) {
            self.status = status
            self.copyAnew = copyAnew
            self.lend = lend
            self.reload = reload
            self.rejoin = rejoin
        }
    }

    package var layout: WarehouseLayout
    package var warehouse: any Warehouse
    package var running: Running?
    package var makeDecoder: @Sendable ([TableDefinition]) throws -> DebeziumDecoder
    package var validate: @Sendable (TableDefinition, [TableDefinition]) throws -> Void
    /// Fetches what decoding needs beside the records.
    package var prepare: @Sendable (RecordBatch) async throws -> Void = { _ in }
    /// How a table's deferred events are released.
    package var releaseOptions: @Sendable (TableID) -> ReleaseOptions = { _ in ReleaseOptions() }
    package var hashedColumns: @Sendable (TableID) -> Set<String> = { _ in [] }
    /// What is expected of tables.
    package var expectations: @Sendable () -> [QualityRules] = { [] }
    /// What is promised of tables; by their names as they are known.
    package var contracts: @Sendable ([TableID]) -> [FreshnessContract] = { _ in [] }
    /// A running agent stops queries that hold its writer up for longer.
    package var query_s_max = 60.0
    /// As long may one statement of `quality` hold a table's lock, for which the writer waits where the table changes.
    package var examination_s_max = 300.0
    /// Positions are Postgres' own.
    package var hasLSNs = false
    /// The Postgres source's, which its checkpoint goes by.
    package var slot: String?
    /// Under which the tables' copies are marked; nil: the source can't copy tables.
    package var copyJob: String?

    package init(
        layout: WarehouseLayout, warehouse: any Warehouse, running: Running? = nil,
        makeDecoder: @escaping @Sendable ([TableDefinition]) throws -> DebeziumDecoder,
        validate: @escaping @Sendable (TableDefinition, [TableDefinition]) throws -> Void = { _, _ in }
    ) {
        self.layout = layout
        self.warehouse = warehouse
        self.running = running
        self.makeDecoder = makeDecoder
        self.validate = validate
    }

    package func status() async throws -> StatusReport {
        do {
            return try await wholeStatus()
        } catch {
            // A warehouse that is away is what the agent waits for, and it knows that much by itself.
            guard let kind = (error as? ReplicationError)?.kind, kind == .passing || kind == .environment,
                let snapshot = running?.status.current, let waiting = snapshot.waiting
            else { throw error }
            var report = StatusReport(snapshot, layout: layout, isRunning: true, now_us: Moment.now_us())
            report.isAgentRunning = true
            report.waiting = "\(waiting); what is counted here is since the agent began"
            return report
        }
    }

    private func wholeStatus() async throws -> StatusReport {
        if let snapshot = running?.status.current, snapshot.state == .standby || snapshot.lent != nil {
            // The warehouse may be the other's alone.
            var report = StatusReport(snapshot, layout: layout, isRunning: true, now_us: Moment.now_us())
            report.isAgentRunning = true
            return report
        }
        let (ledger, control) = try await warehouse.ledger()
        let known = try await warehouse.knownTables()
        let checkpoints = try await warehouse.checkpoints()
        var positions: [TopicPartition: Int64] = [:]
        for checkpoint in checkpoints { positions[checkpoint.partition] = checkpoint.position }
        var report = StatusReport(
            pipeline: layout.pipeline, state: .stopped, position: StatusReport.position(positions, asLSN: hasLSNs),
            control: control)
        if hasLSNs {
            // A backfill's own slot has a checkpoint too: the one that went furthest tells.
            let newest = checkpoints.max { ($0.position ?? .min) < ($1.position ?? .min) }
            report.consistentSince = newest?.decoderState.flatMap(PostgresSourceState.init(json:))?.consistentSince
                .map(LSN.text)
        }

        var entries: [TableID: LedgerEntry] = [:]
        for entry in ledger {
            if let table = entry.table { entries[table] = entry } else { report.unknown += entry }
        }
        let sweeps = try await warehouse.lastSweeps()
        for id in Set(entries.keys).union(known.map(\.source)).sorted() {
            let definition = known.first { $0.source == id }
            var table = StatusReport.Table(
                source: id.description, target: definition.map { "\(layout.current).\($0.target)" },
                ledger: entries[id] ?? LedgerEntry(table: id))
            table.oid = definition?.followed?.oid
            if let definition, layout.hasCurrent { table.rows = try await warehouse.counts(definition) }
            if let sweep = sweeps[id] { table.sweep = .init(sweep.last, proof: sweep.proof) }
            report.tables.append(table)
        }
        add(to: &report)
        report.note(try await warehouse.holds())
        report.note(try await warehouse.schemaChanges())
        for table in try await freshness(known).tables {
            guard let index = report.tables.firstIndex(where: { $0.source == table.table }) else { continue }
            report.tables[index].freshness = table
        }
        return report
    }

    private func add(to report: inout StatusReport) {
        guard let snapshot = running?.status.current else { return }
        let run = StatusReport(snapshot, layout: layout, isRunning: true, now_us: Moment.now_us())
        report.isAgentRunning = true
        report.state = run.state == .ok && report.quarantined > 0 ? .degraded : run.state
        report.waiting = run.waiting
        report.lost = run.lost
        report.consistentSince = run.consistentSince
        report.cutTransactions = run.cutTransactions
        for index in report.tables.indices {
            guard let table = run.tables.first(where: { $0.source == report.tables[index].source }) else { continue }
            report.tables[index].state = table.state
            report.tables[index].lag_ms = table.lag_ms
            report.tables[index].error = table.error
        }
        // Ones of which the warehouse knows nothing yet, as they can't be copied.
        report.tables += run.tables.filter { table in
            table.error != nil && !report.tables.contains { $0.source == table.source }
        }
        report.tables.sort { $0.source < $1.source }
    }

    /// The warehouse, unless it is another agent's.
    func atWork() throws -> any Warehouse {
        guard running?.status.current.state != .standby else {
            throw CommandFailure(
                ExitStatus.environment, "this agent stands by, and another one is at work",
                try: "ask that one: millrace status -c with the pipeline file that it runs with")
        }
        if let lent = running?.status.current.lent {
            throw CommandFailure(
                ExitStatus.environment, "\(lent), and this agent hasn't got it", try: "try again when that has ended")
        }
        return warehouse
    }

    package func lend(to borrower: Int32, program: String) async throws {
        _ = try atWork()
        // One that nobody waits for comes again by itself.
        await running?.sweeps?.stop(scheduled: true)
        guard running?.sweeps?.isRunning != true else {
            throw CommandFailure(
                ExitStatus.environment, "a sweep is under way, and has the file open",
                try: "try again when it has ended")
        }
        try await running?.lend((borrower, program))
    }

    package func endLoan() async throws { try await running?.lend(nil) }

    package func reload() async throws -> ReloadReport {
        guard let running else {
            throw CommandFailure(
                ExitStatus.usage, "no agent runs that could read the pipeline file again",
                try: "millrace run, which reads it")
        }
        return try await running.reload()
    }

    package func checkpoints() async throws -> [Checkpoint] { try await atWork().checkpoints() }

    package func set(positions: [TopicPartition: Int64?]) async throws {
        let warehouse = try atWork()
        guard let running else { return try await warehouse.set(positions: positions) }
        try await running.rejoin { try await warehouse.set(positions: positions) }
    }

    package func query(_ sql: String, asOf: String?, rows_max: Int) async throws -> QueryResult {
        let warehouse = try atWork()
        guard let asOf else {
            return try await limited(warehouse) { try await warehouse.query(sql, rows_max: rows_max) }
        }
        let query = try await asOfQuery(sql, asOf, warehouse)
        return try await limited(warehouse) { try await warehouse.query(query, rows_max: rows_max) }
    }

    func limited<R: Sendable>(
        _ warehouse: any Warehouse, _ query: () async throws -> R
    ) async throws -> R {
        guard running != nil else { return try await query() }
        // One thread writes and answers: a query without an end would hold the replication up for ever.
        let limit_s = query_s_max
        let watch = Task {
            try await Task.sleep(for: .seconds(limit_s))
            warehouse.interrupt()
        }
        defer { watch.cancel() }
        let started = ContinuousClock.now
        do {
            return try await query()
        } catch let error as ReplicationError
            where error.kind == .passing && ContinuousClock.now - started >= .seconds(limit_s)
        {
            throw ReplicationError(
                .permanent, "the query was stopped after \(Int(limit_s)) s, since the agent replicates meanwhile",
                remedy: "ask for less, or stop the agent first")
        }
    }

    package func quarantine() async throws -> [QuarantinedRecord] { try await atWork().quarantine() }

    package func quarantined(_ id: Int64) async throws -> QuarantinedRecord? {
        try await atWork().quarantine().first { $0.id == id }
    }

    package func replay(_ choice: QuarantineChoice) async throws -> [QuarantineOutcome] {
        let replay = QuarantineReplay(
            warehouse: warehouse, makeDecoder: makeDecoder, prepare: prepare, validate: validate,
            mayChangeTables: running == nil, release: releaseOptions)
        return try await replay.run(try await waiting(choice))
    }

    package func discard(_ choice: QuarantineChoice) async throws -> [QuarantineOutcome] {
        let ids = try await waiting(choice).map(\.id)
        guard !ids.isEmpty else { return [] }
        try await warehouse.settleQuarantine(ids, as: .discarded)
        return ids.map { QuarantineOutcome(id: $0, state: .discarded) }
    }

    /// - Throws: where an id isn't there, or doesn't wait any more.
    private func waiting(_ choice: QuarantineChoice) async throws -> [QuarantinedRecord] {
        let all = try await atWork().quarantine()
        guard case .ids(let ids) = choice else { return all.filter { $0.state == .waiting } }
        return try Set(ids).sorted().map { id in
            guard let record = all.first(where: { $0.id == id }) else {
                throw CommandFailure(2, "there is no record \(id) in quarantine", try: "millrace quarantine list")
            }
            guard record.state == .waiting else {
                throw CommandFailure(
                    2, "record \(id) doesn't wait any more: it was \(record.state.rawValue)",
                    try: "millrace quarantine list")
            }
            return record
        }
    }
}

import Agent
import Debezium
import Logging
import Postgres
import Replication
import ReplicationTestKit
import Synchronization

/// One history: a source, a pipeline from it with the real runner, decoder and applier, a warehouse in memory, and what
/// goes wrong meanwhile. Everything hangs on the seed.
package struct Simulation: Sendable {
    package enum Source: String, CaseIterable, Sendable {
        /// A slot's stream.
        case stream
        /// A slot's stream beside copies of the tables.
        case copy
        /// A consumer group's partitions with Debezium's events.
        case group
    }

    package var seed: UInt64
    package var source: Source
    package var shape = SourceModel.Shape()
    package var rates = FaultRates()
    /// Guards that are taken out, to see that something fails without them.
    package var without: Set<MemoryTransaction.Guard> = []

    package init(seed: UInt64, source: Source) {
        self.seed = seed
        self.source = source
    }

    /// Keep what each batch was and what became of it.
    package var isTraced = false

    package struct Outcome: Sendable {
        package var trace: [String] = []
        /// What is wrong; empty: nothing.
        package var failures: [String] = []
        /// What went wrong on the way, as it was meant to.
        package var faults: [String] = []
        package var starts = 0
        package var events = 0
    }

    fileprivate static let starts_max = 150

    package func run() -> Outcome {
        let loop = SimulationLoop()
        let model = SourceModel(seed: seed, shape: shape)
        let history = History(self, model, loop)
        let hasEnded = loop.run { await history.run() }
        var outcome = history.outcome
        outcome.faults = history.faults.told
        if !hasEnded { outcome.failures.append("it hangs") }
        return outcome
    }
}

private actor History {
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private nonisolated let simulation: Simulation
    private nonisolated let model: SourceModel
    private nonisolated let loop: SimulationLoop
    nonisolated let faults: FaultScript
    private nonisolated let store = MemoryStore()
    private nonisolated let layout: WarehouseLayout
    private nonisolated let result = Mutex(Simulation.Outcome())

    init(_ simulation: Simulation, _ model: SourceModel, _ loop: SimulationLoop) {
        self.simulation = simulation
        self.model = model
        self.loop = loop
        faults = FaultScript(seed: simulation.seed &* 0x9E37_79B9 &+ 17)
        layout = WarehouseLayout(pipeline: "sim")
    }

    nonisolated var outcome: Simulation.Outcome { result.withLock { $0 } }

    private nonisolated func fail(_ text: String) {
        result.withLock { if $0.failures.count < 5, !$0.failures.contains(text) { $0.failures.append(text) } }
    }

    private nonisolated func trace(_ name: String) -> (@Sendable (String) -> Void)? {
        guard simulation.isTraced else { return nil }
        return { [self] text in result.withLock { $0.trace.append("\(name): \(text)") } }
    }

    func run() async {
        switch simulation.source {
        case .stream, .copy: await runDirect()
        case .group: await runGroup()
        }
        releaseAll()
        check()
    }

    // MARK: Agents

    private nonisolated func makeDecoder(_ known: [TableDefinition]) throws -> any RecordDecoder {
        let select: @Sendable (TableID) -> TableChoice? = { TableChoice(target: $0.table) }
        guard simulation.source == .group else {
            var configuration = PgOutputConfiguration(select: select)
            configuration.knownTables = known
            return PgOutputDecoder(configuration)
        }
        var configuration = DecoderConfiguration(select: select)
        configuration.knownTables = known
        for table in ModelTable.all {
            configuration.catalogTypes[table.id] = Dictionary(
                uniqueKeysWithValues: table.columns.map { ($0.name, $0.type == "bigint" ? .bigint : .text) })
            if !table.isKeyless { configuration.catalogKeys[table.id] = table.key.map { table.columns[$0].name } }
            // Else a key of zeros could be the trace of an identity that doesn't cover it.
            configuration.replicaIdentity[table.id] = table.isKeyless ? .full : .coversKey
        }
        return try DebeziumDecoder(configuration: configuration)
    }

    private func replicator(_ source: any RecordSource, _ warehouse: any Warehouse, _ name: String) -> Replicator {
        var settings = Replicator.Settings(owner: name)
        // Retries wait no time here, and as often each time.
        settings.clock.sleep = { _ in }
        settings.clock.jitter = { _ in 1 }
        var logger = Logger(label: "sim") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        return Replicator(
            source: source, warehouse: warehouse, status: AgentStatus(), settings: settings, logger: logger,
            executor: loop, taskExecutor: loop
        ) { [self] known in try makeDecoder(known) }
    }

    /// Whether an agent that ended so is started again.
    private func passes(_ error: any Error) -> Bool {
        if error is SimulatedCrash { return true }
        guard let error = error as? ReplicationError else { return false }
        return [.passing, .restart, .fenced].contains(error.kind)
    }

    private func runDirect() async {
        let rates = simulation.rates
        while true {
            let starts = result.withLock { outcome in
                outcome.starts += 1
                return outcome.starts
            }
            guard starts < Simulation.starts_max else { return fail("it doesn't end") }
            let warehouse = SimulatedWarehouse(
                store, layout, loop, faults, rates, without: simulation.without, onTrace: trace("one")
            ) { [self] in checkWhole($0) }
            let source = SimulatedStream(
                model, warehouse, loop, faults, rates, copies: simulation.source == .copy)
            do {
                try await replicator(source, warehouse, "one").run()
                if faults.slotIsLost { fail("the slot was lost, and nobody was told") }
                return
            } catch {
                // It mustn't end otherwise, nor go on as if nothing had happened.
                if faults.slotIsLost, (error as? ReplicationError)?.kind == .environment { return }
                guard passes(error) else { return fail("the agent ended: \(error)") }
            }
        }
    }

    private func runGroup() async {
        let group = SimulatedGroup(SimulatedLog(model, seed: simulation.seed &+ 5), store, faults, simulation.rates)
        let count = 1 + faults.below(3)
        let agents = (0..<count).map { id in Task(executorPreference: loop) { await self.agent(id, group) } }
        for agent in agents { await agent.value }
        if !group.isFinished { fail("the partitions' ends aren't reached") }
    }

    private func agent(_ id: Int, _ group: SimulatedGroup) async {
        while !group.isFinished {
            let starts = result.withLock { outcome in
                outcome.starts += 1
                return outcome.starts
            }
            guard starts < Simulation.starts_max else { return fail("it doesn't end") }
            let freezer = Freezer(loop)
            group.join(id, freezer)
            let warehouse = SimulatedWarehouse(
                store, layout, loop, faults, simulation.rates, without: simulation.without, freezer: freezer,
                onTrace: trace("agent \(id)")
            ) { _ in }
            let source = SimulatedConsumer(id, group, freezer, loop, faults, simulation.rates)
            do {
                try await replicator(source, warehouse, "agent \(id)").run()
            } catch {
                group.leave(id)
                guard passes(error) else { return fail("agent \(id) ended: \(error)") }
            }
        }
        group.leave(id)
        // Nobody else may be left to wake those who froze last.
        await group.thawAll()
    }

    /// What is still held is released at last.
    private func releaseAll() {
        let transaction = MemoryTransaction(store: store)
        transaction.without = simulation.without
        var writer = BatchWriter()
        for hold in store.tables.holds {
            guard let table = store.tables.definitions[hold.table] else { continue }
            do {
                while try !writer.release(
                    table, hold.kind, layout: layout, in: transaction, loadedAt_us: store.tick(),
                    ReleaseOptions(limit: 5)
                ).isDone {}
            } catch {
                fail("\(hold.table) can't be released: \(error)")
            }
        }
    }

    // MARK: The oracle

    private static func live(_ tables: MemoryTables, _ table: ModelTable) -> [String] {
        (tables.current[table.id] ?? [:]).values.filter { !$0.isDeleted }.map { row in
            SourceModel.text(
                table.columns.map { column in
                    guard let value = row.values[column.name], value != "null" else { return nil }
                    return value.hasPrefix("\"") ? String(value.dropFirst().dropLast()) : value
                })
        }.sorted()
    }

    /// What a reader sees between any two transactions of the warehouse is what the source was between two of its own.
    private nonisolated func checkWhole(_ tables: MemoryTables) {
        guard let position = tables.checkpoints[SimulatedStream.slot]?.position, tables.holds.isEmpty else { return }
        if simulation.source == .copy {
            let done = tables.copied.filter { $0.isWholeTable && $0.state == .done }
            let isIncomplete = tables.current.values.contains { rows in
                rows.values.contains { !$0.isDeleted && $0.columnVersions.isIncomplete }
            }
            guard done.count == ModelTable.all.count, done.allSatisfy({ $0.snapshot <= position }), !isIncomplete,
                tables.copied.allSatisfy({ $0.snapshot <= position })
            else { return }
        }
        let count = model.count(upTo: position)
        for (index, table) in ModelTable.all.enumerated() {
            let (found, wanted) = (Self.live(tables, table), model.live(index, after: count))
            if found != wanted {
                fail("at \(position) a reader sees \(table.id) as \(found), the source had \(wanted)")
            }
        }
    }

    private func check() {
        let tables = store.tables
        guard outcome.failures.isEmpty else { return }
        if faults.slotIsLost {
            checkWhole(tables)
            return checkAccounts(tables)
        }
        for (index, table) in ModelTable.all.enumerated() {
            let (found, wanted) = (Self.live(tables, table), model.live(index, after: model.transactions.count))
            if found != wanted { fail("\(table.id) ends as \(found), the source as \(wanted)") }
            let raw = tables.raw[table.id] ?? []
            if raw.count != Set(raw.map(\.id)).count { fail("raw of \(table.id) has an event twice") }
            if simulation.source != .copy {
                let events = model.transactions.flatMap(\.changes).filter { $0.table == index }
                    .reduce(0) { $0 + $1.events(table) }
                if raw.count != events { fail("raw of \(table.id) has \(raw.count) events of \(events)") }
            }
        }
        checkAccounts(tables)
    }

    private func checkAccounts(_ tables: MemoryTables) {
        if tables.deferred.contains(where: { !$0.value.isEmpty }) || tables.ledger.reduce(0, { $0 + $1.deferred }) != 0
        {
            fail("something is deferred for ever")
        }
        for entry in tables.ledger where !entry.addsUp { fail("the ledger doesn't add up: \(entry)") }
        if let entry = tables.quarantine.first {
            fail("\(tables.quarantine.count) records are in quarantine: \(entry.entry.reason)")
        }
        let read = tables.ledger.reduce(0) { $0 + $1.read }
        result.withLock { $0.events = read }
    }
}

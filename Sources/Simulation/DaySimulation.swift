import Agent
import Logging
import PipelineFile
import Postgres
import Replication
import ReplicationTestKit
import Synchronization

/// A day of a running pipeline on a virtual clock, with the agent's own runner, retries, freshness contracts, alerts and
/// times of sweeps. Load comes and goes; source and warehouse are away for a while, the agent is killed, reads again what
/// it had read, a table changes its shape, one can't be written, one is paused. In the end current is the source, the
/// ledger adds up, raw has each event once, and each alert was told once.
package struct DaySimulation: Sendable {
    package var seed: UInt64
    package var hours: Double
    /// Guards that are taken out, to see that something fails without them.
    package var without: Set<MemoryTransaction.Guard> = []

    package init(seed: UInt64, hours: Double = 24) {
        self.seed = seed
        self.hours = hours
    }

    package struct Outcome: Sendable {
        /// What is wrong; empty: nothing.
        package var failures: [String] = []
        package var transactions = 0
        package var events = 0
        package var duplicates = 0
        package var batches = 0
        package var starts = 0
        package var faults = 0
        package var retries = 0
        /// Tables that were compared, and those found different.
        package var compared = 0
        package var different = 0
        /// `began waiting sim`, `ended waiting sim` …, with the minute.
        package var notices: [String] = []
        /// Source transactions that were read and not yet durable, at most.
        package var inFlight_max = 0
        package var rows = 0
    }

    /// What the runner holds at most: a batch that is applied, and one that fills.
    package static let inFlight_max = 2 * Day.batch_max

    package func run() -> Outcome {
        // A Monday, 0:00 UTC.
        let clock = VirtualClock(start_us: 1_767_571_200_000_000)
        let loop = SimulationLoop(clock: clock)
        let day = Day(seed: seed, hours: hours, clock: clock)
        var shape = SourceModel.Shape()
        shape.transactions = day.arrivals_us.count
        shape.keys = 120
        var model = SourceModel(seed: seed, shape: shape)
        model.commit(at: day.arrivals_us)
        let history = DayHistory(self, day, model, loop)
        let hasEnded = loop.run { await history.run() }
        var outcome = history.outcome
        if !hasEnded { outcome.failures.append("it hangs") }
        return outcome
    }
}

private actor DayHistory {
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private nonisolated let simulation: DaySimulation
    private nonisolated let day: Day
    private nonisolated let model: SourceModel
    private nonisolated let loop: SimulationLoop
    private nonisolated let faults: FaultScript
    private nonisolated let store = MemoryStore()
    private nonisolated let layout = WarehouseLayout(pipeline: "sim")
    private nonisolated let result = Mutex(DaySimulation.Outcome())
    private nonisolated let sweeps: Pipeline.Sweeps
    private nonisolated let rates: FaultRates
    /// Values of `items.n` that were written once the table had its new column.
    private nonisolated let wide: Set<String>

    private var lastSweeps: [TableID: (last: SweepRecord, proof: SweepRecord?)] = [:]
    private var done: Set<String> = []
    private var running: Replicator?
    private var isStopping = false
    private nonisolated let isDamaged = Mutex(false)

    private static let damaged = "{\"id\":999999}"
    private static let maxStaleness_us: Int64 = 180_000_000
    private static let starts_max = 1000
    private static let silent = Logger(label: "day") { _ in SwiftLogNoOpLogHandler() }

    init(_ simulation: DaySimulation, _ day: Day, _ model: SourceModel, _ loop: SimulationLoop) {
        self.simulation = simulation
        self.day = day
        self.model = model
        self.loop = loop
        faults = FaultScript(seed: simulation.seed &* 0x9E37_79B9 &+ 17, most: 1000) { day.isCalm }
        var rates = FaultRates.none
        rates.crash = 1
        rates.cut = 1
        rates.lostAnswer = 4
        rates.sourceCut = 1
        rates.sourceCrash = 1
        self.rates = rates
        var sweeps = Pipeline.Sweeps()
        sweeps.full = CronSchedule(day.sweepEvery_min == 60 ? "0 * * * *" : "*/\(day.sweepEvery_min) * * * *")
        self.sweeps = sweeps
        let lsn = Self.schemaChange(model, day)
        day.widen(behind: lsn)
        wide = Set(
            model.transactions.flatMap(\.changes).compactMap { change in
                guard change.table == 0, change.lsn > lsn else { return nil }
                switch change.kind {
                case .insert(let row), .update(_, let row, _): return row[1]
                case .delete, .truncate: return nil
                }
            })
    }

    /// Behind a commit at which nobody had `items` in hand: who changes a table's shape waits for those.
    private static func schemaChange(_ model: SourceModel, _ day: Day) -> Int64 {
        let first = day.arrived(by: day.schemaChange_us)
        for index in first..<model.transactions.count {
            let lsn = model.end(index)
            // Few are open at a time.
            let isFree = model.transactions[index..<min(index + 200, model.transactions.count)].allSatisfy {
                $0.changes.allSatisfy { $0.table != 0 || $0.lsn > lsn }
            }
            if isFree { return lsn }
        }
        return .max
    }

    nonisolated var outcome: DaySimulation.Outcome { result.withLock { $0 } }

    private nonisolated func fail(_ text: String) {
        let minute = (day.now_us - day.clock.start_us) / 60_000_000
        result.withLock { if $0.failures.count < 8 { $0.failures.append("minute \(minute): \(text)") } }
    }

    func run() async {
        while day.now_us < day.end_us {
            let starts = result.withLock { outcome in
                outcome.starts += 1
                return outcome.starts
            }
            guard starts < Self.starts_max else { return fail("it doesn't end") }
            do {
                try await live()
            } catch {
                guard error is SimulatedCrash else { return fail("the agent ended: \(error)") }
            }
            if day.now_us >= day.redelivery_us, done.insert("redelivery").inserted { rewind() }
            // Whoever watches over it starts it again.
            await day.clock.sleep(.seconds(5))
        }
        check()
    }

    /// As `checkpoint set` does: it reads again what it had read.
    private func rewind() {
        store.amend { all in
            guard let position = all.checkpoints[SimulatedStream.slot]?.position else { return }
            all.checkpoints[SimulatedStream.slot]?.token += 1
            all.checkpoints[SimulatedStream.slot]?.position = model.end(max(0, model.count(upTo: position) - 200))
            all.checkpoints[SimulatedStream.slot]?.lastOffset = nil
            all.checkpoints[SimulatedStream.slot]?.lastHash = nil
        }
    }

    // MARK: One life of the agent

    private func live() async throws {
        let (status, clock) = (AgentStatus(), day.clock.agents(loop))
        let warehouse = SimulatedWarehouse(
            store, layout, loop, faults, rates, without: simulation.without, day: day
        ) { [self] in
            result.withLock { $0.batches += 1 }
            checkWhole($0)
        }
        let kept = lastSweeps
        status.update { $0.sweeps = kept }
        let contracts = ModelTable.all.map {
            FreshnessContract(table: $0.id, maxStaleness_us: Self.maxStaleness_us)
        }
        let day = day
        let makeSource: @Sendable () -> (any WatchedSource)? = { [model] in WatchedModel(model: model, day: day) }
        let freshness = FreshnessService(
            warehouse: warehouse, status: status, monitor: FreshnessMonitor(), logger: Self.silent, clock: clock,
            contracts: { _ in contracts }, makeSource: makeSource)
        let watch = SourceWatch(status: status, logger: Self.silent, clock: clock, makeSource: makeSource)
        defer { result.withLock { $0.retries += status.current.retries } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await freshness.run() }
            group.addTask { try await watch.run() }
            group.addTask { [self] in await tell(status, clock) }
            group.addTask { [self] in await sweep(status, clock) }
            group.addTask { [self] in await operate(warehouse) }
            defer { group.cancelAll() }
            try await replicate(status, warehouse, clock)
        }
    }

    /// Joins the source again where that helps, as the agent's `ReplicationService` does.
    private func replicate(_ status: AgentStatus, _ warehouse: SimulatedWarehouse, _ clock: AgentClock) async throws {
        var attempts = 0
        isStopping = false
        while !isStopping {
            let batches = status.current.batches
            let replicator = replicator(status, warehouse, clock)
            running = replicator
            defer { running = nil }
            do {
                return try await replicator.run()
            } catch let error as ReplicationError where error.kind == .passing || error.kind == .restart {
                attempts = status.current.batches > batches ? 1 : attempts + 1
                status.update {
                    $0.waiting = error.kind == .passing ? error.message : nil
                    $0.lost = []
                }
                await day.clock.sleep(.seconds(min(10, 0.25 * Double(1 << min(attempts - 1, 6)))))
            }
        }
    }

    private func replicator(_ status: AgentStatus, _ warehouse: SimulatedWarehouse, _ clock: AgentClock) -> Replicator {
        let source = SimulatedStream(model, warehouse, loop, faults, rates, copies: false, day: day)
        var settings = Replicator.Settings(owner: "day")
        settings.clock = clock
        settings.holdsTables = true
        return Replicator(
            source: source, warehouse: warehouse, status: status, settings: settings, logger: Self.silent,
            executor: loop, taskExecutor: loop
        ) { known in
            var configuration = PgOutputConfiguration(select: { TableChoice(target: $0.table) })
            configuration.knownTables = known
            return PgOutputDecoder(configuration)
        }
    }

    private nonisolated func tell(_ status: AgentStatus, _ clock: AgentClock) async {
        let teller = AlertTeller(
            pipeline: "sim", target: .init(.log), number: 0, status: status, logger: Self.silent, clock: clock
        ) { [self] notice in
            let minute = (day.now_us - day.clock.start_us) / 60_000_000
            let text = "\(notice.change.rawValue) \(notice.alert.key.kind.rawValue) \(notice.alert.key.subject)"
            result.withLock { $0.notices.append("\(text) @\(minute)") }
        }
        while !Task.isCancelled {
            await teller.step()
            try? await clock.sleep(.seconds(1))
        }
    }

    /// What people do meanwhile, and the end of the day.
    private func operate(_ warehouse: SimulatedWarehouse) async {
        while !Task.isCancelled {
            await day.clock.sleep(.seconds(1))
            let now_us = day.now_us
            if day.failing.holds(now_us), !done.contains("failing") {
                // As a warehouse does whose table was changed by hand.
                await hold(warehouse, ModelTable.all[1].id, .failing, "column v does not exist", "failing")
            }
            if day.paused.holds(now_us), !done.contains("paused") {
                await hold(warehouse, ModelTable.all[2].id, .paused, "by hand", "paused")
            }
            if day.paused.to_us <= now_us, !done.contains("resumed") { await resume(warehouse, ModelTable.all[2].id) }
            if day.redelivery_us <= now_us && !done.contains("redelivery") || day.end_us <= now_us {
                isStopping = true
                running?.stop()
            }
        }
    }

    private func hold(
        _ warehouse: SimulatedWarehouse, _ table: TableID, _ kind: TableHold.Kind, _ reason: String, _ name: String
    ) async {
        let hold = TableHold(table: table, kind: kind, reason: reason, since_us: day.now_us)
        let isHeld = try? await warehouse.beside { writer, transaction in
            try writer.hold([hold], in: transaction)
        }
        if isHeld == true { done.insert(name) }
    }

    private func resume(_ warehouse: SimulatedWarehouse, _ table: TableID) async {
        guard let definition = store.tables.definitions[table] else { return }
        let (layout, day) = (layout, day)
        let isDone = Mutex(false)
        while !isDone.withLock({ $0 }), !Task.isCancelled {
            _ = try? await warehouse.beside { writer, transaction in
                let step = try writer.release(
                    definition, .paused, layout: layout, in: transaction, loadedAt_us: day.tick(),
                    ReleaseOptions(limit: 50))
                if step.isDone { isDone.withLock { $0 = true } }
            }
            await day.clock.sleep(.milliseconds(200))
        }
        if isDone.withLock({ $0 }) { done.insert("resumed") }
    }

    // MARK: Sweeps

    /// When they are due is the agent's own matter; they compare with the model, as there is no SQL.
    private func sweep(_ status: AgentStatus, _ clock: AgentClock) async {
        var times = SweepTimes(sweeps, clock: clock)
        times.lastFull_s =
            lastSweeps.values.map { $0.last.startedAt_us / 1_000_000 }.max() ?? clock.now_us() / 1_000_000
        while !Task.isCancelled {
            try? await clock.sleep(.seconds(1))
            let snapshot = status.current
            guard snapshot.hasBegun, snapshot.waitsFor == nil, let due = times.due(sweeps, hasLate: false) else {
                continue
            }
            times.begun(due, sweeps)
            await compare(status)
        }
    }

    private func compare(_ status: AgentStatus) async {
        let (began_us, wanted) = (day.now_us, model.end(day.there))
        while (store.tables.checkpoints[SimulatedStream.slot]?.position ?? 0) < wanted {
            if Task.isCancelled || day.now_us - began_us > 120_000_000 { return }
            await day.clock.sleep(.seconds(1))
        }
        if day.damage_us <= began_us, done.insert("damage").inserted {
            isDamaged.withLock { $0 = true }
            store.amend { all in
                guard var row = all.current[ModelTable.all[0].id]?.values.first else { return }
                row.key = Self.damaged
                row.values["id"] = "999999"
                row.isDeleted = false
                all.current[ModelTable.all[0].id]?[Self.damaged] = row
            }
        }
        let tables = store.tables
        let position = tables.checkpoints[SimulatedStream.slot]?.position ?? 0
        for (index, table) in ModelTable.all.enumerated() where !tables.holds.contains(where: { $0.table == table.id })
        {
            let (found, source) = (live(tables, index), expected(index, after: model.count(upTo: position)))
            let extra = found.count - Set(source).intersection(found).count
            let record = SweepRecord(
                table: table.id, startedAt_us: began_us, finishedAt_us: day.now_us, snapshot: "model",
                position: position, rows: Int64(source.count), columns: table.columns.map(\.name), uncovered: [],
                digestSource: "", digestWarehouse: "", missing: 0, extra: found == source ? 0 : max(1, extra),
                different: 0, moved: 0)
            let proof = record.isEqual ? record : lastSweeps[table.id]?.proof
            lastSweeps[table.id] = (record, proof)
            result.withLock { outcome in
                outcome.compared += 1
                if !record.isEqual { outcome.different += 1 }
            }
        }
        let kept = lastSweeps
        status.update { $0.sweeps = kept }
        if isDamaged.withLock({ $0 }) {
            await day.clock.sleep(.seconds(30))
            store.amend { $0.current[ModelTable.all[0].id]?[Self.damaged] = nil }
            isDamaged.withLock { $0 = false }
        }
    }

    // MARK: The oracle

    private nonisolated func live(_ tables: MemoryTables, _ index: Int) -> [String] {
        let table = ModelTable.all[index]
        let columns = table.columns.map(\.name) + (index == 0 ? [Day.addedColumn] : [])
        return (tables.current[table.id] ?? [:]).values.filter { !$0.isDeleted }.map { row in
            SourceModel.text(
                columns.map { column in
                    guard let value = row.values[column], value != "null" else { return nil }
                    return value.hasPrefix("\"") ? String(value.dropFirst().dropLast()) : value
                })
        }.sorted()
    }

    private nonisolated func expected(_ index: Int, after count: Int) -> [String] {
        model.states[count][index].map { row in
            guard index == 0 else { return SourceModel.text(row.values) }
            return SourceModel.text(row.values + [row.values[1].flatMap { wide.contains($0) ? $0 : nil }])
        }.sorted()
    }

    /// Readers see the source as it was between two of its transactions, at any time.
    private nonisolated func checkWhole(_ tables: MemoryTables) {
        guard let position = tables.checkpoints[SimulatedStream.slot]?.position, !isDamaged.withLock({ $0 }),
            day.now_us < day.redelivery_us || position >= model.end(day.arrived(by: day.redelivery_us))
        else { return }
        let count = model.count(upTo: position)
        for index in ModelTable.all.indices
        where !tables.holds.contains(where: { $0.table == ModelTable.all[index].id }) {
            if live(tables, index) != expected(index, after: count) {
                fail("at \(position) a reader sees \(ModelTable.all[index].id) as it never was")
            }
        }
    }

    private func check() {
        let tables = store.tables
        for (index, table) in ModelTable.all.enumerated() {
            let (found, source) = (live(tables, index), expected(index, after: model.transactions.count))
            if found != source { fail("\(table.id) ends with \(found.count) rows, the source with \(source.count)") }
            let raw = tables.raw[table.id] ?? []
            let events = model.transactions.flatMap(\.changes).filter { $0.table == index }
                .reduce(0) { $0 + $1.events(table) }
            if raw.count != Set(raw.map(\.id)).count { fail("raw of \(table.id) has an event twice") }
            if raw.count != events { fail("raw of \(table.id) has \(raw.count) events of \(events)") }
        }
        for entry in tables.ledger where !entry.addsUp { fail("the ledger doesn't add up: \(entry)") }
        let sums = tables.ledgerSums.tables
        if sums.contains(where: { $0.deferred != 0 || $0.quarantined != 0 }) { fail("something was left aside") }
        if !tables.holds.isEmpty { fail("a table is still held") }
        if tables.schemaChanges.isEmpty { fail("nobody has seen the new column") }
        if let table = tables.freshness.last(where: { $0.status == .stale }),
            tables.openFreshness.contains(where: { $0.table == table.table && $0.status == .stale })
        {
            fail("\(table.table) ends stale")
        }
        for name in ["failing", "paused", "resumed", "redelivery", "damage"] where !done.contains(name) {
            fail("\(name): it never came to that")
        }
        if day.inFlight_max > DaySimulation.inFlight_max { fail("\(day.inFlight_max) transactions were in hand") }
        result.withLock { outcome in
            outcome.transactions = model.transactions.count
            outcome.events = sums.reduce(0) { $0 + $1.read }
            outcome.duplicates = sums.reduce(0) { $0 + $1.duplicate }
            outcome.faults = faults.told.count
            outcome.inFlight_max = day.inFlight_max
            outcome.rows = ModelTable.all.indices.reduce(0) { $0 + live(tables, $1).count }
        }
        if outcome.duplicates == 0 { fail("nothing came twice") }
        checkNotices()
    }

    /// What began has ended, once, and nobody was told of anything else.
    private func checkNotices() {
        var open: Set<String> = []
        var counts: [String: Int] = [:]
        for notice in outcome.notices {
            let words = notice.split(separator: " ").dropLast().map(String.init)
            let what = words.dropFirst().joined(separator: " ")
            if words.first == "began" {
                counts[what, default: 0] += 1
                if !open.insert(what).inserted { fail("\(what) began twice") }
            } else if open.remove(what) == nil {
                fail("\(what) ended, and nobody was told that it began")
            }
        }
        if !open.isEmpty { fail("nobody was told that it is over: \(open.sorted())") }
        let wanted = [
            // The warehouse is away, then the source.
            "waiting sim": 2, "lag sim": 1, "stale public.items": 2,
            // And once more: one can't be written, the other is paused.
            "stale public.pairs": 3, "stale public.heap": 3, "held public.pairs": 1, "sweep public.items": 1,
        ]
        if counts != wanted {
            fail("alerts were \(counts.sorted { $0.key < $1.key }), not \(wanted.sorted { $0.key < $1.key })")
        }
    }
}

/// Where the source ends, as it is asked beside the stream.
private struct WatchedModel: WatchedSource {
    let model: SourceModel
    let day: Day

    func look(_ positions: [TopicPartition: Int64]) async throws -> SourceMeasure {
        if day.isSourceAway { throw ReplicationError(.passing, "connection refused") }
        return SourceMeasure(ends: [SimulatedStream.slot: model.end(day.there)])
    }

    func close() async {}
}

import Foundation
import JSON
import Logging
import PipelineFile
import Postgres
import Replication

/// `millrace backfill`: copies tables once, streams what changes meanwhile, verifies, and ends.
///
/// It has a slot of its own, which goes at the verified end; a killed one is gone on with by the same command. With
/// `--follow` it is the pipeline's slot, and `millrace run` goes on from there.
package struct BackfillCommand: Sendable {
    /// `schema.table` or the target's name; none: all that the pipeline chooses.
    package var tables: [String]
    package var workers: Int?
    package var isRestart: Bool
    package var isFollowed: Bool

    package init(tables: [String], workers: Int?, isRestart: Bool, isFollowed: Bool) {
        self.tables = tables
        self.workers = workers
        self.isRestart = isRestart
        self.isFollowed = isFollowed
    }

    /// One table of the report.
    struct Result: Sendable {
        var source: String
        var target: String
        var rowsSource: Int64
        var rowsWarehouse: Int64
        var checksumSource: String
        var checksumWarehouse: String
        var uncovered: [String]
        var isEqual: Bool { rowsSource == rowsWarehouse && checksumSource == checksumWarehouse }
    }

    /// Returns the exit code: 4 where a table differs.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        try setup.refuseGates()
        if try await APIClient.running(setup.pipeline) != nil {
            throw CommandFailure(
                ExitStatus.environment, "an agent of \(setup.pipeline.name) runs, and copies new tables by itself",
                try: "millrace status; to copy a table anew stop the agent first")
        }
        let server: Pipeline.PostgresServer
        switch setup.pipeline.source.input {
        case .postgres(let named): server = named
        case .kafka(let kafka):
            if isFollowed {
                throw CommandFailure(
                    ExitStatus.usage, "--follow is for source.postgres: a Kafka pipeline has no slot of its own",
                    try: "millrace backfill, then millrace run")
            }
            return try await CatalogBackfill(setup: setup, kafka: kafka, tables: tables, workers: workers ?? 2).run(
                context)
        case .file:
            throw CommandFailure(
                ExitStatus.usage, "an event file has no database to copy from", try: "millrace run --until-end")
        }
        let settings = try settings(setup, server)
        let status = AgentStatus()
        let stopping = Stopping()
        let lineage = setup.makeLineage(
            status: status, follows: (.backfill, false), chooses: { settings.tables.chooses($0.description) })
        return try await lineage.telling(stopped: { stopping.isStopped }) {
            let exit = try await copy(setup, settings, server, status, stopping, lineage, context)
            return (exit, exit == ExitStatus.ok ? nil : "warehouse and source differ")
        }
    }

    private func copy(
        _ setup: PipelineSetup, _ settings: PostgresSource.Settings, _ server: Pipeline.PostgresServer,
        _ status: AgentStatus, _ stopping: Stopping, _ lineage: LineageReporter?, _ context: CommandContext
    ) async throws -> Int32 {
        try await setup.withWarehouse(readOnly: false) { warehouse in
            try await prepare(settings, warehouse)
            let started = ContinuousClock.now
            let watch = BackfillProgress(status: status, console: context.console, logger: context.logger)
            let showing = Task { await watch.run() }
            defer { showing.cancel() }
            let signals = SignalWatch(onSecond: { lineage?.endNow(.aborted("a second signal has ended it")) }) { _ in
                stopping.stop()
            }
            defer { withExtendedLifetime(signals) {} }
            guard
                let (results, position) = try await replicate(setup, settings, warehouse, status, stopping)
            else {
                throw CommandFailure(
                    ExitStatus.runtime, "stopped before the end; what is copied stays copied",
                    try: "millrace backfill, which goes on")
            }
            let isEqual = results.allSatisfy(\.isEqual)
            if isEqual, !isFollowed { try await removeSlot(settings, server, warehouse) }
            let seconds = (ContinuousClock.now - started) / .seconds(1)
            showing.cancel()
            show(results, position, seconds, status.current, setup.pipeline.name, context)
            if let hold = try await warehouse.holds().first(where: {
                $0.kind == .quality && settings.tables.chooses($0.table.description)
            }) {
                throw CommandFailure(held: hold)
            }
            return isEqual ? ExitStatus.ok : ExitStatus.differences
        }
    }

    /// A backfill's own slot.
    static func slot(beside slot: String) -> String { "\(slot)_backfill" }

    // MARK: Before

    private func settings(_ setup: PipelineSetup, _ server: Pipeline.PostgresServer) throws -> PostgresSource.Settings {
        var server = server
        if let workers { server.copyWorkers = workers }
        if !isFollowed { server.slot = Self.slot(beside: server.slot) }
        var selector = setup.pipeline.source.tables
        if !tables.isEmpty {
            let names = try tables.map { name -> String in
                let source =
                    name.contains(".")
                    ? name : setup.pipeline.tables.first { $0.target == name }?.source ?? "public.\(name)"
                guard selector.chooses(source) else {
                    throw CommandFailure(
                        ExitStatus.usage, "source.include and source.exclude leave \(source) out", try: "millrace check"
                    )
                }
                return source
            }
            selector = TableSelector(include: names, exclude: [])
        }
        var settings = PostgresSource.Settings(
            server: server, tables: selector, snapshot: .initial, limits: setup.pipeline.batch)
        for table in setup.pipeline.tables { settings.keys[table.source] = table.key }
        settings.adopted = setup.adopted
        settings.isBackfill = true
        settings.bytes = setup.bytes
        return settings
    }

    /// A backfill that ended left no slot: the next one is another. `--restart` makes it so.
    private func prepare(_ settings: PostgresSource.Settings, _ warehouse: any Warehouse) async throws {
        let partition = TopicPartition(topic: settings.slot, partition: 0)
        let hasCheckpoint = try await warehouse.checkpoints().contains {
            $0.partition == partition && $0.position != nil
        }
        let slot = settings.slot
        let control = SourceControl(url: settings.server.url.text)
        if isRestart {
            if hasCheckpoint { try await warehouse.set(positions: [partition: nil]) }
            try await control.with { try $0.dropSlot(slot) }
        }
        await control.close()
        if isRestart || !hasCheckpoint { try await warehouse.forgetCopied(job: slot) }
    }

    private func removeSlot(
        _ settings: PostgresSource.Settings, _ server: Pipeline.PostgresServer, _ warehouse: any Warehouse
    ) async throws {
        let slot = settings.slot
        // The checkpoint first: a slot without one is taken over, a checkpoint without its slot would be a lost one.
        try await warehouse.set(positions: [TopicPartition(topic: slot, partition: 0): nil])
        let control = SourceControl(url: server.url.text)
        try await control.with { source in
            // Its sender may take a moment to see that we are gone.
            for _ in 0..<100 {
                guard try source.slot(slot)?.activePID != nil else { break }
                usleep(50_000)
            }
            try source.dropSlot(slot)
        }
        await control.close()
    }

    // MARK: Replicating

    /// Nil: stopped by a signal.
    private func replicate(
        _ setup: PipelineSetup, _ settings: PostgresSource.Settings, _ warehouse: any Warehouse, _ status: AgentStatus,
        _ stopping: Stopping
    ) async throws -> (results: [Result], position: Int64)? {
        var delay_s = 0.2
        while true {
            let source = PostgresSource(
                settings, ledger: WarehouseCopyLedger(warehouse: warehouse), logger: setup.logger)
            var runner = Replicator.Settings(owner: "backfill:\(getpid())")
            runner.schema = setup.schemaSettings
            runner.validate = { try setup.validate($0, beside: $1) }
            runner.gate = setup.gate
            let replicator = Replicator(
                source: source, warehouse: warehouse, status: status, settings: runner, logger: setup.logger
            ) { known in try setup.makeCopyDecoder(known: known, of: settings.tables) }
            stopping.set(replicator)
            let batches = status.current.batches
            do {
                try await replicator.run()
                guard let position = await source.provenAt else {
                    await source.close()
                    return nil
                }
                let results = try await verify(setup, source, warehouse)
                if let moment_us = await source.completeAsOf_us {
                    let tables = try await source.copiedTables().map(\.table)
                    await setup.noteComplete(tables, as: moment_us, in: warehouse, status.current)
                }
                await source.close()
                return (results, position)
            } catch let error as ReplicationError
                where error.kind == .restart || error.kind == .passing && status.current.batches > 0
            {
                await source.close()
                if stopping.isStopped { return nil }
                delay_s = status.current.batches > batches ? 0.2 : min(delay_s * 2, 10)
                setup.logger.warning("\(error.message); going on in \(String(format: "%.1f", delay_s)) s")
                try await Task.sleep(for: .seconds(delay_s))
            } catch {
                await source.close()
                throw error
            }
        }
    }

    private func verify(
        _ setup: PipelineSetup, _ source: PostgresSource, _ warehouse: any Warehouse
    ) async throws -> [Result] {
        if let (table, error) = await source.refusedTables.min(by: { $0.key < $1.key }) {
            throw ReplicationError(
                .environment, "\(table) could not be copied: \(error.message)",
                remedy: error.remedy ?? "see the log, then go on: millrace backfill", table: table)
        }
        let known = try await warehouse.knownTables()
        let encoding = try await source.inProofSnapshot(["SHOW server_encoding"])[0][0]
        let hashing = try await RowHash.common(engine: warehouse.engine) { sql in
            try await source.inProofSnapshot([sql])
        } _: { sql in
            try await warehouse.query(sql, rows_max: 1).rows
        }
        var results: [Result] = []
        for (id, filter, types) in try await source.copiedTables() {
            guard let definition = known.first(where: { $0.source == id }) else {
                throw ReplicationError(
                    .invariant, "\(id) was to be copied, and the warehouse doesn't have it",
                    remedy: "report this with the log; the backfill's slot is still there", table: id)
            }
            guard !definition.isFiltered else {
                setup.logger.warning("\(id): not verified, as it has a where: the warehouse has only some of its rows")
                continue
            }
            let digest = RowDigest(
                definition, source: types, hashed: setup.hashedColumns(of: id), engine: warehouse.engine,
                isSourceUTF8: encoding == "UTF8", hashing: hashing)
            let quoted = RowDigest.quoted
            let there = try await source.inProofSnapshot([
                digest.set(of: "\(quoted(id.schema)).\(quoted(id.table))", on: .source, where: filter)
            ])[0]
            let live = "\(quoted(setup.layout.live)).\(quoted(definition.target))"
            let here = try await warehouse.query(digest.set(of: live, on: .warehouse), rows_max: 1).rows[0]
            // The warehouse may have columns of earlier times.
            let gone = definition.columns.map(\.name).filter { types[$0] == nil }
            results.append(
                Result(
                    source: id.description, target: "\(setup.layout.current).\(definition.target)",
                    rowsSource: Int64(there[0] ?? "") ?? -1, rowsWarehouse: Int64(here[0] ?? "") ?? -2,
                    checksumSource: "\(there[1] ?? "")-\(there[2] ?? "")",
                    checksumWarehouse: "\(here[1] ?? "")-\(here[2] ?? "")",
                    uncovered: digest.uncovered.map(\.name) + gone))
        }
        return results
    }

    // MARK: The report

    private func show(
        _ results: [Result], _ position: Int64, _ seconds: Double, _ snapshot: AgentStatus.Snapshot,
        _ pipeline: String, _ context: CommandContext
    ) {
        let rows = snapshot.events
        let rate = seconds > 0 ? Double(rows) / seconds : 0
        if context.json {
            let tables = results.map { result in
                JSONValue.object([
                    ("source", .string(result.source)), ("target", .string(result.target)),
                    ("rows_source", .integer(result.rowsSource)), ("rows_warehouse", .integer(result.rowsWarehouse)),
                    ("checksum_source", .string(result.checksumSource)),
                    ("checksum_warehouse", .string(result.checksumWarehouse)),
                    ("not_in_checksum", .array(result.uncovered.map(JSONValue.string))),
                    ("equal", .bool(result.isEqual)),
                ])
            }
            context.console.result(
                JSONValue.object([
                    ("pipeline", .string(pipeline)),
                    ("position", .string(LSN.text(position))), ("events", .integer(rows)),
                    ("seconds", .number(String(format: "%.3f", seconds))),
                    ("events_per_s", .number(String(format: "%.0f", rate))), ("tables", .array(tables)),
                ]).serialized)
            return
        }
        var table = TextTable(["source", "target", "rows", "checksum", "verdict"], right: [2])
        table.rows = results.map { result in
            [
                result.source, result.target, String(result.rowsWarehouse), result.checksumWarehouse,
                result.isEqual
                    ? "equal" : "DIFFERENT: the source has \(result.rowsSource) rows, \(result.checksumSource)",
            ]
        }
        context.console.result(table.text)
        for result in results where !result.uncovered.isEmpty {
            context.console.result("\(result.source): not in the checksum: \(result.uncovered.joined(separator: ", "))")
        }
        context.console.result(
            """
            \(rows) events in \(String(format: "%.1f", seconds)) s, \(String(format: "%.0f", rate))/s; \
            \(results.allSatisfy(\.isEqual) ? "warehouse and source are equal" : "warehouse and source differ") \
            as of \(LSN.text(position))
            """)
    }
}

/// What a signal stops: the runner of the moment.
final class Stopping: @unchecked Sendable {
    private let lock = NSLock()
    private var replicator: Replicator?
    private var stopped = false

    var isStopped: Bool { lock.withLock { stopped } }

    func set(_ replicator: Replicator) {
        let isStopped = lock.withLock {
            self.replicator = replicator
            return stopped
        }
        if isStopped { replicator.stop() }
    }

    func stop() {
        lock.withLock {
            stopped = true
            return replicator
        }?.stop()
    }
}

/// A bar on a terminal, else a line now and then.
struct BackfillProgress: Sendable {
    let status: AgentStatus
    let console: Console
    let logger: Logger

    func run() async {
        let started = ContinuousClock.now
        var lastLine = started
        while (try? await Task.sleep(for: .milliseconds(500))) != nil {
            let line = line(status.current, (ContinuousClock.now - started) / .seconds(1))
            if console.isErrorTerminal {
                console.progress(line)
            } else if ContinuousClock.now - lastLine > .seconds(5) {
                lastLine = .now
                logger.info("\(line)")
            }
        }
        console.progress("")
    }

    private func line(_ snapshot: AgentStatus.Snapshot, _ seconds: Double) -> String {
        let rate = Int(Double(snapshot.events) / max(seconds, 0.001))
        let copying = snapshot.progress.copying
        guard !copying.isEmpty else { return "\(snapshot.events) events, \(rate)/s" }
        let done = copying.values.reduce(0) { $0 + $1.rows }
        let estimate = max(copying.values.reduce(0) { $0 + $1.estimate }, done, 1)
        let share = min(1, Double(done) / Double(estimate))
        let bar = String(repeating: "#", count: Int(share * 20)) + String(repeating: "-", count: 20 - Int(share * 20))
        return "[\(bar)] \(Int(share * 100)) % of \(copying.count) tables, \(snapshot.events) events, \(rate)/s"
    }
}

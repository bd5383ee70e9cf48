import Foundation
import JSON
import Logging
import PipelineFile
import Postgres
import Replication

/// `backfill` of a Kafka pipeline: reads the tables from `source.kafka.catalog`.
struct CatalogBackfill: Sendable {
    let setup: PipelineSetup
    let kafka: Pipeline.Kafka
    let tables: [String]
    let workers: Int

    func run(_ context: CommandContext) async throws -> Int32 {
        guard let url = kafka.catalog?.text else {
            throw CommandFailure(
                ExitStatus.usage, "backfill of a Kafka pipeline reads the source database, which isn't named",
                try: "source: { kafka: { catalog: postgres://replicator@db/shop } }")
        }
        let status = AgentStatus()
        let lineage = setup.makeLineage(
            status: status, follows: (.backfill, false), readsCatalog: true, chooses: isNamed)
        return try await lineage.telling {
            (try await copy(url, status, context), nil)
        }
    }

    private func copy(_ url: String, _ status: AgentStatus, _ context: CommandContext) async throws -> Int32 {
        try await setup.withWarehouse(readOnly: false) { warehouse in
            let chosen = try await choose(url)
            // Before the snapshot is opened: what is applied by now is in it.
            let versions = Self.versions(
                try await warehouse.checkpoints(), chosen, try await warehouse.epochs())
            let progress = BackfillProgress(status: status, console: context.console, logger: context.logger)
            let showing = Task { await progress.run() }
            defer { showing.cancel() }
            let source = CatalogCopySource(
                url: url, tables: chosen, versions: versions, pipeline: setup.pipeline.name, workers: workers,
                logger: setup.logger)
            var runner = Replicator.Settings(owner: "backfill:\(getpid())")
            runner.validate = { try setup.validate($0, beside: $1) }
            runner.gate = setup.gate
            let replicator = Replicator(
                source: source, warehouse: warehouse, status: status, settings: runner, logger: setup.logger
            ) { known in try setup.makeCopyDecoder(known: known, of: setup.pipeline.source.tables) }
            let started = ContinuousClock.now
            let began_us = Moment.now_us()
            do {
                try await replicator.run()
            } catch {
                await source.close()
                throw error
            }
            let rows = await source.rows
            await source.close()
            // Its checkpoint fenced this run; nothing is gone on from there.
            try await warehouse.set(positions: [source.partition: nil])
            await setup.noteComplete(Array(rows.keys), as: began_us, in: warehouse, status.current)
            showing.cancel()
            show(rows, (ContinuousClock.now - started) / .seconds(1), context)
            if let hold = try await warehouse.holds().first(where: { $0.kind == .quality && rows[$0.table] != nil }) {
                throw CommandFailure(held: hold)
            }
            return ExitStatus.ok
        }
    }

    private func isNamed(_ table: TableID) -> Bool {
        tables.isEmpty || tables.contains(table.description) || tables.contains(table.table)
    }

    private func choose(_ url: String) async throws -> [TableID] {
        let selector = setup.pipeline.source.tables
        let control = SourceControl(url: url)
        let all = try await control.with { server in
            try Catalog.read(.allUserTables, from: server.session).tables.filter { !$0.isPartition }.map {
                (TableID(schema: $0.name.schema, table: $0.name.name), $0.primaryKey.isEmpty)
            }
        }
        await control.close()
        var chosen: [TableID] = []
        for (id, isKeyless) in all where selector.chooses(id.description) {
            guard isNamed(id) else { continue }
            if isKeyless, setup.pipeline.table(source: id.description)?.key == nil {
                setup.logger.warning(
                    "\(id): not copied, as it has no key that would tell its rows from those of the stream")
                continue
            }
            chosen.append(id)
        }
        guard !chosen.isEmpty else {
            throw CommandFailure(
                ExitStatus.environment, "the catalog has no table to copy that the pipeline chooses",
                try: "name it as schema.table: millrace check")
        }
        return chosen
    }

    /// The lowest commit durably applied over the partitions that brought the table; too low is safe. What of a
    /// partition's positions is of an earlier epoch says nothing of the newest's.
    static func versions(
        _ checkpoints: [Checkpoint], _ tables: [TableID], _ epochs: SourceEpochs
    ) -> [TableID: Int64] {
        var versions: [TableID: Int64] = [:]
        for table in tables {
            versions[table] =
                checkpoints.filter { !$0.partition.topic.hasPrefix("backfill:") }
                .compactMap { $0.marks[table].map { $0.epoch == epochs.newest ? $0.commit : 0 } }.min() ?? 0
        }
        return versions
    }

    private func show(_ rows: [TableID: Int64], _ seconds: Double, _ context: CommandContext) {
        let total = rows.values.reduce(0, +)
        if context.json {
            let tables = rows.sorted { $0.key < $1.key }.map { table, count in
                JSONValue.object([("source", .string(table.description)), ("rows_source", .integer(count))])
            }
            context.console.result(
                JSONValue.object([
                    ("pipeline", .string(setup.pipeline.name)), ("events", .integer(total)),
                    ("seconds", .number(String(format: "%.3f", seconds))), ("proven", .bool(false)),
                    ("tables", .array(tables)),
                ]).serialized)
            return
        }
        var table = TextTable(["source", "rows"], right: [1])
        table.rows = rows.sorted { $0.key < $1.key }.map { [$0.key.description, String($0.value)] }
        context.console.result(table.text)
        context.console.result(
            """
            \(total) rows in \(String(format: "%.1f", seconds)) s. Not verified: what Kafka still holds isn't applied yet; \
            rows deleted before the snapshot are deleted by their events
            """)
    }
}

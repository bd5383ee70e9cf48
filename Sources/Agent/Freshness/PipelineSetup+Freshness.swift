import Replication

extension PipelineSetup {
    /// What is promised of tables, in the order of the file.
    ///
    /// - Parameter known: tables as they are called, since a name may have points in it.
    package func freshness(_ known: [TableID] = []) -> [FreshnessContract] {
        pipeline.tables.compactMap { table in
            guard let freshness = table.freshness else { return nil }
            let parts = table.source.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { return nil }
            let name = TableID(schema: String(parts[0]), table: String(parts[1]))
            return FreshnessContract(
                table: known.first { $0.description == table.source } ?? name,
                maxStaleness_us: Int64(freshness.maxStaleness / .microseconds(1)), channel: freshness.alert)
        }
    }

    /// Notes that tables were copied, and hold all that the source had at a moment.
    func noteComplete(
        _ tables: [TableID], as moment_us: Int64, in warehouse: any Warehouse, _ snapshot: AgentStatus.Snapshot
    ) async {
        do {
            var watch = FreshnessWatch()
            watch.resume(try await warehouse.freshness().filter { tables.contains($0.table) })
            watch.note(copied: tables.filter { id in snapshot.holds.allSatisfy { $0.table != id } }, asOf: moment_us)
            watch.note(changes: snapshot.tables.mapValues(\.changedAt_us).filter { $0.value != .min })
            let now_us = Moment.now_us()
            let contracts = freshness(tables).filter { tables.contains($0.table) }
            let changes = watch.step(contracts, now_us: now_us)
            try await warehouse.record(freshness: changes + watch.records(all: true, now_us: now_us))
        } catch {
            logger.warning("how far tables are complete couldn't be written: \(ExitStatus.failure(of: error).message)")
        }
    }
}

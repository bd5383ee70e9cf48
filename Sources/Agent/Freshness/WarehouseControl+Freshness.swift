import Replication

extension WarehouseControl {
    package func freshness(_ selection: TableSelection) async throws -> FreshnessReport {
        let snapshot = running?.status.current
        var known = Array((snapshot?.tables ?? [:]).values.map(\.definition))
        // The warehouse may be another's for now; what the agent knows is no less for that.
        if snapshot?.lent == nil { known = try await atWork().knownTables() }
        var report = try await freshness(known)
        guard case .named(let names) = selection else { return report }
        let all = report.tables.map { table in
            (table.contract.table, known.first { $0.source == table.contract.table }?.target)
        }
        let chosen = try names.map { name in
            guard let table = try one(name, among: all) else {
                throw CommandFailure(
                    ExitStatus.usage, "no table \(Console.printable(name)) has a freshness contract",
                    try: "tables: [{ source: public.orders, freshness: { max_staleness: 15m } }]")
            }
            return table
        }
        report.tables = report.tables.indices.filter(chosen.contains).map { report.tables[$0] }
        return report
    }

    /// All contracts, in the order of the pipeline file.
    func freshness(_ known: [TableDefinition]) async throws -> FreshnessReport {
        let contracts = contracts(known.map(\.source))
        guard !contracts.isEmpty else { return FreshnessReport([]) }
        if let judged = running?.status.current.freshness {
            let tables = contracts.compactMap { judged[$0.table] }
            // One that has just begun, or has just read a contract, hasn't judged yet.
            if tables.map(\.contract) == contracts { return FreshnessReport(tables) }
        }
        let warehouse = try atWork()
        let records = Dictionary(try await warehouse.freshness().map { ($0.table, $0) }) { $1 }
        let obstacles = try await FreshnessWatch.Look.obstacles(in: warehouse)
        let now_us = Moment.now_us()
        let unjudged = running == nil ? nil : "the agent hasn't looked at it yet"
        return FreshnessReport(
            contracts.map { contract in
                let isKnown = known.contains { $0.source == contract.table && $0.hasShape }
                return FreshnessReport.Table(
                    contract, records[contract.table],
                    obstacle: isKnown
                        ? obstacles[contract.table] ?? unjudged : "nothing of it has been replicated yet",
                    now_us: now_us)
            })
    }
}

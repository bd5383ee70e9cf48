import Replication

extension FreshnessWatch.Look {
    /// Reads of the warehouse what freshness needs: checkpoints first, so that the rest is no older than they are.
    static func at(_ warehouse: any Warehouse, now_us: Int64) async throws -> Self {
        let checkpoints = try await warehouse.checkpoints()
        let tables = try await warehouse.knownTables().filter(\.hasShape).map(\.source)
        var look = Self(at_us: now_us, checkpoints: checkpoints, tables: Set(tables))
        look.obstacles = try await obstacles(in: warehouse)
        return look
    }

    /// Held tables, as far as something was deferred: one for which nothing came is as its source.
    static func obstacles(in warehouse: any Warehouse) async throws -> [TableID: String] {
        let holds = try await warehouse.holds()
        guard !holds.isEmpty else { return [:] }
        var deferred = Set<TableID>()
        for entry in try await warehouse.ledger().tables where entry.deferred > 0 {
            if let table = entry.table { deferred.insert(table) }
        }
        var obstacles: [TableID: String] = [:]
        for hold in holds where deferred.contains(hold.table) && obstacles[hold.table] == nil {
            obstacles[hold.table] = hold.kind.isWanted ? hold.reason : "held: \(hold.reason)"
        }
        return obstacles
    }
}

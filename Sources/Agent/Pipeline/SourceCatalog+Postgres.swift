import Debezium
import Postgres
import Replication
import SerialQueue

/// Reads a source Postgres' catalog once, on a thread of its own.
actor CatalogReader {
    private let executor = SerialQueueExecutor(label: "catalog")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    func read(url: String) throws -> SourceCatalog {
        let session = try Session(url: url)
        defer { session.close() }
        var catalog = SourceCatalog()
        for table in try Catalog.read(.allUserTables, from: session).tables {
            let id = TableID(schema: table.name.schema, table: table.name.name)
            var types: [String: ColumnType] = [:]
            for column in table.columns {
                // Debezium sends a domain as its base type, an enum as its label.
                types[column.name] = column.kind == .enum ? .text : ColumnType(sql: column.baseType) ?? .unknown
            }
            catalog.types[id] = types
            let short = table.columns.filter { $0.kind != .enum && ColumnType.isShortTime(sql: $0.baseType) }
            if !short.isEmpty { catalog.shortTimes[id] = Set(short.map(\.name)) }
            if !table.primaryKey.isEmpty { catalog.keys[id] = table.primaryKey }
            if table.isPrimaryKeyDeferrable { catalog.deferrableKeys.insert(id) }
            catalog.identities[id] =
                switch table.replicaIdentity {
                case .full: .full
                default: Set(table.primaryKey).isSubset(of: table.identityColumns) ? .coversKey : .incomplete
                }
        }
        return catalog
    }
}

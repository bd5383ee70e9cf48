import DuckDB
import Foundation
import Postgres
import Replication
import ReplicationTestKit
import ThrowawayPostgres

/// The warehouses that the suite runs against.
enum Engine: String, CaseIterable, Sendable {
    case memory, duckdb, postgres

    /// Those that others can read.
    static let stored: [Engine] = [.duckdb, .postgres]

    /// A warehouse of its own for one test; `name` becomes its pipeline and schemas.
    func warehouse(
        _ name: String, hasRaw: Bool = true, allowedLateness_us: [String: Int64] = [:], suspectsRestore: Bool = false,
        insertNew_min: Int = 500
    ) async throws -> Subject {
        var layout = WarehouseLayout(pipeline: name, hasRaw: hasRaw)
        layout.suspectsRestore = suspectsRestore
        layout.allowedLateness_us = allowedLateness_us
        switch self {
        case .memory: return Subject(warehouse: MemoryWarehouse(layout: layout), layout: layout, folder: nil)
        case .duckdb:
            let folder = FileManager.default.temporaryDirectory.appending(
                path: "millrace-conformance-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let warehouse = DuckDBWarehouse(
                path: folder.appending(path: "w.duckdb").path, memoryLimit: "256MiB", library: nil, layout: layout,
                insertNew_min: insertNew_min)
            return Subject(warehouse: warehouse, layout: layout, folder: folder)
        case .postgres:
            let url = try await SharedServer.shared.url()
            let warehouse = PostgresWarehouse(url: url, layout: layout, insertNew_min: insertNew_min)
            return Subject(warehouse: warehouse, layout: layout, folder: nil)
        }
    }
}

/// One server for all tests of the process; each test has its own schemas.
actor SharedServer {
    static let shared = SharedServer()
    private var server: Task<ThrowawayPostgres, any Error>?

    func url() async throws -> String {
        if server == nil {
            server = Task {
                var options = ThrowawayPostgres.Options()
                // Tests of all suites have their warehouses open beside each other.
                options.maxConnections = 200
                return try await ThrowawayPostgres.start(options)
            }
        }
        guard let server else { throw CancellationError() }
        return try await server.value.url()
    }
}

/// A warehouse under test.
struct Subject: Sendable {
    let warehouse: any Warehouse
    let layout: WarehouseLayout
    let folder: URL?

    func close() async {
        await warehouse.close()
        if let folder { try? FileManager.default.removeItem(at: folder) }
    }

    /// Changes what the engine holds behind the warehouse's back. Not in memory.
    func execute(_ sql: String) async throws {
        guard let folder else {
            let settings = ConnectionSettings(url: try await SharedServer.shared.url())
            let session = try Session(settings, interrupter: Postgres.Interrupter())
            defer { session.close() }
            try session.execute(sql, for: "change behind its back")
            return
        }
        await warehouse.close()
        let connection = try await Connection.open(path: folder.appending(path: "w.duckdb").path)
        try await connection.run(sql, purpose: "changing behind its back")
        await connection.close()
        try await warehouse.open(readOnly: false)
    }

    /// Live rows as `column: JSON`, ordered by `order`.
    func live(_ definition: TableDefinition, order: String) async throws -> [[String: String]] {
        if let memory = warehouse as? MemoryWarehouse { return await memory.tables.live(definition.source) }
        let columns = definition.columns.map { "\"\($0.name)\"" }.joined(separator: ", ")
        let result = try await warehouse.query(
            "select \(columns) from \"\(layout.live)\".\"\(definition.target)\" order by \(order)", rows_max: 100_000)
        return result.rows.map { row in
            var all: [String: String] = [:]
            for (index, cell) in row.enumerated() {
                let column = result.columns[index]
                all[column.name] = cell.map { column.kind == .literal ? $0 : JSONText.quoted($0) } ?? "null"
            }
            return all
        }
    }

    /// What must converge beside live rows: per row the key, flag and version.
    func versions(_ definition: TableDefinition, key: String) async throws -> [[String?]] {
        if let memory = warehouse as? MemoryWarehouse {
            return await memory.tables.current[definition.source]?.values.map {
                [$0.values[key], $0.isDeleted ? "true" : "false", "\($0.version.commit)", "\($0.version.seq)"]
            }.sorted { ($0[0] ?? "") < ($1[0] ?? "") } ?? []
        }
        return try await warehouse.query(
            """
            select "\(key)", \(definition.metadata.isDeleted), _version_commit, _version_seq
            from "\(layout.current)"."\(definition.target)" order by "\(key)"
            """, rows_max: 100_000
        ).rows
    }

    func rawCount(_ definition: TableDefinition) async throws -> (rows: Int, events: Int) {
        if let memory = warehouse as? MemoryWarehouse {
            let raw = await memory.tables.raw[definition.source] ?? []
            return (raw.count, Set(raw.map(\.id)).count)
        }
        let rows = try await warehouse.query(
            "select count(*), count(distinct event_id) from \"\(layout.raw)\".\"\(definition.target)\"", rows_max: 1
        ).rows
        return (Int(rows[0][0] ?? "") ?? -1, Int(rows[0][1] ?? "") ?? -1)
    }
}

import DuckDB
import Foundation
import Replication
import ReplicationTestKit

/// A warehouse in a file of its own, with one claimed partition, and batches that follow each other.
final class WarehouseFixture {
    let folder: URL
    let warehouse: DuckDBWarehouse
    let layout: WarehouseLayout
    var builder: BatchBuilder
    private(set) var position: Int64?
    private(set) var token: Int64 = 0

    var path: String { folder.appendingPathComponent("shop.duckdb").path }

    init(_ definitions: [TableDefinition], layout: WarehouseLayout = WarehouseLayout(pipeline: "shop")) async throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("millrace-duckdb-warehouse-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.layout = layout
        builder = BatchBuilder(definitions)
        warehouse = DuckDBWarehouse(
            path: folder.appendingPathComponent("shop.duckdb").path, layout: layout, threads: 1)
        try await warehouse.open(readOnly: false)
        try await warehouse.ensure(definitions)
        try await claim()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func claim() async throws {
        let claimed = try await warehouse.claim([builder.partition], owner: "test")
        position = claimed.first?.position
        token = claimed.first?.token ?? 0
    }

    func reopen() async throws {
        await warehouse.close()
        try await warehouse.open(readOnly: false)
        try await claim()
    }

    func advance(to end: Int64) -> CheckpointAdvance {
        CheckpointAdvance(partition: builder.partition, from: position, to: end, token: token, spans: [0])
    }

    @discardableResult
    func apply(_ specs: [EventSpec]) async throws -> BatchApplier.Outcome {
        try await apply(builder.batch(specs, from: position ?? 0))
    }

    @discardableResult
    func apply(_ batch: ChangeBatch) async throws -> BatchApplier.Outcome {
        let end = batch.spans[0].end
        let outcome = try await warehouse.apply(batch, advancing: [advance(to: end)])
        position = end
        return outcome
    }

    /// Rows as text; NULL is `∅`.
    func rows(_ sql: String) async throws -> [String] {
        try await warehouse.query(sql, rows_max: 100_000).rows.map {
            $0.map { $0 ?? "∅" }.joined(separator: "|")
        }
    }

    /// Text columns as they are cast by the engine.
    func value(_ expression: String, from table: String) async throws -> String? {
        try await warehouse.query("SELECT CAST(\(expression) AS VARCHAR) FROM \(table)", rows_max: 1).rows.first?[0]
    }
}

extension TableDefinition {
    /// `orders(id bigint key, status text, note text)`.
    static let orders = TableDefinition(
        source: TableID(schema: "public", table: "orders"), target: "orders",
        columns: [
            Column(name: "id", type: .bigint, isKey: true, nullable: false), Column(name: "status", type: .text),
            Column(name: "note", type: .text),
        ], key: [0])

    /// `log(line text, n bigint)` without a key.
    static let log = TableDefinition(
        source: TableID(schema: "public", table: "log"), target: "log",
        columns: [Column(name: "line", type: .text), Column(name: "n", type: .bigint)], key: [])

    static func of(_ types: [(String, ColumnType)], _ name: String = "types") -> TableDefinition {
        TableDefinition(
            source: TableID(schema: "public", table: name), target: name,
            columns: [Column(name: "id", type: .bigint, isKey: true, nullable: false)]
                + types.map { Column(name: $0.0, type: $0.1) }, key: [0])
    }
}

func version(_ commit: Int64, _ place: Int64 = 1, epoch: Int64 = 0) -> Version {
    Version.change(epoch: epoch, commit: commit, place: place)
}

/// Events of `orders`.
func create(_ id: Int64, _ status: Cell, _ note: Cell, at commit: Int64) -> EventSpec {
    EventSpec(.create, TableDefinition.orders.source, version(commit), after: [.int(id), status, note])
}
func update(_ id: Int64, _ status: Cell, _ note: Cell, at commit: Int64) -> EventSpec {
    EventSpec(.update, TableDefinition.orders.source, version(commit), after: [.int(id), status, note])
}
func delete(_ id: Int64, at commit: Int64) -> EventSpec {
    EventSpec(.delete, TableDefinition.orders.source, version(commit), before: [.int(id), .unchanged, .unchanged])
}
func truncate(at commit: Int64) -> EventSpec {
    EventSpec(.truncate, TableDefinition.orders.source, version(commit))
}

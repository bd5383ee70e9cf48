import Foundation
import Postgres
import Replication
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// One cluster for all suites; its watchdog removes it when the tests end.
enum SharedCluster {
    private static let starting = Task {
        var options = ThrowawayPostgres.Options()
        options.maxConnections = 200
        return try await ThrowawayPostgres.start(options)
    }

    static var cluster: ThrowawayPostgres {
        get async throws { try await starting.value }
    }
}

/// A warehouse in a database of its own, with one claimed partition, and batches that follow each other.
final class WarehouseFixture {
    let cluster: ThrowawayPostgres
    let database: String
    let layout: WarehouseLayout
    let warehouse: PostgresWarehouse
    var builder: BatchBuilder
    private(set) var position: Int64?
    private(set) var token: Int64 = 0

    var url: String { cluster.url(database: database) }

    /// - Parameter before: SQL that runs before the tables are made.
    init(
        _ definitions: [TableDefinition], layout: WarehouseLayout = WarehouseLayout(pipeline: "shop"),
        before: String = ""
    ) async throws {
        cluster = try await SharedCluster.cluster
        database = "w\(UUID().uuidString.filter(\.isHexDigit).lowercased())"
        self.layout = layout
        builder = BatchBuilder(definitions)
        warehouse = PostgresWarehouse(url: cluster.url(database: database), layout: layout)
        try await cluster.psql("CREATE DATABASE \(database)")
        if !before.isEmpty { try await cluster.psql(before, database: database) }
        try await warehouse.open(readOnly: false)
        try await warehouse.ensure(definitions)
        try await claim()
    }

    func claim() async throws {
        let claimed = try await warehouse.claim([builder.partition], owner: "test")
        position = claimed.first?.position
        token = claimed.first?.token ?? 0
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

    /// Rows as psql prints them, columns separated by `|`.
    func rows(_ sql: String) async throws -> [String] {
        try await cluster.psql(sql, database: database).split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init).filter { !$0.isEmpty }
    }

    /// Until a session of this database is in the state that `condition` names of `pg_stat_activity`.
    func wait(until condition: String) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try await rows("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND \(condition)")
            .isEmpty
        {
            try #require(ContinuousClock.now < deadline, "no session has \(condition)")
        }
    }

    /// The rest of `orders`' current that matters, in key order.
    func orders() async throws -> [String] {
        try await rows(
            """
            SELECT id, coalesce(status, '∅'), coalesce(note, '∅'), is_deleted, \
            coalesce(extract(epoch FROM deleted_at)::int::text, '∅'), _version_commit, \
            coalesce(_version_columns, '∅') FROM shop.orders ORDER BY id
            """)
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

/// The kind of the replication error that `body` throws.
func kind(_ body: () async throws -> Void) async -> ReplicationError.Kind? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? ReplicationError)?.kind
    }
}

import JSON
import Postgres
import Replication

/// What a Postgres source keeps in its checkpoint beside the position: which server it belongs to, so that another one's
/// positions are never taken for its own. As JSON.
struct PostgresSourceState: Sendable, Equatable {
    /// `IDENTIFY_SYSTEM`'s identifier.
    var system: String
    var timeline: Int64
    /// From this position on a reader sees whole source transactions; nil while tables are being copied.
    var consistentSince: Int64?

    init(system: String, timeline: Int64, consistentSince: Int64? = nil) {
        self.system = system
        self.timeline = timeline
        self.consistentSince = consistentSince
    }

    init?(json: String) {
        guard let value = try? JSONValue(parsing: json), let system = value["system"]?.string,
            let timeline = value["timeline"]?.int64
        else { return nil }
        self.init(
            system: system, timeline: timeline,
            consistentSince: value["consistent_since"]?.string.flatMap { LSN.parse($0) })
    }

    var json: String {
        JSONValue.object([
            ("system", .string(system)), ("timeline", .integer(timeline)),
            ("consistent_since", .text(consistentSince.map(LSN.text))),
        ]).serialized
    }
}

/// What of a copy is durable, as the warehouse keeps it.
protocol CopyLedger: Sendable {
    func copied(job: String) async throws -> [CopyMark]
    func knownTables() async throws -> [TableDefinition]
    func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String]
    /// Whether current has rows of the table, deleted ones too.
    func hasRows(_ table: TableDefinition) async throws -> Bool
}

struct WarehouseCopyLedger: CopyLedger {
    let warehouse: any Warehouse

    func copied(job: String) async throws -> [CopyMark] { try await warehouse.copied(job: job) }
    func knownTables() async throws -> [TableDefinition] { try await warehouse.knownTables() }
    func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String] {
        try await warehouse.incompleteKeys(table, limit: limit)
    }
    func hasRows(_ table: TableDefinition) async throws -> Bool {
        let counts = try await warehouse.counts(table)
        return counts.live + counts.deleted > 0
    }
}

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
    /// Tables that are copied or being copied, with the membership in the publication that they had then. One that left
    /// and came back has another, also where its filter or column list was changed. Nil: of before this was kept.
    var published: [TableID: Int64]?

    init(
        system: String, timeline: Int64, consistentSince: Int64? = nil, published: [TableID: Int64]? = [:]
    ) {
        self.system = system
        self.timeline = timeline
        self.consistentSince = consistentSince
        self.published = published
    }

    init?(json: String) {
        guard let value = try? JSONValue(parsing: json), let system = value["system"]?.string,
            let timeline = value["timeline"]?.int64
        else { return nil }
        self.init(
            system: system, timeline: timeline,
            consistentSince: value["consistent_since"]?.string.flatMap { LSN.parse($0) },
            published: value["published"]?.array.map(Self.published))
    }

    var json: String {
        JSONValue.object([
            ("system", .string(system)), ("timeline", .integer(timeline)),
            ("consistent_since", .text(consistentSince.map(LSN.text))),
            (
                "published",
                published.map { tables in
                    .array(
                        tables.sorted { $0.key < $1.key }.map {
                            .array([.string($0.key.schema), .string($0.key.table), .integer($0.value)])
                        })
                } ?? .null
            ),
        ]).serialized
    }

    private static func published(_ items: [JSONValue]) -> [TableID: Int64] {
        var tables: [TableID: Int64] = [:]
        for item in items {
            guard let parts = item.array, parts.count == 3, let schema = parts[0].string, let table = parts[1].string,
                let membership = parts[2].int64
            else { continue }
            tables[TableID(schema: schema, table: table)] = membership
        }
        return tables
    }
}

/// What of a copy is durable, as the warehouse keeps it.
protocol CopyLedger: Sendable {
    func copied(job: String) async throws -> [CopyMark]
    func knownTables() async throws -> [TableDefinition]
    func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String]
    /// Whether current has rows of the table, deleted ones too; or a table that is to become it.
    func hasRows(_ table: TableDefinition) async throws -> Bool
    /// Records of the table that were ever put aside.
    func quarantined(_ table: TableID) async throws -> Int
    /// Those of the last of them that were read from a snapshot.
    func quarantinedReads(_ table: TableID, amongLast count: Int) async throws -> Int
}

struct WarehouseCopyLedger: CopyLedger {
    let warehouse: any Warehouse

    func copied(job: String) async throws -> [CopyMark] { try await warehouse.copied(job: job) }
    func knownTables() async throws -> [TableDefinition] { try await warehouse.knownTables() }
    func incompleteKeys(_ table: TableDefinition, limit: Int) async throws -> [String] {
        try await warehouse.incompleteKeys(table, limit: limit)
    }
    func hasRows(_ table: TableDefinition) async throws -> Bool {
        if table.existing == .adopt, try await warehouse.hasForeignRows(at: table) { return true }
        guard table.hasShape else { return false }
        // What is deferred of it becomes rows.
        if try await warehouse.holds().contains(where: { $0.table == table.source }) { return true }
        let counts = try await warehouse.counts(table)
        return counts.live + counts.deleted > 0
    }
    func quarantined(_ table: TableID) async throws -> Int {
        // Of the ledger's counts what is replayed is taken again.
        try await warehouse.quarantine().count { $0.entry.table == table }
    }

    func quarantinedReads(_ table: TableID, amongLast count: Int) async throws -> Int {
        let records = try await warehouse.quarantine().filter { $0.entry.table == table }
        return records.suffix(count).count { $0.entry.operation == .read }
    }
}

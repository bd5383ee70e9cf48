import JSON
import PipelineFile
import Replication
import ReplicationTestKit

@testable import Agent

/// A table, facts and events for tests of lineage.
enum LineageFixture {
    static let orders = TableID(schema: "public", table: "orders")

    static func facts(
        _ source: LineageFacts.Source = .postgres("postgres://db:5432", "shop"),
        _ engine: LineageFacts.Engine = .duckdb
    ) -> LineageFacts {
        LineageFacts(
            namespace: "jobs", version: "9.9", source: source, engine: engine,
            warehouse: .init(namespace: "duckdb:///srv/w.duckdb", database: "w"),
            layout: WarehouseLayout(pipeline: "shop"))
    }

    static func table(
        _ id: TableID = orders, columns: [String] = [], read: Int = 0, applied: Int? = nil
    ) -> LineageTable {
        var definition = TableDefinition(
            source: id, target: id.table,
            columns: [Column(name: "id", type: .bigint, isKey: true), Column(name: "email", type: .text)]
                + columns.map { Column(name: $0, type: .integer) }, key: [0])
        definition.isFiltered = true
        var ledger = LedgerEntry(table: id)
        ledger.read = read
        ledger.applied = applied ?? read
        var table = LineageTable(definition: definition, hashed: ["email"], filtered: ["id"], ledger: ledger)
        table.topics = ["shop.public.orders"]
        return table
    }

    static func json(_ event: LineageEvent) throws -> JSONValue { try JSONValue(parsing: event.text) }

    static func event(_ kind: LineageEvent.Kind, _ text: String = "{}", run: String = "r") -> LineageEvent {
        LineageEvent(kind: kind, run: run, text: text)
    }
}

extension JSONValue {
    /// A member of members: `a.b`; of an array by its index.
    func at(_ path: String...) -> JSONValue? {
        path.reduce(Optional(self)) { value, key in
            if let index = Int(key), let array = value?.array {
                return array.indices.contains(index) ? array[index] : nil
            }
            return value?[key]
        }
    }

    /// The dataset of a list that has a name.
    func dataset(_ list: String, _ name: String) -> JSONValue? {
        self[list]?.array?.first { $0["name"]?.string == name }
    }

    var names: [String] { array?.compactMap { $0["name"]?.string } ?? [] }
}

import JSON
import Replication

/// A table that the source dropped or renamed, as it travels among the records.
package struct GoneTable: Sendable, Equatable {
    package var oid: UInt32
    package var table: TableID
    /// What it is called now; nil: it was dropped.
    package var name: String?

    package init(oid: UInt32, table: TableID, name: String?) {
        self.oid = oid
        self.table = table
        self.name = name
    }

    package var json: String {
        JSONValue.object([
            ("oid", .number(String(oid))), ("schema", .string(table.schema)), ("table", .string(table.table)),
            ("name", name.map(JSONValue.string) ?? .null),
        ]).serialized
    }

    package init?(json: UnsafeRawBufferPointer) {
        guard let value = try? JSONValue(parsing: Array(json)), let oid = value["oid"]?.int64,
            let schema = value["schema"]?.string, let table = value["table"]?.string
        else { return nil }
        self.init(
            oid: UInt32(truncatingIfNeeded: oid), table: TableID(schema: schema, table: table),
            name: value["name"]?.string)
    }
}

extension SourceServer {
    /// What tables are called that have these numbers.
    package func names(of oids: [UInt32]) throws -> [UInt32: TableID] {
        guard !oids.isEmpty else { return [:] }
        let rows = try session.query(
            """
            SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.oid IN (\(oids.map { String($0) }.joined(separator: ", ")))
            """, for: "look for tables")
        var names: [UInt32: TableID] = [:]
        for row in 0..<rows.count {
            guard let oid = rows.integer(row, 0) else { continue }
            names[UInt32(truncatingIfNeeded: oid)] = TableID(
                schema: rows.string(row, 1) ?? "", table: rows.string(row, 2) ?? "")
        }
        return names
    }
}

import JSON
import Replication

/// Holds a warehouse against the rows that it must have: `{"schema.table": [row, …]}` with rows as Postgres'
/// `row_to_json` writes them.
package struct ExpectedTables: Sendable {
    package struct Table: Sendable {
        /// As the file has it: `public.orders`, or `orders` for a source without schemas.
        package var name: String
        package var rows: [JSONValue]
    }

    /// A row or cell that isn't as it must be. Holds the key, and no other value.
    package struct Difference: Sendable, Hashable, CustomStringConvertible {
        package enum Kind: String, Sendable {
            case missing, extra, different, noTable = "no such table", noColumn = "no such column"
        }

        package var table: String
        package var kind: Kind
        /// The row's key; nil for a table without one.
        package var key: String?
        package var column: String?

        package var description: String {
            let row = key.map { " row \($0)" } ?? ""
            return "\(table)\(row)\(column.map { " column \($0)" } ?? ""): \(kind.rawValue)"
        }
    }

    package var tables: [Table]

    /// - Throws: `JSONError`, or `CommandFailure` where it isn't such a file.
    package init(json: String) throws {
        guard let members = try JSONValue(parsing: json).members else {
            throw CommandFailure(ExitStatus.usage, "expected rows are a JSON object of tables")
        }
        tables = members.map { Table(name: $0.key, rows: $0.value.array ?? []) }
    }

    package func definition(of table: Table, in known: [TableDefinition]) -> TableDefinition? {
        let name = Self.unquoted(table.name)
        return known.first { $0.source.description == name } ?? known.first { $0.source.table == name }
    }

    /// `"Sales Dept"."Line Items"`, as SQL writes such names, is `Sales Dept.Line Items`.
    private static func unquoted(_ name: String) -> String {
        guard name.contains("\"") else { return name }
        var text = ""
        var isQuoted = false
        var rest = name[...]
        while let character = rest.popFirst() {
            if character != "\"" {
                text.append(character)
            } else if isQuoted, rest.first == "\"" {
                text.append("\"")
                rest.removeFirst()
            } else {
                isQuoted.toggle()
            }
        }
        return text
    }

    /// A query for a table's live rows whose cells `differences` understands.
    package static func query(_ definition: TableDefinition, layout: WarehouseLayout, engine: String) -> String {
        let columns = definition.columns.map { column -> String in
            let name = quoted(column.name)
            switch (engine, column.type) {
            case ("duckdb", let type) where type.composite != nil:
                return "\(NestedQuery.json(name, type)) AS \(name)"
            case ("duckdb", .bytea): return "'\\x' || lower(hex(\(name))) AS \(name)"
            case ("duckdb", .array(.bytea)):
                return
                    "CAST(to_json(list_transform(\(name), lambda b: '\\x' || lower(hex(b)))) AS VARCHAR) AS \(name)"
            case ("duckdb", .other("hstore")): return "CAST(to_json(\(name)) AS VARCHAR) AS \(name)"
            case ("duckdb", .array):
                return
                    "CASE WHEN \(name) IS NULL THEN NULL ELSE CAST(to_json(CAST(\(name) AS VARCHAR[])) AS VARCHAR) END AS \(name)"
            // A cast to text cuts char(n)'s padding, which row_to_json keeps.
            case ("postgres", .other(let type)) where type.hasPrefix("char"):
                return "to_jsonb(\(name)) #>> '{}' AS \(name)"
            case ("postgres", .array), ("postgres", .composite): return "to_json(\(name))::text AS \(name)"
            case ("postgres", _): return "\(name)::text AS \(name)"
            default: return "CAST(\(name) AS VARCHAR) AS \(name)"
            }
        }
        return "SELECT \(columns.joined(separator: ", ")) FROM \(quoted(layout.live)).\(quoted(definition.target))"
    }

    private static func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    /// Compares one table, value by value with the columns' types in mind. Columns that only the warehouse has (of
    /// other times) are left alone.
    ///
    /// - Parameters:
    ///   - definition: nil: the warehouse has no such table.
    ///   - rows: all its live rows, with cells in the order of the definition's columns.
    ///   - leavingOut: columns that the source's events can't tell.
    package static func differences(
        _ table: Table, definition: TableDefinition?, rows: [[String?]], leavingOut: Set<String> = []
    ) -> [Difference] {
        guard let definition else {
            return table.rows.isEmpty ? [] : [Difference(table: table.name, kind: .noTable)]
        }
        var compared: [(index: Int, column: Column)] = []
        var differences: [Difference] = []
        for name in columnNames(table) where !leavingOut.contains(name) {
            if let index = definition.columns.firstIndex(where: { $0.nameAtSource == name }) {
                compared.append((index, definition.columns[index]))
            } else {
                differences.append(Difference(table: table.name, kind: .noColumn, column: name))
            }
        }
        let expected = table.rows.map { row in
            compared.map { Canonical.text(expected: row[$0.column.nameAtSource] ?? .null, type: $0.column.type) }
        }
        let actual = rows.map { row in
            compared.map { compared in
                row[compared.index].map { Canonical.text(actual: $0, type: compared.column.type) }
            }
        }
        let keys = definition.key.compactMap { key in compared.firstIndex { $0.index == key } }
        let isKeyed = !definition.isKeyless && keys.count == definition.key.count
        differences +=
            isKeyed
            ? byKey(table.name, compared.map(\.column.name), keys, expected, actual)
            : byContent(table.name, expected, actual)
        return differences
    }

    private static func columnNames(_ table: Table) -> [String] {
        var seen = Set<String>()
        return table.rows.flatMap { $0.members?.map(\.key) ?? [] }.filter { seen.insert($0).inserted }
    }

    private static func byKey(
        _ table: String, _ names: [String], _ keys: [Int], _ expected: [[String?]], _ actual: [[String?]]
    ) -> [Difference] {
        func key(_ row: [String?]) -> String { keys.map { row[$0] ?? "null" }.joined(separator: ", ") }
        var rest: [String: [[String?]]] = [:]
        for row in actual { rest[key(row), default: []].append(row) }
        var differences: [Difference] = []
        for row in expected {
            let name = key(row)
            guard let found = rest[name]?.popLast() else {
                differences.append(Difference(table: table, kind: .missing, key: name))
                continue
            }
            for (index, column) in names.enumerated() where found[index] != row[index] {
                differences.append(Difference(table: table, kind: .different, key: name, column: column))
            }
        }
        for (name, rows) in rest.sorted(by: { $0.key < $1.key }) {
            differences += rows.map { _ in Difference(table: table, kind: .extra, key: name) }
        }
        return differences
    }

    private static func byContent(_ table: String, _ expected: [[String?]], _ actual: [[String?]]) -> [Difference] {
        var counts: [[String?]: Int] = [:]
        for row in actual { counts[row, default: 0] += 1 }
        for row in expected { counts[row, default: 0] -= 1 }
        return counts.values.flatMap { count in
            [Difference](
                repeating: Difference(table: table, kind: count > 0 ? .extra : .missing), count: abs(count))
        }
    }
}

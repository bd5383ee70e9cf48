import Foundation
import Replication
import Testing

/// Walks the table in docs/schema-changes.md: each of its examples is classified as it says.
@Suite struct SchemaTableTests {
    struct Row: CustomStringConvertible, Sendable {
        var change: String
        var before: String
        var after: String
        var kinds: [String]
        var classes: [String]
        var meanwhile: String
        var description: String { change }
    }

    static let rows: [Row] = {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../../docs/schema-changes.md")
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: true).map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            guard line.hasPrefix("|"), cells.count == 6, cells[1].hasPrefix("`") else { return nil }
            func list(_ text: String) -> [String] { text.components(separatedBy: ", ") }
            let code = CharacterSet(charactersIn: "`")
            return Row(
                change: cells[0], before: cells[1].trimmingCharacters(in: code),
                after: cells[2].trimmingCharacters(in: code), kinds: list(cells[3]), classes: list(cells[4]),
                meanwhile: cells[5])
        }
    }()

    /// `id bigint, v text not null #3; key id; identity full`.
    static func schema(_ text: String, position: Int64) -> SourceSchema {
        let parts = text.components(separatedBy: "; ")
        // Commas in parentheses are a type's.
        var columns: [String] = [""]
        var depth = 0
        for character in parts[0] {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character == ",", depth == 0 { columns.append("") } else { columns[columns.count - 1].append(character) }
        }
        var schema = SourceSchema(oid: 7, position: position, columns: [], key: ["id"], identity: .key)
        for (index, column) in columns.enumerated() {
            var words = column.trimmingCharacters(in: .whitespaces).components(separatedBy: " ")
            var number = index + 1
            if let last = words.last, last.hasPrefix("#") {
                number = Int(last.dropFirst()) ?? 0
                words.removeLast()
            }
            let isNotNull = words.suffix(2) == ["not", "null"]
            if isNotNull { words.removeLast(2) }
            schema.columns.append(
                .init(
                    words[0], number: number, type: ColumnType(sql: words.dropFirst().joined(separator: " ")),
                    isNullable: !isNotNull && words[0] != "id"))
        }
        for part in parts.dropFirst() {
            if part.hasPrefix("key ") { schema.key = part.dropFirst(4).components(separatedBy: ", ") }
            if part.hasPrefix("identity ") { schema.identity = part.hasSuffix("full") ? .full : .key }
        }
        return schema
    }

    static func definition(_ schema: SourceSchema) -> TableDefinition {
        var table = TableDefinition(
            source: TableID(schema: "public", table: "t"), target: "t",
            columns: schema.columns.map {
                var column = Column(name: $0.name, type: $0.type ?? .unknown, nullable: $0.isNullable ?? true)
                column.number = $0.number
                return column
            }, key: [])
        table.rekey(schema.key ?? [])
        table.followed = schema
        return table
    }

    @Test(arguments: rows) func isClassified(row: Row) {
        let table = Self.definition(Self.schema(row.before, position: 10))
        let evolution = SchemaEvolution(
            table, wanted: table, to: Self.schema(row.after, position: 20), told: .init(),
            choice: TableChoice(target: "t"), policy: SchemaPolicy())
        #expect(evolution.changes.map(\.kind.rawValue) == row.kinds)
        #expect(evolution.changes.map { $0.kind.isAdditive ? "additive" : "breaking" } == row.classes)
        #expect(evolution.isHeld == (row.meanwhile == "is held"))
        for change in evolution.changes {
            #expect(change.state == (change.kind.isAdditive ? .applied : .waiting))
            #expect(change.position == 20)
        }
        // Met once more it is nothing new, and an older schema neither.
        let again = SchemaEvolution(
            evolution.applied, wanted: evolution.wanted, to: Self.schema(row.after, position: 30), told: .init(),
            choice: TableChoice(target: "t"), policy: SchemaPolicy())
        #expect(again.changes.isEmpty)
    }

    @Test func isWhole() {
        let listed = Set(Self.rows.flatMap(\.kinds))
        let tables: Set<SchemaChange.Kind> = [.newTable, .dropTable, .renameTable]
        let all = Set(SchemaChange.Kind.allCases.filter { !tables.contains($0) }.map(\.rawValue))
        #expect(listed == all)
    }
}

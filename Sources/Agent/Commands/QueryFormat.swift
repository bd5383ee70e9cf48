import JSON
import Replication

/// How `query` shows rows.
package enum QueryFormat: String, Sendable, CaseIterable {
    case table, csv, json, jsonl

    package func text(_ result: QueryResult) -> String {
        switch self {
        case .table: Self.table(result)
        case .csv: Self.csv(result)
        case .json: JSONValue.array(result.rows.map { Self.object($0, result) }).serialized + "\n"
        case .jsonl: result.rows.map { Self.object($0, result).serialized + "\n" }.joined()
        }
    }

    private static func table(_ result: QueryResult) -> String {
        let right = result.columns.indices.filter { result.columns[$0].kind == .literal }
        var table = TextTable(result.columns.map(\.name), right: Set(right))
        table.rows = result.rows.map { row in row.map { $0 ?? "NULL" } }
        return table.text + "(\(result.rows.count) \(result.rows.count == 1 ? "row" : "rows"))\n"
    }

    /// RFC 4180, lines end with CR LF. NULL is an empty field, an empty text is `""`.
    private static func csv(_ result: QueryResult) -> String {
        var text = result.columns.map { field($0.name) }.joined(separator: ",") + "\r\n"
        for row in result.rows {
            text += row.map { $0.map(field) ?? "" }.joined(separator: ",") + "\r\n"
        }
        return text
    }

    private static func field(_ cell: String) -> String {
        let needsQuotes =
            cell.isEmpty || cell.utf8.contains { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
        return needsQuotes
            ? "\"\(cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"" : cell
    }

    private static func object(_ row: [String?], _ result: QueryResult) -> JSONValue {
        .object(zip(result.columns, row).map { column, cell in (column.name, value(cell, column.kind)) })
    }

    /// Literals stand as they are, if they are JSON: `NaN` and the like aren't, and become texts.
    private static func value(_ cell: String?, _ kind: QueryResult.CellKind) -> JSONValue {
        guard let cell else { return .null }
        guard kind == .literal, let parsed = try? JSONValue(parsing: cell) else { return .string(cell) }
        return parsed
    }
}

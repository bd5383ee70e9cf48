import PipelineFile
import Replication

/// Count and checksum of a table, computed inside a database over texts that come out the same in Postgres and DuckDB:
/// the sum over all rows of 64 bits of the md5 of a row's text, in which each value stands behind its length.
struct TableDigest {
    /// Columns that the checksum covers, and those whose texts the engines write differently.
    private(set) var covered: [Column] = []
    private(set) var uncovered: [String] = []
    private let table: TableDefinition
    private let hashed: Set<String>

    /// - Parameters:
    ///   - hashed: columns that the warehouse has as hashes.
    ///   - present: columns that the source has; the warehouse may have more, of earlier times.
    init(_ table: TableDefinition, hashed: Set<String>, present: Set<String>, engine: String) {
        self.table = table
        self.hashed = hashed
        for column in table.columns {
            if present.contains(column.name), engine == "postgres" || Self.isPlain(column.type) {
                covered.append(column)
            } else {
                uncovered.append(column.name)
            }
        }
    }

    private static func isPlain(_ type: ColumnType) -> Bool {
        switch type {
        case .boolean, .smallint, .integer, .bigint, .text, .uuid, .bytea, .json, .jsonb, .timetz: true
        case .numeric(let precision?, let scale): precision > 38 || (0...precision).contains(scale)
        case .numeric: true
        // Their far ends are written in other words.
        case .date, .time, .timestamp, .timestamptz: true
        case .other(let name): !name.lowercased().hasSuffix("hstore")
        case .real, .double, .interval, .array, .composite, .unknown: false
        }
    }

    /// - Parameter filter: SQL that leaves rows out.
    func source(_ relation: String, filter: String?) -> String {
        let values = covered.map { column -> String in
            let name = Self.quoted(column.name)
            if hashed.contains(column.name) { return "encode(sha256(convert_to(\(name)::text, 'UTF8')), 'hex')" }
            if column.type == .boolean { return "CASE \(name) WHEN true THEN 'true' WHEN false THEN 'false' END" }
            return "\(name)::text"
        }
        return sum(relation + (filter.map { " WHERE (\($0))" } ?? ""), values, bytes: "octet_length", isPostgres: true)
    }

    func warehouse(_ layout: WarehouseLayout, engine: String) -> String {
        let relation = "\(Self.quoted(layout.live)).\(Self.quoted(table.target))"
        let isPostgres = engine == "postgres"
        let values = covered.map { column -> String in
            let name = Self.quoted(column.name)
            if isPostgres {
                if column.type == .boolean { return "CASE \(name) WHEN true THEN 'true' WHEN false THEN 'false' END" }
                return "\(name)::text"
            }
            return column.type == .bytea ? "'\\x' || lower(hex(\(name)))" : "CAST(\(name) AS VARCHAR)"
        }
        return sum(relation, values, bytes: isPostgres ? "octet_length" : "strlen", isPostgres: isPostgres)
    }

    private func sum(_ from: String, _ values: [String], bytes: String, isPostgres: Bool) -> String {
        let parts = values.map { "coalesce(\(bytes)(\($0)) || ':' || (\($0)), 'N')" }
        let row = parts.isEmpty ? "''" : parts.joined(separator: " || ',' || ")
        // Two halves, as neither engine has an unsigned type that the other has.
        let half = { (start: Int) -> String in
            isPostgres
                ? "('x' || substr(h, \(start), 8))::bit(32)::bigint" : "CAST('0x' || substr(h, \(start), 8) AS BIGINT)"
        }
        return """
            SELECT count(*)::text, coalesce(sum(\(half(1))), 0)::text, coalesce(sum(\(half(9))), 0)::text \
            FROM (SELECT md5(\(row)) AS h FROM \(from)) AS t
            """.replacing("::text", with: isPostgres ? "::text" : "::VARCHAR")
    }

    static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
}

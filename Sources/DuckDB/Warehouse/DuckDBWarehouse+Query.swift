import Replication

extension DuckDBWarehouse {
    package func query(_ sql: String, rows_max: Int) async throws -> Replication.QueryResult {
        try reading { session in try Self.users { try Self.run(sql, rows_max, session) } }
    }

    func reading<Value>(_ body: (Session) throws -> Value) throws -> Value {
        try withSession { session in
            // Refused by the engine too: nothing of it may write.
            try session.run("BEGIN TRANSACTION READ ONLY", purpose: "beginning a query")
            defer { try? session.run("ROLLBACK", purpose: "ending a query") }
            return try body(session)
        }
    }

    /// What the engine says of a statement that the user has written.
    static func users<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as DuckDBError {
            switch error.kind {
            case .catalog, .syntax, .value, .configuration, .other:
                throw ReplicationError(.configuration, error.message, remedy: error.remedy)
            default: throw error
            }
        }
    }

    static func run(_ sql: String, _ rows_max: Int, _ session: Session) throws -> Replication.QueryResult {
        let statement = try Statement(session, sql, purpose: "query", disclosing: .statement)
        guard statement.isQuery else {
            throw ReplicationError(
                .configuration, "only a query can be run here, one SELECT that writes nothing",
                remedy: "millrace query 'select …'")
        }
        let cells = statement.columns.map { Cell($0.typeName) }
        // Columns get numbers, as a result may have one name twice.
        let names = cells.indices.map { "c\($0)" }
        let values = zip(names, cells).map { name, cell in cell.text(of: "r.\(name)") }
        var rows: [[String?]] = []
        try session.forEachChunk(
            """
            SELECT \(values.joined(separator: ", ")) FROM (
            \(SQLText.withoutSemicolons(sql))
            ) AS r(\(names.joined(separator: ", "))) LIMIT \(max(rows_max, 0) + 1)
            """, purpose: "query", streaming: true
        ) { chunk in
            for row in 0..<chunk.rowCount { rows.append(cells.indices.map { chunk.text($0, row) }) }
        }
        guard rows.count <= rows_max else {
            throw ReplicationError(
                .configuration, "the query gives more than \(rows_max) rows", remedy: "add a limit or an aggregate")
        }
        let columns = zip(statement.columns, cells).map { column, cell in
            (name: column.name, kind: cell.kind)
        }
        return Replication.QueryResult(columns: columns, rows: rows)
    }

    /// How a column's cells become text.
    private enum Cell {
        case text, literal, fraction, float, nested, blob

        init(_ type: String) {
            switch type {
            case "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
                "UBIGINT", "UHUGEINT", "JSON":
                self = .literal
            case "FLOAT", "DOUBLE": self = .float
            case "BLOB": self = .blob
            default:
                if type.hasPrefix("DECIMAL("), !type.hasSuffix("]") {
                    self = .fraction
                } else if type.hasSuffix("]") || type.hasPrefix("STRUCT(") || type.hasPrefix("MAP(") {
                    self = .nested
                } else {
                    self = .text
                }
            }
        }

        var kind: Replication.QueryResult.CellKind {
            switch self {
            case .text, .blob: .text
            case .literal, .fraction, .float, .nested: .literal
            }
        }

        func text(of value: String) -> String {
            switch self {
            case .text, .literal: "CAST(\(value) AS VARCHAR)"
            // A DECIMAL that is all fraction has no 0 before its point, which JSON wants.
            case .fraction: "regexp_replace(CAST(\(value) AS VARCHAR), '^(-?)[.]', '\\10.')"
            // JSON has no such numbers: they stand quoted.
            case .float:
                """
                CASE WHEN isfinite(\(value)) THEN CAST(\(value) AS VARCHAR) \
                ELSE '"' || CAST(\(value) AS VARCHAR) || '"' END
                """
            case .nested: "CAST(to_json(\(value)) AS VARCHAR)"
            case .blob: "'\\x' || lower(hex(\(value)))"
            }
        }
    }
}

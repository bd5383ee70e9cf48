import Replication

extension PostgresWarehouse {
    /// Numbers, booleans and JSON stand as they are; a column that holds NaN or an infinity is text throughout.
    package func query(_ sql: String, rows_max: Int) async throws -> QueryResult {
        try work { session in
            try session.execute("BEGIN READ ONLY", for: "begin a query")
            defer { session.rollback() }
            return try Self.result(of: sql, session, rows_max)
        }
    }

    /// In a transaction.
    static func result(of sql: String, _ session: Session, _ rows_max: Int) throws -> QueryResult {
        let rows = try rows(of: sql, session, rows_max)
        guard rows.count <= rows_max else {
            throw ReplicationError(
                .configuration, "the query has more than \(rows_max) rows", remedy: "add a LIMIT, or aggregate")
        }
        return result(rows)
    }

    /// A cursor takes what gives rows, and reads no more of them than are wanted; SHOW and EXPLAIN give few.
    private static func rows(of sql: String, _ session: Session, _ rows_max: Int) throws -> Rows {
        let purpose = "run the query"
        func prepare(_ statement: String) throws -> PreparedStatement {
            // Parsed on its own, so that it can't be several.
            do {
                return try session.prepare("", statement, for: purpose)
            } catch {
                guard error.kind == .permanent || error.kind == .data else { throw error }
                throw ReplicationError(.configuration, error.description, remedy: error.remedy)
            }
        }
        let words = ["show", "explain"]
        if let first = firstWord(sql), words.contains(first) { return try session.query(prepare(sql), for: purpose) }
        _ = try session.query(
            prepare("DECLARE millrace_query NO SCROLL CURSOR FOR \(trimmed(sql))"), for: purpose)
        return try session.query("FETCH FORWARD \(rows_max + 1) FROM millrace_query", for: purpose)
    }

    private static func trimmed(_ sql: String) -> Substring {
        var text = sql[...]
        while let last = text.last, last.isWhitespace || last == ";" { text.removeLast() }
        return text
    }

    /// In lower case, comments left out.
    private static func firstWord(_ sql: String) -> String? {
        var text = sql[...]
        while true {
            text = text.drop(while: \.isWhitespace)
            if text.hasPrefix("--") {
                text = text.drop { !$0.isNewline }
            } else if text.hasPrefix("/*"), let end = text.firstRange(of: "*/") {
                text = text[end.upperBound...]
            } else {
                break
            }
        }
        let word = text.prefix(while: \.isLetter)
        return word.isEmpty ? nil : word.lowercased()
    }

    private static let boolean: UInt32 = 16
    private static let numbers: Set<UInt32> = [20, 21, 23, 26, 700, 701, 1700]
    private static let documents: Set<UInt32> = [114, 3802]

    private static func result(_ rows: Rows) -> QueryResult {
        let types = (0..<rows.columnCount).map { rows.typeOID($0) }
        var kinds = types.map { type -> QueryResult.CellKind in
            type == boolean || numbers.contains(type) || documents.contains(type) ? .literal : .text
        }
        let cells = (0..<rows.count).map { row in
            (0..<rows.columnCount).map { column -> String? in
                guard let text = rows.string(row, column) else { return nil }
                let type = types[column]
                if type == boolean { return text == "t" ? "true" : "false" }
                // Line ends in JSON stand between its tokens.
                if documents.contains(type) { return text.replacing(/[\r\n]+/, with: " ") }
                if numbers.contains(type), text.hasSuffix("NaN") || text.hasSuffix("Infinity") { kinds[column] = .text }
                return text
            }
        }
        return QueryResult(columns: zip(rows.columnNames, kinds).map { (name: $0, kind: $1) }, rows: cells)
    }
}

/// A result as text, all of it in memory.
package struct ResultRows: Sendable, Equatable {
    package let columns: [ResultColumn]
    /// One array for each row, in the columns' order; nil is NULL.
    package let rows: [[String?]]
}

extension Session {
    /// Runs one query (SELECT, FROM, VALUES, SHOW, DESCRIBE, PIVOT, EXPLAIN, …) and returns its rows as DuckDB
    /// writes them as text, whatever their types. Other statements are refused before they run.
    ///
    /// - Parameter isUserText: the SQL is what the user typed, so an error of its words may quote it to them.
    package func query(
        _ sql: String, _ parameters: [Parameter] = [], purpose: String, isUserText: Bool = false
    ) throws -> ResultRows {
        var columns: [ResultColumn] = []
        var rows: [[String?]] = []
        try forEachTextChunk(
            sql, parameters, purpose: purpose, isUserText: isUserText, columns: { columns = $0 },
            { chunk in
                for row in 0..<chunk.rowCount {
                    rows.append(chunk.columns.indices.map { chunk.isNull($0, row) ? nil : chunk.string($0, row) })
                }
            }
        )
        return ResultRows(columns: columns, rows: rows)
    }

    /// As ``query(_:_:purpose:isUserText:)``, in chunks whose columns are all VARCHAR, for results of any size.
    ///
    /// - Parameter columns: called once and first, with the names and types that the statement itself gives.
    package func forEachTextChunk(
        _ sql: String, _ parameters: [Parameter] = [], purpose: String, isUserText: Bool = false,
        columns report: ([ResultColumn]) throws -> Void, _ body: (borrowing ChunkReader) throws -> Void
    ) throws {
        let disclosing: EngineMessage.Disclosure = isUserText ? .statement : .nothing
        let statement = try Statement(self, sql, purpose: purpose, disclosing: disclosing)
        let columns = statement.columns
        if statement.isExplain || statement.isQuery && columns.allSatisfy({ $0.typeName == "VARCHAR" }) {
            try report(columns)
            return try statement.forEachChunk(parameters, streaming: true, body)
        }
        // The engine writes every type as text, nested ones too: let it. Order is kept through the subquery, as
        // preserve_insertion_order is on.
        let text = try wrapping(statement, sql, "CAST(COLUMNS(*) AS VARCHAR)", purpose)
        try report(columns)
        try text.forEachChunk(parameters, streaming: true, body)
    }

    /// A statement that selects `expression` from the rows of another, which goes by the name "millrace row".
    private func wrapping(
        _ statement: Statement, _ sql: String, _ expression: String, _ purpose: String
    ) throws(DuckDBError) -> Statement {
        let wrapped = "SELECT \(expression) FROM (\n\(SQLText.withoutSemicolons(sql))\n) AS \"millrace row\""
        let refusal = DuckDBError(
            .other, "only the rows of a query can be shown", purpose: purpose, remedy: "write it as a SELECT"
        )
        guard statement.isQuery else { throw refusal }
        do {
            return try prepare(wrapped, purpose: purpose)
        } catch  where error.kind == .syntax || error.kind == .catalog {
            // The statement is good by itself, but can't stand in a FROM clause: PRAGMA.
            throw refusal
        }
    }

    /// Runs one query and gives each row as a JSON object, made by the engine: numbers as numbers, nested types
    /// as objects and arrays, NULL as `null`. The bytes are valid during the call only.
    package func forEachJSONRow(
        _ sql: String, _ parameters: [Parameter] = [], purpose: String, isUserText: Bool = false,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let disclosing: EngineMessage.Disclosure = isUserText ? .statement : .nothing
        let statement = try Statement(self, sql, purpose: purpose, disclosing: disclosing)
        let json = try wrapping(statement, sql, "CAST(to_json(\"millrace row\") AS VARCHAR)", purpose)
        try json.forEachChunk(parameters, streaming: true) { chunk in
            for row in 0..<chunk.rowCount { try body(chunk.bytes(0, row)) }
        }
    }
}

/// SQL as text.
enum SQLText {
    /// The text of one statement with its semicolons outside strings, quoted names and comments made blanks, so
    /// that it can stand in parentheses.
    static func withoutSemicolons(_ sql: String) -> String {
        var bytes = Array(sql.utf8)
        var i = 0
        func starts(_ text: StaticString, at i: Int) -> Bool {
            i + text.utf8CodeUnitCount <= bytes.count
                && (0..<text.utf8CodeUnitCount).allSatisfy { bytes[i + $0] == text.utf8Start[$0] }
        }
        while i < bytes.count {
            switch bytes[i] {
            case UInt8(ascii: ";"):
                bytes[i] = UInt8(ascii: " ")
                i += 1
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                // E'…' has backslashes; the e of date'…' is another.
                let hasPrefix = bytes[i] == UInt8(ascii: "'") && i > 0 && bytes[i - 1] | 0x20 == UInt8(ascii: "e")
                i = end(ofQuoteAt: i, in: bytes, withBackslash: hasPrefix && (i < 2 || !isName(bytes[i - 2])))
            case UInt8(ascii: "$"):
                i = end(ofDollarAt: i, in: bytes)
            case UInt8(ascii: "-") where starts("--", at: i):
                while i < bytes.count, bytes[i] != UInt8(ascii: "\n") { i += 1 }
            case UInt8(ascii: "/") where starts("/*", at: i):
                i += 2
                while i < bytes.count, !starts("*/", at: i) { i += 1 }
                i += 2
            default:
                i += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Behind the closing quote. A doubled quote reopens at once, so it needs no case of its own.
    private static func end(ofQuoteAt start: Int, in bytes: [UInt8], withBackslash: Bool) -> Int {
        var i = start + 1
        while i < bytes.count {
            if withBackslash, bytes[i] == UInt8(ascii: "\\") {
                i += 2
            } else if bytes[i] == bytes[start] {
                return i + 1
            } else {
                i += 1
            }
        }
        return i
    }

    /// Behind `$tag$…$tag$`; behind the `$` alone if that is a parameter (`$1`).
    private static func end(ofDollarAt start: Int, in bytes: [UInt8]) -> Int {
        var tagEnd = start + 1
        while tagEnd < bytes.count, isName(bytes[tagEnd]) { tagEnd += 1 }
        guard tagEnd < bytes.count, bytes[tagEnd] == UInt8(ascii: "$") else { return start + 1 }
        let tag = bytes[start...tagEnd]
        var i = tagEnd + 1
        while i + tag.count <= bytes.count {
            if bytes[i..<(i + tag.count)].elementsEqual(tag) { return i + tag.count }
            i += 1
        }
        return bytes.count
    }

    private static func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            return true
        default:
            return false
        }
    }
}

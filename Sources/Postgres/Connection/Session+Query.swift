import CLibPQ
import Glibc

/// A statement that the server has parsed; it lives as long as its session.
package struct PreparedStatement: Sendable, Hashable {
    package let name: String
}

extension Session {
    /// Runs one or more statements, separated by semicolons, in one round trip and one implicit
    /// transaction, unless they hold BEGIN and COMMIT themselves.
    /// - Returns: rows affected by the last.
    @discardableResult
    package func execute(_ sql: String, for purpose: String = "run a statement") throws(PostgresError) -> Int {
        try script(sql, for: purpose).last?.affected ?? 0
    }

    /// As `execute`, with the answers of all statements in order.
    package func script(_ sql: String, for purpose: String = "run a script") throws(PostgresError) -> [Rows] {
        try operation(purpose) { handle throws(PostgresError) in
            try rejectNUL(sql, purpose)
            try sent(PQsendQuery(handle, sql), handle, purpose)
            return try allResults(handle, purpose)
        }
    }

    /// Runs one statement.
    /// - Parameter parameters: texts for `$1` …; nil is null. Not on a replication connection.
    package func query(
        _ sql: String,
        _ parameters: [String?] = [],
        for purpose: String = "run a query"
    ) throws(PostgresError) -> Rows {
        try operation(purpose) { handle throws(PostgresError) in
            try rejectNUL(sql, purpose)
            if parameters.isEmpty {
                try sent(PQsendQuery(handle, sql), handle, purpose)
            } else {
                let code = try withTexts(parameters, purpose) { texts in
                    PQsendQueryParams(handle, sql, Int32(parameters.count), nil, texts, nil, nil, 0)
                }
                try sent(code, handle, purpose)
            }
            return try lastResult(handle, purpose)
        }
    }

    /// Runs one statement, and has the server refuse several: for what somebody else wrote a part of.
    package func queryAlone(_ sql: String, for purpose: String = "run a query") throws(PostgresError) -> Rows {
        try operation(purpose) { handle throws(PostgresError) in
            try rejectNUL(sql, purpose)
            try sent(PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 0), handle, purpose)
            return try lastResult(handle, purpose)
        }
    }

    /// The first column of the first row; nil for null and for no row.
    package func scalar(
        _ sql: String,
        _ parameters: [String?] = [],
        for purpose: String = "run a query"
    ) throws(PostgresError) -> String? {
        let rows = try query(sql, parameters, for: purpose)
        return rows.count > 0 && rows.columnCount > 0 ? rows.string(0, 0) : nil
    }

    /// Has the server parse a statement for repeated use. Preparing a name twice fails with `42P05`.
    package func prepare(
        _ name: String,
        _ sql: String,
        for purpose: String = "prepare a statement"
    ) throws(PostgresError) -> PreparedStatement {
        try operation(purpose) { handle throws(PostgresError) in
            try rejectNUL(name, purpose)
            try rejectNUL(sql, purpose)
            try sent(PQsendPrepare(handle, name, sql, 0, nil), handle, purpose)
            _ = try allResults(handle, purpose)
            return PreparedStatement(name: name)
        }
    }

    package func query(
        _ statement: PreparedStatement,
        _ parameters: [String?] = [],
        for purpose: String = "run a prepared statement"
    ) throws(PostgresError) -> Rows {
        try operation(purpose) { handle throws(PostgresError) in
            let code = try withTexts(parameters, purpose) { texts in
                PQsendQueryPrepared(handle, statement.name, Int32(parameters.count), texts, nil, nil, 0)
            }
            try sent(code, handle, purpose)
            return try lastResult(handle, purpose)
        }
    }

    // MARK: Sending

    /// Checks what a `PQsend…` function returned and sends what it buffered.
    func sent(_ code: Int32, _ handle: OpaquePointer, _ purpose: String) throws(PostgresError) {
        guard code == 1 else { throw lost(handle, purpose) }
        try flush(handle, purpose)
    }

    func rejectNUL(_ text: String, _ purpose: String) throws(PostgresError) {
        if text.utf8.contains(0) {
            throw PostgresError(
                kind: .data, sqlstate: "22021", message: "a text holds a NUL character", purpose: purpose)
        }
    }

    private func withTexts(
        _ texts: [String?],
        _ purpose: String,
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Int32
    ) throws(PostgresError) -> Int32 {
        for case let text? in texts { try rejectNUL(text, purpose) }
        let copies = texts.map { text in text.flatMap { strdup($0) } }
        defer { for copy in copies { free(copy) } }
        return copies.map { UnsafePointer($0) }.withUnsafeBufferPointer { body($0.baseAddress) }
    }

    // MARK: Results

    private func lastResult(_ handle: OpaquePointer, _ purpose: String) throws(PostgresError) -> Rows {
        guard let rows = try allResults(handle, purpose).last else {
            throw PostgresError(kind: .permanent, message: "the server gave no answer", purpose: purpose)
        }
        return rows
    }

    /// Reads until the statement is over. The first error is thrown then.
    func allResults(_ handle: OpaquePointer, _ purpose: String) throws(PostgresError) -> [Rows] {
        var all: [Rows] = []
        var failure: PostgresError?
        while let result = try nextResult(handle, purpose) {
            switch PQresultStatus(result) {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
                all.append(Rows(result))
                continue
            case PGRES_COPY_IN:
                failure = failure ?? unexpectedCopy(purpose)
                _ = PQputCopyEnd(handle, "not expected")
                PQclear(result)
                try flush(handle, purpose)
                continue
            case PGRES_COPY_OUT, PGRES_COPY_BOTH:
                // There is no telling how much comes.
                PQclear(result)
                close()
                var error = unexpectedCopy(purpose)
                error.isConnectionLost = true
                throw error
            default:
                failure = failure ?? self.failure(of: result, handle, purpose)
                PQclear(result)
            }
            // A dead connection gives errors for ever.
            if PQstatus(handle) != CONNECTION_OK { break }
        }
        if var failure {
            failure.isConnectionLost = PQstatus(handle) != CONNECTION_OK
            throw failure
        }
        return all
    }

    private func unexpectedCopy(_ purpose: String) -> PostgresError {
        PostgresError(kind: .permanent, message: "the statement is a COPY: use copyIn or copyOut", purpose: purpose)
    }
}

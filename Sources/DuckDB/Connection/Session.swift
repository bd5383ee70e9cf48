import CDuckDB

/// One connection to a ``Database``: the synchronous core that an actor owns and calls on its own executor.
///
/// Not `Sendable`, and every call blocks its thread until the engine is done; only ``interrupter`` may be used from
/// elsewhere. Each method takes the SQL's `purpose`, in words for a message ("merging shop.orders"): errors show it
/// in the SQL's place. Every method throws ``DuckDBError``.
package final class Session {
    /// Stops the running statement, from any thread.
    package let interrupter: Interrupter
    package let database: Database
    private var connection: duckdb_connection?
    private var claim: FileClaim?

    /// - Parameter interrupter: one made before, for an actor that offers it before the database is open.
    package init(_ database: Database, interrupter: Interrupter = Interrupter()) throws(DuckDBError) {
        let new = try database.connect()
        self.database = database
        self.interrupter = interrupter
        connection = new.handle
        claim = new.claim
        interrupter.attach(new.handle)
    }

    deinit { close() }

    /// Closes the connection; an open transaction is rolled back. May be called repeatedly. An ``Appender`` or
    /// ``Statement`` of it must have been closed or released before.
    package func close() {
        interrupter.detach()
        if connection != nil { duckdb_disconnect(&connection) }
        connection = nil
        claim = nil
    }

    package var isOpen: Bool { connection != nil }

    // MARK: Statements

    /// Runs a script of one or more statements without parameters, in order, and drops what they return. It stops
    /// at the first that fails; without a transaction around it the earlier ones stay.
    package func run(_ sql: String, purpose: String) throws(DuckDBError) {
        let connection = try openConnection(purpose)
        try Self.checkText(sql, purpose)
        let result = QueryResult(self, purpose: purpose)
        guard duckdb_query(connection, sql, result.handle) == DuckDBSuccess else { throw result.error }
    }

    /// Runs one statement and returns how many rows it inserted, updated or deleted.
    @discardableResult
    package func execute(_ sql: String, _ parameters: [Parameter] = [], purpose: String) throws(DuckDBError) -> Int {
        try Statement(self, sql, purpose: purpose).execute(parameters)
    }

    /// Prepares one statement for repeated execution.
    package func prepare(_ sql: String, purpose: String) throws(DuckDBError) -> Statement {
        try Statement(self, sql, purpose: purpose)
    }

    /// Runs one statement and gives its rows to `body` in chunks of up to 2,048.
    ///
    /// - Parameter streaming: compute the rows while they are read, instead of all first. Then memory stays small,
    ///   an error may come after some chunks, and `body` must not use this session.
    package func forEachChunk(
        _ sql: String, _ parameters: [Parameter] = [], purpose: String, streaming: Bool = false,
        _ body: (borrowing ChunkReader) throws -> Void
    ) throws {
        try Statement(self, sql, purpose: purpose).forEachChunk(parameters, streaming: streaming, body)
    }

    /// The first column of the first row as an integer; nil without a row or if it is NULL.
    ///
    /// - Throws: kind `other` if it is no integer of 64 bits, and what the statement throws.
    package func int64(_ sql: String, _ parameters: [Parameter] = [], purpose: String) throws -> Int64? {
        try first(sql, parameters, purpose) { chunk in
            chunk.columns[0].storage.isInteger ? Int64(exactly: chunk.int128(0, 0)) : nil
        }
    }

    /// The first column of the first row, a VARCHAR; nil without a row or if it is NULL.
    ///
    /// - Throws: kind `other` if it is no VARCHAR, and what the statement throws.
    package func string(_ sql: String, _ parameters: [Parameter] = [], purpose: String) throws -> String? {
        try first(sql, parameters, purpose) { $0.columns[0].storage == .bytes ? $0.string(0, 0) : nil }
    }

    /// - Parameter read: nil if the value isn't what is asked for.
    private func first<T>(
        _ sql: String, _ parameters: [Parameter], _ purpose: String, _ read: (borrowing ChunkReader) -> T?
    ) throws -> T? {
        var value: T?
        var isFirst = true
        try forEachChunk(sql, parameters, purpose: purpose) { chunk in
            defer { isFirst = false }
            guard isFirst, !chunk.isNull(0, 0) else { return }
            value = read(chunk)
            if value == nil {
                throw DuckDBError(.other, "a \(chunk.columns[0].typeName) came unexpected", purpose: purpose)
            }
        }
        return value
    }

    // MARK: Transactions

    /// Runs `body` in a transaction: commits if it returns, rolls back and rethrows if it throws. Don't nest.
    package func transaction<T>(purpose: String, _ body: () throws -> T) throws -> T {
        try run("BEGIN TRANSACTION", purpose: purpose)
        do {
            let value = try body()
            try run("COMMIT", purpose: purpose)
            return value
        } catch {
            // After a failed commit or a fatal error there is none to roll back: the first error is what counts.
            try? run("ROLLBACK", purpose: purpose)
            throw error
        }
    }

    // MARK: Seams

    func openConnection(_ purpose: String) throws(DuckDBError) -> duckdb_connection {
        guard let connection else { throw DuckDBError(.closed, "the session is closed", purpose: purpose) }
        return connection
    }

    /// SQL goes to the engine as a C string, which a zero byte would cut short unseen.
    static func checkText(_ sql: String, _ purpose: String) throws(DuckDBError) {
        if sql.utf8.contains(0) { throw DuckDBError(.syntax, "the SQL contains a zero byte", purpose: purpose) }
    }
}

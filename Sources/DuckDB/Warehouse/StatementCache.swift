/// What can run SQL with parameters: a session, or its cache of prepared statements.
protocol StatementRunner {
    /// Runs one statement and returns how many rows it inserted, updated or deleted.
    @discardableResult
    func execute(_ sql: String, _ parameters: [Parameter], purpose: String) throws -> Int

    /// Runs one statement and gives its rows to `body` in chunks.
    func forEachChunk(
        _ sql: String, _ parameters: [Parameter], purpose: String, _ body: (borrowing ChunkReader) throws -> Void)
        throws
}

extension StatementRunner {
    @discardableResult
    func execute(_ sql: String, purpose: String) throws -> Int {
        try execute(sql, [], purpose: purpose)
    }

    func forEachChunk(
        _ sql: String, purpose: String, _ body: (borrowing ChunkReader) throws -> Void
    ) throws {
        try forEachChunk(sql, [], purpose: purpose, body)
    }
}

extension Session: StatementRunner {
    func forEachChunk(
        _ sql: String, _ parameters: [Parameter], purpose: String, _ body: (borrowing ChunkReader) throws -> Void
    ) throws {
        try forEachChunk(sql, parameters, purpose: purpose, streaming: false, body)
    }
}

/// A session's prepared statements by their text. Parsing and planning costs milliseconds, as much as a small
/// batch's statement itself; so what is run with every batch has a text that stays the same.
///
/// Must be emptied before the session is closed.
final class StatementCache: StatementRunner {
    private static let count_max = 512

    private let session: Session
    private var statements: [String: Statement] = [:]

    init(_ session: Session) { self.session = session }

    func removeAll() { statements.removeAll() }

    private func statement(_ sql: String, _ purpose: String) throws(DuckDBError) -> Statement {
        if let known = statements[sql] { return known }
        if statements.count >= Self.count_max { statements.removeAll() }
        let statement = try session.prepare(sql, purpose: purpose)
        statements[sql] = statement
        return statement
    }

    @discardableResult
    func execute(_ sql: String, _ parameters: [Parameter], purpose: String) throws -> Int {
        try statement(sql, purpose).execute(parameters)
    }

    func forEachChunk(
        _ sql: String, _ parameters: [Parameter], purpose: String, _ body: (borrowing ChunkReader) throws -> Void
    ) throws {
        try statement(sql, purpose).forEachChunk(parameters, body)
    }
}

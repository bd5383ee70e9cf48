import SerialQueue

/// A database with one session, on a queue of its own: for callers that aren't an actor with a ``Session`` themselves.
package actor Connection {
    private let executor: SerialQueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let interrupter = Interrupter()
    private var session: Session?

    /// Opens nothing yet: that may take long, and an actor's init runs on its caller's thread.
    private init() {
        executor = SerialQueueExecutor(label: "duckdb")
    }

    /// Opens a database and connects to it; see ``Database/init(path:options:library:)``.
    package static func open(
        path: String = Database.inMemory, options: Database.Options = .init(), library: String? = nil
    ) async throws -> Connection {
        let connection = Connection()
        try await connection.open(path, options, library)
        return connection
    }

    private func open(_ path: String, _ options: Database.Options, _ library: String?) throws {
        session = try Session(Database(path: path, options: options, library: library), interrupter: interrupter)
    }

    /// Closes session and database. May be called repeatedly.
    package func close() {
        session?.close()
        session?.database.close()
        session = nil
    }

    /// Stops the running statement, without waiting for its turn.
    package nonisolated func interrupt() { interrupter.interrupt() }

    /// Runs `body` with the session, on this connection's queue.
    package func withSession<T: Sendable>(_ body: @Sendable (Session) throws -> T) throws -> T {
        guard let session else { throw DuckDBError(.closed, "the connection is closed") }
        return try body(session)
    }

    /// See ``Session/run(_:purpose:)``.
    package func run(_ sql: String, purpose: String) throws {
        try withSession { try $0.run(sql, purpose: purpose) }
    }

    /// See ``Session/execute(_:_:purpose:)``.
    @discardableResult
    package func execute(_ sql: String, _ parameters: [Parameter] = [], purpose: String) throws -> Int {
        try withSession { try $0.execute(sql, parameters, purpose: purpose) }
    }

    /// See ``Session/query(_:_:purpose:isUserText:)``.
    package func query(
        _ sql: String, _ parameters: [Parameter] = [], purpose: String, isUserText: Bool = false
    ) throws -> ResultRows {
        try withSession { try $0.query(sql, parameters, purpose: purpose, isUserText: isUserText) }
    }
}

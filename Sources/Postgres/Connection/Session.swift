import CLibPQ

/// One connection to a Postgres server, used by one thread at a time.
///
/// Its calls block the calling thread, so it belongs to an actor on a `SerialQueueExecutor`. What they
/// wait for can be ended from any thread through the `interrupter`, and by `deadline`: the statement is
/// then cancelled on the server and the session is usable again, or, if the server doesn't answer within
/// `cancelGrace`, closed. A statement that ended before the cancellation arrived counts as done.
///
/// A statement may take as long as it takes; a server that is gone without a word may not: `Pulse`.
///
/// After an error with `isConnectionLost` every call fails with `08003`: open a new session. If that error
/// came from a commit, the commit may have happened.
package final class Session {
    /// Nil once closed.
    private(set) var handle: OpaquePointer?
    /// Ends waits from other threads.
    package let interrupter: Interrupter
    /// When operations are given up, with an error of kind `passing`; nil waits without limit.
    package var deadline: ContinuousClock.Instant?
    /// How long a cancelled statement may take to end before the connection is closed.
    package var cancelGrace: Duration = .seconds(5)

    /// The cancellation of the running operation, if one was asked for.
    var cancellation: Cancellation?
    /// A rollback is carried out even if the interrupter is raised.
    var isShielded = false
    /// Whether the server still works for us while it says nothing; nil: it is waited for without limit.
    var pulse: Pulse?
    /// As this session was made, for one more that looks after it.
    let settings: ConnectionSettings
    /// As the server itself numbers its process; a pooler between may have told another number.
    var serverPID: Int32
    /// When that process began to serve us, which tells it from a later one of the same number; as `facts` found it.
    private(set) var serverStart: String?
    /// Kept between COPYs for its buffer.
    let copyWriter = CopyTextWriter()
    /// `user@host:port/database`, for errors.
    let place: String

    /// Connects.
    ///
    /// Looking a host name up blocks without regard to the interrupter: libpq offers no other way.
    /// - Throws: `passing` if the server can't be reached or has no room, `permanent` if it refuses the
    ///   user, password or database, `interrupted`.
    package init(_ settings: ConnectionSettings, interrupter: Interrupter = Interrupter()) throws(PostgresError) {
        self.interrupter = interrupter
        let handle = try Self.connect(settings, interrupter: interrupter)
        self.handle = handle
        self.settings = settings
        serverPID = PQbackendPID(handle)
        pulse = try settings.parameters().answerTimeout.map { Pulse(limit: $0) }
        place = Self.place(of: handle)
    }

    /// Connects to a URL with the usual settings.
    package convenience init(url: String, interrupter: Interrupter = Interrupter()) throws(PostgresError) {
        try self.init(ConnectionSettings(url: url), interrupter: interrupter)
    }

    deinit {
        if let handle { PQfinish(handle) }
    }

    /// Ends the connection. An open transaction is rolled back by the server. Further calls fail with `08003`.
    package func close() {
        if let handle { PQfinish(handle) }
        handle = nil
    }

    /// Not closed, and no loss of the connection noticed so far.
    package var isUsable: Bool {
        handle.map { PQstatus($0) == CONNECTION_OK } ?? false
    }

    /// Between BEGIN and its end, failed transactions included.
    package var isInTransaction: Bool {
        guard let handle else { return false }
        let status = PQtransactionStatus(handle)
        return status == PQTRANS_INTRANS || status == PQTRANS_INERROR || status == PQTRANS_ACTIVE
    }

    /// The server process of this connection, as in `pg_stat_activity`.
    package var backendPID: Int32 {
        handle.map { PQbackendPID($0) } ?? 0
    }

    /// 150020 for 15.20.
    package var serverVersion: Int {
        handle.map { Int(PQserverVersion($0)) } ?? 0
    }

    /// What a session is connected to.
    package struct Facts: Sendable, Equatable {
        /// 150020 for 15.20.
        package var serverVersion: Int
        /// A standby: nothing can be written there.
        package var isInRecovery: Bool
        package var user: String
        package var database: String
    }

    /// Asks the server in one round trip.
    package func facts() throws(PostgresError) -> Facts {
        let rows = try query(
            """
            SELECT pg_catalog.pg_is_in_recovery(), current_user, pg_catalog.current_database(), \
            pg_catalog.pg_backend_pid(), (SELECT backend_start FROM pg_catalog.pg_stat_activity \
            WHERE pid = pg_catalog.pg_backend_pid())
            """,
            for: "ask the server about itself"
        )
        if let pid = rows.integer(0, 3) { serverPID = Int32(truncatingIfNeeded: pid) }
        serverStart = rows.string(0, 4)
        return Facts(
            serverVersion: serverVersion,
            isInRecovery: rows.bool(0, 0),
            user: rows.string(0, 1) ?? "",
            database: rows.string(0, 2) ?? ""
        )
    }

    /// Runs `body` between BEGIN and COMMIT. If it throws, the transaction is rolled back, even when
    /// the interrupter is raised, and the error goes on.
    /// - Parameter begin: for other isolation: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`.
    @discardableResult
    package func transaction<Value>(
        begin: String = "BEGIN",
        for purpose: String = "run a transaction",
        _ body: () throws -> Value
    ) throws -> Value {
        try execute(begin, for: purpose)
        do {
            let value = try body()
            let tag = try query("COMMIT", for: "commit (\(purpose))").commandTag
            // The server answers COMMIT of a failed transaction with a friendly ROLLBACK.
            guard tag == "COMMIT" else {
                throw PostgresError(
                    kind: .permanent, sqlstate: "25P02", message: "the transaction had failed before its commit",
                    purpose: purpose
                )
            }
            return value
        } catch {
            rollback()
            throw error
        }
    }

    /// Ends an open transaction; closes the connection where that fails, which has the same effect.
    package func rollback() {
        guard isUsable, isInTransaction else { return }
        isShielded = true
        let deadline = deadline
        self.deadline = .now + cancelGrace
        defer {
            isShielded = false
            self.deadline = deadline
        }
        do { try execute("ROLLBACK", for: "roll back") } catch { close() }
    }
}

extension Session: CustomStringConvertible {
    package var description: String { place }
}

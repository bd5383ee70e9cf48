import Glibc
import Replication
import SerialQueue
import Synchronization

/// A Postgres database as the warehouse: one connection, used on this actor's own thread. While a source transaction in
/// parts is open on it, whoever reads gets a second one.
///
/// A lost connection is an error that passes; the next call connects anew.
package actor PostgresWarehouse: Warehouse {
    package nonisolated let engine = "postgres"
    let layout: WarehouseLayout
    let lockWait: String
    let url: String
    private(set) var isReading = false
    private var connection: PostgresTransaction?
    /// The server's process of a connection that was lost; it may not know, and hold our own locks against us.
    private var lost: (pid: Int32, start: String)?
    /// For reading beside an open transaction.
    private var side: PostgresTransaction?
    var writer = BatchWriter()
    private var lastLoadedAt_us: Int64 = 0
    private nonisolated let interrupter = Interrupter()
    /// Raising and lowering the interrupter exclude each other.
    private nonisolated let interruption = Mutex(())
    private nonisolated let executor = SerialQueueExecutor(label: "postgres-warehouse")

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let insertNew_min: Int

    /// - Parameters:
    ///   - url: `postgres://…`; nothing is connected before `open`.
    ///   - insertNew_min: so many new rows of a table in one batch are inserted without being staged.
    /// - Parameter lockWait: as Postgres writes it. Whoever has a table's lock for longer (an index that is built, a
    ///   transaction that is forgotten) holds up that table alone: it is held, and others go on.
    package init(url: String, layout: WarehouseLayout, insertNew_min: Int = 500, lockWait: String = "10s") {
        self.url = url
        self.lockWait = lockWait
        self.insertNew_min = insertNew_min
        self.layout = layout
    }

    package func open(readOnly: Bool) async throws {
        close()
        isReading = readOnly
        try work { session in
            if readOnly {
                try MetaTables.refuseNewer(try MetaTables.version(session))
            } else {
                try MetaTables.migrate(session)
            }
        }
    }

    package func close() {
        abandonParts()
        connection?.session.close()
        connection = nil
        side?.session.close()
        side = nil
    }

    package func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], part: BatchPart, probesAll: Bool
    ) async throws -> BatchApplier.Outcome {
        let transaction: PostgresTransaction
        if writer.isUnfinished, let connection {
            // What was interrupted was a query beside it.
            interruption.withLock { _ in interrupter.reset() }
            transaction = connection
        } else {
            transaction = try connected()
        }
        transaction.loadedAt_us = nextLoadedAt_us()
        return try writer.apply(
            batch, advancing: advances, part: part, layout: layout, in: transaction,
            loadedAt_us: transaction.loadedAt_us, probesAll: probesAll)
    }

    /// What writes beside batches, at a time of its own.
    func withTransaction<Value>(_ body: (PostgresTransaction) throws -> Value) throws -> Value {
        let transaction = try connected()
        transaction.loadedAt_us = nextLoadedAt_us()
        return try body(transaction)
    }

    package func abandon() async { abandonParts() }

    private func abandonParts() {
        if let connection { writer.abandon(connection) }
    }

    package nonisolated func interrupt() {
        interruption.withLock { _ in interrupter.interrupt() }
    }

    // MARK: The connection

    /// The connection and what was prepared on it, made anew where it was lost.
    func connected() throws -> PostgresTransaction {
        // What was interrupted has ended: this is the next thing.
        interruption.withLock { _ in interrupter.reset() }
        if let connection, connection.session.isUsable { return connection }
        abandonParts()
        if let session = connection?.session, let start = session.serverStart { lost = (session.serverPID, start) }
        connection = nil
        let made = try connect()
        try endLost(made.session)
        connection = made
        return made
    }

    /// A connection that sees what is committed, whatever is under way.
    private func beside() throws -> PostgresTransaction {
        guard writer.isUnfinished else { return try connected() }
        interruption.withLock { _ in interrupter.reset() }
        if let side, side.session.isUsable { return side }
        let made = try connect()
        side = made
        return made
    }

    /// A server that heard nothing of the loss would keep the transaction open until its own timeouts.
    private func endLost(_ session: Session) throws {
        guard let lost else { return }
        try ReplicationError.translating {
            _ = try session.query(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user \
                AND pid = \(lost.pid) AND backend_start = \(try quoteLiteral(lost.start))::timestamptz
                """, for: "end a connection that was lost")
        }
        self.lost = nil
    }

    private func connect() throws -> PostgresTransaction {
        var settings = ConnectionSettings(url: url)
        // Statements are many and alike: compiling them costs more than it saves. Staged rows stay in memory.
        // Of an agent that is frozen inside a batch nothing may stay locked for ever.
        settings.serverSettings += [
            ("lock_timeout", lockWait), ("idle_in_transaction_session_timeout", "60s"), ("temp_buffers", "64MB"),
            ("jit", "off"),
        ]
        settings.applicationName = applicationName
        if isReading { settings.serverSettings.append(("default_transaction_read_only", "on")) }
        return try ReplicationError.translating {
            let session = try Session(settings, interrupter: interrupter)
            return PostgresTransaction(session, layout, try session.facts(), insertNew_min: insertNew_min)
        }
    }

    /// By which agents of the pipeline know each other's sessions.
    var applicationName: String { "millrace \(layout.pipeline)" }

    /// Runs `body`, which reads, with a session; the server's errors become replication's.
    func work<Value>(_ body: (Session) throws -> Value) throws -> Value {
        let connection = try beside()
        return try ReplicationError.translating(who: connection.who) { try body(connection.session) }
    }

    /// The same for what writes beside batches: a source transaction in parts that is under way has to come again.
    func write<Value>(_ body: (Session) throws -> Value) throws -> Value {
        abandonParts()
        return try work(body)
    }

    /// As `work`, but gives `nothing` where there is no `_millrace` yet.
    func read<Value>(orNothing nothing: Value, _ body: (Session) throws -> Value) throws -> Value {
        try work { session in
            guard let version = try MetaTables.version(session) else { return nothing }
            try MetaTables.refuseNewer(version)
            return try body(session)
        }
    }

    var connectedAs: WarehouseUser? { connection?.who }

    /// The clock's µs, and each time another.
    func nextLoadedAt_us() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        lastLoadedAt_us = max(lastLoadedAt_us + 1, Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000)
        return lastLoadedAt_us
    }
}

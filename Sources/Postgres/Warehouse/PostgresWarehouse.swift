import Glibc
import Replication
import SerialQueue
import Synchronization

/// A Postgres database as the warehouse: one connection, used on this actor's own thread.
///
/// A lost connection is an error that passes; the next call connects anew.
package actor PostgresWarehouse: Warehouse {
    package nonisolated let engine = "postgres"
    let layout: WarehouseLayout
    private let url: String
    private(set) var isReading = false
    private var connection: PostgresTransaction?
    private var lastLoadedAt_us: Int64 = 0
    private nonisolated let interrupter = Interrupter()
    /// Raising and lowering the interrupter exclude each other.
    private nonisolated let interruption = Mutex(())
    private nonisolated let executor = SerialQueueExecutor(label: "postgres-warehouse")

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter url: `postgres://…`; nothing is connected before `open`.
    package init(url: String, layout: WarehouseLayout) {
        self.url = url
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
        connection?.session.close()
        connection = nil
    }

    package func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance]
    ) async throws -> BatchApplier.Outcome {
        let transaction = try connected()
        transaction.loadedAt_us = nextLoadedAt_us()
        return try BatchApplier.applyWithRemedies(
            batch, advancing: advances, layout: layout, in: transaction, loadedAt_us: transaction.loadedAt_us)
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
        connection = nil
        var settings = ConnectionSettings(url: url)
        // Statements are many and alike: compiling them costs more than it saves. Staged rows stay in memory.
        settings.serverSettings += [("lock_timeout", "30s"), ("temp_buffers", "64MB"), ("jit", "off")]
        if isReading { settings.serverSettings.append(("default_transaction_read_only", "on")) }
        let made = try ReplicationError.translating {
            let session = try Session(settings, interrupter: interrupter)
            return PostgresTransaction(session, layout, try session.facts())
        }
        connection = made
        return made
    }

    /// Runs `body` with the session; the server's errors become replication's.
    func work<Value>(_ body: (Session) throws -> Value) throws -> Value {
        let connection = try connected()
        return try ReplicationError.translating(who: connection.who) { try body(connection.session) }
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
    private func nextLoadedAt_us() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        lastLoadedAt_us = max(lastLoadedAt_us + 1, Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000)
        return lastLoadedAt_us
    }
}

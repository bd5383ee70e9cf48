import CDuckDB
import Synchronization

/// Stops a session's running statement, from any thread.
package final class Interrupter: Sendable {
    /// `duckdb_interrupt` may be called from any thread; the mutex keeps the connection open meanwhile.
    private struct Target: @unchecked Sendable {
        var connection: duckdb_connection?
    }

    private let target = Mutex(Target())

    package init() {}

    /// The statement that runs now fails with kind `interrupted`; a transaction it is part of is lost. Does
    /// nothing if none runs: the next one isn't affected.
    package func interrupt() {
        target.withLock { target in
            if let connection = target.connection { duckdb_interrupt(connection) }
        }
    }

    func attach(_ connection: duckdb_connection) {
        let new = Target(connection: connection)
        target.withLock { $0 = new }
    }

    func detach() {
        target.withLock { $0.connection = nil }
    }
}

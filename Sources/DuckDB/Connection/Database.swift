import CDuckDB
import Foundation
import Synchronization

/// An open DuckDB database: a file, or memory.
///
/// One process at a time can have a file open for writing. The file is closed once the database and every
/// ``Session`` of it are closed or released. Opening and closing read and write the file (a write-ahead log may be
/// replayed), so both belong on a ``SerialQueueExecutor``'s queue.
package final class Database: Sendable {
    package struct Options: Sendable, Equatable {
        /// As DuckDB takes it: `512MiB`, `4GB`, `80%`. The engine's default is 80 % of the memory.
        package var memoryLimit: String?
        /// Threads of the engine; its default is one for each core.
        package var threads: Int?
        package var isReadOnly: Bool
        /// Where the engine spills to; its default is beside the file.
        package var temporaryDirectory: String?

        package init(
            memoryLimit: String? = nil, threads: Int? = nil, isReadOnly: Bool = false,
            temporaryDirectory: String? = nil
        ) {
            self.memoryLimit = memoryLimit
            self.threads = threads
            self.isReadOnly = isReadOnly
            self.temporaryDirectory = temporaryDirectory
        }

        /// Settings by DuckDB's names. Extensions are never fetched: an agent doesn't run what the network gives.
        var settings: [(name: String, value: String)] {
            var settings = [
                ("autoinstall_known_extensions", "false"), ("autoload_known_extensions", "false"),
                ("access_mode", isReadOnly ? "READ_ONLY" : "READ_WRITE"), ("duckdb_api", "millrace"),
            ]
            if let memoryLimit { settings.append(("memory_limit", memoryLimit)) }
            if let threads { settings.append(("threads", String(threads))) }
            if let temporaryDirectory { settings.append(("temp_directory", temporaryDirectory)) }
            return settings
        }
    }

    /// The path of a database in memory.
    package static let inMemory = ":memory:"

    package let path: String
    private let state: Mutex<State>

    /// `duckdb_database` may be used from any thread; the mutex orders its use and its end.
    private struct State: @unchecked Sendable {
        var handle: duckdb_database?
        var claim: FileClaim?
    }

    /// Opens `path`, creating the file if need be, and loads the library first if no one did.
    ///
    /// - Parameter library: `warehouse.duckdb.library`, if set.
    /// - Throws: kind `locked` if someone has the file open, `configuration` for a setting the engine refuses,
    ///   `library`, `io`, and others of the engine's.
    package init(
        path: String = Database.inMemory, options: Options = Options(), library: String? = nil
    ) throws(DuckDBError) {
        try DuckDBLibrary.load(configured: library)
        let purpose = path == Self.inMemory ? "opening a database in memory" : "opening \(path)"
        let claim = path == Self.inMemory ? nil : try FileClaim(path)

        var config: duckdb_config?
        guard duckdb_create_config(&config) == DuckDBSuccess else {
            throw DuckDBError(.other, "the engine made no configuration", purpose: purpose)
        }
        defer { duckdb_destroy_config(&config) }
        for (name, value) in options.settings {
            guard duckdb_set_config(config, name, value) == DuckDBSuccess else {
                throw DuckDBError(.configuration, "DuckDB refuses \(name) = \(value)", purpose: purpose)
            }
        }
        var handle: duckdb_database?
        var message: UnsafeMutablePointer<CChar>?
        guard duckdb_open_ext(path, &handle, config, &message) == DuckDBSuccess else {
            defer { duckdb_free(message) }
            throw DuckDBError(engine: message, purpose: purpose)
        }
        self.path = path
        state = Mutex(State(handle: handle, claim: claim))
    }

    deinit { close() }

    /// Closes the database; its sessions keep the file open until they are closed too. May be called repeatedly.
    package func close() {
        state.withLock { state in
            if state.handle != nil { duckdb_close(&state.handle) }
            state.handle = nil
            state.claim = nil
        }
    }

    /// A further connection, with what keeps the file claimed.
    func connect() throws(DuckDBError) -> NewConnection {
        let new = state.withLock { state -> NewConnection? in
            guard let handle = state.handle else { return nil }
            var connection: duckdb_connection?
            guard duckdb_connect(handle, &connection) == DuckDBSuccess else { return nil }
            return connection.map { NewConnection(handle: $0, claim: state.claim) }
        }
        guard let new else { throw DuckDBError(.closed, "the database is closed", purpose: "connecting to \(path)") }
        return new
    }

    /// Handed from the lock to the session that becomes its only owner.
    struct NewConnection: @unchecked Sendable {
        let handle: duckdb_connection
        let claim: FileClaim?
    }
}

/// Says that this process has a file open, until it is released.
///
/// DuckDB's lock is one between processes (fcntl): within a process a second opening succeeds, two engines write
/// the same file, and closing one releases the other's lock. So the process keeps count itself.
final class FileClaim: Sendable {
    private static let open = Mutex<Set<String>>([])

    private let path: String

    init(_ path: String) throws(DuckDBError) {
        let url = URL(fileURLWithPath: path)
        // The file may not be there yet; its folder is.
        let folder = url.deletingLastPathComponent().resolvingSymlinksInPath()
        let file = folder.appendingPathComponent(url.lastPathComponent).resolvingSymlinksInPath().path
        guard Self.open.withLock({ $0.insert(file).inserted }) else {
            let holder = ProcessInfo.processInfo.processIdentifier
            throw DuckDBError(
                .locked(path: path, holder: holder), "\(path) is open already in this process",
                purpose: "opening \(path)"
            )
        }
        self.path = file
    }

    deinit {
        _ = Self.open.withLock { $0.remove(path) }
    }

    /// What the engine would find out, without an engine: whoever stands by asks once a second.
    ///
    /// Only where this process doesn't have the file open, which the claim says: closing a descriptor lets all locks
    /// of the process on its file go.
    func refuseLocked(_ path: String, isReadOnly: Bool) throws(DuckDBError) {
        let descriptor = Foundation.open(path, (isReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var lock = flock()
        lock.l_type = Int16(isReadOnly ? F_RDLCK : F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        guard fcntl(descriptor, F_GETLK, &lock) == 0, lock.l_type != Int16(F_UNLCK) else { return }
        let holder = lock.l_pid > 0 ? lock.l_pid : nil
        throw DuckDBError(
            .locked(path: path, holder: holder), "\(path) is open in another process", purpose: "opening \(path)")
    }
}

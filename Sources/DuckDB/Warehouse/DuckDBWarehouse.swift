import Foundation
import Replication
import SerialQueue

/// A warehouse in a DuckDB file: the engine is in the process, and one process at a time has the file.
///
/// The actor runs on a serial queue of its own and owns the one session, so that all reads and writes come one after
/// the other. After an error of the disk or the engine the next call closes the file and opens it again.
package actor DuckDBWarehouse: Warehouse {
    private let executor: SerialQueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    package nonisolated var engine: String { "duckdb" }

    let path: String
    let layout: WarehouseLayout
    private let memoryLimit: String?
    private let library: String?
    private let threads: Int?
    private let interrupter = Interrupter()

    private struct Opened {
        let session: Session
        let staging: StagingTables
    }
    private var opened: Opened?
    private var isReadOnly = false
    private var wasOpened = false
    /// An error has left the engine in doubt.
    private var isBroken = false

    /// Opens nothing yet.
    ///
    /// - Parameters:
    ///   - path: the database file; its folder must be there.
    ///   - memoryLimit: the engine's `memory_limit`, as `512MiB`; nil is the engine's own default.
    ///   - library: `warehouse.duckdb.library`, if set.
    ///   - threads: of the engine; nil is one for each core.
    package init(
        path: String, memoryLimit: String? = "512MiB", library: String? = nil, layout: WarehouseLayout,
        threads: Int? = nil
    ) {
        executor = SerialQueueExecutor(label: "duckdb.warehouse")
        self.path = path
        self.memoryLimit = memoryLimit
        self.library = library
        self.layout = layout
        self.threads = threads
    }

    // MARK: Opening and closing

    package func open(readOnly: Bool) async throws {
        disconnect()
        isReadOnly = readOnly
        try connect()
        wasOpened = true
    }

    package func close() async {
        disconnect()
        wasOpened = false
    }

    package nonisolated func interrupt() { interrupter.interrupt() }

    private func disconnect() {
        if let opened {
            opened.session.close()
            opened.session.database.close()
        }
        opened = nil
        isBroken = false
    }

    private func connect() throws {
        do {
            let session = try Self.connect(
                path, memoryLimit, library, threads, isReadOnly: isReadOnly, interrupter: interrupter)
            do {
                if isReadOnly {
                    try MetaTables.refuseNewer(try MetaTables.version(session))
                } else {
                    try MetaTables.migrate(session)
                    try session.run(StagingTables.script, purpose: "making temporary tables")
                    try MetaTables.rollUpLedger(session)
                }
            } catch {
                session.close()
                session.database.close()
                throw error
            }
            opened = Opened(session: session, staging: StagingTables())
        } catch let error as DuckDBError {
            // What keeps the file from being opened doesn't pass by itself.
            let failure = ReplicationError(error)
            let isPassing = failure.kind == .passing && wasOpened
            throw isPassing ? failure : ReplicationError(.environment, failure.message, remedy: failure.remedy)
        }
    }

    /// Read-only and without a file there is nothing to open: an empty database in memory answers then.
    static func connect(
        _ path: String, _ memoryLimit: String?, _ library: String?, _ threads: Int?, isReadOnly: Bool,
        interrupter: Interrupter
    ) throws -> Session {
        let isAbsent = isReadOnly && path != Database.inMemory && !FileManager.default.fileExists(atPath: path)
        let options = Database.Options(
            memoryLimit: memoryLimit, threads: threads, isReadOnly: isReadOnly && !isAbsent && path != Database.inMemory)
        let database = try Database(path: isAbsent ? Database.inMemory : path, options: options, library: library)
        do {
            let session = try Session(database, interrupter: interrupter)
            // Users' SQL runs in this session: it shall reach no other file. The log is folded into the file when it
            // has grown this far, which costs as much as the writing did.
            try session.run(
                """
                SET TimeZone = 'UTC';
                SET checkpoint_threshold = '\(checkpointThreshold)';
                SET enable_external_access = false;
                SET lock_configuration = true;
                """, purpose: "configuring the session")
            return session
        } catch {
            database.close()
            throw error
        }
    }

    static let checkpointThreshold = "256MiB"

    // MARK: The session

    /// Runs `body` with the session, which is opened again if it broke.
    func withSession<T>(_ body: (Session) throws -> T) throws -> T {
        try withOpened { opened in try body(opened.session) }
    }

    private func withOpened<T>(_ body: (Opened) throws -> T) throws -> T {
        guard wasOpened else {
            throw ReplicationError(.permanent, "the warehouse \(path) is closed")
        }
        if isBroken { disconnect() }
        if opened == nil { try connect() }
        guard let opened else {
            throw ReplicationError(.permanent, "the warehouse \(path) is closed")
        }
        do {
            return try body(opened)
        } catch let error as DuckDBError {
            note(error)
            throw ReplicationError(error)
        } catch let error as ReplicationError {
            if error.kind == .passing { isBroken = true }
            throw error
        }
    }

    private func note(_ error: DuckDBError) {
        switch error.kind {
        case .io, .diskFull, .fatal, .closed: isBroken = true
        default: break
        }
    }

    /// The same in a transaction, for what is written beside batches.
    func writing<T>(_ purpose: String, _ body: (Session) throws -> T) throws -> T {
        guard !isReadOnly else {
            throw ReplicationError(.permanent, "the warehouse \(path) was opened to read only")
        }
        return try withSession { session in
            try session.transaction(purpose: purpose) { try body(session) }
        }
    }

    var isOpen: Bool { wasOpened }
    var configuredLibrary: String? { library }

    /// The version of `_millrace` in a file that isn't open here.
    func peek() throws -> Int? {
        let session = try Self.connect(
            path, memoryLimit, library, threads, isReadOnly: true, interrupter: Interrupter())
        defer {
            session.close()
            session.database.close()
        }
        return try MetaTables.version(session)
    }

    /// Whether there is a `_millrace` to read; without one nothing was replicated yet.
    func hasMeta(_ session: Session) throws -> Bool {
        try !isReadOnly || MetaTables.version(session) != nil
    }

    // MARK: Batches

    package func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance]
    ) async throws -> BatchApplier.Outcome {
        guard !isReadOnly else {
            throw ReplicationError(.permanent, "the warehouse \(path) was opened to read only")
        }
        return try withOpened { opened in
            let transaction = DuckDBTransaction(opened.session, layout, opened.staging)
            return try BatchApplier.applyWithRemedies(
                batch, advancing: advances, layout: layout, in: transaction, loadedAt_us: DuckDBClock.next_us())
        }
    }
}

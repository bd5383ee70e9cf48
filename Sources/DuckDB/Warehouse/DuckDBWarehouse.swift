import Foundation
import Replication
import SerialQueue

/// A warehouse in a DuckDB file: the engine is in the process, and one process at a time has the file.
///
/// The actor runs on a serial queue of its own and owns the sessions, so that all reads and writes come one after
/// the other; a second session reads beside a source transaction in parts that is open on the first. After an error of the disk or the engine the next call closes the file and opens it again.
package actor DuckDBWarehouse: Warehouse {
    private let executor: SerialQueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    package nonisolated var engine: String { "duckdb" }
    package nonisolated var restsAfterCommit: Int { 3 }

    let path: String
    let layout: WarehouseLayout
    private let insertNew_min: Int
    private let memoryLimit: String?
    private let library: String?
    private let threads: Int?
    private let interrupter = Interrupter()
    private let sideInterrupter = Interrupter()

    /// A session whose default is an attached file.
    struct FileSession {
        let session: Session
        /// Sees what is committed, whatever the other does.
        let side: Session
        let claim: FileClaim?

        func close() {
            session.close()
            side.close()
            session.database.close()
        }
    }

    private struct Opened {
        let file: FileSession
        let staging: StagingTables
        let transaction: DuckDBTransaction
        var session: Session { file.session }
    }
    private var opened: Opened?
    var writer = BatchWriter()
    var snapshots: [WeakSnapshot] = []
    private(set) var isReadOnly = false
    private var wasOpened = false
    /// An error has left the engine in doubt.
    private var isBroken = false

    /// Opens nothing yet.
    ///
    /// - Parameters:
    ///   - path: the database file; its folder must be there.
    ///   - memoryLimit: the engine's `memory_limit`, as `512MiB`; nil is the engine's own default.
    ///   - library: `warehouse.duckdb.library`, if set.
    ///   - threads: of the engine; nil leaves one core to what is read and decoded meanwhile. More only get into each
    ///     other's way: on two cores one thread takes a sixth less processor time, and no longer.
    package init(
        path: String, memoryLimit: String? = "512MiB", library: String? = nil, layout: WarehouseLayout,
        threads: Int? = nil, insertNew_min: Int = 500
    ) {
        self.insertNew_min = insertNew_min
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

    /// A query runs on one of them; the other rests.
    package nonisolated func interrupt() {
        interrupter.interrupt()
        sideInterrupter.interrupt()
    }

    private func disconnect() {
        abandonParts()
        // Theirs is the same engine, which has the file open.
        for snapshot in snapshots { snapshot.session?.close() }
        snapshots = []
        opened?.staging.statements.removeAll()
        opened?.file.close()
        opened = nil
        isBroken = false
    }

    private func connect() throws {
        do {
            let file = try Self.connect(
                path, memoryLimit, library, threads, isReadOnly: isReadOnly, interrupter: interrupter,
                sideInterrupter: sideInterrupter, layout: layout)
            let session = file.session
            do {
                if isReadOnly {
                    try MetaTables.refuseNewer(try MetaTables.version(session))
                } else {
                    try MetaTables.migrate(session)
                    try session.run(StagingTables.script, purpose: "making temporary tables")
                    // Of agents that never run for long, too.
                    try MetaTables.rollUpLedger(
                        session, layout.pipeline, before: Upkeep(now_us: DuckDBClock.now_us).ledgerEnd_us)
                }
            } catch {
                file.close()
                throw error
            }
            let staging = StagingTables(session)
            opened = Opened(
                file: file, staging: staging,
                transaction: DuckDBTransaction(session, layout, staging, insertNew_min: insertNew_min))
        } catch let error as DuckDBError {
            // What keeps the file from being opened doesn't pass by itself.
            let failure = ReplicationError(error)
            let isPassing = failure.kind == .passing && wasOpened
            guard isPassing || failure.kind == .taken else {
                throw ReplicationError(.environment, failure.message, remedy: failure.remedy)
            }
            throw failure
        }
    }

    /// The file is attached to a database in memory under a name of ours. Opened by itself it would be called after
    /// the file, and with `shop.duckdb` and a schema `shop` nobody could say `shop.orders`: the engine can't tell then
    /// which of both is meant.
    ///
    /// Read-only and without a file there is nothing to attach: an empty database answers then.
    static func connect(
        _ path: String, _ memoryLimit: String?, _ library: String?, _ threads: Int?, isReadOnly: Bool,
        interrupter: Interrupter, sideInterrupter: Interrupter, layout: WarehouseLayout
    ) throws -> FileSession {
        let isFile = path != Database.inMemory
        let isAbsent = isReadOnly && isFile && !FileManager.default.fileExists(atPath: path)
        let claim = isFile && !isAbsent ? try FileClaim(path) : nil
        try claim?.refuseLocked(path, isReadOnly: isReadOnly)
        let database = try Database(
            options: Database.Options(
                memoryLimit: memoryLimit,
                threads: threads ?? (isReadOnly ? nil : max(1, ProcessInfo.processInfo.activeProcessorCount - 1))),
            library: library)
        do {
            let session = try Session(database, interrupter: interrupter)
            let name = catalogName(layout)
            let target = isFile && !isAbsent ? path : Database.inMemory
            // Row groups that a usual batch fills are written to the file at its commit, once, instead of to the log
            // and then to the file.
            let options = isReadOnly && isFile && !isAbsent ? "READ_ONLY" : "ROW_GROUP_SIZE 20480"
            if isFile, !isReadOnly { FilePrivacy.begin(path) }
            try session.run(
                "ATTACH \(SQLName.literal(target)) AS \(SQLName.quoted(name)) (\(options)); USE \(SQLName.quoted(name))",
                purpose: "opening \(path)")
            let side = try Session(database, interrupter: sideInterrupter)
            try side.run("USE \(SQLName.quoted(name)); SET TimeZone = 'UTC'", purpose: "opening \(path)")
            // Users' SQL runs in this session: it shall reach no other file. The log is folded into the file when it
            // has grown this far, which costs as much as the writing did.
            try session.run(
                """
                SET GLOBAL TimeZone = 'UTC';
                SET TimeZone = 'UTC';
                SET checkpoint_threshold = '\(checkpointThreshold)';
                SET enable_external_access = false;
                SET lock_configuration = true;
                """, purpose: "configuring the session")
            return FileSession(session: session, side: side, claim: claim)
        } catch {
            database.close()
            throw error
        }
    }

    static func catalogName(_ layout: WarehouseLayout) -> String {
        let schemas = [layout.current, layout.raw, layout.live, layout.history].map(SQLName.folded)
        var name = "_database"
        while schemas.contains(name) { name += "_" }
        return name
    }

    static let checkpointThreshold = "64MiB"

    // MARK: The session

    /// Runs `body` with the session, which is opened again if it broke.
    func withSession<T>(_ body: (Session) throws -> T) throws -> T {
        try withOpened { opened in try body(writer.isUnfinished ? opened.file.side : opened.session) }
    }

    /// The same for what is read again and again: prepared once, where the session is the writer's.
    func withStatements<T>(_ body: (any StatementRunner) throws -> T) throws -> T {
        try withOpened { opened in try body(writer.isUnfinished ? opened.file.side : opened.staging.statements) }
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
        // A source transaction in parts has to come again.
        abandonParts()
        return try withSession { session in
            try session.transaction(purpose: purpose) { try body(session) }
        }
    }

    private func abandonParts() {
        if let opened { writer.abandon(opened.transaction) }
    }

    var isOpen: Bool { wasOpened }
    var configuredLibrary: String? { library }

    /// The version of `_millrace` in a file that isn't open here.
    func peek() throws -> Int? {
        let file = try Self.connect(
            path, memoryLimit, library, threads, isReadOnly: true, interrupter: Interrupter(),
            sideInterrupter: Interrupter(), layout: layout)
        defer { file.close() }
        return try MetaTables.version(file.session)
    }

    /// Whether there is a `_millrace` to read; without one nothing was replicated yet.
    func hasMeta(_ session: Session) throws -> Bool {
        try !isReadOnly || MetaTables.version(session) != nil
    }

    // MARK: Batches

    package func apply(
        _ batch: ChangeBatch, advancing advances: [CheckpointAdvance], part: BatchPart, probesAll: Bool
    ) async throws -> BatchApplier.Outcome {
        try withTransaction { transaction in
            try writer.apply(
                batch, advancing: advances, part: part, layout: layout, in: transaction,
                loadedAt_us: DuckDBClock.next_us(), probesAll: probesAll)
        }
    }

    func withTransaction<T>(_ body: (DuckDBTransaction) throws -> T) throws -> T {
        guard !isReadOnly else {
            throw ReplicationError(.permanent, "the warehouse \(path) was opened to read only")
        }
        return try withOpened { opened in try body(opened.transaction) }
    }

    package func abandon() async { abandonParts() }
}

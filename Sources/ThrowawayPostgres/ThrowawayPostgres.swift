import ChildProcess
import Foundation
import SerialQueue

/// A PostgreSQL cluster of its own, for tests, the demo and benchmarks: own port, own folder, user
/// `postgres` without a password, `wal_level=logical`. Up in about a second, gone with the process that
/// started it, however that ends.
///
/// ```swift
/// let cluster = try await ThrowawayPostgres.start()
/// … cluster.url(database: "postgres") …
/// await cluster.remove()
/// ```
package actor ThrowawayPostgres {
    package struct Options: Sendable {
        /// Off, a crash of the machine loses data, and everything is faster.
        package var fsync = false
        package var maxConnections = 50
        /// Further settings of `postgresql.conf`, and replacements of ours.
        package var settings: [String: String] = [:]
        /// Lines that `pg_hba.conf` starts with: `host all secretive 127.0.0.1/32 scram-sha-256`.
        package var authentication: [String] = []
        /// Texts of files in the data folder that only the server may read, by name: certificates, keys.
        package var files: [String: String] = [:]
        /// Copies of the cached template all have the same system identifier. True runs `initdb` anew (2 s more).
        package var hasOwnSystemIdentifier = false

        package init() {}
    }

    package enum StopMode: String, Sendable {
        case fast, smart
        /// As a crash: nothing is written, the next start recovers.
        case immediate
    }

    package nonisolated let port: Int
    /// Holds the data, the sockets and the log; readable by its user and root alone.
    package nonisolated let folder: URL
    package nonisolated let programs: ServerPrograms
    private let executor = SerialQueueExecutor(label: "throwaway-postgres")
    private var isRunning = false
    private var stopped: [pid_t] = []

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Makes a cluster and starts it.
    package static func start(_ options: Options = Options()) async throws -> ThrowawayPostgres {
        let cluster = try ThrowawayPostgres()
        do {
            try await cluster.build(options)
            return cluster
        } catch {
            await cluster.remove()
            throw error
        }
    }

    private init() throws {
        programs = try ServerPrograms.find()
        port = try Self.freePort()
        // Short: the path of a socket has at most 107 bytes.
        let name = "millrace-pg-\(UUID().uuidString.prefix(8).lowercased())"
        folder = FileManager.default.temporaryDirectory.appending(path: name)
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700]
        )
        guard chown(folder.path(percentEncoded: false), programs.uid, programs.gid) == 0 else {
            throw ThrowawayPostgresError(message: "can't hand the cluster's folder to the server's user")
        }
    }

    // MARK: Addresses

    /// `postgres://postgres@127.0.0.1:<port>/<database>`.
    package nonisolated func url(database: String = "postgres", user: String = "postgres", password: String? = nil)
        -> String
    {
        let secret = password.map { ":" + Self.percentEncoded($0) } ?? ""
        return "postgres://\(Self.percentEncoded(user))\(secret)@127.0.0.1:\(port)/\(Self.percentEncoded(database))"
    }

    /// The same through the Unix socket.
    package nonisolated func socketURL(database: String = "postgres") -> String {
        let host = Self.percentEncoded(folder.path(percentEncoded: false))
        return "postgres://postgres@/\(Self.percentEncoded(database))?host=\(host)&port=\(port)"
    }

    package nonisolated var dataFolder: URL { folder.appending(path: "data") }
    package nonisolated var logFile: URL { folder.appending(path: "server.log") }

    private static func percentEncoded(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
    }

    // MARK: Life

    /// Starts the stopped server on its old port.
    package func start() throws {
        guard !isRunning else { return }
        try control(["start", "-w", "-t", "60", "-l", logFile.path(percentEncoded: false)])
        isRunning = true
    }

    /// Stops the server. `fast` ends sessions, `smart` waits for them.
    package func stop(_ mode: StopMode = .fast) throws {
        guard isRunning else { return }
        resume()
        try control(["stop", "-w", "-t", "60", "-m", mode.rawValue])
        isRunning = false
    }

    package func restart(_ mode: StopMode = .fast) throws {
        try stop(mode)
        try start()
    }

    /// Freezes the server and all its processes, as a machine that doesn't answer: connections stay open.
    package func pause() {
        guard stopped.isEmpty, let postmaster = postmasterPID() else { return }
        // The postmaster first, so that it starts no more.
        kill(postmaster, SIGSTOP)
        stopped = [postmaster] + children(of: postmaster)
        for pid in stopped { kill(pid, SIGSTOP) }
    }

    /// Ends `pause`.
    package func resume() {
        for pid in stopped.reversed() { kill(pid, SIGCONT) }
        stopped = []
    }

    /// Stops the server, if it runs, and deletes everything.
    package func remove() {
        resume()
        if postmasterPID() != nil { try? control(["stop", "-w", "-t", "30", "-m", "immediate"]) }
        isRunning = false
        try? FileManager.default.removeItem(at: folder)
    }

    /// Runs SQL through `psql`, independently of the code under test.
    /// - Returns: the rows, columns separated by `|`.
    @discardableResult
    package func psql(_ sql: String, database: String = "postgres") throws -> String {
        try Command.runForCluster(
            [
                programs.path("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url(database: database),
            ],
            input: sql
        )
    }

    // MARK: Building

    private func build(_ options: Options) throws {
        let template = ClusterTemplate(programs: programs)
        try startWatchdog()
        do {
            try template.fill(dataFolder, fresh: options.hasOwnSystemIdentifier)
            try configure(options)
            try start()
        } catch  where !options.hasOwnSystemIdentifier {
            // A cleaner of the temporary folder may have eaten parts of the template.
            template.discard()
            try? FileManager.default.removeItem(at: dataFolder)
            try template.fill(dataFolder, fresh: true)
            try configure(options)
            try start()
        }
    }

    private func configure(_ options: Options) throws {
        var settings = [
            "port": "\(port)", "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder.path(percentEncoded: false),
            "wal_level": "logical", "max_connections": "\(options.maxConnections)", "max_wal_senders": "20",
            "max_replication_slots": "20", "fsync": options.fsync ? "on" : "off",
            "full_page_writes": options.fsync ? "on" : "off", "timezone": "UTC", "log_timezone": "UTC",
        ]
        settings.merge(options.settings) { $1 }
        let lines = settings.sorted { $0.key < $1.key }.map { name, value in
            "\(name) = '\(value.replacing("'", with: "''"))'\n"
        }
        try edit("postgresql.conf") { $0 + "\n" + lines.joined() }
        for (name, text) in options.files {
            let file = dataFolder.appending(path: name)
            let path = file.path(percentEncoded: false)
            guard
                FileManager.default.createFile(
                    atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]),
                chown(path, programs.uid, programs.gid) == 0
            else { throw ThrowawayPostgresError(message: "can't write \(name) for the server") }
        }
        if !options.authentication.isEmpty {
            try edit("pg_hba.conf") { options.authentication.joined(separator: "\n") + "\n" + $0 }
        }
    }

    /// In place, so that the file stays its owner's.
    private func edit(_ name: String, _ change: (String) -> String) throws {
        let file = dataFolder.appending(path: name)
        let text = change(try String(contentsOf: file, encoding: .utf8))
        let handle = try FileHandle(forWritingTo: file)
        try handle.truncate(atOffset: 0)
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }

    /// A shell that outlives this process, stops the server and deletes the folder; it ends by itself
    /// when the folder is gone.
    private func startWatchdog() throws {
        let script = """
            trap '' HUP INT
            while kill -0 "$1" 2>/dev/null; do [ -d "$2" ] || exit 0; sleep 0.5; done
            pid=$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)
            if [ -n "$pid" ]; then
                pkill -CONT -P "$pid" 2>/dev/null; kill -CONT "$pid" 2>/dev/null
                folder="$2"; control="$3"; shift 3
                "$@" "$control" stop -D "$folder/data" -m immediate -w -t 30
                set -- "" "$folder"
            fi
            rm -rf "$2"
            """
        _ = try ChildProcess(
            ["sh", "-c", script, "millrace-watchdog", "\(getpid())", folder.path(percentEncoded: false)]
                + [programs.path("pg_ctl")] + (programs.dropRights.isEmpty ? ["env"] : programs.dropRights)
        )
    }

    private func control(_ arguments: [String]) throws {
        let output = folder.appending(path: "pg_ctl.log")
        try Command.runForCluster(
            programs.dropRights + [programs.path("pg_ctl"), "-D", dataFolder.path(percentEncoded: false)] + arguments,
            output: output, folder: folder
        )
    }

    // MARK: Processes

    private func postmasterPID() -> pid_t? {
        let text = try? String(contentsOf: dataFolder.appending(path: "postmaster.pid"), encoding: .utf8)
        return text?.split(separator: "\n").first.flatMap { pid_t($0) }
    }

    private func children(of pid: pid_t) -> [pid_t] {
        let text = (try? Command.run(["pgrep", "-P", "\(pid)"])) ?? ""
        return text.split(separator: "\n").compactMap { pid_t($0) }
    }

    /// A port that nobody listens on right now.
    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && getsockname(descriptor, address, &length) == 0
            }
        }
        guard isBound else { throw ThrowawayPostgresError(message: "no free port on 127.0.0.1") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

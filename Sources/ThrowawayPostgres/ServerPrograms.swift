import ChildProcess
import Foundation

/// Where Postgres' server programs are, and the user to run them as: the server refuses root.
package struct ServerPrograms: Sendable {
    /// The folder with `initdb`, `pg_ctl`, `postgres`.
    package let folder: URL
    /// `postgres (PostgreSQL) 15.20 …`.
    package let version: String
    /// A command that drops root's rights, to stand before another; empty when not root.
    let dropRights: [String]
    /// The user the server runs as.
    let uid: uid_t
    let gid: gid_t

    /// Looks in `$MILLRACE_POSTGRES_BIN`, in Debian's versioned folders (newest first), where `pg_config`
    /// says, and on the PATH.
    package static func find() throws -> ServerPrograms {
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        func isServer(_ folder: String) -> Bool {
            ["initdb", "pg_ctl", "postgres"].allSatisfy {
                FileManager.default.isExecutableFile(atPath: "\(folder)/\($0)")
            }
        }
        var candidates: [String] = []
        if let chosen = ProcessInfo.processInfo.environment["MILLRACE_POSTGRES_BIN"] { candidates.append(chosen) }
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        candidates += versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "/usr/lib/postgresql/\($0)/bin" }
        if let folder = try? Command.run(["pg_config", "--bindir"]) { candidates.append(folder) }
        candidates += path
        guard let folder = candidates.first(where: isServer) else {
            throw ThrowawayPostgresError(
                message: "PostgreSQL's server programs (initdb, pg_ctl, postgres) were not found",
                remedy: "install postgresql, or set MILLRACE_POSTGRES_BIN to their folder"
            )
        }
        let version = try Command.runForCluster(["\(folder)/postgres", "--version"])
        guard geteuid() == 0 else {
            return ServerPrograms(
                folder: URL(filePath: folder), version: version, dropRights: [], uid: geteuid(), gid: getegid()
            )
        }
        guard let user = getpwnam("postgres") ?? getpwnam("nobody") else {
            throw ThrowawayPostgresError(
                message: "PostgreSQL doesn't run as root, and there is no user postgres", remedy: "create one"
            )
        }
        let (uid, gid) = (user.pointee.pw_uid, user.pointee.pw_gid)
        let name = String(cString: user.pointee.pw_name)
        let options = [
            ["setpriv", "--reuid=\(uid)", "--regid=\(gid)", "--clear-groups"], ["runuser", "-u", name, "--"],
        ]
        let dropRights = options.first { option in
            path.contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(option[0])") }
        }
        guard let dropRights else {
            throw ThrowawayPostgresError(
                message: "PostgreSQL doesn't run as root, and neither setpriv nor runuser is there",
                remedy: "install util-linux, or run as another user"
            )
        }
        return ServerPrograms(
            folder: URL(filePath: folder), version: version, dropRights: dropRights, uid: uid, gid: gid
        )
    }

    /// The full path of a program.
    package func path(_ program: String) -> String { folder.appending(path: program).path(percentEncoded: false) }
}

/// What went wrong with the cluster, with the end of the program's output.
package struct ThrowawayPostgresError: Error, CustomStringConvertible {
    package var message: String
    package var remedy: String?

    package var description: String { message + (remedy.map { ". Try: \($0)" } ?? "") }
}

extension Command {
    /// Runs one of a cluster's programs.
    /// - Throws: `ThrowawayPostgresError`.
    @discardableResult
    static func runForCluster(
        _ command: [String], input: String = "", output: URL? = nil, folder: URL = URL(filePath: "/")
    ) throws -> String {
        do {
            return try run(command, input: input, output: output, folder: folder)
        } catch let error as CommandError {
            throw ThrowawayPostgresError(message: error.message)
        }
    }
}

import ChildProcess
import Foundation

/// A fresh cluster, made once by `initdb` and kept in the temporary folder, as copying it is much faster.
/// One per version of Postgres and user.
struct ClusterTemplate {
    let programs: ServerPrograms

    /// Makes `data` a fresh cluster.
    /// - Parameter fresh: by `initdb`, with a system identifier of its own.
    func fill(_ data: URL, fresh: Bool) throws {
        if fresh {
            try initialise(data)
        } else {
            try asServerUser(["cp", "-a", "--reflink=auto", path(try cached()), path(data)])
        }
    }

    /// Has the next one made anew.
    func discard() {
        let trash = cache.appending(path: "broken-\(UUID().uuidString)")
        if rename(path(cache.appending(path: "data")), path(trash)) == 0 {
            try? FileManager.default.removeItem(at: trash)
        }
    }

    private var cache: URL {
        let version = programs.version.filter { $0.isLetter || $0.isNumber || $0 == "." }
        return FileManager.default.temporaryDirectory.appending(path: "millrace-pg-template-\(programs.uid)-\(version)")
    }

    /// The template, made if need be. A lock lets one process make it and the others wait; its place is
    /// taken by a rename, so a killed process leaves no half of it.
    private func cached() throws -> URL {
        let template = cache.appending(path: "data")
        if isOurs(template) { return template }
        if mkdir(path(cache), 0o700) == 0 { chown(path(cache), programs.uid, programs.gid) }
        guard isOurs(cache) else {
            throw ThrowawayPostgresError(message: "\(path(cache)) belongs to somebody else", remedy: "remove it")
        }
        let lock = open(path(cache.appending(path: "lock")), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX) == 0 else {
            throw ThrowawayPostgresError(message: "can't lock \(path(cache))")
        }
        defer { close(lock) }
        if isOurs(template) { return template }
        let fresh = cache.appending(path: "making-\(UUID().uuidString)")
        do {
            try initialise(fresh)
        } catch {
            try? FileManager.default.removeItem(at: fresh)
            throw error
        }
        guard rename(path(fresh), path(template)) == 0 else {
            try? FileManager.default.removeItem(at: fresh)
            throw ThrowawayPostgresError(message: "can't make \(path(template))")
        }
        return template
    }

    private func initialise(_ data: URL) throws {
        try asServerUser([
            programs.path("initdb"), "-D", path(data), "--auth=trust", "-U", "postgres", "--no-sync", "--no-locale",
            "--encoding=UTF8", "--no-instructions",
        ])
    }

    private func asServerUser(_ command: [String]) throws {
        try Command.runForCluster(programs.dropRights + command)
    }

    /// The temporary folder is shared: what stands there under our name may be another's.
    private func isOurs(_ folder: URL) -> Bool {
        var status = stat()
        return lstat(path(folder), &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == programs.uid
    }

    private func path(_ file: URL) -> String { file.path(percentEncoded: false) }
}

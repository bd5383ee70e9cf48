import Crypto
import Foundation
import PipelineFile
import Replication

/// What `/api` asks for: the pipeline file's, or one of 256 random bits in the agent's own folder.
package struct AccessToken: Sendable {
    private let digest: SHA256.Digest
    /// For the `Authorization` header of our own client.
    let secret: Secret

    package init(_ secret: Secret) {
        self.secret = secret
        digest = SHA256.hash(data: Data(secret.value.utf8))
    }

    /// In time that says nothing about where they differ: digests are compared, all of their bytes.
    package func matches(_ candidate: String) -> Bool {
        let other = SHA256.hash(data: Data(candidate.utf8))
        var difference: UInt8 = 0
        for (a, b) in zip(digest, other) { difference |= a ^ b }
        return difference == 0
    }

    package static func path(in dir: String) -> String { dir + "/token" }

    /// The configured one, else the one in `dir`; nil where no agent made one yet.
    /// - Throws: `.environment` where others may read the file, or it can't be read.
    package static func existing(configured: Secret?, dir: String) throws -> AccessToken? {
        if let configured { return try checked(configured) }
        let path = path(in: dir)
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw unusable(path, String(cString: strerror(errno)))
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw unusable(path, "it is no plain file")
        }
        guard AgentFolder.isOurs(status, in: dir) else { throw unusable(path, "it belongs to another user") }
        guard status.st_mode & 0o077 == 0 else {
            throw ReplicationError(
                .environment, "others than its owner may use \(path), which holds the agent's token",
                remedy: "chmod 600 '\(path)'")
        }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let length = read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(length, 0)), as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        guard text.utf8.count >= 22 else { throw unusable(path, "it is too short for a token of 128 bits") }
        return AccessToken(Secret(text))
    }

    /// The one there is, or a new one with mode 0600 in `dir` (made with 0700 if missing).
    package static func make(configured: Secret?, dir: String) throws -> AccessToken {
        if let token = try existing(configured: configured, dir: dir) { return token }
        try AgentFolder.make(dir)
        var generator = SystemRandomNumberGenerator()
        let text = (0..<4).map { _ in String(format: "%016llx", generator.next() as UInt64) }.joined()
        // Written elsewhere and linked: whoever reads `token` reads all of it, and the first of two agents wins.
        let draft = dir + "/token.\(getpid())"
        unlink(draft)
        let file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw unusable(draft, String(cString: strerror(errno))) }
        defer { unlink(draft) }
        let line = Array((text + "\n").utf8)
        let written = write(file, line, line.count)
        close(file)
        guard written == line.count else { throw unusable(draft, "it can't be written") }
        if link(draft, path(in: dir)) != 0, errno != EEXIST {
            throw unusable(path(in: dir), String(cString: strerror(errno)))
        }
        return try existing(configured: nil, dir: dir) ?? AccessToken(Secret(text))
    }

    private static func checked(_ configured: Secret) throws -> AccessToken {
        guard !configured.value.isEmpty else {
            throw ReplicationError(
                .configuration, "agent.token is empty",
                remedy: "leave agent.token out: the agent makes a token in agent.dir")
        }
        return AccessToken(configured)
    }

    private static func unusable(_ path: String, _ reason: String) -> ReplicationError {
        ReplicationError(
            .environment, "\(path) can't be used: \(reason)", remedy: "see to agent.dir in the pipeline file")
    }
}

/// `agent.dir`: only its owner may look into it.
enum AgentFolder {
    /// A file of another user may be anybody's who can write into the folder. Where users are mapped, as on some network
    /// disks, the folder is that user's, too, and nobody else's to write to.
    static func isOurs(_ file: stat, in dir: String) -> Bool {
        if file.st_uid == geteuid() || geteuid() == 0 { return true }
        var folder = stat()
        return stat(dir, &folder) == 0 && folder.st_uid == file.st_uid && folder.st_mode & 0o022 == 0
    }

    static func make(_ dir: String) throws {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: dir, isDirectory: &isFolder), isFolder.boolValue { return }
        do {
            try FileManager.default.createDirectory(
                atPath: dir, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            // The umask may have taken more away, never less; intermediate folders follow it.
            chmod(dir, 0o700)
        } catch {
            throw ReplicationError(
                .environment, "the agent's folder \(dir) can't be made", remedy: "see to agent.dir in the pipeline file"
            )
        }
    }
}

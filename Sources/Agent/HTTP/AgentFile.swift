import Foundation
import JSON
import Logging
import PipelineFile
import Replication

/// `agent.json` in the agent's folder: says that an agent runs, and where it answers. Left behind by one that was
/// killed, so whoever reads it asks first.
package struct AgentFile: Sendable, Equatable {
    package var pid: Int32
    package var pipeline: String
    /// Where the API answers: `127.0.0.1:8642`.
    package var address: String
    package var started_us: Int64

    package init(pid: Int32, pipeline: String, address: String, started_us: Int64) {
        self.pid = pid
        self.pipeline = pipeline
        self.address = address
        self.started_us = started_us
    }

    package static func path(in dir: String) -> String { dir + "/agent.json" }

    /// Nil where there is none, or it isn't one.
    package static func read(in dir: String) -> AgentFile? {
        let file = open(path(in: dir), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        // Where others may write into the folder, one of theirs would be sent our token.
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, AgentFolder.isOurs(status, in: dir) else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let length = Glibc.read(file, &bytes, bytes.count)
        guard length > 0, length < bytes.count, let json = try? JSONValue(parsing: Array(bytes.prefix(length))),
            let pid = json["pid"]?.int64.flatMap(Int32.init(exactly:)),
            let pipeline = json["pipeline"]?.string, let address = json["address"]?.string
        else { return nil }
        return AgentFile(pid: pid, pipeline: pipeline, address: address, started_us: json["started_us"]?.int64 ?? .min)
    }

    /// Replaces what is there, whole.
    package func write(in dir: String) throws {
        try AgentFolder.make(dir)
        let json: JSONValue = .object([
            ("pid", .integer(pid)), ("pipeline", .string(pipeline)), ("address", .string(address)),
            ("started", .moment(started_us)), ("started_us", .integer(started_us)),
        ])
        do {
            try Data((json.serialized + "\n").utf8).write(
                to: URL(fileURLWithPath: Self.path(in: dir)), options: .atomic)
        } catch {
            throw ReplicationError(
                .environment, "\(Self.path(in: dir)) can't be written", remedy: "see to agent.dir in the pipeline file")
        }
    }

    /// Takes it away if it is still ours.
    package func remove(in dir: String) {
        if Self.read(in: dir) == self { unlink(Self.path(in: dir)) }
    }

    /// Whether its process is there, as far as this machine can tell.
    package var isProcessAlive: Bool { pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) }
}

/// Tells commands where this agent answers, unless another one that runs has told them so in the same folder: again when
/// this one takes over from it.
package actor AgentAnnouncement {
    private let agent: Pipeline.Agent
    private let pipeline: String
    private let logger: Logger
    private var address: String?

    package init(agent: Pipeline.Agent, pipeline: String, logger: Logger) {
        self.agent = agent
        self.pipeline = pipeline
        self.logger = logger
    }

    /// - Parameter address: where it answers; nil: as told before.
    package func write(_ address: String? = nil) async {
        self.address = address ?? self.address
        guard let address = self.address else { return }
        let file = AgentFile(pid: getpid(), pipeline: pipeline, address: address, started_us: Moment.now_us())
        if let other = AgentFile.read(in: agent.dir), other.pid != file.pid, await APIClient.probe(other) != .gone {
            logger.warning(
                "another agent of \(other.pipeline) runs with the same agent.dir (process \(other.pid)): commands go to it"
            )
            return
        }
        do {
            try file.write(in: agent.dir)
        } catch {
            logger.warning("\(error); commands won't find this agent")
        }
    }
}

import Dispatch
import Foundation
import PipelineFile
import Synchronization

/// Brings an event to where the pipeline file says. Errors say how it failed, never the URL or the key.
struct LineageSender: Sendable {
    struct Failure: Error, Equatable {
        let reason: String
        let kind: LineageQueue.Failure
    }

    /// Of one request.
    static let patience = Duration.seconds(10)

    private let settings: Pipeline.OpenLineage
    private let file: LineageFile?

    init(_ settings: Pipeline.OpenLineage) {
        self.settings = settings
        file = if case .file(let path) = settings.place { LineageFile(path) } else { nil }
    }

    func send(_ event: LineageEvent) async throws(Failure) {
        switch settings.place {
        case .http(let url):
            do {
                try await HTTPPost.json(
                    event.text, to: url.text, token: settings.apiKey?.value, patience: Self.patience)
            } catch {
                throw Failure(reason: "the server \(error.reason)", kind: Self.kind(error.status))
            }
        case .file: if let file { try await file.append(event.text) }
        }
    }

    /// What the other side means by its answer.
    static func kind(_ status: UInt?) -> LineageQueue.Failure {
        guard let status else { return .unreachable }
        return status >= 500 || status == 408 || status == 429 ? .refused : .rejected
    }
}

/// A file of events, one a line. Each is appended as a whole, so that several agents can have one file.
final class LineageFile: Sendable {
    private let path: String
    /// Not one of Swift's own threads: a disk may hang.
    private let queue = DispatchQueue(label: "lineage.file")
    /// The last line was written in part: the next begins on one of its own.
    private let isTorn = Mutex(false)

    init(_ path: String) { self.path = path }

    func append(_ line: String) async throws(LineageSender.Failure) {
        let result: Result<Void, LineageSender.Failure> = await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.write(line)) }
        }
        try result.get()
    }

    private func write(_ line: String) -> Result<Void, LineageSender.Failure> {
        // Without a reader a pipe would be waited for.
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
        guard file >= 0 else { return .failure(failure("can't be opened")) }
        defer { close(file) }
        let bytes = Array(((isTorn.withLock { $0 } ? "\n" : "") + line + "\n").utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                isTorn.withLock { $0 = $0 || done > 0 }
                return .failure(failure("can't be written"))
            }
            done += count
        }
        isTorn.withLock { $0 = false }
        return .success(())
    }

    private func failure(_ what: String) -> LineageSender.Failure {
        .init(reason: "the file \(what): \(String(cString: strerror(errno)))", kind: .unreachable)
    }
}

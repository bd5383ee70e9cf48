import Foundation
import JSON
import Logging
import PipelineFile
import Replication

/// Brings a notice to where the pipeline file says. Errors say how it failed, never the URL, which may be a secret.
struct AlertSender: Sendable {
    struct Failure: Error, Equatable {
        let reason: String
    }

    static let patience = Duration.seconds(10)
    static let execPatience_s = 30.0

    let way: Pipeline.AlertTarget.Way
    let logger: Logger

    /// In words, for a person: `webhook`, `exec /opt/page.sh`, `log`.
    var name: String {
        switch way {
        case .webhook: "webhook"
        case .exec(let path): "exec \(path)"
        case .log: "log"
        }
    }

    func send(_ notice: AlertNotice) async throws(Failure) {
        switch way {
        case .webhook(let url, let format):
            do {
                try await HTTPPost.json(
                    (format == .slack ? notice.slackJSON : notice.json).serialized, to: url.value,
                    patience: Self.patience)
            } catch {
                throw Failure(reason: error.reason)
            }
        case .exec(let path): try await execute(path, notice)
        case .log:
            let level: Logger.Level = notice.change == .began ? .error : .notice
            logger.log(level: level, "alert: \(notice.text)")
        }
    }

    // MARK: Programs

    /// Not a shell: the path alone, the notice as JSON on stdin and in the environment in part.
    private func execute(_ path: String, _ notice: AlertNotice) async throws(Failure) {
        let result: Result<Int32, Failure> = await withCheckedContinuation { continuation in
            DispatchQueue(label: "alert.exec").async { continuation.resume(returning: Self.run(path, notice)) }
        }
        let status = try result.get()
        guard status == 0 else { throw Failure(reason: "ended with \(status)") }
    }

    private static func run(_ path: String, _ notice: AlertNotice) -> Result<Int32, Failure> {
        guard FileManager.default.isExecutableFile(atPath: path) else {
            return .failure(Failure(reason: "isn't a program that can be run"))
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        var environment = ProcessInfo.processInfo.environment
        environment["MILLRACE_ALERT_PIPELINE"] = notice.pipeline
        environment["MILLRACE_ALERT_KIND"] = notice.alert.key.kind.rawValue
        environment["MILLRACE_ALERT_SUBJECT"] = notice.alert.key.subject
        environment["MILLRACE_ALERT_STATE"] = notice.change.rawValue
        environment["MILLRACE_ALERT_CHANNEL"] = notice.alert.channel
        process.environment = environment
        // By a file: a program that doesn't read it must not end us by its closed pipe.
        let file = FileManager.default.temporaryDirectory.appending(path: "millrace-alert-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        do {
            try Data(notice.json.serialized.utf8).write(to: file)
            let input = try FileHandle(forReadingFrom: file)
            defer { try? input.close() }
            process.standardInput = input
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            let ended = DispatchSemaphore(value: 0)
            process.terminationHandler = { _ in ended.signal() }
            try process.run()
            guard ended.wait(timeout: .now() + execPatience_s) == .success else {
                kill(process.processIdentifier, SIGKILL)
                return .failure(Failure(reason: "didn't end within \(Int(execPatience_s)) s"))
            }
        } catch {
            return .failure(Failure(reason: "can't be run (\(type(of: error)))"))
        }
        return .success(process.terminationStatus)
    }
}

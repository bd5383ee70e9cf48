import ChildProcess
import Foundation

/// The real program, or another that runs it, to its end.
enum Program {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Beside the tests, or what `MILLRACE_BINARY` names.
    static let path: String = {
        if let path = ProcessInfo.processInfo.environment["MILLRACE_BINARY"] { return path }
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        for _ in 0..<4 {
            let candidate = folder.appending(path: "millrace").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
            folder.deleteLastPathComponent()
        }
        return "millrace"
    }()

    struct Result {
        var status: Int32
        var output: String
        var errors: String
    }

    /// In a folder of its own, in which there is nothing but `files`, each empty.
    static func run(
        _ command: [String], environment: [String: String] = [:], files: [String] = []
    ) async throws -> Result {
        let manager = FileManager.default
        let scratch = manager.temporaryDirectory.appending(path: "millrace-cli-\(UUID().uuidString)")
        let folder = scratch.appending(path: "folder")
        try manager.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? manager.removeItem(at: scratch) }
        for file in files { _ = manager.createFile(atPath: folder.appending(path: file).path, contents: nil) }
        let (output, errors) = (scratch.appending(path: "out"), scratch.appending(path: "err"))
        let process = try ChildProcess(
            command, environment: environment, output: .init(file: output, errors: errors), folder: folder)
        let status = await process.wait()
        func text(_ file: URL) -> String { (try? String(contentsOf: file, encoding: .utf8)) ?? "" }
        return Result(status: status, output: text(output), errors: text(errors))
    }

    static func millrace(_ arguments: [String], environment: [String: String] = [:]) async throws -> Result {
        try await run([path] + arguments, environment: environment)
    }
}

import Foundation

/// Runs programs to their end.
package enum Command {
    /// Blocks: for a queue of one's own.
    /// - Parameters:
    ///   - output: gets stdout and stderr; else stdout is returned.
    ///   - folder: where it runs.
    /// - Returns: stdout; empty when it goes to `output`.
    /// - Throws: `CommandError` where it can't be started or doesn't exit with 0.
    @discardableResult
    package static func data(
        of command: [String], input: String = "", output: URL? = nil, folder: URL = URL(filePath: "/")
    ) throws -> Data {
        let scratch = FileManager.default.temporaryDirectory.appending(path: "millrace-run-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700]
        )
        defer { try? FileManager.default.removeItem(at: scratch) }
        let stdin = scratch.appending(path: "in")
        try Data(input.utf8).write(to: stdin)
        let stdout = output ?? scratch.appending(path: "out")
        let stderr = output ?? scratch.appending(path: "err")
        let child = try ChildProcess(
            command, input: stdin, output: ChildProcess.Output(file: stdout, errors: stderr), folder: folder)
        let code = child.waitHere()
        guard code == 0 else {
            let text = (try? String(contentsOf: stderr, encoding: .utf8)) ?? ""
            let name = command.last { $0.hasPrefix("/") && FileManager.default.isExecutableFile(atPath: $0) }
            throw CommandError(
                message: "\(name ?? command.joined(separator: " ")) failed (\(code)): \(text.suffix(2000))",
                exitCode: code)
        }
        return output == nil ? try Data(contentsOf: stdout) : Data()
    }

    /// The same, with stdout as text, trimmed.
    @discardableResult
    package static func run(
        _ command: [String], input: String = "", output: URL? = nil, folder: URL = URL(filePath: "/")
    ) throws -> String {
        String(decoding: try data(of: command, input: input, output: output, folder: folder), as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The same for Swift's tasks.
    @discardableResult
    package static func runAside(_ command: [String], input: String = "") async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "command").async {
                continuation.resume(with: Result { try run(command, input: input) })
            }
        }
    }
}

/// What went wrong with a program, with the end of its output.
package struct CommandError: Error, CustomStringConvertible {
    package var message: String
    /// 128 + n after signal n, 127 where there is no such program; nil: nothing was started.
    package var exitCode: Int32?

    package init(message: String, exitCode: Int32? = nil) {
        self.message = message
        self.exitCode = exitCode
    }

    package var description: String { message }
}

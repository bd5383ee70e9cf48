import Foundation

/// The real program, as a child.
struct AgentProcess: Sendable {
    /// Beside the tests, or what `MILLRACE_BINARY` names.
    static let binary: URL = {
        if let path = ProcessInfo.processInfo.environment["MILLRACE_BINARY"] { return URL(fileURLWithPath: path) }
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        for _ in 0..<4 {
            let candidate = folder.appending(path: "millrace")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            folder.deleteLastPathComponent()
        }
        return URL(fileURLWithPath: "millrace")
    }()

    struct Result {
        /// 128 + n where a signal ended it.
        var status: Int32
        var output: String
        var errors: String
    }

    private let process = Process()
    private let outputFile: URL
    private let errors: URL

    /// - Parameter wrapper: a program that becomes the agent: `/usr/bin/env`.
    init(
        _ arguments: [String], in folder: URL, environment: [String: String] = [:], wrapper: String? = nil
    ) throws {
        outputFile = folder.appending(path: "out-\(UUID().uuidString)")
        errors = folder.appending(path: "err-\(UUID().uuidString)")
        _ = FileManager.default.createFile(atPath: outputFile.path, contents: nil)
        _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
        process.executableURL = wrapper.map { URL(fileURLWithPath: $0) } ?? Self.binary
        process.arguments = (wrapper == nil ? [] : [Self.binary.path]) + arguments
        process.currentDirectoryURL = folder
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
    }

    var pid: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    /// What it has said so far.
    func said() -> String { (try? String(contentsOf: errors, encoding: .utf8)) ?? "" }

    /// What it has written so far.
    func output() -> String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }

    func wait() -> Result {
        process.waitUntilExit()
        let status =
            process.terminationReason == .uncaughtSignal ? 128 + process.terminationStatus : process.terminationStatus
        defer {
            try? FileManager.default.removeItem(at: outputFile)
            try? FileManager.default.removeItem(at: errors)
        }
        return Result(
            status: status, output: output(),
            errors: (try? String(contentsOf: errors, encoding: .utf8)) ?? "")
    }

    /// `wait`, which holds no thread of Swift's.
    func end() async -> Result {
        await withCheckedContinuation { continuation in
            DispatchQueue(label: "agent").async { continuation.resume(returning: wait()) }
        }
    }

    /// Stopped by SIGSTOP, all of it.
    var isFrozen: Bool {
        let stat = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        guard let end = stat.lastIndex(of: ")") else { return false }
        return stat[end...].dropFirst(2).first == "T"
    }

    static func run(_ arguments: [String], in folder: URL, environment: [String: String] = [:]) throws -> Result {
        try AgentProcess(arguments, in: folder, environment: environment).wait()
    }
}

import ChildProcess
import Foundation
import Synchronization

/// The real program, as a child.
struct AgentProcess: Sendable {
    /// No test needs one for longer: of one that hangs it is told where, and it is killed, instead of holding up all.
    static let hang_s =
        ProcessInfo.processInfo.environment["MILLRACE_HANG_S"].flatMap { Double($0) } ?? (isLong ? 7200 : 600)
    /// The long forms of the tests are asked for by such.
    private static let isLong = ProcessInfo.processInfo.environment.keys.contains {
        $0.hasPrefix("MILLRACE_") && $0 != "MILLRACE_BINARY"
    }

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

    private let process: ChildProcess
    private let arguments: [String]
    private let outputFile: URL
    private let errors: URL

    /// - Parameter wrapper: a program that becomes the agent: `/usr/bin/env`.
    init(
        _ arguments: [String], in folder: URL, environment: [String: String] = [:], wrapper: String? = nil
    ) throws {
        self.arguments = arguments
        outputFile = folder.appending(path: "out-\(UUID().uuidString)")
        errors = folder.appending(path: "err-\(UUID().uuidString)")
        process = try ChildProcess(
            (wrapper.map { [$0] } ?? []) + [Self.binary.path] + arguments, environment: environment,
            output: ChildProcess.Output(file: outputFile, errors: errors), folder: folder)
        Self.running.withLock { _ = $0.insert(process.pid) }
        _ = Self.endsThem
    }

    /// Agents that a failed test has left behind don't outlive the tests.
    private static let running = Mutex<Set<Int32>>([])
    private static let endsThem: Void = {
        atexit { AgentProcess.running.withLock { $0.forEach { _ = kill($0, SIGKILL) } } }
    }()

    var pid: Int32 { process.pid }
    var isRunning: Bool { process.isRunning }
    func signal(_ number: Int32) { process.signal(number) }

    /// What it has said so far.
    func said() -> String { (try? String(contentsOf: errors, encoding: .utf8)) ?? "" }

    /// What it has written so far.
    func output() -> String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }

    /// Holds no thread of Swift's, of which there are as few as cores: tests that stood in each other's way would wait for
    /// time, not for what they look at.
    func wait() async -> Result {
        let watchdog = watchForHang()
        let status = await process.wait()
        watchdog.cancel()
        Self.running.withLock { _ = $0.remove(pid) }
        defer {
            try? FileManager.default.removeItem(at: outputFile)
            try? FileManager.default.removeItem(at: errors)
        }
        return Result(status: status, output: output(), errors: said())
    }

    private func watchForHang() -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "hang"))
        timer.setEventHandler { [self] in
            // To the errors, where it is seen at once.
            var told = "hung: \(arguments) for \(Int(Self.hang_s)) s, \(Self.state(pid))\n"
            for line in (said().suffix(10_000) + Self.stacks(pid)).split(separator: "\n") { told += "hung: \(line)\n" }
            FileHandle.standardError.write(Data(told.utf8))
            signal(SIGKILL)
        }
        timer.schedule(deadline: .now() + Self.hang_s)
        timer.resume()
        return timer
    }

    /// As `/proc` has it: `R`, `S`, `T`, `Z` …
    private static func state(_ pid: Int32) -> String {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        return status.split(separator: "\n").first { $0.hasPrefix("State:") }.map(String.init) ?? "gone"
    }

    /// What each thread is doing, where there is a debugger.
    private static func stacks(_ pid: Int32) -> String {
        (try? Command.run(["timeout", "50", "gdb", "-p", "\(pid)", "-batch", "-ex", "thread apply all bt 20"])) ?? ""
    }

    /// Stopped by SIGSTOP, all of it.
    var isFrozen: Bool {
        let stat = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        guard let end = stat.lastIndex(of: ")") else { return false }
        return stat[end...].dropFirst(2).first == "T"
    }

    static func run(_ arguments: [String], in folder: URL, environment: [String: String] = [:]) async throws -> Result {
        try await AgentProcess(arguments, in: folder, environment: environment).wait()
    }
}

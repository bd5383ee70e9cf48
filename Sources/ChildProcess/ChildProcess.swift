import Foundation
import Synchronization

/// A program that runs beside us, with files as its input and output.
///
/// Not Foundation's `Process`, whose pipes and sockets go to whatever another thread starts at that moment: a server that
/// comes up beside it keeps them open for as long as it runs, and neither the end of the input nor that of the program is
/// ever seen.
package final class ChildProcess: Sendable {
    package let pid: pid_t
    private let exitCode = Mutex<Int32?>(nil)
    private let end = DispatchGroup()

    /// Starts a program.
    /// - Parameters:
    ///   - command: the program, found on the PATH, and its arguments.
    ///   - environment: beside ours.
    ///   - output: what it writes is appended to these files.
    package init(
        _ command: [String], environment: [String: String] = [:], input: URL = ChildProcess.nothing,
        output: Output = Output(), folder: URL = URL(filePath: "/")
    ) throws {
        pid = try Self.spawn(command, environment: environment, input: input, output: output, folder: folder)
        end.enter()
        // A thread of its own: what waits for a program may itself be waited for.
        Thread.detachNewThread { [self] in
            Self.awaitEnd(pid)
            // Until it is collected nobody else can have its number.
            exitCode.withLock { $0 = Self.collect(pid) }
            end.leave()
        }
    }

    package var isRunning: Bool { exitCode.withLock { $0 == nil } }

    /// Nothing, once it has ended: another may have its number.
    package func signal(_ number: Int32) {
        exitCode.withLock { if $0 == nil { kill(pid, number) } }
    }

    /// Returns its exit code when it has ended; 128 + n after signal n.
    package func wait() async -> Int32 {
        await withCheckedContinuation { continuation in
            end.notify(queue: .global()) { continuation.resume() }
        }
        return exitCode.withLock { $0 ?? 127 }
    }

    /// The same for a queue of one's own: blocks.
    package func waitHere() -> Int32 {
        end.wait()
        return exitCode.withLock { $0 ?? 127 }
    }
}

extension ChildProcess {
    package static let nothing = URL(filePath: "/dev/null")

    /// Where a program's output goes.
    package struct Output: Sendable {
        var file: URL
        var errors: URL

        package init(file: URL = ChildProcess.nothing, errors: URL = ChildProcess.nothing) {
            self.file = file
            self.errors = errors
        }
    }

    /// In a process group of its own (Ctrl-C is for us alone), with no signal blocked, as threads of
    /// Dispatch block them, and with no descriptor of ours.
    private static func spawn(
        _ command: [String], environment: [String: String], input: URL, output: Output, folder: URL
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, path(input), O_RDONLY, 0)
        let append = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 1, path(output.file), append, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, path(output.errors), append, 0o600)
        let inherited = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        for descriptor in inherited.compactMap({ Int32($0) }) where descriptor > 2 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        // What we ignore for ourselves, it needn't.
        sigaddset(&signals, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        // The shell changes the folder: Swift's Glibc module lacks the function that has posix_spawn do it.
        let inFolder = ["sh", "-c", "cd \"$0\" && exec \"$@\"", path(folder)] + command
        let merged = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let arguments = inFolder.map { strdup($0) } + [nil]
        let variables = merged.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, inFolder[0], &actions, &attributes, arguments, variables)
        guard code == 0 else {
            throw CommandError(message: "can't start \(command[0]): \(String(cString: strerror(code)))")
        }
        return pid
    }

    private static func awaitEnd(_ pid: pid_t) {
        var information = siginfo_t()
        while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    }

    private static func collect(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            if errno != EINTR { return 127 }
        }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }

    private static func path(_ file: URL) -> String { file.path(percentEncoded: false) }
}

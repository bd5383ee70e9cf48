import Foundation

/// Starts programs by `posix_spawn`. Foundation's `Process` sees the end of a program only when all that
/// inherited its descriptors have ended too, and `pg_ctl` leaves a server behind.
enum Command {
    /// Where a program's output goes.
    struct Output {
        var file: URL
        var errors: URL
    }

    /// Runs a program to its end. Blocks: for a queue of one's own.
    /// - Parameter output: gets stdout and stderr; else stdout is returned.
    /// - Returns: stdout, trimmed; empty when it goes to `output`.
    @discardableResult
    static func run(
        _ command: [String],
        input: String = "",
        output: URL? = nil,
        folder: URL = URL(filePath: "/")
    ) throws -> String {
        let scratch = FileManager.default.temporaryDirectory.appending(path: "millrace-run-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700]
        )
        defer { try? FileManager.default.removeItem(at: scratch) }
        let stdin = scratch.appending(path: "in")
        try Data(input.utf8).write(to: stdin)
        let stdout = output ?? scratch.appending(path: "out")
        let stderr = output ?? scratch.appending(path: "err")
        let pid = try spawn(command, input: stdin, output: Output(file: stdout, errors: stderr), folder: folder)
        let code = wait(pid)
        guard code == 0 else {
            let text = (try? String(contentsOf: stderr, encoding: .utf8)) ?? ""
            let name = command.last { $0.hasPrefix("/") && FileManager.default.isExecutableFile(atPath: $0) }
            throw ThrowawayPostgresError(
                message: "\(name ?? command.joined(separator: " ")) failed (\(code)): \(text.suffix(2000))"
            )
        }
        guard output == nil else { return "" }
        return try String(contentsOf: stdout, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Starts a program that nobody waits for, without input and output.
    static func startDetached(_ command: [String]) throws {
        let null = URL(filePath: "/dev/null")
        _ = try spawn(command, input: null, output: Output(file: null, errors: null), folder: URL(filePath: "/"))
    }

    /// In a process group of its own (Ctrl-C is for us alone), with no signal blocked, as threads of
    /// Dispatch block them, and with no descriptor of ours.
    private static func spawn(_ command: [String], input: URL, output: Output, folder: URL) throws -> pid_t {
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
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))

        // The shell changes the folder: Swift's Glibc module lacks the function that has posix_spawn do it.
        let inFolder = ["sh", "-c", "cd \"$0\" && exec \"$@\"", path(folder)] + command
        var arguments: [UnsafeMutablePointer<CChar>?] = inFolder.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, inFolder[0], &actions, &attributes, arguments, environ)
        guard code == 0 else {
            throw ThrowawayPostgresError(message: "can't start \(command[0]): \(String(cString: strerror(code)))")
        }
        return pid
    }

    /// The exit code; 128 + n after signal n.
    private static func wait(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            if errno != EINTR { return 127 }
        }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }

    private static func path(_ file: URL) -> String { file.path(percentEncoded: false) }
}

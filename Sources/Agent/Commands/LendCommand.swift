import Foundation
import PipelineFile
import Replication

/// `millrace lend -- CMD…`: the agent lets the DuckDB file go, the program runs, the agent takes the file back.
package struct LendCommand: Sendable {
    package var command: [String]

    package init(_ command: [String]) { self.command = command }

    /// Returns the program's exit code; 128 + n where a signal ended it.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        guard case .duckdb(let settings) = setup.pipeline.warehouse.engine else {
            throw CommandFailure(
                ExitStatus.usage, "only a DuckDB file needs to be lent: a server lets everybody in",
                try: "run the command as it is: \(command.joined(separator: " "))")
        }
        let agent = try await APIClient.running(setup.pipeline)
        if let agent { try await agent.lend(to: getpid(), program: command[0]) }
        let result: Result<Int32, CommandFailure> = await withCheckedContinuation { continuation in
            DispatchQueue(label: "lend").async {
                continuation.resume(returning: Self.spawn(command, path: settings.path))
            }
        }
        if let agent {
            do { try await agent.endLoan() } catch {
                context.logger.warning(
                    "the agent didn't take the file back: \(ExitStatus.failure(of: error).message)")
            }
        }
        return try result.get()
    }

    /// In our own group of processes, so that a terminal is its own and Ctrl-C reaches it; we wait for it whatever comes.
    private static func spawn(_ command: [String], path: String) -> Result<Int32, CommandFailure> {
        signal(SIGINT, SIG_IGN)
        defer { signal(SIGINT, SIG_DFL) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for number in [SIGINT, SIGTERM, SIGPIPE] { sigaddset(&defaults, number) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var variables = ProcessInfo.processInfo.environment
        variables["MILLRACE_WAREHOUSE"] = URL(fileURLWithPath: path).path
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command[0], nil, &attributes, &arguments, &environment)
        guard code == 0 else {
            return .failure(
                CommandFailure(
                    ExitStatus.usage,
                    "\(Console.printable(command[0])) can't be run: \(String(cString: strerror(code)))",
                    try: "millrace lend -- CMD…, with CMD in PATH"))
        }
        // A stop that is asked of us is the program's.
        let child = pid
        signal(SIGTERM, SIG_IGN)
        let stop = DispatchSource.makeSignalSource(signal: SIGTERM, queue: DispatchQueue(label: "lend.stop"))
        stop.setEventHandler { _ = kill(child, SIGTERM) }
        stop.resume()
        defer {
            stop.cancel()
            signal(SIGTERM, SIG_DFL)
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return .success(status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F))
    }
}

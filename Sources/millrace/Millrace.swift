import Agent
import ArgumentParser
import Foundation

@main
struct Millrace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace",
        abstract: "Replicates change events into the current tables of a warehouse.",
        discussion: .help(
            """
            Reads a Postgres, or Debezium's events from Kafka or a file, writes them into DuckDB or Postgres, and \
            proves where every event ended.

            Exit codes: 0 ok, 1 runtime failure, 2 bad pipeline file or usage, 3 environment, 4 differences, \
            5 stale, 6 expectations, 128+n killed by a signal.
            """,
            examples: [
                "millrace check -c shop.yaml": "what would be replicated, and what is in the way",
                "millrace run -c shop.yaml": "replicate until stopped",
                "millrace help run": "more about a command",
            ]),
        version: Version.text,
        subcommands: [
            Run.self, Check.self, Status.self, Query.self, Checkpoint.self, Quarantine.self, Alerts.self, Drop.self,
            Broker.self,
            Demo.self,
            Backfill.self, Sweep.self, Explain.self, Freshness.self, Quality.self, Schema.self, Pause.self,
            Resume.self, Resync.self, Release.self, Lend.self, DBT.self, Erase.self, Reload.self,
        ])

    static func main() async {
        Allocator.keepLittle()
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let ended as Ended {
            Foundation.exit(ended.code)
        } catch {
            Foundation.exit(end(error))
        }
    }

    /// Says what went wrong; returns the exit code.
    private static func end(_ error: any Error) -> Int32 {
        let console = Console.standard
        // Help and the version are asked for by the same way.
        if exitCode(for: error) == .success {
            console.result(fullMessage(for: error))
            return ExitStatus.ok
        }
        if exitCode(for: error) == .validationFailure {
            console.report(CommandFailure(ExitStatus.usage, line(message(for: error)), try: help(for: error)))
            return ExitStatus.usage
        }
        let failure = ExitStatus.failure(of: error)
        console.report(failure)
        return failure.exit
    }
}

extension Millrace {
    /// The parser's lists, a word a line, as one line.
    fileprivate static func line(_ message: String) -> String {
        let lines = message.split(separator: "\n").map { $0.drop { $0 == " " } }
        let items = lines.filter { $0.hasPrefix("- ") }.map { $0.dropFirst(2) }
        let text = lines.filter { !$0.hasPrefix("- ") }.joined(separator: " ")
        return items.isEmpty ? text : "\(text) \(items.joined(separator: ", "))"
    }

    /// The help of the command in question, which the parser names below its usage.
    fileprivate static func help(for error: any Error) -> String {
        let named = fullMessage(for: error).firstMatch(of: /See '(millrace[^'\n]*--help)'/)?.output.1
        return named.map(String.init) ?? "millrace --help"
    }
}

/// A command that is through and says with which exit code.
struct Ended: Error {
    var code: Int32

    /// Throws unless all is well.
    static func with(_ code: Int32) throws {
        if code != ExitStatus.ok { throw Ended(code: code) }
    }
}

import Agent
import ArgumentParser
import Logging

/// Options of every command.
struct GlobalOptions: ParsableArguments {
    @Option(
        name: .customShort("c"), help: ArgumentHelp("The pipeline file.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var file = "millrace.yaml"

    @Flag(help: "Results as JSON on stdout.")
    var json = false

    @Option(help: ArgumentHelp("The form of logs on stderr.", valueName: "format"))
    var logFormat = LogOutput.Format.text

    @Option(
        help: ArgumentHelp(
            "What is logged at least. Default: info where it replicates, else warning.", valueName: "level"))
    var logLevel: Logger.Level?

    /// - Parameter quiet: commands that give one answer log warnings only, unless told otherwise.
    func context(quiet: Bool = true) -> CommandContext {
        let console = Console.standard
        let level = logLevel ?? (quiet ? .warning : .info)
        let format = logFormat
        // Also what libraries log goes our way, never to stdout.
        LoggingSystem.bootstrap { label in
            LogOutput(
                console, format: format, level: label.hasPrefix("millrace") ? level : max(level, .warning), label: label
            )
        }
        return CommandContext(file: file, json: json, console: console, logger: Logger(label: "millrace"))
    }
}

extension LogOutput.Format: ExpressibleByArgument {}
extension QueryFormat: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}

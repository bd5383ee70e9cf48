import Agent
import ArgumentParser

/// A command of a later step: it takes whatever is given and refuses.
protocol NotYet: ParsableCommand {}

extension NotYet {
    static func later(_ name: String, _ abstract: String) -> CommandConfiguration {
        CommandConfiguration(
            commandName: name, abstract: "\(abstract) (not yet)", discussion: "Example: millrace \(name)")
    }

    func run() throws { throw LaterCommand.failure(Self.configuration.commandName ?? "") }
}

struct DBT: NotYet {
    static let configuration = later("dbt", "Make dbt sources and staging models.")
    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []
}

import Replication

/// `millrace drop`: takes the pipeline away.
package struct DropCommand: Sendable {
    package var tables: Bool
    package var isConfirmed: Bool
    /// Asks the person at the terminal; nil where there is none.
    package var ask: (@Sendable (_ question: String) -> Bool)?

    package init(tables: Bool, isConfirmed: Bool, ask: (@Sendable (_ question: String) -> Bool)? = nil) {
        self.tables = tables
        self.isConfirmed = isConfirmed
        self.ask = ask
    }

    package func run(_ context: CommandContext) async throws {
        let setup = try context.loadSetup()
        let name = setup.pipeline.name
        if try await APIClient.running(setup.pipeline) != nil {
            throw CommandFailure(
                ExitStatus.environment, "an agent of \(name) runs", try: "stop it first, then drop the pipeline")
        }
        let what =
            tables
            ? "the checkpoints, ledger and quarantine of \(name), and all its tables and views"
            : "the checkpoints, ledger and quarantine of \(name); its tables stay"
        guard try isConfirmed || agreed(to: "Take away \(what)?") else {
            throw CommandFailure(ExitStatus.runtime, "nothing was taken away")
        }
        var dropped: [String] = []
        if case .postgres(let server) = setup.pipeline.source.input {
            // The slot first: left behind it would fill the source's disk.
            let look = PostgresLook(server)
            do { dropped = try await look.dropObjects(pipeline: name) } catch {
                await look.close()
                throw error
            }
            await look.close()
        }
        try await setup.withWarehouse(readOnly: false) { try await $0.drop(tables: tables) }
        if context.json {
            context.console.result("{\"dropped\":\"\(name)\",\"tables\":\(tables)}")
        } else {
            if !dropped.isEmpty { context.console.result("dropped at the source: \(dropped.joined(separator: ", "))") }
            context.console.result("took away \(what)")
        }
    }

    private func agreed(to question: String) throws -> Bool {
        guard let ask else {
            throw CommandFailure(
                ExitStatus.usage, "drop wants to be confirmed", try: "millrace drop\(tables ? " --tables" : "") --yes")
        }
        return ask(question)
    }
}

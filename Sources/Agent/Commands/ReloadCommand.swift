import JSON

/// `millrace reload`: the running agent reads its pipeline file again.
package struct ReloadCommand: Sendable {
    package init() {}

    /// Returns the exit code.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        guard let agent = try await APIClient.running(setup.pipeline) else {
            throw CommandFailure(
                ExitStatus.usage, "no agent runs that could read the pipeline file again",
                try: "millrace run, which reads it")
        }
        let report = try await agent.reload()
        context.console.result(context.json ? report.json.serialized : report.text)
        return ExitStatus.ok
    }
}

extension ReloadReport {
    package var text: String {
        guard hasChanged else { return "the pipeline file says what it said" }
        var lines = ["the agent works with the pipeline file as it is now"]
        for (what, tables) in [
            ("replicated from now on", added), ("not replicated any more, its rows stay", removed),
            ("with other settings", changed),
        ] where !tables.isEmpty {
            lines += tables.map { "\(Console.printable($0)): \(what)" }
        }
        return lines.joined(separator: "\n")
    }

    package var json: JSONValue {
        func list(_ names: [String]) -> JSONValue { .array(names.map(JSONValue.string)) }
        return .object([
            ("changed", .bool(hasChanged)),
            ("tables", .object([("added", list(added)), ("removed", list(removed)), ("changed", list(changed))])),
        ])
    }

    package init?(json: JSONValue) {
        guard let hasChanged = json["changed"]?.bool, let tables = json["tables"] else { return nil }
        self.init()
        self.hasChanged = hasChanged
        func list(_ name: String) -> [String] { tables[name]?.array?.compactMap(\.string) ?? [] }
        added = list("added")
        removed = list("removed")
        changed = list("changed")
    }
}

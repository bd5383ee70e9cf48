import JSON
import Replication

/// `millrace pause`, `resume`, `resync` and `release`.
package struct HoldCommand: Sendable {
    package enum Action: Sendable, Equatable {
        case pause(TableSelection)
        case resume(TableSelection)
        case resync(TableSelection)
        case decide(RestoreVerdict)
        case release(TableSelection, quarantinesAll: Bool)

        /// Of events that waited.
        var appliesRows: Bool {
            switch self {
            case .resume, .release, .decide: true
            case .pause, .resync: false
            }
        }
    }

    package var action: Action

    package init(_ action: Action) { self.action = action }

    /// Returns the exit code.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        return try await context.withControl(setup, readOnly: false, appliesRows: action.appliesRows) {
            try await run(context, $0)
        }
    }

    package func run(_ context: CommandContext, _ control: any AgentControl) async throws -> Int32 {
        switch action {
        case .pause(let selection):
            show(try await control.pause(selection), as: "paused", "is paused: what comes is kept in raw", context)
        case .resync(let selection):
            show(
                try await control.resync(selection), as: "resyncing",
                "is copied anew, by the running agent or the next: millrace status", context)
        case .resume(let selection): return try show(await release(.paused, selection, control, context), context)
        case .release(let selection, let quarantinesAll):
            var all = try await release(.failing, selection, control, context, quarantinesAll: quarantinesAll)
            all.add(try await release(.quality, selection, control, context, quarantinesAll: quarantinesAll))
            return try show(all, context)
        case .decide(let verdict):
            try await control.decide(verdict)
            return try show(await release(.restored, .all, control, context), context)
        }
        return ExitStatus.ok
    }

    private func release(
        _ kind: TableHold.Kind, _ selection: TableSelection, _ control: any AgentControl, _ context: CommandContext,
        quarantinesAll: Bool = false
    ) async throws -> ReleaseProgress {
        var all = ReleaseProgress()
        repeat {
            all.add(try await control.release(kind, selection, quarantinesAll: quarantinesAll))
            context.console.progress("\(all.tables.reduce(0) { $0 + $1.events }) events applied")
        } while !all.isDone
        context.console.progress("")
        return all
    }

    private func show(_ tables: [String], as state: String, _ words: String, _ context: CommandContext) {
        if context.json {
            let entries = tables.map { table -> JSONValue in
                .object([("source", .string(table)), ("state", .string(state))])
            }
            context.console.result(JSONValue.array(entries).serialized)
        } else if tables.isEmpty {
            context.console.result("no table is known yet")
        } else {
            let lines = tables.map { "\(Console.printable($0)) \(words)" }
            context.console.result(lines.joined(separator: "\n"))
        }
    }

    /// - Throws: exit 6, where rows that were to be released aren't as expected.
    private func show(_ progress: ReleaseProgress, _ context: CommandContext) throws -> Int32 {
        if context.json {
            context.console.result(progress.json["tables"]?.serialized ?? "[]")
        } else if progress.tables.isEmpty {
            context.console.result("nothing was held")
        } else {
            let lines = progress.tables.map { table in
                let aside =
                    table.quarantined > 0 ? ", \(table.quarantined) of them put aside: millrace quarantine list" : ""
                let name = Console.printable(table.source)
                if let reason = table.closed {
                    return "\(name) is held: \(Console.printable(reason)); \(table.events) events were applied\(aside)"
                }
                return "\(name) goes on: \(table.events) events were applied\(aside)"
            }
            context.console.result(lines.joined(separator: "\n"))
        }
        guard let held = progress.tables.first(where: { $0.closed != nil }) else { return ExitStatus.ok }
        throw CommandFailure(
            ExitStatus.quality, "\(held.source) is held: \(held.closed ?? "")",
            try: "mend the rule or the data, then release it again; or put the rows aside: "
                + "millrace release \(held.source) --quarantine-failing")
    }
}

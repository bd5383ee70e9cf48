import JSON
import Replication

/// `millrace quarantine`.
package struct QuarantineCommand: Sendable {
    package enum Action: Sendable, Equatable {
        case list
        case show(Int64)
        case replay(QuarantineChoice)
        case discard(QuarantineChoice)
    }

    package var action: Action
    /// `list` shows those that were settled too.
    package var all: Bool

    package init(_ action: Action, all: Bool = false) {
        self.action = action
        self.all = all
    }

    /// Returns the exit code: 1 where a record that was to be replayed failed again.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        let readOnly =
            switch action {
            case .list, .show: true
            case .replay, .discard: false
            }
        let appliesRows = if case .replay = action { true } else { false }
        return try await context.withControl(setup, readOnly: readOnly, appliesRows: appliesRows) {
            try await run(context, $0)
        }
    }

    package func run(_ context: CommandContext, _ control: any AgentControl) async throws -> Int32 {
        switch action {
        case .list:
            let records = try await control.quarantine().filter { all || $0.state == .waiting }
            if context.json {
                context.console.result(JSONValue.array(records.map { $0.json(whole: false) }).serialized)
            } else {
                context.console.result(Self.table(records))
            }
        case .show(let id):
            guard let record = try await control.quarantined(id) else {
                throw CommandFailure(
                    ExitStatus.usage, "there is no record \(id) in quarantine", try: "millrace quarantine list")
            }
            context.console.result(context.json ? record.json(whole: true).serialized : Self.text(record))
        case .replay(let choice): return show(try await control.replay(choice), context)
        case .discard(let choice): return show(try await control.discard(choice), context)
        }
        return ExitStatus.ok
    }

    private func show(_ outcomes: [QuarantineOutcome], _ context: CommandContext) -> Int32 {
        if context.json {
            context.console.result(JSONValue.array(outcomes.map(\.json)).serialized)
        } else if outcomes.isEmpty {
            context.console.result("no record waits")
        } else {
            let lines = outcomes.map { outcome in
                let reason = outcome.reason.map { ": \(Console.printable($0))" } ?? ""
                return "\(outcome.id) \(outcome.state == .waiting ? "failed again" : outcome.state.rawValue)\(reason)"
            }
            context.console.result(lines.joined(separator: "\n"))
        }
        return outcomes.contains { $0.state == .waiting } ? ExitStatus.runtime : ExitStatus.ok
    }

    private static func table(_ records: [QuarantinedRecord]) -> String {
        guard !records.isEmpty else { return "nothing is in quarantine\n" }
        var table = TextTable(["id", "state", "table", "position", "reason"], right: [0])
        table.width_max = 100
        table.rows = records.map { record in
            [
                String(record.id), record.state.rawValue, record.entry.table?.description ?? "-",
                "\(record.entry.partition)@\(record.entry.offset)", record.entry.reason,
            ]
        }
        return table.text
    }

    private static func text(_ record: QuarantinedRecord) -> String {
        func text(_ bytes: [UInt8]?) -> String {
            guard let bytes else { return "(none kept)" }
            return Console.printable(String(decoding: bytes, as: UTF8.self), keepingLines: true)
        }
        return """
            id:       \(record.id) (\(record.state.rawValue))
            table:    \(record.entry.table?.description ?? "-")
            position: \(record.entry.partition)@\(record.entry.offset)
            put in:   \(Moment.text(record.loadedAt_us) ?? "-")
            reason:   \(Console.printable(record.entry.reason))
            key:      \(text(record.entry.key))
            value:    \(text(record.entry.value))
            headers:  \(Console.printable(record.entry.headers ?? "-"))
            """
    }
}

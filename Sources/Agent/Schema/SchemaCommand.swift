import JSON
import Postgres
import Replication

/// `millrace schema`.
package struct SchemaCommand: Sendable {
    package enum Action: Sendable, Equatable {
        case list
        case show(Int64)
        case approve(Int64)
        case rollBack(Int64)
    }

    package var action: Action
    /// `list` shows those that need nobody, too.
    package var all: Bool

    package init(_ action: Action, all: Bool = false) {
        self.action = action
        self.all = all
    }

    package func run(_ context: CommandContext) async throws {
        let setup = try context.loadSetup()
        let readOnly =
            switch action {
            case .list, .show: true
            case .approve, .rollBack: false
            }
        // A new column gets its values then.
        let appliesRows = if case .approve = action { true } else { false }
        try await context.withControl(setup, readOnly: readOnly, appliesRows: appliesRows) {
            try await run(context, $0)
        }
    }

    package func run(_ context: CommandContext, _ control: any AgentControl) async throws {
        switch action {
        case .list:
            let changes = try await control.schemaChanges().filter { all || $0.state.isOpen }
            context.console.result(
                context.json ? JSONValue.array(changes.map(\.json)).serialized : Self.table(changes))
        case .show(let id):
            guard let change = try await control.schemaChanges().first(where: { $0.id == id }) else {
                throw CommandFailure(
                    ExitStatus.usage, "there is no schema change \(id)", try: "millrace schema list --all")
            }
            show(change, context)
        case .approve(let id): show(try await control.approve(schemaChange: id), context)
        case .rollBack(let id): show(try await control.rollBack(schemaChange: id), context)
        }
    }

    private func show(_ change: SchemaChange, _ context: CommandContext) {
        context.console.result(context.json ? change.json.serialized : Self.text(change))
    }

    private static func table(_ changes: [SchemaChange]) -> String {
        guard !changes.isEmpty else { return "no schema change waits for anybody\n" }
        var table = TextTable(["id", "state", "table", "change", "not before"], right: [0])
        table.width_max = 100
        table.rows = changes.map { change in
            [
                String(change.id), change.state.rawValue, change.table.description, change.what,
                change.dueAt_us.flatMap { Moment.text($0) } ?? "-",
            ]
        }
        return table.text
    }

    private static func text(_ change: SchemaChange) -> String {
        let steps = change.steps.map { "  \(Moment.text($0.at_us) ?? "-")  \(Console.printable($0.what))" }
        return """
            id:         \(change.id) (\(change.state.rawValue))
            table:      \(Console.printable(change.table.description))
            change:     \(Console.printable(change.what)) (\(change.kind.isAdditive ? "additive" : "breaking"))
            position:   \(LSN.text(change.position))
            not before: \(change.dueAt_us.flatMap { Moment.text($0) } ?? "-")
            effect:     \(change.kind.effect)
            steps:
            \(steps.joined(separator: "\n"))
            """
    }
}

extension SchemaChange.Kind {
    /// What is so while it waits, and what approving it does.
    var effect: String {
        switch self {
        case .newTable: "the table is made"
        case .addColumn: "the column is added; earlier rows have its default"
        case .widenType: "the column is widened in place"
        case .dropNotNull: "nothing: columns of the warehouse may be NULL"
        case .dropColumn:
            "the column stays, with its values, and is shown; approved, it is removed when its time has come"
        case .renameColumn:
            "the live view shows both names; approved, the column gets the new one, and the old one goes when its time has come"
        case .changeType:
            "the table is held, its events are in raw; approved, a new column has the values and the old one is kept beside it; rolled back, the column stays as it is"
        case .changeKey:
            "the table is held, its events are in raw; approved, it is made anew under the new key and copied; rolled back, it keeps its key"
        case .setNotNull: "nothing: columns of the warehouse may be NULL"
        case .lowerIdentity: "updates and deletes show less of the row that was there"
        case .dropTable, .renameTable: "its rows stay"
        }
    }
}

extension SchemaChange {
    package var json: JSONValue {
        .object([
            ("id", .integer(id)), ("table", .string(table.description)), ("kind", .string(kind.rawValue)),
            ("class", .string(kind.isAdditive ? "additive" : "breaking")), ("state", .string(state.rawValue)),
            ("change", .string(what)), ("column", .text(column)), ("before", .text(before)), ("after", .text(after)),
            ("position", .string(LSN.text(position))), ("effect", .string(kind.effect)),
            ("detected_at", .moment(detectedAt_us)), ("due_at", dueAt_us.map { .moment($0) } ?? .null),
            ("decided_at", decidedAt_us.map { .moment($0) } ?? .null),
            ("finished_at", finishedAt_us.map { .moment($0) } ?? .null),
            (
                "steps",
                .array(steps.map { .object([("what", .string($0.what)), ("at", .moment($0.at_us))]) })
            ),
            ("row", .array(values.map { .text($0) })),
        ])
    }

    package init?(json: JSONValue) {
        guard let row = json["row"]?.array else { return nil }
        self.init(values: row.map(\.string))
    }
}

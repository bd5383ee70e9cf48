/// `millrace query`.
package struct QueryCommand: Sendable {
    package var sql: String
    /// A position or time of the source: tables are read as they were then.
    package var asOf: String?
    /// Nil: a table on a terminal, JSON lines else.
    package var format: QueryFormat?
    package var rows_max: Int

    package init(sql: String, asOf: String? = nil, format: QueryFormat? = nil, rows_max: Int = 100_000) {
        self.sql = sql
        self.asOf = asOf
        self.format = format
        self.rows_max = rows_max
    }

    package func run(_ context: CommandContext) async throws {
        guard (1...AgentRouter.rows_max).contains(rows_max) else {
            throw CommandFailure(ExitStatus.usage, "--rows-max must be 1 to \(AgentRouter.rows_max)")
        }
        let setup = try context.loadSetup()
        let result = try await context.withControl(setup, readOnly: true) { [self] control in
            try await control.query(sql, asOf: asOf, rows_max: rows_max)
        }
        let format = format ?? (context.json ? .json : context.console.isTerminal ? .table : .jsonl)
        let text = format.text(result)
        if !text.isEmpty { context.console.result(text) }
    }
}

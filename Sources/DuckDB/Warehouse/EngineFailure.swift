import Replication

extension ReplicationError {
    /// What an error of the engine's means to the pipeline.
    ///
    /// - Parameter table: the table whose rows were written, so that a refused value can be pinned on it.
    init(_ error: DuckDBError, table: TableID? = nil) {
        let message = table.map { "\($0): \(error.description)" } ?? error.description
        switch error.kind {
        case .locked(let path, let holder):
            let who = holder.map { "another process (\($0))" } ?? "another process"
            self.init(
                .taken, "\(who) has \(path) open, and DuckDB lets one at a time",
                remedy: "stop it, or ask the agent that runs: millrace status")
        case .constraint, .value:
            self.init(table == nil ? .permanent : .data, message, remedy: error.remedy, table: table)
        case .conflict, .interrupted, .io, .diskFull, .fatal:
            self.init(.passing, message, remedy: error.remedy, table: table)
        case .configuration, .library, .readOnly:
            self.init(.environment, message, remedy: error.remedy, table: table)
        case .outOfMemory, .catalog, .syntax, .closed, .other:
            self.init(.permanent, message, remedy: error.remedy, table: table)
        }
        // A table or a column that somebody took away.
        if case .catalog = error.kind { isTablesOwn = true }
        switch error.kind {
        case .value, .catalog, .syntax: isStatements = true
        default: break
        }
    }

    /// Runs `body` and turns the engine's errors into replication's.
    static func translating<T>(_ table: TableID? = nil, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as DuckDBError {
            throw ReplicationError(error, table: table)
        }
    }
}

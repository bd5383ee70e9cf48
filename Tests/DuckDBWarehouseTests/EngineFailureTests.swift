import Replication
import Testing

@testable import DuckDB

@Suite struct EngineFailureTests {
    /// A statement is at fault where it says what can't be, and not where the engine can't.
    @Test(arguments: [
        (DuckDBError.Kind.catalog, true), (.syntax, true), (.value, true), (.outOfMemory, false), (.io, false),
        (.diskFull, false), (.interrupted, false), (.fatal, false), (.closed, false), (.configuration, false),
        (.other, false),
    ])
    func whoseFaultItIs(kind: DuckDBError.Kind, isStatements: Bool) {
        #expect(ReplicationError(DuckDBError(kind, "")).isStatements == isStatements)
    }

    @Test func whatAUsersStatementMeets() {
        let error = DuckDBError(.catalog, "unrecognized parameter \"4111\"", purpose: "running it")
        #expect(!"\(error.withoutMessage)".contains("4111") && error.withoutMessage.kind == .catalog)
        let full = DuckDBError(.outOfMemory, "no memory")
        #expect(full.withoutMessage == full)
    }
}

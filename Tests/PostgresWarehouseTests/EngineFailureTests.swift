import Replication
import Testing

@testable import Postgres

@Suite struct EngineFailureTests {
    /// A statement is at fault where it says what can't be, and not where the server can't.
    @Test(arguments: [
        ("42883", true), ("42703", true), ("42P01", true), ("22P02", true), ("21000", true), ("0A000", true),
        ("54001", true), ("42501", false), ("57014", false), ("53200", false), ("53100", false), ("08006", false),
        ("25P02", false), ("XX000", false), ("58030", false),
    ])
    func whoseFaultItIs(sqlstate: String, isStatements: Bool) {
        let error = PostgresError(
            kind: PostgresError.classify(sqlstate: sqlstate), sqlstate: sqlstate, message: "", purpose: "ask")
        #expect(ReplicationError(error).isStatements == isStatements)
    }
}

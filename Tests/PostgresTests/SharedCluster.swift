import Dispatch
import Postgres
import ThrowawayPostgres

/// One cluster for all suites that leave it running; its watchdog removes it when the tests end.
enum SharedCluster {
    private static let starting = Task { try await ThrowawayPostgres.start() }

    static var cluster: ThrowawayPostgres {
        get async throws { try await starting.value }
    }

    static var url: String {
        get async throws { try await starting.value.url() }
    }
}

/// Runs blocking calls on a thread of their own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue(label: "test").async { continuation.resume(with: Result { try body() }) }
    }
}

/// A session on a thread of its own, for one test.
@discardableResult
func withSession<Value: Sendable>(
    _ url: String,
    interrupter: Interrupter = Interrupter(),
    _ body: @escaping @Sendable (Session) throws -> Value
) async throws -> Value {
    try await onThread { try body(Session(url: url, interrupter: interrupter)) }
}

/// The error that `body` throws, on a thread of its own; nil if none.
func failure(_ body: @escaping @Sendable () throws -> Void) async throws -> PostgresError? {
    try await onThread {
        do {
            try body()
            return nil
        } catch let error as PostgresError {
            return error
        }
    }
}

/// Asks until the answer is `t`: another session has come to where the test wants it.
func waitUntil(_ sql: String, _ url: String) async throws {
    try await withSession(url) { session in
        while try session.scalar(sql) != "t" { try session.execute("SELECT pg_sleep(0.01)") }
    }
}

import Replication
import Synchronization

/// Answers statements as a test says, and notes what it was asked.
final class ScriptedSnapshot: WarehouseSnapshot {
    enum Call: Equatable { case rows, usersRows, letGo, close, interrupt }

    private let noted = Mutex<[Call]>([])
    private let answer: @Sendable (String) throws -> [[String?]]

    init(_ answer: @escaping @Sendable (String) throws -> [[String?]]) { self.answer = answer }

    var calls: [Call] { noted.withLock { $0 } }
    private func note(_ call: Call) { noted.withLock { $0.append(call) } }

    func rows(_ sql: String) async throws -> [[String?]] {
        note(.rows)
        return try answer(sql)
    }

    func rows(ofUsers sql: String) async throws -> [[String?]] {
        note(.usersRows)
        return try answer(sql)
    }

    /// As a statement does that has no end.
    func waitForInterruption() async throws {
        while !calls.contains(.interrupt) { try await Task.sleep(for: .milliseconds(5)) }
        throw ReplicationError(.passing, "it was interrupted")
    }

    func query(_ query: AsOfQuery, rows_max: Int) async throws -> QueryResult { QueryResult(columns: [], rows: []) }
    func rawEvents(_ table: TableDefinition, page: Int) async throws -> [RawEvent]? { nil }
    func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) async throws -> [RawEvent] { [] }
    func interrupt() { note(.interrupt) }
    func letGo() async throws { note(.letGo) }
    func close() async { note(.close) }
}

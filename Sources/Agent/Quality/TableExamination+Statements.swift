import JSON
import Replication

/// One statement at a time, and whose fault it is where one fails.
extension TableExamination {
    func withSnapshot<R>(_ body: (any WarehouseSnapshot) async throws -> R) async throws -> R {
        let snapshot = try await self.snapshot()
        do {
            let result = try await body(snapshot)
            await snapshot.close()
            return result
        } catch {
            await snapshot.close()
            throw error
        }
    }

    /// Runs one statement, for so long and no longer.
    func limited<R: Sendable>(
        _ snapshot: any WarehouseSnapshot, _ statement: () async throws -> R
    ) async throws -> R {
        guard let limit_s = statement_s_max else { return try await statement() }
        let watch = Task {
            try await Task.sleep(for: .seconds(limit_s))
            snapshot.interrupt()
        }
        defer { watch.cancel() }
        let started = ContinuousClock.now
        do {
            return try await statement()
        } catch let error as ReplicationError
            where error.kind == .passing && ContinuousClock.now - started >= .seconds(limit_s)
        {
            throw Trouble(
                message: "a statement was stopped after \(Int(limit_s)) s, as the agent may have to change the table",
                remedy: "stop the agent, then: millrace quality, which takes its time")
        }
    }

    /// The error that is about what the expectation says; all others are thrown.
    func unevaluated(_ body: () async throws -> Void) async throws -> ReplicationError? {
        do {
            try await body()
            return nil
        } catch let error as ReplicationError where error.isStatements {
            // Where the table itself is gone, no expectation is at fault.
            do {
                _ = try await withSnapshot { snapshot in
                    try await limited(snapshot) { try await snapshot.rows(sql.presence) }
                }
            } catch let error as ReplicationError {
                throw Trouble(message: error.message, remedy: error.remedy)
            }
            return error
        }
    }

    static func reason(_ error: ReplicationError) -> String {
        "the warehouse can't evaluate it: \(error.message)"
    }

    var remedy: String { "millrace query 'select … from \(layout.live).\(table.target)', to see what it says" }

    /// Of rows that are known to fail by then: where their keys can't be had, they fail all the same.
    func keys(_ query: String, ofUsers: Bool = false, _ snapshot: any WarehouseSnapshot) async throws
        -> [String]
    {
        do {
            try await snapshot.letGo()
            return try await limited(snapshot) {
                try await ofUsers ? snapshot.rows(ofUsers: query) : snapshot.rows(query)
            }.map(key)
        } catch is ReplicationError {
            return []
        } catch is Trouble {
            return []
        }
    }

    func numbers(
        _ query: String, _ count: Int, ofUsers: Bool = false, _ snapshot: any WarehouseSnapshot
    ) async throws -> [Int64] {
        let rows = try await limited(snapshot) {
            try await ofUsers ? snapshot.rows(ofUsers: query) : snapshot.rows(query)
        }
        let numbers = rows.first?.compactMap { $0.flatMap { Int64($0) } } ?? []
        guard rows.count == 1, numbers.count == count else {
            throw ReplicationError(.invariant, "\(table.source): the warehouse gave no counts", table: table.source)
        }
        return numbers
    }

    /// A row of key columns as a JSON object.
    private func key(_ cells: [String?]) -> String {
        let members = zip(table.key, cells).map { index, cell -> JSONValue.Member in
            let column = table.columns[index]
            return (column.name, cell.map { Self.value($0, column.type) } ?? .null)
        }
        return JSONValue.object(members).serialized
    }

    private static func value(_ text: String, _ type: ColumnType) -> JSONValue {
        switch type {
        case .smallint, .integer, .bigint, .numeric, .real, .double:
            if let parsed = try? JSONValue(parsing: text), case .number = parsed { return parsed }
        case .boolean: return .bool(text == "t" || text == "true")
        default: break
        }
        return .string(text)
    }
}

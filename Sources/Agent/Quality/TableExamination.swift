import JSON
import Replication

/// Holds one table's expectations against its live view, in snapshots of the warehouse, beside its writer.
struct TableExamination {
    let warehouse: any Warehouse
    let layout: WarehouseLayout
    let table: TableDefinition
    let known: [TableDefinition]
    /// The count of the table's rows 24 hours ago.
    let countBefore: @Sendable (TableDefinition) async throws -> Int64

    /// How many failing rows are named.
    static let keys_max = 10

    private var sql: QualitySQL { QualitySQL(table, layout, engine: warehouse.engine) }

    func rules(_ expectations: [Expectation]) async throws -> [QualityReport.Rule] {
        var rules = expectations.map(QualityReport.Rule.init)
        let ofRows = RowExpectations(expectations, of: table)
        for (index, misfit) in ofRows.misfits { rules[index].fail(.misfit, misfit.message, try: misfit.remedy) }
        for start in stride(from: 0, to: ofRows.rules.count, by: QualitySQL.rules_max) {
            let some = Array(ofRows.rules[start..<min(start + QualitySQL.rules_max, ofRows.rules.count)])
            do {
                try await count(some, expectations, &rules)
            } catch let error as ReplicationError where Self.isOfOneRule(error) {
                // Which of them it is they tell by themselves: a column may be of another type than we made it.
                for rule in some {
                    do {
                        try await count([rule], expectations, &rules)
                    } catch let error as ReplicationError where Self.isOfOneRule(error) {
                        rules[rule.index].fail(.misfit, Self.reason(error), try: remedy)
                    }
                }
            }
        }
        for (index, expectation) in expectations.enumerated() where !expectation.check.isOfRow {
            try await examine(expectation, &rules[index])
        }
        return rules
    }

    private func withSnapshot<R>(_ body: (any WarehouseSnapshot) async throws -> R) async throws -> R {
        let snapshot = try await warehouse.snapshot()
        do {
            let result = try await body(snapshot)
            await snapshot.close()
            return result
        } catch {
            await snapshot.close()
            throw error
        }
    }

    // MARK: Of rows

    private func count(
        _ some: [RowExpectations.Rule], _ expectations: [Expectation], _ rules: inout [QualityReport.Rule]
    ) async throws {
        let counts: [Int64]
        let keys: [[String]]
        (counts, keys) = try await withSnapshot { snapshot in
            let counts = try await numbers(sql.counts(some), 2 * some.count, snapshot)
            var keys = [[String]](repeating: [], count: some.count)
            for (place, rule) in some.enumerated() where counts[2 * place + 1] > 0 {
                guard let query = sql.failingKeys(rule, limit: Self.keys_max) else { continue }
                keys[place] = try await snapshot.rows(query).map(key)
            }
            return (counts, keys)
        }
        for (place, rule) in some.enumerated() {
            settle(
                &rules[rule.index], expectations[rule.index], rows: counts[2 * place], failing: counts[2 * place + 1])
            rules[rule.index].keys = keys[place]
        }
    }

    /// Whether the statement is what the engine can't do, and not the warehouse what can't be reached.
    private static func isOfOneRule(_ error: ReplicationError) -> Bool {
        switch error.kind {
        case .permanent, .data, .configuration: true
        default: false
        }
    }

    private static func reason(_ error: ReplicationError) -> String {
        "the warehouse can't evaluate it: \(error.message)"
    }

    private var remedy: String { "millrace query 'select … from \(layout.live).\(table.target)', to see what it says" }

    private func settle(_ rule: inout QualityReport.Rule, _ expectation: Expectation, rows: Int64, failing: Int64) {
        rule.rows = rows
        rule.failing = failing
        rule.verdict = expectation.mostly.isReached(by: rows - failing, of: rows) ? .pass : .fail
    }

    private func numbers(_ query: String, _ count: Int, _ snapshot: any WarehouseSnapshot) async throws -> [Int64] {
        let rows = try await snapshot.rows(query)
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

    // MARK: Of the table

    private func examine(_ expectation: Expectation, _ rule: inout QualityReport.Rule) async throws {
        if case .rowCount(let range) = expectation.check { return try await examine(range, &rule) }
        let queries: (counts: String, keys: String?)?
        do throws(ColumnTest.Misfit) {
            queries = try self.queries(expectation.check)
        } catch {
            // A column that isn't there is what `exists` is about.
            let isMissing = if case .exists = expectation.check { true } else { false }
            return rule.fail(isMissing ? .fail : .misfit, error.message, try: error.remedy)
        }
        guard let queries else { return }
        do {
            try await withSnapshot { snapshot in
                let numbers = try await numbers(queries.counts, 2, snapshot)
                settle(&rule, expectation, rows: numbers[0], failing: numbers[1])
                if numbers[1] > 0, let keys = queries.keys { rule.keys = try await snapshot.rows(keys).map(key) }
            }
        } catch let error as ReplicationError where error.kind != .passing {
            // The user's own SQL may name what isn't there.
            let isExpression = if case .expression = expectation.check { true } else { false }
            guard isExpression || Self.isOfOneRule(error) else { throw error }
            rule.fail(.misfit, Self.reason(error), try: remedy)
        }
    }

    /// Nil: there is nothing to ask.
    private func queries(_ check: Expectation.Check) throws(ColumnTest.Misfit) -> (counts: String, keys: String?)? {
        let limit = Self.keys_max
        switch check {
        case .unique(let names, let nulls):
            var columns: [Int] = []
            for name in names { columns.append(try table.index(named: name)) }
            return (sql.uniqueCounts(columns, nulls), sql.uniqueKeys(columns, nulls, limit: limit))
        case .foreignKey(let key):
            guard let other = known.first(where: { $0.source.description == key.table }) else {
                throw .init("\(key.table) isn't replicated, or nothing of it has come yet", try: "millrace status")
            }
            let reference = try QualitySQL.Reference(key, of: table, to: other)
            return (sql.foreignKeyCounts(reference), sql.foreignKeyKeys(reference, limit: limit))
        case .expression(let text):
            try QualitySQL.check(expression: text)
            return (sql.expressionCounts(text), sql.expressionKeys(text, limit: limit))
        case .exists(let name):
            _ = try table.index(named: name)
            return nil
        case .rowCount, .notNull, .between, .set, .matches, .length: return nil
        }
    }

    private func examine(_ range: Expectation.RowCount, _ rule: inout QualityReport.Rule) async throws {
        let count = try await withSnapshot { try await numbers(sql.rowCount, 1, $0)[0] }
        rule.rows = count
        if let min = range.min, count < min { return rule.fail(.fail, "\(count) rows, fewer than \(min)") }
        if let max = range.max, count > max { return rule.fail(.fail, "\(count) rows, more than \(max)") }
        guard let change = range.change_max else { return }
        let before: Int64
        do {
            before = try await countBefore(table)
        } catch let error as ReplicationError where error.kind == .configuration {
            return rule.fail(.unknown, "how many rows there were yesterday can't be told: \(error.message)")
        }
        guard !change.allows(from: before, to: count) else { return }
        rule.fail(.fail, "\(count) rows, and \(before) 24 hours ago: a change of more than \(change.text) of them")
    }
}

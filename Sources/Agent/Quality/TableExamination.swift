import Replication

/// Holds one table's expectations against its live view, in snapshots of the warehouse, beside its writer. Between
/// statements no lock of the table is kept: who changes the table waits for one statement at most.
struct TableExamination {
    let engine: String
    let layout: WarehouseLayout
    let table: TableDefinition
    let known: [TableDefinition]
    let snapshot: @Sendable () async throws -> any WarehouseSnapshot
    /// Columns of a table that the warehouse has as hashes.
    var hashed: @Sendable (TableID) -> Set<String> = { _ in [] }
    /// The count of the table's rows 24 hours ago.
    var countBefore: @Sendable (any WarehouseSnapshot) async throws -> Int64 = { _ in 0 }
    /// Nil: statements take as long as they do.
    var statement_s_max: Double?

    init(
        engine: String, layout: WarehouseLayout, table: TableDefinition, known: [TableDefinition],
        snapshot: @escaping @Sendable () async throws -> any WarehouseSnapshot
    ) {
        self.engine = engine
        self.layout = layout
        self.table = table
        self.known = known
        self.snapshot = snapshot
    }

    /// How many failing rows are named.
    static let keys_max = 10

    var sql: QualitySQL { QualitySQL(table, layout, engine: engine) }

    /// What keeps a table from being looked at, and isn't the expectations' fault.
    struct Trouble: Error, Equatable {
        var message: String
        var remedy: String?
    }

    /// With the trouble that ended it early, if any: what wasn't looked at by then is `unknown`.
    func rules(_ expectations: [Expectation]) async throws -> ([QualityReport.Rule], Trouble?) {
        var rules = expectations.map(QualityReport.Rule.init)
        for index in rules.indices { rules[index].fail(.unknown, "it wasn't looked at") }
        do {
            try await examine(expectations, &rules)
            return (rules, nil)
        } catch let trouble as Trouble {
            return (rules, trouble)
        } catch let error as ReplicationError where error.kind != .invariant {
            return (rules, Trouble(message: error.message, remedy: error.remedy))
        }
    }

    private func examine(_ expectations: [Expectation], _ rules: inout [QualityReport.Rule]) async throws {
        let ofRows = RowExpectations(expectations, of: table, hashed: hashed(table.source))
        for (index, misfit) in ofRows.misfits { rules[index].fail(.misfit, misfit.message, try: misfit.remedy) }
        for start in stride(from: 0, to: ofRows.rules.count, by: QualitySQL.rules_max) {
            let some = Array(ofRows.rules[start..<min(start + QualitySQL.rules_max, ofRows.rules.count)])
            guard let error = try await unevaluated({ try await count(some, expectations, &rules) }) else { continue }
            guard some.count > 1 else {
                rules[some[0].index].fail(.misfit, Self.reason(error), try: remedy)
                continue
            }
            // Which of them it is they tell by themselves: a column may be of another type than we made it.
            for rule in some {
                if let error = try await unevaluated({ try await count([rule], expectations, &rules) }) {
                    rules[rule.index].fail(.misfit, Self.reason(error), try: remedy)
                }
            }
        }
        for (index, expectation) in expectations.enumerated() where !expectation.check.isOfRow {
            try await examine(expectation, &rules[index])
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
                keys[place] = try await self.keys(query, snapshot)
            }
            return (counts, keys)
        }
        for (place, rule) in some.enumerated() {
            settle(
                &rules[rule.index], expectations[rule.index], rows: counts[2 * place], failing: counts[2 * place + 1])
            rules[rule.index].keys = keys[place]
        }
    }

    private func settle(_ rule: inout QualityReport.Rule, _ expectation: Expectation, rows: Int64, failing: Int64) {
        rule.rows = rows
        rule.failing = failing
        rule.reason = nil
        rule.verdict = expectation.mostly.isReached(by: rows - failing, of: rows) ? .pass : .fail
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
        guard let queries else {
            rule.verdict = .pass
            rule.reason = nil
            return
        }
        let isUsers = if case .expression = expectation.check { true } else { false }
        let error = try await unevaluated {
            try await withSnapshot { snapshot in
                let numbers = try await numbers(queries.counts, 2, ofUsers: isUsers, snapshot)
                settle(&rule, expectation, rows: numbers[0], failing: numbers[1])
                if numbers[1] > 0, let query = queries.keys {
                    rule.keys = try await keys(query, ofUsers: isUsers, snapshot)
                }
            }
        }
        if let error { rule.fail(.misfit, Self.reason(error), try: remedy) }
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
            let reference = try QualitySQL.Reference(
                key, of: table, to: other, hashed: (hashed(table.source), hashed(other.source)))
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
        rule.verdict = .pass
        rule.reason = nil
        if let min = range.min, count < min { return rule.fail(.fail, "\(count) rows, fewer than \(min)") }
        if let max = range.max, count > max { return rule.fail(.fail, "\(count) rows, more than \(max)") }
        guard let change = range.change_max else { return }
        let before: Int64
        do {
            before = try await withSnapshot { snapshot in
                try await limited(snapshot) { try await countBefore(snapshot) }
            }
        } catch let error as ReplicationError where error.kind == .configuration {
            return rule.fail(.unknown, "how many rows there were yesterday can't be told: \(error.message)")
        } catch let error as Trouble {
            return rule.fail(.unknown, "how many rows there were yesterday can't be told: \(error.message)")
        }
        guard !change.allows(from: before, to: count) else { return }
        rule.fail(.fail, "\(count) rows, and \(before) 24 hours ago: a change of more than \(change.text) of them")
    }
}

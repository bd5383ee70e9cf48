/// Statements that hold a table's expectations against its live view. Every name and value in them is a quoted identifier or
/// a literal, but for the SQL of `expression`, which is the user's.
///
/// Statements give counts and keys, and no other value of a row.
package struct QualitySQL: Sendable {
    package let table: TableDefinition
    private let dialect: SweepDialect
    private let layout: WarehouseLayout

    package init(_ table: TableDefinition, _ layout: WarehouseLayout, engine: String) {
        self.table = table
        self.layout = layout
        dialect = engine == "duckdb" ? .duckdb : .postgres
    }

    /// How many rules one statement takes: servers have a limit of columns.
    package static let rules_max = 200

    /// Whether there is anything that can be looked at.
    package var presence: String { "SELECT 1 FROM \(live(table)) WHERE false" }

    private func live(_ table: TableDefinition) -> String {
        "\(SweepSQL.quoted(layout.live)).\(SweepSQL.quoted(table.target))"
    }

    /// The live view's columns as `c0`, `c1` …, whatever they are called.
    private func numbered(_ table: TableDefinition, _ columns: some Sequence<Int>) -> String {
        let list = Set(columns).union(table.key).sorted().map { "\(shown($0, table)) AS c\($0)" }
        return "(SELECT \(list.isEmpty ? "1 AS c" : list.joined(separator: ", ")) FROM \(live(table))) AS t"
    }

    // MARK: Values that haven't come

    /// The same rows with the map of what is known of their columns (`ColumnVersions`) as `m`, which the live view hasn't.
    private func numberedWithMap(_ columns: [Int]) -> String {
        let names = Set(columns).union(table.key).sorted().map {
            "\(SweepSQL.quoted(table.columns[$0].name)) AS c\($0)"
        }
        return """
            (SELECT \(SweepSQL.quoted(MetadataNames.columns)) AS m, \(names.joined(separator: ", ")) \
            FROM \(SweepSQL.quoted(layout.current)).\(SweepSQL.quoted(table.target)) \
            WHERE \(SweepSQL.quoted(table.metadata.isDeleted)) IS NOT TRUE) AS t
            """
    }

    /// Of what a rule looks at a NULL may stand for a value that hasn't come: whether it is there, nobody knows.
    private func isKnown(_ column: Int) -> String {
        // `"name":[null]` and `"name":[e,c,s,null]`, as maps are written.
        let name = RowPattern.literal(JSONText.quoted(table.columns[column].name), dialect)
        let pattern = SweepSQL.literal("[{,]\(name):\\[([-0-9]+,[-0-9]+,[-0-9]+,)?null\\]")
        let isUnknown = dialect == .duckdb ? "regexp_matches(t.m, \(pattern))" : "t.m ~ \(pattern)"
        return "NOT coalesce(\(isUnknown), false)"
    }

    private func looked(_ rule: RowExpectations.Rule) -> String {
        rule.test.isOfNulls ? isKnown(rule.column) : rule.test.looked("t.c\(rule.column)", dialect)
    }

    private func failing(_ rule: RowExpectations.Rule) -> String {
        let failing = rule.test.failing("t.c\(rule.column)", dialect)
        return rule.test.isOfNulls ? "\(failing) AND \(isKnown(rule.column))" : failing
    }

    private func source(_ rules: [RowExpectations.Rule]) -> String {
        let columns = rules.map(\.column)
        return rules.contains { $0.test.isOfNulls } ? numberedWithMap(columns) : numbered(table, columns)
    }

    private func shown(_ column: Int, _ table: TableDefinition) -> String {
        let name = table.columns[column].name
        return SweepSQL.quoted(table.liveColumns.first { $0.column == name }?.name ?? name)
    }

    // MARK: Keys

    /// The key as texts, in the key's order; a keyless table's rows have no name.
    private func keys(_ value: (Int) -> String) -> String {
        table.key.map { text(value($0), table.columns[$0].type) }.joined(separator: ", ")
    }

    private func text(_ v: String, _ type: ColumnType) -> String {
        guard dialect == .duckdb else { return PostgresText.printed(v) }
        return type == .bytea ? "'\\x' || lower(hex(\(v)))" : "CAST(\(v) AS VARCHAR)"
    }

    /// By the values, not by their texts.
    private func ordered(_ limit: Int) -> String {
        "ORDER BY \(table.key.map { "t.c\($0)" }.joined(separator: ", ")) LIMIT \(limit)"
    }

    // MARK: Of rows

    /// One row of texts: for each rule the rows looked at, and those of them that fail.
    package func counts(_ rules: [RowExpectations.Rule]) -> String {
        let counts = rules.flatMap { [count(looked($0)), count(failing($0))] }
        return "SELECT \(counts.joined(separator: ", ")) FROM \(source(rules))"
    }

    private func count(_ condition: String? = nil) -> String {
        text("count(*)" + (condition.map { " FILTER (WHERE \($0))" } ?? ""))
    }

    private func text(_ number: String) -> String {
        dialect == .duckdb ? "CAST(\(number) AS VARCHAR)" : "(\(number))::text"
    }

    /// Nil for a table without a key, here and below.
    package func failingKeys(_ rule: RowExpectations.Rule, limit: Int) -> String? {
        guard !table.isKeyless else { return nil }
        return """
            SELECT \(keys { "t.c\($0)" }) FROM \(source([rule])) WHERE \(failing(rule)) \(ordered(limit))
            """
    }

    package var rowCount: String { "SELECT \(count()) FROM \(live(table))" }

    /// For `AsOfQuery`, which puts the table's past in the place of its name.
    package static func count(ofPast table: TableDefinition) -> String {
        "SELECT count(*) FROM \(SweepSQL.quoted(table.target))"
    }

    // MARK: Unique

    private func equal(_ column: Int) -> String {
        ComparedSQL.equal("t.c\(column)", table.columns[column].type, dialect)
    }

    private func uniqueLooked(_ columns: [Int], _ nulls: Expectation.UniqueNulls) -> String {
        let there = columns.map { "NOT (\(ColumnTest.isNull("t.c\($0)", table.columns[$0].type, dialect)))" }
        return switch nulls {
        case .any: there.joined(separator: " AND ")
        case .all: "(\(there.joined(separator: " OR ")))"
        case .none: "true"
        }
    }

    /// Each row of those that share their values fails.
    package func uniqueCounts(_ columns: [Int], _ nulls: Expectation.UniqueNulls) -> String {
        let groups = columns.map(equal).joined(separator: ", ")
        return """
            SELECT \(text("coalesce(sum(n), 0)")), \(text("coalesce(sum(CASE WHEN n > 1 THEN n ELSE 0 END), 0)")) \
            FROM (SELECT count(*) AS n FROM \(numbered(table, columns)) \
            WHERE \(uniqueLooked(columns, nulls)) GROUP BY \(groups)) AS g
            """
    }

    package func uniqueKeys(_ columns: [Int], _ nulls: Expectation.UniqueNulls, limit: Int) -> String? {
        guard !table.isKeyless else { return nil }
        let looked = uniqueLooked(columns, nulls)
        let from = numbered(table, columns)
        let named = columns.enumerated().map { "\(equal($1)) AS g\($0)" }.joined(separator: ", ")
        let numbers = columns.indices.map { "\($0 + 1)" }.joined(separator: ", ")
        let same = columns.enumerated().map { "\(equal($1)) IS NOT DISTINCT FROM d.g\($0)" }
        return """
            SELECT \(keys { "t.c\($0)" }) FROM \(from) JOIN (SELECT \(named) FROM \(from) WHERE \(looked) \
            GROUP BY \(numbers) HAVING count(*) > 1 ORDER BY \(numbers) LIMIT \(limit)) AS d \
            ON \(same.joined(separator: " AND ")) WHERE \(looked) \(ordered(limit))
            """
    }

    // MARK: Foreign key

    /// Columns of this table beside those of another.
    package struct Reference: Sendable {
        package let columns: [Int]
        package let table: TableDefinition
        package let to: [Int]

        /// - Parameter hashed: columns that the warehouse has as hashes, of each of the two, by any name of theirs.
        /// - Throws: where their values can't be held against each other.
        package init(
            _ key: Expectation.ForeignKey, of table: TableDefinition, to other: TableDefinition,
            hashed: (own: Set<String>, others: Set<String>) = ([], [])
        ) throws(ColumnTest.Misfit) {
            var columns: [Int] = []
            for name in key.columns { columns.append(try table.index(named: name)) }
            var to: [Int] = []
            for name in key.to ?? other.keyNames { to.append(try other.index(named: name)) }
            guard columns.count == to.count, !to.isEmpty else {
                let names = other.keyNames.joined(separator: ", ")
                throw .init(
                    "the foreign key has \(columns.count) columns, and \(other.source) \(to.count) to hold them against",
                    try: names.isEmpty ? "to: [column]" : "columns: one for each of \(names), or to: [column]")
            }
            for (column, target) in zip(columns, to) {
                let (own, others) = (table.columns[column], other.columns[target])
                let (isHashed, isOtherHashed) = (own.isAny(of: hashed.own), others.isAny(of: hashed.others))
                guard isHashed == isOtherHashed else {
                    let plain = isHashed ? "\(other.source).\(others.name)" : "\(table.source).\(own.name)"
                    throw .init(
                        "of \(own.name) and \(other.source).\(others.name) one is hashed, and the other is not",
                        try:
                            "columns: { hash: [\(isHashed ? others.name : own.name)] }, for \(plain), or neither of them"
                    )
                }
                guard Self.family(own.type) == Self.family(others.type) else {
                    throw .init(
                        "\(own.name) is \(own.type.sql) and \(other.source).\(others.name) is \(others.type.sql)",
                        try: "expect: expression, with a cast")
                }
            }
            self.columns = columns
            self.table = other
            self.to = to
        }

        private static func family(_ type: ColumnType) -> String {
            switch ComparedType(type) {
            case .integer, .decimal: "number"
            case .text, .padded, .uuid: "text"
            case .float: "float"
            case let compared?: "\(compared)"
            case nil: type.sql
            }
        }
    }

    /// The values of both sides, in forms that are equal where they are.
    private func sides(_ reference: Reference) -> (own: [String], others: [String]) {
        let pairs = zip(reference.columns, reference.to).map { column, target in
            let types = (table.columns[column].type, reference.table.columns[target].type)
            let isShared =
                types.0 != types.1 && !(ComparedType(types.0) == .integer && ComparedType(types.1) == .integer)
            return (
                ComparedSQL.equal("t.c\(column)", types.0, dialect, isShared: isShared),
                ComparedSQL.equal("t.c\(target)", types.1, dialect, isShared: isShared)
            )
        }
        return (pairs.map(\.0), pairs.map(\.1))
    }

    /// With what stands behind FROM: `r.g0` is NULL where the row refers to nothing.
    private func referring(_ reference: Reference) -> (from: String, looked: String) {
        let (own, others) = sides(reference)
        let names = others.enumerated().map { "\($1) AS g\($0)" }.joined(separator: ", ")
        let there = reference.to.map { "t.c\($0) IS NOT NULL" }.joined(separator: " AND ")
        let same = own.enumerated().map { "\($1) = r.g\($0)" }.joined(separator: " AND ")
        return (
            """
            \(numbered(table, reference.columns)) LEFT JOIN (SELECT DISTINCT \(names) \
            FROM \(numbered(reference.table, reference.to)) WHERE \(there)) AS r ON \(same)
            """, reference.columns.map { "t.c\($0) IS NOT NULL" }.joined(separator: " AND ")
        )
    }

    package func foreignKeyCounts(_ reference: Reference) -> String {
        let (from, looked) = referring(reference)
        return "SELECT \(count()), \(count("r.g0 IS NULL")) FROM \(from) WHERE \(looked)"
    }

    package func foreignKeyKeys(_ reference: Reference, limit: Int) -> String? {
        guard !table.isKeyless else { return nil }
        let (from, looked) = referring(reference)
        return "SELECT \(keys { "t.c\($0)" }) FROM \(from) WHERE \(looked) AND r.g0 IS NULL \(ordered(limit))"
    }

    // MARK: Expression

    /// - Throws: where the text is no one expression.
    package static func check(expression: String) throws(ColumnTest.Misfit) {
        if expression.utf8.contains(0) { throw .init("the expression holds a NUL character") }
        // What follows it must be read as it stands.
        let words = SQLWords("(\n\(expression)\n) millrace_end").words
        var depth = 0
        for (index, word) in words.enumerated() {
            if word == .sign("(") { depth += 1 }
            if word == .sign(")") { depth -= 1 }
            if word == .sign(";") || word == .escaped || depth == 0 && index < words.count - 2 {
                throw .init("the expression isn't one", try: "sql: total >= 0")
            }
        }
        guard depth == 0, words.last == .name("millrace_end", isQuoted: false), words.count > 3 else {
            throw .init("the expression isn't one: a quote, comment or parenthesis stays open", try: "sql: total >= 0")
        }
    }

    /// Rows for which it is null aren't looked at.
    package func expressionCounts(_ expression: String) -> String {
        """
        SELECT \(text("count(q.x)")), \(count("NOT q.x")) FROM (SELECT (
        \(expression)
        ) AS x FROM \(live(table))) AS q
        """
    }

    package func expressionKeys(_ expression: String, limit: Int) -> String? {
        guard !table.isKeyless else { return nil }
        // Where it says something of several rows it can stand in a SELECT's list, and not behind WHERE.
        return """
            SELECT \(keys { "t.c\($0)" }) FROM (SELECT (
            \(expression)
            ) AS x, \(table.key.sorted().map { "\(shown($0, table)) AS c\($0)" }.joined(separator: ", ")) \
            FROM \(live(table))) AS t WHERE NOT t.x \(ordered(limit))
            """
    }
}

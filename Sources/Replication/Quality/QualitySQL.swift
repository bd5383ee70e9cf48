/// Statements that hold a table's expectations against its live view. Every name and value in them is a quoted identifier or
/// a literal, but for the SQL of `expression`, which is the user's.
///
/// Statements give counts and keys, and no other value of a row.
package struct QualitySQL: Sendable {
    package let table: TableDefinition
    let dialect: SweepDialect
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

    func live(_ table: TableDefinition) -> String {
        "\(SweepSQL.quoted(layout.live)).\(SweepSQL.quoted(table.target))"
    }

    /// The live view's columns as `c0`, `c1` …, whatever they are called.
    func numbered(_ table: TableDefinition, _ columns: some Sequence<Int>) -> String {
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

    func shown(_ column: Int, _ table: TableDefinition) -> String {
        let name = table.columns[column].name
        return SweepSQL.quoted(table.liveColumns.first { $0.column == name }?.name ?? name)
    }

    // MARK: Keys

    /// The key as texts, in the key's order; a keyless table's rows have no name.
    func keys(_ value: (Int) -> String) -> String {
        table.key.map { text(value($0), table.columns[$0].type) }.joined(separator: ", ")
    }

    func text(_ v: String, _ type: ColumnType) -> String {
        guard dialect == .duckdb else { return PostgresText.printed(v) }
        return type == .bytea ? "'\\x' || lower(hex(\(v)))" : "CAST(\(v) AS VARCHAR)"
    }

    /// By the values, not by their texts.
    func ordered(_ limit: Int) -> String {
        "ORDER BY \(table.key.map { "t.c\($0)" }.joined(separator: ", ")) LIMIT \(limit)"
    }

    // MARK: Of rows

    /// One row of texts: for each rule the rows looked at, and those of them that fail.
    package func counts(_ rules: [RowExpectations.Rule]) -> String {
        let counts = rules.flatMap { [count(looked($0)), count(failing($0))] }
        return "SELECT \(counts.joined(separator: ", ")) FROM \(source(rules))"
    }

    func count(_ condition: String? = nil) -> String {
        text("count(*)" + (condition.map { " FILTER (WHERE \($0))" } ?? ""))
    }

    func text(_ number: String) -> String {
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

    /// What two values have in common exactly if they are equal, whatever their type.
    package static func equal(_ v: String, _ type: ColumnType, _ dialect: SweepDialect) -> String {
        ComparedSQL.equal(v, type, dialect)
    }

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
}

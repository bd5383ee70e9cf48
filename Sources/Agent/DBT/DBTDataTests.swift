import Replication

/// A generic test of dbt's own: no package is needed for any.
struct DBTDataTest: Equatable {
    enum Value: Equatable {
        /// dbt renders it.
        case rendered(String)
        /// Goes into the test's SQL as it is.
        case plain(String)
        case texts([String])
        case numbers([String])
        case flag(Bool)
    }

    /// `not_null`, `unique`, `accepted_values` or `relationships`.
    var test: String
    /// Distinct in the project.
    var name: String
    /// The column under which it stands; nil: under the table.
    var column: String?
    var arguments: [(name: String, value: Value)] = []
    var isSoft: Bool

    static func == (a: DBTDataTest, b: DBTDataTest) -> Bool {
        a.test == b.test && a.name == b.name && a.column == b.column && a.isSoft == b.isSoft
            && a.arguments.elementsEqual(b.arguments) { $0.name == $1.name && $0.value == $1.value }
    }
}

/// Tests of a table's source from what is expected of it.
///
/// What dbt has no test for becomes a `not_null` of an expression which is null for rows that fail.
struct DBTDataTests {
    let table: DBTProject.Table
    let project: DBTProject

    private(set) var tests: [DBTDataTest] = []
    /// Expectations without a test, and why.
    private(set) var leftOut: [String] = []

    init(_ table: DBTProject.Table, _ project: DBTProject, names: inout DBTTakenNames) {
        self.table = table
        self.project = project
        leftOut = table.quality.unmapped.map { "\($0.origin): \($0.reason)" }
        let ofRows = RowExpectations(table.quality.expectations, of: definition, hashed: table.hashed)
        for (index, expectation) in table.quality.expectations.enumerated() {
            let check = expectation.check
            do throws(ColumnTest.Misfit) {
                guard expectation.mostly.isAll else { throw .init("dbt has no tests of a part of the rows (mostly)") }
                if let (_, misfit) = ofRows.misfits.first(where: { $0.index == index }) { throw misfit }
                var test: DBTDataTest
                if let rule = ofRows.rules.first(where: { $0.index == index }) {
                    test = ofRow(check, rule)
                } else {
                    test = try ofTable(check)
                }
                test.name = names.take(
                    ([project.layout.pipeline, project.modelName(table), check.name]
                        + check.columns.map { DBTNames.plain($0, or: "column") }).joined(separator: "__"))
                test.isSoft = expectation.severity == .soft
                tests.append(test)
            } catch {
                leftOut.append("\(expectation.origin): \(check.name): \(error.message)")
            }
        }
    }

    private var definition: TableDefinition { table.definition }
    private var dialect: SweepDialect { project.dialect }

    private func shown(_ column: Int) -> String { project.shown(column, of: table) }

    // MARK: Forms

    private func test(_ test: String, of column: Int, _ arguments: [(name: String, value: DBTDataTest.Value)] = [])
        -> DBTDataTest
    {
        let name = shown(column)
        // dbt puts quotes around a column's name, and doubles none that are in it.
        guard DBTText.hasQuote(name) else {
            return DBTDataTest(test: test, name: "", column: name, arguments: arguments, isSoft: false)
        }
        return self.test(test, ofExpression: DBTText.quoted(name), arguments)
    }

    private func test(
        _ test: String, ofExpression expression: String, _ arguments: [(name: String, value: DBTDataTest.Value)] = []
    ) -> DBTDataTest {
        DBTDataTest(
            test: test, name: "", arguments: [("column_name", .plain(expression))] + arguments, isSoft: false)
    }

    private func failing(_ condition: String) -> DBTDataTest {
        test("not_null", ofExpression: "case when not (\(condition)) then 1 end")
    }

    // MARK: Of rows

    private func ofRow(_ check: Expectation.Check, _ rule: RowExpectations.Rule) -> DBTDataTest {
        let type = definition.columns[rule.column].type
        switch check {
        case .notNull:
            // A row of nulls is NULL in SQL, and a value here.
            if type.composite == nil { return test("not_null", of: rule.column) }
        case .set(_, let values, isIn: true):
            if let (list, isText) = accepted(values, type) {
                var arguments: [(name: String, value: DBTDataTest.Value)] = [
                    ("values", isText ? .texts(list) : .numbers(list))
                ]
                if !isText { arguments.append(("quote", .flag(false))) }
                return test("accepted_values", of: rule.column, arguments)
            }
        default: break
        }
        return failing(rule.test.failing(DBTText.quoted(shown(rule.column)), dialect))
    }

    /// As the test writes them between single quotes, or as they are; nil where it would compare otherwise than we do.
    private func accepted(_ values: [String], _ type: ColumnType) -> (values: [String], isText: Bool)? {
        switch type {
        case .smallint, .integer, .bigint:
            let numbers = values.compactMap { Int64($0) }
            return numbers.count == values.count && !numbers.isEmpty ? (numbers.map { "\($0)" }, false) : nil
        case .text:
            // dbt renders them, and may take what it finds for a value of another type.
            guard !values.isEmpty, values.allSatisfy({ !$0.utf8.contains(0x7B) && !$0.utf8.contains(0) }) else {
                return nil
            }
            return (values.map { String(RowDigest.literal($0).unicodeScalars.dropFirst().dropLast()) }, true)
        default: return nil
        }
    }

    // MARK: Of the table

    private func ofTable(_ check: Expectation.Check) throws(ColumnTest.Misfit) -> DBTDataTest {
        switch check {
        case .unique(let names, let nulls):
            var columns: [Int] = []
            for name in names { columns.append(try definition.index(named: name)) }
            if columns.count == 1, nulls != .none { return test("unique", of: columns[0]) }
            return test("unique", ofExpression: tuple(columns, nulls, of: table))
        case .foreignKey(let key): return try reference(key)
        case .expression(let text):
            try QualitySQL.check(expression: text)
            guard !QualitySQL.hasWindow(expression: text) else {
                throw .init("window functions can't stand where dbt's tests have their condition")
            }
            return failing("(\n\(text)\n) is false")
        case .rowCount: throw .init("dbt has no test of it without a package")
        case .exists: throw .init("a model that reads the column says the same")
        case .notNull, .between, .set, .matches, .length: throw .init("it isn't about the table")
        }
    }

    /// One text of several columns, null for rows that aren't looked at.
    private func tuple(
        _ columns: [Int], _ nulls: Expectation.UniqueNulls, of table: DBTProject.Table
    ) -> String {
        let names = columns.map { DBTText.quoted(project.shown($0, of: table)) }
        let text = dialect == .duckdb ? "varchar" : "text"
        let pieces = zip(names, columns).map { name, column in
            let value = "cast(\(QualitySQL.equal(name, table.definition.columns[column].type, dialect)) as \(text))"
            return "coalesce(concat(length(\(value)), ':', \(value)), '-')"
        }
        let there = names.map { "\($0) is not null" }
        let tuple = "concat(\(pieces.joined(separator: ", ")))"
        return switch nulls {
        case .any: "case when \(there.joined(separator: " and ")) then \(tuple) end"
        case .all: "case when \(there.joined(separator: " or ")) then \(tuple) end"
        case .none: tuple
        }
    }

    private func reference(_ key: Expectation.ForeignKey) throws(ColumnTest.Misfit) -> DBTDataTest {
        guard let other = project.tables.first(where: { $0.definition.source.description == key.table }) else {
            throw .init("\(key.table) isn't replicated, or nothing of it has come yet")
        }
        let reference = try QualitySQL.Reference(
            key, of: definition, to: other.definition, hashed: (table.hashed, other.hashed))
        for (column, target) in zip(reference.columns, reference.to) {
            let types = (
                table.types[definition.columns[column].name], other.types[other.definition.columns[target].name]
            )
            let isWhole = [definition.columns[column].type, other.definition.columns[target].type].allSatisfy {
                [.smallint, .integer, .bigint].contains($0)
            }
            guard isWhole || types.0 != nil && types.0 == types.1 else {
                throw .init("the warehouse has the columns of both sides in different types")
            }
        }
        let name = project.modelName(other)
        func arguments(_ field: String) -> [(name: String, value: DBTDataTest.Value)] {
            [
                ("to", .rendered("source('\(project.layout.pipeline)', '\(name)')")),
                ("field", .rendered(DBTText.jinja(field))),
            ]
        }
        guard reference.columns.count > 1 else {
            let field = DBTText.quoted(project.shown(reference.to[0], of: other))
            return test("relationships", of: reference.columns[0], arguments(field))
        }
        return test(
            "relationships", ofExpression: tuple(reference.columns, .any, of: table),
            arguments(tuple(reference.to, .any, of: other)))
    }
}

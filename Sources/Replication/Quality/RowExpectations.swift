/// The expectations of a table that a row by itself can fail, made for its columns as they are now. Made once for a
/// definition; a row costs a look at the columns that are named, and no more.
package struct RowExpectations: Sendable {
    package struct Rule: Sendable {
        /// Index into the table's expectations.
        package let index: Int
        /// Index into the table's columns.
        package let column: Int
        package let test: ColumnTest
    }

    package let rules: [Rule]
    /// Those that can't be held against the table, by their index.
    package let misfits: [(index: Int, misfit: ColumnTest.Misfit)]

    /// - Parameter hashed: columns that the warehouse has as hashes, by any name of theirs.
    package init(_ expectations: [Expectation], of table: TableDefinition, hashed: Set<String> = []) {
        var rules: [Rule] = []
        var misfits: [(index: Int, misfit: ColumnTest.Misfit)] = []
        for (index, expectation) in expectations.enumerated() where expectation.check.isOfRow {
            do throws(ColumnTest.Misfit) {
                let column = try table.index(named: expectation.check.columns.first ?? "")
                if expectation.check.isOfValue, table.columns[column].isAny(of: hashed) {
                    throw .init(
                        "the column \(table.columns[column].name) is hashed, and \(expectation.check.name) would see the hashes",
                        try: "take the expectation out, or the column out of columns.hash")
                }
                let test = try ColumnTest(expectation.check, table.columns[column].type)
                rules.append(Rule(index: index, column: column, test: test))
            } catch {
                misfits.append((index, error))
            }
        }
        self.rules = rules
        self.misfits = misfits
    }

    /// Holds an image of a batch against each rule, in their order.
    ///
    /// - Parameters:
    ///   - image: where it starts in the batch's fields; `width` is its event's.
    ///   - tell: gets the place in `rules`, and the verdict. What is unknown may stand in another image, or in the warehouse.
    package func judge(
        _ image: Int32, width: Int32, in batch: ChangeBatch, _ desk: inout RowDesk,
        _ tell: (_ rule: Int, RowVerdict) -> Void
    ) {
        for index in rules.indices {
            let rule = rules[index]
            tell(index, rule.test.verdict(batch.field(image, rule.column, width: width), in: batch.arena, &desk))
        }
    }
}

extension TableDefinition {
    /// The place of a column that the pipeline file names.
    package func index(named name: String) throws(ColumnTest.Misfit) -> Int {
        if let index = columns.firstIndex(where: { $0.name == name }) ?? index(ofSource: name) { return index }
        guard !columns.isEmpty else { throw .init("nothing is known of its columns yet", try: "millrace run") }
        let shown = columns.prefix(20).map(\.name).joined(separator: ", ")
        throw .init("\(source) has no column \(name)", try: "one of \(shown)\(columns.count > 20 ? ", …" : "")")
    }
}

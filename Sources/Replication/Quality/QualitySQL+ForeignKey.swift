extension QualitySQL {
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
}

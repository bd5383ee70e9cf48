/// SQL that says of a column's values what `verdict` says. Names and values of the file stand in it as quoted identifiers
/// and literals alone.
extension ColumnTest {
    /// Whether it asks for a value at all, and not for one of some kind.
    var isOfNulls: Bool {
        if case .notNull = kind { true } else { false }
    }

    /// Rows that are counted.
    package func looked(_ v: String, _ dialect: SweepDialect) -> String {
        if case .notNull = kind { return "true" }
        return "\(v) IS NOT NULL"
    }

    /// Rows that are counted and aren't as expected.
    package func failing(_ v: String, _ dialect: SweepDialect) -> String {
        if case .notNull = kind { return Self.isNull(v, columnType, dialect) }
        return "\(v) IS NOT NULL AND NOT coalesce(\(passing(v, dialect)), false)"
    }

    /// A row of nulls isn't null.
    static func isNull(_ v: String, _ type: ColumnType, _ dialect: SweepDialect) -> String {
        switch type {
        case .composite where dialect == .postgres, .other where dialect == .postgres: "num_nulls(\(v)) = 1"
        default: "\(v) IS NULL"
        }
    }

    /// Of a value that isn't null.
    private func passing(_ v: String, _ dialect: SweepDialect) -> String {
        guard let type else { return "true" }
        let sql = ComparedSQL(type, columnType, dialect)
        switch kind {
        case .notNull: return "true"
        case .wholes(let range): return Self.range(sql.operand(v), range, sql.whole)
        case .inWholes(let values, let isIn): return Self.set(sql.operand(v), values.map(sql.whole), isIn)
        case .decimals(let range): return sql.decimals(v, range.value)
        case .inDecimals(let values, let isIn):
            let special = values.filter { $0.number == nil }.map(\.text)
            return (isIn ? "" : "NOT ") + "(\(sql.isAny(v, of: values.compactMap(\.number), special: special)))"
        case .floats(let range):
            return "\(sql.isNumber(v)) AND \(Self.range(sql.operand(v), range, sql.float))"
        case .inFloats(let values, let isIn): return Self.set(sql.operand(v), values.map(sql.float), isIn)
        case .texts(let range): return Self.range(sql.operand(v), range.value) { sql.text($0) }
        case .inTexts(let values, let isIn): return Self.set(sql.operand(v), values.map { sql.text($0) }, isIn)
        case .matches(let pattern, let isMatch):
            let text = sql.operand(v)
            let length = dialect == .postgres ? "octet_length(\(text))" : "strlen(\(text))"
            let literal = SweepSQL.literal(pattern.value.sql(dialect))
            let match = dialect == .postgres ? "(\(text)) ~ \(literal)" : "regexp_matches(\(text), \(literal))"
            return """
                CASE WHEN \(length) <= \(RowPattern.text_bytes_max) THEN \(isMatch ? "" : "NOT ")(\(match)) ELSE false END
                """
        case .length(let lengths):
            let length = dialect == .postgres ? "char_length(\(sql.operand(v)))" : "length(\(sql.operand(v)))"
            let tests = [lengths.min.map { "\(length) >= \($0)" }, lengths.max.map { "\(length) <= \($0)" }]
            return Self.all(tests.compactMap { $0 })
        }
    }

    private static func all(_ tests: [String]) -> String { tests.isEmpty ? "true" : tests.joined(separator: " AND ") }

    static func range<Value>(_ v: String, _ range: Range<Value>, _ literal: (Value) -> String) -> String {
        if range.isEmpty { return "false" }
        return all(
            [
                range.min.map { "\(v) \($0.isStrict ? ">" : ">=") \(literal($0.value))" },
                range.max.map { "\(v) \($0.isStrict ? "<" : "<=") \(literal($0.value))" },
            ].compactMap { $0 })
    }

    static func set(_ v: String, _ values: [String], _ isIn: Bool) -> String {
        guard !values.isEmpty else { return isIn ? "false" : "true" }
        return "\(v) \(isIn ? "IN" : "NOT IN") (\(values.joined(separator: ", ")))"
    }
}

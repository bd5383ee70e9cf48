/// Values and literals of one type as an engine compares them.
struct ComparedSQL {
    private let type: ComparedType
    private let columnType: ColumnType
    private let dialect: SweepDialect

    init(_ type: ComparedType, _ columnType: ColumnType, _ dialect: SweepDialect) {
        self.type = type
        self.columnType = columnType
        self.dialect = dialect
    }

    /// What is compared of a column that isn't null.
    func operand(_ v: String) -> String {
        switch (type, dialect) {
        case (.text, .postgres):
            // What isn't a text in the warehouse is compared by what it is printed as.
            return columnType == .text ? "(\(v) COLLATE \"C\")" : "(concat(\(v)) COLLATE \"C\")"
        case (.padded, .postgres): return "(rtrim(concat(\(v)), ' ') COLLATE \"C\")"
        case (.padded, .duckdb): return "rtrim(\(v), ' ')"
        case (.uuid, .postgres): return "((\(v))::text COLLATE \"C\")"
        case (.uuid, .duckdb): return "CAST(\(v) AS VARCHAR)"
        default: return v
        }
    }

    // MARK: Literals

    func text(_ bytes: [UInt8]) -> String { SweepSQL.literal(String(decoding: bytes, as: UTF8.self)) }

    func whole(_ value: Int64) -> String {
        switch type {
        case .boolean: return value == 0 ? "false" : "true"
        case .integer: return cast("\(value)", "bigint")
        default: break
        }
        guard dialect == .duckdb else { return cast(printed(value), postgresName) }
        if value == .max || value == .min { return cast(value == .max ? "infinity" : "-infinity", duckDBName) }
        return switch type {
        case .date: "(DATE '1970-01-01' + CAST('\(value)' AS INTEGER))"
        case .time: cast(printed(value), "TIME")
        // A text before Christ is another there.
        case .timestamp: "make_timestamp(CAST('\(value)' AS BIGINT))"
        default: "make_timestamptz(CAST('\(value)' AS BIGINT))"
        }
    }

    private func printed(_ value: Int64) -> String {
        let kind: Field.Kind =
            switch type {
            case .date: .date
            case .time: .time
            case .timestamp: .timestamp
            default: .timestamptz
            }
        let sink = ByteArena(capacity: 64)
        let range = FieldText.appendPostgresText(
            Field(kind: kind, bits: value), type.calendar ?? .timestamptz, from: sink, to: sink)
        return sink.string(range)
    }

    private var postgresName: String {
        switch type {
        case .date: "date"
        case .time: "time"
        case .timestamp: "timestamp"
        default: "timestamptz"
        }
    }

    private var duckDBName: String { type == .timestamptz ? "TIMESTAMP WITH TIME ZONE" : postgresName.uppercased() }

    func float(_ value: Double) -> String {
        let isSingle = type == .float(isSingle: true)
        let sink = ByteArena(capacity: 64)
        let text = sink.string(
            FieldText.writeDouble(value, isSingle ? .real : .double, form: .postgres, to: sink))
        return dialect == .postgres
            ? cast(text, isSingle ? "float4" : "float8") : cast(text, isSingle ? "FLOAT" : "DOUBLE")
    }

    func isNumber(_ v: String) -> String { dialect == .postgres ? "\(v) <> 'NaN'" : "NOT isnan(\(v))" }

    private func cast(_ text: String, _ name: String) -> String { "CAST(\(SweepSQL.literal(text)) AS \(name))" }

    // MARK: Decimals

    func decimals(_ v: String, _ range: ColumnTest.Range<HeldDecimal>) -> String {
        guard dialect == .duckdb else {
            return "\(isNumber(v)) AND \(ColumnTest.range(v, range) { cast($0.text, "numeric") })"
        }
        guard case .decimal(let precision?, let scale) = type else {
            let key = DuckDBDecimal.key(v)
            return
                "\(key) <> '\(DuckDBDecimal.nan)' AND \(ColumnTest.range(key, range) { SweepSQL.literal($0.number?.key ?? "") })"
        }
        // A bound with more digits than the column has is moved to the number below it.
        var fitted = ColumnTest.Range<String>()
        if let min = range.min, let number = min.value.number {
            let floor = number.floor(scale: scale)
            if floor.wholeDigits > precision - scale {
                fitted.isEmpty = !floor.isNegative
            } else {
                fitted.min = .init(value: floor.text, isStrict: min.isStrict || floor != number)
            }
        }
        if let max = range.max, let number = max.value.number {
            let floor = number.floor(scale: scale)
            if floor.wholeDigits > precision - scale {
                fitted.isEmpty = fitted.isEmpty || floor.isNegative
            } else {
                fitted.max = .init(value: floor.text, isStrict: max.isStrict && floor == number)
            }
        }
        return ColumnTest.range(v, fitted) { cast($0, "DECIMAL(\(precision),\(scale))") }
    }

    func isAny(_ v: String, of values: [ExactDecimal], special: [String]) -> String {
        if dialect == .duckdb {
            guard case .decimal(let precision?, let scale) = type else {
                let words = special.map { SweepSQL.literal(DuckDBDecimal.key(special: $0)) }
                return ColumnTest.set(DuckDBDecimal.key(v), values.map { SweepSQL.literal($0.key) } + words, true)
            }
            let fitting = values.filter { $0.floor(scale: scale) == $0 && $0.wholeDigits <= precision - scale }
            return ColumnTest.set(v, fitting.map { cast($0.text, "DECIMAL(\(precision),\(scale))") }, true)
        }
        let isIn = ColumnTest.set(v, values.map { cast($0.text, "numeric") }, true)
        // Not every server has numerics that are infinite.
        return special.isEmpty
            ? isIn : "\(isIn) OR \(ColumnTest.set("(\(v))::text", special.map(SweepSQL.literal), true))"
    }

    // MARK: Equality

    /// What is the same of two values exactly if they are equal, to group by and to join on; of any type.
    ///
    /// - Parameter isShared: with columns of other types.
    static func equal(_ v: String, _ columnType: ColumnType, _ dialect: SweepDialect, isShared: Bool = false) -> String
    {
        guard let type = ComparedType(columnType) else {
            switch (columnType, dialect) {
            case (.interval, _), (.bytea, _), (.jsonb, .postgres): return v
            case (_, .postgres): return PostgresText.printed(v)
            case (_, .duckdb): return "CAST(\(v) AS VARCHAR)"
            }
        }
        switch (type, dialect) {
        case (.text, .postgres) where columnType != .text:
            return "(\(PostgresText.printed(v)) COLLATE \"C\")"
        case (.padded, .postgres): return "(rtrim(\(PostgresText.printed(v)), ' ') COLLATE \"C\")"
        case (.decimal(nil, _), .duckdb): return DuckDBDecimal.key(v)
        case (.decimal, .duckdb) where isShared, (.integer, .duckdb) where isShared:
            return DuckDBDecimal.key("CAST(\(v) AS VARCHAR)")
        // -0 is 0.
        case (.float, .duckdb): return "(CASE WHEN \(v) = 0 THEN 0 ELSE \(v) END)"
        default: return ComparedSQL(type, columnType, dialect).operand(v)
        }
    }
}

/// Numbers that DuckDB has as texts, since it has no type for them: `ExactDecimal.key` in SQL.
enum DuckDBDecimal {
    static let nan = "3"

    static func key(special word: String) -> String {
        switch word {
        case "NaN": nan
        case "Infinity": "2"
        default: "/"
        }
    }

    /// NULL of NULL, and of what is no number. Names of the table's columns may not be in reach: `p` and `q` are its own.
    static func key(_ v: String) -> String {
        let pattern = "^([-+]?)([0-9]*)[.]?([0-9]*)(?:[eE][+]?(-?[0-9]{1,6}))?$"
        let parts = "regexp_extract(\(v), '\(pattern)', ['s', 'i', 'f', 'e'])"
        let power = "CAST(CASE WHEN p.e = '' THEN '0' ELSE p.e END AS INTEGER)"
        // The point moves over zeros that are put there.
        let padded = "lpad(p.i, CAST(greatest(length(p.i), -\(power)) AS INTEGER), '0')"
        let whole = """
            CASE WHEN \(power) >= 0 THEN p.i || rpad(left(p.f, \(power)), \(power), '0') \
            ELSE left(\(padded), length(\(padded)) + \(power)) END
            """
        let fraction = """
            CASE WHEN \(power) >= 0 THEN substr(p.f, \(power) + 1) \
            ELSE right(\(padded), -\(power)) || p.f END
            """
        let magnitude = "lpad(CAST(length(q.w) AS VARCHAR), 6, '0') || q.w || '.' || q.f"
        let signed = """
            CASE WHEN q.s = '-' AND (q.w <> '' OR q.f <> '') \
            THEN '0' || translate(\(magnitude), '0123456789', '9876543210') || '~' ELSE '1' || \(magnitude) END
            """
        let finite = """
            [[\(signed) FOR q IN [{'s': p.s, 'w': ltrim(\(whole), '0'), 'f': rtrim(\(fraction), '0')}]][1] FOR p IN [\(parts)]][1]
            """
        return """
            (CASE lower(ltrim(\(v), '+')) WHEN 'nan' THEN '\(nan)' WHEN 'infinity' THEN '2' WHEN '-infinity' THEN '/' \
            ELSE CASE WHEN regexp_matches(\(v), '^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{1,6})?$') \
            THEN \(finite) END END)
            """
    }
}

/// Canonical texts in DuckDB, of columns as the warehouse declares them.
struct DuckDBText {
    /// What names of elements begin with: the engine takes a column of the same name for the element.
    private let prefix: String
    /// Inside how many arrays and composites.
    private let depth: Int

    /// - Parameter columns: the names of all columns in the query.
    init(beside columns: [String], depth: Int = 0) {
        var prefix = "_"
        while columns.contains(where: { $0.hasPrefix(prefix) }) { prefix += "_" }
        self.init(prefix: prefix, depth: depth)
    }

    private init(prefix: String, depth: Int) {
        self.prefix = prefix
        self.depth = depth
    }

    private var deeper: DuckDBText { DuckDBText(prefix: prefix, depth: depth + 1) }

    /// - Parameters:
    ///   - v: SQL of the value.
    ///   - isKey: its text is whole, no digest of it.
    /// - Returns: nil for a type that has no canonical text.
    func text(of v: String, _ type: ColumnType, isKey: Bool = false) -> CanonicalText? {
        switch type {
        case .boolean, .smallint, .integer, .bigint, .uuid, .time: return .ended(Self.printed(v))
        case .numeric(let precision?, let scale) where precision == scale && (1...38).contains(precision):
            // The engine has no 0 before the point of what is all fraction.
            let text = Self.printed(v)
            return .ended("CASE WHEN \(v) < 0 THEN '-0' || substr(\(text), 2) ELSE '0' || \(text) END")
        case .numeric(let precision?, let scale) where (1...38).contains(precision) && (0...precision).contains(scale):
            return .ended(Self.printed(v))
        case .numeric, .timetz: return Self.unspoilt(v)
        case .date: return .ended(Self.withEra(v, "DATE '0001-01-01'"))
        case .timestamp: return .ended(Self.withEra(v, "TIMESTAMP '0001-01-01 00:00:00'"))
        case .timestamptz: return .ended(Self.withEra(v, "TIMESTAMPTZ '0001-01-01 00:00:00+00'"))
        case .real:
            let bits = Self.hex("CAST(CAST(\(v) AS BIT) AS UINTEGER)", 8)
            return .ended("CASE WHEN isnan(\(v)) THEN 'nan' ELSE \(bits) END")
        case .double:
            let bits = Self.hex("CAST(CAST(\(v) AS BIT) AS UBIGINT)", 16)
            return .ended("CASE WHEN isnan(\(v)) THEN 'nan' ELSE \(bits) END")
        case .interval: return .ended(Self.interval(v))
        case .bytea: return .ended(isKey ? "lower(hex(\(v)))" : "md5(\(v))")
        case .json, .jsonb:
            guard depth > 0 else { return .ended("md5(\(Self.printed(v)))") }
            let blanks = "' ' || chr(9) || chr(10) || chr(13)"
            return .ended("md5(nullif(trim(\(Self.printed(v)), \(blanks)), 'null'))")
        case .array: return list(v, type)
        case .composite(let composite): return structure(v, composite)
        case .other where type.isHstore: return .ended(map(v))
        case .text, .other: return CanonicalText(sql: v, length: "strlen(\(v))")
        case .unknown: return nil
        }
    }

    static func printed(_ v: String) -> String { "CAST(\(v) AS VARCHAR)" }

    /// A text of a type that has no comma in it, in a column that can hold any: what else stands there is told apart.
    static func unspoilt(_ v: String) -> CanonicalText {
        .ended("CASE WHEN \(v) = '' OR contains(\(v), ',') THEN '!' || md5(\(v)) ELSE \(v) END")
    }

    private static func hex(_ number: String, _ digits: Int) -> String {
        "lower(lpad(hex(\(number)), \(digits), '0'))"
    }

    /// The engine writes `0044-03-15 (BC) 12:00:00`, Postgres `0044-03-15 12:00:00 BC`.
    private static func withEra(_ v: String, _ first: String) -> String {
        """
        CASE WHEN \(v) < \(first) AND isfinite(\(v)) THEN replace(\(printed(v)), ' (BC)', '') || ' BC' \
        ELSE \(printed(v)) END
        """
    }

    /// As `interval_send` has it.
    private static func interval(_ v: String) -> String {
        let time =
            "datepart('hour', \(v)) * 3600000000 + datepart('minute', \(v)) * 60000000 + datepart('microsecond', \(v))"
        let months = "datepart('year', \(v)) * 12 + datepart('month', \(v))"
        // Halves of 32 bits: the engine writes 64 of a negative number.
        let half = { (number: String) in hex("(\(number)) & 4294967295", 8) }
        return "\(hex(time, 16)) || \(half("datepart('day', \(v))")) || \(half(months))"
    }

    /// What an hstore prints: its keys by length, then by bytes.
    private func map(_ v: String) -> String {
        let (entry, pair) = ("\(prefix)m\(depth)", "\(prefix)p\(depth)")
        let quoted = { (text: String) in
            #"concat('"', replace(replace(\#(text), '\', '\\'), '"', '\"'), '"')"#
        }
        let sorted = """
            list_sort([{'l': strlen(\(entry).key), 'k': \(entry).key, 'v': \(entry).value} \
            FOR \(entry) IN map_entries(\(v))])
            """
        return """
            CASE WHEN \(v) IS NOT NULL THEN md5(array_to_string([concat(\(quoted("\(pair).k")), '=>', \
            CASE WHEN \(pair).v IS NULL THEN 'NULL' ELSE \(quoted("\(pair).v")) END) FOR \(pair) IN \(sorted)], ', ')) END
            """
    }

    /// The length of each list in it, and its elements in order.
    private func list(_ v: String, _ type: ColumnType) -> CanonicalText? {
        let leaf = type.leaf
        let element = "\(prefix)x\(depth)"
        var parts = ["CASE WHEN len(\(v)) > 0 THEN \(type.dimensions) END", "','", "len(\(v))", "','"]
        var flat = v
        for _ in stride(from: 2, through: type.dimensions, by: 1) {
            parts += ["array_to_string([concat(len(\(element)), ',') FOR \(element) IN \(flat)], '')", "';'"]
            flat = "flatten(\(flat))"
        }
        guard let text = deeper.text(of: element, leaf) else { return nil }
        if leaf.isListedPlainly {
            parts += ["array_to_string([coalesce(\(text.sql), '') FOR \(element) IN \(flat)], ',')", "','"]
        } else {
            parts.append("array_to_string([\(SweepSQL.concat(text.pieces)) FOR \(element) IN \(flat)], '')")
        }
        return .ended("CASE WHEN \(v) IS NOT NULL THEN md5(\(SweepSQL.concat(parts))) END")
    }

    private func structure(_ v: String, _ composite: CompositeType) -> CanonicalText? {
        var parts: [String] = []
        for field in composite.fields {
            let value = "struct_extract(\(v), \(SweepSQL.literal(field.name)))"
            guard let text = deeper.text(of: value, field.type) else { return nil }
            parts += text.pieces
        }
        return .ended("CASE WHEN \(v) IS NOT NULL THEN md5(\(SweepSQL.concat(parts))) END")
    }

    /// As JSON of texts where it is made of others (JSON's own numbers would be doubles), else the engine's text.
    func value(_ v: String, _ type: ColumnType) -> String {
        switch type {
        case .array, .composite: "CASE WHEN \(v) IS NOT NULL THEN CAST(to_json(\(texts(v, type))) AS VARCHAR) END"
        case .other where type.isHstore: "CAST(to_json(\(v)) AS VARCHAR)"
        default: texts(v, type)
        }
    }

    private func texts(_ v: String, _ type: ColumnType) -> String {
        switch type {
        case .bytea: return #"'\x' || lower(hex(\#(v)))"#
        case .array(let element):
            let item = "\(prefix)x\(depth)"
            return "[\(deeper.texts(item, element)) FOR \(item) IN \(v)]"
        case .composite(let composite):
            let fields = composite.fields.map { field in
                let name = SweepSQL.literal(field.name)
                return "\(name): \(deeper.texts("struct_extract(\(v), \(name))", field.type))"
            }
            return "CASE WHEN \(v) IS NOT NULL THEN {\(fields.joined(separator: ", "))} END"
        default: return Self.printed(v)
        }
    }
}

/// Canonical texts in Postgres, at the source and in a warehouse.
///
/// Where both sides are Postgres, what is made of other values is its own text, which the warehouse got. DuckDB takes
/// it apart, so the source does the same then.
struct PostgresText {
    /// The warehouse's, whose values the texts are to equal.
    let partner: SweepDialect
    /// Whether the server has its texts in UTF-8 itself, as every warehouse does.
    let isUTF8: Bool
    /// Inside how many arrays and composites.
    private let depth: Int

    init(partner: SweepDialect, isUTF8: Bool = true, depth: Int = 0) {
        self.partner = partner
        self.isUTF8 = isUTF8
        self.depth = depth
    }

    private var deeper: PostgresText { PostgresText(partner: partner, isUTF8: isUTF8, depth: depth + 1) }

    /// - Parameters:
    ///   - v: SQL of the value.
    ///   - isKey: its text is whole, no digest of it.
    /// - Returns: nil for a type that has no canonical text.
    func text(of v: String, _ type: ColumnType, isKey: Bool = false) -> CanonicalText? {
        switch type {
        case .boolean, .smallint, .integer, .bigint, .numeric, .uuid: return .ended("(\(v))::text")
        case .date, .time, .timetz, .timestamp, .timestamptz: return .ended("(\(v))::text")
        // By their bits: engines differ in how they print them. NaN has many.
        case .real: return .ended("CASE WHEN \(v) = 'NaN' THEN 'nan' ELSE encode(float4send(\(v)), 'hex') END")
        case .double: return .ended("CASE WHEN \(v) = 'NaN' THEN 'nan' ELSE encode(float8send(\(v)), 'hex') END")
        // Microseconds, days and months, apart.
        case .interval: return .ended("encode(interval_send(\(v)), 'hex')")
        case .text: return CanonicalText(sql: "(\(v))::text", length: "octet_length(\(bytes("(\(v))::text")))")
        case .bytea: return .ended(isKey ? "encode(\(v), 'hex')" : "md5(\(v))")
        case .json, .jsonb: return .ended(md5(json(v, type, isKey: isKey)))
        case .array where partner == .postgres, .composite where partner == .postgres:
            return .ended(md5(Self.printed(v)))
        case .array: return array(v, type)
        case .composite(let composite): return row(v, composite)
        case .other where type.isHstore && partner == .duckdb: return .ended(md5(Self.printed(v)))
        case .other:
            return CanonicalText(
                sql: Self.printed(v),
                length: "CASE WHEN num_nulls(\(v)) = 0 THEN octet_length(\(bytes("concat(\(v))"))) END")
        case .unknown: return nil
        }
    }

    // MARK: For `RowHash.records`

    /// SQL of a value whose binary form is the same as another's exactly if their canonical texts are.
    func sent(_ v: String, _ type: ColumnType, isKey: Bool) -> String? {
        switch type {
        case .smallint, .integer, .bigint: "(\(v))::bigint"
        // Its digits behind the point are in it.
        case .numeric: "(\(v))::numeric"
        case .boolean: "(\(v))::boolean"
        case .date: "(\(v))::date"
        case .time: "(\(v))::time"
        case .timetz: "(\(v))::timetz"
        case .timestamp: "(\(v))::timestamp"
        case .timestamptz: "(\(v))::timestamptz"
        case .interval: "(\(v))::interval"
        case .uuid: "(\(v))::uuid"
        case .bytea: "(\(v))::bytea"
        case .json, .jsonb: json(v, type, isKey: isKey)
        case .array, .composite: Self.printed(v)
        default: text(of: v, type, isKey: isKey)?.sql
        }
    }

    // MARK: Texts

    /// The value's own text, as its output function writes it: a cast takes blanks from char(n) and gives inet a mask.
    /// `IS NULL` is true of a row of NULLs.
    static func printed(_ v: String) -> String { "CASE WHEN num_nulls(\(v)) = 0 THEN concat(\(v)) END" }

    /// Of a column that the warehouse has the hash of.
    static func hashed(_ v: String) -> CanonicalText {
        .ended("encode(sha256(convert_to(\(printed(v)), 'UTF8')), 'hex')")
    }

    /// Its text in a warehouse, where the column can hold any other.
    static func stored(_ v: String) -> CanonicalText {
        .ended("CASE WHEN \(v) = '' OR strpos(\(v), ',') > 0 THEN '!' || md5(\(v)) ELSE \(v) END")
    }

    func md5(_ text: String) -> String { "md5(\(bytes(text)))" }

    private func bytes(_ text: String) -> String { isUTF8 ? text : "convert_to(\(text), 'UTF8')" }

    private func json(_ v: String, _ type: ColumnType, isKey: Bool) -> String {
        // A key needs an order, which json has none of.
        if isKey, type == .json, partner == .postgres { return "(\(v))::jsonb::text" }
        // Inside of others json's null came over as NULL, and blanks around a value didn't.
        return depth == 0 ? "(\(v))::text" : "nullif(btrim((\(v))::text, E' \\t\\n\\r'), 'null')"
    }

    /// Of its dimensions, without lower bounds, and its elements in order.
    private func array(_ v: String, _ type: ColumnType) -> CanonicalText? {
        let leaf = type.leaf
        var parts = ["array_ndims(\(v))", "','", "coalesce(array_length(\(v), 1), 0)", "','"]
        for dimension in stride(from: 2, through: type.dimensions, by: 1) {
            let outer = (1..<dimension).map { "array_length(\(v), \($0))" }.joined(separator: " * ")
            parts += ["repeat(concat(array_length(\(v), \(dimension)), ','), \(outer))", "';'"]
        }
        if leaf.isListedPlainly {
            parts += ["array_to_string(\(v), ',', '')", "','"]
        } else {
            let element = "e\(depth)"
            guard let text = deeper.text(of: element, leaf) else { return nil }
            // In the select list an element that is a row stays one. Nothing stands there that could change the order.
            parts.append(
                """
                (SELECT string_agg(\(SweepSQL.concat(text.pieces)), '') \
                FROM (SELECT unnest(\(v)) AS \(element)) AS u\(depth))
                """)
        }
        return .ended("CASE WHEN \(v) IS NOT NULL THEN \(md5(SweepSQL.concat(parts))) END")
    }

    private func row(_ v: String, _ composite: CompositeType) -> CanonicalText? {
        var parts: [String] = []
        for field in composite.fields {
            guard let text = deeper.text(of: "(\(v)).\(SweepSQL.quoted(field.name))", field.type) else { return nil }
            parts += text.pieces
        }
        return .ended("CASE WHEN num_nulls(\(v)) = 0 THEN \(md5(SweepSQL.concat(parts))) END")
    }

    /// The value as JSON where it is made of others, else its own text: to be compared outside of the engines.
    static func value(_ v: String, _ type: ColumnType) -> String {
        switch type {
        case .array, .composite: "CASE WHEN num_nulls(\(v)) = 0 THEN to_json(\(v))::text END"
        default: printed(v)
        }
    }
}

/// Rows by the first digits of their hashes, and by their keys.
extension RowDigest {
    /// Hex digits of a bucket's name: 4,096 of them.
    package static let bucketDigits = 3

    /// One row for each bucket that has rows: its name and a set's three texts, `SetDigest(row:)` of the last three.
    package func buckets(of relation: String, on side: SweepSide, where filter: String? = nil) -> String {
        let from = from(relation, on: side, filter)
        let bucket = "left(h, \(Self.bucketDigits))"
        if isPostgres(side) {
            // As in `set`: hashed once, summed twice.
            return """
                SELECT \(bucket), count(*)::text, sum((b::bit(64))::bigint)::text, sum(((b << 64)::bit(64))::bigint)::text \
                FROM (SELECT h, ('x' || h)::bit(128) AS b FROM (SELECT \(hash(on: side)) AS h \(from) OFFSET 0) AS hashes \
                OFFSET 0) AS bits GROUP BY 1
                """
        }
        let half = { (end: String) in
            "CAST(sum(CAST(CAST(unhex(\(end)(h, 16)) AS BIT) AS BIGINT)) AS VARCHAR)"
        }
        return """
            SELECT \(bucket), CAST(count(*) AS VARCHAR), \(half("left")), \(half("right")) \
            FROM (SELECT \(hash(on: side)) AS h \(from)) AS hashes GROUP BY 1
            """
    }

    /// As `rows`, of these buckets alone.
    package func rows(
        of relation: String, on side: SweepSide, buckets: [String], where filter: String? = nil
    ) -> String {
        let keys = keys(on: side)
        let named = keys.enumerated().map { "\($0.element) AS k\($0.offset)" } + ["\(hash(on: side)) AS h"]
        let names = keys.indices.map { "k\($0)" } + ["h"]
        let list = buckets.map(SweepSQL.literal).joined(separator: ", ")
        return """
            SELECT \(names.joined(separator: ", ")) FROM (SELECT \(named.joined(separator: ", ")) \
            \(from(relation, on: side, filter))\(isPostgres(side) ? " OFFSET 0" : "")) AS r \
            WHERE left(h, \(Self.bucketDigits)) IN (\(list))
            """
    }

    /// A row for each key of which raw has events that came since then (µs since 1970): the canonical texts of its columns.
    /// Nil where what raw writes of a key isn't a literal of all its columns' types.
    package func keys(inRaw raw: String, since_us: Int64) -> String? {
        var members: [String] = []
        for column in columns where column.isKey {
            guard !column.isHashed, let type = Self.cast(column.type), !column.name.contains("\"") else { return nil }
            let path = warehouse == .duckdb ? "$.\"\(column.name)\"" : column.name
            let text = "(r.key ->> \(SweepSQL.literal(path)))"
            members.append(
                "\(type.isEmpty ? text : "CAST(\(text) AS \(type))") AS \(SweepSQL.quoted(column.name))")
        }
        return """
            SELECT DISTINCT \(keys(on: .warehouse).joined(separator: ", ")) FROM (SELECT \(members.joined(separator: ", ")) \
            FROM \(raw) AS r WHERE r.op <> 't' AND r.loaded_at >= \(Self.moment(since_us)) \
            AND r.key IS NOT NULL AND left(CAST(r.key AS text), 1) = '{') AS t
            """
    }

    /// A time (µs since 1970) as both dialects read it.
    package static func moment(_ time_us: Int64) -> String {
        let (seconds, rest_us) = (time_us / 1_000_000, time_us % 1_000_000)
        return """
            (TIMESTAMPTZ '1970-01-01 00:00:00+00' + INTERVAL '\(seconds) seconds' + INTERVAL '\(rest_us) microseconds')
            """
    }

    /// SQL that chooses the rows of keys, given by their canonical texts; through the key's index where all of its
    /// columns' texts are literals of their types. It may choose more, where the side's equality is wider.
    ///
    /// - Parameter keys: not empty; of each the texts in the columns' order.
    package func filter(keys: [[String]], on side: SweepSide) -> String {
        let columns = self.columns.filter(\.isKey)
        let isTyped = columns.allSatisfy { !$0.isHashed && Self.cast($0.type) != nil }
        let parts = columns.map { column in
            isTyped ? Self.reference(column) : "(\(text(of: column, on: side) ?? Self.reference(column)))"
        }
        func value(_ text: String, _ column: SweepColumn) -> String {
            let literal = SweepSQL.literal(text)
            guard isTyped, let type = Self.cast(column.type), !type.isEmpty else { return literal }
            return "CAST(\(literal) AS \(type))"
        }
        if columns.count == 1 {
            return "\(parts[0]) IN (\(keys.map { value($0[0], columns[0]) }.joined(separator: ", ")))"
        }
        let rows = keys.map { key in
            "(\(zip(key, columns).map { value($0, $1) }.joined(separator: ", ")))"
        }
        let whole = "(\(parts.joined(separator: ", "))) IN (\(rows.joined(separator: ", ")))"
        // What an index may serve stands beside it.
        guard !isTyped else { return whole }
        let helpful = columns.enumerated().compactMap { index, column -> String? in
            guard !column.isHashed, let type = Self.cast(column.type) else { return nil }
            let values = Set(keys.map { $0[index] }).sorted().map { text in
                let literal = SweepSQL.literal(text)
                return type.isEmpty ? literal : "CAST(\(literal) AS \(type))"
            }
            return "\(Self.reference(column)) IN (\(values.joined(separator: ", ")))"
        }
        return (helpful + [whole]).joined(separator: " AND ")
    }

    /// The type that both engines have under this name, whose canonical text is a literal of it; `""`: a text.
    private static func cast(_ type: ColumnType) -> String? {
        switch type {
        case .smallint: "smallint"
        case .integer: "integer"
        case .bigint: "bigint"
        case .uuid: "uuid"
        case .text: ""
        case .boolean: "boolean"
        case .numeric(let precision?, let scale) where (1...38).contains(precision) && (0...precision).contains(scale):
            "numeric(\(precision),\(scale))"
        default: nil
        }
    }
}

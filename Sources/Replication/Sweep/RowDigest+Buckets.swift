/// How rows are divided, so that those that differ are found in a part of them.
package enum RowBuckets: Sendable, Equatable {
    /// By the first digits of their hashes, in 4,096 parts. Whose rows are listed, all are hashed again.
    case hash
    /// By their key, one integer, without its last bits: ranges, which the key's index finds.
    case range(bits: Int)

    package static let hashDigits = 3
    static let hashBits = 4 * hashDigits
    /// Ranges of a table at most.
    package static let ranges_max: Int64 = 4096

    /// Ranges over all keys between the lowest and the highest.
    package static func ranges(from low: Int64, to high: Int64) -> RowBuckets {
        func isFew(_ bits: Int) -> Bool {
            let (count, isTooLarge) = (high >> bits).subtractingReportingOverflow(low >> bits)
            return !isTooLarge && count < ranges_max
        }
        return .range(bits: (0..<63).first(where: isFew) ?? 63)
    }

    /// The bucket's name.
    package func name(ofKey key: [String], hash: String) -> String? {
        switch self {
        case .hash: String(hash.prefix(Self.hashDigits))
        case .range(let bits): key.first.flatMap { Int64($0) }.map { String($0 >> bits) }
        }
    }
}

/// Rows in buckets, and by their keys.
extension RowDigest {
    /// The key's one column where it is an integer on both sides.
    package var integerKey: SweepColumn? {
        let key = columns.filter(\.isKey)
        guard key.count == 1, !key[0].isHashed, key[0].shared != nil else { return nil }
        switch key[0].type {
        case .smallint, .integer, .bigint: return key[0]
        default: return nil
        }
    }

    /// One row of two texts: the lowest and the highest key.
    package func bounds(of relation: String, on side: SweepSide) -> String? {
        integerKey.map { key in
            let k = Self.reference(key, on: side)
            return "SELECT CAST(min(\(k)) AS text), CAST(max(\(k)) AS text) FROM \(relation) AS t"
        }
    }

    /// One row for each bucket that has rows: its name and a set's three texts, `SetDigest(row:)` of the last three.
    package func buckets(
        of relation: String, on side: SweepSide, by way: RowBuckets, where filter: String? = nil
    ) -> String {
        let from = from(relation, on: side, filter)
        var (bits, key): (Int?, String) = (nil, "")
        if case .range(let its) = way, let column = integerKey {
            (bits, key) = (its, ", CAST(\(Self.reference(column, on: side)) AS bigint) AS k")
        }
        if isPostgres(side) {
            let bucket =
                bits.map { "k >> \($0)" } ?? "(high >> \(64 - RowBuckets.hashBits)) & \((1 << RowBuckets.hashBits) - 1)"
            let named = bits == nil ? "lpad(to_hex(\(bucket)), \(RowBuckets.hashDigits), '0')" : "(\(bucket))::text"
            return """
                SELECT \(named), count(*)::text, sum(high)::text, sum(low)::text \
                FROM \(halves(on: side, from, more: key)) GROUP BY \(bucket)
                """
        }
        let bucket = bits.map { "k >> \($0)" } ?? "left(h, \(RowBuckets.hashDigits))"
        let half = { (end: String) in
            "CAST(sum(CAST(CAST(unhex(\(end)(h, 16)) AS BIT) AS BIGINT)) AS VARCHAR)"
        }
        return """
            SELECT CAST(\(bucket) AS VARCHAR), CAST(count(*) AS VARCHAR), \(half("left")), \(half("right")) \
            FROM (SELECT \(hash(on: side)) AS h\(key) \(from)) AS hashes GROUP BY \(bucket)
            """
    }

    /// As `rows`, of these buckets alone.
    package func rows(
        of relation: String, on side: SweepSide, buckets: [String], by way: RowBuckets,
        where filter: String? = nil
    ) -> String {
        if case .range(let bits) = way, let column = integerKey {
            let ranges = ranges(buckets, bits, Self.reference(column, on: side))
            return rows(of: relation, on: side, where: filter.map { "(\($0)) AND (\(ranges))" } ?? ranges)
        }
        let keys = keys(on: side)
        let named = keys.enumerated().map { "\($0.element) AS k\($0.offset)" } + ["\(hash(on: side)) AS h"]
        let names = keys.indices.map { "k\($0)" } + ["h"]
        let list = buckets.map(SweepSQL.literal).joined(separator: ", ")
        return """
            SELECT \(names.joined(separator: ", ")) FROM (SELECT \(named.joined(separator: ", ")) \
            \(from(relation, on: side, filter))\(isPostgres(side) ? " OFFSET 0" : "")) AS r \
            WHERE left(h, \(RowBuckets.hashDigits)) IN (\(list))
            """
    }

    /// SQL that is true of the keys in these ranges; those that lie side by side are one.
    private func ranges(_ buckets: [String], _ bits: Int, _ key: String) -> String {
        var merged: [ClosedRange<Int64>] = []
        for bucket in buckets.compactMap({ Int64($0) }).sorted() {
            if let last = merged.last, last.upperBound + 1 == bucket {
                merged[merged.count - 1] = last.lowerBound...bucket
            } else {
                merged.append(bucket...bucket)
            }
        }
        let parts = merged.map { range in
            "\(key) BETWEEN \(range.lowerBound << bits) AND \((range.upperBound << bits) + ((1 << bits) - 1))"
        }
        return parts.isEmpty ? "FALSE" : parts.joined(separator: " OR ")
    }

    /// A row for each key of which raw has events that came since then (µs since 1970): the canonical texts of its columns.
    /// Nil where what raw writes of a key isn't a literal of all its columns' types.
    package func keys(inRaw raw: String, since_us: Int64) -> String? {
        rawKey.map { key in
            """
            SELECT DISTINCT \(keys(on: .warehouse).joined(separator: ", ")) FROM (SELECT \(key) FROM \(raw) AS r \
            WHERE r.loaded_at >= \(Self.moment(since_us)) AND \(Self.hasKey)) AS t
            """
        }
    }

    /// A row for each of the keys whose newest event in raw is its delete, as `keys(inRaw:since_us:)`.
    package func deleted(inRaw raw: String, _ keys: [[String]]) -> String? {
        rawKey.map { key in
            let names = self.keys(on: .warehouse).joined(separator: ", ")
            let version = [MetadataNames.epoch, MetadataNames.commit, MetadataNames.seq].map { "\"\($0)\" DESC" }
            return """
                SELECT \(names) FROM (SELECT t.*, row_number() OVER (PARTITION BY \(names) ORDER BY \
                \(version.joined(separator: ", "))) AS millrace_place FROM (SELECT \(key), r.op AS millrace_op, \
                r."\(MetadataNames.epoch)", r."\(MetadataNames.commit)", r."\(MetadataNames.seq)" FROM \(raw) AS r \
                WHERE \(Self.hasKey)) AS t WHERE \(filter(keys: keys, on: .warehouse))) AS t \
                WHERE t.millrace_place = 1 AND t.millrace_op = 'd'
                """
        }
    }

    private static let hasKey = "r.op <> 't' AND r.key IS NOT NULL AND left(CAST(r.key AS text), 1) = '{'"

    /// The key's columns as raw's JSON has them.
    private var rawKey: String? {
        var members: [String] = []
        for column in columns where column.isKey {
            guard !column.isHashed, let type = Self.cast(column.type), !column.name.contains("\"") else { return nil }
            let path = warehouse == .duckdb ? "$.\"\(column.name)\"" : column.name
            let text = "(r.key ->> \(SweepSQL.literal(path)))"
            members.append(
                "\(type.isEmpty ? text : "CAST(\(text) AS \(type))") AS \(SweepSQL.quoted(column.name))")
        }
        return members.isEmpty ? nil : members.joined(separator: ", ")
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
            isTyped
                ? Self.reference(column, on: side)
                : "(\(text(of: column, on: side) ?? Self.reference(column, on: side)))"
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
            return "\(Self.reference(column, on: side)) IN (\(values.joined(separator: ", ")))"
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

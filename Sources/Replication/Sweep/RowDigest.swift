/// SQL that digests rows of a table inside both databases, equal exactly if the rows are.
///
/// A row's hash is of the canonical texts of its columns, each told apart from the next (`CanonicalText`), or of their
/// values as a Postgres has them (`RowHash`). Nobody chooses rows so that they collide here, and a sweep is no defence
/// against who can write to the source. A set's digest is the sum of its rows' hashes (`SetDigest`).
///
/// Sessions need `SweepDialect.settings`. A server whose OpenSSL allows no md5 (FIPS) refuses a query that has it.
package struct RowDigest: Sendable {
    /// In the order in which the hash has them.
    package let columns: [SweepColumn]
    /// What the digest doesn't cover: to be compared by `values`.
    package let uncovered: [SweepColumn]
    package let warehouse: SweepDialect
    private let hashing: RowHash
    private let source: PostgresText
    private let postgres: PostgresText
    private let duckdb: DuckDBText

    /// - Parameters:
    ///   - isSourceUTF8: whether the source's `server_encoding` is UTF8.
    ///   - hashing: `.records` between two Postgres only. Of a source that has its texts in other bytes it is `.texts`.
    package init(
        _ columns: [SweepColumn], warehouse: SweepDialect, isSourceUTF8: Bool = true, hashing: RowHash = .texts
    ) {
        precondition(hashing == .texts || warehouse == .postgres)
        self.warehouse = warehouse
        self.hashing = isSourceUTF8 ? hashing : .texts
        let source = PostgresText(partner: warehouse, isUTF8: isSourceUTF8)
        func isCovered(_ column: SweepColumn) -> Bool {
            column.isHashed || column.shared.flatMap { source.text(of: "v", $0) } != nil
        }
        self.columns = columns.filter(isCovered)
        uncovered = columns.filter { !isCovered($0) }
        self.source = source
        postgres = PostgresText(partner: warehouse)
        duckdb = DuckDBText(beside: columns.map(\.name))
    }

    /// Of the columns that a table of the warehouse and its source both have.
    ///
    /// - Parameters:
    ///   - types: of the source's columns, by name.
    ///   - hashed: columns that the warehouse has as hashes.
    ///   - engine: the warehouse's (`Warehouse.engine`).
    package init(
        _ definition: TableDefinition, source types: [String: ColumnType], hashed: Set<String>, engine: String,
        isSourceUTF8: Bool, hashing: RowHash
    ) {
        let columns = definition.columns.enumerated().compactMap { index, column -> SweepColumn? in
            guard let type = types[column.nameAtSource] else { return nil }
            let isHashed = column.isAny(of: hashed)
            return SweepColumn(
                column.name, column.type, isKey: definition.key.contains(index), isHashed: isHashed,
                sourceName: column.sourceName, sourceType: isHashed ? nil : type)
        }
        self.init(
            columns, warehouse: engine == "duckdb" ? .duckdb : .postgres, isSourceUTF8: isSourceUTF8, hashing: hashing)
    }

    /// Of current and a fold of raw, both in the warehouse. JSON's null and NULL are the same there: raw doesn't tell them
    /// apart.
    package init(folded definition: TableDefinition, engine: String) {
        let all = definition.columns.enumerated().map { index, column in
            let isKey = definition.key.contains(index)
            // Both sides have it in the same form, whatever it is.
            let type = column.type == .unknown ? isKey ? .other("") : .json : column.type
            return SweepColumn(column.name, type, isKey: isKey)
        }
        warehouse = engine == "duckdb" ? .duckdb : .postgres
        let text = PostgresText(partner: warehouse, depth: 1)
        let own = DuckDBText(beside: all.map(\.name), depth: 1)
        let isDuckDB = warehouse == .duckdb
        func isCovered(_ column: SweepColumn) -> Bool {
            guard let type = column.shared else { return false }
            return (isDuckDB ? own.text(of: "v", type) : text.text(of: "v", type)) != nil
        }
        columns = all.filter(isCovered)
        uncovered = all.filter { !isCovered($0) }
        hashing = .texts
        source = text
        postgres = text
        duckdb = own
    }

    /// Of some of the columns of another.
    package init(_ columns: [SweepColumn], of other: RowDigest) {
        self.columns = columns
        uncovered = []
        warehouse = other.warehouse
        hashing = other.hashing
        source = other.source
        postgres = other.postgres
        duckdb = other.duckdb
    }

    /// A name as both dialects read it.
    package static func quoted(_ name: String) -> String { SweepSQL.quoted(name) }

    /// A text as both dialects read it.
    package static func literal(_ text: String) -> String { SweepSQL.literal(text) }

    // MARK: Queries

    /// One row of three texts, `SetDigest(row:)`: count and both sums.
    ///
    /// - Parameters:
    ///   - relation: as it stands in SQL, quoted; it is called `t` inside of `filter`.
    ///   - filter: SQL that chooses rows, in the side's own dialect.
    package func set(of relation: String, on side: SweepSide, where filter: String? = nil) -> String {
        let from = from(relation, on: side, filter)
        if isPostgres(side) {
            return """
                SELECT count(*)::text, coalesce(sum(high), 0)::text, coalesce(sum(low), 0)::text \
                FROM \(halves(on: side, from))
                """
        }
        let half = { (end: String) in
            "CAST(coalesce(sum(CAST(CAST(unhex(\(end)(h, 16)) AS BIT) AS BIGINT)), 0) AS VARCHAR)"
        }
        return """
            SELECT CAST(count(*) AS VARCHAR), \(half("left")), \(half("right")) \
            FROM (SELECT \(hash(on: side)) AS h \(from)) AS hashes
            """
    }

    /// One row for each: the canonical texts of its key columns, in the columns' order, and its hash in 32 hex digits.
    package func rows(of relation: String, on side: SweepSide, where filter: String? = nil) -> String {
        "SELECT \((keys(on: side) + ["\(hash(on: side)) AS h"]).joined(separator: ", ")) \(from(relation, on: side, filter))"
    }

    /// One row for each: the canonical texts of its key columns, and its value of each of `columns` as the side prints
    /// it, for all types. What is equal may look different between engines; arrays and composites are JSON, in DuckDB
    /// of texts. For the few rows whose hashes differ, and for `uncovered`.
    package func values(
        of relation: String, on side: SweepSide, _ columns: [SweepColumn], where filter: String? = nil
    ) -> String {
        let texts = keys(on: side) + columns.map { value(of: $0, on: side) }
        return "SELECT \(texts.joined(separator: ", ")) \(from(relation, on: side, filter))"
    }

    func keys(on side: SweepSide) -> [String] {
        columns.filter(\.isKey).compactMap { text(of: $0, on: side) }
    }

    func from(_ relation: String, on side: SweepSide, _ filter: String?) -> String {
        let rows = "FROM \(relation) AS t\(filter.map { " WHERE (\($0))" } ?? "")"
        let all = columns + uncovered
        guard !isPostgres(side), !all.isEmpty else { return rows }
        // No other column may be taken for an element of a list.
        return "FROM (SELECT \(all.map { Self.reference($0, on: side) }.joined(separator: ", ")) \(rows)) AS t"
    }

    /// SQL of a row's hash in 32 hex digits, of one of 64 bits the first 16.
    func hash(on side: SweepSide) -> String {
        switch hashing {
        case .texts:
            let pieces = columns.flatMap { canonical($0, on: side)?.pieces ?? [] }
            let row = pieces.isEmpty ? "''" : SweepSQL.concat(pieces)
            return side == .source ? source.md5(row) : "md5(\(row))"
        case .records: return "(lpad(to_hex(\(record(on: side))), 16, '0') || '\(String(repeating: "0", count: 16))')"
        }
    }

    /// Of a Postgres: a relation with the halves of each row's hash, bigints `high` and `low`, and what `more` names.
    ///
    /// - Parameter more: `, … AS k`, or nothing.
    func halves(on side: SweepSide, _ from: String, more: String = "") -> String {
        let k = more.isEmpty ? "" : ", k"
        // OFFSET 0 keeps what is named from being made anew for each that names it.
        switch hashing {
        case .texts:
            return """
                (SELECT (b::bit(64))::bigint AS high, ((b << 64)::bit(64))::bigint AS low\(k) FROM \
                (SELECT ('x' || \(hash(on: side)))::bit(128) AS b\(more) \(from) OFFSET 0) AS hashes) AS halves
                """
        case .records:
            return "(SELECT \(record(on: side)) AS high, 0 AS low\(more) \(from) OFFSET 0) AS halves"
        }
    }

    private func record(on side: SweepSide) -> String {
        let values = columns.compactMap { column -> String? in
            guard !column.isHashed, let type = column.shared else { return canonical(column, on: side)?.sql }
            let text = side == .source ? source : postgres
            return text.sent(Self.reference(column, on: side), type, isKey: column.isKey)
        }
        return RowHash.sql(values.joined(separator: ", "))
    }

    // MARK: Columns

    private func value(of column: SweepColumn, on side: SweepSide) -> String {
        let v = Self.reference(column, on: side)
        let type = column.shared ?? column.type
        if column.isHashed { return side == .source ? PostgresText.hashed(v).sql : v }
        return isPostgres(side) ? PostgresText.value(v, type) : duckdb.value(v, type)
    }

    /// SQL of a column's canonical text in `t`, NULL of NULL; nil if it has none. Of a long value that isn't in the key
    /// it is a digest.
    func text(of column: SweepColumn, on side: SweepSide) -> String? { canonical(column, on: side)?.sql }

    private func canonical(_ column: SweepColumn, on side: SweepSide) -> CanonicalText? {
        let v = Self.reference(column, on: side)
        if column.isHashed {
            if side == .source { return PostgresText.hashed(v) }
            return warehouse == .postgres ? PostgresText.stored("(\(v))::text") : DuckDBText.unspoilt(v)
        }
        guard let type = column.shared else { return nil }
        return isPostgres(side)
            ? (side == .source ? source : postgres).text(of: v, type, isKey: column.isKey)
            : duckdb.text(of: v, type, isKey: column.isKey)
    }

    func isPostgres(_ side: SweepSide) -> Bool { side == .source || warehouse == .postgres }

    static func reference(_ column: SweepColumn, on side: SweepSide) -> String {
        "t.\(SweepSQL.quoted(side == .source ? column.sourceName : column.name))"
    }
}

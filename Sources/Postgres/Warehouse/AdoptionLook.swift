import Replication

/// Looks at a table that somebody else made, and writes nothing.
struct AdoptionLook {
    let session: Session
    let sql: TableSQL

    /// - Returns: nil where no table stands there.
    func adoption() throws -> Adoption? {
        guard let table = try table() else { return nil }
        let plan = AdoptionPlan(
            table, as: sql.definition,
            metadata: sql.metadataColumns.map { ($0.name, ColumnType(sql: $0.type) ?? .unknown) })
        var adoption = Adoption(plan: plan, rows: 0, deleted: 0, repeatedKeys: 0, repeatedRows: 0)
        guard plan.refusal == nil else { return adoption }
        let isDeleted = try AdoptionSQL(sql: sql, plan: plan).isDeleted() ?? "false"
        let counts = try session.query(
            "SELECT count(*), count(*) FILTER (WHERE \(isDeleted)) FROM \(sql.current)", for: sql.purpose("count"))
        adoption.rows = Int(counts.integer(0, 0) ?? 0)
        adoption.deleted = Int(counts.integer(0, 1) ?? 0)
        guard !sql.definition.isKeyless, try !hasSingleKeys() else { return adoption }
        let repeated = try session.query(
            """
            SELECT count(*), coalesce(sum(n), 0)::bigint FROM (SELECT count(*) AS n FROM \(sql.current) \
            GROUP BY \(sql.keyColumns.joined(separator: ", ")) HAVING count(*) > 1) t
            """, for: sql.purpose("look for repeated keys in"))
        adoption.repeatedKeys = Int(repeated.integer(0, 0) ?? 0)
        adoption.repeatedRows = Int(repeated.integer(0, 1) ?? 0)
        return adoption
    }

    private func table() throws -> ForeignTable? {
        let rows = try session.query(
            """
            SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
            a.atthasdef OR a.attidentity <> '', \
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary \
            AND a.attnum = ANY (i.indkey::int2[])) \
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
            WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') ORDER BY a.attnum
            """, [sql.layout.current, sql.definition.target], for: sql.purpose("look at"))
        guard rows.count > 0 else { return nil }
        let columns = (0..<rows.count).map { row in
            ForeignTable.Column(
                name: rows.text(row, 0), type: ColumnType(sql: rows.text(row, 1)) ?? .unknown,
                typeName: rows.text(row, 1), isNullable: !rows.bool(row, 2), hasDefault: rows.bool(row, 3),
                isInPrimaryKey: rows.bool(row, 4))
        }
        return ForeignTable(
            name: "\(sql.layout.current).\(sql.definition.target)", columns: columns, ignoresCase: false)
    }

    /// A unique index on exactly the key is there.
    func hasSingleKeys() throws -> Bool {
        let names = sql.definition.key.map { sql.definition.columns[$0].name }
        let found = try session.scalar(
            """
            SELECT count(*) FROM pg_index i WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid \
            AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND $2::text[] = ( \
            SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") \
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts)
            """, [sql.current, try arrayText(names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })],
            for: sql.purpose("look at"))
        return found.map { $0 != "0" } ?? false
    }
}

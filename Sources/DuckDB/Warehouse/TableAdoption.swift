import Replication

/// Makes a table that somebody else made into a current table: what of it is in the way is taken away before our columns
/// are added, and these are filled from what theirs tells. Its rows have no version, and so are older than everything.
struct TableAdoption {
    let session: Session
    let sql: TableSQL

    /// - Returns: nil where no table stands there. Reads all of its rows, and writes nothing.
    func look() throws -> Adoption? {
        let catalog = CatalogReader(session: session)
        let (schema, name) = (sql.layout.current, sql.definition.target)
        guard try catalog.kind(schema, name) == .table else { return nil }
        let columns = try catalog.columns(schema, name).map { column in
            ForeignTable.Column(
                name: column.name, type: ColumnType(duckdb: column.sqlType), typeName: column.sqlType,
                isNullable: column.nullable, hasDefault: column.defaultValue != nil)
        }
        let plan = AdoptionPlan(
            ForeignTable(name: "\(schema).\(name)", columns: columns, ignoresCase: true), as: sql.definition,
            metadata: sql.metadataColumns.map { ($0.name, ColumnType(sql: $0.type) ?? .unknown) })
        var adoption = Adoption(plan: plan, rows: 0, deleted: 0, repeatedKeys: 0, repeatedRows: 0)
        guard plan.refusal == nil else { return adoption }
        adoption.isCopied = try catalog.hasKeyConstraint(schema, name)
        try count(&adoption)
        return adoption
    }

    private func count(_ adoption: inout Adoption) throws {
        let isDeleted = AdoptionSQL(sql: sql, plan: adoption.plan).isDeleted ?? "false"
        try session.forEachChunk(
            "SELECT count(*), count(*) FILTER (WHERE \(isDeleted)) FROM \(sql.current)",
            purpose: sql.purpose("counting")
        ) { chunk in
            adoption.rows = Int(chunk.int64(0, 0))
            adoption.deleted = Int(chunk.int64(1, 0))
        }
        guard !sql.definition.isKeyless else { return }
        let key = sql.definition.key.map(sql.column).joined(separator: ", ")
        try session.forEachChunk(
            """
            SELECT count(*), CAST(coalesce(sum(n), 0) AS BIGINT) FROM (SELECT count(*) AS n FROM \(sql.current) \
            GROUP BY \(key) HAVING count(*) > 1)
            """, purpose: sql.purpose("looking for repeated keys in")
        ) { chunk in
            adoption.repeatedKeys = Int(chunk.int64(0, 0))
            adoption.repeatedRows = Int(chunk.int64(1, 0))
        }
    }

    /// Before our columns are added.
    /// - Parameter setAside: renames the table, and says what it is called now.
    func begin(setAside: () throws -> String) throws -> Adoption? {
        guard let adoption = try look() else { return nil }
        if let refusal = adoption.refusal { throw refusal }
        let catalog = CatalogReader(session: session)
        let indexes = try catalog.indexes(sql.layout.current, sql.definition.target)
        guard indexes.isEmpty else {
            let drops = indexes.map { "DROP INDEX \(SQLName.quoted(sql.layout.current, $0));" }
            throw adoption.plan.refused(
                "\(adoption.plan.table.name) has indexes, and DuckDB changes no table that has",
                drops.joined(separator: " "))
        }
        if adoption.isCopied {
            // Rows replace each other within one transaction here, new before old, which a key's constraint refuses; and
            // the engine can't drop one.
            let columns = try catalog.columns(sql.layout.current, sql.definition.target)
            // One that was computed becomes a column of values.
            let generated = try catalog.generated(columns, sql.layout.current, sql.definition.target)
            let theirs = try setAside()
            try run("CREATE TABLE \(sql.current) AS FROM \(theirs)")
            for column in columns where !generated.contains(column.name) {
                guard let value = column.defaultValue else { continue }
                try run("ALTER TABLE \(sql.current) ALTER COLUMN \(SQLName.quoted(column.name)) SET DEFAULT \(value)")
            }
        } else {
            for column in adoption.plan.freed {
                try run("ALTER TABLE \(sql.current) ALTER COLUMN \(SQLName.quoted(column)) DROP NOT NULL")
            }
        }
        return adoption
    }

    /// Once they are there.
    func finish(_ adoption: Adoption) throws {
        if adoption.plan.inPlace.contains(sql.definition.metadata.isDeleted) {
            try run("UPDATE \(sql.current) SET \(sql.isDeleted) = false WHERE \(sql.isDeleted) IS NULL")
        }
        if let fill = AdoptionSQL(sql: sql, plan: adoption.plan).fill { try run(fill) }
    }

    private func run(_ statement: String) throws {
        try session.run(statement, purpose: sql.purpose("adopting"))
    }
}

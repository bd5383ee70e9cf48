import Replication

/// Makes a table that somebody else made into a current table: adds what it lacks, filled from what theirs tells, and
/// keeps its rows, whose version is null and so older than everything.
struct TableAdoption {
    let session: Session
    let sql: TableSQL
    let types: [String]

    /// - Returns: whether its rows may have columns of their own versions, as a pipeline of ours left them.
    func run() throws -> Bool {
        // Its rows stay as they are counted; who reads isn't held up yet.
        try run("LOCK TABLE \(sql.current) IN SHARE ROW EXCLUSIVE MODE")
        let look = AdoptionLook(session: session, sql: sql)
        guard let adoption = try look.adoption() else { return false }
        if let refusal = adoption.refusal { throw refusal }
        let table = sql.definition
        let plan = adoption.plan
        var parts: [String] = []
        for (index, column) in table.columns.enumerated() where plan.added.contains(where: { $0.name == column.name }) {
            parts.append("ADD COLUMN \(sql.columns[index]) \(types[index])")
        }
        for column in sql.metadataColumns where !plan.inPlace.contains(column.name) {
            parts.append("ADD COLUMN \(try quoteIdentifier(column.name)) \(try sql.declaration(column))")
        }
        // Nothing that we write fills them.
        for column in plan.freed { parts.append("ALTER COLUMN \(try quoteIdentifier(column)) DROP NOT NULL") }
        if !parts.isEmpty { try run("ALTER TABLE \(sql.current) \(parts.joined(separator: ", "))") }
        if plan.inPlace.contains(table.metadata.isDeleted) {
            try run(
                """
                UPDATE \(sql.current) SET \(sql.isDeleted) = false WHERE \(sql.isDeleted) IS NULL;
                ALTER TABLE \(sql.current) ALTER COLUMN \(sql.isDeleted) SET DEFAULT false, \
                ALTER COLUMN \(sql.isDeleted) SET NOT NULL
                """)
        }
        if let fill = try AdoptionSQL(sql: sql, plan: plan).fill() { try run(fill) }
        // The upsert needs a unique index on exactly the key.
        if !table.isKeyless, try !look.hasSingleKeys() {
            try run("CREATE UNIQUE INDEX ON \(sql.current) (\(sql.keyColumns.joined(separator: ", ")))")
        }
        try run(sql.currentIndexes)
        return plan.inPlace.contains(MetadataNames.columns)
    }

    private func run(_ statement: String) throws {
        try session.execute(statement, for: sql.purpose("adopt"))
    }
}

import Replication

/// Changes the columns of a current table, inside of a transaction.
struct SchemaSurgeon {
    let session: Session
    /// Of the table as it shall be.
    let sql: TableSQL
    let types: TypeNames

    private var layout: WarehouseLayout { sql.layout }
    private func execute(_ statement: String) throws {
        try session.execute(statement, for: sql.purpose("change the schema of"))
    }

    func run(_ operation: SchemaStep.Operation, _ step: inout SchemaStep) throws {
        switch operation {
        case .addColumn(let column): try add(column, isMaybeThere: false)
        case .widen(let column): try widen(column)
        case .renameColumn(let from, let to):
            try rename(from, to: to)
            try renameInMaps(from, to)
        case .retype(let column, let aside):
            try rename(column.name, to: aside)
            try add(column, isMaybeThere: false)
            let (name, old) = (try quoteIdentifier(column.name), try quoteIdentifier(aside))
            try cast(old, to: name, type(column), where: "\(old) IS NOT NULL")
            try lookBack(name, old, &step)
        case .restore(let column, let from, let aside, let boundary):
            let (name, new) = (try quoteIdentifier(column), try quoteIdentifier(aside))
            try rename(column, to: aside)
            try rename(from, to: column)
            let type = sql.definition.columns.first { $0.name == column }.map { self.type($0) } ?? "text"
            let isLater = boundary.map { version in
                "(\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)) > "
                    + "(\(version.epoch), \(version.commit), \(version.seq))"
            }
            let those = isLater ?? "true"
            // What the copy behind the change read and can't be cast was so before.
            try execute(
                "UPDATE \(sql.current) SET \(name) = NULL WHERE \(those) AND (\(TableSQL.seq) > 0 OR \(new) IS NULL)")
            try cast(new, to: name, type, where: "\(new) IS NOT NULL AND \(those)")
        case .dropColumn(let column):
            try execute("ALTER TABLE \(sql.current) DROP COLUMN \(try quoteIdentifier(column))")
        case .rekey: step.definition.keptTables.append(try rekey())
        }
    }

    func type(_ column: Column) -> String { types.byName(sql.definition)[column.name] ?? "text" }

    /// With what the rows that are there have in it, which the server remembers without writing them.
    func add(_ column: Column, isMaybeThere: Bool) throws {
        let (name, type) = (try quoteIdentifier(column.name), type(column))
        let initial = column.initial?.text
        let isThere = isMaybeThere ? "IF NOT EXISTS " : ""
        let value = try initial.map { " DEFAULT \(try quoteLiteral($0))::\(type)" } ?? ""
        try execute("ALTER TABLE \(sql.current) ADD COLUMN \(isThere)\(name) \(type)\(value)")
        if initial != nil { try execute("ALTER TABLE \(sql.current) ALTER COLUMN \(name) DROP DEFAULT") }
    }

    func widen(_ column: Column) throws {
        try execute("ALTER TABLE \(sql.current) ALTER COLUMN \(try quoteIdentifier(column.name)) TYPE \(type(column))")
    }

    func rename(_ from: String, to: String) throws {
        try execute(
            "ALTER TABLE \(sql.current) RENAME COLUMN \(try quoteIdentifier(from)) TO \(try quoteIdentifier(to))")
    }

    /// All rows at once; where one of them can't be cast, each by itself, and that one stays as it is.
    private func cast(_ from: String, to: String, _ type: String, where those: String) throws {
        let update = "UPDATE \(sql.current) SET \(to) = \(from)::text::\(type) WHERE "
        try execute("SAVEPOINT millrace_cast")
        do {
            try execute(update + those)
        } catch {
            guard let error = error as? PostgresError, error.sqlstate?.hasPrefix("22") == true else { throw error }
            try execute("ROLLBACK TO SAVEPOINT millrace_cast")
            // A row that was written has a new place, which isn't among those that the loop began with.
            let body = """
                DECLARE place tid; BEGIN FOR place IN SELECT ctid FROM \(sql.current) WHERE \(those) LOOP \
                BEGIN \(update) ctid = place; EXCEPTION WHEN data_exception THEN NULL; END; END LOOP; END
                """
            try execute("DO \(try quoteLiteral(body))")
        }
        try execute("RELEASE SAVEPOINT millrace_cast")
    }

    /// Until where rows have what was cast, and how much of that was lost.
    private func lookBack(_ name: String, _ old: String, _ step: inout SchemaStep) throws {
        let lost = try session.scalar(
            "SELECT count(*) FROM \(sql.current) WHERE \(old) IS NOT NULL AND \(name) IS NULL",
            for: sql.purpose("look at"))
        let newest = try session.scalar(
            """
            SELECT ARRAY[\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)]::text FROM \(sql.current) \
            WHERE \(TableSQL.epoch) IS NOT NULL \
            ORDER BY \(TableSQL.epoch) DESC, \(TableSQL.commit) DESC, \(TableSQL.seq) DESC LIMIT 1
            """, for: sql.purpose("look at"))
        step.noteCast(lost: lost.flatMap { Int64($0) } ?? 0, newest: newest)
    }

    /// Members of a map follow `{` or `,` at once, which no text in it does.
    func renameInMaps(_ from: String, _ to: String) throws {
        for lead in ["{", ","] {
            let old = try quoteLiteral("\(lead)\(JSONText.quoted(from)):[")
            let new = try quoteLiteral("\(lead)\(JSONText.quoted(to)):[")
            try execute(
                """
                UPDATE \(sql.current) SET \(TableSQL.map) = replace(\(TableSQL.map), \(old), \(new)) \
                WHERE strpos(\(TableSQL.map), \(old)) > 0
                """)
        }
    }

    /// Gives the name of the table as it was.
    private func rekey() throws -> String {
        let target = sql.definition.target
        var number = 1
        var aside = ""
        repeat {
            let suffix = "_retired_\(number)"
            var base = target
            while base.utf8.count + suffix.utf8.count > TableMaker.nameLength_max { base.removeLast() }
            aside = base + suffix
            number += 1
        } while try session.scalar(
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2",
            [layout.current, aside], for: sql.purpose("look beside")) != nil
        try execute("ALTER TABLE \(sql.current) RENAME TO \(try quoteIdentifier(aside))")
        let old = try quoteIdentifier(schema: layout.current, aside)
        let declared = sql.definition.columns.map { type($0) }
        // Its key's index and others have names of their own: those of the old table stay with it.
        try execute(try sql.createCurrent(declared))
        for column in sql.definition.retired { try add(column, isMaybeThere: false) }
        let columns =
            try
            (sql.definition.columns.map(\.name) + sql.definition.retired.map(\.name)
            + sql.metadataColumns.map(\.name)).map { try quoteIdentifier($0) }.joined(separator: ", ")
        let key = sql.keyColumns
        try execute(
            """
            INSERT INTO \(sql.current) (\(columns)) SELECT DISTINCT ON (\(key.joined(separator: ", "))) \(columns) \
            FROM \(old) WHERE \(key.map { "\($0) IS NOT NULL" }.joined(separator: " AND ")) \
            ORDER BY \(key.joined(separator: ", ")), \(TableSQL.epoch) DESC NULLS LAST, \(TableSQL.commit) DESC, \
            \(TableSQL.seq) DESC
            """)
        return aside
    }

    // MARK: Views

    /// Puts a view in the place of what it was. Where its columns can't just be appended to it is made anew, if nothing
    /// depends on it.
    func show(_ name: String, _ create: String, for purpose: String) throws {
        try session.execute("SAVEPOINT millrace_view", for: purpose)
        do {
            try session.execute(create, for: purpose)
        } catch {
            guard error.sqlstate == "42P16" else { throw error }
            try session.execute("ROLLBACK TO SAVEPOINT millrace_view; DROP VIEW \(name)", for: purpose)
            try session.execute(create, for: purpose)
        }
        try session.execute("RELEASE SAVEPOINT millrace_view", for: purpose)
    }

    func dropViews() throws {
        try execute("DROP VIEW IF EXISTS \(sql.live)")
        if layout.hasRaw { try execute("DROP VIEW IF EXISTS \(sql.history)") }
    }

    /// Statements that give the views' readers back what they have now, and current's where it is made anew.
    func grants() throws -> [String] {
        let rows = try session.query(
            """
            SELECT n.nspname, a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END \
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) a \
            LEFT JOIN pg_roles r ON r.oid = a.grantee \
            WHERE c.relname = $1 AND n.nspname IN ($2, $3, $4) AND a.grantee <> c.relowner \
            AND (a.grantee = 0 OR r.rolname IS NOT NULL)
            """, [sql.definition.target, layout.live, layout.history, layout.current],
            for: sql.purpose("look at the rights on"))
        return try (0..<rows.count).map { row in
            """
            GRANT \(rows.text(row, 1)) ON \(try quoteIdentifier(schema: rows.text(row, 0), sql.definition.target)) \
            TO \(rows.text(row, 2))
            """
        }
    }
}

import CrashPoint
import Replication

extension DuckDBWarehouse {
    package func schemaChanges() async throws -> [SchemaChange] {
        try withSession { session in
            try hasMeta(session) ? MetaTables.schemaChanges(session, layout.pipeline) : []
        }
    }

    package func carryOut(_ decision: SchemaDecision) async throws -> SchemaDecision.Outcome {
        try writing("changing a schema") { session in
            let tables = try TableRegistry(session).entries.filter { $0.pipeline == layout.pipeline }
            let changes = try MetaTables.schemaChanges(session, layout.pipeline)
            let found: SchemaStep?
            do throws(SchemaPlan.Refusal) {
                found = try decision.step(changes, tables.map(\.definition))
            } catch {
                return .refused(error)
            }
            guard var step = found else { return .nothing }
            if step.definition.hasShape {
                var surgeon = SchemaSurgeon(session: session, layout: layout, step: step)
                try surgeon.run()
                step = surgeon.step
            }
            try MetaTables.write([step.change], session, layout.pipeline)
            guard !step.isNote else { return .done(step.change) }
            // Whoever is at work with the table as it was begins anew.
            try session.execute(
                "UPDATE \(MetaTables.name("checkpoints")) SET token = token + 1 WHERE pipeline = ?",
                [.text(layout.pipeline)], purpose: "fencing the agents")
            CrashPoint.ddl.reach()
            return .done(step.change)
        }
    }
}

/// Does a plan's operations on current, inside of a transaction.
struct SchemaSurgeon {
    let session: Session
    let layout: WarehouseLayout
    /// With what was found meanwhile.
    private(set) var step: SchemaStep

    private var sql: TableSQL { TableSQL(step.definition, layout) }
    private func run(_ statement: String) throws {
        try session.run(statement, purpose: sql.purpose("changing the schema of"))
    }

    mutating func run() throws {
        if layout.hasCurrent {
            for operation in step.operations { try run(operation) }
            try run(sql.createLive)
        }
        if layout.hasRaw, layout.hasCurrent || !step.definition.isKeyless { try run(sql.createHistory) }
        let isAdopted = try TableRegistry(session).entry(layout.pipeline, step.change.table)?.isAdopted ?? false
        try TableRegistry.write(step.definition, layout, isAdopted: isAdopted, madeAt_us: nil, session)
        guard step.copiesAnew else { return }
        try session.execute(
            """
            DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = ? AND source_schema = ? AND source_table = ?
            """, [.text(layout.pipeline), .text(step.change.table.schema), .text(step.change.table.table)],
            purpose: "forgetting a copy")
    }

    private mutating func run(_ operation: SchemaStep.Operation) throws {
        let table = "ALTER TABLE \(sql.current)"
        switch operation {
        case .addColumn(let column): for statement in Self.add(column, to: sql.current) { try run(statement) }
        case .widen(let column):
            try run("\(table) ALTER COLUMN \(SQLName.quoted(column.name)) SET DATA TYPE \(ColumnForm(column).sqlType)")
        case .renameColumn(let from, let to):
            try run("\(table) RENAME COLUMN \(SQLName.quoted(from)) TO \(SQLName.quoted(to))")
            for statement in Self.renameInMaps(from, to, of: sql.current) { try run(statement) }
        case .retype(let column, let aside):
            let (name, old, type) = (
                SQLName.quoted(column.name), SQLName.quoted(aside), ColumnForm(column).sqlType
            )
            try run("\(table) RENAME COLUMN \(name) TO \(old)")
            try run("\(table) ADD COLUMN \(name) \(type)")
            try run("UPDATE \(sql.current) SET \(name) = TRY_CAST(\(old) AS \(type))")
            try lookBack(name, old)
        case .restore(let column, let from, let aside, let boundary):
            let (name, kept, new) = (SQLName.quoted(column), SQLName.quoted(from), SQLName.quoted(aside))
            let type = step.definition.columns.first { $0.name == column }.map { ColumnForm($0).sqlType } ?? "VARCHAR"
            try run("\(table) RENAME COLUMN \(name) TO \(new)")
            try run("\(table) RENAME COLUMN \(kept) TO \(name)")
            let isLater = boundary.map { version in
                " WHERE (\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)) > "
                    + "(\(version.epoch), \(version.commit), \(version.seq))"
            }
            let cast = "TRY_CAST(\(new) AS \(type))"
            // What the copy behind the change read and can't be cast was so before.
            try run(
                """
                UPDATE \(sql.current) SET \(name) = CASE WHEN \(TableSQL.seq) = 0 AND \(new) IS NOT NULL \
                THEN coalesce(\(cast), \(name)) ELSE \(cast) END\(isLater ?? "")
                """)
        case .dropColumn(let column): try run("\(table) DROP COLUMN \(SQLName.quoted(column))")
        case .rekey: step.definition.keptTables.append(try rekey())
        }
    }

    /// Until where rows have what was cast, and how much of that was lost.
    private mutating func lookBack(_ name: String, _ old: String) throws {
        try session.forEachChunk(
            """
            SELECT count(*) FILTER (WHERE \(old) IS NOT NULL AND \(name) IS NULL), \
            (SELECT [\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)]::VARCHAR FROM \(sql.current) \
            WHERE \(TableSQL.epoch) IS NOT NULL \
            ORDER BY \(TableSQL.epoch) DESC, \(TableSQL.commit) DESC, \(TableSQL.seq) DESC LIMIT 1) FROM \(sql.current)
            """, purpose: sql.purpose("looking at")
        ) { chunk in
            step.noteCast(lost: chunk.int64(0, 0), newest: chunk.text(1, 0))
        }
    }

    /// What rows that are there have in it: the engine fills them without writing them.
    static func add(_ column: Column, to table: String) -> [String] {
        let form = ColumnForm(column)
        let name = SQLName.quoted(column.name)
        guard let text = column.initial?.text else {
            return ["ALTER TABLE \(table) ADD COLUMN \(name) \(form.sqlType)"]
        }
        return [
            """
            ALTER TABLE \(table) ADD COLUMN \(name) \(form.sqlType) \
            DEFAULT CAST(\(SQLName.literal(text)) AS \(form.sqlType))
            """, "ALTER TABLE \(table) ALTER COLUMN \(name) DROP DEFAULT",
        ]
    }

    /// Members of a map follow `{` or `,` at once, which no text in it does.
    static func renameInMaps(_ from: String, _ to: String, of current: String) -> [String] {
        ["{", ","].map { lead in
            let (old, new) = ("\(lead)\(JSONText.quoted(from)):[", "\(lead)\(JSONText.quoted(to)):[")
            return """
                UPDATE \(current) SET \(TableSQL.map) = replace(\(TableSQL.map), \(SQLName.literal(old)), \
                \(SQLName.literal(new))) WHERE contains(\(TableSQL.map), \(SQLName.literal(old)))
                """
        }
    }

    /// Gives the name of the table as it was.
    private func rekey() throws -> String {
        let catalog = CatalogReader(session: session)
        var number = 1
        while try catalog.kind(layout.current, "\(step.definition.target)_retired_\(number)") != nil { number += 1 }
        let aside = "\(step.definition.target)_retired_\(number)"
        try run("ALTER TABLE \(sql.current) RENAME TO \(SQLName.quoted(aside))")
        let key = step.definition.key.map { sql.column($0) }
        try run(
            """
            CREATE TABLE \(sql.current) AS SELECT * FROM \(SQLName.quoted(layout.current, aside)) \
            WHERE \(key.map { "\($0) IS NOT NULL" }.joined(separator: " AND ")) \
            QUALIFY row_number() OVER (PARTITION BY \(key.joined(separator: ", ")) ORDER BY \
            \(TableSQL.epoch) DESC NULLS LAST, \(TableSQL.commit) DESC, \(TableSQL.seq) DESC) = 1
            """)
        return aside
    }
}

import CrashPoint
import Replication

extension DuckDBWarehouse {
    package func schemaChanges() async throws -> [SchemaChange] {
        try withSession { session in
            try hasMeta(session) ? MetaTables.schemaChanges(session, layout.pipeline) : []
        }
    }

    package func carryOut(_ step: SchemaStep) async throws {
        try writing("changing the schema of \(step.change.table)") { session in
            if step.definition.hasShape {
                try SchemaSurgeon(session: session, layout: layout, step: step).run()
            }
            try MetaTables.write([step.change], session, layout.pipeline)
            // Whoever is at work with the table as it was begins anew.
            try session.execute(
                "UPDATE \(MetaTables.name("checkpoints")) SET token = token + 1 WHERE pipeline = ?",
                [.text(layout.pipeline)], purpose: "fencing the agents")
            CrashPoint.ddl.reach()
        }
    }
}

/// Does a plan's operations on current, inside of a transaction.
struct SchemaSurgeon {
    let session: Session
    let layout: WarehouseLayout
    let step: SchemaStep

    private var sql: TableSQL { TableSQL(step.definition, layout) }
    private func run(_ statement: String) throws {
        try session.run(statement, purpose: sql.purpose("changing the schema of"))
    }

    func run() throws {
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

    private func run(_ operation: SchemaStep.Operation) throws {
        let table = "ALTER TABLE \(sql.current)"
        switch operation {
        case .addColumn(let column): for statement in Self.add(column, to: sql.current) { try run(statement) }
        case .widen(let column):
            try run("\(table) ALTER COLUMN \(SQLName.quoted(column.name)) SET DATA TYPE \(ColumnForm(column).sqlType)")
        case .renameColumn(let from, let to):
            try run("\(table) RENAME COLUMN \(SQLName.quoted(from)) TO \(SQLName.quoted(to))")
            try renameInMaps(from, to)
        case .retype(let column, let aside):
            let (name, old, type) = (
                SQLName.quoted(column.name), SQLName.quoted(aside), ColumnForm(column).sqlType
            )
            try run("\(table) RENAME COLUMN \(name) TO \(old)")
            try run("\(table) ADD COLUMN \(name) \(type)")
            try run("UPDATE \(sql.current) SET \(name) = TRY_CAST(\(old) AS \(type))")
        case .restore(let column, let from, let aside):
            let (name, kept, new) = (SQLName.quoted(column), SQLName.quoted(from), SQLName.quoted(aside))
            let type = step.definition.columns.first { $0.name == column }.map { ColumnForm($0).sqlType } ?? "VARCHAR"
            try run("\(table) RENAME COLUMN \(name) TO \(new)")
            try run("\(table) RENAME COLUMN \(kept) TO \(name)")
            try run(
                """
                UPDATE \(sql.current) SET \(name) = \
                CASE WHEN \(new) IS NOT NULL THEN coalesce(TRY_CAST(\(new) AS \(type)), \(name)) END
                """)
        case .dropColumn(let column): try run("\(table) DROP COLUMN \(SQLName.quoted(column))")
        case .rekey: try rekey()
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
    private func renameInMaps(_ from: String, _ to: String) throws {
        for lead in ["{", ","] {
            let (old, new) = ("\(lead)\(JSONText.quoted(from)):[", "\(lead)\(JSONText.quoted(to)):[")
            try run(
                """
                UPDATE \(sql.current) SET \(TableSQL.map) = replace(\(TableSQL.map), \(SQLName.literal(old)), \
                \(SQLName.literal(new))) WHERE contains(\(TableSQL.map), \(SQLName.literal(old)))
                """)
        }
    }

    private func rekey() throws {
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
    }
}

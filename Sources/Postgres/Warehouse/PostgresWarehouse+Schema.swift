import CrashPoint
import Replication

extension PostgresWarehouse {
    package func schemaChanges() async throws -> [SchemaChange] {
        try read(orNothing: []) { try MetaTables.schemaChanges($0, layout.pipeline) }
    }

    package func carryOut(_ step: SchemaStep) async throws {
        let purpose = "change the schema of \(step.change.table)"
        try write { session in
            let types = try typeNames(step.definition.hasShape ? [step.definition] : [], session)
            try session.transaction(for: purpose) {
                try session.execute("SELECT pg_advisory_xact_lock(\(MetaTables.lockKey))", for: purpose)
                if step.definition.hasShape { try carryOut(step, types, session) }
                try MetaTables.write([step.change], session, layout.pipeline)
                // Whoever is at work with the table as it was begins anew.
                _ = try session.query(
                    "UPDATE \(MetaTables.name("checkpoints")) SET token = token + 1 WHERE pipeline = $1",
                    [layout.pipeline], for: "fence the agents")
                CrashPoint.ddl.reach()
            }
        }
    }

    private func carryOut(_ step: SchemaStep, _ types: TypeNames, _ session: Session) throws {
        let sql = try TableSQL(step.definition, layout)
        let surgeon = SchemaSurgeon(session: session, sql: sql, types: types)
        let grants = try surgeon.grants()
        try surgeon.dropViews()
        if layout.hasCurrent {
            for operation in step.operations { try surgeon.run(operation) }
            try session.execute(try sql.createLive, for: sql.purpose("show"))
        }
        if layout.hasRaw, layout.hasCurrent || !step.definition.isKeyless {
            try session.execute(try sql.createHistory(types), for: sql.purpose("show the history of"))
        }
        for grant in grants { try session.execute(grant, for: sql.purpose("grant rights on")) }
        var registry = try TableRegistry(session)
        let entry = registry.entry(layout.pipeline, step.change.table)
        try registry.write(
            TableRegistry.Entry(
                pipeline: layout.pipeline, definition: step.definition, layout: entry?.layout ?? layout,
                isAdopted: entry?.isAdopted ?? false), session)
        guard step.copiesAnew else { return }
        _ = try session.query(
            """
            DELETE FROM \(MetaTables.name("backfills")) WHERE pipeline = $1 AND source_schema = $2 AND source_table = $3
            """, [layout.pipeline, step.change.table.schema, step.change.table.table], for: "forget a copy")
    }
}

import CrashPoint
import Replication

extension PostgresWarehouse {
    package func schemaChanges() async throws -> [SchemaChange] {
        try read(orNothing: []) { try MetaTables.schemaChanges($0, layout.pipeline) }
    }

    package func carryOut(_ decision: SchemaDecision) async throws -> SchemaDecision.Outcome {
        let purpose = "change a schema"
        return try write { session in
            // Types are asked for in front of the transaction; where that was for another table than there is behind the
            // lock, once more.
            while true {
                let expected = try self.expected(decision, session)
                let table = expected?.definition.hasShape == true ? expected?.definition : nil
                let types = try typeNames(table.map { [$0] } ?? [], session)
                let outcome = try session.transaction(for: purpose) { () throws -> SchemaDecision.Outcome? in
                    try MetaTables.waitForTurn(session, for: purpose)
                    let (changes, tables) = try stored(session)
                    let found: SchemaStep?
                    do throws(SchemaPlan.Refusal) {
                        found = try decision.step(changes, tables)
                    } catch {
                        return .refused(error)
                    }
                    guard var step = found else { return .nothing }
                    guard step.definition == expected?.definition else { return nil }
                    if step.definition.hasShape {
                        do {
                            try carryOut(&step, types, session)
                        } catch let error as PostgresError {
                            throw ReplicationError(error, table: step.definition, who: connectedAs)
                        }
                    }
                    try MetaTables.write([step.change], session, layout.pipeline)
                    guard !step.isNote else { return .done(step.change) }
                    // Whoever is at work with the table as it was begins anew.
                    _ = try session.query(
                        "UPDATE \(MetaTables.name("checkpoints")) SET token = token + 1 WHERE pipeline = $1",
                        [layout.pipeline], for: "fence the agents")
                    CrashPoint.ddl.reach()
                    return .done(step.change)
                }
                if let outcome { return outcome }
            }
        }
    }

    private func stored(_ session: Session) throws -> ([SchemaChange], [TableDefinition]) {
        let tables = try TableRegistry(session).entries.filter { $0.pipeline == layout.pipeline }
        return (try MetaTables.schemaChanges(session, layout.pipeline), tables.map(\.definition))
    }

    private func expected(_ decision: SchemaDecision, _ session: Session) throws -> SchemaStep? {
        let (changes, tables) = try stored(session)
        do throws(SchemaPlan.Refusal) {
            return try decision.step(changes, tables)
        } catch {
            return nil
        }
    }

    private func carryOut(_ step: inout SchemaStep, _ types: TypeNames, _ session: Session) throws {
        try lock(step.change.table, session)
        let sql = try TableSQL(step.definition, layout)
        let surgeon = SchemaSurgeon(session: session, sql: sql, types: types)
        let grants = try surgeon.grants()
        // Views of other people may hang on ours: those are dropped only where they stand in the way themselves.
        if step.operations.contains(where: \.changesShownColumns) { try surgeon.dropViews() }
        if layout.hasCurrent {
            for operation in step.operations { try surgeon.run(operation, &step) }
            try surgeon.show(sql.live, try sql.createLive, for: sql.purpose("show"))
        }
        if layout.hasRaw, layout.hasCurrent || !step.definition.isKeyless {
            try surgeon.show(sql.history, try sql.createHistory(types), for: sql.purpose("show the history of"))
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

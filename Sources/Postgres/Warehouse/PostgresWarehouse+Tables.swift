import CrashPoint
import Replication

extension PostgresWarehouse {
    package func knownTables() async throws -> [TableDefinition] {
        try read(orNothing: []) { session in
            try TableRegistry(session).entries.filter { $0.pipeline == layout.pipeline }.map(\.definition)
                .sorted { $0.source < $1.source }
        }
    }

    package func foreignTable(at definition: TableDefinition) async throws -> [Column]? {
        try work { session in
            guard try !isOurs(definition, session) else { return nil }
            let rows = try session.query(
                """
                SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
                EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary \
                AND a.attnum = ANY (i.indkey::int2[])) \
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum
                """, [layout.current, definition.target],
                for: "look for \(layout.current).\(definition.target)")
            guard rows.count > 0 else { return nil }
            return (0..<rows.count).map { row in
                Column(
                    name: rows.text(row, 0), type: ColumnType(sql: rows.text(row, 1)) ?? .unknown,
                    isKey: rows.bool(row, 3), nullable: !rows.bool(row, 2))
            }
        }
    }

    package func adoption(of definition: TableDefinition) async throws -> Adoption? {
        try work { session in
            guard try !isOurs(definition, session) else { return nil }
            return try AdoptionLook(session: session, sql: try TableSQL(definition, layout)).adoption()
        }
    }

    package func hasForeignRows(at definition: TableDefinition) async throws -> Bool {
        try work { session in
            let sql = try TableSQL(definition, layout)
            let kind = try session.scalar(
                """
                SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
                """, [layout.current, definition.target], for: sql.purpose("look for"))
            guard kind != nil, try !isOurs(definition, session) else { return false }
            return try session.scalar("SELECT EXISTS (SELECT FROM \(sql.current))", for: sql.purpose("look at")) == "t"
        }
    }

    private func isOurs(_ definition: TableDefinition, _ session: Session) throws -> Bool {
        guard try MetaTables.version(session) != nil,
            let known = try TableRegistry(session).entry(layout.pipeline, definition.source)
        else { return false }
        return known.layout.hasCurrent && known.definition.hasShape && known.definition.target == definition.target
    }

    package func ensure(_ tables: [TableDefinition], recording changes: [SchemaChange]) async throws {
        guard !tables.isEmpty || !changes.isEmpty else { return }
        try write { session in
            let types = try typeNames(tables, session)
            try session.transaction(for: "make tables") {
                try MetaTables.waitForTurn(session, for: "make tables")
                // Read again behind the lock: another agent may have made them a moment ago.
                let registry = try TableRegistry(session)
                var maker = TableMaker(session, layout, registry, types)
                for table in tables.sorted(by: { $0.source < $1.source }) {
                    do {
                        let known = registry.entry(layout.pipeline, table.source)?.definition
                        if let known, !known.isLaidOut(as: table) { try lock(table.source, session) }
                        try maker.ensure(table, recording: changes)
                    } catch let error as PostgresError {
                        var failure = ReplicationError(error, table: table, who: connectedAs)
                        // Nothing was written that a value could be at fault for.
                        if failure.kind == .data { failure.kind = .permanent }
                        throw failure
                    }
                }
                if !changes.isEmpty {
                    let before = try MetaTables.schemaChanges(session, layout.pipeline)
                    let made = SchemaChange.new(changes, beside: before, now_us: nextLoadedAt_us())
                    try MetaTables.write(made, session, layout.pipeline)
                }
                CrashPoint.ddl.reach()
            }
        }
    }

    /// Before a table's definition changes: commits in hand read it behind their shared lock, and write by it.
    func lock(_ table: TableID, _ session: Session) throws {
        let key = SQLText.lockKey(layout.pipeline, table.schema, table.table)
        try session.execute("SELECT pg_advisory_xact_lock(\(key))", for: "lock \(table)")
    }

    /// What the server must be asked before a transaction begins.
    func typeNames(_ tables: [TableDefinition], _ session: Session) throws -> TypeNames {
        var types = TypeNames()
        let known = try TableRegistry(session)
        for table in tables {
            try types.learn(table, session)
            if let entry = known.entry(layout.pipeline, table.source) { try types.learn(entry.definition, session) }
        }
        return types
    }

    package func drop(tables: Bool) async throws {
        // What the session has prepared for the tables goes with them.
        defer { close() }
        try write { session in
            guard try MetaTables.version(session) != nil else { return }
            try session.transaction(for: "drop the pipeline") {
                try MetaTables.waitForTurn(session, for: "drop the pipeline")
                let registry = try TableRegistry(session)
                if tables {
                    for entry in registry.entries where entry.pipeline == layout.pipeline {
                        try drop(entry, session)
                    }
                    try dropEmptySchemas(session, keeping: registry.entries.filter { $0.pipeline != layout.pipeline })
                }
                let pipeline = try quoteLiteral(layout.pipeline)
                for table in MetaTables.perPipeline {
                    try session.execute(
                        "DELETE FROM \(MetaTables.name(table)) WHERE pipeline = \(pipeline)", for: "drop the pipeline")
                }
            }
        }
    }

    /// An adopted table is somebody else's: it stays, with its rows.
    private func drop(_ entry: TableRegistry.Entry, _ session: Session) throws {
        let sql = try TableSQL(entry.definition, entry.layout)
        let purpose = sql.purpose("drop")
        var statements: [String] = []
        if entry.layout.hasRaw { statements.append("DROP VIEW IF EXISTS \(sql.history)") }
        if entry.layout.hasCurrent { statements.append("DROP VIEW IF EXISTS \(sql.live)") }
        if entry.layout.hasRaw { statements.append("DROP TABLE IF EXISTS \(sql.raw)") }
        if entry.layout.hasCurrent, !entry.isAdopted {
            let kept = try entry.definition.keptTables.map { try quoteIdentifier(schema: entry.layout.current, $0) }
            statements += ([sql.current] + kept).map { "DROP TABLE IF EXISTS \($0)" }
        }
        for statement in statements { try session.execute(statement, for: purpose) }
    }

    private func dropEmptySchemas(_ session: Session, keeping others: [TableRegistry.Entry]) throws {
        let kept = Set(others.flatMap { [$0.layout.current, $0.layout.raw, $0.layout.live, $0.layout.history] })
        for schema in Set([layout.current, layout.raw, layout.live, layout.history]).subtracting(kept) {
            let isEmpty = try session.scalar(
                """
                SELECT n.nspname <> 'public' AND pg_has_role(n.nspowner, 'USAGE') \
                AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid) \
                AND NOT EXISTS (SELECT FROM pg_type t WHERE t.typnamespace = n.oid) \
                AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid) \
                FROM pg_namespace n WHERE n.nspname = $1
                """, [schema], for: "look for schema \(schema)")
            if isEmpty == "t" {
                try session.execute("DROP SCHEMA \(try quoteIdentifier(schema))", for: "drop schema \(schema)")
            }
        }
    }
}

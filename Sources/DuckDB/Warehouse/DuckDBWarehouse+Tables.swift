import Replication

extension DuckDBWarehouse {
    package func knownTables() async throws -> [TableDefinition] {
        try withSession { session in
            guard try hasMeta(session) else { return [] }
            return try TableRegistry(session).entries.filter { $0.pipeline == layout.pipeline }.map(\.definition)
        }
    }

    package func foreignTable(at definition: TableDefinition) async throws -> [Column]? {
        try withSession { session in
            guard try !isOurs(definition, session) else { return nil }
            let catalog = CatalogReader(session: session)
            guard try catalog.kind(layout.current, definition.target) != nil else { return nil }
            return try catalog.columns(layout.current, definition.target).map {
                Column(name: $0.name, type: ColumnType(duckdb: $0.sqlType), nullable: $0.nullable)
            }
        }
    }

    package func hasForeignRows(at definition: TableDefinition) async throws -> Bool {
        try withSession { session in
            let sql = TableSQL(definition, layout)
            guard try CatalogReader(session: session).kind(layout.current, definition.target) == .table,
                try !isOurs(definition, session)
            else { return false }
            return try session.int64("SELECT 1 FROM \(sql.current) LIMIT 1", purpose: sql.purpose("looking at")) != nil
        }
    }

    package func adoption(of definition: TableDefinition) async throws -> Adoption? {
        try withSession { session in
            guard try !isOurs(definition, session) else { return nil }
            return try TableAdoption(session: session, sql: TableSQL(definition, layout)).look()
        }
    }

    private func isOurs(_ definition: TableDefinition, _ session: Session) throws -> Bool {
        guard try hasMeta(session), let known = try TableRegistry(session).entry(layout.pipeline, definition.source)
        else { return false }
        return known.layout.hasCurrent && known.definition.hasShape && known.layout.current == layout.current
            && known.definition.target == definition.target
    }

    package func ensure(_ tables: [TableDefinition], recording changes: [SchemaChange]) async throws {
        try writing("making tables") { session in
            try TableMaker(session: session, layout: layout, now_us: DuckDBClock.now_us)
                .ensure(tables, recording: changes)
        }
    }

    package func counts(_ table: TableDefinition) async throws -> TableCounts {
        try withSession { session in
            let sql = TableSQL(table, layout)
            let purpose = sql.purpose("counting")
            var counts = TableCounts(live: 0, deleted: 0, incomplete: 0)
            guard try CatalogReader(session: session).kind(layout.current, table.target) != nil else { return counts }
            try session.forEachChunk(
                """
                SELECT count(*) FILTER (WHERE \(sql.isDeleted) IS NOT TRUE), count(*) FILTER (WHERE \(sql.isDeleted)) \
                FROM \(sql.current)
                """, purpose: purpose
            ) { chunk in
                counts.live = Int(chunk.int64(0, 0))
                counts.deleted = Int(chunk.int64(1, 0))
            }
            // A name may contain what a missing value looks like, so the few that look so are read whole.
            try session.forEachChunk(
                """
                SELECT \(TableSQL.map), count(*) FROM \(sql.current) WHERE \(sql.isDeleted) IS NOT TRUE \
                AND \(TableSQL.map) LIKE '%null]%' GROUP BY \(TableSQL.map)
                """, purpose: purpose, streaming: true
            ) { chunk in
                for row in 0..<chunk.rowCount
                where ColumnVersions(json: chunk.string(0, row))?.isIncomplete == true {
                    counts.incomplete += Int(chunk.int64(1, row))
                }
            }
            return counts
        }
    }

    package func drop(tables: Bool) async throws {
        try writing("dropping the pipeline") { session in
            let purpose = "dropping the pipeline"
            if tables {
                let entries = try TableRegistry(session).entries.filter { $0.pipeline == layout.pipeline }
                for entry in entries { try Self.drop(entry, session, purpose) }
                let schemas = Set(
                    (entries.map(\.layout) + [layout]).flatMap { [$0.current, $0.raw, $0.live, $0.history] })
                for schema in schemas.sorted() where try CatalogReader(session: session).isEmpty(schema) {
                    try session.run("DROP SCHEMA IF EXISTS \(SQLName.quoted(schema))", purpose: purpose)
                }
            }
            for table in MetaTables.perPipeline {
                try session.execute(
                    "DELETE FROM \(MetaTables.name(table)) WHERE pipeline = ?", [.text(layout.pipeline)],
                    purpose: purpose)
            }
        }
    }

    /// An adopted table is somebody else's: it stays, with its rows.
    private static func drop(_ entry: TableRegistry.Entry, _ session: Session, _ purpose: String) throws {
        let sql = TableSQL(entry.definition, entry.layout)
        let catalog = CatalogReader(session: session)
        let views = [(entry.layout.history, sql.history), (entry.layout.live, sql.live)]
        for (schema, name) in views where try catalog.kind(schema, entry.definition.target) == .view {
            try session.run("DROP VIEW \(name)", purpose: purpose)
        }
        if entry.layout.hasCurrent, !entry.isAdopted {
            for name in [sql.current] + entry.definition.keptTables.map({ SQLName.quoted(entry.layout.current, $0) }) {
                try session.run("DROP TABLE IF EXISTS \(name)", purpose: purpose)
            }
        }
        if entry.layout.hasRaw { try session.run("DROP TABLE IF EXISTS \(sql.raw)", purpose: purpose) }
    }
}

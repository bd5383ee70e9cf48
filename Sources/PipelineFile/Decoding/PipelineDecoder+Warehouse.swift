extension PipelineDecoder {
    func warehouse(_ root: Section, pipeline: String) -> Pipeline.Warehouse? {
        guard let section = root.section("warehouse", keys: Keys.warehouse) else {
            if root.entry("warehouse") == nil {
                root.fail("warehouse", "there is no warehouse", try: "warehouse: { duckdb: {} }")
            }
            return nil
        }
        let kinds = ["duckdb", "postgres", "clickhouse"].compactMap(section.entry)
            .sorted { ($0.keyMark.line, $0.keyMark.column) < ($1.keyMark.line, $1.keyMark.column) }
        if kinds.isEmpty {
            section.fail("", "one of duckdb and postgres must be here", try: "warehouse: { duckdb: {} }")
        }
        if kinds.count > 1 {
            context.fail(
                kinds[1].keyMark, section.path(kinds[1].key),
                "a pipeline has one warehouse, this one has \(kinds.map(\.key).joined(separator: " and "))",
                try: "keep one of them here, and make a second pipeline for the other")
        }
        if section.entry("clickhouse") != nil { section.notYet("clickhouse", "writing to ClickHouse") }
        let duckdb = self.duckdb(section, pipeline: pipeline)
        let postgres = self.postgres(section)
        let engine = duckdb.map(Pipeline.Engine.duckdb) ?? postgres.map(Pipeline.Engine.postgres)
        let schemas = self.schemas(section, pipeline: pipeline, isPostgres: section.entry("postgres") != nil)
        return engine.map { Pipeline.Warehouse($0, schemas: schemas) }
    }

    private func duckdb(_ section: Section, pipeline: String) -> Pipeline.DuckDB? {
        guard let duckdb = section.section("duckdb", keys: Keys.duckdb) else { return nil }
        let path = duckdb.text("path")
        if let path, path.text.hasPrefix(":memory:") {
            duckdb.fail(
                "path", "a warehouse in memory is gone when the agent stops", try: "path: \(pipeline).duckdb")
        }
        var settings = Pipeline.DuckDB(path: context.resolve(path: path?.text ?? "\(pipeline).duckdb"))
        settings.memory_limit =
            duckdb.bytes("memory_limit", in: .mebibytes(16)...ByteCount(bytes: 1 << 50), example: "512MiB")
            ?? settings.memory_limit
        settings.library = duckdb.text("library").map { context.resolve(path: $0.text) }
        return settings
    }

    private func postgres(_ section: Section) -> Pipeline.Postgres? {
        guard let postgres = section.section("postgres", keys: Keys.postgres) else { return nil }
        let example = "url: postgres://loader@warehouse/analytics"
        guard postgres.node("url") != nil else {
            postgres.fail("url", "where the warehouse is isn't said", try: example)
            return nil
        }
        guard let value = postgres.text("url") else { return nil }
        guard let url = ConnectionURL(value.text, schemes: Self.postgresSchemes) else {
            postgres.fail("url", "this is no Postgres URL", try: example)
            return nil
        }
        return Pipeline.Postgres(url: url)
    }

    private func schemas(_ section: Section, pipeline: String, isPostgres: Bool) -> Pipeline.Schemas {
        var schemas = Pipeline.Schemas(pipeline: pipeline)
        // `pg` makes `pg_raw`, which Postgres keeps for itself.
        let made = [
            ("current", schemas.current), ("raw", schemas.raw), ("live", schemas.live), ("history", schemas.history),
        ]
        for (key, name) in made where section.node("schemas") == nil && Self.isReserved(name, isPostgres: isPostgres) {
            section.fail(
                "", "the pipeline's name makes the schema \(name), which isn't ours to write in",
                try: "another `pipeline:`, or schemas: { \(key): millrace_\(name) }")
            return schemas
        }
        guard let given = section.section("schemas", keys: Keys.schemas) else { return schemas }
        let fields: [(key: String, path: WritableKeyPath<Pipeline.Schemas, String>)] = [
            ("current", \.current), ("raw", \.raw), ("live", \.live), ("history", \.history),
        ]
        let bytes_max = isPostgres ? Identifier.postgres_bytes_max : Identifier.duckdb_bytes_max
        for (key, path) in fields {
            guard let value = given.text(key) else { continue }
            schemas[keyPath: path] = value.text
            if let problem = Identifier.problem(value.text, bytes_max: bytes_max) {
                given.fail(key, problem)
            } else if Self.isReserved(value.text, isPostgres: isPostgres) {
                given.fail(key, "the schema \(value.shown) isn't ours to write in", try: "\(key): \(pipeline)_\(key)")
            }
        }
        func folded(_ name: String) -> String { isPostgres ? name : name.lowercased() }
        for (index, field) in fields.enumerated() {
            let twin = fields[..<index].first {
                folded(schemas[keyPath: $0.path]) == folded(schemas[keyPath: field.path])
            }
            guard let twin else { continue }
            // The one that the file names is the one to change; by default they all differ.
            let key = given.node(field.key) != nil ? field.key : twin.key
            let other = key == field.key ? twin.key : field.key
            given.fail(key, "\(key) and \(other) would be one schema", try: "\(key): \(pipeline)_\(key)")
        }
        return schemas
    }

    private static func isReserved(_ name: String, isPostgres: Bool) -> Bool {
        let name = name.lowercased()
        return name == "_millrace" || name == "information_schema" || (name.hasPrefix("pg_") && isPostgres)
            || name == "pg_catalog" || (!isPostgres && ["memory", "temp", "system"].contains(name))
    }
}

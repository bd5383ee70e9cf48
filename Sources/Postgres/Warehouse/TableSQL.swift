import Replication

/// Names and statements of one replicated table: its current, raw and views.
struct TableSQL {
    let definition: TableDefinition
    let layout: WarehouseLayout
    let current: String
    let raw: String
    let live: String
    let history: String
    /// The source's columns, quoted.
    let columns: [String]

    init(_ definition: TableDefinition, _ layout: WarehouseLayout) throws {
        self.definition = definition
        self.layout = layout
        current = try quoteIdentifier(schema: layout.current, definition.target)
        raw = try quoteIdentifier(schema: layout.raw, definition.target)
        live = try quoteIdentifier(schema: layout.live, definition.target)
        history = try quoteIdentifier(schema: layout.history, definition.target)
        columns = try definition.columns.map { try quoteIdentifier($0.name) }
        isDeleted = try quoteIdentifier(definition.metadata.isDeleted)
        deletedAt = try quoteIdentifier(definition.metadata.deletedAt)
        updatedAt = try quoteIdentifier(definition.metadata.sourceUpdatedAt)
        loadedAt = try quoteIdentifier(definition.metadata.loadedAt)
    }

    /// What statements are for, in messages.
    func purpose(_ doing: String) -> String { "\(doing) \(layout.current).\(definition.target)" }

    // MARK: Current

    let isDeleted: String
    let deletedAt: String
    let updatedAt: String
    let loadedAt: String

    static let epoch = "\"\(MetadataNames.epoch)\""
    static let commit = "\"\(MetadataNames.commit)\""
    static let seq = "\"\(MetadataNames.seq)\""
    static let map = "\"\(MetadataNames.columns)\""
    static let rowID = "\"\(MetadataNames.rowID)\""
    static let rowImage = "\"\(MetadataNames.rowImage)\""
    static let endedBy = "\"\(MetadataNames.endedBy)\""

    /// `t."_version_epoch", t."_version_commit", t."_version_seq"`.
    static func versionColumns(_ alias: String) -> String { "\(alias).\(epoch), \(alias).\(commit), \(alias).\(seq)" }

    /// The row's version is older than another; no version is older than any.
    static func isOlder(_ alias: String, than other: String) -> String {
        "(\(alias).\(epoch) IS NULL OR (\(versionColumns(alias))) < \(other))"
    }

    /// Names, unquoted, and types of the columns that current has beside the source's, in order.
    var metadataColumns: [(name: String, type: String)] { Self.metadataColumns(of: definition) }

    static func metadataColumns(of definition: TableDefinition) -> [(name: String, type: String)] {
        let names = definition.metadata
        var columns = [
            (names.isDeleted, "boolean"), (names.deletedAt, "timestamptz"), (names.sourceUpdatedAt, "timestamptz"),
            (names.loadedAt, "timestamptz"), (MetadataNames.epoch, "bigint"), (MetadataNames.commit, "bigint"),
            (MetadataNames.seq, "bigint"), (MetadataNames.columns, "text"),
        ]
        if definition.isKeyless { columns += MetadataNames.keylessColumns.map { ($0, "uuid") } }
        return columns
    }

    /// What must be the same for a staging table to be used again.
    var shape: [String] { columns + definition.columns.map(\.type.sql) }

    var keyColumns: [String] { definition.key.map { columns[$0] } }

    func createCurrent(_ types: [String]) throws -> String {
        var parts = zip(columns, types).map { "\($0) \($1)" }
        parts += try metadataColumns.map { "\(try quoteIdentifier($0.name)) \(try declaration($0))" }
        if !definition.isKeyless { parts.append("PRIMARY KEY (\(keyColumns.joined(separator: ", ")))") }
        return "CREATE TABLE \(current) (\(parts.joined(separator: ", ")));" + currentIndexes
    }

    func declaration(_ column: (name: String, type: String)) throws -> String {
        column.type + (column.name == definition.metadata.isDeleted ? " NOT NULL DEFAULT false" : "")
    }

    /// Indexes beside the key's. None has a column that an ordinary update changes, so that those stay within the page.
    var currentIndexes: String {
        guard definition.isKeyless else {
            return "CREATE INDEX ON \(current) (\(keyColumns[0])) WHERE \(Self.map) IS NOT NULL;"
        }
        return """
            CREATE UNIQUE INDEX ON \(current) (\(Self.rowID));
            CREATE INDEX ON \(current) (\(Self.rowImage), \(Self.epoch), \(Self.commit), \(Self.seq), \(Self.rowID)) \
            WHERE NOT \(isDeleted);
            CREATE INDEX ON \(current) (\(Self.endedBy)) WHERE \(Self.endedBy) IS NOT NULL;
            """
    }

    /// `t."id" = s.c0 AND …`.
    func sameKey(_ row: String, _ stage: String) -> String {
        definition.key.map { "\(row).\(columns[$0]) = \(stage).c\($0)" }.joined(separator: " AND ")
    }

    // MARK: Raw

    /// The unique index guards against an event that is appended twice. Ids of a Postgres source rise with the log, so
    /// that it grows at its end; those of other sources are hashes, whose place rises instead.
    ///
    /// Bloom filters find the pages with events of a key. An index with an entry for each row would cost as much as the
    /// row does, so `PostgresTransaction.indexKeys` makes that one for tables that need it. Filters are written by
    /// autovacuum; pages without one yet are read through.
    func createRaw(_ serverVersion: Int) -> String {
        let parts = WarehouseSchema.rawColumns.map { column in
            let optional = ["key", "other_key", "before", "after", "unchanged", "source_tx", "source_ts"]
            return "\"\(column.name)\" \(column.type.sql)" + (optional.contains(column.name) ? "" : " NOT NULL")
        }
        return """
            CREATE TABLE \(raw) (\(parts.joined(separator: ", ")));
            CREATE UNIQUE INDEX ON \(raw) (\(layout.hasOrderedIDs ? "event_id, \(Self.seq)" : "\(Self.seq), event_id"));
            CREATE INDEX ON \(raw) USING \(serverVersion >= 140_000
                ? "brin ((key::text) text_bloom_ops) WITH (pages_per_range = 64, autosummarize = on)" : "hash ((key::text))");
            CREATE INDEX ON \(raw) (\(Self.epoch), \(Self.commit), \(Self.seq)) WHERE op = 't';
            CREATE INDEX ON \(raw) USING brin (loaded_at) WITH (autosummarize = on);
            """
    }

    // MARK: Views

    var createLive: String {
        get throws {
            let shown = try definition.liveColumns.map { shown in
                let column = try quoteIdentifier(shown.column)
                return shown.name == shown.column ? column : "\(column) AS \(try quoteIdentifier(shown.name))"
            }
            return """
                CREATE OR REPLACE VIEW \(live) AS SELECT \(shown.joined(separator: ", ")) FROM \(current) \
                WHERE \(isDeleted) IS NOT TRUE
                """
        }
    }
}

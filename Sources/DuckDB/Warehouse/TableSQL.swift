import Replication

/// Names and statements of one replicated table: its current, raw and views.
struct TableSQL: Sendable {
    let definition: TableDefinition
    let layout: WarehouseLayout
    let forms: [ColumnForm]
    /// Columns of current that aren't ours, quoted: they stay as they are when a row's others are written.
    var others: [String] = []

    init(_ definition: TableDefinition, _ layout: WarehouseLayout) {
        self.definition = definition
        self.layout = layout
        forms = definition.columns.map(ColumnForm.init)
    }

    var current: String { SQLName.quoted(layout.current, definition.target) }
    var raw: String { SQLName.quoted(layout.raw, definition.target) }
    var live: String { SQLName.quoted(layout.live, definition.target) }
    var history: String { SQLName.quoted(layout.history, definition.target) }

    /// What statements are for, in messages.
    func purpose(_ doing: String) -> String { "\(doing) \(layout.current).\(definition.target)" }

    func column(_ index: Int) -> String { SQLName.quoted(definition.columns[index].name) }

    // MARK: Current

    static let epoch = SQLName.quoted(MetadataNames.epoch)
    static let commit = SQLName.quoted(MetadataNames.commit)
    static let seq = SQLName.quoted(MetadataNames.seq)
    static let map = SQLName.quoted(MetadataNames.columns)
    static let rowID = SQLName.quoted(MetadataNames.rowID)
    static let rowImage = SQLName.quoted(MetadataNames.rowImage)
    static let endedBy = SQLName.quoted(MetadataNames.endedBy)

    var isDeleted: String { SQLName.quoted(definition.metadata.isDeleted) }
    var deletedAt: String { SQLName.quoted(definition.metadata.deletedAt) }
    var updatedAt: String { SQLName.quoted(definition.metadata.sourceUpdatedAt) }
    var loadedAt: String { SQLName.quoted(definition.metadata.loadedAt) }

    /// Names and types of the columns that current has beside the source's, in order.
    var metadataColumns: [(name: String, type: String)] {
        let names = definition.metadata
        var columns = [
            (names.isDeleted, "BOOLEAN"), (names.deletedAt, "TIMESTAMP WITH TIME ZONE"),
            (names.sourceUpdatedAt, "TIMESTAMP WITH TIME ZONE"), (names.loadedAt, "TIMESTAMP WITH TIME ZONE"),
            (MetadataNames.epoch, "BIGINT"), (MetadataNames.commit, "BIGINT"), (MetadataNames.seq, "BIGINT"),
            (MetadataNames.columns, "VARCHAR"),
        ]
        if definition.isKeyless { columns += MetadataNames.keylessColumns.map { ($0, "UUID") } }
        return columns
    }

    var currentColumns: [(name: String, type: String)] {
        forms.map { ($0.name, $0.sqlType) } + metadataColumns
    }

    /// No primary key: the engine checks one against the rows that the same transaction deletes, and MERGE and ON
    /// CONFLICT with a key are several times slower than a join. One writer keeps keys single.
    ///
    /// A table may lose columns at the source before its first row comes here: it has them all the same.
    var createCurrent: String { Self.create(current, allColumns) }

    var allColumns: [(name: String, type: String)] {
        currentColumns + definition.retired.map { ($0.name, ColumnForm($0).sqlType) }
    }

    // MARK: Raw

    static let rawColumns: [(name: String, type: String)] = WarehouseSchema.rawColumns.map {
        ($0.name, ColumnForm(Column(name: $0.name, type: $0.type)).sqlType)
    }

    /// Raw is written once and seldom read: its long texts are packed by zstd, which takes half the time and two
    /// thirds of the room of what the engine would choose after trying all it has.
    var createRaw: String { Self.create(raw, Self.rawColumns, packing: Self.packedColumns) }

    private static let packedColumns: Set<String> = [
        "key", "other_key", "before", "after", "unchanged", "position",
    ]

    private static func create(
        _ table: String, _ columns: [(name: String, type: String)], packing packed: Set<String> = []
    ) -> String {
        let list = columns.map { column in
            "\(SQLName.quoted(column.name)) \(column.type)"
                + (packed.contains(column.name) ? " USING COMPRESSION zstd" : "")
        }
        return "CREATE TABLE IF NOT EXISTS \(table) (\(list.joined(separator: ", ")))"
    }

    // MARK: Views

    var sourceColumns: String { definition.columns.indices.map(column).joined(separator: ", ") }

    private var shownColumns: String {
        definition.liveColumns.map { shown in
            let column = SQLName.quoted(shown.column)
            return shown.name == shown.column ? column : "\(column) AS \(SQLName.quoted(shown.name))"
        }.joined(separator: ", ")
    }

    var createLive: String {
        "CREATE OR REPLACE VIEW \(live) AS SELECT \(shownColumns) FROM \(current) WHERE \(isDeleted) IS NOT TRUE"
    }

    // MARK: Versions in SQL

    /// The row's version is older than the given one; no version is older than any.
    static func isOlder(_ row: String, than version: Version) -> String {
        """
        (\(row)\(epoch) IS NULL OR (\(row)\(epoch), \(row)\(commit), \(row)\(seq)) \
        < (\(version.epoch)::BIGINT, \(version.commit)::BIGINT, \(version.seq)::BIGINT))
        """
    }

    /// A moment, NULL where it isn't told.
    static func moment(_ time_us: Int64) -> String {
        time_us == .min ? "NULL::TIMESTAMP WITH TIME ZONE" : "make_timestamptz(\(time_us))"
    }
}

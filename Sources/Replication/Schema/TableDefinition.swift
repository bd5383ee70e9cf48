/// A source table's name. The topic isn't: topics are sanitised and can collide.
package struct TableID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var schema: String
    package var table: String

    package init(schema: String, table: String) {
        self.schema = schema
        self.table = table
    }

    package var description: String { "\(schema).\(table)" }
    package static func < (a: TableID, b: TableID) -> Bool { (a.schema, a.table) < (b.schema, b.table) }
}

package struct Column: Hashable, Sendable {
    /// The name at the source and in the warehouse.
    package var name: String
    package var type: ColumnType
    package var isKey: Bool
    /// False where the source said NOT NULL; kept as a fact, never enforced on current (deleted rows are key-only).
    package var nullable: Bool
    /// In its table, whatever its name and type become; 0: of a table that follows no schema.
    package var identity = 0
    /// The source's number for it, where that is told.
    package var number: Int?
    /// Its name at the source, where that is another: it was renamed there, and nobody has approved that yet.
    package var sourceName: String?
    /// Names that events have it under which came before it was renamed.
    package var formerNames: [String] = []
    /// Names that raw's images have it under, in the order in which they came, where that isn't just its name (`RawNames`).
    private var rawNames: [String] = []
    /// It has what the column of this identity was before its type was changed.
    package var keptFor: Int?
    package var isKept: Bool { keptFor != nil }
    /// What rows had in it that were there before it was.
    package var initial: InitialValue?

    /// Where the source was first seen not to have it any more.
    package var goneSince: Version?

    /// The name that the source has for it.
    package var nameAtSource: String { sourceName ?? name }
    /// The last is what its events come under now.
    package var namesInRaw: [String] {
        get { rawNames.isEmpty ? [name] : rawNames }
        set { rawNames = newValue == [name] ? [] : newValue }
    }
    package var nameInRaw: String { rawNames.last ?? name }
    /// By any name that it has or had.
    package func isAny(of names: Set<String>) -> Bool {
        names.contains(name) || names.contains(nameAtSource) || formerNames.contains(where: names.contains)
    }
    package func isCalled(_ name: String) -> Bool { nameAtSource == name || formerNames.contains(name) }

    package init(name: String, type: ColumnType, isKey: Bool = false, nullable: Bool = true) {
        self.name = name
        self.type = type
        self.isKey = isKey
        self.nullable = nullable
    }
}

/// The value that a new column gives to rows which were there before.
package struct InitialValue: Hashable, Sendable {
    /// As Postgres writes it; nil: NULL.
    package var text: String?
    /// Commit position from which on rows have the column.
    package var since: Int64

    package init(text: String?, since: Int64) {
        self.text = text
        self.since = since
    }
}

/// Names of the columns that current has beside the source's.
package struct MetadataNames: Hashable, Sendable {
    package var isDeleted = "is_deleted"
    package var deletedAt = "deleted_at"
    package var sourceUpdatedAt = "_source_updated_at"
    package var loadedAt = "_loaded_at"

    package init() {}
    package init(isDeleted: String, deletedAt: String, sourceUpdatedAt: String, loadedAt: String) {
        self.isDeleted = isDeleted
        self.deletedAt = deletedAt
        self.sourceUpdatedAt = sourceUpdatedAt
        self.loadedAt = loadedAt
    }

    /// These are fixed: the version of the row, its sparse per-column versions, and a keyless row's names.
    package static let epoch = "_version_epoch"
    package static let commit = "_version_commit"
    package static let seq = "_version_seq"
    package static let columns = "_version_columns"
    package static let rowID = "_row_id"
    package static let rowImage = "_row_image"
    package static let endedBy = "_ended_by"
    package static let keylessColumns = [rowID, rowImage, endedBy]
}

package enum ExistingPolicy: String, Hashable, Sendable { case error, adopt, replace }

/// One replicated table as the warehouse shall have it. Columns are in the order in which they became
/// known, and only ever added to: an event whose images are narrower lacks the rest.
package struct TableDefinition: Hashable, Sendable {
    package var source: TableID
    /// Name of the table in each of the pipeline's schemas.
    package var target: String
    package var columns: [Column]
    /// Indices of the key's columns, in the key's order; empty for a table without a key.
    package var key: [Int]
    package var metadata: MetadataNames
    package var existing: ExistingPolicy
    /// Has a `where` clause.
    package var isFiltered: Bool
    /// The newest schema of the source that it follows; nil: none was told.
    package var followed: SourceSchema?
    /// Rises with each decision on a plan: who knows the table as it was before has nothing to say any more.
    package var revision: Int64 = 0
    /// Columns that current keeps and nobody writes any more: the source dropped them, or they have another type there.
    package var retired: [Column] = []
    /// Names under which raw has events of columns that are removed.
    package var spentNames: [String] = []
    /// Names at the source that went from one column to another, in the order in which they did.
    package var takenNames: [TakenName] = []
    /// The highest identity that a column had which is removed: it is nobody's again.
    package var spentIdentity = 0
    /// Tables of current that have what it was before its key was changed.
    package var keptTables: [String] = []
    /// What the live view shows, where that isn't just the columns.
    package var shown: [ShownColumn] = []

    package init(
        source: TableID, target: String, columns: [Column], key: [Int], metadata: MetadataNames = .init(),
        existing: ExistingPolicy = .error, isFiltered: Bool = false
    ) {
        self.source = source
        self.target = target
        self.columns = columns
        self.key = key
        self.metadata = metadata
        self.existing = existing
        self.isFiltered = isFiltered
    }

    package var isKeyless: Bool { key.isEmpty }
    package var keyNames: [String] { key.map { columns[$0].name } }
    package func index(ofSource name: String) -> Int? {
        columns.firstIndex { $0.nameAtSource == name } ?? columns.firstIndex { $0.formerNames.contains(name) }
    }

    /// The live view's columns, in order: what was shown before stays in its place.
    package var liveColumns: [ShownColumn] {
        guard !shown.isEmpty else { return columns.map { ShownColumn($0.name, of: $0.name) } }
        let there = Set(shown.map(\.column))
        return shown + columns.filter { !there.contains($0.name) }.map { ShownColumn($0.name, of: $0.name) }
    }
    /// False for a table of which nothing but a truncate is known: it has no columns yet, and no key that could be told.
    /// Of such a table there is raw alone, whose columns are the same for all.
    package var hasShape: Bool { !columns.isEmpty }
}

/// A column of the live view: under its own name, or under another.
package struct ShownColumn: Hashable, Sendable {
    package var name: String
    /// Of current.
    package var column: String

    package init(_ name: String, of column: String) {
        self.name = name
        self.column = column
    }
}

/// The pipeline's names and layers in a warehouse.
package struct WarehouseLayout: Hashable, Sendable {
    package var pipeline: String
    package var current: String
    package var raw: String
    package var live: String
    package var history: String
    package var hasRaw: Bool
    package var hasCurrent: Bool
    /// By source table, as `schema.table`: how far behind its partition an event may be, in µs, before it is called too
    /// late. Tables without one: however far.
    package var allowedLateness_us: [String: Int64] = [:]
    /// The source is a log that can't tell by itself whether the database behind it was restored (`RestoreSuspicion`).
    package var suspectsRestore = false
    /// Ids of the source's events rise with its log.
    package var hasOrderedIDs = false

    package init(
        pipeline: String, current: String? = nil, raw: String? = nil, live: String? = nil, history: String? = nil,
        hasRaw: Bool = true, hasCurrent: Bool = true
    ) {
        self.pipeline = pipeline
        self.current = current ?? pipeline
        self.raw = raw ?? pipeline + "_raw"
        self.live = live ?? pipeline + "_live"
        self.history = history ?? pipeline + "_history"
        self.hasRaw = hasRaw
        self.hasCurrent = hasCurrent
    }
}

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

    package init(name: String, type: ColumnType, isKey: Bool = false, nullable: Bool = true) {
        self.name = name
        self.type = type
        self.isKey = isKey
        self.nullable = nullable
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
    /// False for a table of which nothing but a truncate is known: it has no columns yet, and no key that could be told.
    /// Of such a table there is raw alone, whose columns are the same for all.
    package var hasShape: Bool { !columns.isEmpty }
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

/// A replicated table, as the pipeline file wants it.
package struct TableChoice: Sendable {
    package var target: String
    /// The pipeline file says so; else `target` is made of the schema's and the table's name.
    package var isTargetGiven = false
    /// Columns that make the key instead of the record's own.
    package var key: [String]?
    package var excluded: Set<String>
    /// Columns whose values are replaced by the hash of their Postgres text; they become text.
    package var hashed: Set<String>
    package var types: [String: ColumnType]
    /// Those of `types` that are `time(0)` to `time(3)`: their unit in events is another than that of `time`.
    package var shortTimes: Set<String> = []
    package var metadata: MetadataNames
    package var existing: ExistingPolicy
    package var filter: (any RowFilter)?

    package init(
        target: String, key: [String]? = nil, excluded: Set<String> = [], hashed: Set<String> = [],
        types: [String: ColumnType] = [:], metadata: MetadataNames = .init(), existing: ExistingPolicy = .error,
        filter: (any RowFilter)? = nil
    ) {
        self.target = target
        self.key = key
        self.excluded = excluded
        self.hashed = hashed
        self.types = types
        self.metadata = metadata
        self.existing = existing
        self.filter = filter
    }

    /// - Parameter key: indices in `columns`.
    package func definition(of table: TableID, columns: [Column], key: [Int]) -> TableDefinition {
        TableDefinition(
            source: table, target: target, columns: columns, key: key, metadata: metadata, existing: existing,
            isFiltered: filter != nil)
    }
}

/// What a before-image holds.
package enum ReplicaIdentity: Sendable {
    /// The key's columns at least: REPLICA IDENTITY DEFAULT with the primary key as key, or an index that covers it.
    case coversKey
    /// Every column.
    case full
    /// Not all of the key: a delete can carry a key of type defaults that is no row's.
    case incomplete
}

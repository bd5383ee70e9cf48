/// The shape of `_millrace` and of the tables, shared by all engines.
package enum WarehouseSchema {
    /// Raised with every change of `_millrace`; an older binary refuses a newer one.
    package static let version = 8
    package static let metaSchema = "_millrace"

    /// Fixed columns of raw, in order, with Postgres types; engines map the types to their own.
    package static let rawColumns: [(name: String, type: ColumnType)] = [
        ("event_id", .uuid), ("op", .text), ("key", .json), ("other_key", .json), ("before", .json), ("after", .json),
        ("unchanged", .json), (MetadataNames.epoch, .bigint), (MetadataNames.commit, .bigint),
        (MetadataNames.seq, .bigint), ("position", .text), ("source_tx", .bigint), ("source_ts", .timestamptz),
        ("loaded_at", .timestamptz),
    ]

    /// Names that a source column can't have in current, beside the metadata names.
    package static let reservedColumns: Set<String> = [
        MetadataNames.epoch, MetadataNames.commit, MetadataNames.seq, MetadataNames.columns, MetadataNames.rowID,
        MetadataNames.rowImage, MetadataNames.endedBy,
    ]
}

import Replication

/// What the agent tells the decoder of a Postgres source.
package struct PgOutputConfiguration: Sendable {
    /// The choice for a source table; nil: it isn't replicated, its changes are control records. Asked once a table.
    package var select: @Sendable (TableID) -> TableChoice?
    /// Tables as the warehouse has them: their columns, order and types are continued.
    package var knownTables: [TableDefinition] = []
    /// Whose equality of keys decides which events are of one row: the warehouse's.
    package var keyEquality = KeyEquality.postgres
    package var epoch: Int64 = 0
    /// Appends the hash of the bytes (SHA-256, as hex digits) to the arena: for hashed columns.
    package var hash: @Sendable (UnsafeRawBufferPointer, ByteArena) -> ByteRange
    /// Whether quarantine must not keep a message's bytes, since excluded or hashed columns may stand in them.
    package var withholdsBytes: @Sendable (TableID) -> Bool = { _ in false }
    /// Whether tables follow the schemas that relations show: not those of another source, which a copy reads beside it.
    package var followsSchemas = true
    /// What is done with schema changes.
    package var schemaPolicy = SchemaPolicy()

    package init(
        select: @escaping @Sendable (TableID) -> TableChoice?,
        hash: @escaping @Sendable (UnsafeRawBufferPointer, ByteArena) -> ByteRange = { _, _ in .null }
    ) {
        self.select = select
        self.hash = hash
    }
}

/// The records of a Postgres source: pgoutput's messages as they came, and ours between them, told by their first byte.
package enum SourceRecord {
    /// `RelationFacts` of the relation message that follows.
    package static let facts = UInt8(ascii: "z")
    /// `RelationFacts` of the copied rows that follow.
    package static let copying = UInt8(ascii: "p")
    /// `RelationFacts` of a table whose rows are all copied anew: what is older than the snapshot at the record's offset,
    /// and isn't in it, is deleted.
    package static let resync = UInt8(ascii: "q")
    /// A `GoneTable`.
    package static let goneTable = UInt8(ascii: "t")
    /// A copied row, as COPY's text; the record's offset is the snapshot's position.
    package static let row = UInt8(ascii: "k")
    /// As `row`, of one that a snapshot hasn't got: only its key counts.
    package static let gone = UInt8(ascii: "g")
}

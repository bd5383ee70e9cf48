import EventSchemas
import Replication

/// What the agent tells the decoder: which tables, how their columns are called and typed, and where epochs begin.
package struct DecoderConfiguration: Sendable {
    /// The choice for a source table; nil: it isn't replicated, its records are control records. Asked once a table.
    package var select: @Sendable (TableID) -> TableChoice?
    /// Tables as the warehouse has them: their columns, order and types are continued.
    package var knownTables: [TableDefinition] = []
    /// Column types as a source catalog has them.
    package var catalogTypes: [TableID: [String: ColumnType]] = [:]
    /// Those of them that are `time(0)` to `time(3)`.
    package var catalogShortTimes: [TableID: Set<String>] = [:]
    /// Key columns, in their order, as a source catalog has them: for tables whose records carry no key.
    package var catalogKeys: [TableID: [String]] = [:]
    /// What the before-images of a table can be trusted with, where a source catalog says it.
    package var replicaIdentity: [TableID: ReplicaIdentity] = [:]
    /// Whose equality of keys decides which events are of one row: the warehouse's.
    package var keyEquality = KeyEquality.postgres
    package var epochs = SourceEpochs()
    /// Tables change as their events show it; else columns are added alone.
    package var followsSchemas = false
    package var schemaPolicy = SchemaPolicy()
    /// Events with another op than these are control records (`source.snapshot: never` or `only`).
    package var operations: Set<Operation> = [.create, .update, .delete, .truncate, .read]
    /// The form that events must have; nil: each is told by itself.
    package var format: EventFormat?
    /// What ExtractNewRecordState was told to add to events.
    package var added = AddedNames()
    /// The connector, where events don't name it.
    package var connector = Connector.unknown
    /// Tables of topics whose names don't tell them.
    package var topicTables: [String: TableID] = [:]
    /// Tables that the pipeline file names, for events that name theirs in part.
    package var namedTables: [TableID] = []
    /// The connector's `unavailable.value.placeholder`.
    package var placeholder = "__debezium_unavailable_value"
    /// How the connector writes values, for what an event without a schema doesn't say.
    package var modes = EncodingModes()
    /// The schemas of records in Confluent's wire format; nil: such records go to quarantine.
    package var schemas: SchemaStore?
    /// Appends the hash of the bytes (SHA-256, as hex digits) to the arena: for hashed columns.
    package var hash: @Sendable (UnsafeRawBufferPointer, ByteArena) -> ByteRange
    /// Whether quarantine must not keep a record's bytes (nil: of a record whose table isn't known), since excluded
    /// or hashed columns may stand in them.
    package var withholdsBytes: @Sendable (TableID?) -> Bool = { _ in false }

    /// - Parameter hash: needed where a choice has hashed columns.
    package init(
        select: @escaping @Sendable (TableID) -> TableChoice?,
        hash: @escaping @Sendable (UnsafeRawBufferPointer, ByteArena) -> ByteRange = { _, _ in .null }
    ) {
        self.select = select
        self.hash = hash
    }
}

/// The connector's settings that an event without a schema doesn't show. With a schema none of them matters but
/// `binary`, where the schema calls binary columns strings.
package struct EncodingModes: Sendable, Equatable {
    /// `decimal.handling.mode`. Automatic takes a JSON number or an object as what they are; a string as
    /// base64 (`precise`) where it could be, else as digits. For columns without digits behind the point the two can
    /// look alike (`"1234"`): such a pipeline names its mode.
    package enum Decimal: String, Sendable { case automatic, precise, string, double }
    /// `time.precision.mode`. Adaptive: milliseconds for up to three fractional digits, else microseconds; of
    /// time of day only on Postgres. ISO strings are told by their form in every mode.
    package enum Time: String, Sendable { case adaptive, adaptiveTimeMicroseconds, connect, microseconds, nanoseconds }
    /// `binary.handling.mode`. Automatic: base64 in events without a schema; with one, only what it calls bytes.
    package enum Binary: String, Sendable { case automatic, base64, hex }

    package var decimal = Decimal.automatic
    package var time = Time.adaptive
    package var binary = Binary.automatic

    package init() {}
}

/// Decoded change events of several tables: the unit from the decoder to the warehouse.
///
/// Fields lie in one array, values in one arena; an event is a fixed-size struct that names its
/// images by index. No heap object per event or field.
///
/// `@unchecked Sendable`: one owner at a time, handed on whole.
package final class ChangeBatch: @unchecked Sendable {
    package let arena: ByteArena
    package var fields: ContiguousArray<Field>
    package var events: ContiguousArray<ChangeEvent>
    /// What events name by index; each as it was when the batch was complete.
    package var tables: [TableDefinition] = []
    /// Those of them (by index) whose key the source checks at each change: under one key there was never more than one
    /// row, and versions alone tell what lives there.
    package var immediateKeys: Set<Int> = []
    /// Of tables whose source shows another schema since this batch: what the warehouse gets first.
    package var evolutions: [TableID: SchemaEvolution] = [:]
    /// Tables of which events came that their rows can't be told by, as they are of before a change of the key: what they did
    /// is read at the source.
    package var unreadable: Set<TableID> = []
    /// Tables of which events show several schemas in turn, so that none is the later one: none is followed from here on.
    package var mixed: Set<TableID> = []
    /// Beside those: of tables that are gone.
    package var schemaChanges: [SchemaChange] = []
    /// What isn't as expected of tables (by index) that have gates.
    package var findings: [Int: GateFindings] = [:]
    package var spans: [RecordBatch.PartitionSpan] = []
    /// Data records that could not be decoded, with the bytes they had.
    package var quarantined: [QuarantineEntry] = []
    /// Data records per table (by index in `tables`), counted as they were read, before anything is known of their
    /// fate; the last element counts those whose table couldn't be told.
    package var read: [Int] = []
    package var readUnknown = 0
    /// Control records: tombstones, heartbeats, transaction metadata, messages, tables not chosen.
    package var control = 0
    /// What the decoder must remember per partition, to be stored with the checkpoint (JSON text by span index).
    package var decoderState: [Int: String] = [:]
    /// Newest source time seen, µs since 1970; for lag.
    package var newestSourceTime_us = Int64.min
    /// The records it was decoded from, kept so that an event that the warehouse refuses can be put aside as it came.
    package var records: RecordBatch?
    /// Bytes of the records it was decoded from.
    package var recordBytes = 0
    /// What of an initial copy or backfill is done once this batch is durable.
    package var copied: [CopyMark] = []
    /// See `coalesceAhead`.
    var ahead: CoalescedAhead?

    package init(capacity: Int = 1 << 16) {
        arena = ByteArena(capacity: capacity)
        let isLarge = capacity >= BlockPool.block_min
        fields = isLarge ? ArrayPool.takeFields() : []
        events = isLarge ? ArrayPool.takeEvents() : []
    }

    deinit { ArrayPool.give(&fields, &events) }

    /// A table follows another schema from here on.
    package func note(_ evolution: SchemaEvolution, of table: TableID) {
        var evolution = evolution
        if let before = evolutions[table] {
            evolution.changes = before.changes + evolution.changes
            evolution.needsCopy = before.needsCopy || evolution.needsCopy
            evolution.stops = before.stops ?? evolution.stops
        }
        evolutions[table] = evolution
    }

    /// The field of `column` in the image that starts at `image`; absent beyond the image's width.
    @inline(__always)
    package func field(_ image: Int32, _ column: Int, width: Int32) -> Field {
        column < Int(width) ? fields[Int(image) + column] : .absent
    }

    @inline(__always)
    package func bytes(_ field: Field) -> UnsafeRawBufferPointer { arena.bytes(field.range) }
}

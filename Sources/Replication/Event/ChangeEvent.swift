/// What a change event does to its row. The raw values are Debezium's letters.
package enum Operation: UInt8, Sendable {
    case create = 0x63
    case update = 0x75
    case delete = 0x64
    case truncate = 0x74
    case read = 0x72

    package var letter: String { String(UnicodeScalar(rawValue)) }
    /// From 0, in three bits.
    package var index: UInt8 {
        switch self {
        case .create: 0
        case .update: 1
        case .delete: 2
        case .truncate: 3
        case .read: 4
        }
    }
    package init?(letter: String) {
        guard letter.utf8.count == 1, let byte = letter.utf8.first, let operation = Operation(rawValue: byte) else {
            return nil
        }
        self = operation
    }
}

/// One change of one row, or the truncate of one table. Fixed size; everything of variable size lies in its batch.
package struct ChangeEvent: Sendable {
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The delete half of a key change; `otherKey` is the new key.
        package static let moveDelete = Flags(rawValue: 1)
        /// The create half of a key change; `otherKey` is the old key.
        package static let moveCreate = Flags(rawValue: 2)
        /// Its version leans on what stood before it, so the duplicate probe may not trust it.
        package static let alwaysProbe = Flags(rawValue: 4)
        /// The after-image has unchanged or absent columns.
        package static let partial = Flags(rawValue: 8)
        /// The table's `where` says no: in current it acts as a delete.
        package static let filtered = Flags(rawValue: 16)
        /// The table's `where` needs a column that is unchanged here.
        package static let undecided = Flags(rawValue: 32)
        /// A row read from a snapshot that was just opened: it can't be in raw, so it isn't looked for there.
        package static let fresh = Flags(rawValue: 64)
        /// Of a table without a key: the copy of the table holds what the event did.
        package static let contained = Flags(rawValue: 128)
    }

    package var operation: Operation
    package var flags: Flags = []
    /// Index into the batch's `tables`.
    package var table: Int32
    /// Index into the batch's `spans`.
    package var span: Int32 = 0
    /// Index into the records of the batch's `records`, or -1.
    package var record: Int32 = -1
    /// Columns in the images below; a table may have gained columns since.
    package var width: Int32 = 0
    /// Index of the image's first column in the batch's `fields`, or -1.
    package var before: Int32 = -1
    package var after: Int32 = -1
    package var version: Version
    package var id: EventID
    /// Where the record stands in its partition or file.
    package var offset: Int64
    /// The source transaction's time, µs since 1970; `Int64.min` if not told.
    package var sourceTime_us: Int64
    /// The source's top-level transaction id, widened to 64 bits where that is known; -1 if not told.
    package var transaction: Int64 = -1
    /// The key as a JSON object in the arena (`to_jsonb` forms, key columns in order): raw's `key` column.
    /// Null for truncates and keyless tables.
    package var key: ByteRange = .null
    /// The same bytes for two keys that the warehouse calls equal; for most types `key` itself.
    /// For keyless tables the 16 bytes of the image's hash are in `image`.
    package var group: ByteRange = .null
    /// The other key of a key change, as `key`.
    package var otherKey: ByteRange = .null
    /// Keyless tables: hash of the image that the event ends (delete, update) and the one it adds.
    package var imageBefore: EventID = .zero
    package var imageAfter: EventID = .zero

    package init(operation: Operation, table: Int32, version: Version, id: EventID, offset: Int64, sourceTime_us: Int64)
    {
        self.operation = operation
        self.table = table
        self.version = version
        self.id = id
        self.offset = offset
        self.sourceTime_us = sourceTime_us
    }
}

/// One row that a batch writes to current: all events of one key, coalesced.
package struct StagedRow: Sendable {
    package enum Mode: UInt8, Sendable {
        /// Every column comes from the image.
        case full = 0
        /// A delete: the key comes from the image, everything else stays as the warehouse has it (null if the row is new).
        case keep = 1
        /// Known columns come from the image, the others as the patch says, or null if the row is new.
        case masked = 2
    }

    package var mode: Mode
    package var isDeleted: Bool
    /// Its event is answered for in the ledger by the merge; not so for filtered events and carried columns.
    package var counts: Bool
    /// Index in the batch's events of the event that made the version; -1 for carried columns alone.
    package var event: Int32
    /// First column of the image in the batch's `fields`. Key columns are always known in it.
    package var image: Int32
    package var width: Int32
    package var version: Version
    /// Becomes `_source_updated_at`, and `deleted_at` if deleted. µs since 1970; `Int64.min`: not told.
    package var time_us: Int64
    /// Index into `registers` for masked rows, else -1.
    package var registers: Int32 = -1
    /// Says what the key's row is as of its version, also where the warehouse has a row of that very version
    /// (`SharedKeys`). Always masked.
    package var settles = false
    /// The oldest of its events in the batch makes a row: current has none of that key, unless the event comes late or
    /// once more, or the key was used before.
    package var isNew = false
}

/// What one batch writes to one keyed table's current.
package struct StagedTable: Sendable {
    /// Index into the batch's `tables`.
    package var table: Int
    package var definition: TableDefinition
    package var rows: [StagedRow] = []
    /// One register a column, for masked rows.
    package var registers: [[ColumnRegister]] = []

    package init(table: Int, definition: TableDefinition) {
        self.table = table
        self.definition = definition
    }

    /// The sparse map of a masked live row, should the warehouse have no such row yet.
    package func columnVersions(_ row: StagedRow) -> ColumnVersions {
        guard row.registers >= 0, !row.isDeleted else { return ColumnVersions() }
        return RowMerge.columnVersions(registers[Int(row.registers)], definition.columns, at: row.version)
    }
}

/// What the warehouse has of a staged row's key, without its values.
package struct StoredRow: Sendable {
    /// Index into the staged table's `rows`.
    package var row: Int
    package var version: Version
    package var isDeleted: Bool
    package var columnVersions: ColumnVersions

    package init(row: Int, version: Version, isDeleted: Bool, columnVersions: ColumnVersions) {
        self.row = row
        self.version = version
        self.isDeleted = isDeleted
        self.columnVersions = columnVersions
    }
}

/// How a staged row and the stored one become one. Replaces the version test for this row.
package struct RowPatch: Sendable, Equatable {
    package enum Kind: UInt8, Sendable {
        /// The staged version is the newer: it becomes the row's, with its flags and times.
        case advance
        /// The stored version stays, with its flags and times; only columns and map are written.
        case fill
        /// Nothing is written.
        case skip
    }

    package static let fromStage = UInt8(ascii: "1")
    package static let fromStored = UInt8(ascii: "0")
    package static let null = UInt8(ascii: "n")

    package var row: Int
    package var kind: Kind
    /// One of the three letters above for each column of the definition.
    package var take: [UInt8]
    /// Nil clears the map.
    package var columnVersions: String?
}

/// The warehouse's own answer to a merge: every staged row that counts is in `applied` or in `superseded`.
package struct MergeAnswer: Sendable {
    /// Rows that count and passed the version test.
    package var applied: Int
    /// Rows (index into `rows`) that count and did not pass.
    package var superseded: [Int]
    /// Rows of which only columns were written.
    package var filled: Int
    /// What was newer than the rows of `superseded`; with raw only, as without it nobody can tell late from repeated.
    package var newer: [Int: NewerRow] = [:]

    package init(applied: Int, superseded: [Int], filled: Int) {
        self.applied = applied
        self.superseded = superseded
        self.filled = filled
    }
}

/// A failure with its remedy. Names table, position and column, never cell values or secrets.
package struct ReplicationError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// Passes by itself: retried with backoff and jitter.
        case passing
        /// Another agent owns the partition or the file now.
        case fenced
        /// Another agent has what one at a time can have: the slot, the file. Exit 3, unless this one stands by.
        case taken
        /// The warehouse refuses a value of `table`.
        case data
        /// A raw row is there already though the probe didn't say so: retried once with every event probed.
        case duplicateRaw
        /// What came since the checkpoint has to be read again: a source transaction that comes in parts, or by other
        /// definitions of tables.
        case restart
        /// Unreachable, permission, missing parts: exit 3.
        case environment
        /// The pipeline file and the world contradict each other: exit 2.
        case configuration
        /// A broken promise of our own: the ledger doesn't add up, an impossible state. Exit 1.
        case invariant
        /// Anything else that doesn't pass by itself. Exit 1.
        case permanent
    }

    package var kind: Kind
    package var message: String
    /// The command or change that mends it.
    package var remedy: String?
    package var table: TableID?
    /// Of a passing one: somebody else holds a lock.
    package var isLock = false
    /// It is about what one table is like (its columns, its rights, a lock on it), not about the warehouse.
    package var isTablesOwn = false

    /// What the others needn't suffer from: `table` alone can be held until it is mended.
    package var mayHoldTable: Bool { table != nil && (kind == .data || isTablesOwn || kind == .passing && isLock) }

    /// Met while a held table is tried again: it stays held, and nothing else is touched. What else there is, a fence or a
    /// broken promise of our own, is everybody's.
    package var leavesTableHeld: Bool {
        switch kind {
        case .fenced, .taken, .restart, .invariant, .duplicateRaw: false
        default: true
        }
    }

    package init(_ kind: Kind, _ message: String, remedy: String? = nil, table: TableID? = nil) {
        self.kind = kind
        self.message = message
        self.remedy = remedy
        self.table = table
    }

    package var description: String { message }
}

import Replication

/// A source transaction, named by what every one of its records says.
///
/// Of `1145:82148448` (Postgres: transaction and the event's own position) only the first part is the transaction's; the
/// ids of other connectors are the same in all records and taken whole.
package struct TransactionID: Hashable, Sendable {
    /// The connector's, as its reader numbers them: transactions of two connectors never mix.
    package var stream: Int32
    package var hash: EventID

    package init(stream: Int32, hash: EventID) {
        self.stream = stream
        self.hash = hash
    }
}

/// What a record says of the source transaction that it belongs to.
package enum TransactionMark: Sendable, Equatable {
    /// Tombstones, heartbeats, schema changes, logical messages and what can't be read: they go with what precedes them.
    case none
    /// A row's event that names no transaction: a snapshot read, one written without transaction metadata, or, without
    /// a stream, one that can't be assigned to a transaction topic at all.
    case loose(stream: Int32?)
    case change(TransactionID, order: Int64, collection: EventID)
    case begin(TransactionID)
    case end(TransactionID, events: Int64, [CollectionCount])
}

/// How many events of a table a transaction has, as its END says.
package struct CollectionCount: Sendable, Equatable {
    package var collection: EventID
    package var events: Int64
    /// The table's topic is among those that are read; else only having seen an event of the table tells that.
    package var isRead: Bool

    package init(collection: EventID, events: Int64, isRead: Bool) {
        self.collection = collection
        self.events = events
        self.isRead = isRead
    }
}

/// A set of places in a transaction: 64 of them a word, since they are dense and may be millions.
struct OrderSet {
    private var words: [Int64: UInt64] = [:]
    private(set) var count: Int64 = 0

    /// False: it was there.
    mutating func insert(_ order: Int64) -> Bool {
        let bit: UInt64 = 1 << UInt64(order & 63)
        let word = words[order >> 6, default: 0]
        guard word & bit == 0 else { return false }
        words[order >> 6] = word | bit
        count += 1
        return true
    }
}

/// A record that couldn't be decoded or applied, put aside with all that is needed to try again.
package struct QuarantineEntry: Sendable {
    /// Nil where even the table couldn't be told.
    package var table: TableID?
    package var partition: TopicPartition
    package var offset: Int64
    /// What is wrong: names table, column and kind of trouble, never a value.
    package var reason: String
    /// The record's key and value as they came; nil where the table has excluded or hashed columns, since those may
    /// stand in them (the source still has them at this position).
    package var key: [UInt8]?
    package var value: [UInt8]?
    /// As JSON: `[["name","value"]…]`.
    package var headers: String?
    package var operation: Operation?
    /// Of an event that a rule keeps out of current, and that raw has.
    package var gate: PutAside?

    package init(
        table: TableID?, partition: TopicPartition, offset: Int64, reason: String, key: [UInt8]? = nil,
        value: [UInt8]? = nil, headers: String? = nil, operation: Operation? = nil
    ) {
        self.table = table
        self.partition = partition
        self.offset = offset
        self.reason = reason
        self.key = key
        self.value = value
        self.headers = headers
        self.operation = operation
    }
}

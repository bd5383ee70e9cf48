import Replication

@testable import Debezium

/// A `TransactionHold` with records that have names, for tests.
struct HoldFeed {
    var hold: TransactionHold
    var now = Duration.zero
    /// Per partition what isn't out yet.
    private(set) var waiting: [String: [String]] = [:]
    private(set) var out: [String: [String]] = [:]

    init(bytes_max: Int = .max, stall_max: Duration = .seconds(10), remembered_max: Int = 1000) {
        var limits = TransactionHold.Limits()
        limits.bytes_max = bytes_max
        limits.stall_max = stall_max
        limits.remembered_max = remembered_max
        hold = TransactionHold(limits)
    }

    static func id(_ number: Int, _ stream: Int32 = 0) -> TransactionID {
        TransactionID(stream: stream, hash: EventID(high: UInt64(number), low: 7))
    }

    static func table(_ name: String) -> EventID {
        var hash = Hash128()
        hash.add(name)
        return hash.finish()
    }

    static func end(_ number: Int, _ counts: [(String, Int64)], stream: Int32 = 0, unread: Set<String> = [])
        -> TransactionMark
    {
        .end(
            id(number, stream), events: counts.reduce(0) { $0 + $1.1 },
            counts.map { .init(collection: table($0.0), events: $0.1, isRead: !unread.contains($0.0)) })
    }

    static func change(_ number: Int, _ order: Int64, _ table: String, stream: Int32 = 0) -> TransactionMark {
        .change(id(number, stream), order: order, collection: self.table(table))
    }

    /// - Returns: whether it can show a part.
    @discardableResult
    mutating func add(_ name: String, _ mark: TransactionMark, to partition: String, bytes: Int = 100) -> Bool {
        waiting[partition, default: []].append(name)
        return hold.add(
            mark, to: hold.lane(of: TopicPartition(topic: partition, partition: 0)), bytes: bytes, at: now)
    }

    /// What goes on now, by partition.
    @discardableResult
    mutating func release(records_max: Int = .max, bytes_max: Int = .max) -> [String: [String]] {
        var released: [String: [String]] = [:]
        for (lane, count) in hold.release(records_max: records_max, bytes_max: bytes_max, at: now) {
            let partition = hold.partition(of: lane).topic
            let names = Array(waiting[partition, default: []].prefix(count))
            waiting[partition]?.removeFirst(count)
            released[partition] = names
            out[partition, default: []] += names
        }
        return released
    }

    /// Partitions that aren't to be read on.
    mutating func ahead() -> Set<String> { Set(hold.ahead().map { hold.partition(of: $0).topic }) }

    mutating func drop(_ partition: String) {
        hold.drop([TopicPartition(topic: partition, partition: 0)])
        waiting[partition] = nil
    }
}

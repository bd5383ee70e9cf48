import Replication

/// From when on it may be said that a reader of the warehouse sees whole source transactions.
///
/// That is so once all that the log held when reading began is durable, as nobody knows what of it was in the warehouse
/// before. Whatever shows parts (a transaction that was cut, an event without a transaction, a snapshot's read) takes
/// it back; then what the log holds once that is over has to be durable.
package struct ConsistencyGate {
    private var horizon: [TopicPartition: Int64]?
    private var durable: [TopicPartition: Int64] = [:]
    /// Connectors of which parts may show.
    private var broken: Set<Int32> = []
    /// Events that no transaction topic tells of: nothing can be said any more.
    private var isBlind = false
    private var hasSeenEnd = false
    /// The ends of the log are wanted.
    package private(set) var wantsHorizon = true
    /// What is durable of the transaction topics since it is so; nil: it isn't.
    package private(set) var since: [TopicPartition: Int64]?

    package init() {}

    /// Other partitions are read than before.
    package mutating func restart() {
        horizon = nil
        broken.removeAll()
        isBlind = false
        wantsHorizon = true
        since = nil
    }

    /// A record that can show a part of something is about to be handed on.
    package mutating func takeLoose(_ stream: Int32?, _ partition: TopicPartition, _ offset: Int64) {
        guard let stream else {
            isBlind = true
            since = nil
            return
        }
        // It is waited for anyway.
        if since == nil, let end = horizon?[partition], offset < end { return }
        takeCut(stream)
    }

    package mutating func takeCut(_ stream: Int32) {
        broken.insert(stream)
        since = nil
    }

    /// What was cut or loose of the connector is over, and a later transaction is complete.
    package mutating func takeSettled(_ stream: Int32) {
        hasSeenEnd = true
        guard broken.remove(stream) != nil else { return }
        horizon = nil
        wantsHorizon = true
    }

    package mutating func setHorizon(_ ends: [TopicPartition: Int64]) {
        horizon = ends
        wantsHorizon = false
        look()
    }

    package mutating func confirm(_ positions: [TopicPartition: Int64]) {
        durable.merge(positions) { $1 }
        look()
    }

    package mutating func forget(_ partitions: [TopicPartition]) {
        for partition in partitions { durable[partition] = nil }
    }

    private mutating func look() {
        guard since == nil, hasSeenEnd, broken.isEmpty, !isBlind, !wantsHorizon, let horizon,
            horizon.allSatisfy({ durable[$0.key] ?? -1 >= $0.value })
        else { return }
        since = durable.filter { $0.key.topic.hasSuffix(TransactionReader.suffix) }
    }
}

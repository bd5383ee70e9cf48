import Replication

/// The partitions being read, each with the position behind what was read of it.
struct Assignment {
    final class State {
        let partition: TopicPartition
        var position: Int64
        var isPaused = false
        /// librdkafka handed out something that was on its way when we paused: `resume` must go back to `position`.
        var skippedWhilePaused = false
        /// The group wants it back: its records are the next owner's.
        var isRevoked = false
        var isAtEnd = false
        /// Its index in the batch being filled, and which batch that is.
        var span: Int32 = 0
        var batch = 0

        init(_ partition: TopicPartition, position: Int64) {
            self.partition = partition
            self.position = position
        }
    }

    /// librdkafka's topic handle, which lives as long as one of its partitions is assigned.
    private struct Address: Hashable {
        var topic: OpaquePointer
        var partition: Int32
    }

    private var states: [TopicPartition: State] = [:]
    private var byAddress: [Address: State] = [:]
    /// Records come in runs of one partition.
    private var latest: (address: Address, state: State)?

    subscript(partition: TopicPartition) -> State? { states[partition] }
    var sorted: [State] { states.values.sorted { $0.partition < $1.partition } }

    mutating func add(_ partition: TopicPartition, position: Int64) {
        states[partition] = State(partition, position: position)
        forgetAddresses()
    }

    mutating func remove(_ partition: TopicPartition) {
        states[partition] = nil
        forgetAddresses()
    }

    /// The state of a record's partition, without making its topic's name anew for each record.
    mutating func state(topic: OpaquePointer, partition: Int32, name: (OpaquePointer) -> String) -> State? {
        let address = Address(topic: topic, partition: partition)
        if let latest, latest.address == address { return latest.state }
        let state = byAddress[address] ?? states[TopicPartition(topic: name(topic), partition: partition)]
        guard let state else { return nil }
        byAddress[address] = state
        latest = (address, state)
        return state
    }

    /// An address may come to mean another topic once its partitions are gone.
    private mutating func forgetAddresses() {
        byAddress.removeAll(keepingCapacity: true)
        latest = nil
    }
}

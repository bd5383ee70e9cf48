/// Where a source's positions began again from lower numbers: what counts for an event is where it stands.
package struct SourceEpochs: Sendable, Equatable {
    package struct Beginning: Sendable, Equatable {
        package var epoch: Int64
        /// The first offset of the epoch in the partitions that show a step back.
        package var offsets: [TopicPartition: Int64]
        /// In all others the epoch begins with the first event of this source time or later, µs since 1970.
        package var from_us: Int64?

        package init(epoch: Int64, offsets: [TopicPartition: Int64] = [:], from_us: Int64? = nil) {
            self.epoch = epoch
            self.offsets = offsets
            self.from_us = from_us
        }
    }

    /// By epoch, ascending. Before the first the epoch is 0.
    package var beginnings: [Beginning]

    package init(_ beginnings: [Beginning] = []) { self.beginnings = beginnings.sorted { $0.epoch < $1.epoch } }

    package var isEmpty: Bool { beginnings.isEmpty }
    package var newest: Int64 { beginnings.last?.epoch ?? 0 }

    /// - Parameter time_us: `Int64.min` where the event doesn't tell.
    package func epoch(of partition: TopicPartition, at offset: Int64, time_us: Int64) -> Int64 {
        beginnings.last { $0.contains(partition, offset, time_us) }?.epoch ?? 0
    }

    /// The first offset of the partition's newest epoch that begins by offset, at or before `offset`.
    package func start(of partition: TopicPartition, at offset: Int64) -> Int64? {
        beginnings.compactMap { $0.offsets[partition] }.filter { $0 <= offset }.max()
    }
}

extension SourceEpochs.Beginning {
    func contains(_ partition: TopicPartition, _ offset: Int64, _ time_us: Int64) -> Bool {
        if let first = offsets[partition] { return offset >= first }
        guard let from_us, time_us != .min else { return false }
        return time_us >= from_us
    }
}

/// How a new epoch's beginning is found in raw, from a time at which the source had become another.
package struct EpochSearch: Sendable {
    /// The event of the highest version that a partition had given before.
    package struct Highest: Sendable {
        package var version: Version
        /// Its source time.
        package var time_us: Int64?

        package init(version: Version, time_us: Int64?) {
            self.version = version
            self.time_us = time_us
        }
    }

    package let from_us: Int64
    private var before: [TopicPartition: Highest] = [:]
    private var offsets: [TopicPartition: Int64] = [:]

    package init(from_us: Int64) { self.from_us = from_us }

    /// Of each table what raw shows; of a partition with several tables the highest counts.
    package mutating func add(_ found: Highest, of partition: TopicPartition) {
        if let known = before[partition], known.version >= found.version { return }
        before[partition] = found
    }

    package var versions: [TopicPartition: Version] { before.mapValues(\.version) }

    /// The first event of a table that stands lower than what its partition had given.
    package mutating func addFirst(_ offset: Int64, of partition: TopicPartition) {
        offsets[partition] = min(offsets[partition] ?? .max, offset)
    }

    package var showsStep: Bool { !offsets.isEmpty }

    /// When the source was the old one for the last time. A partition that shows no step back may have gone on since
    /// then, and tells nothing of it.
    package var last_us: Int64? { before.filter { offsets[$0.key] != nil }.compactMap(\.value.time_us).max() }

    package func beginning(after epochs: SourceEpochs) -> SourceEpochs.Beginning {
        SourceEpochs.Beginning(epoch: epochs.newest + 1, offsets: offsets, from_us: from_us)
    }
}

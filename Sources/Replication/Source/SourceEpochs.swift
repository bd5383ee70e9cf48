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

/// How a new epoch's beginning is found in raw.
package struct EpochSearch: Sendable {
    /// The event of the highest version that a partition gave.
    package struct Highest: Sendable {
        package var version: Version
        package var offset: Int64
        /// The newest source time of the partition's events up to there.
        package var time_us: Int64?

        package init(version: Version, offset: Int64, time_us: Int64?) {
            self.version = version
            self.offset = offset
            self.time_us = time_us
        }
    }

    private var highest: [TopicPartition: Highest] = [:]
    private var next: [TopicPartition: (offset: Int64, time_us: Int64?)] = [:]

    package init() {}

    /// Of each table what raw shows; of a partition with several tables the highest counts.
    package mutating func add(_ found: Highest, of partition: TopicPartition) {
        guard let known = highest[partition] else {
            highest[partition] = found
            return
        }
        var higher = known.version < found.version ? found : known
        higher.time_us = [known.time_us, found.time_us].compactMap { $0 }.max()
        highest[partition] = higher
    }

    /// The last offsets before a step back.
    package var lastOffsets: [TopicPartition: Int64] { highest.mapValues(\.offset) }

    /// The first event of a table that stands behind the partition's highest, and its time or the least of those behind.
    package mutating func addFirst(_ offset: Int64, time_us: Int64?, of partition: TopicPartition) {
        guard let known = next[partition] else {
            next[partition] = (offset, time_us)
            return
        }
        next[partition] = (
            min(known.offset, offset), [known.time_us, time_us].compactMap { $0 }.min()
        )
    }

    /// Nil: no partition shows a step back.
    package func beginning(after epochs: SourceEpochs) -> SourceEpochs.Beginning? {
        guard !next.isEmpty else { return nil }
        var beginning = SourceEpochs.Beginning(epoch: epochs.newest + 1, offsets: next.mapValues(\.offset))
        if let from = next.values.compactMap(\.time_us).min() {
            // Before it there was a time when the source stood still. An event that is read late is of before. A
            // partition that shows no step back may have gone on meanwhile, and tells nothing of it.
            let before = highest.filter { next[$0.key] != nil }.compactMap(\.value.time_us).filter { $0 < from }.max()
            beginning.from_us = before.map { $0 + (from - $0) / 2 + 1 } ?? from
        }
        return beginning
    }
}

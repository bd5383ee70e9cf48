/// Where a source ended at a moment, as the source itself said.
package struct SourceEnd: Sendable, Equatable {
    /// Before it was asked; the agent's clock, µs since 1970.
    package var at_us: Int64
    package var ends: [TopicPartition: Int64]

    package init(at_us: Int64, ends: [TopicPartition: Int64]) {
        self.at_us = at_us
        self.ends = ends
    }
}

/// Up to which moment what a source had is durable in the warehouse.
///
/// By positions, never by the events' times: a moment is known to be reached once the position at which the source ended
/// then is durable. So a quiet source is told from a pipe that stalls, and the source's clock doesn't matter.
package struct Completeness: Sendable {
    /// Ends of a partition that wait to be reached; beyond it half of them are left out, so that however far behind a
    /// partition is, what is known of it is as fine as an eighth of that.
    package static let samples_max = 64
    /// Where Debezium's heartbeats go, unless its `topic.heartbeat.prefix` says otherwise.
    package static let heartbeatPrefix = "__debezium-heartbeat."

    private struct Sample {
        var at_us: Int64
        var end: Int64
    }

    /// In the order of their moments, and of their ends.
    private var samples: [TopicPartition: [Sample]] = [:]
    private var asOf_us: [TopicPartition: Int64] = [:]
    /// When a heartbeat came last, by the server's name that connectors have.
    private var pulses: [String: (end: Int64, movedAt_us: Int64)] = [:]
    /// Of the newest end.
    private var partitions: Set<TopicPartition> = []
    private var newestEnd_us = Int64.min

    package init() {}

    /// An older end than the newest may come late: what waits longest is asked first.
    package mutating func note(_ end: SourceEnd) {
        if end.at_us >= newestEnd_us {
            newestEnd_us = end.at_us
            partitions = Set(end.ends.keys.filter { !$0.topic.hasPrefix(Self.heartbeatPrefix) })
            samples = samples.filter { partitions.contains($0.key) }
            asOf_us = asOf_us.filter { partitions.contains($0.key) }
        }
        for (partition, position) in end.ends {
            if partition.topic.hasPrefix(Self.heartbeatPrefix) {
                beat(String(partition.topic.dropFirst(Self.heartbeatPrefix.count)), position, end.at_us)
                continue
            }
            var known = samples[partition] ?? []
            // A log that was cut begins anew.
            known.removeAll { $0.at_us <= end.at_us && $0.end > position }
            if let same = known.lastIndex(where: { $0.end == position }) {
                known[same].at_us = max(known[same].at_us, end.at_us)
            } else {
                let place = known.firstIndex { $0.at_us > end.at_us } ?? known.count
                known.insert(Sample(at_us: end.at_us, end: position), at: place)
            }
            samples[partition] = known.count > Self.samples_max ? Self.thinned(known) : known
        }
    }

    /// About half as many, spread over the time.
    private static func thinned(_ all: [Sample]) -> [Sample] {
        guard let first = all.first, let last = all.last else { return all }
        let gap_us = (last.at_us - first.at_us) / Int64(samples_max / 2)
        var kept = [first]
        for sample in all.dropFirst().dropLast() where sample.at_us - (kept.last?.at_us ?? 0) >= gap_us {
            kept.append(sample)
        }
        return kept + [last]
    }

    private mutating func beat(_ server: String, _ end: Int64, _ at_us: Int64) {
        guard let known = pulses[server], known.end == end else {
            pulses[server] = (end, at_us)
            return
        }
    }

    /// What is durable; partitions that can't be read on (`lost`) stay where they were.
    ///
    /// - Parameter now_us: a clock that was set back leaves no moment that is still to come.
    package mutating func reached(_ checkpoints: [Checkpoint], lost: Set<TopicPartition> = [], now_us: Int64 = .max) {
        newestEnd_us = min(newestEnd_us, now_us)
        for partition in partitions {
            asOf_us[partition] = asOf_us[partition].map { min($0, now_us) }
            samples[partition] = samples[partition]?.map { Sample(at_us: min($0.at_us, now_us), end: $0.end) }
        }
        var positions: [TopicPartition: Int64] = [:]
        for checkpoint in checkpoints { positions[checkpoint.partition] = checkpoint.position }
        for partition in partitions where !lost.contains(partition) {
            guard let position = positions[partition],
                let newest = samples[partition]?.last(where: { $0.end <= position })
            else { continue }
            asOf_us[partition] = max(asOf_us[partition] ?? .min, newest.at_us)
            // What was reached says nothing any more: whether the source still ends there is asked again.
            samples[partition]?.removeAll { $0.end <= position }
        }
    }

    /// Everything of a table that the source had by then is durable, in raw at least; nil: no such moment is known.
    ///
    /// Of a source with several partitions those count whose topic has brought events of the table; where none has, all. A
    /// connector whose heartbeats are read, and have stopped, has brought nothing since: `server` names it then.
    package func asOf(_ table: TableID, _ checkpoints: [Checkpoint]) -> (at_us: Int64, server: String?)? {
        let topics = Set(partitions.map(\.topic))
        let its = Set(checkpoints.filter { $0.marks[table] != nil }.map(\.partition.topic)).intersection(topics)
        let relevant = its.isEmpty ? partitions : partitions.filter { its.contains($0.topic) }
        guard !relevant.isEmpty else { return nil }
        var moment = Int64.max
        for partition in relevant {
            guard let reached = asOf_us[partition] else { return nil }
            moment = min(moment, reached)
        }
        let pulse = pulses.filter { pulse in
            relevant.contains { $0.topic == pulse.key || $0.topic.hasPrefix(pulse.key + ".") }
        }.min { $0.value.movedAt_us < $1.value.movedAt_us }
        guard let pulse, pulse.value.movedAt_us < moment else { return (moment, nil) }
        return (pulse.value.movedAt_us, pulse.key)
    }
}

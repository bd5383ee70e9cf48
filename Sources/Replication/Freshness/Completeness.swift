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
    /// Where heartbeats stood when they were first looked at, and when one came last; nil: none was seen to come.
    private var pulses: [TopicPartition: (end: Int64, seenAt_us: Int64, movedAt_us: Int64?)] = [:]
    /// Logs that were cut, with where they end now: what is durable may be of the one before.
    private var cut: [TopicPartition: Int64] = [:]
    private var newestEnds: [TopicPartition: Int64] = [:]
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
            for (partition, position) in end.ends {
                if let before = newestEnds[partition], position < before { cut[partition] = position }
                if cut[partition] != nil { cut[partition] = position }
            }
            newestEnds = end.ends
        }
        for (partition, position) in end.ends {
            if partition.topic.hasPrefix(Self.heartbeatPrefix) {
                beat(partition, position, end.at_us)
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

    private mutating func beat(_ partition: TopicPartition, _ end: Int64, _ at_us: Int64) {
        guard let known = pulses[partition] else {
            pulses[partition] = (end, at_us, nil)
            return
        }
        if known.end != end { pulses[partition] = (end, known.seenAt_us, at_us) }
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
            if let end = cut[partition], let position = positions[partition] {
                // Of the log before.
                guard position <= end else { continue }
                cut[partition] = nil
            }
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
    ///
    /// - Parameter isLast: of a run that ends: heartbeats that were there when it began are as good as those that come.
    package func asOf(
        _ table: TableID, _ checkpoints: [Checkpoint], isLast: Bool = false
    ) -> (at_us: Int64, server: String?)? {
        let topics = Set(partitions.map(\.topic))
        let bringing = checkpoints.filter { $0.marks[table] != nil && $0.position != nil }.map(\.partition)
        // A topic that is gone may have had more.
        guard bringing.allSatisfy({ partitions.contains($0) }) else { return nil }
        let its = Set(bringing.map(\.topic)).intersection(topics)
        let relevant = its.isEmpty ? partitions : partitions.filter { its.contains($0.topic) }
        guard !relevant.isEmpty else { return nil }
        var moment = Int64.max
        for partition in relevant {
            guard let reached = asOf_us[partition] else { return nil }
            moment = min(moment, reached)
        }
        var servers: [String: Int64] = [:]
        for (partition, pulse) in pulses {
            let server = String(partition.topic.dropFirst(Self.heartbeatPrefix.count))
            let movedAt_us = pulse.movedAt_us ?? (isLast ? pulse.seenAt_us : .min)
            servers[server] = max(servers[server] ?? .min, movedAt_us)
        }
        let slowest = servers.filter { server in
            relevant.contains { $0.topic == server.key || $0.topic.hasPrefix(server.key + ".") }
        }.min { $0.value < $1.value }
        guard let slowest, slowest.value < moment else { return (moment, nil) }
        // None was seen to come yet.
        return slowest.value == .min ? nil : (slowest.value, slowest.key)
    }
}

import Replication

/// Whether what stood at the source's end some time ago is still not durable.
///
/// By positions, not by the events' times: tables that nobody writes to show old times though nothing is missing, and a
/// Postgres source's log moves with whatever others write.
struct LagWatch: Sendable {
    /// Of a partition, spread over the time.
    private static let samples_max: Int64 = 60

    private struct Sample {
        var at_us: Int64
        var end: Int64
    }

    private let lagOver_us: Int64
    private var samples: [TopicPartition: [Sample]] = [:]

    init(lagOver: Duration) { lagOver_us = Int64(lagOver / .microseconds(1)) }

    mutating func isBehind(_ snapshot: AgentStatus.Snapshot, now_us: Int64) -> Bool {
        // A copy takes its time, and is told as such.
        guard snapshot.progress.copying.isEmpty else {
            samples = [:]
            return false
        }
        samples = samples.filter { snapshot.lag[$0.key] != nil }
        var isBehind = false
        for (partition, lag) in snapshot.lag {
            let position = snapshot.positions[partition] ?? 0
            var known = samples[partition] ?? []
            // What was reached says nothing any more.
            known.removeAll { $0.end <= position }
            if let oldest = known.first, now_us - oldest.at_us >= lagOver_us { isBehind = true }
            let isDue = known.last.map { now_us - $0.at_us >= lagOver_us / Self.samples_max } ?? true
            if lag > 0, isDue, known.count < Self.samples_max {
                // What was committed since isn't missing any more, and isn't to come a second time.
                known.append(Sample(at_us: now_us, end: (snapshot.lagFrom[partition] ?? position) + lag))
            }
            samples[partition] = known
        }
        return isBehind
    }
}

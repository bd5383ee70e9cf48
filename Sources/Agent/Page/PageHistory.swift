import Replication
import ServiceLifecycle
import Synchronization

/// The last hour of a running agent, in samples, for the page's charts; from any thread.
package final class PageHistory: Sendable {
    package struct Sample: Sendable, Equatable {
        /// µs since 1970.
        package var at_us: Int64
        /// Read since the agent began.
        package var events: Int
        /// Of the slowest table; nil: not known.
        package var lag_ms: Int64?

        package init(at_us: Int64, events: Int, lag_ms: Int64?) {
            self.at_us = at_us
            self.events = events
            self.lag_ms = lag_ms
        }
    }

    static let period = Duration.seconds(10)
    /// One more than there are gaps in an hour.
    static let samples_max = 361

    private let samples = Mutex<[Sample]>([])

    package init() {}

    package var all: [Sample] { samples.withLock { $0 } }

    package func add(_ sample: Sample) {
        samples.withLock { samples in
            // A clock that was set back begins anew: what lies ahead would never be over.
            if let last = samples.last, last.at_us >= sample.at_us { samples = [] }
            samples.append(sample)
            samples.removeFirst(max(0, samples.count - Self.samples_max))
        }
    }

    func note(_ snapshot: AgentStatus.Snapshot, now_us: Int64) {
        let lag = snapshot.tables.values.compactMap { snapshot.lag_ms($0, now_us: now_us) }.max()
        add(Sample(at_us: now_us, events: snapshot.events, lag_ms: lag))
    }
}

/// Takes a sample every ten seconds.
struct PageHistoryService: Service {
    let history: PageHistory
    let status: AgentStatus

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                history.note(status.current, now_us: Moment.now_us())
                try? await Task.sleep(for: PageHistory.period)
            }
        }
    }
}

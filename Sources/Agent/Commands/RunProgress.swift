import Foundation
import Logging

/// Shows how a run goes: one line on a terminal, else a log line now and then.
struct RunProgress: Sendable {
    let status: AgentStatus
    let console: Console
    let logger: Logger

    /// Until cancelled.
    func run() async {
        var last = (events: status.current.events, at: ContinuousClock.now)
        let interval: Duration = console.isErrorTerminal ? .milliseconds(500) : .seconds(10)
        while (try? await Task.sleep(for: interval)) != nil {
            let snapshot = status.current
            let now = ContinuousClock.now
            let rate = Double(snapshot.events - last.events) / ((now - last.at) / .seconds(1))
            let isIdle = snapshot.events == last.events
            last = (snapshot.events, now)
            if console.isErrorTerminal {
                console.progress(line(snapshot, rate: rate))
            } else if !isIdle {
                logger.info(
                    "replicating",
                    metadata: [
                        "events": "\(snapshot.events)", "events_per_s": "\(Int(rate))",
                        "batches": "\(snapshot.batches)", "lag": "\(Self.lag(snapshot) ?? "?")",
                        "quarantined": "\(snapshot.quarantined)",
                    ])
            }
        }
        console.progress("")
    }

    private func line(_ snapshot: AgentStatus.Snapshot, rate: Double) -> String {
        if let waiting = snapshot.waitsFor { return Console.printable("waiting: \(waiting)") }
        var line = "\(snapshot.events) events, \(Int(rate))/s, \(snapshot.tables.count) tables"
        if let lag = Self.lag(snapshot) { line += ", \(lag) behind" }
        if snapshot.quarantined > 0 { line += ", \(snapshot.quarantined) quarantined" }
        return line
    }

    private static func lag(_ snapshot: AgentStatus.Snapshot) -> String? {
        guard !snapshot.lag.isEmpty else { return nil }
        let lag = snapshot.lag.values.reduce(0, +)
        // A Postgres source counts its log.
        guard snapshot.hasLSNs else { return "\(lag) records" }
        return lag < 1 << 20 ? "\(lag >> 10) KiB" : "\(lag >> 20) MiB"
    }
}

import JSON

/// `/readyz`: connected, state known, nothing in the way.
package struct Readiness: Sendable, Equatable {
    /// Empty: ready.
    package var reasons: [String] = []

    package init(_ snapshot: AgentStatus.Snapshot, lag_ms_max: Int64? = nil, now_us: Int64) {
        switch snapshot.state {
        case .starting: reasons.append("the agent is starting")
        case .stopped: reasons.append("the agent has stopped")
        case .standby: reasons.append("the agent stands by")
        case .ok, .degraded: break
        }
        if let waiting = snapshot.waitsFor { reasons.append("waiting: \(waiting)") }
        reasons += snapshot.lost.map { "\($0.partition): \($0.reason)" }
        guard let lag_ms_max, reasons.isEmpty else { return }
        guard !snapshot.lag.isEmpty else {
            reasons.append("the lag isn't known yet")
            return
        }
        let lags = snapshot.tables.values.compactMap { snapshot.lag_ms($0, now_us: now_us) }
        if let lag = lags.max(), lag > lag_ms_max { reasons.append("\(lag) ms behind the source") }
    }

    package var isReady: Bool { reasons.isEmpty }

    package var json: JSONValue {
        .object([("ready", .bool(isReady)), ("reasons", .array(reasons.map(JSONValue.string)))])
    }

    /// `30s`, `500ms`, `5m`, `1h`; nil for anything else.
    package static func milliseconds(_ text: String) -> Int64? {
        for (unit, factor) in [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)] as [(String, Int64)] {
            guard text.hasSuffix(unit), let number = Int64(text.dropLast(unit.count)), number >= 0 else { continue }
            let (product, overflow) = number.multipliedReportingOverflow(by: factor)
            return overflow ? nil : product
        }
        return nil
    }
}

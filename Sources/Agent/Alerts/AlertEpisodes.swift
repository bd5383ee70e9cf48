import PipelineFile

/// From what is so now to what is told: once when an episode begins, once when it ends.
///
/// A state machine without a clock: each step is given the time.
struct AlertEpisodes: Sendable {
    /// Of one target; alerts beyond it aren't followed.
    static let episodes_max = 1000
    /// So long without another record that is put aside an episode of those is over.
    static let quarantineQuiet_us: Int64 = 600_000_000

    private struct Episode {
        var alert: Alert
        var beganAt_us: Int64
        /// Since when it is seen by this agent.
        var seenFrom_us: Int64
        var seenAt_us: Int64
        var isTold = false
    }

    private let pipeline: String
    private let target: Pipeline.AlertTarget
    private var episodes: [Alert.Key: Episode] = [:]
    private var quarantined: [String: Int] = [:]
    private var lag: LagWatch

    init(pipeline: String, target: Pipeline.AlertTarget) {
        self.pipeline = pipeline
        self.target = target
        lag = LagWatch(lagOver: target.lagOver)
    }

    /// How many go on, by kind.
    var open: [Pipeline.AlertKind: Int] {
        episodes.values.filter(\.isTold).reduce(into: [:]) { $0[$1.alert.key.kind, default: 0] += 1 }
    }

    mutating func step(_ snapshot: AgentStatus.Snapshot, now_us: Int64) -> [AlertNotice] {
        // Whoever stands by knows nothing: the agent at work tells.
        guard snapshot.state != .standby else { return [] }
        var alerts = AlertConditions.of(snapshot, pipeline: pipeline)
        if lag.isBehind(snapshot, now_us: now_us) {
            alerts.append(
                Alert(
                    key: .init(kind: .lag, subject: pipeline),
                    message: "more than \(target.lagOver.pipelineText) behind its source", remedy: "millrace status"))
        }
        alerts += newlyQuarantined(AlertConditions.quarantined(snapshot))
        for alert in alerts where target.kinds.contains(alert.key.kind) {
            if episodes[alert.key] != nil {
                episodes[alert.key]?.seenAt_us = now_us
            } else if episodes.count < Self.episodes_max {
                episodes[alert.key] = Episode(
                    alert: alert, beganAt_us: min(alert.beganAt_us ?? now_us, now_us), seenFrom_us: now_us,
                    seenAt_us: now_us, isTold: alert.wasTold)
            }
        }
        var notices: [AlertNotice] = []
        for (key, episode) in episodes.sorted(by: { $0.key < $1.key }) {
            if now_us - episode.seenAt_us >= Self.quiet_us(key.kind), episode.seenAt_us < now_us {
                episodes[key] = nil
                // Nobody was told that it began.
                guard episode.isTold else { continue }
                notices.append(notice(.ended, episode, endedAt_us: now_us))
            } else if !episode.isTold, episode.seenAt_us == now_us,
                now_us - episode.seenFrom_us >= Self.patience_us(key.kind)
            {
                episodes[key]?.isTold = true
                notices.append(notice(.began, episode))
            }
        }
        return notices
    }

    private func notice(
        _ change: AlertNotice.Change, _ episode: Episode, endedAt_us: Int64? = nil
    ) -> AlertNotice {
        AlertNotice(
            pipeline: pipeline, change: change, alert: episode.alert, beganAt_us: episode.beganAt_us,
            endedAt_us: endedAt_us)
    }

    private mutating func newlyQuarantined(_ counts: [String: Int]) -> [Alert] {
        defer { quarantined = counts }
        return counts.sorted { $0.key < $1.key }.compactMap { table, count in
            guard count > quarantined[table, default: 0] else { return nil }
            return Alert(
                key: .init(kind: .quarantine, subject: table.isEmpty ? pipeline : table),
                message: "records were put aside", remedy: "millrace quarantine list")
        }
    }

    /// How long it must have been so before anybody is told: what passes by itself in that time is nobody's matter.
    private static func patience_us(_ kind: Pipeline.AlertKind) -> Int64 {
        switch kind {
        case .waiting: 60_000_000
        // An agent that was away may find tables stale, and be through with what came meanwhile in no time.
        case .stale: 15_000_000
        case .lag, .retention: 5_000_000
        case .held, .quality, .quarantine, .lost, .error, .sweep, .schema: 0
        }
    }

    /// How long it must not have been so any more: what comes and goes is one episode.
    private static func quiet_us(_ kind: Pipeline.AlertKind) -> Int64 {
        switch kind {
        case .quarantine: quarantineQuiet_us
        case .lag, .waiting, .retention: 30_000_000
        case .stale: 5_000_000
        // A source that is joined anew forgets for a moment what it had lost.
        case .held, .quality, .lost, .error, .sweep, .schema: 10_000_000
        }
    }
}

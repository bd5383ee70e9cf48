import PipelineFile
import Replication

/// What of an agent's state is an alert; lag apart, which takes a memory.
enum AlertConditions {
    static func of(_ snapshot: AgentStatus.Snapshot, pipeline: String) -> [Alert] {
        var alerts: [Alert] = []
        for (id, table) in snapshot.tables {
            guard let error = table.error else { continue }
            alerts.append(
                Alert(key: .init(kind: .error, subject: id.description), message: error, remedy: "millrace status"))
        }
        for (id, reason) in snapshot.progress.refused {
            alerts.append(
                Alert(
                    key: .init(kind: .error, subject: id.description), message: "can't be copied: \(reason)",
                    remedy: "millrace check, and what was put aside: millrace quarantine list"))
        }
        for change in snapshot.schemaChanges where change.state == .waiting {
            alerts.append(
                Alert(
                    key: .init(kind: .schema, subject: "\(change.table) #\(change.id)"),
                    message:
                        "\(change.what)\(change.kind.holdsTable ? "; the table is held until that is decided" : "")",
                    remedy: "millrace schema show \(change.id)"))
        }
        for hold in snapshot.holds where !hold.kind.isWanted && hold.kind != .schema {
            alerts.append(
                Alert(
                    key: .init(kind: .held, subject: hold.table.description), message: "held: \(hold.reason)",
                    remedy: hold.remedy))
        }
        for (table, limit) in snapshot.limits where limit.share >= limit_min {
            alerts.append(
                Alert(
                    key: .init(kind: .held, subject: "\(table), limit"),
                    message: "\(limit.reason), and there the agent stops: \(Int(limit.share * 100)) % of it is reached",
                    remedy: "mend the rule or the data, then: millrace release \(table)"))
        }
        for failing in snapshot.failing where failing.isWarning {
            alerts.append(
                Alert(
                    key: .init(kind: .quality, subject: "\(failing.table) \(failing.rule)"), message: failing.message,
                    remedy: "millrace quality --table \(failing.table)"))
        }
        for partition in snapshot.lost {
            alerts.append(
                Alert(
                    key: .init(kind: .lost, subject: partition.partition.description), message: partition.reason,
                    remedy: partition.remedy))
        }
        // Lending is somebody's wish.
        if snapshot.lent == nil, let waiting = snapshot.waitsFor {
            alerts.append(
                Alert(key: .init(kind: .waiting, subject: pipeline), message: waiting, remedy: "millrace check"))
        }
        for table in snapshot.freshness.values where table.isAlertRequired {
            alerts.append(stale(table))
        }
        for (table, sweep) in snapshot.sweeps {
            let count = sweep.last.differences
            guard count > 0 else { continue }
            alerts.append(
                Alert(
                    key: .init(kind: .sweep, subject: table.description),
                    message: "\(count) rows differ from \(sweep.last.isFold ? "what raw says" : "the source")",
                    remedy: "millrace sweep --table \(table) --repair"))
        }
        for (partition, left) in snapshot.progress.logLeft where left < logLeft_min {
            alerts.append(
                Alert(
                    key: .init(kind: .retention, subject: partition.description),
                    message:
                        "only \(Int(left * 100)) % of what the source keeps of its log is left before changes are lost",
                    remedy: "let the agent catch up (millrace status), or let the source keep more"))
        }
        return alerts
    }

    /// Of what a hold may last or grow to.
    static let limit_min = 0.8

    private static func stale(_ table: FreshnessReport.Table) -> Alert {
        let allowed = Duration.microseconds(table.contract.maxStaleness_us).pipelineText
        let asOf = table.completeAsOf_us.flatMap(Moment.text).map { "complete as of \($0)" } ?? "never complete"
        return Alert(
            key: .init(kind: .stale, subject: table.table),
            message: "STALE: \(asOf), \(allowed) are allowed" + (table.reason.map { ": \($0)" } ?? ""),
            remedy: "millrace freshness", channel: table.contract.channel, beganAt_us: table.since_us,
            wasTold: table.wasTold)
    }

    /// A fifth.
    static let logLeft_min = 0.2

    /// Records put aside since the agent started, by table; `""`: those whose table couldn't be told.
    static func quarantined(_ snapshot: AgentStatus.Snapshot) -> [String: Int] {
        var counts = snapshot.tables.reduce(into: [:]) { $0[$1.key.description] = $1.value.ledger.quarantined }
        counts[""] = snapshot.unknown.quarantined
        return counts
    }
}

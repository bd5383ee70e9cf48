import JSON
import Replication

/// What `millrace freshness` tells: each table with a contract.
package struct FreshnessReport: Sendable, Equatable {
    package struct Table: Sendable, Equatable {
        package var contract: FreshnessContract
        package var status: FreshnessStatus
        /// When its newest change was made, by the source's clock; of a table that was only copied, when that was.
        package var changedAt_us: Int64?
        /// What the source had committed by then is in current; the agent's clock. Nil: that was never so.
        package var completeAsOf_us: Int64?
        /// Time since then.
        package var staleness_us: Int64?
        /// Complete, and nothing has changed for longer than the contract allows: the source is quiet.
        package var isIdle: Bool
        package var isAlertRequired: Bool
        /// Since when its status is what it is; nil: nobody has judged it yet.
        package var since_us: Int64?
        /// Why it is stale.
        package var reason: String?
        /// Somebody was told before this agent began.
        var wasTold = false

        package var table: String { contract.table.description }

        /// Whatever keeps its agent from being asked: nothing is known of it.
        init(unknown contract: FreshnessContract, reason: String) {
            self.contract = contract
            self.reason = reason
            status = .stale
            isIdle = false
            isAlertRequired = true
        }
    }

    package var tables: [Table]

    package init(_ tables: [Table]) { self.tables = tables }

    package var isStale: Bool { tables.contains { $0.status == .stale } }
}

extension FreshnessReport.Table {
    /// As a running agent knows it.
    init?(_ table: FreshnessWatch.Table, now_us: Int64) {
        guard let contract = table.contract else { return nil }
        self.init(
            unknown: contract,
            reason: table.obstacle ?? "it isn't known yet to have been complete at any time")
        changedAt_us = table.changedAt_us
        completeAsOf_us = table.completeAsOf_us
        staleness_us = table.staleness_us
        isIdle = table.isIdle(now_us: now_us)
        since_us = table.status == nil ? nil : table.since_us
        isAlertRequired = table.status == .stale
        wasTold = table.wasTold
        if let status = table.status {
            self.status = status
            reason = table.reason
        }
    }

    /// As the warehouse has it, where no agent runs that looks on.
    ///
    /// - Parameter obstacle: why nothing of the table is applied.
    init(_ contract: FreshnessContract, _ record: FreshnessRecord?, obstacle: String?, now_us: Int64) {
        guard let record, let completeAsOf_us = record.completeAsOf_us else {
            self.init(
                unknown: contract, reason: obstacle ?? "no agent has seen it complete: nothing is known of it")
            changedAt_us = record?.changedAt_us
            return
        }
        self.init(unknown: contract, reason: obstacle ?? "no agent runs")
        changedAt_us = record.changedAt_us
        // Whoever asks may have another clock than the agent had.
        self.completeAsOf_us = min(completeAsOf_us, now_us)
        let staleness = now_us - min(completeAsOf_us, now_us)
        staleness_us = staleness
        status = staleness > contract.maxStaleness_us ? .stale : .fresh
        isAlertRequired = status == .stale
        if status == record.status { since_us = record.since_us }
        guard status == .fresh else { return }
        reason = nil
        isIdle = record.changedAt_us.map { now_us - $0 > contract.maxStaleness_us } ?? true
    }
}

// MARK: Forms

extension FreshnessReport {
    package var json: JSONValue { .array(tables.map(\.json)) }

    package init?(json: JSONValue) {
        guard let list = json.array else { return nil }
        tables = []
        for entry in list {
            guard let table = Table(json: entry) else { return nil }
            tables.append(table)
        }
    }
}

extension FreshnessReport.Table {
    package var json: JSONValue {
        .object([
            ("table", .string(table)), ("last_updated", .moment(changedAt_us)),
            ("staleness_hours", staleness_us.map(Self.hours) ?? .null),
            ("slo_hours", Self.hours(contract.maxStaleness_us)), ("status", .string(status.rawValue)),
            ("idle", .bool(isIdle)), ("alert_required", .bool(isAlertRequired)),
            ("complete_as_of", .moment(completeAsOf_us)), ("since", .moment(since_us)), ("reason", .text(reason)),
            ("alert", .text(contract.channel)),
            // Exactly, for whoever reads this and not the hours.
            ("schema_name", .string(contract.table.schema)), ("table_name", .string(contract.table.table)),
            ("staleness_us", .integer(staleness_us)), ("slo_us", .integer(contract.maxStaleness_us)),
            ("last_updated_us", .integer(changedAt_us)), ("complete_as_of_us", .integer(completeAsOf_us)),
            ("since_us", .integer(since_us)),
        ])
    }

    /// As few digits as tell a millisecond.
    private static func hours(_ time_us: Int64) -> JSONValue {
        let millionths = (time_us + 1800) / 3600
        let digits = String(1_000_000 + millionths % 1_000_000).dropFirst()
        let fraction = digits.reversed().drop { $0 == "0" }.reversed()
        return .number("\(millionths / 1_000_000)" + (fraction.isEmpty ? "" : "." + String(fraction)))
    }

    package init?(json: JSONValue) {
        guard let schema = json["schema_name"]?.string, let name = json["table_name"]?.string,
            let slo_us = json["slo_us"]?.int64,
            let status = json["status"]?.string.flatMap(FreshnessStatus.init(rawValue:)),
            let isIdle = json["idle"]?.bool, let isAlertRequired = json["alert_required"]?.bool
        else { return nil }
        contract = FreshnessContract(
            table: TableID(schema: schema, table: name), maxStaleness_us: slo_us, channel: json["alert"]?.string)
        self.status = status
        self.isIdle = isIdle
        self.isAlertRequired = isAlertRequired
        reason = json["reason"]?.string
        staleness_us = json["staleness_us"]?.int64
        changedAt_us = json["last_updated_us"]?.int64
        completeAsOf_us = json["complete_as_of_us"]?.int64
        since_us = json["since_us"]?.int64
    }
}

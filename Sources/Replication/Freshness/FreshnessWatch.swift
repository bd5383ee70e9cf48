/// What is known of each table's freshness, from one look at the warehouse to the next.
///
/// A state machine without a clock: whoever steps it gives the time. A table's *staleness* is the time since the moment up to
/// which it is known to be complete; where nothing new is known it grows, whatever the reason.
package struct FreshnessWatch: Sendable {
    /// One table, as it was at the last step.
    package struct Table: Sendable, Equatable {
        /// Nil: nothing is promised.
        package var contract: FreshnessContract?
        /// Nil: it was never complete, as far as anybody knows, and hasn't been watched for long enough to be called stale.
        package var status: FreshnessStatus?
        package var since_us: Int64
        package var completeAsOf_us: Int64?
        package var changedAt_us: Int64?
        package var staleness_us: Int64?
        /// Why it isn't complete; nil: nothing stands in its way.
        package var obstacle: String?
        /// As it was noted with the status.
        package var reason: String?
        /// Since when somebody cares, which counts where it was never complete.
        var watchedSince_us: Int64
        /// When a look met it for the first time, if an earlier one didn't.
        var metAt_us: Int64?
        /// An agent before this one has told that it is stale.
        package var wasTold = false

        init(at_us: Int64) {
            since_us = at_us
            watchedSince_us = at_us
        }

        /// Complete, and nothing has changed for longer than it may be stale: it is the source that is quiet.
        package func isIdle(now_us: Int64) -> Bool {
            guard status == .fresh, let contract else { return false }
            return changedAt_us.map { now_us - $0 > contract.maxStaleness_us } ?? true
        }
    }

    /// What was found in the warehouse, and of the source.
    package struct Look: Sendable {
        /// Before anything was read.
        package var at_us: Int64
        /// Read first: what they say is applied the rest shows, too.
        package var checkpoints: [Checkpoint]
        package var tables: Set<TableID>
        /// Tables whose current lacks what raw has, or that aren't copied yet, with the reason.
        package var obstacles: [TableID: String] = [:]
        package var lost: Set<TopicPartition> = []
        /// The runner has ended: nothing begins any more.
        package var isLast = false

        package init(at_us: Int64, checkpoints: [Checkpoint], tables: Set<TableID>) {
            self.at_us = at_us
            self.checkpoints = checkpoints
            self.tables = tables
        }
    }

    /// An agent that lived so long in an episode has told of it.
    static let told_us: Int64 = 60_000_000
    /// A table that comes while others are replicated may have rows at the source that are still to be copied: whether that
    /// is so is known by then (`PostgresSource.Settings.publicationLook`).
    static let settled_us: Int64 = 15_000_000

    package private(set) var tables: [TableID: Table] = [:]
    private var completeness = Completeness()
    /// Of the last look; before it nothing is said of what isn't known.
    private var known: Set<TableID>?
    /// Connectors whose heartbeats have told nothing new for a while, by the tables that they bring.
    private var silent: [TableID: String] = [:]

    package init() {}

    /// Takes up where the agent before left.
    package mutating func resume(_ records: [FreshnessRecord]) {
        for record in records {
            var table = tables[record.table] ?? Table(at_us: record.since_us)
            table.since_us = record.since_us
            table.status = record.status
            table.reason = record.reason
            table.completeAsOf_us = later(record.completeAsOf_us, table.completeAsOf_us)
            table.changedAt_us = later(record.changedAt_us, table.changedAt_us)
            table.wasTold = record.status == .stale && record.seenAt_us - record.since_us >= Self.told_us
            tables[record.table] = table
        }
    }

    package mutating func note(_ end: SourceEnd) { completeness.note(end) }

    /// - Parameter now_us: where it was taken a while ago.
    package mutating func note(_ look: Look, now_us: Int64? = nil) {
        completeness.reached(look.checkpoints, lost: look.lost, now_us: now_us ?? look.at_us)
        silent = [:]
        for id in look.tables {
            var table = tables[id] ?? Table(at_us: look.at_us)
            table.obstacle = look.obstacles[id]
            if let known, !known.contains(id), table.completeAsOf_us == nil { table.metAt_us = look.at_us }
            let isSettled = table.metAt_us.map { look.isLast || look.at_us - $0 >= Self.settled_us } ?? true
            if table.obstacle == nil, isSettled {
                let found = completeness.asOf(id, look.checkpoints, isLast: look.isLast)
                table.completeAsOf_us = later(found?.at_us, table.completeAsOf_us)
                silent[id] = found?.server
            }
            tables[id] = table
        }
        for (id, reason) in look.obstacles where !look.tables.contains(id) { tables[id]?.obstacle = reason }
        known = look.tables
    }

    /// A snapshot's rows are all there.
    package mutating func note(copied: [TableID], asOf moment_us: Int64) {
        for id in copied {
            var table = tables[id] ?? Table(at_us: moment_us)
            table.completeAsOf_us = later(moment_us, table.completeAsOf_us)
            tables[id] = table
        }
    }

    /// When a table was changed last, by its source's clock.
    package mutating func note(changes: [TableID: Int64]) {
        for (id, time_us) in changes {
            guard let before = tables[id] else { continue }
            tables[id]?.changedAt_us = later(time_us, before.changedAt_us)
        }
    }

    /// Judges all tables; gives those whose status isn't what it was.
    ///
    /// - Parameter trouble: what stands in the way of all of them, as far as the agent knows.
    package mutating func step(
        _ contracts: [FreshnessContract], trouble: String? = nil, now_us: Int64
    ) -> [FreshnessRecord] {
        let promised = Dictionary(contracts.map { ($0.table, $0) }) { first, _ in first }
        for id in promised.keys where tables[id] == nil { tables[id] = Table(at_us: now_us) }
        var changes: [FreshnessRecord] = []
        for (id, before) in tables.sorted(by: { $0.key < $1.key }) {
            var table = before
            if table.contract == nil, promised[id] != nil { table.watchedSince_us = now_us }
            table.contract = promised[id]
            // A clock that was set back promises nothing.
            table.completeAsOf_us = table.completeAsOf_us.map { min($0, now_us) }
            table.watchedSince_us = min(table.watchedSince_us, now_us)
            table.staleness_us = table.completeAsOf_us.map { now_us - $0 }
            let status = Self.status(table, now_us: now_us)
            let isChange = status != before.status && (status != nil || before.status != nil && table.contract == nil)
            table.reason = status == .stale ? reason(id, table, trouble) : nil
            if isChange {
                table.status = status
                table.since_us = now_us
                table.wasTold = false
            }
            tables[id] = table
            if isChange { changes.append(record(id, table, now_us: now_us)) }
        }
        return changes
    }

    private static func status(_ table: Table, now_us: Int64) -> FreshnessStatus? {
        guard let contract = table.contract else { return nil }
        guard let staleness_us = table.staleness_us else {
            return now_us - table.watchedSince_us > contract.maxStaleness_us ? .stale : table.status
        }
        return staleness_us > contract.maxStaleness_us ? .stale : .fresh
    }

    private func reason(_ id: TableID, _ table: Table, _ trouble: String?) -> String {
        if let trouble { return trouble }
        if let known, !known.contains(id) { return table.obstacle ?? "nothing of it has been replicated yet" }
        if let obstacle = table.obstacle { return obstacle }
        if let server = silent[id] { return "no heartbeat of the connector \(server) has come since" }
        return "what the source has had since isn't known to be durable"
    }

    /// What is so of every table that something is known of, as it is kept; those without a contract only if `all`.
    package func records(all: Bool, now_us: Int64) -> [FreshnessRecord] {
        tables.sorted { $0.key < $1.key }.compactMap { id, table in
            if table.contract != nil { return table.status == nil ? nil : record(id, table, now_us: now_us) }
            return all && table.completeAsOf_us != nil ? record(id, table, now_us: now_us) : nil
        }
    }

    private func record(_ id: TableID, _ table: Table, now_us: Int64) -> FreshnessRecord {
        var record = FreshnessRecord(
            table: id, status: table.status, since_us: table.since_us, seenAt_us: now_us)
        record.completeAsOf_us = table.completeAsOf_us
        record.changedAt_us = table.changedAt_us
        record.staleness_us = table.staleness_us
        record.maxStaleness_us = table.contract?.maxStaleness_us
        record.reason = table.reason
        record.channel = table.contract?.channel
        return record
    }
}

/// The later of two moments, of which each may be unknown.
private func later(_ one: Int64?, _ other: Int64?) -> Int64? {
    guard let one, let other else { return one ?? other }
    return max(one, other)
}

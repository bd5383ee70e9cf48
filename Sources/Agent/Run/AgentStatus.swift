import PipelineFile
import Replication
import Synchronization

/// What the running agent knows of itself, for status, metrics and the summary; from any thread.
package final class AgentStatus: Sendable {
    package enum State: String, Sendable {
        case starting, ok, degraded, stopped
        /// Another agent is at work; this one takes over when that one is gone.
        case standby
    }

    package struct TableStatus: Sendable {
        package var definition: TableDefinition
        package var ledger: LedgerEntry
        package var newestSourceTime_us = Int64.min
        /// When what it shows was changed last: by the source's time, or where a snapshot was read, when that was written.
        package var changedAt_us = Int64.min
        /// That its events came out of, where they are noted.
        package var topics: Set<String> = []
        /// Why the table is in state `error`.
        package var error: String?
    }

    package struct Snapshot: Sendable {
        package var state = State.starting
        package var tables: [TableID: TableStatus] = [:]
        package var unknown = LedgerEntry(table: nil)
        package var control = 0
        package var positions: [TopicPartition: Int64] = [:]
        package var lag: [TopicPartition: Int64] = [:]
        /// The positions that it was measured from; those of now may be behind what was committed since.
        package var lagFrom: [TopicPartition: Int64] = [:]
        /// When that was measured last.
        package var lagAt: ContinuousClock.Instant?
        /// The same, by the clock: µs since 1970.
        package var toldAt_us = Int64.min
        /// Where the source ended once, if the runner asked or came there.
        package var sourceEnd: SourceEnd?
        package var progress = SourceProgress()
        /// Positions are Postgres' own, shown as it writes them.
        package var hasLSNs = false
        package var lost: [LostPartition] = []
        package var holds: [TableHold] = []
        /// What rules of rows found since the agent started.
        package var gates: [GateCount] = []
        /// Of whole tables: expectations that aren't met, as they were looked at last.
        package var failing: [FailingExpectation] = []
        /// Of tables that rules hold: how near they are to where the agent stops, and why.
        package var limits: [TableID: (share: Double, reason: String)] = [:]
        package var schemaChanges: [SchemaChange] = []
        /// The last sweep of each table, and the last that proved it equal.
        package var sweeps: [TableID: (last: SweepRecord, proof: SweepRecord?)] = [:]
        /// Of each table with a contract.
        package var freshness: [TableID: FreshnessReport.Table] = [:]
        /// The source was read, or stood ready to be: its address and rights were right.
        package var hasBegun = false
        /// What the agent waits for, if it waits.
        package var waiting: String?
        /// Who has the warehouse's file, while nothing is read.
        package var lent: String?
        /// That, or what the source waits for inside, or who has the file.
        package var waitsFor: String? { lent ?? waiting ?? progress.away }
        package var batches = 0
        /// Seconds in which batches were written.
        package var applySeconds = Histogram([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30])
        /// Their change events.
        package var batchEvents = Histogram([1, 10, 100, 1000, 10_000, 25_000, 50_000, 100_000])
        package var rows = 0
        package var recordBytes = 0
        package var retries = 0
        /// Episodes that go on, by kind, of each target of the pipeline file by its number.
        package var alerts: [Int: [Pipeline.AlertKind: Int]] = [:]
        package var alertsSent = 0
        /// Attempts.
        package var alertsFailed = 0
        /// Nil: nobody is told of lineage.
        package var lineage: LineageCounts?
        package var newestSourceTime_us = Int64.min
        package var lastCommit_us = Int64.min
        package var startedAt_us = Int64.min

        package var events: Int { tables.values.reduce(unknown.read) { $0 + $1.ledger.read } }
        package var quarantined: Int { tables.values.reduce(unknown.quarantined) { $0 + $1.ledger.quarantined } }
    }

    private let snapshot = Mutex(Snapshot())
    /// Of a Postgres source.
    package let commits = RecentCommits()

    package init() {}

    package var current: Snapshot { snapshot.withLock { $0 } }
    package func update(_ change: (inout Snapshot) -> Void) { snapshot.withLock { change(&$0) } }

    /// Counts what a release moved on in the ledger.
    package func released(_ outcome: BatchApplier.Outcome) {
        snapshot.withLock { all in
            for entry in outcome.ledger {
                guard let table = entry.table else { continue }
                all.tables[table]?.ledger += entry
                all.tables[table]?.note(entry, newest: outcome.newestSourceTimes_us[table], at: all.lastCommit_us)
            }
            all.gates = GateCount.sums(all.gates + outcome.gates)
        }
    }

    /// Counts a batch that is durable now.
    package func committed(
        _ outcome: BatchApplier.Outcome, _ tables: [TableDefinition], positions: [TopicPartition: Int64],
        topics: [TableID: Set<String>] = [:], seconds: Double,
        newestSourceTime_us: Int64, recordBytes: Int, at now_us: Int64
    ) {
        snapshot.withLock { all in
            all.batches += 1
            all.applySeconds.add(seconds)
            all.batchEvents.add(Double(outcome.ledger.reduce(0) { $0 + $1.read }))
            all.rows += outcome.rows
            all.gates = GateCount.sums(all.gates + outcome.gates)
            for hold in outcome.closed where !all.holds.contains(hold) { all.holds.append(hold) }
            all.recordBytes += recordBytes
            all.control += outcome.control
            all.lastCommit_us = now_us
            all.newestSourceTime_us = max(all.newestSourceTime_us, newestSourceTime_us)
            all.positions.merge(positions) { $1 }
            for entry in outcome.ledger {
                guard let table = entry.table else {
                    all.unknown += entry
                    continue
                }
                guard let definition = tables.first(where: { $0.source == table }) ?? all.tables[table]?.definition
                else {
                    // A record that was put aside before its table had a shape.
                    all.unknown += entry
                    continue
                }
                var known = all.tables[table] ?? TableStatus(definition: definition, ledger: .init(table: table))
                known.ledger += entry
                // A batch's own has columns in other places, and dropped ones among them.
                if definition.followed == nil || !definition.isCovered(by: known.definition) {
                    known.definition = definition
                }
                known.newestSourceTime_us = max(known.newestSourceTime_us, newestSourceTime_us)
                known.note(entry, newest: outcome.newestSourceTimes_us[table], at: now_us)
                all.tables[table] = known
            }
            for (table, topics) in topics { all.tables[table]?.topics.formUnion(topics) }
            if all.quarantined > 0, all.state == .ok { all.state = .degraded }
        }
    }
}

extension AgentStatus.TableStatus {
    /// Only what is applied shows.
    fileprivate mutating func note(_ entry: LedgerEntry, newest time_us: Int64?, at now_us: Int64) {
        guard entry.applied > 0 else { return }
        changedAt_us = max(changedAt_us, time_us ?? now_us)
    }
}

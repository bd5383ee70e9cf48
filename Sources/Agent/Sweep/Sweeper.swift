import Logging
import PipelineFile
import Postgres
import Replication

/// What a sweep is to look at, and what it said.
package struct SweepReport: Sendable, Equatable {
    package struct Table: Sendable, Equatable {
        package var source: String
        /// Nil: it wasn't compared, as `reason` says.
        package var record: SweepRecord?
        package var reason: String?
        /// The first of them, with their keys.
        package var differences: [SweepDifference] = []
        /// Of `--late`: rows that were folded from raw again, and those that are others now.
        package var late: Late?
    }

    package struct Late: Sendable, Equatable {
        package var rows: Int
        package var mended: Int

        package init(rows: Int, mended: Int) {
            self.rows = rows
            self.mended = mended
        }
    }

    package var snapshot = ""
    package var position: Int64 = 0
    package var tables: [Table] = []

    /// Of all tables.
    var differences: Int { tables.reduce(0) { $0 + ($1.record?.differences ?? 0) } }

    /// Differences were found, or rows never stood still.
    package var hasDifferences: Bool { tables.contains { ($0.record?.differences ?? 0) + ($0.record?.moved ?? 0) > 0 } }
}

/// Proves that tables of the warehouse equal their source as of a snapshot, while the agent streams: a plain snapshot is
/// taken at the source, the warehouse is read once it has applied all that the snapshot shows, and what was changed
/// meanwhile is looked at again in newer snapshots until it was seen in quiet. A difference counts once it was seen so
/// twice.
struct Sweeper {
    /// Snapshots after the first.
    private static let rounds_max = 12
    /// How long the warehouse may take to come to where a snapshot stands.
    private static let patience = Duration.seconds(600)

    let setup: PipelineSetup
    let server: Pipeline.PostgresServer
    let warehouse: any Warehouse
    let status: AgentStatus
    let hurry: @Sendable (Int64) -> Void
    let progress: @Sendable (String) -> Void

    /// - Parameter repaired: how many differences of a table were mended just before.
    func run(_ tables: [TableDefinition], repaired: [TableID: Int] = [:]) async throws -> SweepReport {
        let source = SourceSnapshot(url: server.url.text)
        do {
            let report = try await run(tables, repaired, source)
            await source.close()
            return report
        } catch {
            await source.close()
            throw error
        }
    }

    private func run(
        _ tables: [TableDefinition], _ repaired: [TableID: Int], _ source: SourceSnapshot
    ) async throws -> SweepReport {
        let startedAt_us = Moment.now_us()
        var report = SweepReport()
        progress("waiting for the warehouse to come to the snapshot")
        var (moment, here) = try await take(source)
        report.snapshot = moment.snapshot
        report.position = moment.position
        var sweeps: [Int: TableSweep] = [:]
        do {
            let filters = try await source.filters(of: server.publication)
            for (index, table) in tables.enumerated() {
                report.tables.append(.init(source: table.source.description))
                if let reason = obstacle(table) {
                    report.tables[index].reason = reason
                    continue
                }
                progress("comparing \(table.source)")
                report.tables[index].reason = try await alone(source, here) {
                    guard let columns = try await source.columns(of: table.source) else {
                        return "the source has no such table any more"
                    }
                    let options = setup.releaseOptions(of: table.source)
                    var sweep = TableSweep(
                        table, source: columns, hashed: setup.hashedColumns(of: table.source),
                        excluded: options.excluded, filter: filters[table.source], layout: setup.layout,
                        engine: warehouse.engine, moment: moment, startedAt_us: startedAt_us)
                    guard sweep.hasKey else { return "its key has a type that can't be compared" }
                    try await sweep.begin(before: moment.before, source, here)
                    sweeps[index] = sweep
                    return sweep.isCut ? "so many rows differ that they weren't all listed" : nil
                }
            }
            await here.close()
            for round in 1...Self.rounds_max {
                let open = sweeps.filter { !$0.value.open.isEmpty }.keys.sorted()
                guard !open.isEmpty else { break }
                progress("looking again at \(open.reduce(0) { $0 + (sweeps[$1]?.open.count ?? 0) }) rows")
                (moment, here) = try await take(source)
                for index in open {
                    let reason: String? = try await alone(source, here) {
                        try await sweeps[index]?.look(
                            before: moment.before, source, here, isLast: round == Self.rounds_max)
                        try await sweeps[index]?.nameColumns(source, here)
                        return nil
                    }
                    guard let reason else { continue }
                    report.tables[index].reason = reason
                    sweeps[index] = nil
                }
                await here.close()
            }
        } catch {
            await here.close()
            throw error
        }
        for index in sweeps.keys.sorted() {
            sweeps[index]?.finish(at: Moment.now_us(), repaired: repaired[tables[index].source] ?? 0)
            report.tables[index].record = sweeps[index]?.record
            report.tables[index].differences = sweeps[index]?.differences ?? []
        }
        // It became held or was copied anew in between: nothing is proven.
        for (index, table) in tables.enumerated() where report.tables[index].record != nil {
            guard let reason = obstacle(table) else { continue }
            report.tables[index] = .init(source: table.source.description, reason: reason)
        }
        try await warehouse.record(report.tables.compactMap(\.record))
        return report
    }

    /// What is one table's alone is told as the reason why it isn't compared; the others are.
    private func alone(
        _ source: SourceSnapshot, _ here: any WarehouseSnapshot, _ work: () async throws -> String?
    ) async throws -> String? {
        var reason: String?
        do {
            reason = try await work()
        } catch let error as ReplicationError where error.kind != .passing || error.table != nil {
            reason = error.message
        }
        try await source.letGo()
        try await here.letGo()
        return reason
    }

    /// Both sides' snapshots: what the source's shows, the warehouse's holds.
    private func take(_ source: SourceSnapshot) async throws -> (SourceSnapshot.Moment, any WarehouseSnapshot) {
        let moment = try await source.take()
        let deadline = ContinuousClock.now + Self.patience
        hurry(moment.position)
        while (status.current.positions.values.max() ?? .min) < moment.position {
            guard ContinuousClock.now < deadline else {
                throw ReplicationError(
                    .environment,
                    "the warehouse hasn't come to \(LSN.text(moment.position)) within \(Self.patience.pipelineText)",
                    remedy: "see what holds it up: millrace status; then sweep again")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        return (moment, try await warehouse.snapshot())
    }

    private func obstacle(_ table: TableDefinition) -> String? {
        if let reason = status.current.obstacle(table) { return reason }
        return table.isFiltered ? "it has a where, which the source can't judge (not yet)" : nil
    }
}

extension AgentStatus.Snapshot {
    /// Why a table can't be compared now.
    func obstacle(_ table: TableDefinition) -> String? {
        if let hold = holds.first(where: { $0.table == table.source }) {
            return "it stands still (\(hold.kind.rawValue)): \(hold.remedy)"
        }
        if progress.copying[table.source] != nil { return "it is still being copied" }
        if progress.resyncing.contains(table.source) { return "it is being resynced" }
        if let reason = progress.refused[table.source] { return "it can't be copied: \(reason)" }
        if table.isKeyless { return "it has no key (not yet)" }
        if !table.hasShape { return "nothing is known of its columns yet" }
        return nil
    }
}

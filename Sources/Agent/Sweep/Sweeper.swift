import Logging
import PipelineFile
import Postgres
import Replication
import Synchronization

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
    static let rounds_max = 12

    /// What was found of each table when it was looked at last, for who mends it.
    final class Findings: Sendable {
        private let tables = Mutex<[TableID: TableSweep]>([:])

        subscript(table: TableID) -> TableSweep? {
            get { tables.withLock { $0[table] } }
            set { tables.withLock { $0[table] = newValue } }
        }
    }

    let setup: PipelineSetup
    /// Of the source's server, or of the catalog.
    let url: String
    let route: any SweepRoute
    let warehouse: any Warehouse
    let status: AgentStatus
    let findings: Findings
    let request: SweepRequest
    let progress: @Sendable (String) -> Void

    /// - Parameter repaired: how many differences of a table were mended just before.
    func run(_ tables: [TableDefinition], repaired: [TableID: Int] = [:]) async throws -> SweepReport {
        try await withSource { source in
            var comparison = Comparison(report: SweepReport(), tables: tables, repaired: repaired)
            try await compare(&comparison, source)
            return comparison.report
        }
    }

    func withSource<R>(_ body: (SourceSnapshot) async throws -> R) async throws -> R {
        let source = SourceSnapshot(url: url)
        do {
            let result = try await body(source)
            await source.close()
            return result
        } catch {
            await source.close()
            throw error
        }
    }

    // MARK: Comparing

    private struct Comparison {
        var report: SweepReport
        let tables: [TableDefinition]
        let repaired: [TableID: Int]
        let startedAt_us = Moment.now_us()
        /// By the tables' places, until they are through.
        var sweeps: [Int: TableSweep] = [:]
    }

    private func compare(_ all: inout Comparison, _ source: SourceSnapshot) async throws {
        progress("waiting for the warehouse to come to the snapshot")
        var (moment, here) = try await take(source)
        all.report.snapshot = moment.snapshot
        all.report.position = moment.position
        do {
            let filters = try await source.filters(of: route.publication)
            let hashing = try await RowHash.common(
                engine: warehouse.engine, { try await source.rows($0) }, { try await here.rows($0) })
            for index in all.tables.indices { try await begin(index, &all, filters, hashing, moment, source, here) }
            await here.close()
            try await record(&all)
            for round in 1...Self.rounds_max where !all.sweeps.isEmpty {
                progress("looking again at \(all.sweeps.values.reduce(0) { $0 + $1.open.count }) rows")
                (moment, here) = try await take(source)
                for index in all.sweeps.keys.sorted() {
                    let touched = try route.touched(since: moment, all.tables[index])
                    let reason: String? = try await alone(source, here) {
                        try await all.sweeps[index]?.look(
                            touched: touched, source, here, isLast: round == Self.rounds_max)
                        try await all.sweeps[index]?.nameColumns(source, here)
                        guard all.sweeps[index]?.open.isEmpty ?? false else { return nil }
                        try await all.sweeps[index]?.nameKinds(here, raw: raw(all.tables[index]))
                        return nil
                    }
                    guard let reason else { continue }
                    all.report.tables[index].reason = reason
                    all.sweeps[index] = nil
                }
                await here.close()
                try await record(&all)
            }
        } catch {
            await here.close()
            throw error
        }
    }

    private func begin(
        _ index: Int, _ all: inout Comparison, _ filters: [TableID: String], _ hashing: RowHash,
        _ moment: SourceSnapshot.Moment,
        _ source: SourceSnapshot, _ here: any WarehouseSnapshot
    ) async throws {
        let table = all.tables[index]
        all.report.tables.append(.init(source: table.source.description))
        findings[table.source] = nil
        if let reason = obstacle(table) {
            all.report.tables[index].reason = reason
            return
        }
        let place = all.tables.count > 1 ? " (\(index + 1) of \(all.tables.count) tables)" : ""
        progress("comparing \(table.source)\(place)")
        let touched = try route.touched(since: moment, table)
        let startedAt_us = all.startedAt_us
        var begun: TableSweep?
        all.report.tables[index].reason = try await alone(source, here) {
            guard let columns = try await source.columns(of: table.source) else {
                return "the source has no such table any more"
            }
            let options = setup.releaseOptions(of: table.source)
            var sweep = TableSweep(
                table, source: columns, hashed: setup.hashedColumns(of: table.source),
                excluded: options.excluded, filter: filters[table.source], layout: setup.layout,
                engine: warehouse.engine,
                hashing: hashing, moment: moment, startedAt_us: startedAt_us)
            guard sweep.hasKey else { return "its key has a type that can't be compared" }
            if let recent_s = request.recent_s {
                sweep.limit(to_s: recent_s)
                try await sweep.begin(
                    recent: moment.takenAt_us - Int64(recent_s) * 1_000_000, raw: raw(table), here)
            } else {
                let scan = try await source.scan(table.source, moment, request.pace) { share in
                    let done = String(repeating: "#", count: Int(share * 20))
                    let left = String(repeating: "-", count: 20 - done.count)
                    progress("[\(done)\(left)] \(Int(share * 100)) % of \(table.source)\(place)")
                }
                try await sweep.begin(touched: touched, source, here, scan: scan)
            }
            begun = sweep
            return sweep.isCut ? "so many rows differ that they weren't all listed" : nil
        }
        all.sweeps[index] = begun
    }

    private func raw(_ table: TableDefinition) -> String? {
        setup.layout.hasRaw ? setup.layout.raw(of: table) : nil
    }

    /// What is through is on record at once: it stays proven, whatever becomes of the others.
    private func record(_ all: inout Comparison) async throws {
        var records: [SweepRecord] = []
        for (index, sweep) in all.sweeps where sweep.open.isEmpty {
            let table = all.tables[index]
            var sweep = sweep
            all.sweeps[index] = nil
            // It became held or was copied anew in between: nothing is proven.
            if let reason = obstacle(table) {
                all.report.tables[index] = .init(source: table.source.description, reason: reason)
                continue
            }
            sweep.finish(at: Moment.now_us(), repaired: all.repaired[table.source] ?? 0)
            all.report.tables[index].record = sweep.record
            all.report.tables[index].differences = sweep.differences
            records.append(sweep.record)
            findings[table.source] = sweep
        }
        try await warehouse.record(records)
    }

    /// What is one table's alone is told as the reason why it isn't compared; the others are.
    func alone(
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
    func take(_ source: SourceSnapshot) async throws -> (SourceSnapshot.Moment, any WarehouseSnapshot) {
        let moment = try await route.arrive(at: try await source.take(at: Moment.now_us()))
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

import Foundation
import Logging
import PipelineFile
import Replication
import Synchronization

/// Proves that tables of the warehouse are what their raw says, where no source can be asked: raw is applied once more, to
/// a second warehouse, and both are compared in one snapshot of the first. What never came into raw it can't miss.
struct FoldSweeper {
    /// What was found of each table when it was looked at last, for who mends it, and what became of that.
    final class Findings: Sendable {
        struct Table: Sendable {
            /// Keys of rows that differ, as JSON objects.
            var keys: [String] = []
            /// Why some of them couldn't be mended.
            var reason: String?
        }
        private let tables = Mutex<[TableID: Table]>([:])

        subscript(table: TableID) -> Table {
            get { tables.withLock { $0[table] ?? Table() } }
            set { tables.withLock { $0[table] = newValue } }
        }
    }

    /// Rows of one transaction; the table's other writers wait for it.
    private static let mended_max = 50

    let setup: PipelineSetup
    let warehouse: any Warehouse
    let status: AgentStatus
    let findings: Findings
    let request: SweepRequest
    let progress: @Sendable (String) -> Void

    /// - Parameter repaired: how many differences of a table were mended just before.
    func run(_ tables: [TableDefinition], repaired: [TableID: Int] = [:]) async throws -> SweepReport {
        try setup.layout.requireLayers("a sweep without a source")
        var report = SweepReport()
        report.snapshot = SweepRecord.fold
        for table in tables {
            let entry = try await compare(table, repaired[table.source] ?? 0)
            // At once: what is proven stays so, whatever becomes of the others.
            if let record = entry.record { try await warehouse.record([record]) }
            report.tables.append(entry)
        }
        return report
    }

    /// Makes the rows that differed what raw says.
    func mend(_ tables: [TableDefinition]) async throws {
        for table in tables {
            let keys = findings[table.source].keys
            for start in stride(from: 0, to: keys.count, by: Self.mended_max) {
                let part = Array(keys[start..<min(start + Self.mended_max, keys.count)])
                let folded = try await warehouse.refold(
                    part, of: table, .anew, setup.releaseOptions(of: table.source), reconciles: nil)
                findings[table.source].reason = findings[table.source].reason ?? folded.reason
            }
        }
    }

    private func compare(_ table: TableDefinition, _ repaired: Int) async throws -> SweepReport.Table {
        var entry = SweepReport.Table(source: table.source.description)
        // Told by this look: what the repair before it met.
        let unmended = findings[table.source].reason
        findings[table.source] = .init()
        entry.reason = status.current.obstacle(table)
        guard entry.reason == nil else { return entry }
        let here = try await warehouse.snapshot()
        do {
            let sweep = try await sweep(table, here, repaired, &entry)
            await here.close()
            // It became held or was copied anew in between: nothing is proven.
            if let reason = status.current.obstacle(table) { return .init(source: entry.source, reason: reason) }
            entry.record = sweep?.record
            entry.differences = sweep?.differences ?? []
            if sweep.map({ $0.record.differences > 0 }) ?? false { entry.reason = entry.reason ?? unmended }
        } catch let error as ReplicationError where error.kind != .passing || error.table != nil {
            await here.close()
            entry.reason = error.message
        } catch {
            await here.close()
            throw error
        }
        return entry
    }

    private func sweep(
        _ table: TableDefinition, _ here: any WarehouseSnapshot, _ repaired: Int, _ entry: inout SweepReport.Table
    ) async throws -> TableSweep? {
        let state =
            try await here.rows(
                RawReplay.obstacles(table.source, pipeline: setup.layout.pipeline, engine: warehouse.engine)
            ).first ?? []
        guard !state.contains("adopted") else {
            entry.reason = "it was adopted: what stood there before isn't in raw"
            return nil
        }
        guard !state.contains("trimmed") else {
            entry.reason = "raw lacks what layers.raw_retention has taken from it"
            return nil
        }
        // Agents of other hosts have the same name for theirs. Held as long as the snapshot.
        if let lock = RawReplay.lock(pipeline: setup.layout.pipeline, engine: warehouse.engine) {
            guard try await here.rows(lock).first?.first == "t" else {
                entry.reason = "another agent folds this pipeline's raw now"
                return nil
            }
        }
        let second = SecondWarehouse(setup)
        let layout = RawReplay.layout(of: setup.layout)
        do {
            if let recent_s = request.recent_s {
                try await second.open()
                let since_us = Moment.now_us() - Int64(recent_s) * 1_000_000
                let keys = try await recent(table, since_us, here)
                var some = try await sweep(table, here, second.warehouse, layout, repaired, &entry, keys: keys)
                // Events of other rows may belong to these: what differs is told once all of raw says so.
                if some.map({ $0.record.differences == 0 }) ?? true {
                    await second.remove()
                    some?.limit(to_s: recent_s)
                    return some
                }
            }
            try await second.open()
            let sweep = try await sweep(table, here, second.warehouse, layout, repaired, &entry)
            await second.remove()
            return sweep
        } catch {
            await second.remove()
            throw error
        }
    }

    /// Keys of a page of raw's events.
    private static let keys_max = 1000
    /// More of them are a sweep of the whole table's.
    private static let recent_max = 50_000

    private func recent(_ table: TableDefinition, _ since_us: Int64, _ here: any WarehouseSnapshot) async throws
        -> [String]
    {
        let keys = try await here.rows(
            "SELECT * FROM (\(RawReplay.touched(setup.layout.raw(of: table), since_us))) AS k LIMIT \(Self.recent_max + 1)"
        ).compactMap { $0.first ?? nil }
        guard keys.count <= Self.recent_max else {
            throw ReplicationError(
                .environment, "\(table.source): more than \(Self.recent_max) rows changed in that time",
                remedy: "millrace sweep, of whole tables, or a shorter time", table: table.source)
        }
        return keys
    }

    /// - Parameter keys: whose events alone are wanted, with all truncates; nil: all.
    private func part(
        _ page: Int, of table: TableDefinition, _ keys: [String]?, _ here: any WarehouseSnapshot
    ) async throws -> [RawEvent]? {
        guard let keys else { return try await here.rawEvents(table, page: page) }
        let start = page * Self.keys_max
        guard start < keys.count else { return nil }
        let some = Array(keys[start..<min(start + Self.keys_max, keys.count)])
        return try await here.rawEvents(table, keys: some, truncates: page == 0)
    }

    private func sweep(
        _ table: TableDefinition, _ here: any WarehouseSnapshot, _ second: any Warehouse, _ layout: WarehouseLayout,
        _ repaired: Int, _ entry: inout SweepReport.Table, keys: [String]? = nil
    ) async throws -> TableSweep? {
        let startedAt_us = Moment.now_us()
        let replay = RawReplay(table, setup.releaseOptions(of: table.source), engine: warehouse.engine)
        try await second.ensure([replay.definition])
        var events = 0
        var page = 0
        while let part = try await part(page, of: table, keys, here) {
            try Task.checkCancellation()
            page += 1
            events += part.count
            guard let batch = try replay.batch(of: part) else { continue }
            progress("applying raw of \(table.source) again: \(events) events")
            let outcome = try await second.apply(batch, advancing: [])
            guard outcome.ledger.allSatisfy({ $0.deferred == 0 }) else {
                let reason = try await second.holds().first?.reason ?? ""
                throw ReplicationError(
                    .permanent, "raw can't be applied any more: \(reason)", table: table.source)
            }
            guard outcome.quarantined == 0 else {
                let reason = try await second.quarantine().first?.entry.reason ?? ""
                throw ReplicationError(
                    .permanent, "\(outcome.quarantined) events of raw can't be applied any more: \(reason)",
                    table: table.source)
            }
        }
        progress("comparing \(table.source)")
        let quoted = RowDigest.quoted
        var sweep = TableSweep(
            fold: table, "\(quoted(layout.current)).\(quoted(table.target))", layout: setup.layout,
            engine: warehouse.engine, startedAt_us: startedAt_us)
        guard sweep.hasKey else {
            entry.reason = "its key has a type that can't be compared"
            return nil
        }
        let there = try await second.snapshot()
        do {
            // Nothing changes in either.
            if keys == nil {
                try await sweep.begin(touched: "FALSE", there, here)
            } else {
                try await sweep.begin(allOf: there)
            }
            if sweep.isCut { entry.reason = "so many rows differ that they weren't all listed, and none is mended" }
            // What differs is open as such where all rows were summed, else it is looked at twice.
            try await sweep.look(touched: "FALSE", there, here, isLast: keys == nil)
            if keys != nil { try await sweep.look(touched: "FALSE", there, here, isLast: true) }
            try await sweep.nameColumns(there, here)
            try await sweep.nameKinds(here, raw: setup.layout.raw(of: table))
            findings[table.source].keys = try await sweep.keysOfDifferences(there, here)
            await there.close()
        } catch {
            await there.close()
            throw error
        }
        sweep.finish(at: Moment.now_us(), repaired: repaired)
        return sweep
    }
}

/// What raw is applied to, for as long as a comparison takes.
struct SecondWarehouse {
    let warehouse: any Warehouse
    private let file: String

    init(_ setup: PipelineSetup) {
        let folder = URL(fileURLWithPath: setup.pipeline.agent.dir)
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        file = folder.appending(path: "fold-\(setup.layout.pipeline).duckdb").path
        warehouse = setup.makeSecondWarehouse(RawReplay.layout(of: setup.layout), path: file)
    }

    /// Empty, whatever an agent that was killed has left.
    func open() async throws {
        removeFiles()
        try await warehouse.open(readOnly: false)
        try await warehouse.drop(tables: true)
        try await warehouse.open(readOnly: false)
    }

    func remove() async {
        try? await warehouse.drop(tables: true)
        await warehouse.close()
        removeFiles()
    }

    private func removeFiles() {
        for name in [file, file + ".wal"] { try? FileManager.default.removeItem(atPath: name) }
    }

    /// Takes away what a sweep that was killed has left, unless another agent is at it.
    static func removeLeftover(_ setup: PipelineSetup, of warehouse: any Warehouse) async throws {
        let second = SecondWarehouse(setup)
        second.removeFiles()
        guard let lock = RawReplay.lock(pipeline: setup.layout.pipeline, engine: warehouse.engine) else { return }
        let here = try await warehouse.snapshot()
        do {
            if try await here.rows(lock).first?.first == "t" {
                try await second.warehouse.open(readOnly: false)
                await second.remove()
            }
        } catch {
            await here.close()
            throw error
        }
        await here.close()
    }
}

extension Warehouse {
    /// How long a source transaction that comes in parts is waited for.
    private static var patience: Duration { .seconds(60) }

    /// Makes rows what raw says; those that it can't say, one by one, are left out.
    ///
    /// - Returns: how many are others now, and the keys that were left out with one reason.
    func refold(
        _ keys: [String], of table: TableDefinition, _ way: RefoldRequest.Way, _ options: ReleaseOptions,
        reconciles: Range<Int64>?
    ) async throws -> (changed: Int, left: [String], reason: String?) {
        func fold(_ keys: [String]) async throws -> Int {
            try Task.checkCancellation()
            let request = RefoldRequest(table: table, keys: keys, way: way, options: options, reconciles: reconciles)
            let deadline = ContinuousClock.now + Self.patience
            while true {
                do {
                    return try await refold(request)
                } catch let error as ReplicationError where error.kind == .passing && ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(200))
                }
            }
        }
        do {
            return (try await fold(keys), [], nil)
        } catch let error as ReplicationError where error.kind == .permanent || error.kind == .data {
            guard keys.count > 1 else { return (0, keys, error.message) }
            var all: (changed: Int, left: [String], reason: String?) = (0, [], nil)
            for key in keys {
                let one = try await refold([key], of: table, way, options, reconciles: reconciles)
                all = (all.changed + one.changed, all.left + one.left, all.reason ?? one.reason)
            }
            return all
        }
    }
}

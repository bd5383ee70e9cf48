import Foundation
import Logging
import PipelineFile
import Replication
import Synchronization

/// Proves that tables of the warehouse are what their raw says, where no source can be asked: raw is applied once more, to
/// a second warehouse, and both are compared in one snapshot of the first. What never came into raw it can't miss.
struct FoldSweeper {
    /// Keys of rows that differed when a table was looked at last, as JSON objects, for who mends them.
    final class Findings: Sendable {
        private let keys = Mutex<[TableID: [String]]>([:])

        func note(_ table: TableID, _ keys: [String]) { self.keys.withLock { $0[table] = keys } }
        func keys(of table: TableID) -> [String] { keys.withLock { $0[table] ?? [] } }
    }

    /// Rows of one transaction; the table's other writers wait for it.
    private static let mended_max = 500

    let setup: PipelineSetup
    let warehouse: any Warehouse
    let status: AgentStatus
    let findings: Findings
    let progress: @Sendable (String) -> Void

    /// - Parameter repaired: how many differences of a table were mended just before.
    func run(_ tables: [TableDefinition], repaired: [TableID: Int] = [:]) async throws -> SweepReport {
        guard setup.layout.hasRaw, setup.layout.hasCurrent else {
            throw CommandFailure(
                ExitStatus.usage, "without raw there is nothing that current could be held against",
                try: "set layers: { raw: true, current: true } in the pipeline file")
        }
        var report = SweepReport()
        report.snapshot = SweepRecord.fold
        for table in tables {
            report.tables.append(try await compare(table, repaired[table.source] ?? 0))
        }
        try await warehouse.record(report.tables.compactMap(\.record))
        return report
    }

    /// Makes the rows that differed what raw says.
    func mend(_ tables: [TableDefinition]) async throws {
        for table in tables {
            let keys = findings.keys(of: table.source)
            for start in stride(from: 0, to: keys.count, by: Self.mended_max) {
                try Task.checkCancellation()
                progress("mending \(start) of \(keys.count) rows of \(table.source)")
                _ = try await warehouse.refold(
                    RefoldRequest(
                        table: table, keys: Array(keys[start..<min(start + Self.mended_max, keys.count)]), way: .anew,
                        options: setup.releaseOptions(of: table.source)))
            }
        }
    }

    private func compare(_ table: TableDefinition, _ repaired: Int) async throws -> SweepReport.Table {
        var entry = SweepReport.Table(source: table.source.description)
        findings.note(table.source, [])
        entry.reason = status.current.obstacle(table)
        if table.existing == .adopt { entry.reason = "it was adopted: what stood there before isn't in raw" }
        guard entry.reason == nil else { return entry }
        let here = try await warehouse.snapshot()
        do {
            let sweep = try await sweep(table, here, repaired, &entry)
            await here.close()
            // It became held or was copied anew in between: nothing is proven.
            if let reason = status.current.obstacle(table) { return .init(source: entry.source, reason: reason) }
            entry.record = sweep?.record
            entry.differences = sweep?.differences ?? []
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
        let isTrimmed = try await here.rows(RawReplay.isTrimmed(table.source, pipeline: setup.layout.pipeline))
        guard isTrimmed.first?.first != "t" else {
            entry.reason = "raw lacks what layers.raw_retention has taken from it"
            return nil
        }
        let layout = RawReplay.layout(of: setup.layout)
        let folder = URL(fileURLWithPath: setup.pipeline.agent.dir)
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: "fold.duckdb").path
        let second = setup.makeSecondWarehouse(layout, path: file)
        func remove() async {
            try? await second.drop(tables: true)
            await second.close()
            for name in [file, file + ".wal"] { try? FileManager.default.removeItem(atPath: name) }
        }
        // What an agent that was killed has left.
        await remove()
        do {
            try await second.open(readOnly: false)
            try await second.drop(tables: true)
            try await second.open(readOnly: false)
            let sweep = try await sweep(table, here, second, layout, repaired, &entry)
            await remove()
            return sweep
        } catch {
            await remove()
            throw error
        }
    }

    private func sweep(
        _ table: TableDefinition, _ here: any WarehouseSnapshot, _ second: any Warehouse, _ layout: WarehouseLayout,
        _ repaired: Int, _ entry: inout SweepReport.Table
    ) async throws -> TableSweep? {
        let startedAt_us = Moment.now_us()
        let replay = RawReplay(table, setup.releaseOptions(of: table.source), engine: warehouse.engine)
        try await second.ensure([replay.definition])
        var events = 0
        var page = 0
        while let part = try await here.rawEvents(table, page: page) {
            try Task.checkCancellation()
            page += 1
            events += part.count
            guard let batch = try replay.batch(of: part) else { continue }
            progress("applying raw of \(table.source) again: \(events) events")
            let outcome = try await second.apply(batch, advancing: [])
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
            try await sweep.begin(before: .max, there, here)
            if sweep.isCut { entry.reason = "so many rows differ that they weren't all listed" }
            try await sweep.look(before: .max, there, here, isLast: true)
            try await sweep.nameColumns(there, here)
            findings.note(table.source, try await sweep.keysOfDifferences(there, here))
            await there.close()
        } catch {
            await there.close()
            throw error
        }
        sweep.finish(at: Moment.now_us(), repaired: repaired)
        return sweep
    }
}

import Foundation
import Replication
import Synchronization
import Testing

@testable import Agent

struct SweepJobsTests {
    private let table = TableDefinition(
        source: TableID(schema: "public", table: "a"), target: "a", columns: [Column(name: "id", type: .integer)],
        key: [0])

    private func report(_ differences: Int) -> SweepReport {
        var report = SweepReport()
        report.tables = [
            .init(
                source: table.source.description,
                record: SweepRecord(
                    table: table.source, startedAt_us: 0, finishedAt_us: 0, snapshot: SweepRecord.fold, position: 0,
                    rows: 9, columns: ["id"], uncovered: [], digestSource: "", digestWarehouse: "",
                    missing: differences, extra: 0, different: 0, moved: 0))
        ]
        return report
    }

    private func end(_ jobs: SweepJobs, _ number: Int) async throws -> SweepReport? {
        while true {
            switch jobs.state(of: number) {
            case .running?: await Task.yield()
            case .done(let report)?: return report
            default: return nil
            }
        }
    }

    /// - Parameters:
    ///   - found: differences of each look in turn.
    ///   - looks: that are made.
    @Test(arguments: [([5, 0], 2), ([5, 2, 0], 3), ([5, 5, 0], 2), ([3, 2, 1, 1], 4), ([0], 1)])
    func repairsGoOnAsLongAsTheyMend(found: [Int], looks: Int) async throws {
        let looked = Mutex(0)
        let repaired = Mutex(0)
        let jobs = SweepJobs { _, _, _, _ in
            let look = looked.withLock { looked in
                defer { looked += 1 }
                return looked
            }
            return report(found[look])
        } repair: { tables, _, _ in
            #expect(tables == [table.source])
            repaired.withLock { $0 += 1 }
            return [:]
        } reconcile: { _, _, _ in
            SweepReport()
        }
        let last = try await end(jobs, try jobs.start([table], SweepRequest(.repair)))
        #expect(looked.withLock { $0 } == looks && repaired.withLock { $0 } == looks - 1)
        #expect(last?.differences == found[looks - 1])
    }

    @Test func whatNobodyWaitsForGivesWay() async throws {
        let jobs = SweepJobs { _, _, _, _ in
            try await Task.sleep(for: .seconds(3600))
            return SweepReport()
        } repair: { _, _, _ in
            [:]
        } reconcile: { _, _, _ in
            SweepReport()
        }
        let scheduled = try jobs.start([table], SweepRequest(), isScheduled: true)
        #expect(throws: CommandFailure.self) { try jobs.start([table], SweepRequest()) }
        await jobs.stop(scheduled: true)
        #expect(!jobs.isRunning && jobs.wasStopped(scheduled))

        let wanted = try jobs.start([table], SweepRequest())
        await jobs.stop(scheduled: true)
        #expect(jobs.isRunning && !jobs.wasStopped(wanted), "somebody waits for it")
        await jobs.stop()
        #expect(!jobs.isRunning && jobs.wasStopped(wanted))
        // What has ended isn't stopped.
        let late = try jobs.reconcileLate([table], 0..<1, isScheduled: true)
        _ = try await end(jobs, late)
        await jobs.stop()
        #expect(!jobs.wasStopped(late))
    }

    @Test func whatWasUnderWayIsGoneOnWith() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-memo-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let memo = SweepMemo(dir: folder.path, pipeline: "shop")
        func jobs(sleeps: Bool) -> SweepJobs {
            SweepJobs(memo: memo) { _, _, request, _ in
                if sleeps { try await Task.sleep(for: .seconds(3600)) }
                #expect(request.recent_s == 60)
                return self.report(0)
            } repair: { _, _, _ in
                [:]
            } reconcile: { _, _, _ in
                SweepReport()
            }
        }
        let request = SweepRequest(.repair, recent_s: 60, pace: SweepPace(workers: 3, rows_per_s: 7))
        let first = jobs(sleeps: true)
        #expect(first.unfinished == nil)
        _ = try first.start([table], request)
        // As one that is killed leaves it.
        let second = jobs(sleeps: true)
        #expect(second.unfinished?.request == request && second.unfinished?.tables == [table.source])
        _ = try second.goOn([table])
        #expect(second.unfinished == nil && memo.read().map(\.attempts) == [1])
        // It gives way, and is due again.
        await second.stop(scheduled: true)
        #expect(second.unfinished?.attempts == 0 && memo.read().count == 1)
        // Another is asked for before: both are known.
        let third = jobs(sleeps: false)
        let asked = try third.start([table], request)
        _ = try await end(third, asked)
        #expect(third.unfinished != nil && memo.read().count == 1)
        let last = try #require(try third.goOn([table]))
        _ = try await end(third, last)
        #expect(third.unfinished == nil && memo.read().isEmpty)
        // Killed while one is under way and another is still to be gone on with: neither is lost.
        _ = try jobs(sleeps: true).start([table], request)
        let fourth = jobs(sleeps: true)
        _ = try fourth.start([table], request)
        let fifth = jobs(sleeps: false)
        #expect(memo.read().count == 2)
        for left in [1, 0] {
            _ = try await end(fifth, try #require(try fifth.goOn([table])))
            #expect(memo.read().count == left)
        }
        #expect(try fifth.goOn([table]) == nil)
        await first.stop()
    }

    /// What can't be mended is told with its reason, and isn't tried again; the others are.
    @Test func refusalsAreTold() async throws {
        var other = table
        other.source = TableID(schema: "public", table: "b")
        func both(_ differences: Int, _ others: Int) -> SweepReport {
            var all = report(differences)
            var second = report(others).tables[0]
            second.source = other.source.description
            second.record?.table = other.source
            all.tables.append(second)
            return all
        }
        let looks = Mutex([both(5, 4), both(5, 2), report(0)])
        let asked = Mutex<[[TableID]]>([])
        let jobs = SweepJobs { tables, _, _, _ in
            var next = looks.withLock { $0.removeFirst() }
            if tables.count == 1 { next.tables[0].source = tables[0].source.description }
            return next
        } repair: { tables, _, _ in
            asked.withLock { $0.append(tables) }
            return tables.contains(table.source) ? [table.source: Unmended("it is masked")] : [:]
        } reconcile: { _, _, _ in
            SweepReport()
        }
        let last = try await end(jobs, try jobs.start([table, other], SweepRequest(.repair)))
        #expect(asked.withLock { $0 } == [[table.source, other.source], [other.source]])
        #expect(last?.tables.first?.reason == "it isn't mended: it is masked")
        #expect(last?.tables.last?.reason == nil)
    }

    /// A repair that fails takes nothing away from what was found.
    @Test func aRepairThatFailsIsTold() async throws {
        let jobs = SweepJobs { _, _, _, _ in
            report(3)
        } repair: { _, _, _ in
            throw ReplicationError(.environment, "the source is away")
        } reconcile: { _, _, _ in
            SweepReport()
        }
        let last = try await end(jobs, try jobs.start([table], SweepRequest(.repair)))
        #expect(last?.differences == 3 && last?.tables.first?.reason == "it isn't mended: the source is away")
    }

    @Test func whatIsThroughIsLeftOut() {
        var other = table
        other.source = TableID(schema: "public", table: "b")
        let entry = SweepMemo.Entry([table.source, other.source], SweepRequest(.repair), startedAt_us: 50)
        func sweep(_ differences: Int, at startedAt_us: Int64) -> SweepRecord {
            var record = report(differences).tables[0].record!
            record.startedAt_us = startedAt_us
            return record
        }
        func left(_ record: SweepRecord) -> [TableID] {
            entry.left(of: [table, other], [table.source: (record, nil)]).map(\.source)
        }
        #expect(left(sweep(0, at: 60)) == [other.source])
        #expect(left(sweep(0, at: 40)) == [table.source, other.source], "it was before")
        #expect(left(sweep(2, at: 60)) == [table.source, other.source], "it isn't repaired")
        #expect(entry.left(of: [], [:]).isEmpty)
    }
}

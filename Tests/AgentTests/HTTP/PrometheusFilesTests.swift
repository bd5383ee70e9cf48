import ChildProcess
import Foundation
import PipelineFile
import Replication
import Testing

@testable import Agent

/// connectors/prometheus names what an agent serves, and nothing else.
@Suite struct PrometheusFilesTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "connectors/prometheus")

    private static func text() -> String {
        var snapshot = AgentStatus.Snapshot()
        let table = TableID(schema: "public", table: "orders")
        let definition = TableDefinition(source: table, target: "orders", columns: [], key: [])
        snapshot.tables[table] = .init(definition: definition, ledger: .init(table: table), newestSourceTime_us: 1)
        snapshot.holds = [TableHold(table: table, kind: .restored, reason: "", since_us: 0)]
        snapshot.schemaChanges = [SchemaChange(table: table, kind: .dropColumn, state: .waiting, position: 1)]
        snapshot.lag = [TopicPartition(topic: "t", partition: 0): 1]
        snapshot.positions = snapshot.lag
        snapshot.progress.logLeft = [TopicPartition(topic: "t", partition: 0): 0.5]
        snapshot.progress.retainedLog_bytes = 1
        snapshot.alerts = [0: [.lag: 1]]
        snapshot.lastCommit_us = 1
        let sweep = SweepRecord(
            table: table, startedAt_us: 1, finishedAt_us: 2, snapshot: "", position: 1, rows: 1, columns: [],
            uncovered: [], digestSource: "", digestWarehouse: "", missing: 1, extra: 0, different: 0, moved: 0)
        snapshot.sweeps[table] = (sweep, sweep)
        var freshness = FreshnessReport.Table(
            unknown: FreshnessContract(table: table, maxStaleness_us: 900_000_000), reason: "")
        freshness.staleness_us = 1
        snapshot.freshness[table] = freshness
        return AgentMetrics.text(
            snapshot, layout: WarehouseLayout(pipeline: "shop"), now_us: 2,
            memory: ProcessMemory(resident_bytes: 1, heap_bytes: 1))
    }

    private static func served() -> Set<String> {
        Set(
            text().split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
                String($0.prefix { $0 != "{" && $0 != " " })
            })
    }

    @Test(arguments: ["alerts.yml", "alerts_test.yml", "dashboard.json"])
    func namesAreServed(file: String) throws {
        let text = try String(contentsOf: Self.folder.appending(path: file), encoding: .utf8)
        let names = Set(
            text.matches(of: /(?:millrace|process)_[a-z_]+[a-z]/).map { String($0.output) })
        #expect(names.count >= 6)
        #expect(names.subtracting(Self.served()) == [])
    }

    /// `instance` is Prometheus' own.
    @Test func labelsAreServed() throws {
        let text = try String(contentsOf: Self.folder.appending(path: "alerts.yml"), encoding: .utf8)
        let labels = Set(text.matches(of: /\$labels\.([a-z_]+)/).map { String($0.output.1) })
        let served = Set(Self.text().matches(of: /([a-z_]+)="/).map { String($0.output.1) })
        #expect(labels.count > 2 && labels.subtracting(served) == ["instance"])
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool")))
    func promtoolAgrees() throws {
        for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
            try Command.run(["/usr/bin/promtool"] + arguments, folder: Self.folder)
        }
    }
}

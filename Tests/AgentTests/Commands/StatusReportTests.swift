import JSON
import Replication
import Testing

@testable import Agent

@Suite("The run's summary")
struct StatusReportTests {
    private func snapshot() -> AgentStatus.Snapshot {
        var snapshot = AgentStatus.Snapshot()
        snapshot.state = .ok
        let id = TableID(schema: "public", table: "orders")
        var ledger = LedgerEntry(table: id)
        ledger.read = 7
        ledger.applied = 5
        ledger.compacted = 2
        snapshot.tables[id] = .init(
            definition: TableDefinition(source: id, target: "orders", columns: [], key: []), ledger: ledger)
        snapshot.control = 3
        snapshot.positions = [
            TopicPartition(topic: "b", partition: 0): 9, TopicPartition(topic: "a", partition: 1): 4,
        ]
        return snapshot
    }

    private let layout = WarehouseLayout(pipeline: "shop")

    @Test("has exactly the members of surface.md")
    func form() {
        let report = StatusReport(snapshot(), layout: layout, isRunning: false, now_us: 0)
        let wanted =
            #"{"pipeline":"shop","state":"ok","position":"a:1=4, b:0=9","consistent_since":null,"control":3,"#
            + #""tables":[{"source":"public.orders","target":"shop.orders","state":"streaming","read":7,"applied":5,"#
            + #""superseded":0,"duplicate":0,"compacted":2,"filtered":0,"quarantined":0,"deferred":0,"lag_ms":null,"#
            + #""freshness":null}]}"#
        #expect(report.json.serialized == wanted)
    }

    @Test("is degraded with records in quarantine, also those of no table")
    func degraded() {
        var unknown = snapshot()
        unknown.unknown.read = 2
        unknown.unknown.quarantined = 2
        let report = StatusReport(unknown, layout: layout, isRunning: false, now_us: 0)
        #expect(report.state == .degraded)
        #expect(report.quarantined == 2)
        #expect(report.json["unknown"]?["quarantined"]?.int64 == 2)
    }

    @Test("The state follows the agent")
    func states() {
        var starting = snapshot()
        starting.state = .starting
        #expect(StatusReport(starting, layout: layout, isRunning: true, now_us: 0).state == .stopped)
        var waiting = snapshot()
        waiting.waiting = "the warehouse is away"
        #expect(StatusReport(waiting, layout: layout, isRunning: true, now_us: 0).state == .degraded)
    }

    @Test("Lag is unknown, none, or the age of the newest event")
    func lag() {
        var snapshot = snapshot()
        let id = TableID(schema: "public", table: "orders")
        func lag() -> Int64? { StatusReport(snapshot, layout: layout, isRunning: true, now_us: 5_000_000).lag_ms }
        #expect(lag() == nil)
        snapshot.lag = [TopicPartition(topic: "a", partition: 1): 0]
        #expect(lag() == 0)
        snapshot.lag = [TopicPartition(topic: "a", partition: 1): 3]
        #expect(lag() == nil)
        snapshot.tables[id]?.newestSourceTime_us = 2_000_000
        #expect(lag() == 3000)
    }
}

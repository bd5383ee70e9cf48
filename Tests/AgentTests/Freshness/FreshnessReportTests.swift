import JSON
import Replication
import ReplicationTestKit
import Testing

@testable import Agent

/// What `millrace freshness` says, of what an agent knows and of what the warehouse has.
@Suite struct FreshnessReportTests {
    private static let orders = TableID(schema: "public", table: "orders")
    private static let hour: Int64 = 3_600_000_000
    private let contract = FreshnessContract(table: orders, maxStaleness_us: hour / 4, channel: "#data-alerts")
    private let now_us: Int64 = 1_800_000_000_000_000

    private func record(_ status: FreshnessStatus?, completeAsOf_us: Int64?) -> FreshnessRecord {
        var record = FreshnessRecord(
            table: Self.orders, status: status, since_us: now_us - 5 * Self.hour, seenAt_us: now_us)
        record.completeAsOf_us = completeAsOf_us
        record.changedAt_us = now_us - 2 * Self.hour
        return record
    }

    private func table(_ record: FreshnessRecord?, obstacle: String? = nil) -> FreshnessReport.Table {
        FreshnessReport.Table(contract, record, obstacle: obstacle, now_us: now_us)
    }

    @Test func itsJSONIsWhatTheSurfaceSays() throws {
        let fresh = table(record(.fresh, completeAsOf_us: now_us - Self.hour / 8))
        let json = fresh.json
        #expect(json["table"]?.string == "public.orders" && json["status"]?.string == "FRESH")
        #expect(json["idle"]?.bool == true && json["alert_required"]?.bool == false)
        #expect(json["staleness_hours"]?.serialized == "0.125" && json["slo_hours"]?.serialized == "0.25")
        #expect(
            json["last_updated"]?.string == "2027-01-15T06:00:00.000000Z" && json["alert"]?.string == "#data-alerts")
        let report = FreshnessReport([fresh, table(nil)])
        #expect(FreshnessReport(json: report.json) == report && report.isStale)
        #expect(report.json.array?.last?["staleness_hours"]?.isNull == true)
    }

    /// Without an agent everything ages, and what was STALE may only have been so.
    @Test func theWarehouseTellsWhileNoAgentRuns() {
        let stale = table(record(.fresh, completeAsOf_us: now_us - Self.hour))
        #expect(stale.status == .stale && stale.reason == "no agent runs" && stale.since_us == nil && !stale.isIdle)
        #expect(table(record(.stale, completeAsOf_us: now_us - Self.hour)).since_us == now_us - 5 * Self.hour)
        #expect(table(record(.stale, completeAsOf_us: now_us)).status == .fresh)
        #expect(table(record(nil, completeAsOf_us: now_us)).status == .fresh, "a contract that was made since")
        let never = table(nil)
        #expect(never.status == .stale && never.isAlertRequired && never.staleness_us == nil && never.reason != nil)
        #expect(table(record(.fresh, completeAsOf_us: now_us - Self.hour), obstacle: "paused").reason == "paused")
        // The clock of whoever asks is behind the agent's.
        let ahead = table(record(.fresh, completeAsOf_us: now_us + Self.hour))
        #expect(ahead.status == .fresh && ahead.staleness_us == 0 && ahead.completeAsOf_us == now_us)
    }

    @Test func theControlReadsTheAgentOrTheWarehouse() async throws {
        let fixture = try await AgentFixture()
        var control = fixture.control
        let contract = FreshnessContract(table: AgentFixture.orders, maxStaleness_us: Self.hour)
        control.contracts = { _ in [contract] }
        var stored = FreshnessRecord(table: AgentFixture.orders, status: .fresh, since_us: 1, seenAt_us: 1)
        stored.completeAsOf_us = Moment.now_us()
        try await fixture.warehouse.record(freshness: [stored])
        // Nothing was judged yet.
        #expect(try await control.freshness(.named(["orders"])).tables.map(\.status) == [.fresh])
        #expect(try await control.status().tables.first?.freshness?.status == .fresh)
        await #expect(throws: CommandFailure.self) { try await control.freshness(.named(["nothing"])) }
        var judged = FreshnessReport.Table(unknown: contract, reason: "it stalls")
        judged.staleness_us = 2 * Self.hour
        let told = judged
        fixture.status.update { $0.freshness[AgentFixture.orders] = told }
        #expect(try await control.freshness(.all) == FreshnessReport([told]))
        let status = try await control.status().tables.first
        #expect(status?.json(detailed: false)["freshness"]?["status"]?.string == "STALE")
        // Lent: the warehouse is nobody's to ask.
        fixture.status.update { $0.lent = "dbt has the file" }
        #expect(try await control.freshness(.named(["orders"])).isStale)
    }

    @Test func metricsHaveEachContract() async throws {
        let fixture = try await AgentFixture()
        let contract = FreshnessContract(table: AgentFixture.orders, maxStaleness_us: Self.hour)
        var table = FreshnessReport.Table(unknown: contract, reason: "it stalls")
        table.staleness_us = 2 * Self.hour
        let told = table
        fixture.status.update { $0.freshness[AgentFixture.orders] = told }
        let text = AgentMetrics.text(fixture.status.current, layout: fixture.layout, now_us: 3_000_000)
        #expect(text.contains("millrace_table_stale{table=\"public.orders\"} 1\n"))
        #expect(text.contains("millrace_table_idle{table=\"public.orders\"} 0\n"))
        #expect(text.contains("millrace_table_staleness_seconds{table=\"public.orders\"} 7200\n"))
        #expect(text.contains("millrace_table_staleness_max_seconds{table=\"public.orders\"} 3600\n"))
    }
}

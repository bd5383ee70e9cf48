import Replication
import ReplicationTestKit
import Testing

@testable import Agent

@Suite struct ReadinessTests {
    @Test func anAgentThatStandsByIsNotReadyAndSaysSo() throws {
        let status = AgentStatus()
        status.update {
            $0.state = .standby
            $0.waiting = "another agent is at work: process 7 of the source streams the slot s"
        }
        let readiness = Readiness(status.current, now_us: 0)
        #expect(!readiness.isReady)
        #expect(readiness.reasons.contains("the agent stands by"))
        let layout = WarehouseLayout(pipeline: "shop")
        let report = StatusReport(status.current, layout: layout, isRunning: true, now_us: 0)
        #expect(report.state == .standby)
        #expect(StatusReport(json: report.detailedJSON)?.state == .standby)
        #expect(
            AgentMetrics.text(status.current, layout: layout, now_us: 0).contains(
                "millrace_standby{pipeline=\"shop\"} 1"))
    }

    @Test func commandsAreToldThatAnotherAgentIsAtWork() async throws {
        let status = AgentStatus()
        status.update { $0.state = .standby }
        let layout = WarehouseLayout(pipeline: "shop")
        let control = WarehouseControl(
            layout: layout, warehouse: MemoryWarehouse(layout: layout),
            running: .init(status: status) { try await $0() },
            makeDecoder: { _ in throw CancellationError() })
        #expect(try await control.status().state == .standby)
        let failure = await #expect(throws: CommandFailure.self) { try await control.checkpoints() }
        #expect(failure?.exit == 3)
        await #expect(throws: CommandFailure.self) { try await control.set(positions: [:]) }
    }
}

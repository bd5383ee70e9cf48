import PipelineFile
import Replication
import Testing

@testable import Agent

/// The agent's judgement and what is told of it, on a clock of its own.
@Suite struct FreshnessMonitorTests {
    private static let orders = TableID(schema: "public", table: "orders")
    private static let slot = TopicPartition(topic: "slot", partition: 0)
    private static let second: Int64 = 1_000_000
    private static let start: Int64 = 1_800_000_000_000_000

    /// An agent whose source is asked, and whose warehouse is looked at, every five seconds.
    private struct Agent {
        let monitor = FreshnessMonitor()
        var episodes = AlertEpisodes(pipeline: "shop", target: .init(.log))
        var snapshot = AgentStatus.Snapshot()
        let contracts = [FreshnessContract(table: orders, maxStaleness_us: 900 * second, channel: "#data-alerts")]
        var now_us = start
        /// Position and end of the source.
        var (position, end): (Int64, Int64) = (0, 0)
        var obstacles: [TableID: String] = [:]
        var isAsked = true
        var isWarehouseThere = true
        var told: [String] = []
        var written: [FreshnessRecord] = []

        init(_ stored: [FreshnessRecord] = [], at now_us: Int64 = start) {
            snapshot.state = .ok
            self.now_us = now_us
            monitor.resume(stored)
        }

        mutating func wait(_ seconds: Int, _ each: (inout Self, Int64) -> Void = { _, _ in }) {
            for _ in 0..<seconds {
                now_us += second
                let now = (now_us - start) / second
                each(&self, now)
                if now % 5 == 0, isAsked { measure() }
                snapshot.toldAt_us = now_us
                snapshot.freshness = monitor.step(snapshot, contracts, now_us: now_us)
                let due = isWarehouseThere ? monitor.due(now_us: now_us) : []
                if !due.isEmpty {
                    written += due
                    monitor.written(due, now_us: now_us)
                }
                for notice in episodes.step(snapshot, now_us: now_us) {
                    told.append("\(now) \(notice.alert.key.kind) \(notice.alert.key.subject) \(notice.change)")
                }
            }
        }

        private func measure() {
            monitor.note(SourceEnd(at_us: now_us, ends: [slot: end]))
            guard isWarehouseThere else { return }
            let marks = [orders: Version(epoch: 0, commit: 1, seq: 1)]
            var look = FreshnessWatch.Look(
                at_us: now_us, checkpoints: [Checkpoint(partition: slot, position: position, marks: marks)],
                tables: [orders])
            look.obstacles = obstacles
            monitor.note(look)
        }

        /// In the order in which they were written, each once.
        var statuses: [FreshnessStatus?] {
            var all: [(Int64, FreshnessStatus?)] = []
            for record in written where all.last?.0 != record.since_us { all.append((record.since_us, record.status)) }
            return all.map(\.1)
        }
    }

    /// Nobody writes for a day; others do, so that the log moves.
    @Test func anIdleTableRaisesNoAlert() throws {
        var agent = Agent()
        agent.wait(86_400) { agent, now in
            agent.end = now * 7
            agent.position = now / 10 * 70
        }
        #expect(agent.told.isEmpty && agent.statuses == [.fresh])
        let table = try #require(agent.snapshot.freshness[Self.orders])
        #expect(table.status == .fresh && table.isIdle && !table.isAlertRequired && table.reason == nil)
    }

    /// One alert within a minute of the breach, and one when it is over.
    @Test func aPipeThatStallsRaisesOneAlert() throws {
        var agent = Agent()
        agent.wait(3600) { agent, now in (agent.position, agent.end) = (now, now) }
        agent.snapshot.lag = [Self.slot: 1]
        agent.wait(7200) { agent, now in agent.end = now }
        let stale = try #require(agent.snapshot.freshness[Self.orders])
        #expect(stale.status == .stale && stale.isAlertRequired && !stale.isIdle && stale.reason != nil)
        #expect(agent.told.filter { $0.contains(" stale ") } == ["4516 stale public.orders began"])
        agent.wait(120) { agent, now in (agent.position, agent.end) = (now, now) }
        #expect(
            agent.told.filter { $0.contains(" stale ") } == [
                "4516 stale public.orders began", "10809 stale public.orders ended",
            ])
        #expect(agent.statuses == [.fresh, .stale, .fresh])
        #expect(agent.written.first { $0.status == .stale }?.since_us == Self.start + 4501 * Self.second)
    }

    /// What can't be asked is no reason to call anything fresh.
    @Test func anAgentThatHearsNothingRaisesOneAlert() {
        var agent = Agent()
        agent.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        agent.isAsked = false
        agent.snapshot.waiting = "the warehouse is away"
        agent.isWarehouseThere = false
        agent.wait(4000)
        #expect(agent.told.filter { $0.contains(" stale ") } == ["1016 stale public.orders began"])
        #expect(agent.snapshot.freshness[Self.orders]?.reason == "the agent waits: the warehouse is away")
        #expect(agent.statuses == [.fresh], "nothing is written into a warehouse that is away")
        (agent.isAsked, agent.isWarehouseThere, agent.snapshot.waiting) = (true, true, nil)
        agent.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        #expect(agent.statuses == [.fresh, .stale, .fresh], "but behind that, in order")
        #expect(agent.told.filter { $0.contains(" stale ") }.count == 2)
    }

    @Test func aHeldTableRaisesOneAlert() {
        var agent = Agent()
        agent.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        agent.obstacles = [Self.orders: "paused by hand"]
        agent.wait(3000) { agent, now in (agent.position, agent.end) = (now, now) }
        #expect(agent.told == ["1016 stale public.orders began"])
        agent.obstacles = [:]
        agent.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        #expect(agent.told.count == 2 && agent.told[1].hasSuffix("ended"))
    }

    /// The agent restarts in the middle of an episode: the alert isn't raised again, its end is told.
    @Test func aRestartWithinAnEpisodeRaisesNoSecondAlert() {
        var first = Agent()
        first.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        first.wait(2000) { agent, now in agent.end = now }
        #expect(first.told == ["1016 stale public.orders began"] && first.statuses == [.fresh, .stale])
        let stored = [first.written.last].compactMap { $0 }
        var second = Agent(stored, at: first.now_us)
        second.position = 100
        second.wait(2000) { agent, now in agent.end = now }
        #expect(second.told.isEmpty && second.snapshot.freshness[Self.orders]?.status == .stale)
        second.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        #expect(second.told.count == 1 && second.told[0].hasSuffix("stale public.orders ended"), "\(second.told)")
    }

    /// It was away for a day, and is through with what came meanwhile in ten seconds.
    @Test func anAgentThatCatchesUpAtOnceTellsNobody() {
        var first = Agent()
        first.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        let stored = first.monitor.due(now_us: first.now_us, isLast: true)
        var second = Agent(stored, at: first.now_us + 86_400 * Self.second)
        second.wait(10) { agent, now in agent.end = now }
        #expect(second.snapshot.freshness[Self.orders]?.status == .stale)
        second.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        #expect(second.told.isEmpty && second.statuses == [.stale, .fresh])
    }

    /// What the runner copies it tells once a second; a look between two of them waits for the next.
    @Test func aLookWaitsForWhatTheRunnerTells() {
        let monitor = FreshnessMonitor()
        let contracts = [FreshnessContract(table: Self.orders, maxStaleness_us: 900 * Self.second)]
        monitor.resume([])
        var snapshot = AgentStatus.Snapshot()
        func look(_ at_us: Int64) {
            monitor.note(SourceEnd(at_us: at_us, ends: [Self.slot: 5]))
            monitor.note(
                FreshnessWatch.Look(
                    at_us: at_us, checkpoints: [Checkpoint(partition: Self.slot, position: 5)], tables: [Self.orders]))
        }
        look(100)
        snapshot.toldAt_us = 99
        #expect(monitor.step(snapshot, contracts, now_us: 101)[Self.orders]?.completeAsOf_us == nil)
        snapshot.toldAt_us = 102
        snapshot.progress.copying = [Self.orders: (rows: 1, estimate: 2)]
        let copying = monitor.step(snapshot, contracts, now_us: 103)[Self.orders]
        #expect(copying?.completeAsOf_us == nil && copying?.reason == "it is being copied")
        snapshot.progress.copying = [:]
        look(200)
        snapshot.toldAt_us = 200
        #expect(monitor.step(snapshot, contracts, now_us: 201)[Self.orders]?.completeAsOf_us == 200)
        // One that tells seldom, and always before the newest look.
        for at_us in [Int64(300), 400, 500] { look(at_us) }
        snapshot.toldAt_us = 450
        #expect(monitor.step(snapshot, contracts, now_us: 501)[Self.orders]?.completeAsOf_us == 500)
    }

    @Test func theAlertNamesItsChannel() throws {
        var agent = Agent()
        agent.wait(100) { agent, now in (agent.position, agent.end) = (now, now) }
        agent.wait(1000) { agent, now in agent.end = now }
        let alert = try #require(AlertConditions.of(agent.snapshot, pipeline: "shop").first { $0.key.kind == .stale })
        let notice = AlertNotice(pipeline: "shop", change: .began, alert: alert, beganAt_us: Self.start)
        #expect(notice.json["channel"]?.string == "#data-alerts")
        #expect(notice.slackJSON["channel"]?.string == "#data-alerts")
        #expect(notice.text.hasPrefix("#data-alerts: shop, public.orders: STALE: complete as of 2027-01-15T08:01:40"))
        #expect(notice.text.hasSuffix("Try: millrace freshness"))
        // Others have none.
        let held = AlertNotice(
            pipeline: "shop", change: .began, alert: Alert(key: .init(kind: .held, subject: "a"), message: "held"),
            beganAt_us: 0)
        #expect(held.json["channel"] == nil && held.slackJSON["channel"] == nil)
    }

    @Test func narrowContractsAreLookedAtOftener() {
        func interval(_ seconds: [Int64]) -> Duration {
            FreshnessService.interval(
                seconds.map { FreshnessContract(table: Self.orders, maxStaleness_us: $0 * Self.second) })
        }
        #expect(interval([]) == .seconds(5) && interval([900]) == .seconds(5))
        #expect(interval([900, 8]) == .seconds(2) && interval([1]) == .milliseconds(250))
    }
}

import PipelineFile
import Replication
import Testing

@testable import Agent

/// On a clock of its own: what is told, and when.
@Suite struct AlertEpisodesTests {
    private static let orders = TableID(schema: "public", table: "orders")
    private static let second: Int64 = 1_000_000
    private static let start: Int64 = 1_800_000_000_000_000

    private struct Watch {
        var episodes: AlertEpisodes
        var snapshot = AgentStatus.Snapshot()
        var now_us = AlertEpisodesTests.start
        var told: [String] = []

        init(_ target: Pipeline.AlertTarget = .init(.log)) {
            episodes = AlertEpisodes(pipeline: "shop", target: target)
            snapshot.state = .ok
            snapshot.newestSourceTime_us = now_us
        }

        /// A step a second; what was told is noted with the second in which it was.
        mutating func wait(_ seconds: Int, _ each: (inout AgentStatus.Snapshot, Int64) -> Void = { _, _ in }) {
            for _ in 0..<seconds {
                now_us += AlertEpisodesTests.second
                each(&snapshot, now_us)
                for notice in episodes.step(snapshot, now_us: now_us) {
                    let at = (now_us - AlertEpisodesTests.start) / AlertEpisodesTests.second
                    told.append("\(at) \(notice.alert.key.kind) \(notice.alert.key.subject) \(notice.change)")
                }
            }
        }
    }

    private let partition = TopicPartition(topic: "shop.public.orders", partition: 0)

    /// What stood at the end a minute ago isn't durable yet, though something is applied all the time.
    @Test func lagIsToldOnceAndOnceWhenItIsOver() {
        var watch = Watch()
        func behind(_ snapshot: inout AgentStatus.Snapshot, _ now: Int64) {
            let second = (now - Self.start) / Self.second
            snapshot.positions[partition] = second
            snapshot.lag[partition] = 100
        }
        watch.wait(50, behind)
        #expect(watch.told.isEmpty)
        // No more is applied.
        watch.wait(150)
        #expect(watch.told == ["66 lag shop began"])
        watch.wait(100) { snapshot, now in
            snapshot.positions[partition] = now
            snapshot.lag[partition] = 0
        }
        #expect(watch.told == ["66 lag shop began", "230 lag shop ended"])
    }

    /// The position is newer than the lag beside it, for up to a second; then nothing comes for an hour.
    @Test func whatWasCommittedSinceTheLagWasMeasuredIsNone() {
        var watch = Watch()
        watch.snapshot.positions[partition] = 1500
        (watch.snapshot.lag[partition], watch.snapshot.lagFrom[partition]) = (500, 1000)
        watch.wait(1)
        (watch.snapshot.lag[partition], watch.snapshot.lagFrom[partition]) = (0, 1500)
        watch.wait(3600)
        #expect(watch.told.isEmpty)
    }

    /// A Postgres source's lag is what its server has sent, once it streams; where the log ended was measured beside that.
    @Test func aFarEndIsntForgottenForANearOne() {
        var watch = Watch()
        watch.snapshot.positions[partition] = 0
        (watch.snapshot.lag[partition], watch.snapshot.lagFrom[partition]) = (10_000, 0)
        watch.wait(100)
        #expect(watch.told == ["66 lag shop began"])
        watch.wait(300) { snapshot, now in
            let position = min(9_999, (now - Self.start) / Self.second * 10)
            snapshot.positions[partition] = position
            (snapshot.lag[partition], snapshot.lagFrom[partition]) = (5, position)
        }
        #expect(watch.told == ["66 lag shop began"])
        watch.snapshot.positions[partition] = 10_005
        (watch.snapshot.lag[partition], watch.snapshot.lagFrom[partition]) = (0, 10_005)
        watch.wait(100)
        #expect(watch.told.count == 2)
    }

    @Test func differencesAreToldUntilASweepFindsNone() {
        var watch = Watch()
        func sweep(_ missing: Int) -> (last: SweepRecord, proof: SweepRecord?) {
            let record = SweepRecord(
                table: Self.orders, startedAt_us: 1, finishedAt_us: 2, snapshot: "1:1:", position: 7, rows: 5,
                columns: ["id"], uncovered: [], digestSource: "", digestWarehouse: "", missing: missing, extra: 0,
                different: 0, moved: 0)
            return (record, nil)
        }
        watch.wait(5)
        watch.snapshot.sweeps[Self.orders] = sweep(3)
        watch.wait(60)
        #expect(watch.told == ["6 sweep public.orders began"])
        watch.snapshot.sweeps[Self.orders] = sweep(0)
        watch.wait(60)
        #expect(watch.told == ["6 sweep public.orders began", "75 sweep public.orders ended"])
    }

    @Test func oneSecondOfLagIsNobodysMatter() {
        var short = Watch()
        short.snapshot.lag = [partition: 5]
        short.wait(61)
        short.snapshot.positions = [partition: 5]
        short.snapshot.lag = [partition: 0]
        short.wait(100)
        #expect(short.told.isEmpty)
    }

    /// Others write: the log moves, and is noted every ten seconds. No row comes for an hour.
    @Test func anIdleSourceRaisesNone() {
        var watch = Watch()
        watch.wait(3_600) { snapshot, now in
            let second = (now - Self.start) / Self.second
            snapshot.positions[partition] = second / 10 * 10_000
            snapshot.lag[partition] = second % 10 * 1_000 + 1
        }
        #expect(watch.told.isEmpty)
        // Nor does a copy, however long.
        watch.snapshot.progress.copying = [Self.orders: (rows: 1, estimate: 10)]
        watch.snapshot.lag = [partition: 5]
        watch.wait(600)
        #expect(watch.told.isEmpty)
    }

    @Test func holdsOfOursAreToldAndPausesArent() {
        var watch = Watch()
        watch.snapshot.holds = [TableHold(table: Self.orders, kind: .paused, reason: "", since_us: 0)]
        watch.wait(60)
        watch.snapshot.holds.append(TableHold(table: Self.orders, kind: .restored, reason: "older", since_us: 0))
        watch.wait(60)
        watch.snapshot.holds = []
        watch.wait(60)
        #expect(watch.told == ["61 held public.orders began", "130 held public.orders ended"])
    }

    /// The table's hold belongs to the plan, and isn't told beside it.
    @Test func aSchemaPlanIsToldUntilSomebodyDecides() {
        var watch = Watch()
        var plan = SchemaChange(table: Self.orders, kind: .changeType, state: .waiting, position: 1)
        plan.id = 7
        watch.snapshot.schemaChanges = [plan]
        watch.snapshot.holds = [TableHold(table: Self.orders, kind: .schema, reason: "a plan", since_us: 0)]
        watch.wait(7200)
        plan.state = .done
        watch.snapshot.schemaChanges = [plan]
        watch.snapshot.holds = []
        watch.wait(120)
        #expect(watch.told.count == 2, "\(watch.told)")
        #expect(watch.told.first == "1 schema public.orders #7 began")
        #expect(watch.told.last?.hasSuffix(" schema public.orders #7 ended") == true, "\(watch.told)")
    }

    @Test func recordsPutAsideAreOneEpisodeUntilNoMoreCome() {
        var watch = Watch()
        func aside(_ count: Int, _ snapshot: inout AgentStatus.Snapshot) {
            var entry = LedgerEntry(table: Self.orders)
            entry.quarantined = count
            let definition = TableDefinition(source: Self.orders, target: "orders", columns: [], key: [])
            snapshot.tables[Self.orders] = .init(definition: definition, ledger: entry)
        }
        watch.wait(10)
        aside(1, &watch.snapshot)
        watch.wait(300)
        aside(7, &watch.snapshot)
        watch.wait(1_000)
        #expect(watch.told == ["11 quarantine public.orders began", "911 quarantine public.orders ended"])
    }

    @Test func anOutageIsToldAfterAMinute() {
        var watch = Watch()
        watch.snapshot.waiting = "the warehouse is away"
        watch.wait(50)
        watch.snapshot.waiting = nil
        watch.wait(100)
        #expect(watch.told.isEmpty)
        watch.snapshot.waiting = "the warehouse is away"
        watch.wait(100)
        watch.snapshot.waiting = nil
        watch.wait(100)
        #expect(watch.told == ["211 waiting shop began", "280 waiting shop ended"])
    }

    @Test func aLogThatIsAboutToPassIsTold() {
        var watch = Watch()
        watch.wait(10) { snapshot, _ in snapshot.progress.logLeft[self.partition] = 0.5 }
        #expect(watch.told.isEmpty)
        watch.wait(20) { snapshot, _ in snapshot.progress.logLeft[self.partition] = 0.19 }
        #expect(watch.told == ["16 retention \(partition) began"])
        watch.wait(60) { snapshot, _ in snapshot.progress.logLeft[self.partition] = 0.9 }
        #expect(watch.told == ["16 retention \(partition) began", "60 retention \(partition) ended"])
    }

    @Test func brokersThatAreAwayAreTold() {
        var watch = Watch()
        watch.wait(70) { snapshot, _ in snapshot.progress.away = "no broker answers" }
        #expect(watch.told.map { $0.split(separator: " ")[1] } == ["waiting"])
    }

    @Test func whoIsNotToBeToldIsNot() {
        var target = Pipeline.AlertTarget(.log)
        target.kinds = [.lost]
        var watch = Watch(target)
        watch.snapshot.waiting = "the warehouse is away"
        watch.snapshot.lost = [LostPartition(partition: partition, reason: "retention has passed it", remedy: "rewind")]
        watch.wait(100)
        #expect(watch.told == ["1 lost shop.public.orders:0 began"])
        // A standby tells nothing: the agent at work does.
        watch.snapshot.state = .standby
        watch.snapshot.lost = [
            LostPartition(partition: .init(topic: "b", partition: 1), reason: "gone", remedy: "rewind")
        ]
        watch.wait(60)
        #expect(watch.told.count == 1)
    }

    // MARK: On their way

    private func notice(_ number: Int) -> AlertNotice {
        AlertNotice(
            pipeline: "shop", change: .began,
            alert: Alert(key: .init(kind: .error, subject: "t\(number)"), message: "broken"), beganAt_us: Self.start)
    }

    @Test func aTargetThatIsAwayIsTriedAgainEverLater() throws {
        var queue = AlertQueue()
        queue.add([notice(1), notice(2)])
        var attempts: [Int64] = []
        var givenUp = 0
        for second in Int64(0)..<600 where queue.next(now_us: second * Self.second)?.alert.key.subject == "t1" {
            attempts.append(second)
            if queue.failed(now_us: second * Self.second) { givenUp += 1 }
        }
        #expect(attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243])
        #expect(givenUp == 1)
        // The next one tells that one is missing.
        let waiting = queue.next(now_us: 700 * Self.second)
        let next = try #require(waiting)
        #expect(next.alert.key.subject == "t2" && next.left == 1)
    }

    @Test func manyAtOnceAreRateLimitedAndCounted() throws {
        var queue = AlertQueue()
        queue.add((0..<150).map(notice))
        var sent = 0
        while let next = queue.next(now_us: Self.start) {
            if sent == 0 { #expect(next.alert.key.subject == "t50" && next.left == 50) }
            queue.sent(now_us: Self.start)
            sent += 1
        }
        #expect(sent == AlertQueue.perMinute_max)
        let early = queue.next(now_us: Self.start + 59 * Self.second)
        #expect(early == nil)
        let waiting = queue.next(now_us: Self.start + 60 * Self.second)
        let next = try #require(waiting)
        #expect(next.alert.key.subject == "t70" && next.left == 0)
    }

    @Test func slackReadsNoLinksOutOfATablesName() {
        let notice = AlertNotice(
            pipeline: "shop", change: .began,
            alert: Alert(key: .init(kind: .error, subject: "public.<!channel>&"), message: "a \"quote\""),
            beganAt_us: Self.start)
        #expect(
            notice.slackJSON.serialized
                == #"{"text":":red_circle: shop, public.&lt;!channel&gt;&amp;: a \"quote\""}"#)
        #expect(
            notice.json.serialized
                == #"{"pipeline":"shop","kind":"error","subject":"public.<!channel>&","state":"began","message":"a \"quote\"","try":null,"began_at":"2027-01-15T08:00:00.000000Z","ended_at":null}"#
        )
    }
}

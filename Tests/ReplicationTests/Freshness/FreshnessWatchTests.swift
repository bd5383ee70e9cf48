import Replication
import Testing

/// On a clock of its own: when a table is stale, and when it isn't.
@Suite struct FreshnessWatchTests {
    private static let orders = TableID(schema: "public", table: "orders")
    private static let second: Int64 = 1_000_000
    private static let start: Int64 = 1_800_000_000_000_000
    private static let slot = TopicPartition(topic: "slot", partition: 0)

    /// A pipe that is asked every five seconds.
    private struct Pipe {
        var watch = FreshnessWatch()
        var contracts = [
            FreshnessContract(table: orders, maxStaleness_us: 900 * second, channel: "#data-alerts")
        ]
        var now_us = start
        var end: Int64 = 0
        var position: Int64 = 0
        var isSourceThere = true
        var isWarehouseThere = true
        var tables: Set<TableID> = [orders]
        var obstacles: [TableID: String] = [:]
        var told: [String] = []
        var records: [FreshnessRecord] = []

        mutating func wait(_ seconds: Int, _ each: (inout Self, Int64) -> Void = { _, _ in }) {
            for _ in 0..<seconds {
                now_us += second
                let now = (now_us - start) / second
                each(&self, now)
                if now % 5 == 0 {
                    if isSourceThere { watch.note(SourceEnd(at_us: now_us, ends: [slot: end])) }
                    if isWarehouseThere {
                        var look = FreshnessWatch.Look(
                            at_us: now_us,
                            checkpoints: [
                                Checkpoint(
                                    partition: slot, position: position,
                                    marks: [orders: Version(epoch: 0, commit: 1, seq: 1)])
                            ], tables: tables)
                        look.obstacles = obstacles
                        watch.note(look)
                    }
                }
                for record in watch.step(contracts, now_us: now_us) {
                    told.append("\(now) \(record.status?.rawValue ?? "-")")
                    records.append(record)
                }
            }
        }

        var table: FreshnessWatch.Table? { watch.tables[orders] }
    }

    /// Others write: the log moves, and an idle table's position is made durable ten seconds later. Eight hours.
    @Test func anIdleTableIsFreshForHours() throws {
        var pipe = Pipe()
        pipe.wait(8 * 3600) { pipe, now in
            pipe.watch.note(changes: [Self.orders: Self.start])
            pipe.end = now * 7
            pipe.position = max(0, (now / 10 - 1) * 70)
        }
        // Told once, as it was seen complete first.
        #expect(pipe.told.count == 1 && pipe.told[0].hasSuffix(" FRESH"), "\(pipe.told)")
        let table = try #require(pipe.table)
        #expect(table.isIdle(now_us: pipe.now_us) && (table.staleness_us ?? .max) < 30 * Self.second)
    }

    /// The rows of a table that is written to are never idle, whatever the source's clock says.
    @Test(arguments: [-7200 * second, 0, 7200 * second]) func aClockThatDiffersDoesntMatter(skew_us: Int64) throws {
        var pipe = Pipe()
        pipe.wait(2000) { pipe, now in
            pipe.end = now
            pipe.position = now - 1
            pipe.watch.note(changes: [Self.orders: pipe.now_us + skew_us])
        }
        #expect(pipe.told == ["10 FRESH"])
        // Nothing moves any more, and the source's end can't be told: stale after as long as for any other clock.
        let before = try #require(pipe.table?.completeAsOf_us)
        pipe.isSourceThere = false
        pipe.wait(1000)
        #expect(pipe.told.count == 2)
        let record = try #require(pipe.records.last)
        #expect(record.status == .stale && record.completeAsOf_us == before && record.staleness_us == 901 * Self.second)
        #expect(record.since_us == before + 901 * Self.second && record.channel == "#data-alerts")
    }

    enum Stall: CaseIterable { case source, warehouse, pipe, table }

    /// Whatever stalls, the table is stale from the moment on that the contract says, and fresh when all is applied.
    @Test(arguments: Stall.allCases) func whatStallsIsStale(stall: Stall) throws {
        var pipe = Pipe()
        pipe.wait(3600) { pipe, now in (pipe.end, pipe.position) = (now, now) }
        pipe.wait(3600) { pipe, now in
            pipe.end = now
            switch stall {
            case .source: pipe.isSourceThere = false
            case .warehouse: pipe.isWarehouseThere = false
            case .pipe: break
            case .table: (pipe.position, pipe.obstacles) = (now, [Self.orders: "paused by hand"])
            }
        }
        #expect(pipe.told == ["5 FRESH", "4501 STALE"], "within a second of the breach")
        let stale = try #require(pipe.records.last)
        #expect(stale.staleness_us == 901 * Self.second)
        #expect((stale.reason == "paused by hand") == (stall == .table))
        #expect(pipe.table?.isIdle(now_us: pipe.now_us) == false)
        (pipe.isSourceThere, pipe.isWarehouseThere, pipe.obstacles) = (true, true, [:])
        pipe.wait(60) { pipe, now in (pipe.end, pipe.position) = (now, now) }
        #expect(pipe.told == ["5 FRESH", "4501 STALE", "7205 FRESH"])
    }

    /// While it catches up it is as old as what it has reached.
    @Test func aBacklogIsStaleUntilItIsWithinTheLimit() {
        var pipe = Pipe()
        pipe.wait(100) { pipe, now in (pipe.end, pipe.position) = (now, now) }
        pipe.wait(4000) { pipe, now in pipe.end = now }
        // Ten times as fast as it comes.
        pipe.wait(1000) { pipe, now in
            pipe.end = now
            pipe.position = min(now, pipe.position + 10)
        }
        #expect(pipe.told.count == 3 && pipe.told[1] == "1001 STALE", "\(pipe.told)")
        let back = Int(pipe.told[2].prefix { $0 != " " }) ?? 0
        // Exactly: 4100 + x where (4100 + x) - (100 + 10 x) = 900; what is remembered of the ends is coarser.
        #expect((4440...4520).contains(back), "\(pipe.told)")
    }

    @Test func whatIsCopiedForTheFirstTimeIsNoEpisodeUntilItTakesTooLong() {
        var pipe = Pipe()
        pipe.tables = []
        pipe.wait(800)
        #expect(pipe.told.isEmpty && pipe.table?.status == nil)
        pipe.wait(200)
        #expect(pipe.told == ["902 STALE"] && pipe.table?.completeAsOf_us == nil)
        #expect(pipe.records.last?.reason == "nothing of it has been replicated yet")
        // It may have rows that are still to be copied, which the next looks tell.
        pipe.tables = [Self.orders]
        pipe.wait(15)
        pipe.obstacles = [Self.orders: "it is being copied"]
        pipe.wait(100)
        #expect(pipe.told == ["902 STALE"] && pipe.table?.completeAsOf_us == nil)
        pipe.obstacles = [:]
        pipe.wait(10)
        #expect(pipe.told == ["902 STALE", "1120 FRESH"])
    }

    /// The agent dies within an episode, and another one goes on with it.
    @Test func anEpisodeGoesOnUnderAnotherAgent() throws {
        var first = Pipe()
        first.wait(100) { pipe, now in (pipe.end, pipe.position) = (now, now) }
        first.wait(1900) { pipe, now in pipe.end = now }
        let stored = first.watch.records(all: false, now_us: first.now_us)
        #expect(first.told == ["5 FRESH", "1001 STALE"] && stored.count == 1)
        var second = Pipe()
        second.now_us = first.now_us
        second.watch.resume(stored)
        second.wait(100) { pipe, now in (pipe.end, pipe.position) = (now, 100) }
        #expect(second.told.isEmpty)
        let table = try #require(second.table)
        #expect(table.wasTold && table.since_us == Self.start + 1001 * Self.second)
        second.wait(10) { pipe, now in (pipe.end, pipe.position) = (now, now) }
        #expect(second.told.count == 1 && second.told[0].hasSuffix("FRESH") && second.table?.wasTold == false)
    }

    /// What it has told before it died nobody knows if that was at once.
    @Test func anEpisodeThatHadJustBegunIsToldAgain() {
        var first = Pipe()
        first.wait(930) { pipe, now in pipe.end = now }
        var second = Pipe()
        second.watch.resume(first.watch.records(all: false, now_us: first.now_us))
        #expect(second.table?.status == first.table?.status && second.table?.wasTold == false)
    }

    @Test func aClockThatIsSetBackPromisesNothing() {
        var pipe = Pipe()
        pipe.wait(100) { pipe, now in (pipe.end, pipe.position) = (now, now) }
        pipe.now_us -= 3600 * Self.second
        pipe.isSourceThere = false
        pipe.wait(910)
        #expect(pipe.table?.status == .stale)
    }

    @Test func contractsComeAndGo() {
        var pipe = Pipe()
        let contracts = pipe.contracts
        pipe.contracts = []
        pipe.wait(10)
        #expect(pipe.told.isEmpty && pipe.table?.completeAsOf_us != nil)
        #expect(pipe.watch.records(all: false, now_us: pipe.now_us).isEmpty)
        #expect(pipe.watch.records(all: true, now_us: pipe.now_us).map(\.status) == [nil])
        pipe.contracts = contracts
        pipe.wait(1)
        pipe.contracts = []
        pipe.wait(1)
        #expect(pipe.told == ["11 FRESH", "12 -"])
    }
}

import JSON
import Replication
import Testing

@testable import Agent

/// On a virtual clock.
@Suite("Lineage: runs")
struct LineageRunsTests {
    private let second: Int64 = 1_000_000

    private func runs(isContinuous: Bool = true) -> LineageRuns {
        LineageRuns(LineageEventBuilder(LineageFixture.facts()), .run, isContinuous: isContinuous) { "run-\($0)" }
    }

    private func kinds(_ events: [LineageEvent]) -> [LineageEvent.Kind] { events.map(\.kind) }

    private func rows(_ event: LineageEvent?, _ table: String = "orders") throws -> Int64? {
        try event.flatMap {
            try LineageFixture.json($0).dataset("outputs", "w.shop.\(table)")?
                .at("outputFacets", "outputStatistics", "rowCount")?.int64
        }
    }

    @Test("begin, tell their counts every five minutes, and end, under one id")
    func wholeRun() throws {
        var runs = runs()
        #expect(runs.step(.starting, now_us: 0) { [] } == [])
        let start = runs.step(.ok, now_us: 2 * second) { [LineageFixture.table(read: 4)] }
        #expect(kinds(start) == [.start])
        try #require(start.count == 1)
        let json = try LineageFixture.json(start[0])
        #expect(json["eventTime"]?.string == "1970-01-01T00:00:00.000000Z", "when it began")
        #expect(try rows(start[0]) == 0)
        #expect(json.dataset("outputs", "w.shop.orders")?.at("facets", "columnLineage") != nil)
        var told: [Int64] = []
        for now in 3...1000 as ClosedRange<Int64> {
            for event in runs.step(.ok, now_us: now * second, { [LineageFixture.table(read: Int(now))] }) {
                #expect(event.kind == .running && event.run == start[0].run)
                #expect(try rows(event) == now)
                told.append(now)
            }
        }
        // From the start's own time on.
        #expect(told == [300, 600, 900])
        let end = runs.end(.complete, now_us: 1001 * second, [LineageFixture.table(read: 5000)])
        #expect(kinds(end) == [.complete] && end[0].run == start[0].run)
        #expect(try rows(end[0]) == 5000)
        #expect(try LineageFixture.json(end[0]).dataset("inputs", "shop.public.orders")?["facets"] != nil)
        #expect(runs.end(.complete, now_us: 1002 * second, []) == [])
        #expect(runs.step(.ok, now_us: 9000 * second) { [] } == [])
    }

    @Test("RUNNING tells the tables of which something came, and what is new of their shape at once")
    func running() throws {
        var runs = runs()
        let other = LineageFixture.table(TableID(schema: "public", table: "other"), read: 1)
        _ = runs.step(.ok, now_us: 0) { [LineageFixture.table(), other] }
        _ = runs.step(.ok, now_us: 300 * second) { [LineageFixture.table(read: 1), other] }
        let event = runs.step(.ok, now_us: 600 * second) { [LineageFixture.table(read: 2), other] }
        let json = try LineageFixture.json(try #require(event.first))
        #expect(json["outputs"]?.names == ["w.shop.orders", "w.shop_raw.orders"])
        #expect(json["outputs"]?.array?.allSatisfy { $0["facets"] == nil } == true)
        let altered = [LineageFixture.table(columns: ["added"], read: 2), other]
        #expect(runs.step(.ok, now_us: 630 * second) { altered } == [])
        let early = runs.step(.ok, now_us: 660 * second) { altered }
        #expect(kinds(early) == [.running])
        let fields = try LineageFixture.json(try #require(early.first)).dataset("outputs", "w.shop.orders")?.at(
            "facets", "schema", "fields")
        #expect(fields?.names.contains("added") == true)
        #expect(runs.step(.ok, now_us: 900 * second) { altered } == [], "five minutes after the last")
        let quiet = try #require(runs.step(.ok, now_us: 960 * second) { altered }.first)
        #expect(try LineageFixture.json(quiet)["outputs"]?.names == [])
    }

    @Test("Many tables go into several events, with the run's first one first and its last one last")
    func manyTables() throws {
        var runs = runs()
        let tables = (0..<250).map { LineageFixture.table(.init(schema: "public", table: String(1000 + $0)), read: $0) }
        let start = runs.step(.ok, now_us: 0) { tables }
        #expect(kinds(start) == [.start, .running, .running])
        let end = runs.end(.failed("so"), now_us: second, tables)
        #expect(kinds(end) == [.running, .running, .fail] && Set((start + end).map(\.run)).count == 1)
        for events in [start, end] {
            let inputs = try events.flatMap { try LineageFixture.json($0)["inputs"]?.names ?? [] }
            #expect(inputs == tables.map { "shop.public.\($0.id.table)" })
            let outputs = try events.map { try LineageFixture.json($0)["outputs"]?.names ?? [] }
            #expect(outputs.map(\.count) == [300, 300, 150])
        }
        let messages = try end.map { try LineageFixture.json($0).at("run", "facets", "errorMessage") != nil }
        #expect(messages == [false, false, true])
    }

    @Test("One that ends before anybody looked twice has both its events")
    func short() throws {
        var runs = runs(isContinuous: false)
        #expect(runs.step(.starting, now_us: 0) { [] } == [])
        let events = runs.end(.complete, now_us: second, [LineageFixture.table(read: 3)])
        #expect(kinds(events) == [.start, .complete])
        #expect(try rows(events[0]) == 0 && rows(events[1]) == 3)
        #expect(try LineageFixture.json(events[0]).at("job", "facets", "jobType", "processingType")?.string == "BATCH")
    }

    @Test("One that waits for its source begins all the same, and fails with the reason")
    func failing() throws {
        var runs = runs()
        _ = runs.step(.starting, now_us: 0) { [] }
        #expect(kinds(runs.step(.starting, now_us: 5 * second) { [] }) == [.start])
        let events = runs.end(.failed("the source is away"), now_us: 6 * second, [])
        #expect(kinds(events) == [.fail])
        let facet = try LineageFixture.json(events[0]).at("run", "facets", "errorMessage")
        #expect(facet?["message"]?.string == "the source is away")
        #expect(facet?["programmingLanguage"]?.string == "Swift")
    }

    @Test("Whoever stands by has none; one that another agent takes over from is aborted, and is another one then")
    func standby() throws {
        var runs = runs()
        #expect(runs.step(.standby, now_us: 0) { [] } == [])
        let first = runs.step(.ok, now_us: second) { [LineageFixture.table()] }
        let taken = runs.step(.standby, now_us: 2 * second) { [LineageFixture.table(read: 10)] }
        #expect(kinds(first + taken) == [.start, .abort] && first[0].run == taken[0].run)
        #expect(try rows(taken[0]) == 10)
        #expect(runs.step(.standby, now_us: 3 * second) { [] } == [])
        let second = runs.step(.ok, now_us: 4 * second) { [LineageFixture.table(read: 10)] }
        #expect(kinds(second) == [.start] && second[0].run != first[0].run)
        let end = runs.end(.complete, now_us: 5_000_000, [LineageFixture.table(read: 14)])
        #expect(try rows(end[0]) == 4, "of this run alone")
    }

    @Test("Where another agent is at work nothing has begun")
    func taken() {
        var first = runs()
        _ = first.step(.starting, now_us: 0) { [] }
        #expect(first.end(.aborted("taken"), isUnbegun: true, now_us: 1, []) == [])
        var other = runs()
        _ = other.step(.standby, now_us: 0) { [] }
        #expect(other.end(.complete, now_us: 1, []) == [])
        // Fenced in the middle of it.
        var begun = runs()
        _ = begun.step(.ok, now_us: 0) { [] }
        #expect(kinds(begun.end(.aborted("fenced"), isUnbegun: true, now_us: 1, [])) == [.abort])
    }
}

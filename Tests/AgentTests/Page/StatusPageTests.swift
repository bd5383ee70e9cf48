import Replication
import Testing

@testable import Agent

/// What the page says of what the agent knows. In a browser: PageTests.
@Suite struct StatusPageTests {
    private static let now_us: Int64 = 1_800_000_000_000_000
    private static let orders = TableID(schema: "public", table: "orders")

    private func view(_ change: (inout AgentStatus.Snapshot) -> Void = { _ in }) -> PageView {
        var snapshot = AgentStatus.Snapshot()
        snapshot.state = .ok
        snapshot.startedAt_us = Self.now_us - 3_600_000_000 * 5
        var entry = LedgerEntry(table: Self.orders)
        (entry.read, entry.applied, entry.quarantined) = (1_234_567, 1_234_560, 7)
        let definition = TableDefinition(source: Self.orders, target: "orders", columns: [], key: [])
        snapshot.tables[Self.orders] = .init(definition: definition, ledger: entry)
        change(&snapshot)
        return PageView(
            snapshot, layout: WarehouseLayout(pipeline: "shop"), source: "Postgres, slot millrace_shop",
            warehouse: "DuckDB", now_us: Self.now_us)
    }

    @Test func theFirstScreenSaysWhatAnalystsRead() {
        let html = StatusPage.html(view())
        let first = html.components(separatedBy: "<section").first ?? ""
        #expect(first.contains("Analysts read <code>shop_live</code>") && first.contains("agent up for 5 h"))
        #expect(html.contains("1,234,567") && html.contains("Postgres, slot millrace_shop"))
        #expect(html.contains("never swept"))
    }

    @Test func whatComesFromOutsideIsText() {
        let hostile = "<script>alert(1)</script>\"&'"
        let html = StatusPage.html(
            view { snapshot in
                let table = TableID(schema: hostile, table: hostile)
                let definition = TableDefinition(source: table, target: hostile, columns: [], key: [])
                snapshot.tables[table] = .init(definition: definition, ledger: .init(table: table), error: hostile)
                snapshot.holds = [TableHold(table: table, kind: .failing, reason: hostile, since_us: 0)]
                snapshot.waiting = hostile
                snapshot.lost = [
                    LostPartition(
                        partition: TopicPartition(topic: hostile, partition: 0), reason: hostile, remedy: hostile)
                ]
                var change = SchemaChange(table: table, kind: .dropColumn, state: .waiting, position: 1)
                change.column = hostile
                snapshot.schemaChanges = [change]
                snapshot.progress.consistentSince = hostile
            })
        #expect(!html.contains("<script>alert") && !html.contains("\"&'"))
        #expect(html.contains("data-table=\"&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;&#39;."))
        #expect(html.components(separatedBy: "<script").count == 2, "ours alone")
    }

    /// What asks for somebody is there with its reason and with what to do.
    @Test func whatNeedsAttentionIsTold() {
        let calm = StatusPage.html(view { $0.tables[Self.orders]?.ledger.quarantined = 0 })
        #expect(calm.contains("Nothing needs attention."))
        let html = StatusPage.html(
            view { snapshot in
                snapshot.holds = [
                    TableHold(table: Self.orders, kind: .quality, reason: "not_null(v) fails in 1 row", since_us: 0)
                ]
                let plan = SchemaChange(table: Self.orders, kind: .dropTable, state: .waiting, position: 1)
                snapshot.schemaChanges = [plan]
            })
        #expect(!html.contains("Nothing needs attention."))
        #expect(html.contains("held: not_null(v) fails in 1 row") && html.contains("millrace quarantine list"))
        #expect(html.contains("Schema plans") && html.contains("millrace schema show"))
        #expect(html.contains("data-act=release data-kind=quality data-table=\"public.orders\""))
    }

    /// A paused table is resumed, another paused.
    @Test func buttonsGoByTheTablesState() {
        let html = StatusPage.html(view())
        #expect(html.contains("data-act=pause data-table=\"public.orders\"") && !html.contains("data-kind="))
        let paused = StatusPage.html(
            view { $0.holds = [TableHold(table: Self.orders, kind: .paused, reason: "by hand", since_us: 0)] })
        #expect(paused.contains("data-act=release data-kind=paused data-table=\"public.orders\""))
        #expect(!paused.contains("data-act=pause"))
    }

    /// Scripts and styles run by their hashes: what the page has in it is what the policy allows.
    @Test func thePolicyAllowsOursAlone() {
        #expect(StatusPage.policy.contains("default-src 'none'") && StatusPage.policy.contains("connect-src 'self'"))
        #expect(!StatusPage.policy.contains("unsafe"))
        // The hashes are of all that stands between the tags.
        let html = StatusPage.html(view())
        #expect(
            html.contains("<style>\(PageStyle.text)</style>") && html.contains("<script>\(PageScript.text)</script>"))
        #expect(!PageScript.text.contains("</") && !PageStyle.text.contains("</"), "neither ends its element")
        #expect(!StatusPage.html(view()).contains(" style=") && !StatusPage.html(view()).contains(" onclick="))
    }

    // MARK: The last hour

    @Test func historyIsBounded() {
        let history = PageHistory()
        for n in 0..<1000 { history.add(.init(at_us: Int64(n) * 10_000_000, events: n, lag_ms: nil)) }
        #expect(history.all.count == PageHistory.samples_max && history.all.last?.events == 999)
        // The clock is set back.
        history.add(.init(at_us: 5, events: 1000, lag_ms: 3))
        #expect(history.all.map(\.at_us) == [5])
    }

    @Test func ratesHaveGapsWhereNothingIsKnown() {
        let samples: [PageHistory.Sample] = [
            .init(at_us: 0, events: 0, lag_ms: nil), .init(at_us: 10_000_000, events: 50, lag_ms: 7),
            .init(at_us: 20_000_000, events: 20, lag_ms: nil), .init(at_us: 30_000_000, events: 20, lag_ms: 9),
        ]
        let rates = PageChart.rates(samples)
        #expect(rates.map(\.value) == [5, nil, 0])
        var chart = PageChart(
            id: "c", title: "Events", text: PageText.rate, points: rates, now_us: 30_000_000)
        #expect(chart.path(top: 5).components(separatedBy: "M").count == 3, "two stretches")
        #expect(chart.summary == "Events in the last hour: now 0 events/s, at most 5.0 events/s")
        chart.now_us = 2 * PageChart.span_us
        #expect(chart.path(top: 5).isEmpty && chart.summary.hasSuffix("nothing is known yet"), "an hour is over")
        #expect(PageChart.lags(samples).map(\.value) == [nil, 7, nil, 9])
    }

    @Test(arguments: [(0, 1), (0.3, 0.5), (1, 1), (3, 5), (51, 100), (1001, 2000)] as [(Double, Double)])
    func theTopOfAChartIsRound(largest: Double, top: Double) {
        #expect(abs(PageChart.top(largest) - top) < 1e-9)
    }

    @Test func numbersAreReadable() {
        #expect(
            PageText.count(0) == "0" && PageText.count(-1234) == "-1,234" && PageText.count(1_000_000) == "1,000,000")
        #expect(PageText.span(ms: 120) == "120 ms" && PageText.span(ms: 4_250) == "4.2 s")
        #expect(PageText.span(ms: 420_000) == "7 min" && PageText.span(ms: 10_800_000) == "3 h")
        #expect(PageText.rate(12_345.4) == "12,345 events/s" && PageText.rate(0.25) == "0.2 events/s")
    }
}

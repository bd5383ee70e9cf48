import Crypto
import Foundation
import Replication

/// `/`: one page, made of what the running agent knows. All of it is there without a script; with one it renews itself, and
/// its buttons do what the commands do, for whoever has the token.
enum StatusPage {
    static func html(_ view: PageView) -> String {
        let report = view.report
        let name = PageText.escaped(report.pipeline)
        return """
            <!doctype html>
            <html lang=en><head><meta charset=utf-8><title>\(name) – Millrace</title>
            <meta name=viewport content="width=device-width, initial-scale=1"><meta name=color-scheme content="light dark">
            <noscript><meta http-equiv=refresh content=10></noscript>
            <style>\(PageStyle.text)</style></head><body>
            <a class=skip href="#tables">To the tables</a>
            <main id=live>
            \(head(view, report))
            \(flow(view, report))
            \(attention(view))
            \(tables(view, report))
            \(plans(report))
            \(charts(view))
            </main>
            \(access)
            <p id=said role=status aria-live=polite></p>
            <footer><a href="/metrics">metrics</a> <a href="/readyz">ready</a> <a href="/healthz">alive</a></footer>
            <script>\(PageScript.text)</script></body></html>
            """
    }

    // MARK: Parts

    private static func head(_ view: PageView, _ report: StatusReport) -> String {
        var facts: [String] = []
        if !report.position.isEmpty { facts.append("at <code>\(PageText.escaped(report.position))</code>") }
        if let since = report.consistentSince {
            facts.append("readers see whole source transactions since <code>\(PageText.escaped(since))</code>")
        }
        if view.snapshot.startedAt_us != .min {
            facts.append("agent up for \(PageText.span(ms: (view.now_us - view.snapshot.startedAt_us) / 1000))")
        }
        let live = PageText.escaped(view.layout.live)
        return """
            <header><h1>\(PageText.escaped(report.pipeline)) \
            <span class="state \(report.state.rawValue)">\(report.state.rawValue)</span></h1>
            <p class=lead>Analysts read <code>\(live)</code>: the source's columns, rows that aren't deleted. \
            <code>\(PageText.escaped(view.layout.current))</code> also has the deleted ones, marked; \
            <code>\(PageText.escaped(view.layout.raw))</code> has every event.</p>
            <p>\(facts.joined(separator: " · "))</p></header>
            """
    }

    private static func flow(_ view: PageView, _ report: StatusReport) -> String {
        let rate = PageChart.rates(view.samples).last?.value.map(PageText.rate) ?? "–"
        let lag = report.lag_ms.map { PageText.span(ms: $0) } ?? "not known"
        let applied = report.tables.reduce(0) { $0 + $1.ledger.applied }
        func stage(_ title: String, _ name: String, _ count: String) -> String {
            "<li class=stage><b>\(title)</b> <span>\(PageText.escaped(name))</span> <span>\(count)</span></li>"
        }
        let raw =
            view.layout.hasRaw ? stage("Raw", view.layout.raw, "\(PageText.count(report.read)) events read") : ""
        let current =
            view.layout.hasCurrent
            ? stage("Current", "\(view.layout.current), \(view.warehouse)", "\(PageText.count(applied)) applied") : ""
        return """
            <section aria-labelledby=flow><h2 id=flow>Flow</h2><ol class=flow>
            \(stage("Source", view.source, PageText.count(report.tables.count, "table")))
            <li class=edge><span>\(rate)</span></li>
            \(raw)
            <li class=edge><span>lag \(lag)</span></li>
            \(current)
            </ol></section>
            """
    }

    /// What somebody is told of, as alerts have it.
    private static func attention(_ view: PageView) -> String {
        let alerts = AlertConditions.of(view.snapshot, pipeline: view.layout.pipeline)
        var items = alerts.map { alert in
            let remedy = alert.remedy.map { " <span class=try>Try: <code>\(PageText.escaped($0))</code></span>" } ?? ""
            return """
                <li><b>\(alert.key.kind.rawValue)</b> \(PageText.escaped(alert.key.subject)): \
                \(PageText.escaped(alert.message))\(remedy)</li>
                """
        }
        if view.snapshot.quarantined > 0 {
            items.append(
                """
                <li><b>quarantine</b> \(PageText.count(view.snapshot.quarantined, "record")) put aside since the agent \
                began <span class=try>Try: <code>millrace quarantine list</code></span> \
                <button type=button class=act hidden aria-label="Show what waits in quarantine" data-act=quarantine>Show what waits</button></li>
                """)
        }
        let body =
            items.isEmpty
            ? "<p>Nothing needs attention.</p>" : "<ul class=alerts>\n\(items.joined(separator: "\n"))</ul>"
        return "<section aria-labelledby=attention><h2 id=attention>Attention</h2>\(body)</section>"
    }

    private static func tables(_ view: PageView, _ report: StatusReport) -> String {
        let counts = StatusReport.Table.counts
        let sweeps = Dictionary(view.snapshot.sweeps.map { ($0.key.description, $0.value) }) { first, _ in first }
        let rows = report.tables.map { table in
            let number = counts.map { name, path in
                "<td class=n data-label=\(name)>\(PageText.count(table.ledger[keyPath: path]))</td>"
            }.joined()
            let cells = [
                ("lag", table.lag_ms.map { PageText.span(ms: $0) } ?? "–"), ("freshness", freshness(table.freshness)),
                ("last proof", proof(sweeps[table.source], now_us: view.now_us)),
            ].map { "<td data-label=\"\($0.0)\">\($0.1)</td>" }.joined()
            return """
                <tr><th scope=row>\(PageText.escaped(table.source))<br><small>\(PageText.escaped(table.target ?? "no shape yet"))</small></th>\
                <td data-label=state>\(state(table))</td><td class=act hidden>\(buttons(table))</td>\(cells)\(number)</tr>
                """
        }
        let heads = ["lag", "freshness", "last proof"].map { "<th scope=col>\($0)</th>" }.joined()
        let numbers = counts.map { "<th scope=col class=n>\($0.0)</th>" }.joined()
        return """
            <section aria-labelledby=tables><h2 id=tables tabindex=-1>Tables</h2>
            <p class=act hidden><button type=button aria-label="Sweep all tables" data-act=sweep>Sweep all</button></p>
            <div class=scroll role=region aria-label="All tables" tabindex=0><table>
            <caption>Events since the agent began; each is counted in read and in one place behind it</caption>
            <thead><tr><th scope=col>source, target</th><th scope=col>state</th>\
            <th scope=col class=act hidden>do</th>\(heads)\(numbers)</tr></thead>
            <tbody>
            \(rows.joined(separator: "\n"))
            </tbody></table></div>
            \(unknown(report))</section>
            """
    }

    private static func unknown(_ report: StatusReport) -> String {
        let control = "<p>\(PageText.count(report.control, "control record")).</p>"
        guard report.unknown.read > 0 else { return control }
        return "<p>\(PageText.count(report.unknown.read, "record")) of no known table.</p>\(control)"
    }

    private static func state(_ table: StatusReport.Table) -> String {
        let reasons = ([table.error].compactMap { $0 } + table.holds.map(\.reason)).map(PageText.escaped)
        let why = reasons.isEmpty ? "" : "<br><small>\(reasons.joined(separator: "<br>"))</small>"
        return "<span class=\"state \(table.state)\">\(table.state)</span>\(why)"
    }

    private static func freshness(_ table: FreshnessReport.Table?) -> String {
        guard let table else { return "–" }
        let age = table.staleness_us.map { ", \(PageText.span(ms: $0 / 1000))" } ?? ""
        let why = table.reason.map { "<br><small>\(PageText.escaped($0))</small>" } ?? ""
        let idle = table.isIdle ? " (idle)" : ""
        return "<span class=\"state \(table.status.rawValue)\">\(table.status.rawValue)</span>\(idle)\(age)\(why)"
    }

    private static func proof(_ sweep: (last: SweepRecord, proof: SweepRecord?)?, now_us: Int64) -> String {
        guard let sweep else { return "never swept" }
        var text = "none"
        if let proof = sweep.proof {
            let age = PageText.span(ms: (now_us - proof.finishedAt_us) / 1000)
            text = "\(proof.isFold ? "equals raw" : "equals source"), \(age) ago"
        }
        guard !sweep.last.isEqual else { return text }
        return "\(text)<br><small>last sweep: \(PageText.count(sweep.last.differences, "row")) of difference</small>"
    }

    private static func buttons(_ table: StatusReport.Table) -> String {
        func button(_ act: String, _ text: String, _ kind: String? = nil) -> String {
            let name = PageText.escaped(table.source)
            let kind = kind.map { " data-kind=\($0)" } ?? ""
            return """
                <button type=button data-act=\(act)\(kind) data-table="\(name)" aria-label="\(text) \(name)">\(text)</button>
                """
        }
        var all: [String] = []
        let isPaused = table.holds.contains { $0.kind == .paused }
        all.append(isPaused ? button("release", "Resume", "paused") : button("pause", "Pause"))
        for kind in [TableHold.Kind.quality, .failing] where table.holds.contains(where: { $0.kind == kind }) {
            all.append(button("release", "Release", kind.rawValue))
        }
        return (all + [button("resync", "Resync"), button("sweep", "Sweep")]).joined(separator: " ")
    }

    private static func plans(_ report: StatusReport) -> String {
        guard !report.schemaChanges.isEmpty else { return "" }
        let items = report.schemaChanges.map { change in
            """
            <li><b>#\(change.id)</b> \(PageText.escaped(change.table.description)): \(PageText.escaped(change.what)) \
            <span class=try>\(change.state.rawValue), Try: <code>millrace schema show \(change.id)</code></span></li>
            """
        }
        return """
            <section aria-labelledby=plans><h2 id=plans>Schema plans</h2><ul>
            \(items.joined(separator: "\n"))</ul></section>
            """
    }

    private static func charts(_ view: PageView) -> String {
        let lag = PageChart(
            id: "chart-lag", title: "Lag", text: { PageText.span(ms: Int64($0)) }, points: PageChart.lags(view.samples),
            now_us: view.now_us)
        let rate = PageChart(
            id: "chart-rate", title: "Events", text: PageText.rate, points: PageChart.rates(view.samples),
            now_us: view.now_us)
        return """
            <section aria-labelledby=hour><h2 id=hour>The last hour</h2><div class=charts>
            \(lag.html)
            \(rate.html)
            </div></section>
            """
    }

    /// The token goes into a header, which no other page can send: nothing is done by a request that a browser adds to by
    /// itself.
    private static let access = """
        <section id=access class=act hidden aria-labelledby=access-head><h2 id=access-head>Access</h2>
        <form id=key><label for=token>The agent's token (in the file <code>token</code> of agent.dir, or agent.token)</label>
        <input id=token type=password autocomplete=off required> <button>Use it</button></form>
        <p>It is kept in this tab alone, until it is closed or loaded anew.</p></section>
        """

    /// Nothing may be loaded; of styles and scripts only ours, by their hashes, and asked is only the agent itself.
    static let policy: String = {
        func hash(_ text: String) -> String {
            "'sha256-\(Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString())'"
        }
        return "default-src 'none'; style-src \(hash(PageStyle.text)); script-src \(hash(PageScript.text)); "
            + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }()
}

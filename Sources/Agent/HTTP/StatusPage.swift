import Crypto
import Foundation

/// `/`: one plain page, without scripts, made of what the running agent knows.
enum StatusPage {
    static func html(_ report: StatusReport) -> String {
        var rows = ""
        for table in report.tables {
            let cells = StatusReport.Table.counts.map { "<td class=n>\(table.ledger[keyPath: $0.1])</td>" }.joined()
            let lag = table.lag_ms.map { "\($0)" } ?? "–"
            rows += "<tr><th scope=row>\(escaped(table.source))</th><td>\(escaped(table.target ?? "–"))</td>"
            rows += "<td>\(escaped(table.state))</td>\(cells)<td class=n>\(lag)</td></tr>\n"
        }
        let names = StatusReport.Table.counts.map { "<th class=n>\($0.0)</th>" }.joined()
        var notes = ""
        if let waiting = report.waiting { notes += "<p>Waiting: \(escaped(waiting))</p>" }
        for lost in report.lost { notes += "<p>Stopped: \(escaped(lost))</p>" }
        for case let table? in report.tables.map(\.freshness) where table.status == .stale {
            notes += "<p>Stale: \(escaped(table.table))\(table.reason.map { ": " + escaped($0) } ?? "")</p>"
        }
        if report.unknown.read > 0 { notes += "<p>\(report.unknown.read) records of no known table</p>" }
        return """
            <!doctype html>
            <html lang=en><head><meta charset=utf-8><title>\(escaped(report.pipeline)) – Millrace</title>
            <meta name=viewport content="width=device-width"><meta http-equiv=refresh content=5>
            <style>\(style)</style></head><body>
            <h1>\(escaped(report.pipeline)) <small class=\(report.state.rawValue)>\(report.state.rawValue)</small></h1>
            \(notes)
            <table><thead><tr><th>source</th><th>target</th><th>state</th>\(names)<th class=n>lag ms</th></tr></thead>
            <tbody>
            \(rows)</tbody></table>
            <p>Events since the agent started; \(report.control) control records.
            <a href="/metrics">metrics</a> <a href="/readyz">ready</a></p>
            </body></html>
            """
    }

    private static let style = """
        body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#222}table{border-collapse:collapse}\
        th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:left;font-weight:400}\
        thead th{font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums}\
        small{font-size:60%;padding:.1rem .5rem;border-radius:.5rem}.ok{background:#d7f0dc}\
        .degraded,.standby{background:#fbe6c4}.stopped{background:#f3c9c9}
        """

    /// Nothing may run or be loaded; of styles only ours, by its hash.
    static let policy: String = {
        let hash = Data(SHA256.hash(data: Data(style.utf8))).base64EncodedString()
        return "default-src 'none'; style-src 'sha256-\(hash)'; base-uri 'none'; form-action 'none'; "
            + "frame-ancestors 'none'"
    }()

    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

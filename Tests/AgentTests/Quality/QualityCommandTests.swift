import Foundation
import Logging
import Replication
import Testing

@testable import Agent

@Suite struct QualityCommandTests {
    private func report(_ verdicts: [(Expectation.Severity, QualityReport.Verdict)]) -> QualityReport {
        var report = QualityReport(fingerprint: "f")
        var table = QualityReport.Table(source: "public.orders")
        for (severity, verdict) in verdicts {
            var rule = QualityReport.Rule(Expectation(.notNull("a"), severity: severity, onFail: .warn))
            rule.verdict = verdict
            table.rules.append(rule)
        }
        report.tables = [table]
        return report
    }

    private func exit(_ report: QualityReport) -> Int32 {
        do {
            return try QualityCommand(.all).exit(report)
        } catch {
            return ExitStatus.failure(of: error).exit
        }
    }

    @Test func exits() {
        #expect(exit(report([(.hard, .pass), (.soft, .fail), (.hard, .unknown)])) == 0)
        #expect(exit(report([(.soft, .misfit)])) == 0, "what is soft is in nobody's way")
        #expect(exit(report([(.hard, .misfit)])) == 2)
        #expect(exit(report([(.hard, .misfit), (.hard, .fail)])) == 6)
        var troubled = report([(.soft, .misfit), (.hard, .unknown)])
        troubled.tables[0].reason = "out of memory"
        troubled.tables[0].remedy = "more of it"
        #expect(exit(troubled) == 3)
        #expect(QualityReport(json: troubled.json) == troubled)
        troubled.tables += report([(.hard, .fail)]).tables
        #expect(exit(troubled) == 6)
    }

    /// Gates that aren't built keep nothing out: what writes rows beside an agent that would refuse is refused as well.
    @Test func gatesAreNotPassedBy() async throws {
        try await withTemporaryFolder { folder in
            let file = folder + "/shop.yaml"
            try """
            pipeline: shop
            source: { file: { path: events.jsonl } }
            warehouse: { duckdb: { path: w.duckdb } }
            layers: { raw: false }
            tables: [{ source: public.items, quality: [{ expect: not_null, column: v }] }]
            """.write(toFile: file, atomically: true, encoding: .utf8)
            let context = CommandContext(
                file: file, json: false, console: Written().console(), logger: Logger(label: "test"))
            let commands: [(name: String, run: () async throws -> Void)] = [
                ("release", { _ = try await HoldCommand(.release(.all, quarantinesAll: true)).run(context) }),
                ("resume", { _ = try await HoldCommand(.resume(.all)).run(context) }),
                ("quarantine replay", { _ = try await QuarantineCommand(.replay(.all)).run(context) }),
                ("sweep --late", { _ = try await SweepCommand(.all, SweepRequest(.late)).run(context) }),
                ("sweep --repair", { _ = try await SweepCommand(.all, SweepRequest(.repair)).run(context) }),
                ("schema approve", { try await SchemaCommand(.approve(1)).run(context) }),
            ]
            for (name, run) in commands {
                do {
                    try await run()
                    Issue.record("\(name) passes")
                } catch {
                    let failure = ExitStatus.failure(of: error)
                    #expect(
                        failure.exit == 2 && failure.message.contains("on_fail: hold needs the raw layer"),
                        "\(name): \(failure)")
                }
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/w.duckdb"))
        }
    }
}

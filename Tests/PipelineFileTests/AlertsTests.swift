import PipelineFile
import Testing

@Suite struct AlertsTests {
    @Test func whereAlertsGo() throws {
        let pipeline = try parse(
            minimal(
                """
                alerts:
                  - { webhook: "https://hooks.example/T1", format: slack, lag_over: 5m }
                  - { webhook: "http://alerts.example" }
                  - { exec: ./page.sh, on: [held, lost] }
                  - log: true
                """), file: "/srv/shop/millrace.yaml")
        let alerts = pipeline.alerts
        #expect(alerts.count == 4)
        #expect(
            alerts[0].way == .webhook(Secret("https://hooks.example/T1"), .slack) && alerts[0].lagOver == .seconds(300))
        #expect(alerts[1].way == .webhook(Secret("http://alerts.example"), .json) && alerts[1].lagOver == .seconds(60))
        #expect(alerts[2].kinds == [.held, .lost] && alerts[1].kinds == Set(Pipeline.AlertKind.allCases))
        guard case .exec(let path) = alerts[2].way else {
            Issue.record("no program")
            return
        }
        #expect(path.hasPrefix("/srv/shop/") && path.hasSuffix("/page.sh"))
        #expect(alerts[3].way == .log)
    }

    @Test(arguments: [
        ("alerts: {}", "6: alerts: this must be a list, not a mapping"),
        ("alerts: [{ lag_over: 60s }]", "6: alerts[0]: where the alert goes isn't said"),
        ("alerts: [{ exec: a, log: true }]", "6: alerts[0].log: an entry has one way, this one has exec and log"),
        ("alerts: [{ webhook: ftp://x.example }]", "6: alerts[0].webhook: this is no http or https URL"),
        ("alerts: [{ exec: a, format: slack }]", "6: alerts[0].format: only a webhook has a format"),
        ("alerts: [{ log: false }]", "6: alerts[0].log: this entry sends nothing"),
        ("alerts: [{ log: true, on: [] }]", "6: alerts[0].on: nothing would be sent"),
        ("alerts: [{ log: true, mail: x }]", "6: alerts[0].mail: there is no such key"),
    ])
    func refused(extra: String, problem: String) {
        #expect(problems(minimal(extra)) == [problem])
    }
}

import PipelineFile
import Testing

struct SweepsTests {
    @Test func whatIsRead() throws {
        let text = minimal("sweeps: { full: \"30 4 * * 1-5\", late: { after: 1h, lookback: 2d }, repair: true }")
        let sweeps = try Pipeline.parse(text: text, file: "millrace.yaml", environment: [:]).sweeps
        #expect(sweeps.full == CronSchedule("30 4 * * 1-5"))
        #expect(sweeps.lateAfter == .seconds(3600) && sweeps.lateLookback == .seconds(2 * 86_400) && sweeps.repairs)
        let never = try Pipeline.parse(
            text: minimal("sweeps: { full: never }"), file: "millrace.yaml", environment: [:])
        #expect(never.sweeps == Pipeline.Sweeps())
    }

    @Test(arguments: [
        ("sweeps: { ful: never }", "6: sweeps.ful: there is no such key"),
        (
            "sweeps: { full: daily }",
            "6: sweeps.full: daily is no cron expression of five fields whose time comes"
        ),
        (
            "sweeps: { full: \"0 0 30 2 *\" }",
            "6: sweeps.full: 0 0 30 2 * is no cron expression of five fields whose time comes"
        ),
        (
            "sweeps: { repair: true }\nlayers: { raw: false }",
            "6: sweeps.repair: a repair needs the raw and the current layer"
        ),
        ("sweeps: { late: { after: 1s } }", "6: sweeps.late.after: 1s is outside of 10s to 365d"),
    ]) func whatIsRefused(extra: String, problem: String) {
        #expect(problems(minimal(extra)) == [problem])
    }
}

import PipelineFile
import Testing

@Suite struct FreshnessTests {
    @Test func whatIsPromised() throws {
        let pipeline = try parse(
            minimal(
                """
                tables:
                  - { source: public.a, freshness: { max_staleness: 15m, alert: "#data-alerts" } }
                  - { source: public.b, freshness: { max_staleness: 1s } }
                  - { source: public.c, freshness: }
                  - { source: public.d, freshness: {} }
                """))
        #expect(
            pipeline.tables.map(\.freshness) == [
                .init(maxStaleness: .seconds(900), alert: "#data-alerts"), .init(maxStaleness: .seconds(1)), nil, nil,
            ])
    }

    @Test(arguments: [
        ("{ max_staleness: 500ms }", "max_staleness: 500ms is outside of 1s to 366d"),
        (
            "{ max_staleness: 15 }",
            "max_staleness: this must be a time with its unit (ms, s, m, h or d) such as 15m, not 15"
        ),
        ("{ alert: x }", "alert: how stale the table may be isn't said"),
        (
            "{ max_staleness: 15m, alert: \"a\\nb\" }",
            "alert: this is no channel's name: 200 bytes at most, on one line"
        ),
        ("{ max_staleness: 15m, alert: [a] }", "alert: this must be a single value, not a list"),
        ("{ max_stalenes: 15m }", "max_stalenes: there is no such key"),
    ])
    func refused(freshness: String, problem: String) {
        let found = problems(minimal("tables: [{ source: a.b, freshness: \(freshness) }]"))
        #expect(found == ["6: tables[0].freshness.\(problem)"])
    }
}

import PipelineFile
import Testing

@Suite struct LaterStepsTests {
    @Test(arguments: [
        "sweeps: { late: { lookback: 1d } }", "sweeps:", "lineage: {}",
        "tables: [{ source: a.b, quality: [], freshness: }]", "layers: { raw_retention: forever }",
    ])
    func defaultsAccepted(extra: String) {
        #expect(problems(minimal(extra)).isEmpty)
    }

    @Test func sourcesAndWarehouses() {
        #expect(
            problems("pipeline: p\nsource: { file: { path: f } }\nwarehouse: { clickhouse: { url: http://h } }") == [
                "3: warehouse.clickhouse: writing to ClickHouse is not built yet (not yet)"
            ])
        #expect(
            problems(
                """
                pipeline: p
                source:
                  kafka:
                    brokers: b
                    topics: [t]
                    catalog: mysql://u:hush@h/d
                warehouse: { duckdb: {} }
                """) == [
                    "6: source.kafka.catalog: a catalog in mysql is not built yet (not yet)"
                ])
    }

    @Test func unknownKeysInsideLaterStepsAreStillUnknown() {
        #expect(
            problems(minimal("tables: [{ source: a.b, qualty: [] }]")).first?.contains("there is no such key") == true)
    }
}

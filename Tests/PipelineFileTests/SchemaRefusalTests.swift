import JSON
import PipelineFile
import Testing

/// What the decoder refuses and an editor can see is refused by the schema, too.
@Suite struct SchemaRefusalTests {
    @Test(arguments: [
        "batsh: {}", "batch: { max_row: 1 }", "duckdb: {}", "batch: [1]", "batch: { max_rows: many }",
        "batch: { max_rows: 0 }", "batch: { max_rows: 1.5 }", "batch: { max_bytes: 32 parsecs }",
        "batch: { max_delay: 500 }", "layers: { raw: yes }", "layers: { raw: false, current: false }",
        "layers: { raw_retention: always }", "tables: { source: public.a }", "tables: [public.a]",
        "tables: [{ target: a }]", "tables: [{ source: orders }]", "tables: [{ source: \"public.*\" }]",
        "tables: [{ source: public.a, key: id }]", "tables: [{ source: public.a, key: [] }]",
        "tables: [{ source: public.a, key: [x, x] }]", "tables: [{ source: public.a, target: sales.a }]",
        "tables: [{ source: public.a, existing: adapt }]", "tables: [{ source: public.a, columns: { hashs: [x] } }]",
        "tables: [{ source: public.a, freshness: { alert: x } }]", "metadata_columns: fivetan",
        "metadata_columns: { deleted: x }", "agent: { dir: \"\" }", "agent: { listen: 8642 }",
        "agent: { listen: \"::1:8642\" }", "agent: { drain: 30 }", "schema_changes: { additive: ignore }",
        "sweeps: { full: \"0 3 * *\" }", "sweeps: { late: true }", "alerts: [{ on: [held] }]",
        "alerts: [{ webhook: page.sh }]", "alerts: [{ log: false }]", "alerts: [{ log: true, on: [helt] }]",
        "alerts: [{ exec: a, webhook: \"http://example.com\" }]", "alerts: [{ exec: a, format: slack }]",
        "lineage: { openlineage: {} }", "lineage: { openlineage: { url: \"http://h\", file: f } }",
        "lineage: { openlineage: { file: f, api_key: k } }", "quality: { every: sometimes }",
        "quality: { deferred_max: 0 }",
    ])
    func aWrongFileIsRefused(extra: String) throws { try expectRefused(minimal(extra)) }

    @Test(arguments: [
        "{ column: a }", "{ expect: not_nul, column: a }", "{ expect: not_null }", "{ expect: not_null, columns: [a] }",
        "{ expect: unique }", "{ expect: unique, column: a, columns: [b] }", "{ expect: between, column: a }",
        "{ expect: in_set, column: a }", "{ expect: in_set, column: a, values: [] }", "{ expect: matches, column: a }",
        "{ expect: length, column: a, min: -1 }", "{ expect: row_count }", "{ expect: row_count, min: 1, mostly: 1 }",
        "{ expect: foreign_key, column: a }", "{ expect: foreign_key, column: a, references: b }",
        "{ expect: expression }", "{ expect: not_null, column: a, mostly: 2 }",
        "{ expect: not_null, column: a, severity: soft, on_fail: hold }",
        "{ expect: unique, column: a, on_fail: quarantine_row }",
        "{ expect: not_null, column: a, mostly: 0.9, on_fail: quarantine_row }",
    ])
    func aWrongExpectationIsRefused(entry: String) throws {
        try expectRefused(minimal("tables: [{ source: public.a, quality: [\(entry)] }]"))
    }

    @Test(arguments: [
        "{}", "{ file: { path: f }, kafka: { brokers: b, topics: [t] } }", "{ file: {} }",
        "{ file: { path: f }, include: [] }",
        "{ file: { path: f }, include: [orders] }", "{ file: { path: f }, snapshot: sometimes }",
        "{ file: { path: f, format: avro } }", "{ file: { path: f, schema_registry: {} } }",
        "{ file: { path: f, schema_registry: { url: \"http://h\", file: s } } }", "{ kafka: { topics: [t] } }",
        "{ kafka: { brokers: b, topics: t } }", "{ kafka: { brokers: b, topics: [\"a b\"] } }",
        "{ kafka: { brokers: b, topics: [t], start: soon } }",
        "{ kafka: { brokers: b, topics: [t], catalog: \"mysql://h\" } }",
        "{ kafka: { brokers: b, topics: [t], properties: { group.id: g } } }", "{ postgres: { url: \"mysql://h/d\" } }",
        "{ postgres: { url: \"postgres://h/d\", slot: A-b } }",
        "{ postgres: { url: \"postgres://h/d\", copy_workers: 33 } }",
        "{ file: { path: f }, debezium: { connector: db2 } }",
        "{ file: { path: f }, debezium: { add_fields: [a.b.c] } }",
    ])
    func aWrongSourceIsRefused(source: String) throws {
        try expectRefused("pipeline: p\nsource: \(source)\nwarehouse: { duckdb: {} }")
    }

    @Test(arguments: [
        "pipeline: Shop\nsource: { file: { path: f } }\nwarehouse: { duckdb: {} }",
        "pipeline: p\nsource: { file: { path: f } }\nwarehouse: {}", "pipeline: p\nwarehouse: { duckdb: {} }",
        "pipeline: p\nsource: { file: { path: f } }\nwarehouse: { clickhouse: { url: http } }",
        "pipeline: p\nsource: { file: { path: f } }\nwarehouse: { duckdb: {}, postgres: { url: \"postgres://h/d\" } }",
    ])
    func aWrongRestIsRefused(text: String) throws { try expectRefused(text) }

    private func expectRefused(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(problems(text) != [], "the decoder takes it", sourceLocation: sourceLocation)
        #expect(yamlValue(text) != nil, "this is no YAML", sourceLocation: sourceLocation)
        #expect(try schemaComplaints(text) != [], "the schema takes it", sourceLocation: sourceLocation)
    }
}

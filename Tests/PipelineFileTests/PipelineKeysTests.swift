import PipelineFile
import Testing

@Suite struct PipelineKeysTests {
    static func kafka(_ keys: String) -> String {
        """
        pipeline: shop
        source: { kafka: { brokers: b, topics: [t], \(keys) } }
        warehouse: { postgres: { url: "postgres://loader:pw@dw/analytics" } }
        """
    }

    @Test(arguments: [
        ("earliest", Pipeline.Start.earliest), ("latest", .latest), ("group:old.one", .group("old.one")),
        ("2026-05-01T00:00:00Z", .timestamp(since1970_ms: 1_777_593_600_000)),
        ("2026-05-01", .timestamp(since1970_ms: 1_777_593_600_000)),
        ("\"2026-05-01 02:00:00.25+02:00\"", .timestamp(since1970_ms: 1_777_593_600_250)),
        ("1777593600000", .timestamp(since1970_ms: 1_777_593_600_000)), ("0", .timestamp(since1970_ms: 0)),
    ])
    func start(text: String, start: Pipeline.Start) throws {
        #expect(try parse(Self.kafka("start: \(text)")).kafka?.start == start)
    }

    @Test func kafkaAndPostgres() throws {
        let pipeline = try parse(
            Self.kafka(
                """
                group: g, format: debezium, catalog: "postgresql://r:secret@db:5432/shop?sslmode=require",
                  properties: { security.protocol: sasl_ssl, sasl.password: "${PW}", fetch.wait.max.ms: 10,
                    enable.auto.commit: false }
                """), ["PW": "hush: {x}"])
        let kafka = try #require(pipeline.kafka)
        #expect(kafka.group == "g")
        #expect(kafka.format == .debezium)
        #expect(kafka.catalog?.text == "postgresql://r:secret@db:5432/shop?sslmode=require")
        #expect(
            kafka.properties.mapValues(\.value) == [
                "security.protocol": "sasl_ssl", "sasl.password": "hush: {x}", "fetch.wait.max.ms": "10",
                "enable.auto.commit": "false",
            ])
        #expect(pipeline.warehouse.engine.identifier_bytes_max == 63)
        guard case .postgres(let postgres) = pipeline.warehouse.engine else { throw PipelineFileMismatch() }
        #expect(postgres.url.text == "postgres://loader:pw@dw/analytics")
    }

    struct PipelineFileMismatch: Error {}

    @Test(arguments: ["a:1, b:2", "PLAINTEXT://a:9092,b", "[::1]:9092", "kafka"])
    func brokers(text: String) throws {
        let pipeline = try parse(
            "pipeline: p\nsource: { kafka: { brokers: \"\(text)\", topics: [t] } }\nwarehouse: { duckdb: }")
        #expect(pipeline.kafka?.brokers == text.replacing(", ", with: ","))
    }

    @Test(arguments: ["initial", "never", "only"])
    func snapshot(word: String) throws {
        let text = "pipeline: p\nsource: { file: { path: f }, snapshot: \(word) }\nwarehouse: { duckdb: {} }"
        #expect(try parse(text).source.snapshot.rawValue == word)
    }

    @Test func debezium() throws {
        let keys = """
            unavailable_value_placeholder: "%%MISSING%%", decimal_handling_mode: string,
              time_precision_mode: adaptive_time_microseconds, binary_handling_mode: base64-url-safe
            """
        for input in ["kafka: { brokers: b, topics: [t] }", "file: { path: f }"] {
            let text = "pipeline: p\nsource: { \(input), debezium: { \(keys) } }\nwarehouse: { duckdb: {} }"
            let debezium = try parse(text).source.debezium
            #expect(debezium.unavailable_value_placeholder == "%%MISSING%%")
            #expect(debezium.decimal_handling_mode == .string)
            #expect(debezium.time_precision_mode == .adaptive_time_microseconds)
            #expect(debezium.binary_handling_mode == .base64_url_safe)
        }
        let hex = "pipeline: p\nsource: { file: { path: f }, debezium: { unavailable_value_placeholder: hex:c3A9 } }"
        #expect(try parse(hex + "\nwarehouse: { duckdb: }").source.debezium.unavailable_value_placeholder == "é")
    }

    @Test func whatWasAddedToRows() throws {
        func debezium(_ keys: String) throws -> Pipeline.Debezium {
            try parse("pipeline: p\nsource: { file: { path: f }, debezium: { \(keys) } }\nwarehouse: { duckdb: {} }")
                .source.debezium
        }
        let standard = try debezium("")
        #expect(standard.add_fields == nil && standard.add_headers == nil && standard.connector == .auto)
        #expect(standard.add_fields_prefix == "__" && standard.add_headers_prefix == "__")
        let told = try debezium(
            "connector: mysql, add_fields: [op, \"source.lsn:place\"], add_fields_prefix: \"\", add_headers_prefix: meta."
        )
        #expect(told.connector == .mysql && told.add_fields == ["op", "source.lsn:place"])
        #expect(told.add_fields_prefix == "" && told.add_headers_prefix == "meta.")
    }

    @Test(arguments: ["auto", "debezium", "flattened", "cloudevents"])
    func format(word: String) throws {
        #expect(try parse(Self.kafka("format: \(word)")).kafka?.format.rawValue == word)
        let text = "pipeline: p\nsource: { file: { path: f, format: \(word) } }\nwarehouse: { duckdb: {} }"
        guard case .file(let file) = try parse(text).source.input else { throw PipelineFileMismatch() }
        #expect(file.format.rawValue == word)
    }

    @Test func topicsOfTables() throws {
        let pipeline = try parse(minimal("tables: [{ source: a.b, topic: feed }, { source: a.c }]"))
        #expect(pipeline.tables.map(\.topic) == ["feed", nil])
        #expect(
            problems(minimal("tables: [{ source: a.b, topic: x }, { source: a.c, topic: x }]"))
                == ["6: tables[1].topic: tables[0] has the same topic"])
    }

    @Test(arguments: ["error", "adopt", "replace"])
    func existing(word: String) throws {
        let pipeline = try parse(minimal("tables: [{ source: a.b, existing: \(word) }]"))
        #expect(pipeline.tables.first?.existing.rawValue == word)
    }

    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1", 80), ("\"[::1]:8642\"", "::1", 8642), ("localhost:0", "localhost", 0),
        ("0.0.0.0:65535", "0.0.0.0", 65_535),
    ])
    func listen(text: String, host: String, port: Int) throws {
        #expect(try parse(minimal("agent: { listen: \(text) }")).agent.listen == .init(host: host, port: port))
    }

    @Test func batchLayersAndSchemas() throws {
        let pipeline = try parse(
            """
            pipeline: shop_2
            source: { file: { path: e.jsonl }, include: ["public.*"], exclude: ["*.secret"] }
            warehouse:
              duckdb: { memory_limit: 1GiB }
              schemas: { current: Weird "name.x, raw: archive }
            layers: { raw: false, raw_retention: 90d }
            batch: { max_rows: 5, max_bytes: 64KiB, max_delay: 0ms }
            agent: { dir: state }
            """)
        #expect(pipeline.batch.rows_max == 5)
        #expect(pipeline.batch.bytes_max.bytes == 65_536)
        #expect(pipeline.batch.delay_max == .zero)
        #expect(pipeline.layers == .init(raw: false, current: true, raw_retention: .seconds(90 * 86_400)))
        #expect(pipeline.warehouse.schemas.current == "Weird \"name.x")
        #expect(pipeline.warehouse.schemas.raw == "archive")
        #expect(pipeline.warehouse.schemas.live == "shop_2_live")
        #expect(pipeline.duckdb?.memory_limit.description == "1GiB")
        #expect(pipeline.source.tables.chooses("public.orders"))
        #expect(!pipeline.source.tables.chooses("public.secret"))
        #expect(pipeline.agent.dir == "state")
    }

    @Test func targetsFollowTheTablesThenTheRule() throws {
        let pipeline = try parse(minimal("tables: [{ source: public.orders, target: sales }, { source: crm.people }]"))
        #expect(pipeline.target(schema: "public", table: "orders") == "sales")
        #expect(pipeline.target(schema: "public", table: "lines") == "lines")
        #expect(pipeline.target(schema: "crm", table: "people") == "crm__people")
        #expect(pipeline.target(schema: "crm", table: "people", soleSchema: true) == "people")
        #expect(pipeline.target(schema: nil, table: "people") == "people")
    }

    @Test func hashingAKeyColumnIsAllowed() {
        #expect(problems(minimal("tables: [{ source: a.b, key: [email], columns: { hash: [email] } }]")).isEmpty)
    }

    @Test func anchorsAndMergesWork() throws {
        let pipeline = try parse(
            minimal(
                """
                tables:
                  - &base
                    source: public.a
                    columns: &masked { hash: [email] }
                    existing: adopt
                  - { source: public.b, columns: *masked }
                  - { <<: *base, source: public.c, existing: replace }
                """))
        #expect(pipeline.tables.map(\.source) == ["public.a", "public.b", "public.c"])
        #expect(pipeline.tables.map(\.columns.hash) == [["email"], ["email"], ["email"]])
        #expect(pipeline.tables.map(\.existing) == [.adopt, .error, .replace])
    }
}

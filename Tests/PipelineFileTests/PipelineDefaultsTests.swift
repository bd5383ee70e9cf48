import PipelineFile
import Testing

@Suite struct PipelineDefaultsTests {
    @Test func everyDefaultIsTheDocumentedOne() throws {
        let pipeline = try parse(minimal())
        let kafka = try #require(pipeline.kafka)
        #expect(pipeline.name == "shop")
        #expect(kafka.brokers == "localhost:9092")
        #expect(kafka.topics == [Glob("shop.public.*")])
        #expect(kafka.group == "millrace-shop")
        #expect(kafka.start == .earliest)
        #expect(kafka.format == .auto)
        #expect(kafka.catalog == nil)
        #expect(kafka.properties.isEmpty)
        #expect(pipeline.source.tables == TableSelector(include: ["*.*"]))
        #expect(pipeline.source.snapshot == .initial)
        let debezium = pipeline.source.debezium
        #expect(debezium.unavailable_value_placeholder == "__debezium_unavailable_value")
        #expect(debezium.decimal_handling_mode == .auto && debezium.binary_handling_mode == .auto)
        #expect(debezium.time_precision_mode == .adaptive)
        let duckdb = try #require(pipeline.duckdb)
        #expect(duckdb.path == "shop.duckdb")
        #expect(duckdb.memory_limit == .mebibytes(512))
        #expect(duckdb.library == nil)
        let schemas = pipeline.warehouse.schemas
        #expect(
            [schemas.current, schemas.raw, schemas.live, schemas.history]
                == ["shop", "shop_raw", "shop_live", "shop_history"])
        #expect(pipeline.layers == Pipeline.Layers(raw: true, current: true))
        #expect(pipeline.metadataColumns.names == ["is_deleted", "deleted_at", "_source_updated_at", "_loaded_at"])
        #expect(pipeline.tables.isEmpty)
        #expect(pipeline.batch.rows_max == 100_000)
        #expect(pipeline.batch.bytes_max == .mebibytes(32))
        #expect(pipeline.batch.delay_max == .milliseconds(500))
        #expect(pipeline.agent.listen.description == "127.0.0.1:8642")
        #expect(pipeline.agent.token == nil)
        #expect(pipeline.agent.dir == ".millrace")
        #expect(pipeline.agent.drain == .seconds(30))
    }

    /// The page as documented, later steps at their defaults; `${…}` unquoted inside braces.
    static let documented = """
        pipeline: shop                        # e.g.
        source:                               # exactly one of {kafka}: postgres, file
          include: ["*.*"]
          exclude: []
          snapshot: initial
          kafka:
            brokers: localhost:9092
            topics: ["shop.public.*"]
            group: millrace-shop
            start: earliest
            format: auto
            schema_registry:
            catalog: postgres://replicator@db/shop
            properties: {}
        warehouse:
          schemas: { current: shop, raw: shop_raw, live: shop_live, history: shop_history }
          duckdb: { path: shop.duckdb, memory_limit: 512MiB, library: /usr/lib/libduckdb.so }
        layers: { raw: true, current: true, raw_retention: forever }
        metadata_columns: default
        tables:
          - source: public.orders
            target: orders
            key: [order_id]
            existing: error
            columns: { exclude: [card_number], hash: [email], types: { amount: "numeric(12,2)" } }
            where: "status <> 'draft'"
            metadata_columns: airbyte
            quality: []
        schema_changes: { additive: apply, breaking: plan, deprecate_after: 30d }
        sweeps: { full: never, late: { after: 6h, lookback: 24h }, repair: false }
        alerts: []
        lineage: {}
        batch: { max_rows: 100000, max_bytes: 32MiB, max_delay: 500ms }
        agent: { listen: 127.0.0.1:8642, token: ${MILLRACE_TOKEN}, dir: .millrace, drain: 30s }
        """

    @Test func documentedDefaultsAreAcceptedAndSayWhatSilenceSays() throws {
        let pipeline = try parse(Self.documented)
        var plain = try parse(minimal())
        #expect(pipeline.batch == plain.batch)
        #expect(pipeline.agent == plain.agent)
        #expect(pipeline.layers == plain.layers)
        #expect(pipeline.warehouse.schemas == plain.warehouse.schemas)
        #expect(pipeline.metadataColumns == plain.metadataColumns)
        plain.source.input = pipeline.source.input
        #expect(pipeline.source == plain.source)
        let table = try #require(pipeline.table(source: "public.orders"))
        #expect(table.target == "orders")
        #expect(table.key == ["order_id"])
        #expect(table.existing == .error)
        #expect(table.columns.exclude == ["card_number"])
        #expect(table.columns.hash == ["email"])
        #expect(table.columns.types == ["amount": "numeric(12,2)"])
        #expect(table.filter == (try Predicate("status <> 'draft'")))
        #expect(table.metadataColumns == .airbyte)
        #expect(pipeline.metadataColumns(source: "public.orders") == .airbyte)
        #expect(pipeline.metadataColumns(source: "public.lines") == .standard)
    }

    @Test func aTokenIsTheEnvironmentsUnlessItSaysNothing() throws {
        #expect(try parse(minimal(), ["MILLRACE_TOKEN": "abc"]).agent.token == Secret("abc"))
        #expect(try parse(minimal(), ["MILLRACE_TOKEN": ""]).agent.token == nil)
        let given = minimal("agent: { token: ${MILLRACE_TOKEN} }")
        #expect(try parse(given, ["MILLRACE_TOKEN": "abc"]).agent.token == Secret("abc"))
        #expect(try parse(given).agent.token == nil)
        #expect(try parse(minimal("agent: { token: mine }"), ["MILLRACE_TOKEN": "abc"]).agent.token == Secret("mine"))
        #expect(
            problems(minimal("agent: { token: ${OTHER_TOKEN} }")) == [
                "6: agent.token: the environment variable OTHER_TOKEN is not set"
            ])
    }

    @Test func pathsAreSeenFromTheFilesFolder() throws {
        let text = """
            pipeline: shop
            source: { file: { path: events.jsonl.gz } }
            warehouse: { duckdb: { path: /data/shop.duckdb, library: lib/libduckdb.so } }
            """
        let pipeline = try parse(text, file: "conf/millrace.yaml")
        #expect(pipeline.source.input == .file(.init(path: "conf/events.jsonl.gz")))
        #expect(pipeline.duckdb?.path == "/data/shop.duckdb")
        #expect(pipeline.duckdb?.library == "conf/lib/libduckdb.so")
        #expect(pipeline.agent.dir == "conf/.millrace")
        #expect(try parse(minimal(), file: "/etc/m.yaml").duckdb?.path == "/etc/shop.duckdb")
    }
}

import PipelineFile
import Postgres
import Replication
import Testing

@testable import Agent

@Suite("Lineage: names of datasets")
struct LineageNamesTests {
    private func facts(source: String, warehouse: String, _ environment: [String: String] = [:]) throws -> LineageFacts
    {
        let text = """
            pipeline: shop
            source: { \(source) }
            warehouse: { \(warehouse) }
            lineage: { openlineage: { url: "http://marquez:5000", namespace: jobs } }
            """
        let pipeline = try Pipeline.parse(text: text, file: "millrace.yaml", environment: [:])
        let settings = try #require(pipeline.lineage)
        return LineageFacts(
            pipeline, settings, layout: WarehouseLayout(pipeline: "shop"), version: "1", environment: environment,
            folder: "/srv/shop")
    }

    @Test(
        "of a Postgres server hold host, port and database, and nothing else of its URL",
        arguments: [
            ("postgres://reader:hush@db.example:6432/shop?sslmode=require", "postgres://db.example:6432", "shop"),
            ("postgres://reader:hush@db.example/shop", "postgres://db.example:5432", "shop"),
            ("postgres://reader:hush@a:1,b:2/shop", "postgres://a:1", "shop"),
            ("postgres://reader:p%40ss@[::1]:5433/shop", "postgres://[::1]:5433", "shop"),
            ("postgres:///shop?host=/var/run/postgresql&port=5433", "postgres://localhost:5433", "shop"),
            ("postgres://db/a%2Cb", "postgres://db:5432", "a,b"),
        ])
    func postgres(url: String, namespace: String, database: String) throws {
        let facts = try facts(source: "postgres: { url: \"\(url)\" }", warehouse: "postgres: { url: \"\(url)\" }")
        #expect(facts.source == .postgres(namespace, database))
        #expect(facts.warehouse == .init(namespace: namespace, database: database))
        #expect(
            facts.warehouse("shop", "orders") == LineageDataset(namespace: namespace, name: "\(database).shop.orders"))
        #expect(!"\(facts)".contains("hush") && !"\(facts)".contains("reader"))
    }

    @Test("What a URL leaves out is libpq's environment")
    func environment() throws {
        let address = ServerAddress(
            url: "postgres://", environment: ["PGHOST": "h", "PGPORT": "7", "PGDATABASE": "d", "PGPASSWORD": "hush"])
        #expect(address?.authority == "h:7" && address?.database == "d")
        #expect(ServerAddress(url: "postgres://", environment: [:])?.authority == "localhost:5432")
        #expect(ServerAddress(url: "postgres://h:x/d", environment: [:]) == nil)
    }

    @Test(
        "of Kafka hold the first broker",
        arguments: [
            ("a:9093,b:9094", "a:9093"), ("broker", "broker:9092"), ("SASL_SSL://a:1", "a:1"), ("[::1]:9", "[::1]:9"),
            ("[::1]", "[::1]:9092"), (" a:1 , b:2", "a:1"), ("", "localhost:9092"),
        ])
    func kafka(brokers: String, authority: String) {
        #expect(LineageFacts.broker(brokers) == authority)
    }

    @Test("of topics, with a catalog for what can be asked")
    func topics() throws {
        let facts = try facts(
            source: "kafka: { brokers: \"b:1\", topics: [t], catalog: \"postgres://u:hush@db/shop\" }",
            warehouse: "duckdb: { path: /srv/x/shop.v2.duckdb }")
        let table = LineageFixture.table()
        #expect(
            facts.sources(of: table) == [LineageDataset(namespace: "kafka://b:1", name: "shop.public.orders")])
        #expect(
            facts.compared(table.id) == LineageDataset(namespace: "postgres://db:5432", name: "shop.public.orders"))
        #expect(!"\(facts)".contains("hush"))
    }

    @Test("of files are their whole paths")
    func files() throws {
        let facts = try facts(
            source: "file: { path: ../in/events.jsonl }", warehouse: "duckdb: { path: w/shop.v2.duckdb }")
        #expect(
            facts.sources(of: LineageFixture.table()) == [
                LineageDataset(namespace: "file", name: "/srv/in/events.jsonl")
            ])
        #expect(facts.compared(LineageFixture.orders) == nil)
        // As the engine names the file's catalog.
        #expect(
            facts.warehouse("shop_live", "orders")
                == LineageDataset(namespace: "duckdb:///srv/shop/w/shop.v2.duckdb", name: "shop.shop_live.orders"))
    }

    @Test("Runs have UUIDs of version 7, in the order of their time")
    func runIDs() throws {
        var random = SystemRandomNumberGenerator()
        let ids = (0..<100).map { LineageRunID.make(now_us: 1_700_000_000_000_000 + $0 * 1000, &random) }
        #expect(ids == ids.sorted() && Set(ids).count == 100)
        for id in ids {
            #expect(
                id.wholeMatch(of: /018bcfe5-68[0-9a-f]{2}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil, "\(id)")
        }
    }
}

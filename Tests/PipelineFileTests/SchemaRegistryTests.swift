import PipelineFile
import Testing

@Suite struct SchemaRegistryTests {
    private func text(_ kafka: String) -> String {
        "pipeline: p\nsource:\n  kafka:\n    brokers: b\n    topics: [t]\n    \(kafka)\nwarehouse: { duckdb: {} }\n"
    }

    private func registry(_ keys: String, _ environment: [String: String] = [:]) throws -> Pipeline.SchemaRegistry? {
        try parse(text("schema_registry: \(keys)"), environment).kafka?.schemaRegistry
    }

    @Test func aURL() throws {
        let plain = try #require(try registry("{ url: http://localhost:8081/ }"))
        #expect(plain.place == .url(try #require(ConnectionURL("http://localhost:8081", schemes: ["http"]))))
        #expect(plain.basicAuth == nil && plain.ca_file == nil && plain.timeout == .seconds(10))
        let full = try #require(
            try registry(
                "{ url: https://sr.example:443/apis/ccompat, basic_auth: \"${AUTH}\", ca_file: ca.pem, timeout: 2s }",
                ["AUTH": "user:pa:ss"]))
        #expect(full.basicAuth == Secret("user:pa:ss"))
        #expect(full.ca_file == "ca.pem" && full.timeout == .seconds(2))
    }

    /// The user is taken out of the URL, which logs show.
    @Test func aURLWithAUser() throws {
        let given = try #require(try registry("{ url: \"http://us%40er:p%3Aw@host:8081\" }"))
        #expect(given.place == .url(try #require(ConnectionURL("http://host:8081", schemes: ["http"]))))
        #expect(given.basicAuth == Secret("us@er:p:w"))
        var dumped = ""
        dump(given, to: &dumped)
        #expect(!dumped.contains("p:w") && !dumped.contains("p%3Aw"))
    }

    @Test func aFile() throws {
        let file = try parse(
            "pipeline: p\nsource: { file: { path: f, schema_registry: { file: r.jsonl } } }\nwarehouse: { duckdb: {} }",
            file: "some/where/millrace.yaml")
        #expect(file.source.schemaRegistry?.place == .file("some/where/r.jsonl"))
    }

    @Test(arguments: [
        ("{}", "6: source.kafka.schema_registry: where the registry is isn't said"),
        (
            "{ url: http://a, file: b }",
            "6: source.kafka.schema_registry.file: the schemas are in a registry or in a file, not in both"
        ),
        ("{ url: ftp://a }", "6: source.kafka.schema_registry.url: this is no http:// or https:// URL"),
        ("{ url: \"http://a?x=1\" }", "6: source.kafka.schema_registry.url: this is no http:// or https:// URL"),
        ("{ url: http://user@a }", "6: source.kafka.schema_registry.url: its user has no password"),
        ("{ url: http://a, basic_auth: me }", "6: source.kafka.schema_registry.basic_auth: this must be user:password"),
        (
            "{ url: \"http://a:b@c\", basic_auth: \"d:e\" }",
            "6: source.kafka.schema_registry.basic_auth: the url has a user already"
        ),
        ("{ file: r, basic_auth: \"d:e\" }", "6: source.kafka.schema_registry.basic_auth: a file needs no user"),
        (
            "{ url: http://a, timeout: 1ms }",
            "6: source.kafka.schema_registry.timeout: 1ms is outside of 100ms to 5m"
        ),
        ("{ url: http://a, token: x }", "6: source.kafka.schema_registry.token: there is no such key"),
    ])
    func problemsAreTold(keys: String, problem: String) {
        let found = problems(text("schema_registry: \(keys)"))
        #expect(found.count == 1 && found.first?.hasPrefix(problem) == true, "\(found)")
    }

    @Test(arguments: ["avro", "json_schema", "protobuf"])
    func formatsNeedARegistry(format: String) throws {
        #expect(
            problems(text("format: \(format)")) == [
                "6: source.kafka.format: \(format) needs a schema_registry to read its schemas from"
            ])
        let given = try parse(text("format: \(format)\n    schema_registry: { url: http://r }"))
        #expect(given.kafka?.format.rawValue == format)
    }
}

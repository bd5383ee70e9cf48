import PipelineFile
import Testing

@Suite struct LineageTests {
    private func lineage(_ openlineage: String, _ environment: [String: String] = [:]) throws -> Pipeline.OpenLineage? {
        try parse(minimal("lineage: { openlineage: { \(openlineage) } }"), file: "/srv/shop/millrace.yaml", environment)
            .lineage
    }

    private func http(_ settings: Pipeline.OpenLineage?) -> String? {
        if case .http(let url)? = settings?.place { url.text } else { nil }
    }

    @Test func noneByDefault() throws {
        #expect(try parse(minimal()).lineage == nil)
        #expect(try parse(minimal("lineage: {}")).lineage == nil)
        #expect(try parse(minimal("lineage:")).lineage == nil)
    }

    @Test func overHTTP() throws {
        let plain = try lineage("url: http://marquez:5000")
        #expect(http(plain) == "http://marquez:5000/api/v1/lineage")
        #expect(plain?.namespace == "millrace" && plain?.apiKey == nil)
        let whole = try lineage(
            "url: \"https://data.example/lineage/\", endpoint: v2/events, namespace: shop, api_key: ${KEY}",
            ["KEY": "hush"])
        #expect(http(whole) == "https://data.example/lineage/v2/events")
        #expect(whole?.namespace == "shop" && whole?.apiKey == Secret("hush"))
        #expect(!"\(String(describing: whole))".contains("hush"))
    }

    @Test func toAFile() throws {
        let settings = try lineage("file: events/lineage.jsonl")
        guard case .file(let path)? = settings?.place else {
            Issue.record("no file")
            return
        }
        #expect(path == "/srv/shop/events/lineage.jsonl")
    }

    @Test(arguments: [
        ("openlineage: {}", "lineage.openlineage: where the events go isn't said"),
        ("openlineage:", "lineage.openlineage: where the events go isn't said"),
        ("openlineage: { namespace: shop }", "lineage.openlineage: where the events go isn't said"),
        (
            "openlineage: { url: \"http://h\", file: f }",
            "lineage.openlineage.file: events go to a url or to a file, not to both"
        ),
        ("openlineage: { url: marquez }", "lineage.openlineage.url: this is no http or https URL"),
        ("openlineage: { url: \"http://\" }", "lineage.openlineage.url: this is no http or https URL"),
        ("openlineage: { url: \"http:///x\" }", "lineage.openlineage.url: this is no http or https URL"),
        (
            "openlineage: { url: \"http://h?a=1\" }",
            "lineage.openlineage.url: this is the server's URL, without a query"
        ),
        (
            "openlineage: { url: \"http://u:hush@h\" }",
            "lineage.openlineage.url: no user or password belongs here: it would stand where URLs are shown"
        ),
        (
            "openlineage: { url: \"http://h/api/v1/lineage\" }",
            "lineage.openlineage.url: it ends with /api/v1/lineage, which is appended to it"
        ),
        (
            "openlineage: { url: \"http://h\", endpoint: \"http://other\" }",
            "lineage.openlineage.endpoint: this must be a path on the server"
        ),
        ("openlineage: { file: f, api_key: hush }", "lineage.openlineage.api_key: a file has no api_key"),
        ("openlineage: { file: f, endpoint: /x }", "lineage.openlineage.endpoint: a file has no endpoint"),
        ("openlineage: { file: events/ }", "lineage.openlineage.file: this must be the path of a file"),
        (
            "openlineage: { url: \"http://h\", api_key: \"a\\r\\nb\" }",
            "lineage.openlineage.api_key: a key holds ASCII characters without spaces"
        ),
        (
            "openlineage: { url: \"http://h\", namespace: \"a b\" }",
            "lineage.openlineage.namespace: a namespace has no spaces, and at most 1024 bytes"
        ),
        ("openlineage: { url: \"http://h\", marquez: x }", "lineage.openlineage.marquez: there is no such key"),
        ("marquez: { url: \"http://h\" }", "lineage.marquez: there is no such key"),
    ])
    func refused(lineage: String, problem: String) {
        #expect(problems(minimal("lineage: { \(lineage) }")) == ["6: \(problem)"])
    }

    /// What a mistake is told with holds no secret.
    @Test func secretsStayWhereTheyAre() {
        for text in ["url: \"http://u:hush@h\"", "url: \"hush://x\"", "file: f, api_key: hush"] {
            let found = problems(minimal("lineage: { openlineage: { \(text) } }"))
            #expect(!found.isEmpty && !found.joined().contains("hush"))
        }
    }
}

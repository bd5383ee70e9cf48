import ChildProcess
import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// Python with playwright.
private let browserPython = ProcessInfo.processInfo.environment["MILLRACE_PAGE_PYTHON"]

/// The status page of the real program in a real browser. `scripts/page-check` installs one and looks at the page with it.
@Suite(.enabled(if: browserPython != nil, "no browser is installed: see scripts/page-check")) struct PageTests {
    @Test func thePageIsAsItShouldBe() async throws {
        let python = try #require(browserPython)
        let folder = try temporaryFolder("page")
        defer { try? FileManager.default.removeItem(at: folder) }
        let (source, target) = (try await ThrowawayPostgres.start(), try await ThrowawayPostgres.start())
        try await source.psql(
            """
            CREATE TABLE a (id int PRIMARY KEY, n int); INSERT INTO a SELECT i, i FROM generate_series(1, 1000) i;
            CREATE TABLE b (id int PRIMARY KEY, n int); INSERT INTO b VALUES (1, 1);
            CREATE TABLE "<img src=x onerror=alert(1)>" (id int PRIMARY KEY);
            INSERT INTO "<img src=x onerror=alert(1)>" VALUES (1);
            """)
        try """
        pipeline: shop
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { postgres: { url: "\(target.url())" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        try await target.psql("ALTER TABLE shop.b ADD CHECK (n < 1000)")
        try await source.psql("INSERT INTO b VALUES (2, 5000)")
        try await until("a row is put aside", [agent]) {
            try await target.number("SELECT count(*) FROM _millrace.quarantine") == 1
        }
        let file = try String(contentsOf: folder.appending(path: ".millrace/agent.json"), encoding: .utf8)
        let address = try #require(try JSONValue(parsing: file)["address"]?.string)
        let token = try String(contentsOf: folder.appending(path: ".millrace/token"), encoding: .utf8)
        let pictures = ProcessInfo.processInfo.environment["MILLRACE_PAGE_PICTURES"] ?? folder.path
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(
            path: "../../scripts/page_check.py")
        let said = try await Command.runAside([
            python, script.path, "http://\(address)/", token.trimmingCharacters(in: .whitespacesAndNewlines),
            source.url(), pictures,
        ])
        #expect(said.contains("plain is as it should be"), "\(said)")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await source.remove()
        await target.remove()
    }
}

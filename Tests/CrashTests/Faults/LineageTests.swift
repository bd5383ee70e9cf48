import Foundation
import Hummingbird
import HummingbirdTesting
import JSON
import Kafka
import Synchronization
import Testing
import ThrowawayPostgres

/// Lineage events of the real program: a server that takes OpenLineage's events receives whole runs, and one that doesn't
/// take them keeps nobody from replicating.
@Suite(.serialized) struct LineageTests {
    /// Takes events as Marquez does.
    private final class Server: Sendable {
        private let bodies = Mutex<[String]>([])
        private let answer: HTTPResponse.Status
        private let isSilent: Bool

        init(answer: HTTPResponse.Status = .created, isSilent: Bool = false) {
            self.answer = answer
            self.isSilent = isSilent
        }

        func events() throws -> [JSONValue] { try bodies.withLock { $0 }.map { try JSONValue(parsing: $0) } }

        var router: Router<BasicRequestContext> {
            let router = Router()
            router.post("/api/v1/lineage") { request, _ -> HTTPResponse.Status in
                let body = String(buffer: try await request.body.collect(upTo: 1 << 22))
                self.bodies.withLock { $0.append(body) }
                // For longer than the client's end takes.
                if self.isSilent { try await Task.sleep(for: .seconds(12)) }
                return self.answer
            }
            return router
        }
    }

    private func serving(_ server: Server, _ body: @escaping @Sendable (_ url: String) async throws -> Void)
        async throws
    {
        let application = Application(
            router: server.router, configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        try await application.test(.live) { client in try await body("http://127.0.0.1:\(client.port ?? 0)") }
    }

    /// Debezium's events of `public.items`, as many as that, in a file.
    private func write(_ folder: URL, events: Int, lineage: String, rest: String = "") throws {
        let lines = (1...events).map { number in
            let value =
                #"{"before":null,"after":{"id":\#(number),"mail":"m\#(number)","card":"4711"},"source":{"connector":"postgresql","#
                + #""schema":"public","table":"items","ts_ms":1700000000000,"snapshot":null,"txId":\#(number),"#
                + #""lsn":\#(number),"sequence":"[\"\#(number)\",\"\#(number)\"]"},"op":"c","ts_ms":1,"transaction":null}"#
            return JSONValue.object([
                ("topic", "t"), ("key", .string("{\"id\":\(number)}")), ("value", .string(value)),
            ]).serialized
        }
        try lines.joined(separator: "\n").appending("\n").write(
            to: folder.appending(path: "events.jsonl"), atomically: true, encoding: .utf8)
        try """
        pipeline: shop
        source: { file: { path: events.jsonl } }
        warehouse: { duckdb: { path: shop_wh.duckdb } }
        tables:
          - source: public.items
            columns: { types: { id: bigint }, exclude: [card], hash: [mail] }
            quality: [{ expect: not_null, column: id, on_fail: warn }]
        lineage: { openlineage: { \(lineage), namespace: jobs } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    private func kinds(_ events: [JSONValue]) -> [String] {
        events.map { "\($0["job"]?["name"]?.string ?? "?") \($0["eventType"]?.string ?? "?")" }
    }

    private func rows(_ event: JSONValue?, _ list: String, _ name: String) -> Int64? {
        let dataset = event?[list]?.array?.first { $0["name"]?.string?.hasSuffix(name) == true }
        let (facets, facet) =
            list == "inputs" ? ("inputFacets", "inputStatistics") : ("outputFacets", "outputStatistics")
        return dataset?[facets]?[facet]?["rowCount"]?.int64
    }

    @Test func aWholeRunArrives() async throws {
        let folder = try temporaryFolder("lineage")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = Server()
        try await serving(server) { url in
            try write(folder, events: 500, lineage: "url: \"\(url)\", api_key: hush-hush")
            let run = try await AgentProcess.run(["run", "--until-end"], in: folder)
            #expect(run.status == 0, "\(run.errors)")
            let quality = try await AgentProcess.run(["quality"], in: folder)
            #expect(quality.status == 0, "\(quality.errors)")
            let sweep = try await AgentProcess.run(["sweep", "--late"], in: folder)
            #expect(sweep.status == 0, "\(sweep.errors)")
            #expect(!(run.errors + quality.errors + sweep.errors).contains("hush"))
        }
        let events = try server.events()
        #expect(
            kinds(events) == [
                "shop.run START", "shop.run COMPLETE", "shop.quality START", "shop.quality COMPLETE", "shop.late START",
                "shop.late COMPLETE",
            ])
        let ids = events.map { $0["run"]?["runId"]?.string }
        #expect(ids[0] == ids[1] && Set(ids).count == 3)
        let complete = events[1]
        #expect(rows(complete, "inputs", "/events.jsonl") == 500)
        #expect(rows(complete, "outputs", "shop_wh.shop.items") == 500)
        #expect(rows(complete, "outputs", "shop_wh.shop_raw.items") == 500)
        #expect(complete["job"]?["facets"]?["jobType"]?["processingType"]?.string == "BATCH")
        let current = complete["outputs"]?.array?.first { $0["name"]?.string == "shop_wh.shop.items" }
        let lineage = current?["facets"]?["columnLineage"]?["fields"]
        #expect(lineage?.members?.map(\.key).sorted() == ["id", "mail"])
        let mail = lineage?["mail"]?["inputFields"]?.array?.first?["transformations"]?.array?.first
        #expect(mail?["masking"]?.bool == true)
        let assertion = events[3]["inputs"]?.array?.first?["inputFacets"]?["dataQualityAssertions"]?["assertions"]
        #expect(assertion?.array?.first?["assertion"]?.string == "not_null")
        #expect(assertion?.array?.first?["success"]?.bool == true)
        let text = events.map(\.serialized).joined()
        for secret in ["hush", "card", "4711", "m17"] { #expect(!text.contains(secret), "\(secret)") }
    }

    /// Topics are known from events, and after a restart from what was durable.
    @Test func aTopicIsWhatIsRead() async throws {
        let folder = try temporaryFolder("lineagetopic")
        defer { try? FileManager.default.removeItem(at: folder) }
        let broker = try MockBroker(topics: ["shop.public.items": 2], logger: silent)
        defer { broker.close() }
        let events = try ItemEvents(broker)
        try """
        pipeline: shop
        source:
          kafka: { brokers: "\(broker.bootstrap)", topics: [shop.public.items], properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 } }
        warehouse: { duckdb: { path: shop_wh.duckdb } }
        lineage: { openlineage: { file: lineage.jsonl } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        for turn in 1...2 {
            try await events.produce(30)
            let run = try await AgentProcess.run(["run", "--until-end"], in: folder)
            #expect(run.status == 0, "\(run.errors)")
            let text = try String(contentsOf: folder.appending(path: "lineage.jsonl"), encoding: .utf8)
            let last = try JSONValue(parsing: String(try #require(text.split(separator: "\n").last)))
            #expect(last["eventType"]?.string == "COMPLETE")
            #expect(last["inputs"]?.array?.map { $0["name"]?.string } == ["shop.public.items"])
            let namespace = last["inputs"]?.array?.first?["namespace"]?.string
            #expect(namespace == "kafka://\(broker.bootstrap.split(separator: ",")[0])")
            #expect(rows(last, "inputs", "shop.public.items") == 30, "turn \(turn): of this run")
            #expect(rows(last, "outputs", "shop_wh.shop_raw.items") == 30)
        }
        await events.close()
    }

    /// Nobody waits for it: neither one that hangs nor one that fails keeps a run from ending as it would.
    @Test(arguments: [(HTTPResponse.Status.created, true), (.internalServerError, false)])
    func aServerInTrouble(answer: HTTPResponse.Status, isSilent: Bool) async throws {
        let folder = try temporaryFolder("lineagetrouble")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = Server(answer: answer, isSilent: isSilent)
        try await serving(server) { url in
            try write(folder, events: 2000, lineage: "url: \"\(url)\"")
            let run = try await AgentProcess.run(["run", "--until-end", "--json"], in: folder)
            #expect(run.status == 0, "\(run.errors)")
            #expect(try JSONValue(parsing: run.output)["tables"]?.array?.first?["applied"]?.int64 == 2000)
            #expect(run.errors.contains("lineage events weren't delivered"), "\(run.errors)")
        }
        #expect(try !server.events().isEmpty)
    }

    /// Postgres to Postgres: a copy, what is streamed behind it, a sweep by the agent, and its end by SIGTERM; then a run
    /// that fails, and one that is ended at once.
    @Test func runsOfAnAgent() async throws {
        let folder = try temporaryFolder("lineageagent")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        try await server.psql("CREATE DATABASE source")
        try await server.psql("CREATE DATABASE warehouse")
        let (source, warehouse) = (server.url(database: "source"), server.url(database: "warehouse"))
        try await server.psql(
            "CREATE TABLE a (id int PRIMARY KEY, n numeric(9,2)); INSERT INTO a SELECT i, i FROM generate_series(1, 100) i",
            database: "source")
        func write(source: String) throws {
            try """
            pipeline: shop
            source: { postgres: { url: "\(source)" } }
            warehouse: { postgres: { url: "\(warehouse)" } }
            lineage: { openlineage: { file: lineage.jsonl } }
            agent: { listen: "127.0.0.1:0" }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }
        func events() throws -> [JSONValue] {
            let text = (try? String(contentsOf: folder.appending(path: "lineage.jsonl"), encoding: .utf8)) ?? ""
            return try text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        }
        try write(source: source)
        let backfill = try await AgentProcess.run(["backfill"], in: folder)
        #expect(backfill.status == 0, "\(backfill.errors)")
        #expect(try kinds(events()) == ["shop.backfill START", "shop.backfill COMPLETE"])
        #expect(rows(try events().last, "outputs", "warehouse.shop.a") == 100)

        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        try await server.psql("UPDATE a SET n = n + 1 WHERE id <= 10", database: "source")
        let sweep = try await AgentProcess.run(["sweep"], in: folder)
        #expect(sweep.status == 0, "\(sweep.errors)")
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors)")
        let all = Array(try events().dropFirst(2)), ids = all.map { $0["run"]?["runId"]?.string }
        #expect(kinds(all) == ["shop.run START", "shop.sweep START", "shop.sweep COMPLETE", "shop.run COMPLETE"])
        #expect(ids[0] == ids[3] && ids[1] == ids[2] && ids[0] != ids[1])
        #expect(all[1]["run"]?["facets"]?["parent"]?["run"]?["runId"]?.string == ids[0])
        #expect(all[3]["job"]?["facets"]?["jobType"]?["processingType"]?.string == "STREAMING")
        let namespace = "postgres://\(address(source))"
        #expect(all[3]["inputs"]?.array?.map { $0["namespace"]?.string } == [namespace])
        #expect(all[3]["inputs"]?.array?.map { $0["name"]?.string } == ["source.public.a"])
        #expect(rows(all[3], "inputs", "source.public.a").map { $0 >= 10 } == true)
        let found = all[2]["inputs"]?.array?.last?["inputFacets"]?["dataQualityAssertions"]?["assertions"]?.array?.first
        #expect(found?["success"]?.bool == true)
        #expect(found?["name"]?.string?.hasPrefix("equals source as of position ") == true)

        // The slot is somebody else's.
        try write(source: source.replacing("/source", with: "/nowhere"))
        let failed = try await AgentProcess.run(["run"], in: folder)
        #expect(failed.status == 3, "\(failed.errors)")
        let last = try events().suffix(2)
        #expect(kinds(Array(last)) == ["shop.run START", "shop.run FAIL"])
        #expect(last.last?["run"]?["facets"]?["errorMessage"]?["message"]?.string?.isEmpty == false)
    }

    /// `host:port` of a URL, as events have it: a socket's folder is this machine.
    private func address(_ url: String) -> String {
        let port = url.firstMatch(of: /port=(\d+)/)?.output.1 ?? url.firstMatch(of: /:(\d+)\//)?.output.1
        let host = url.firstMatch(of: /@?([\w.]+):\d+\//)?.output.1 ?? "localhost"
        return "\(host):\(port ?? "5432")"
    }

    @Test func whatIsEndedAtOnceIsAborted() async throws {
        let folder = try temporaryFolder("lineageabort")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        try await server.psql("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
        let target = try await ThrowawayPostgres.start()
        try """
        pipeline: shop
        source: { postgres: { url: "\(server.url())" } }
        warehouse: { postgres: { url: "\(target.url())" } }
        lineage: { openlineage: { file: lineage.jsonl } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("all is copied", [agent]) { agent.said().contains("consistent since") }
        // A batch that can't be written, so that the drain lasts.
        try await target.stop()
        try await server.psql("INSERT INTO a VALUES (2)")
        try await until("the warehouse is waited for", [agent]) { agent.said().contains("trying again") }
        agent.signal(SIGTERM)
        agent.signal(SIGINT)
        // Whichever is seen second.
        let status = await agent.wait().status
        #expect([128 + SIGINT, 128 + SIGTERM].contains(status))
        let text = try String(contentsOf: folder.appending(path: "lineage.jsonl"), encoding: .utf8)
        let events = try text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        #expect(kinds(events) == ["shop.run START", "shop.run ABORT"])
    }
}

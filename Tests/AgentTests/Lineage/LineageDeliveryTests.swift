import Foundation
import Hummingbird
import HummingbirdTesting
import JSON
import Logging
import PipelineFile
import Replication
import Synchronization
import Testing

@testable import Agent

/// For real: an HTTP server that is posted to, a file that is written.
@Suite("Lineage: delivery") struct LineageDeliveryTests {
    /// Answers as it is told, and keeps what it took.
    private final class Marquez: Sendable {
        struct Request: Sendable {
            var body: String
            var authorization: String?
            var type: String?
        }

        private let state = Mutex((requests: [Request](), answers: [HTTPResponse.Status](), isSilent: false))
        var requests: [Request] { state.withLock { $0.requests } }
        /// The first requests are answered so; all others with 201.
        func answer(_ answers: HTTPResponse.Status...) { state.withLock { $0.answers = answers } }
        /// It takes requests and says nothing.
        func fallSilent() { state.withLock { $0.isSilent = true } }

        var router: Router<BasicRequestContext> {
            let router = Router()
            router.post("/api/v1/lineage") { request, _ -> HTTPResponse.Status in
                let body = String(buffer: try await request.body.collect(upTo: 1 << 20))
                let (answer, isSilent) = self.state.withLock { state in
                    let answer = state.answers.isEmpty ? HTTPResponse.Status.created : state.answers.removeFirst()
                    if answer == .created, !state.isSilent {
                        state.requests.append(
                            Request(
                                body: body, authorization: request.headers[.authorization],
                                type: request.headers[.contentType]))
                    }
                    return (answer, state.isSilent)
                }
                if isSilent { try await Task.sleep(for: .seconds(600)) }
                return answer
            }
            return router
        }
    }

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func settings(_ place: String, key: String? = nil) throws -> Pipeline.OpenLineage {
        let key = key.map { ", api_key: \"\($0)\"" } ?? ""
        let text = """
            pipeline: shop
            source: { file: { path: f } }
            warehouse: { duckdb: {} }
            lineage: { openlineage: { \(place)\(key) } }
            """
        return try #require(try Pipeline.parse(text: text, file: "millrace.yaml", environment: [:]).lineage)
    }

    /// - Parameter last_s: tests of all suites run beside it.
    private func reporter(
        _ settings: Pipeline.OpenLineage, _ status: AgentStatus, _ tables: [LineageTable] = [], last_s: Double = 120
    ) -> LineageReporter {
        let builder = LineageEventBuilder(LineageFixture.facts())
        return LineageReporter(
            settings, builder, runs: LineageRuns(builder, .run, isContinuous: true), status: status, logger: Self.quiet,
            last_s: last_s, tables: { _ in tables })
    }

    private func withMarquez(
        _ marquez: Marquez, _ body: @escaping @Sendable (_ place: String) async throws -> Void
    ) async throws {
        let application = Application(
            router: marquez.router, configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        try await application.test(.live) { client in
            try await body("url: \"http://127.0.0.1:\(client.port ?? 0)\"")
        }
    }

    @Test("A run arrives in order, with the key as a bearer token")
    func wholeRun() async throws {
        let marquez = Marquez()
        try await withMarquez(marquez) { place in
            let status = AgentStatus()
            status.update { $0.state = .ok }
            let reporter = reporter(try settings(place, key: "hush"), status, [LineageFixture.table(read: 3)])
            await reporter.begin()
            let sweep = await reporter.began(.compare, [LineageFixture.table().definition])
            await reporter.ended(
                sweep, .compare, [LineageFixture.table().definition], .done(SweepReport()), wasStopped: false)
            await reporter.end(.complete)
            #expect(status.current.lineage == LineageCounts(sent: 4, failed: 0, dropped: 0, waiting: 0))
        }
        let events = try marquez.requests.map { try JSONValue(parsing: $0.body) }
        #expect(events.map { $0["eventType"]?.string } == ["START", "START", "COMPLETE", "COMPLETE"])
        #expect(events.map { $0.at("job", "name")?.string } == ["shop.run", "shop.sweep", "shop.sweep", "shop.run"])
        #expect(events[1].at("run", "runId") == events[2].at("run", "runId"))
        #expect(events[1].at("run", "facets", "parent", "run", "runId") == events[0].at("run", "runId"))
        #expect(
            marquez.requests.allSatisfy { $0.authorization == "Bearer hush" && $0.type == "application/json" })
    }

    @Test("What is refused is sent again, what is rejected isn't")
    func answers() async throws {
        let marquez = Marquez()
        marquez.answer(.serviceUnavailable, .badRequest)
        try await withMarquez(marquez) { place in
            let status = AgentStatus()
            status.update { $0.state = .ok }
            let reporter = reporter(try settings(place), status)
            await reporter.begin()
            // The first answer: it waits for its next attempt, which the end hurries.
            while status.current.lineage?.failed != 1 { try await Task.sleep(for: .milliseconds(5)) }
            await reporter.end(.complete)
            #expect(status.current.lineage == LineageCounts(sent: 1, failed: 2, dropped: 1, waiting: 0))
        }
        #expect(marquez.requests.map { (try? JSONValue(parsing: $0.body))?["eventType"]?.string } == ["COMPLETE"])
        #expect(marquez.requests.allSatisfy { $0.authorization == nil })
    }

    @Test("A server that takes requests and says nothing holds up nobody, and the end for a bounded time")
    func silence() async throws {
        let marquez = Marquez()
        marquez.fallSilent()
        // Not asked to end by itself: it is as silent then.
        let application = Application(
            router: marquez.router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in Self.silent.withLock { $0 = channel.localAddress?.port } })
        let serving = Task { try await application.runService() }
        defer { serving.cancel() }
        while Self.silent.withLock({ $0 }) == nil { try await Task.sleep(for: .milliseconds(5)) }
        let status = AgentStatus()
        status.update { $0.state = .ok }
        let port = try #require(Self.silent.withLock { $0 })
        let reporter = reporter(try settings("url: \"http://127.0.0.1:\(port)\""), status, last_s: 1)
        await reporter.begin()
        for _ in 0..<(3 * LineageQueue.waiting_max) { _ = await reporter.began(.compare, []) }
        #expect(status.current.lineage?.waiting == LineageQueue.waiting_max)
        await reporter.end(.complete)
        let counts = try #require(status.current.lineage)
        #expect(counts.sent == 0 && counts.waiting == 0 && counts.dropped == 3 * LineageQueue.waiting_max + 2)
    }

    private static let silent = Mutex<Int?>(nil)

    @Test("Where nobody listens the end comes at once, and what wasn't delivered is counted")
    func nobody() async throws {
        let status = AgentStatus()
        status.update { $0.state = .ok }
        let reporter = reporter(try settings("url: \"http://127.0.0.1:1\""), status)
        await reporter.begin()
        await reporter.end(.failed("it is so"))
        #expect(status.current.lineage?.dropped == 2 && status.current.lineage?.sent == 0)
    }

    // MARK: Files

    @Test("A file has a line for each event, behind what is there, for its owner alone")
    func file() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/lineage.jsonl"
            let place = "file: \"\(path)\""
            for outcome in [LineageOutcome.complete, .aborted("stopped")] {
                let status = AgentStatus()
                status.update { $0.state = .ok }
                let reporter = reporter(try settings(place), status)
                await reporter.begin()
                await reporter.end(outcome)
            }
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            let kinds = try lines.map { try JSONValue(parsing: String($0))["eventType"]?.string }
            #expect(kinds == ["START", "COMPLETE", "START", "ABORT"])
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
    }

    @Test("A file that can't be written is told, and is tried again")
    func fileTrouble() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/missing/lineage.jsonl"
            let sender = LineageSender(try settings("file: \"\(path)\""))
            await #expect(
                throws: LineageSender.Failure(
                    reason: "the file can't be opened: No such file or directory", kind: .unreachable)
            ) { try await sender.send(LineageFixture.event(.start)) }
            try FileManager.default.createDirectory(atPath: folder + "/missing", withIntermediateDirectories: false)
            try await sender.send(LineageFixture.event(.start))
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "{}\n")
            // A pipe without a reader.
            let pipe = folder + "/pipe"
            #expect(mkfifo(pipe, 0o600) == 0)
            let other = LineageSender(try settings("file: \"\(pipe)\""))
            await #expect(throws: LineageSender.Failure.self) { try await other.send(LineageFixture.event(.start)) }
        }
    }

    @Test("After a full disk the next event begins on a line of its own")
    func tornLines() async throws {
        let full = LineageSender(try settings("file: /dev/full"))
        await #expect(throws: LineageSender.Failure.self) { try await full.send(LineageFixture.event(.start)) }
    }

    @Test(
        "What an answer means",
        arguments: [
            (nil, LineageQueue.Failure.unreachable), (500, .refused), (503, .refused), (429, .refused),
            (408, .refused), (400, .rejected), (401, .rejected), (404, .rejected), (307, .rejected),
        ] as [(UInt?, LineageQueue.Failure)])
    func kinds(status: UInt?, failure: LineageQueue.Failure) {
        #expect(LineageSender.kind(status) == failure)
    }
}

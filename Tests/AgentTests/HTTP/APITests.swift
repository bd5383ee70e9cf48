import Debezium
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSON
import Logging
import PipelineFile
import Replication
import ReplicationTestKit
import Testing

@testable import Agent

/// An agent's pages over a warehouse in memory, with one table of one applied event.
struct AgentFixture {
    static let orders = TableID(schema: "public", table: "orders")
    let layout = WarehouseLayout(pipeline: "shop")
    let warehouse: MemoryWarehouse
    let status = AgentStatus()

    init() async throws {
        warehouse = MemoryWarehouse(layout: layout)
        let definition = TableDefinition(
            source: Self.orders, target: "orders",
            columns: [
                Column(name: "id", type: .bigint, isKey: true, nullable: false), Column(name: "note", type: .text),
            ], key: [0])
        try await warehouse.ensure([definition])
        let partition = TopicPartition(topic: "test", partition: 0)
        let claim = try await warehouse.claim([partition], owner: "test")
        let batch = BatchBuilder([definition]).batch([
            EventSpec(
                .create, Self.orders, Version(epoch: 0, commit: 1, seq: 0), after: [.int(1), .text("<b>")])
        ])
        let advance = CheckpointAdvance(partition: partition, from: nil, to: 1, token: claim[0].token, spans: [0])
        let outcome = try await warehouse.apply(batch, advancing: [advance])
        status.committed(
            outcome, [definition], positions: [partition: 1], seconds: 0.5, newestSourceTime_us: 1_000_000,
            recordBytes: 100, at: 2_000_000)
        status.update {
            $0.state = .ok
            $0.lag = [partition: 0]
        }
    }

    var control: WarehouseControl {
        WarehouseControl(
            layout: layout, warehouse: warehouse, running: .init(status: status) { try await $0() },
            makeDecoder: { known in
                var configuration = DecoderConfiguration(select: { TableChoice(target: $0.table) })
                configuration.knownTables = known
                return try DebeziumDecoder(configuration: configuration)
            })
    }

    func application() -> some ApplicationProtocol {
        let router = AgentRouter(
            control: control, status: status, layout: layout, token: AccessToken(Secret("let me in")), pid: 7)
        return Application(router: router.router())
    }
}

@Suite("The agent's HTTP pages")
struct APITests {
    private static let allowed: HTTPFields = [.authorization: "Bearer let me in"]

    private func json(_ response: TestResponse) throws -> JSONValue {
        try JSONValue(parsing: Array(response.body.readableBytesView))
    }

    @Test("The API wants the token, the pages don't")
    func token() async throws {
        try await AgentFixture().application().test(.router) { client in
            for path in ["/api/status", "/api/checkpoint", "/api/quarantine"] {
                for headers: HTTPFields in [
                    [:], [.authorization: "Bearer let me i"], [.authorization: "let me in"],
                    [.authorization: "Bearer "],
                    [.authorization: "Basic let me in"],
                ] {
                    let response = try await client.executeRequest(uri: path, method: .get, headers: headers, body: nil)
                    #expect(response.status == .unauthorized)
                    #expect(try json(response)["error"]?.string != nil)
                }
                let response = try await client.executeRequest(
                    uri: path, method: .get, headers: Self.allowed, body: nil)
                #expect(response.status == .ok)
            }
            for path in ["/", "/healthz", "/readyz", "/metrics"] {
                let response = try await client.executeRequest(uri: path, method: .get, headers: [:], body: nil)
                #expect(response.status == .ok, "\(path)")
                #expect(response.headers[.xContentTypeOptions] == "nosniff")
                #expect(response.headers[.contentSecurityPolicy]?.contains("default-src 'none'") == true)
            }
        }
    }

    @Test("status says what surface.md says")
    func statusForm() async throws {
        try await AgentFixture().application().test(.router) { client in
            let response = try await client.executeRequest(
                uri: "/api/status", method: .get, headers: Self.allowed, body: nil)
            let status = try json(response)
            #expect(status["pipeline"]?.string == "shop")
            #expect(status["state"]?.string == "ok")
            #expect(status["position"]?.string == "test:0=1")
            #expect(status["consistent_since"]?.isNull == true)
            #expect(status["control"]?.int64 == 0)
            let table = try #require(status["tables"]?.array?.first)
            #expect(table["source"]?.string == "public.orders")
            #expect(table["target"]?.string == "shop.orders")
            #expect(table["read"]?.int64 == 1)
            #expect(table["applied"]?.int64 == 1)
            #expect(table["lag_ms"]?.int64 == 0)
            #expect(table["freshness"]?.isNull == true)
            #expect(table["rows"]?["live"]?.int64 == 1)
            let report = try #require(StatusReport(json: status))
            #expect(report.detailedJSON == status)
        }
    }

    @Test("quality asks for tables, and answers with what was expected of them")
    func quality() async throws {
        try await AgentFixture().application().test(.router) { client in
            func post(_ body: String) async throws -> TestResponse {
                try await client.executeRequest(
                    uri: "/api/quality", method: .post, headers: Self.allowed, body: ByteBuffer(string: body))
            }
            let report = try #require(QualityReport(json: try json(try await post("{\"all\":true}"))))
            #expect(report.tables == [])
            for wrong in ["", "{}", "[]", "{\"tables\":7}", "{\"tables\":[\"orders\"]}", "{\"tables\":[\"nope\"]}"] {
                let answer = try await post(wrong)
                #expect(answer.status == .badRequest, "\(wrong)")
                #expect(try json(answer)["exit"]?.int64 == 2)
            }
        }
    }

    @Test("readiness follows the state, the lag and what stands in the way")
    func ready() async throws {
        let fixture = try await AgentFixture()
        try await fixture.application().test(.router) { client in
            func code(_ uri: String) async throws -> HTTPResponse.Status {
                try await client.executeRequest(uri: uri, method: .get, headers: [:], body: nil).status
            }
            #expect(try await code("/readyz?max_lag=30s") == .ok)
            #expect(try await code("/readyz?max_lag=soon") == .badRequest)
            fixture.status.update { $0.lag = [TopicPartition(topic: "test", partition: 0): 5] }
            #expect(try await code("/readyz") == .ok)
            #expect(try await code("/readyz?max_lag=30s") == .serviceUnavailable)
            fixture.status.update { $0.waiting = "the warehouse is away" }
            let response = try await client.executeRequest(uri: "/readyz", method: .get, headers: [:], body: nil)
            #expect(response.status == .serviceUnavailable)
            #expect(try json(response)["reasons"]?.array?.count == 1)
            fixture.status.update {
                $0.waiting = nil
                $0.state = .starting
            }
            #expect(try await code("/readyz") == .serviceUnavailable)
        }
    }

    @Test("Positions are set through the API; wrong requests are refused as JSON")
    func checkpoint() async throws {
        let fixture = try await AgentFixture()
        try await fixture.application().test(.router) { client in
            func post(_ path: String, _ body: String) async throws -> TestResponse {
                try await client.executeRequest(
                    uri: path, method: .post, headers: Self.allowed, body: ByteBuffer(string: body))
            }
            let set = try await post(
                "/api/checkpoint", #"{"positions":[{"topic":"test","partition":0,"position":0}]}"#)
            #expect(set.status == .ok)
            #expect(try json(set).array?.first?["position"]?.int64 == 0)
            #expect(try await fixture.warehouse.checkpoints().first?.position == 0)

            for body in ["", "[", "{}", #"{"positions":[{"topic":"test","partition":0,"position":-1}]}"#] {
                let refused = try await post("/api/checkpoint", body)
                #expect(refused.status == .badRequest)
                #expect(try json(refused)["exit"]?.int64 == 2)
            }
            let large = try await post("/api/query", String(repeating: " ", count: AgentRouter.body_bytes_max + 1))
            #expect(large.status == .contentTooLarge)
            let failed = try await post("/api/query", #"{"sql":"select 1"}"#)
            #expect(failed.status == .internalServerError)
            #expect(try json(failed)["exit"]?.int64 == 1)
        }
    }

    @Test("Other hosts' names are refused on loopback")
    func hosts() {
        for host in ["localhost", "localhost:8642", "127.0.0.1:8642", "[::1]:8642", "127.1.2.3"] {
            #expect(LoopbackHosts.isOurs(host), "\(host)")
        }
        for host in ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "[::2]:1", "10.0.0.1"] {
            #expect(!LoopbackHosts.isOurs(host), "\(host)")
        }
    }
}

import Foundation
import JSON
import Kafka
import Testing

/// Kafka over TLS and SASL, as `source.kafka.properties` asks for them: brokers are verified, and are told who we are; what
/// doesn't fit is refused with a clear error, and without a secret in it.
@Suite(.serialized) struct TLSKafkaTests {
    private static let password = "sw0rdfish: \"x\" #1"

    private func write(_ port: Int, _ properties: String, host: String = "localhost", in folder: URL) throws {
        try """
        pipeline: shop
        source:
          kafka:
            brokers: "\(host):\(port)"
            topics: ["shop.*"]
            properties:
              fetch.wait.max.ms: 10
              session.timeout.ms: 6000
              heartbeat.interval.ms: 500
        \(properties.split(separator: "\n").map { "      \($0)" }.joined(separator: "\n"))
        warehouse: { duckdb: { path: shop_warehouse.duckdb } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    @discardableResult
    private func run(_ arguments: [String], in folder: URL) async throws -> AgentProcess.Result {
        let result = try await AgentProcess.run(arguments, in: folder, environment: ["KAFKA_PASSWORD": Self.password])
        for secret in [Self.password, "sw0rdfish", "wrong-password"] {
            #expect(!(result.output + result.errors).contains(secret), "\(arguments) shows a secret")
        }
        return result
    }

    private func rows(in folder: URL) async throws -> String {
        let sql = "select concat(count(*), ' ', max(n)) as d from shop_live.items"
        let result = try await run(["query", "--format", "csv", sql], in: folder)
        return result.output.split(whereSeparator: \.isNewline).last.map(String.init) ?? result.errors
    }

    private struct Scene {
        let folder: URL
        let certificates: Certificates
        let broker: MockBroker
        let events: ItemEvents

        init(_ name: String) throws {
            folder = try temporaryFolder(name)
            certificates = try Certificates(in: folder)
            broker = try MockBroker(topics: ["shop.public.items": 2], logger: silent)
            events = try ItemEvents(broker)
        }

        func remove() async {
            await events.close()
            broker.close()
            try? FileManager.default.removeItem(at: folder)
        }
    }

    @Test func whatDoesNotFitIsRefused() async throws {
        let scene = try Scene("ktls")
        let certificates = scene.certificates
        try await scene.events.produce(50)
        var door = try await KafkaDoor(scene.broker.bootstrap, certificates)
        func ca(_ name: String) -> String { "security.protocol: ssl\nssl.ca.location: \(certificates.path(name))" }
        func expectRefused(_ what: String, _ says: String, _ others: [[String]] = []) async throws {
            for command in [["run", "--until-end"]] + others {
                let result = try await run(command, in: scene.folder)
                let all = result.output + result.errors
                #expect(result.status == 3, "\(what): \(command): \(result)")
                #expect(all.contains(says) && all.contains("Try: "), "\(what): \(command): \(all)")
                #expect(all.contains("Error: ") || all.contains("error source: "), "\(what): \(command): \(all)")
            }
        }

        try write(door.port, ca("theirs.crt"), in: scene.folder)
        try await expectRefused(
            "another authority's", "certificate verify failed",
            [["check"], ["checkpoint", "set", "--to-offset", "earliest"]])
        // The brokers' own plain port, as if it were TLS.
        try write(Int(scene.broker.bootstrap.split(separator: ":")[1]) ?? 0, ca("ours.crt"), in: scene.folder)
        try await expectRefused("a broker without TLS", "SSL handshake failed")
        try write(door.port, ca("ours.crt"), in: scene.folder)
        #expect(try await run(["check"], in: scene.folder).status == 0)
        #expect(try await run(["run", "--until-end"], in: scene.folder).status == 0)
        #expect(try await rows(in: scene.folder) == "50 50")
        await door.close()

        door = try await KafkaDoor(scene.broker.bootstrap, certificates, .init(certificate: "elsewhere"))
        try write(door.port, ca("ours.crt"), in: scene.folder)
        try await expectRefused("a broker of another name", "certificate verify failed")
        try write(
            door.port, ca("ours.crt") + "\nssl.endpoint.identification.algorithm: none", in: scene.folder)
        #expect(try await run(["run", "--until-end"], in: scene.folder).status == 0, "whoever asks for it")
        await door.close()

        // It wants to see a certificate of ours.
        door = try await KafkaDoor(scene.broker.bootstrap, certificates, .init(clientAuthority: "ours.crt"))
        try write(door.port, ca("ours.crt"), in: scene.folder)
        try await expectRefused("no certificate of ours", "SSL")
        let own = """
            ssl.certificate.location: \(certificates.path("replicator.crt"))
            ssl.key.location: \(certificates.path("replicator.key"))
            """
        try write(door.port, ca("ours.crt") + "\n" + own, in: scene.folder)
        #expect(try await run(["run", "--until-end"], in: scene.folder).status == 0)
        await door.close()
        await scene.remove()
    }

    /// Whose brokers have let it in before waits, as it does for brokers that are away.
    @Test func aRunningAgentWaits() async throws {
        let scene = try Scene("kwait")
        try await scene.events.produce(50)
        var door = try await KafkaDoor(scene.broker.bootstrap, scene.certificates)
        let port = door.port
        try write(
            port,
            """
            security.protocol: ssl
            ssl.ca.location: \(scene.certificates.path("ours.crt"))
            reconnect.backoff.max.ms: 500
            """, in: scene.folder)
        let agent = try AgentProcess(["run"], in: scene.folder)
        try await until("the first are there", [agent]) { try await rows(in: scene.folder) == "50 50" }
        await door.close()
        door = try await KafkaDoor(
            scene.broker.bootstrap, scene.certificates, .init(certificate: "elsewhere", port: port))
        try await until("it is refused", [agent]) { agent.said().contains("certificate verify failed") }
        // As loud as brokers that are away.
        try await until("status says what it waits for", [agent]) {
            let status = try JSONValue(parsing: try await run(["status", "--json"], in: scene.folder).output)
            return status["waiting"]?.string?.contains("certificate verify failed") == true
        }
        await door.close()
        door = try await KafkaDoor(scene.broker.bootstrap, scene.certificates, .init(port: port))
        try await scene.events.produce(50)
        try await until("it goes on", [agent]) { try await rows(in: scene.folder) == "100 100" }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await door.close()
        await scene.remove()
    }

    @Test(arguments: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    func weSayWhoWeAre(mechanism: String) async throws {
        let scene = try Scene("sasl")
        try await scene.events.produce(500)
        let door = try await KafkaDoor(
            scene.broker.bootstrap, scene.certificates,
            .init(mechanism: mechanism, user: "millrace", password: Self.password))
        func properties(user: String = "millrace", password: String = "\"${KAFKA_PASSWORD}\"", as mechanism: String)
            -> String
        {
            """
            security.protocol: SASL_SSL
            ssl.ca.location: \(scene.certificates.path("ours.crt"))
            sasl.mechanism: \(mechanism)
            sasl.username: \(user)
            sasl.password: \(password)
            """
        }
        try write(door.port, properties(as: mechanism), in: scene.folder)
        let first = try await run(["run", "--until-end"], in: scene.folder)
        #expect(first.status == 0, "\(first.errors)")
        #expect(try await rows(in: scene.folder) == "500 500")
        let agent = try AgentProcess(["run"], in: scene.folder, environment: ["KAFKA_PASSWORD": Self.password])
        try await until("it listens", [agent]) { agent.said().contains("listening") }
        try await scene.events.produce(500)
        try await until("what came meanwhile is there", [agent]) {
            try await rows(in: scene.folder) == "\(ItemEvents.keys) 1000"
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        #expect(try await run(["check"], in: scene.folder).status == 0)
        // Who goes away in the middle of a handshake isn't refused.
        let refused = door.told().filter { $0.hasPrefix("refused") && !$0.contains("EOF") }
        #expect(refused.isEmpty, "\(door.told())")
        #expect(door.told().contains("mechanism \(mechanism)") && door.told().contains("in"))

        for (what, wrong) in [
            ("another password", properties(password: "wrong-password", as: mechanism)),
            ("another user", properties(user: "somebody", as: mechanism)),
            ("another mechanism", properties(as: mechanism == "PLAIN" ? "SCRAM-SHA-256" : "PLAIN")),
        ] {
            try write(door.port, wrong, in: scene.folder)
            // Asking takes 10 s where nobody answers.
            for command in what == "another password"
                ? [["run", "--until-end"], ["check"]] : [["run", "--until-end"]]
            {
                let result = try await run(command, in: scene.folder)
                let all = result.output + result.errors
                #expect(result.status == 3, "\(what): \(command): \(all)")
                #expect(all.contains("sasl.mechanism"), "\(what): \(command): \(all)")
            }
        }
        await door.close()
        await scene.remove()
    }
}

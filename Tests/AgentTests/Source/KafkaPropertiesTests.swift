import ChildProcess
import Foundation
import Logging
import PipelineFile
import Testing

@testable import Agent
@testable import Kafka

/// What the pipeline file says of TLS and of who we are is what librdkafka has, in every client that the agent makes:
/// none talks in the clear, or as nobody.
@Suite struct KafkaPropertiesTests {
    private static let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    private struct Case: CustomTestStringConvertible {
        var name: String
        /// Under `properties`; `CA`, `CERT` and `KEY` stand for files.
        var properties: String
        var expected: [String: String]
        var testDescription: String { name }
    }

    private static let cases = [
        Case(
            name: "TLS alone", properties: "security.protocol: SSL, ssl.ca.location: CA",
            expected: ["security.protocol": "ssl", "ssl.ca.location": "CA", "sasl.mechanisms": "GSSAPI"]),
        Case(
            name: "a certificate of ours",
            properties: """
                security.protocol: ssl, ssl.ca.location: CA, ssl.certificate.location: CERT, ssl.key.location: KEY,
                ssl.key.password: "${KEY_PASSWORD}"
                """,
            expected: [
                "security.protocol": "ssl", "ssl.ca.location": "CA", "ssl.certificate.location": "CERT",
                "ssl.key.location": "KEY", "ssl.key.password": "key: p@ss",
            ]),
        Case(
            name: "PLAIN, the password of the environment",
            properties: """
                security.protocol: SASL_SSL, ssl.ca.location: CA, sasl.mechanism: PLAIN, sasl.username: millrace,
                sasl.password: "${PASSWORD}"
                """,
            expected: [
                "security.protocol": "sasl_ssl", "ssl.ca.location": "CA", "sasl.mechanisms": "PLAIN",
                "sasl.username": "millrace", "sasl.password": "hush: {x} #1",
            ]),
        Case(
            name: "SCRAM-SHA-256, the password of a file",
            properties: """
                security.protocol: sasl_ssl, ssl.ca.location: CA, sasl.mechanisms: SCRAM-SHA-256, sasl.username: "${USER_NAME}",
                sasl.password: "${file:PASSWORD_FILE}"
                """,
            expected: [
                "security.protocol": "sasl_ssl", "ssl.ca.location": "CA", "sasl.mechanisms": "SCRAM-SHA-256",
                "sasl.username": "of-the-environment", "sasl.password": "of a file",
            ]),
        Case(
            name: "SCRAM-SHA-512 without TLS",
            properties: """
                security.protocol: sasl_plaintext, sasl.mechanism: SCRAM-SHA-512, sasl.username: millrace,
                sasl.password: "${PASSWORD}"
                """,
            expected: [
                "security.protocol": "sasl_plaintext", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "millrace",
                "sasl.password": "hush: {x} #1",
            ]),
    ]

    @Test(arguments: cases)
    private func everyClientHasThem(_ given: Case) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-kafka-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = try Self.certificate(in: folder)
        try "of a file\n".write(to: folder.appending(path: "password"), atomically: true, encoding: .utf8)
        func named(_ text: String) -> String {
            var text = text.replacing("PASSWORD_FILE", with: folder.appending(path: "password").path)
            for (name, path) in files { text = text.replacing(": \(name)", with: ": \(path)") }
            return text
        }
        let text = """
            pipeline: shop
            source:
              kafka:
                brokers: "127.0.0.1:1"
                topics: ["shop.*"]
                catalog: postgres://c@127.0.0.1:1/shop
                properties: { \(named(given.properties)) }
            warehouse: { duckdb: { path: \(folder.path)/w.duckdb } }
            """
        let pipeline = try Pipeline.parse(
            text: text, file: folder.appending(path: "millrace.yaml").path,
            environment: ["PASSWORD": "hush: {x} #1", "KEY_PASSWORD": "key: p@ss", "USER_NAME": "of-the-environment"])
        guard case .kafka(let settings) = pipeline.source.input else { throw CancellationError() }
        var expected = given.expected.mapValues { files[$0] ?? $0 }
        let isEncrypted = expected["security.protocol"]?.hasSuffix("ssl") == true
        if isEncrypted {
            expected["ssl.endpoint.identification.algorithm"] = "https"
            expected["enable.ssl.certificate.verification"] = "true"
        }

        let setup = PipelineSetup(pipeline, logger: Self.quiet)
        let source = try KafkaSource(settings, limits: pipeline.batch, logger: Self.quiet)
        let look = try KafkaLook(settings, logger: Self.quiet)
        let watch = try WatchedKafka(settings, logger: Self.quiet)
        let route = try CatalogRoute(
            setup, settings, url: settings.catalog?.text ?? "", warehouse: setup.makeWarehouse())
        let clients = [
            ("what is replicated from", await source.consumer), ("what check looks with", look.consumer),
            ("what measures lag", await watch.consumer), ("what sweeps ask", await route.consumer),
        ]
        for (what, consumer) in clients {
            for (name, value) in expected {
                #expect(consumer.handle.configured(name) == value, "\(what): \(name)")
            }
            // For single questions, as where another group stands.
            let reader = try await consumer.makeReader(group: "another")
            for (name, value) in expected {
                #expect(reader.configured(name) == value, "\(what), a question: \(name)")
            }
            reader.destroy()
        }
        await source.close()
        await look.close()
        await watch.close()
        await route.close()
    }

    /// Whoever asks for it only.
    @Test func namesAreCheckedUnlessTheFileSaysOtherwise() async throws {
        let own = try Consumer(
            brokers: "127.0.0.1:1", group: "g",
            properties: ["security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"],
            logger: Self.quiet)
        #expect(own.handle.configured("ssl.endpoint.identification.algorithm") == "none")
        await own.close()
    }

    /// No code but the one place makes a client of the source's brokers.
    @Test func thereIsOneWayToMakeAClient() throws {
        let sources = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../Sources").standardizedFileURL
        var makers: [String] = []
        let files = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            if text.contains(/\b(Consumer|Producer|self\.init)\(\s*brokers:|\bClientHandle\(\s*\./) {
                makers.append(file.lastPathComponent)
            }
        }
        #expect(
            makers.sorted() == [
                "Consumer+Pipeline.swift", "Consumer+Queries.swift", "Consumer.swift", "MockBroker.swift",
                // The demo's, to its own broker in this process.
                "Playback.swift", "Producer.swift",
            ])
    }

    /// An authority, which signs itself: what librdkafka reads when a client starts.
    private static func certificate(in folder: URL) throws -> [String: String] {
        let (certificate, key) = (folder.appending(path: "c.pem").path, folder.appending(path: "k.pem").path)
        try Command.run([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:key: p@ss", "-days", "2", "-subj",
            "/CN=test", "-keyout", key, "-out", certificate,
        ])
        return ["CA": certificate, "CERT": certificate, "KEY": key]
    }
}

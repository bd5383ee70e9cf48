import Foundation
import Hummingbird
import HummingbirdTLS
import JSON
import Logging
import NIOSSL
import PipelineFile
import Replication
import ServiceLifecycle
import Synchronization

@testable import Agent

/// A schema registry for tests: answers as it is told, and remembers what it was asked.
final class StubRegistry: Sendable {
    struct Answer: Sendable {
        var status = HTTPResponse.Status.ok
        var body = ""
        /// Nothing comes at all.
        var isSilent = false
        /// The body begins, and doesn't go on.
        var isStalled = false
    }

    private struct State {
        var answers: [String: [Answer]] = [:]
        var asked: [String] = []
        var authorizations: [String?] = []
    }

    private let state = Mutex(State())

    /// What a path is answered with: one after the other, the last for good.
    func answer(_ path: String, _ answers: Answer...) { state.withLock { $0.answers[path] = answers } }

    func schema(_ id: Int, _ text: String, type: String? = nil, references: JSONValue? = nil) {
        var members: [JSONValue.Member] = [("schema", .string(text))]
        if let type { members.append(("schemaType", .string(type))) }
        if let references { members.append(("references", references)) }
        answer("/schemas/ids/\(id)", Answer(body: JSONValue.object(members).serialized))
    }

    var asked: [String] { state.withLock { $0.asked } }
    var authorizations: [String?] { state.withLock { $0.authorizations } }

    private func next(_ path: String, _ authorization: String?) -> Answer? {
        state.withLock { state in
            state.asked.append(path)
            state.authorizations.append(authorization)
            guard var answers = state.answers[path], let first = answers.first else { return nil }
            if answers.count > 1 { answers.removeFirst() }
            state.answers[path] = answers
            return first
        }
    }

    static let unknown = Answer(
        status: .notFound, body: #"{"error_code":40403,"message":"Schema not found"}"#)

    /// The authority that signed the stub's certificate, which is for `localhost`.
    static let authority = certificates.appending(path: "authority.pem").path
    private static let certificates = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/tls")

    private static func tls() throws -> TLSConfiguration {
        let chain = try NIOSSLCertificate.fromPEMFile(certificates.appending(path: "server.pem").path)
        let key = try NIOSSLPrivateKey(file: certificates.appending(path: "server.key").path, format: .pem)
        return .makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    }

    /// Listens while `body` runs, which is given the address.
    func serving<R: Sendable>(
        isSecure: Bool = false, _ body: @Sendable @escaping (String) async throws -> R
    ) async throws -> R {
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let router = Router()
        router.get("**") { [self] request, _ in
            // A `/` inside of a subject stays escaped.
            let path = request.uri.string.split(separator: "?").first.map(String.init) ?? ""
            guard let answer = next(path, request.headers[.authorization]) else {
                return Response(status: .notFound, body: .init(byteBuffer: .init(string: "<html>no such page")))
            }
            if answer.isSilent { try? await Task.sleep(for: .seconds(30)) }
            if answer.isStalled {
                return Response(
                    status: answer.status,
                    body: ResponseBody { writer in
                        try await writer.write(.init(string: "{"))
                        try await Task.sleep(for: .seconds(30))
                        try await writer.finish(nil)
                    })
            }
            return Response(status: answer.status, body: .init(byteBuffer: .init(string: answer.body)))
        }
        var logger = Logger(label: "stub-registry")
        logger.logLevel = .critical
        let application = Application(
            router: router, server: isSecure ? try .tls(.http1(), tlsConfiguration: Self.tls()) : .http1(),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { continuation.yield($0.localAddress?.port ?? 0) }, logger: logger)
        let server = Task { try await application.run() }
        defer { server.cancel() }
        for await port in ports {
            return try await body(isSecure ? "https://localhost:\(port)" : "http://127.0.0.1:\(port)")
        }
        throw CancellationError()
    }

    /// A client for it.
    static func client(
        _ address: String, auth: String? = nil, timeout: Duration = .seconds(60), authority: String? = nil
    ) throws -> SchemaRegistryClient {
        guard let url = ConnectionURL(address, schemes: ["http", "https"]) else { throw CancellationError() }
        var settings = Pipeline.SchemaRegistry(.url(url))
        settings.basicAuth = auth.map { Secret($0) }
        settings.timeout = timeout
        settings.ca_file = authority
        return SchemaRegistryClient(url: url, settings: settings)
    }
}

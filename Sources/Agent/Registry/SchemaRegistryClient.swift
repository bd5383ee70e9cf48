import AsyncHTTPClient
import EventSchemas
import Foundation
import JSON
import NIOSSL
import PipelineFile
import Replication

/// Confluent's schema registry, or one that answers like it, over HTTP.
///
/// Every request has a timeout and every answer a size. Credentials go into one header and nowhere else.
struct SchemaRegistryClient: SchemaProvider {
    private static let answer_bytes_max = 8 << 20

    private let client: HTTPClient
    private let base: String
    private let authorization: Secret?
    private let ca_file: String?
    private let timeout: Duration

    init(url: ConnectionURL, settings: Pipeline.SchemaRegistry, client: HTTPClient = .shared) {
        self.client = client
        base = url.text
        authorization = settings.basicAuth.map { Secret("Basic " + Data($0.value.utf8).base64EncodedString()) }
        ca_file = settings.ca_file
        timeout = settings.timeout
    }

    func schema(_ id: UInt32) async throws -> SchemaStore.Entry {
        let answer: SchemaAnswer
        switch try await ask("schemas/ids/\(id)") {
        case .missing: return .refused("the schema registry doesn't know it")
        case .tooLong: return .refused("it is longer than \(Self.answer_bytes_max >> 20) MiB")
        case .found(let value):
            do throws(SchemaAnswer.Unreadable) {
                answer = try SchemaAnswer(value)
            } catch {
                guard case .unknownType(let type) = error else { throw notARegistry }
                return .refused("it is of type \(type), which is not read")
            }
        }
        var references = SchemaReferences()
        if let reason = try await references.gather(answer.links, reference) { return .refused(reason) }
        return .schema(
            RegisteredSchema(id: id, format: answer.format, text: answer.text, references: references.gathered))
    }

    private func reference(_ link: SchemaAnswer.Link) async throws -> SchemaAnswer? {
        let subject = link.subject.addingPercentEncoding(withAllowedCharacters: Self.unreserved) ?? link.subject
        guard case .found(let value) = try await ask("subjects/\(subject)/versions/\(link.version)") else { return nil }
        return try? SchemaAnswer(value)
    }

    private static let unreserved = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    func look() async throws -> String {
        // Registries before Confluent 5.5 know Avro alone, and no types.
        guard case .found(let value) = try await ask("schemas/types"), let types = value.array else {
            guard case .found = try await ask("subjects") else { throw notARegistry }
            return "\(base) answers"
        }
        return
            "\(base) answers: \(types.compactMap { $0.string.map { String($0.prefix(20)) } }.joined(separator: ", "))"
    }

    // MARK: - Requests

    private enum Answer {
        case found(JSONValue)
        /// The registry says that there is no such thing.
        case missing
        case tooLong
    }

    private func ask(_ path: String) async throws -> Answer {
        let (status, body) = try await send(path)
        guard let body else { return .tooLong }
        switch status {
        case 200:
            guard let value = try? JSONValue(parsing: body) else { throw notARegistry }
            return .found(value)
        case 404:
            // A registry says what it doesn't have; any other server has no such page either.
            if let value = try? JSONValue(parsing: body), value["error_code"]?.int64 != nil { return .missing }
            guard path.hasPrefix("schemas/ids/"), try await send("subjects").status == 200 else {
                if path == "schemas/types" { return .missing }
                throw notARegistry
            }
            return .missing
        case 401, 403:
            throw ReplicationError(
                .environment,
                authorization == nil
                    ? "the schema registry at \(base) asks for credentials (HTTP \(status))"
                    : "the schema registry at \(base) refuses the credentials, or what they may read (HTTP \(status))",
                remedy: "set schema_registry.basic_auth: ${REGISTRY_AUTH}, a user and password that may read schemas")
        case 408, 425, 429, 500...: throw away("answers HTTP \(status)")
        default: throw notARegistry
        }
    }

    /// - Returns: nil for a body that is too long.
    private func send(_ path: String) async throws -> (status: UInt, body: [UInt8]?) {
        var request = HTTPClientRequest(url: "\(base)/\(path)")
        request.headers.add(name: "Accept", value: "application/vnd.schemaregistry.v1+json, application/json")
        if let authorization { request.headers.add(name: "Authorization", value: authorization.value) }
        request.tlsConfiguration = try tls()
        do {
            return try await whole(request)
        } catch let error as CancellationError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw away(Self.reason(error))
        }
    }

    /// The client's own timeout ends with the answer's head, and knows why there is none; the whole has twice as long.
    private func whole(_ request: HTTPClientRequest) async throws -> (status: UInt, body: [UInt8]?) {
        try await withThrowingTaskGroup(of: (status: UInt, body: [UInt8]?).self) { [client, timeout] group in
            group.addTask {
                let response = try await client.execute(
                    request, timeout: .milliseconds(Int64(timeout / .milliseconds(1))))
                var body: [UInt8] = []
                for try await piece in response.body {
                    body += piece.readableBytesView
                    if body.count > Self.answer_bytes_max { return (response.status.code, nil) }
                }
                return (response.status.code, body)
            }
            group.addTask {
                try await Task.sleep(for: timeout * 2)
                throw HTTPClientError.deadlineExceeded
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() else { throw CancellationError() }
            return answer
        }
    }

    private func tls() throws -> TLSConfiguration? {
        guard let ca_file else { return nil }
        guard FileManager.default.isReadableFile(atPath: ca_file) else {
            throw ReplicationError(
                .environment, "cannot read the certificates in \(ca_file)",
                remedy: "check schema_registry.ca_file and the file's permissions")
        }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(ca_file)
        return configuration
    }

    /// The kind of trouble; an error's own text may hold what was sent.
    private static func reason(_ error: any Error) -> String {
        guard let error = error as? HTTPClientError else { return "can't be reached (\(type(of: error)))" }
        switch error {
        case .deadlineExceeded, .readTimeout, .connectTimeout, .getConnectionFromPoolTimeout:
            return "doesn't answer in time"
        case .remoteConnectionClosed: return "broke off the connection"
        default: return "can't be asked (\(error.shortDescription))"
        }
    }

    private func away(_ how: String) -> ReplicationError {
        ReplicationError(
            .passing, "the schema registry at \(base) \(how)",
            remedy: "see that it runs and that schema_registry.url is right; nothing is lost meanwhile")
    }

    private var notARegistry: ReplicationError {
        ReplicationError(
            .environment, "what answers at \(base) is no schema registry",
            remedy: "schema_registry.url: the address without a path, such as http://localhost:8081")
    }
}

import AsyncHTTPClient
import NIOCore

/// Posts JSON to whoever wants to hear of the agent: alerts, lineage.
enum HTTPPost {
    /// Says how it failed, never the URL or a header, which may be secrets.
    struct Failure: Error, Equatable {
        let reason: String
        /// What the other side answered; nil: nothing.
        var status: UInt?
    }

    /// Follows nobody elsewhere: what is posted would become a question without a body. Whoever posts knows when to try
    /// again. Never shut down, as the process's own.
    static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    /// Returns once the other side has answered that it took it.
    ///
    /// - Parameters:
    ///   - token: of a bearer.
    ///   - patience: for all of it.
    static func json(
        _ body: String, to url: String, token: String? = nil, patience: Duration
    ) async throws(Failure) {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "User-Agent", value: "millrace")
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        request.body = .bytes(ByteBuffer(string: body))
        let status: UInt
        do {
            let response = try await client.execute(
                request, timeout: .milliseconds(Int64(patience / .milliseconds(1))))
            status = response.status.code
        } catch {
            // Its own text may have the URL.
            throw Failure(reason: "can't be reached (\(type(of: error)))")
        }
        guard (200..<300).contains(status) else { throw Failure(reason: "answers HTTP \(status)", status: status) }
    }
}

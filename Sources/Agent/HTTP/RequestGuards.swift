import HTTPTypes
import Hummingbird

/// Lets only those pass who name the token.
struct TokenGuard: RouterMiddleware {
    typealias Context = BasicRequestContext
    let token: AccessToken

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let header = request.headers[.authorization] ?? ""
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer", token.matches(String(parts[1])) else {
            let failure = CommandFailure(
                3, "the API wants the agent's token", try: "Authorization: Bearer … with the token in agent.dir")
            var response = AgentRouter.failure(failure, status: .unauthorized)
            response.headers[.wwwAuthenticate] = "Bearer"
            return response
        }
        return try await next(request, context)
    }
}

/// On loopback, a name other than its own in `Host` is a web page that had its name point here.
struct LoopbackHosts: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        guard Self.isOurs(request.head.authority) else {
            return AgentRouter.failure(
                CommandFailure(2, "the agent answers to localhost only", try: "http://127.0.0.1:<port>/"),
                status: .misdirectedRequest)
        }
        return try await next(request, context)
    }

    /// HTTP/1.0 clients name no host.
    static func isOurs(_ authority: String?) -> Bool {
        guard let authority, !authority.isEmpty else { return true }
        let host: Substring
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = authority[authority.index(after: authority.startIndex)..<end]
        } else {
            host = authority.split(separator: ":", maxSplits: 1).first ?? ""
        }
        return host.lowercased() == "localhost" || host == "::1"
            || host.hasPrefix("127.")
                && host.utf8.allSatisfy { $0 == 0x2E || (0x30...0x39).contains($0) }
    }
}

/// Nothing of ours is to be framed, cached, sniffed or run.
struct StrictHeaders: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        for (name, value) in Self.fields { response.headers[name] = value }
        return response
    }

    private static let fields: [(HTTPField.Name, String)] = {
        let fields: [(String, String)] = [
            ("Content-Security-Policy", StatusPage.policy), ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store"),
        ]
        return fields.compactMap { name, value in HTTPField.Name(name).map { ($0, value) } }
    }()
}

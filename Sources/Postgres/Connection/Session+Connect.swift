import CLibPQ
import Glibc

extension Session {
    /// Connects without blocking anywhere but in the name lookup. The caller owns the result.
    static func connect(
        _ settings: ConnectionSettings,
        interrupter: Interrupter
    ) throws(PostgresError) -> OpaquePointer {
        let parameters = try settings.parameters()
        let purpose = "connect to \(settings)"
        guard !interrupter.isRaised else { throw interrupted(purpose) }
        guard let handle = start(parameters.values) else {
            throw PostgresError(kind: .passing, sqlstate: "53200", message: "out of memory", purpose: purpose)
        }
        do {
            // Only the verbose form tells the SQLSTATE of a refused connection.
            PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
            // Notices would go to stderr, values included.
            PQsetNoticeReceiver(handle, { _, _ in }, nil)
            try finish(handle, timeout: parameters.timeout, interrupter: interrupter, purpose: purpose)
            PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
            PQsetnonblocking(handle, 1)
            return handle
        } catch {
            PQfinish(handle)
            throw error
        }
    }

    private static func start(_ values: [String: String]) -> OpaquePointer? {
        let keywords = values.keys.sorted()
        var keywordPointers: [UnsafePointer<CChar>?] = keywords.map { UnsafePointer(strdup($0)) }
        var valuePointers: [UnsafePointer<CChar>?] = keywords.map { UnsafePointer(strdup(values[$0] ?? "")) }
        defer {
            for pointer in keywordPointers + valuePointers { free(UnsafeMutablePointer(mutating: pointer)) }
        }
        keywordPointers.append(nil)
        valuePointers.append(nil)
        return PQconnectStartParams(&keywordPointers, &valuePointers, 0)
    }

    private static func finish(
        _ handle: OpaquePointer,
        timeout: Duration?,
        interrupter: Interrupter,
        purpose: String
    ) throws(PostgresError) {
        guard PQstatus(handle) != CONNECTION_BAD else {
            var error = refused(handle, purpose: purpose)
            // Before it has a server to talk of, libpq complains of options: `invalid sslmode value`.
            let isAboutServer = ["connection to server", "could not translate host name", "could not look up"].contains
            {
                error.message.hasPrefix($0)
            }
            if !isAboutServer {
                error.kind = .permanent
                error.remedy = "correct the parameters of the URL"
            }
            throw error
        }
        let deadline = timeout.map { ContinuousClock.now + $0 }
        var events = POLLOUT
        while true {
            switch waitForSocket(PQsocket(handle), events: events, interrupter: interrupter, deadline: deadline) {
            case .ready: break
            case .interrupted: throw interrupted(purpose)
            case .timedOut:
                let message = "the server did not answer in time"
                throw PostgresError(
                    kind: .passing, sqlstate: "08001", severity: "FATAL", message: message, purpose: purpose,
                    remedy: PostgresError.remedy(connecting: message, sqlstate: "08001"), isConnectionLost: true
                )
            }
            switch PQconnectPoll(handle) {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_READING: events = POLLIN
            case PGRES_POLLING_WRITING: events = POLLOUT
            default: throw refused(handle, purpose: purpose)
            }
        }
    }

    private static func refused(_ handle: OpaquePointer, purpose: String) -> PostgresError {
        let text = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
        var (sqlstate, message) = connectFailure(text)
        if sqlstate == nil, PQconnectionNeedsPassword(handle) == 1 { sqlstate = "28P01" }
        let code = sqlstate ?? "08001"
        var kind = PostgresError.classify(sqlstate: code)
        // Here a value that doesn't fit is one of the settings.
        if kind == .data { kind = .permanent }
        message = message.isEmpty ? "the server can't be reached" : message
        return PostgresError(
            kind: kind, sqlstate: code, severity: "FATAL", message: message, purpose: purpose,
            remedy: PostgresError.remedy(connecting: message, sqlstate: code), isConnectionLost: true
        )
    }

    /// SQLSTATE and message of a failed connection, from libpq's verbose text: one line per host tried,
    /// `connection to server at "db", port 5432 failed: FATAL:  28P01: password authentication failed …`.
    static func connectFailure(_ text: String) -> (sqlstate: String?, message: String) {
        let code = #/(?:^|\s)(?<severity>FATAL|ERROR|PANIC|[^\s:"]+):  (?<code>[0-9A-Z]{5}): /#
        var sqlstate: String?
        var lines: [String] = []
        for line in text.split(separator: "\n") {
            // Continuations are indented; the rest of a server's message stands behind capitals.
            if line.hasPrefix("\t") || line.hasPrefix("LOCATION:") { continue }
            if line.hasPrefix("DETAIL:") || line.hasPrefix("HINT:") || line.hasPrefix("CONTEXT:") { continue }
            var line = String(line)
            if let match = line.firstMatch(of: code) {
                sqlstate = String(match.output.code)
                line.replaceSubrange(match.range, with: " ")
            }
            lines.append(line)
        }
        return (sqlstate, lines.joined(separator: "; ").replacing("  ", with: " "))
    }

    static func place(of handle: OpaquePointer) -> String {
        func text(_ value: UnsafeMutablePointer<CChar>?) -> String { value.map { String(cString: $0) } ?? "" }
        return "\(text(PQuser(handle)))@\(text(PQhost(handle))):\(text(PQport(handle)))/\(text(PQdb(handle)))"
    }

    static func interrupted(_ purpose: String) -> PostgresError {
        PostgresError(kind: .interrupted, sqlstate: "57014", message: "interrupted", purpose: purpose)
    }
}

import CLibPQ

/// How to reach a server, and what Millrace adds to what the user wrote.
///
/// What the URL sets itself wins, also inside its `options`. libpq's environment (PGPASSWORD, ~/.pgpass,
/// PGSERVICE …) fills in the rest.
package struct ConnectionSettings: Sendable {
    /// `postgres://user:password@host:5432/database?sslmode=require`, or `host=… user=…`.
    package var url: String
    package var applicationName = "millrace"
    /// For one host; a URL with several hosts has that time for each.
    package var connectTimeout: Duration = .seconds(10)
    /// How long a server may be silent before the connection counts as lost, unless the URL's `tcp_user_timeout` says
    /// otherwise: see `Pulse`.
    package var answerTimeout: Duration = .seconds(60)
    /// Of several hosts that the URL names, the one to connect to.
    var pinned: (host: String, port: String)?
    /// `replication=database`: understands replication commands, and SQL only without parameters.
    package var isReplication = false
    /// `-c name=value` of the startup packet. Every session sees texts the same way: ISO dates, UTC,
    /// exact floats, and names qualified because the search path is empty of user schemas.
    package var serverSettings: [(name: String, value: String)] = [
        ("DateStyle", "ISO"), ("IntervalStyle", "postgres"), ("TimeZone", "UTC"), ("extra_float_digits", "1"),
        ("bytea_output", "hex"), ("search_path", "pg_catalog"), ("standard_conforming_strings", "on"),
        ("client_min_messages", "warning"),
    ]

    package init(url: String) {
        self.url = url
    }
}

extension ConnectionSettings {
    /// For sessions at a source: a copy takes as long as it takes, and an exported snapshot waits in its transaction.
    static let patience = [
        (name: "statement_timeout", value: "0"), (name: "idle_in_transaction_session_timeout", value: "0"),
    ]
}

extension ConnectionSettings: CustomStringConvertible {
    /// The URL without its password.
    package var description: String { redacted(url) }
}

extension ConnectionSettings {
    /// What libpq gets: keywords and values, the user's and ours.
    struct Parameters {
        var values: [String: String]
        /// For all hosts together; nil waits for ever, as `connect_timeout=0` asks.
        var timeout: Duration?
        /// Nil waits for an answer for ever, as `tcp_user_timeout=0` asks.
        var answerTimeout: Duration?
    }

    /// - Throws: `permanent` if the URL isn't one. libpq's own words are used without what they quote.
    func parameters() throws(PostgresError) -> Parameters {
        try rejectUnencodedPassword()
        var values = try parsed()
        // Here, as libpq would find out only on connecting.
        let ports = (values["port"] ?? "").split(separator: ",")
        guard ports.allSatisfy({ UInt16($0) != nil }) else { throw invalid("its port is not a number") }
        func setDefault(_ keyword: String, _ value: String) {
            if values[keyword] == nil { values[keyword] = value }
        }
        let hostCount = (values["host"] ?? values["hostaddr"] ?? "").split(
            separator: ",", omittingEmptySubsequences: false
        ).count
        var timeout: Duration? = connectTimeout
        if let seconds = values["connect_timeout"].flatMap({ Int($0) }) {
            timeout = seconds > 0 ? .seconds(seconds) : nil
        }
        setDefault("application_name", applicationName)
        values["client_encoding"] = "UTF8"
        if let pinned {
            values["host"] = pinned.host
            values["port"] = pinned.port
            values["hostaddr"] = nil
        }
        // Who lets data go unacknowledged for so long lets answers fail to come for twice as long.
        let unacknowledged_ms = values["tcp_user_timeout"].flatMap { Int($0) }
        let answerTimeout = unacknowledged_ms.map { $0 > 0 ? Duration.milliseconds(2 * $0) : nil } ?? self.answerTimeout
        setDefault("keepalives", "1")
        setDefault("keepalives_idle", "30")
        setDefault("keepalives_interval", "10")
        setDefault("keepalives_count", "3")
        // With several hosts libpq goes on to the next only if the kernel gives the first one up.
        let unanswered = hostCount > 1 ? timeout ?? .seconds(30) : .seconds(30)
        setDefault("tcp_user_timeout", String(unanswered.components.seconds * 1000))
        if isReplication { values["replication"] = "database" }
        // Ours first: of two settings of one name the server takes the later.
        let ours = serverSettings.map { "-c \(escapedOption("\($0.name)=\($0.value)"))" }
        values["options"] = (ours + [values["options"]].compactMap { $0 }).joined(separator: " ")
        return Parameters(
            values: values, timeout: timeout.map { $0 * (pinned == nil ? max(hostCount, 1) : 1) },
            answerTimeout: answerTimeout)
    }

    private func escapedOption(_ text: String) -> String {
        String(text.flatMap { $0 == "\\" || $0.isWhitespace ? ["\\", $0] : [$0] })
    }

    private func parsed() throws(PostgresError) -> [String: String] {
        guard !url.utf8.contains(0) else { throw invalid("it holds a NUL character") }
        var complaint: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &complaint) else {
            let text = complaint.map { String(cString: $0) } ?? "out of memory"
            PQfreemem(complaint)
            throw invalid(withoutQuotes(text))
        }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return values
    }

    /// `u:p@ss@host` makes libpq look for a host of a piece of the password and name it in its errors.
    private func rejectUnencodedPassword() throws(PostgresError) {
        guard let scheme = url.firstRange(of: "://") else { return }
        let rest = url[scheme.upperBound...]
        let authority = rest.prefix { $0 != "/" }
        let path = rest[authority.endIndex...].prefix { $0 != "?" }
        if authority.count(where: { $0 == "@" }) > 1 || path.contains("@") {
            throw invalid("its user or password holds characters that must be percent-encoded: @ as %40, / as %2F")
        }
    }

    /// From the first quote to the last: libpq quotes what may be the password.
    private func withoutQuotes(_ text: String) -> String {
        let line = text.split(separator: "\n").first.map(String.init) ?? ""
        guard let first = line.firstIndex(of: "\""), let last = line.lastIndex(of: "\""), first < last else {
            return line
        }
        return line[...first] + "…" + line[last...]
    }

    private func invalid(_ reason: String) -> PostgresError {
        PostgresError(
            kind: .permanent, severity: "FATAL", message: "the URL is not valid: \(reason)",
            purpose: "connect", remedy: "write it as postgres://user:password@host:5432/database"
        )
    }
}

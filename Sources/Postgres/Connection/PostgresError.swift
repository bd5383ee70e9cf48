/// What went wrong between Millrace and a Postgres server.
///
/// Carries no cell values and no secrets: DETAIL and CONTEXT are never kept ("Key (id)=(5) already
/// exists", the line of a COPY), and messages that quote values are redacted. Names of tables,
/// columns, types and constraints are kept.
package struct PostgresError: Error, Sendable, Equatable {
    /// What the caller can do about it.
    package enum Kind: String, Sendable, CaseIterable {
        /// Trying again later can help: connection lost, server restarting, deadlock, timeout.
        case passing
        /// Trying again can't help before somebody changes something: permission, missing table, syntax.
        case permanent
        /// A value doesn't fit: the row is at fault, not the system.
        case data
        /// The server's disk is full.
        case diskFull
        /// The session's `Interrupter` was raised.
        case interrupted
    }

    package var kind: Kind
    /// Five characters; nil where neither the server nor libpq gave one.
    package var sqlstate: String?
    /// `ERROR`, `FATAL`, `PANIC`.
    package var severity: String
    /// The primary message, redacted.
    package var message: String
    /// What Millrace was doing, as the caller named it: "create the raw table".
    package var purpose: String
    /// What to do about it, if there is one thing to do.
    package var remedy: String?
    /// The session can't be used any more: open a new one.
    package var isConnectionLost: Bool

    package var schema: String?
    package var table: String?
    package var column: String?
    package var dataType: String?
    package var constraint: String?
    /// The line of the COPY that the server refused, from 1.
    package var copyLine: Int?

    package init(
        kind: Kind,
        sqlstate: String? = nil,
        severity: String = "ERROR",
        message: String,
        purpose: String,
        remedy: String? = nil,
        isConnectionLost: Bool = false
    ) {
        self.kind = kind
        self.sqlstate = sqlstate
        self.severity = severity
        self.message = message
        self.purpose = purpose
        self.remedy = remedy
        self.isConnectionLost = isConnectionLost
    }
}

extension PostgresError: CustomStringConvertible {
    package var description: String {
        var text = "Postgres: could not \(purpose): \(message)"
        if let sqlstate { text += " (\(sqlstate))" }
        return text
    }
}

extension PostgresError {
    /// The kind of an error by its SQLSTATE. Unknown codes are `permanent`: a wrong "permanent" stops
    /// and is seen, a wrong "passing" retries for ever.
    package static func classify(sqlstate: String) -> Kind {
        switch sqlstate {
        case "53100":
            return .diskFull
        case "53300", "53200",  // too many connections, out of memory
            "55P03", "55006",  // lock not available; object in use: a slot whose old walsender still lives
            "57014",  // cancelled by someone else or by statement_timeout
            "57P01", "57P02", "57P03", "57P05",  // shutdown, crash, starting up, idle session
            "25P03", "25P04",  // idle in transaction, transaction timeout
            "58000", "58030",  // system and I/O errors
            "72000":  // snapshot too old
            return .passing
        case "54000", "54001":  // an index row too large, a value nested too deeply
            return .data
        default:
            break
        }
        switch sqlstate.prefix(2) {
        case "08", "40": return .passing
        case "22", "23", "44", "P0": return .data  // P0: a trigger refused the row
        default: return .permanent
        }
    }

    /// One thing to do, for errors where it is the same everywhere.
    static func remedy(sqlstate: String) -> String? {
        switch sqlstate {
        case "28P01", "28000": "check the user and password of the URL, and pg_hba.conf on the server"
        case "3D000": "create the database, or correct its name in the URL"
        case "42501": "grant the missing right to the user of the URL"
        case "53100": "make room on the server's disk"
        case "53300": "raise max_connections on the server, or close other connections"
        default: nil
        }
    }

    /// What to do about a connection that wasn't made.
    ///
    /// - Parameter message: libpq's, which is English whatever the server speaks, or the server's.
    static func remedy(connecting message: String, sqlstate: String) -> String? {
        func says(_ words: String...) -> Bool { words.contains { message.contains($0) } }
        if says("no pg_hba.conf entry", "pg_hba.conf rejects") {
            return """
                add a line for this user, database and address to pg_hba.conf on the server, and reload it; a line hostssl \
                wants sslmode=require or more in the URL
                """
        }
        if let remedy = remedy(sqlstate: sqlstate) { return remedy }
        guard sqlstate.hasPrefix("08") else { return nil }
        if says("server does not support SSL") {
            return """
                switch TLS on at the server (ssl = on), or, where the way to it is your own, take sslmode out of the URL
                """
        }
        if says("does not match host name") {
            return "connect by a name that is in the server's certificate, or give the server one with this name"
        }
        if says("certificate verify failed", "root certificate file", "unable to get local issuer") {
            return "let sslrootcert in the URL name the authority that signed the server's certificate"
        }
        if says("SSL error", "certificate", "private key") {
            return "see to sslmode, sslcert and sslkey in the URL, and to what pg_hba.conf on the server asks for"
        }
        if says("could not translate host name", "could not look up") {
            return "correct the host in the URL, or see that this machine can look it up: getent hosts HOST"
        }
        return """
            see that the server runs and that host and port in the URL are its own (pg_isready -h HOST -p PORT), that it \
            listens there (listen_addresses), and that no firewall is in the way
            """
    }
}

import CLibPQ

extension Session {
    /// The error of a result that says so. Doesn't clear it.
    func failure(of result: OpaquePointer, _ handle: OpaquePointer, _ purpose: String) -> PostgresError {
        func field(_ code: Int32) -> String? {
            PQresultErrorField(result, code).map { String(cString: $0) }
        }
        guard let sqlstate = field(diagnostic.sqlstate) else { return lost(handle, purpose) }
        if sqlstate == "57014", cancellation != nil { return cancelled(purpose) }
        let place = PostgresError.copyPlace(context: field(diagnostic.context) ?? "")
        var error = PostgresError(
            kind: PostgresError.classify(sqlstate: sqlstate),
            sqlstate: sqlstate,
            severity: field(diagnostic.severity) ?? "ERROR",
            message: PostgresError.redact(message: field(diagnostic.message) ?? "", sqlstate: sqlstate),
            purpose: purpose,
            remedy: PostgresError.remedy(sqlstate: sqlstate),
            isConnectionLost: PQstatus(handle) != CONNECTION_OK
        )
        error.schema = field(diagnostic.schema)
        error.table = field(diagnostic.table)
        error.column = field(diagnostic.column) ?? place.column
        error.dataType = field(diagnostic.dataType)
        error.constraint = field(diagnostic.constraint)
        error.copyLine = place.line
        return error
    }

    /// The error of a broken connection. libpq's text is used only where it is about the connection: it
    /// may still hold the whole message of an earlier error.
    func lost(_ handle: OpaquePointer, _ purpose: String) -> PostgresError {
        let text = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
        let about = ["server closed the connection", "could not receive data", "could not send data", "SSL "]
        let line = text.split(separator: "\n").last { line in about.contains { line.hasPrefix($0) } }
        let isLost = PQstatus(handle) != CONNECTION_OK
        return PostgresError(
            kind: isLost ? .passing : .permanent,
            sqlstate: isLost ? "08006" : nil,
            severity: "FATAL",
            message: line.map(String.init) ?? (isLost ? "the connection was lost" : "libpq refused the call"),
            purpose: purpose,
            isConnectionLost: isLost
        )
    }

    /// The error of a statement that this side cancelled.
    func cancelled(_ purpose: String) -> PostgresError {
        guard cancellation?.reason == .deadline else { return Self.interrupted(purpose) }
        return PostgresError(
            kind: .passing, sqlstate: "57014", message: "cancelled, as its time was over", purpose: purpose
        )
    }
}

/// libpq's `PG_DIAG_…` field codes: macros of character literals.
private let diagnostic = (
    sqlstate: Int32(UInt8(ascii: "C")),
    severity: Int32(UInt8(ascii: "V")),
    message: Int32(UInt8(ascii: "M")),
    context: Int32(UInt8(ascii: "W")),
    schema: Int32(UInt8(ascii: "s")),
    table: Int32(UInt8(ascii: "t")),
    column: Int32(UInt8(ascii: "c")),
    dataType: Int32(UInt8(ascii: "d")),
    constraint: Int32(UInt8(ascii: "n"))
)

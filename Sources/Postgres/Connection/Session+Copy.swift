import CLibPQ
import Glibc

extension Session {
    /// Sends rows to `COPY … FROM STDIN`.
    ///
    /// `write` fills the writer, which goes to the server in pieces of 64 KiB. If it throws, the COPY is
    /// aborted, nothing of it is stored, and the error goes on. The writer lives only during the call.
    /// What the server refuses is known at the end: it reads on until then.
    /// - Returns: rows stored.
    @discardableResult
    package func copyIn(
        _ sql: String,
        for purpose: String = "load rows",
        _ write: (CopyTextWriter) throws -> Void
    ) throws -> Int {
        try copyOperation(purpose) { handle in
            try startCopy(sql, expecting: PGRES_COPY_IN, handle, purpose)
            do {
                try fill(handle, purpose, write)
            } catch {
                abortCopyIn(handle)
                throw error
            }
            try endCopyIn(nil, handle, purpose)
            return try allResults(handle, purpose).last?.affected ?? 0
        }
    }

    /// Streams the rows of `COPY … TO STDOUT`. `receive` gets one row at a time, its newline included;
    /// the bytes are valid during the call. If it throws, the COPY is cancelled and the error goes on.
    /// - Returns: rows sent.
    @discardableResult
    package func copyOut(
        _ sql: String,
        for purpose: String = "read rows",
        _ receive: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Int {
        try copyOperation(purpose) { handle in
            try startCopy(sql, expecting: PGRES_COPY_OUT, handle, purpose)
            let complaint = try drain(handle, purpose, receive)
            do {
                let affected = try allResults(handle, purpose).last?.affected ?? 0
                if let complaint { throw complaint }
                // Rows that came after the interruption were dropped.
                if cancellation != nil { throw cancelled(purpose) }
                return affected
            } catch {
                throw complaint ?? error
            }
        }
    }

    // MARK: Steps

    /// The caller's closure closed the session: the handle it was called with is gone.
    private func closedInside(_ purpose: String) -> PostgresError {
        PostgresError(
            kind: .passing, sqlstate: "08003", severity: "FATAL", message: "the connection was closed meanwhile",
            purpose: purpose, isConnectionLost: true
        )
    }

    private func startCopy(
        _ sql: String,
        expecting status: ExecStatusType,
        _ handle: OpaquePointer,
        _ purpose: String
    ) throws(PostgresError) {
        try rejectNUL(sql, purpose)
        try sent(PQsendQuery(handle, sql), handle, purpose)
        guard let result = try nextResult(handle, purpose) else {
            throw PostgresError(kind: .permanent, message: "the server gave no answer", purpose: purpose)
        }
        let found = PQresultStatus(result)
        guard found != status else {
            PQclear(result)
            return
        }
        let isFailure = found == PGRES_FATAL_ERROR || found == PGRES_BAD_RESPONSE
        let failure = isFailure ? failure(of: result, handle, purpose) : nil
        PQclear(result)
        if found == PGRES_COPY_OUT || found == PGRES_COPY_IN || found == PGRES_COPY_BOTH {
            close()
        } else {
            _ = try? allResults(handle, purpose)
        }
        throw failure
            ?? PostgresError(
                kind: .permanent, message: "the statement is not the kind of COPY that was expected", purpose: purpose,
                isConnectionLost: !isUsable
            )
    }

    private func fill(
        _ handle: OpaquePointer,
        _ purpose: String,
        _ write: (CopyTextWriter) throws -> Void
    ) throws {
        var failure: PostgresError?
        copyWriter.removeAll()
        copyWriter.sink = { [unowned self] bytes in
            if let failure { throw failure }
            do throws(PostgresError) {
                try put(bytes, handle, purpose)
            } catch {
                failure = error
                throw error
            }
        }
        defer {
            copyWriter.sink = nil
            copyWriter.removeAll()
        }
        try write(copyWriter)
        // Also if the body swallowed the error.
        if let failure { throw failure }
        try copyWriter.flush()
    }

    private func put(_ bytes: UnsafeRawBufferPointer, _ handle: OpaquePointer, _ purpose: String) throws(PostgresError)
    {
        guard self.handle != nil else { throw closedInside(purpose) }
        guard let base = bytes.assumingMemoryBound(to: CChar.self).baseAddress else { return }
        var start = 0
        while start < bytes.count {
            noticeInterruption()
            if cancellation != nil { throw cancelled(purpose) }
            let length = min(bytes.count - start, 1 << 20)
            switch PQputCopyData(handle, base + start, Int32(length)) {
            case 1: start += length
            case 0: break  // no room: sent below
            default: throw lost(handle, purpose)
            }
            try flush(handle, purpose)
        }
        if cancellation != nil { throw cancelled(purpose) }
    }

    private func endCopyIn(
        _ complaint: String?,
        _ handle: OpaquePointer,
        _ purpose: String
    ) throws(PostgresError) {
        guard self.handle != nil else { throw closedInside(purpose) }
        while true {
            switch PQputCopyEnd(handle, complaint) {
            case 1: return try flush(handle, purpose)
            case 0: try flush(handle, purpose)
            default: throw lost(handle, purpose)
            }
        }
    }

    /// Brings the session back to where a statement can be sent, or closes it.
    private func abortCopyIn(_ handle: OpaquePointer) {
        guard self.handle != nil, PQstatus(handle) == CONNECTION_OK else { return }
        // The server may stand in a lock and read nothing: the end alone could wait for ever.
        beginCancellation(.abandoned)
        do throws(PostgresError) {
            try endCopyIn("aborted by the client", handle, "abort a COPY")
            _ = try allResults(handle, "abort a COPY")
        } catch {
            if error.isConnectionLost { close() }
        }
    }

    /// Hands rows on until the server has sent all. Returns what `receive` threw.
    private func drain(
        _ handle: OpaquePointer,
        _ purpose: String,
        _ receive: (UnsafeRawBufferPointer) throws -> Void
    ) throws(PostgresError) -> (any Error)? {
        var complaint: (any Error)?
        while true {
            var row: UnsafeMutablePointer<CChar>?
            let length = PQgetCopyData(handle, &row, 1)
            switch length {
            case 1...:
                noticeInterruption()
                if cancellation == nil {
                    do {
                        try receive(UnsafeRawBufferPointer(start: row, count: Int(length)))
                    } catch {
                        complaint = error
                        beginCancellation(.abandoned)
                    }
                }
                PQfreemem(row)
                guard self.handle != nil else { throw closedInside(purpose) }
            case 0:
                try wait(for: POLLIN, handle, purpose)
                guard PQconsumeInput(handle) == 1 else { throw lost(handle, purpose) }
            case -1:
                return complaint
            default:
                throw lost(handle, purpose)
            }
        }
    }
}

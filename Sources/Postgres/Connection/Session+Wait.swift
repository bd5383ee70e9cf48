import CLibPQ
import Glibc

extension Session {
    /// Frames one operation: refuses to start when closed or interrupted, and settles a cancellation at
    /// the end. `body` leaves no result unread, except after a loss of the connection.
    func operation<Value>(
        _ purpose: String,
        _ body: (OpaquePointer) throws(PostgresError) -> Value
    ) throws(PostgresError) -> Value {
        let handle = try openHandle(purpose)
        defer { settleCancellation() }
        return try body(handle)
    }

    /// The same where a caller's closure runs inside, which may throw anything.
    func copyOperation<Value>(_ purpose: String, _ body: (OpaquePointer) throws -> Value) throws -> Value {
        let handle = try openHandle(purpose)
        defer { settleCancellation() }
        return try body(handle)
    }

    private func openHandle(_ purpose: String) throws(PostgresError) -> OpaquePointer {
        guard let handle, PQstatus(handle) == CONNECTION_OK else {
            throw PostgresError(
                kind: .passing, sqlstate: "08003", severity: "FATAL", message: "the connection is closed",
                purpose: purpose, isConnectionLost: true
            )
        }
        if !isShielded, interrupter.isRaised { throw Self.interrupted(purpose) }
        return handle
    }

    private func settleCancellation() {
        guard let cancellation else { return }
        self.cancellation = nil
        if !cancellation.waitUntilSent() { close() }
    }

    /// Asks the server to end the running statement; its results are still to be read.
    func beginCancellation(_ reason: Cancellation.Reason) {
        guard cancellation == nil, let handle else { return }
        let cancellation = Cancellation(of: handle, reason: reason, grace: cancelGrace)
        self.cancellation = cancellation
        cancellation.send()
    }

    /// For loops that may never need to wait.
    func noticeInterruption() {
        guard cancellation == nil else { return }
        if !isShielded, interrupter.isRaised {
            beginCancellation(.interrupted)
        } else if let deadline, deadline <= .now {
            beginCancellation(.deadline)
        }
    }

    /// Waits for the socket. An interruption or a passed deadline starts the cancellation and goes on
    /// waiting, as the server still has to answer; when that takes too long the connection is closed.
    func wait(for events: Int32, _ handle: OpaquePointer, _ purpose: String) throws(PostgresError) {
        // Silence counts while somebody listens: what came before stands in the socket.
        pulse?.begin(at: .now)
        while true {
            let isCancelling = cancellation != nil
            let end = cancellation?.giveUpAt ?? deadline
            let look = isCancelling ? nil : pulse?.nextLook
            switch waitForSocket(
                PQsocket(handle),
                events: events,
                interrupter: isCancelling || isShielded ? nil : interrupter,
                deadline: [end, look].compactMap(\.self).min()
            ) {
            case .ready:
                return
            case .interrupted:
                beginCancellation(.interrupted)
            case .timedOut where look.map { $0 < end ?? $0 + .seconds(1) } ?? false:
                try feelPulse(handle, purpose)
            case .timedOut where isCancelling:
                var error = cancelled(purpose)
                error.isConnectionLost = true
                close()
                throw error
            case .timedOut:
                beginCancellation(.deadline)
            }
        }
    }

    /// Sends what libpq holds in its buffer, reading meanwhile: a server that can't send doesn't read either.
    func flush(_ handle: OpaquePointer, _ purpose: String) throws(PostgresError) {
        while true {
            switch PQflush(handle) {
            case 0:
                return
            case 1:
                try wait(for: POLLIN | POLLOUT, handle, purpose)
                guard PQconsumeInput(handle) == 1 else { throw lost(handle, purpose) }
            default:
                throw lost(handle, purpose)
            }
        }
    }

    /// The next result, to be cleared by the caller; nil when the statement is over.
    func nextResult(_ handle: OpaquePointer, _ purpose: String) throws(PostgresError) -> OpaquePointer? {
        while PQisBusy(handle) == 1 {
            try wait(for: POLLIN, handle, purpose)
            guard PQconsumeInput(handle) == 1 else {
                // What the server said before it went away may stand in a result.
                if PQisBusy(handle) == 0 { break }
                throw lost(handle, purpose)
            }
        }
        return PQgetResult(handle)
    }
}

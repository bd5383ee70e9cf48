import CLibPQ
import Dispatch

/// A cancel request on its way to the server. libpq opens a connection of its own for it, and blocks
/// meanwhile, so it runs on a queue of its own.
///
/// `@unchecked Sendable`: the PGcancel is used by the queue alone, and freed there.
final class Cancellation: @unchecked Sendable {
    enum Reason { case interrupted, deadline, abandoned }

    let reason: Reason
    /// When the connection is closed if the statement hasn't ended.
    let giveUpAt: ContinuousClock.Instant
    private let sent = DispatchSemaphore(value: 0)
    private let request: OpaquePointer?

    init(of handle: OpaquePointer, reason: Reason, grace: Duration) {
        self.reason = reason
        giveUpAt = .now + grace
        request = PQgetCancel(handle)
    }

    func send() {
        DispatchQueue(label: "millrace.postgres.cancel").async { [self] in
            if let request {
                var complaint = [CChar](repeating: 0, count: 256)
                // If it fails, the statement goes on and the connection is closed after the grace.
                _ = PQcancel(request, &complaint, Int32(complaint.count))
                PQfreeCancel(request)
            }
            sent.signal()
        }
    }

    /// Waits until the request was delivered: it must not hit the session's next statement.
    /// - Returns: false if it took too long.
    func waitUntilSent() -> Bool {
        let left = max(ContinuousClock.now.duration(to: giveUpAt), .milliseconds(100))
        let nanoseconds = Int(left.components.seconds * 1_000_000_000 + left.components.attoseconds / 1_000_000_000)
        return sent.wait(timeout: .now() + .nanoseconds(nanoseconds)) == .success
    }
}

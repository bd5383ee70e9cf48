import Glibc
import Synchronization

/// Wakes sessions out of whatever they wait for, from any thread: connecting, a query, a COPY.
///
/// It stays raised until `reset()`, so that an operation which starts a moment later fails too. One
/// interrupter may serve several sessions.
package final class Interrupter: Sendable {
    private let raised = Atomic<Bool>(false)
    private let pipe = WakePipe()
    /// Readable while raised; -1 if the system gave none, then waits look at `isRaised` twice a second.
    var descriptor: Int32 { pipe.descriptor }

    package init() {}

    package var isRaised: Bool { raised.load(ordering: .acquiring) }

    /// Running operations of the sessions end with an error of kind `interrupted`: their statement is
    /// cancelled on the server; where that takes too long the connection is closed.
    package func interrupt() {
        guard !raised.exchange(true, ordering: .acquiringAndReleasing) else { return }
        pipe.write()
    }

    /// Lets sessions work again. Not while another thread may call `interrupt()`: it would be lost.
    package func reset() {
        pipe.drain()
        raised.store(false, ordering: .releasing)
    }
}

/// How a wait on a socket ended.
enum WaitOutcome {
    case ready, interrupted, timedOut
}

/// Waits until `socket` is ready for `events` (POLLIN, POLLOUT), the interrupter is raised or the
/// deadline passes. All waiting of a session goes through here.
func waitForSocket(
    _ socket: Int32,
    events: Int32,
    interrupter: Interrupter?,
    deadline: ContinuousClock.Instant?
) -> WaitOutcome {
    while true {
        if let interrupter, interrupter.isRaised { return .interrupted }
        var slice: Int32 = -1  // milliseconds
        if let deadline {
            let left = ContinuousClock.now.duration(to: deadline)
            if left <= .zero { return .timedOut }
            // Rounded up, so that the last turn doesn't spin.
            slice = Int32(clamping: left.components.seconds.multipliedClamping(by: 1000) + left.milliseconds + 1)
        }
        if let interrupter, interrupter.descriptor < 0 { slice = slice < 0 ? 500 : min(slice, 500) }
        var descriptors = [
            pollfd(fd: socket, events: Int16(events), revents: 0),
            pollfd(fd: interrupter?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        let ready = poll(&descriptors, 2, slice)
        // Errors of the socket count as ready: libpq then finds and names them.
        if ready < 0, errno != EINTR { return .ready }
        if ready > 0, descriptors[1].revents == 0 { return .ready }
    }
}

extension Int64 {
    fileprivate func multipliedClamping(by factor: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max / 2 : product
    }
}

extension Duration {
    /// The part below one second.
    fileprivate var milliseconds: Int64 { components.attoseconds / 1_000_000_000_000_000 }
}

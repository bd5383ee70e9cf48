import Glibc

/// Ends a wait in `poll` from any thread. What is woken once stays awake until it drains, so no wake is lost.
package final class Waker: Sendable {
    private let pipe = WakePipe()
    var descriptor: Int32 { pipe.descriptor }

    package init() {}

    package func wake() { pipe.write() }
    func drain() { pipe.drain() }

    /// Waits until the waker is woken, or for so long.
    package func wait(_ time: Duration) {
        var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
        if poll(&descriptors, 1, Self.milliseconds(time)) > 0 { drain() }
    }

    static func milliseconds(_ time: Duration) -> Int32 {
        let parts = time.components
        let fraction = parts.attoseconds / 1_000_000_000_000_000
        return Int32(clamping: max(0, parts.seconds.multipliedReportingOverflow(by: 1000).partialValue + fraction))
    }
}

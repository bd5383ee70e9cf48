import Glibc

/// Ends a wait in `poll` from any thread. What is woken once stays awake until it drains, so no wake is lost.
package final class Waker: Sendable {
    let descriptor: Int32
    private let writeEnd: Int32

    package init() {
        var ends: [Int32] = [-1, -1]
        if pipe(&ends) == 0 {
            for end in ends {
                _ = fcntl(end, F_SETFD, FD_CLOEXEC)
                _ = fcntl(end, F_SETFL, O_NONBLOCK)
            }
        }
        descriptor = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            close(writeEnd)
        }
    }

    package func wake() {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    func drain() {
        var bytes: (UInt64, UInt64) = (0, 0)
        while read(descriptor, &bytes, 16) > 0 {}
    }

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

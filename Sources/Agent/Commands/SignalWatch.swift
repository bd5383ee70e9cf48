import Dispatch
import Foundation
import Synchronization

/// SIGINT and SIGTERM: the first asks for a clean end, the second ends the process at once. SIGHUP, where it is asked for,
/// is what daemons take it for.
package final class SignalWatch: Sendable {
    private let first: Mutex<Int32?> = Mutex(nil)
    /// Written in `init` only.
    private nonisolated(unsafe) var sources: [any DispatchSourceSignal] = []

    private let handled: [Int32]

    /// - Parameters:
    ///   - onHangUp: called at each SIGHUP; nil: it ends the process, as it does by default.
    ///   - onSecond: called before the second one ends the process; it may block for a moment.
    ///   - onFirst: called once, on a queue of its own.
    package init(
        onHangUp: (@Sendable () -> Void)? = nil, onSecond: (@Sendable () -> Void)? = nil,
        onFirst: @escaping @Sendable (_ signal: Int32) -> Void
    ) {
        let queue = DispatchQueue(label: "signals")
        let registered = DispatchSemaphore(value: 0)
        handled = [SIGINT, SIGTERM] + (onHangUp == nil ? [] : [SIGHUP])
        if let onHangUp {
            signal(SIGHUP, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: SIGHUP, queue: queue)
            source.setEventHandler(handler: onHangUp)
            source.setRegistrationHandler { registered.signal() }
            source.resume()
            sources.append(source)
        }
        for number in [SIGINT, SIGTERM] {
            // Without this the default action ends the process before the source sees the signal.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { [weak self] in
                guard let self else { return }
                let isFirst = self.first.withLock { first in
                    defer { first = first ?? number }
                    return first == nil
                }
                // Nothing is lost: what isn't committed is read again.
                guard isFirst else {
                    onSecond?()
                    _exit(ExitStatus.signal(number))
                }
                onFirst(number)
            }
            source.setRegistrationHandler { registered.signal() }
            source.resume()
            sources.append(source)
        }
        // Until then a signal that comes is nobody's.
        for _ in sources { _ = registered.wait(timeout: .now() + 2) }
    }

    deinit {
        for source in sources { source.cancel() }
        for number in handled { signal(number, SIG_DFL) }
    }

    /// Returns at the first signal. One that comes while `body` tells the world that we are there counts too.
    package static func wait(saying body: () -> Void) async {
        let (signals, continuation) = AsyncStream.makeStream(of: Int32.self)
        let watch = SignalWatch { continuation.yield($0) }
        defer { withExtendedLifetime(watch) {} }
        body()
        for await _ in signals { return }
    }
}

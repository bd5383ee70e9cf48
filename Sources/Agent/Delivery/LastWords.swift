import Dispatch
import Synchronization

/// What is still to be said at the end, within a time.
enum LastWords {
    /// Returns when `work` is through, or when the time is over, whichever comes first. In a task of its own: where an error
    /// ends the agent the caller's is cancelled, and would send nothing any more.
    static func within(_ limit_s: Double, _ work: @escaping @Sendable () async -> Void) async {
        await withCheckedContinuation { continuation in
            let once = Once { continuation.resume() }
            Task {
                await work()
                once.run()
            }
            DispatchQueue(label: "last.words").asyncAfter(deadline: .now() + limit_s) { once.run() }
        }
    }

    /// The same for a thread that isn't Swift's own, and waits itself.
    static func blocking(_ limit_s: Double, _ work: @escaping @Sendable () async -> Void) {
        let isThrough = DispatchSemaphore(value: 0)
        Task {
            await work()
            isThrough.signal()
        }
        _ = isThrough.wait(timeout: .now() + limit_s)
    }

    /// Whoever comes first.
    private final class Once: Sendable {
        private let body: Mutex<(@Sendable () -> Void)?>

        init(_ body: @escaping @Sendable () -> Void) { self.body = Mutex(body) }

        func run() {
            let body = body.withLock { body in
                defer { body = nil }
                return body
            }
            body?()
        }
    }
}

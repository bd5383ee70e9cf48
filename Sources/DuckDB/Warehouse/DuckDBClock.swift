import Foundation
import Synchronization

/// The agent's clock as the warehouse stores it.
enum DuckDBClock {
    private static let last = Mutex<Int64>(0)

    /// µs since 1970 by the wall clock.
    static var now_us: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }

    /// The same, but never the same twice in this process: it names a batch.
    static func next_us() -> Int64 {
        let now = now_us
        return last.withLock { last in
            last = max(now, last + 1)
            return last
        }
    }
}

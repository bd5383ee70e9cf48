/// How long to wait after attempts that failed: 1 s, then twice as long each time, up to a minute.
///
/// Without a clock: it is given the time, in µs.
struct Backoff: Sendable {
    private static let longest_us: Int64 = 60_000_000

    /// That failed, one after the other.
    private(set) var attempts = 0
    private var notBefore_us = Int64.min

    func isOver(now_us: Int64) -> Bool { now_us >= notBefore_us }

    mutating func failed(now_us: Int64) {
        attempts += 1
        notBefore_us = now_us + min(Self.longest_us, 1_000_000 << Int64(min(attempts - 1, 20)))
    }

    mutating func reset() { self = Backoff() }
    /// Something else is tried next, and not earlier.
    mutating func restart() { attempts = 0 }
    /// The last chance: the next attempt is made at once.
    mutating func hurry() { notBefore_us = .min }
}

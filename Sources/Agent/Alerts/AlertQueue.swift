/// The notices of one target on their way out, in order: repeated where sending fails, and few where there are many.
///
/// A state machine without a clock, as `AlertEpisodes`.
struct AlertQueue: Sendable {
    /// Waiting notices; the oldest beyond it are counted and left out.
    static let waiting_max = 100
    /// So many in a minute.
    static let perMinute_max = 20
    static let attempts_max = 10
    private static let minute_us: Int64 = 60_000_000

    private var waiting: [AlertNotice] = []
    private var left = 0
    private var backoff = Backoff()
    /// Of the last minute.
    private var sentAt_us: [Int64] = []

    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ notices: [AlertNotice]) {
        waiting += notices
        while waiting.count > Self.waiting_max {
            waiting.removeFirst()
            left += 1
            backoff.restart()
        }
    }

    /// What is to be sent now; nil: nothing, or not yet. The answer to it is `sent` or `failed`.
    mutating func next(now_us: Int64) -> AlertNotice? {
        sentAt_us.removeAll { now_us - $0 >= Self.minute_us }
        guard backoff.isOver(now_us: now_us), sentAt_us.count < Self.perMinute_max, var first = waiting.first else {
            return nil
        }
        first.left = left
        return first
    }

    /// The last chance: what waits for another attempt is tried at once.
    mutating func hurry() { backoff.hurry() }

    mutating func sent(now_us: Int64) {
        sentAt_us.append(now_us)
        waiting.removeFirst()
        left = 0
        backoff.reset()
    }

    /// - Returns: whether it was given up.
    mutating func failed(now_us: Int64) -> Bool {
        backoff.failed(now_us: now_us)
        guard backoff.attempts >= Self.attempts_max else { return false }
        waiting.removeFirst()
        left += 1
        backoff.restart()
        return true
    }
}

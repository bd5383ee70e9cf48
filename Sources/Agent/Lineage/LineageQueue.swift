/// Events on their way, in order: repeated where sending fails, within bounds.
///
/// Where it is full the oldest RUNNING goes first: each of a run tells all that those before it have told of its counts.
/// A state machine without a clock: each step is given the time, in µs.
struct LineageQueue: Sendable {
    static let waiting_max = 200
    /// Of their texts.
    static let bytes_max = 32 << 20
    /// So often the other side may answer that it can't take an event. Not being reached doesn't count: that is no event's
    /// fault.
    static let answers_max = 20

    enum Failure: Sendable, Equatable {
        case unreachable
        /// It may take it another time.
        case refused
        /// It never will.
        case rejected
    }

    private var waiting: [LineageEvent] = []
    private var bytes = 0
    private var backoff = Backoff()
    private var answers = 0
    /// The first of them is being sent.
    private(set) var isSending = false
    /// Events that never arrived.
    private(set) var dropped = 0

    var isEmpty: Bool { waiting.isEmpty }
    var count: Int { waiting.count }

    mutating func add(_ event: LineageEvent) {
        // For its sake all others would go.
        guard event.text.utf8.count <= Self.bytes_max else {
            dropped += 1
            return
        }
        waiting.append(event)
        bytes += event.text.utf8.count
        while waiting.count > Self.waiting_max || bytes > Self.bytes_max {
            let free = waiting.indices.dropFirst(isSending ? 1 : 0)
            guard let victim = free.first(where: { waiting[$0].kind == .running }) ?? free.first else { return }
            drop(victim)
        }
    }

    /// What is to be sent now; nil: nothing, or not yet. The answer to it is `sent` or `failed`.
    mutating func next(now_us: Int64) -> LineageEvent? {
        guard !isSending, backoff.isOver(now_us: now_us), let first = waiting.first else { return nil }
        isSending = true
        return first
    }

    mutating func sent() {
        guard isSending else { return }
        isSending = false
        take(0)
    }

    /// - Returns: whether the event was given up.
    mutating func failed(_ failure: Failure, now_us: Int64) -> Bool {
        guard isSending else { return false }
        isSending = false
        if failure != .unreachable { answers += 1 }
        guard failure == .rejected || answers >= Self.answers_max else {
            backoff.failed(now_us: now_us)
            return false
        }
        drop(0)
        return true
    }

    /// The last chance: what waits for another attempt is tried at once.
    mutating func hurry() { backoff.hurry() }

    /// There is no time left for what waits; an answer that comes yet is nobody's.
    mutating func giveUp() {
        isSending = false
        while !waiting.isEmpty { drop(0) }
    }

    private mutating func drop(_ index: Int) {
        dropped += 1
        take(index)
    }

    private mutating func take(_ index: Int) {
        bytes -= waiting.remove(at: index).text.utf8.count
        guard index == 0 else { return }
        answers = 0
        backoff.reset()
    }
}

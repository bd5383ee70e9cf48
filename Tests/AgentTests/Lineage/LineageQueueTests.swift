import Testing

@testable import Agent

@Suite("Lineage: the queue")
struct LineageQueueTests {
    private let second: Int64 = 1_000_000

    @Test("gives one at a time, in order")
    func order() {
        var queue = LineageQueue()
        for index in 0..<3 { queue.add(LineageFixture.event(.running, "\(index)")) }
        for index in 0..<3 {
            #expect(queue.next(now_us: 0)?.text == "\(index)")
            #expect(queue.next(now_us: 0) == nil, "that one is on its way")
            queue.sent()
        }
        #expect(queue.isEmpty && queue.dropped == 0)
    }

    @Test("waits after a failure, twice as long each time, up to a minute, and never gives up where nobody answers")
    func backoff() {
        var queue = LineageQueue()
        queue.add(LineageFixture.event(.start))
        var now: Int64 = 0
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] + Array(repeating: 60, count: 100) {
            #expect(queue.next(now_us: now) != nil)
            #expect(queue.failed(.unreachable, now_us: now) == false)
            #expect(queue.next(now_us: now + Int64(wait) * second - 1) == nil)
            now += Int64(wait) * second
        }
        #expect(queue.count == 1)
        queue.hurry()
        #expect(queue.next(now_us: 0) != nil)
    }

    @Test("gives up what is refused again and again, and at once what is rejected")
    func refusals() {
        var queue = LineageQueue()
        queue.add(LineageFixture.event(.start, "a"))
        queue.add(LineageFixture.event(.complete, "b"))
        var now: Int64 = 0
        for attempt in 1...LineageQueue.answers_max {
            now += 60 * second
            #expect(queue.next(now_us: now)?.text == "a")
            #expect(queue.failed(.refused, now_us: now) == (attempt == LineageQueue.answers_max))
        }
        #expect(queue.next(now_us: now)?.text == "b")
        #expect(queue.failed(.rejected, now_us: now) == true)
        #expect(queue.isEmpty && queue.dropped == 2)
    }

    @Test("drops the oldest RUNNING first where too many wait, and what is on its way not at all")
    func overflow() {
        var queue = LineageQueue()
        queue.add(LineageFixture.event(.running, "sending"))
        _ = queue.next(now_us: 0)
        queue.add(LineageFixture.event(.start, "start"))
        for index in 0..<LineageQueue.waiting_max { queue.add(LineageFixture.event(.running, "\(index)")) }
        queue.add(LineageFixture.event(.complete, "complete"))
        #expect(queue.count == LineageQueue.waiting_max && queue.dropped == 3)
        queue.sent()
        var left: [String] = []
        while let event = queue.next(now_us: 0) {
            left.append(event.text)
            queue.sent()
        }
        #expect(left.first == "start" && left.dropFirst().first == "3" && left.last == "complete")
        // Nothing but beginnings and ends: the oldest of them.
        var starts = LineageQueue()
        for index in 0...LineageQueue.waiting_max { starts.add(LineageFixture.event(.start, "\(index)")) }
        #expect(starts.next(now_us: 0)?.text == "1")
    }

    @Test("is bounded in bytes, too")
    func bytes() {
        var queue = LineageQueue()
        let text = String(repeating: "x", count: LineageQueue.bytes_max / 4)
        for _ in 0..<6 { queue.add(LineageFixture.event(.running, text)) }
        #expect(queue.count == 4 && queue.dropped == 2)
        queue.add(LineageFixture.event(.complete, text + text + text + text + text))
        #expect(queue.count == 4 && queue.dropped == 3, "it would take all of the room")
    }

    @Test("What was given up is nobody's when its answer comes")
    func lateAnswers() {
        var queue = LineageQueue()
        queue.add(LineageFixture.event(.start))
        _ = queue.next(now_us: 0)
        queue.giveUp()
        queue.sent()
        #expect(queue.failed(.refused, now_us: 0) == false)
        #expect(queue.isEmpty && queue.dropped == 1)
    }
}

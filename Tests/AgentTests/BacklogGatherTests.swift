import Testing

@testable import Agent

@Suite struct BacklogGatherTests {
    private let start = ContinuousClock.now

    /// A Begin message of a transaction that was committed then.
    private func begin(committedAt: Int64) -> [UInt8] {
        [UInt8(ascii: "B")] + [UInt8](repeating: 0, count: 8)
            + withUnsafeBytes(of: committedAt.bigEndian, Array.init) + [0, 0, 0, 7]
    }

    private func note(_ gather: inout BacklogGather, committedAt: Int64, sentAt: Int64, after: Duration = .zero) {
        begin(committedAt: committedAt).withUnsafeBytes { gather.note(begin: $0, sentAt: sentAt, at: start + after) }
    }

    @Test func whatWasJustCommittedWaitsForNothing() {
        var gather = BacklogGather()
        #expect(gather.left(at: start) == .zero)
        note(&gather, committedAt: 5_000_000, sentAt: 5_999_999)
        #expect(gather.left(at: start) == .zero)
        // A source whose clock was set back meanwhile.
        note(&gather, committedAt: 9_000_000, sentAt: 5_000_000)
        #expect(gather.left(at: start) == .zero)
    }

    @Test func whatIsOldGathersFromItsFirstTransactionOn() {
        var gather = BacklogGather()
        note(&gather, committedAt: 5_000_000, sentAt: 6_000_001)
        #expect(gather.left(at: start) == BacklogGather.longest)
        // The ones that follow don't make it longer.
        note(&gather, committedAt: 5_000_000, sentAt: 9_000_000, after: .milliseconds(30))
        #expect(gather.left(at: start + .milliseconds(30)) == BacklogGather.longest - .milliseconds(30))
        #expect(gather.left(at: start + .seconds(1)) == .zero)
    }

    @Test func aMessageThatEndsTooEarlyIsLeftToTheDecoder() {
        var gather = BacklogGather()
        [UInt8(ascii: "B"), 0, 0].withUnsafeBytes { gather.note(begin: $0, sentAt: .max, at: start) }
        #expect(gather.left(at: start) == .zero)
    }
}

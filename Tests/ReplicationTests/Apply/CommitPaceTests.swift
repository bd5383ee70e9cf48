import Replication
import Testing

@Suite("When a small batch follows the one before")
struct CommitPaceTests {
    @Test("so many times as long as the commit took, up to a bound")
    func rests() {
        #expect(CommitPace.rest(after: .milliseconds(10), records: 20, times: 3) == .milliseconds(30))
        #expect(CommitPace.rest(after: .milliseconds(25), records: 20, times: 3) == .milliseconds(75))
        #expect(CommitPace.rest(after: .seconds(9), records: CommitPace.records_max, times: 3) == CommitPace.rest_max)
    }

    @Test("not behind a large batch, nor where commits cost little")
    func doesNot() {
        #expect(CommitPace.rest(after: .milliseconds(10), records: CommitPace.records_max + 1, times: 3) == nil)
        #expect(CommitPace.rest(after: .milliseconds(10), records: 20, times: 0) == nil)
        // A position that moves on by itself.
        #expect(CommitPace.rest(after: .milliseconds(10), records: 0, times: 3) == nil)
        #expect(CommitPace.rest(after: .zero, records: 20, times: 3) == nil)
    }
}

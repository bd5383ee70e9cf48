import Testing

@testable import Replication

struct RowMendTests {
    @Test func aSnapshotShowsWhatHadCommitted() throws {
        let extent = try #require(SnapshotExtent("740:750:740,745"))
        #expect(extent.shows(739) && extent.shows(741) && extent.shows(749))
        #expect(!extent.shows(740) && !extent.shows(745) && !extent.shows(750) && !extent.shows(-1))
        let quiet = try #require(SnapshotExtent("750:750:"))
        #expect(quiet.shows(749) && !quiet.shows(750))
        for text in ["", "1:2", "1:x:", "1:2:3,x"] { #expect(SnapshotExtent(text) == nil) }
    }

    /// Logs write 32 bits of a number that has more.
    @Test func idsAreWidenedToTheNearest() throws {
        let cycle: Int64 = 1 << 32
        let extent = try #require(SnapshotExtent("\(3 * cycle + 2):\(3 * cycle + 5):\(3 * cycle + 3)"))
        #expect(extent.widened(4) == 3 * cycle + 4 && extent.shows(4) && !extent.shows(3) && !extent.shows(5))
        // Just before the number went round.
        #expect(extent.widened(cycle - 1) == 3 * cycle - 1 && extent.shows(cycle - 1))
        #expect(extent.shows(3 * cycle + 4) && !extent.shows(3 * cycle + 5))
        let first = try #require(SnapshotExtent("10:10:"))
        #expect(first.widened(cycle - 1) == cycle - 1 && !first.shows(cycle - 1))
    }

    @Test func aMendStandsBetweenTwoRecords() {
        func mended(_ seq: Int64) -> Int64? { Version(epoch: 0, commit: 1, seq: seq).mended?.seq }
        #expect(mended(0) == 2 && mended(16) == 18 && mended(17) == 18 && mended(18) == 20)
        #expect(mended(2 * 14) == 2 * 15 && mended(2 * 15) == nil, "the next record may stand there")
    }
}

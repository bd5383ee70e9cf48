import Testing

@testable import Replication

@Suite struct SetDigestTests {
    private static let first = "0cc175b9c0f1b6a831c399e269772661"
    private static let second = "ffffffffffffffff8000000000000000"

    @Test func aHashIsTwoSignedHalves() throws {
        let digest = try #require(SetDigest(hash: Self.first))
        #expect(digest == SetDigest(rows: 1, high: 919_145_239_626_757_800, low: 3_585_878_926_028_121_697))
        #expect(SetDigest(hash: Self.second) == SetDigest(rows: 1, high: -1, low: Int128(Int64.min)))
    }

    @Test(arguments: ["", "0cc1", "+cc175b9c0f1b6a831c399e269772661", "0cc175b9c0f1b6a831c399e26977266g"])
    func noHash(text: String) { #expect(SetDigest(hash: text) == nil) }

    @Test func partsAddUpAndComeOffAgain() throws {
        let (a, b) = (try #require(SetDigest(hash: Self.first)), try #require(SetDigest(hash: Self.second)))
        #expect(a + b == b + a)
        #expect(a + b - b == a)
        #expect(a + .empty == a)
        #expect(a - a == .empty)
    }

    /// What an exclusive or would lose.
    @Test func twinsDontCancel() throws {
        let (a, b) = (try #require(SetDigest(hash: Self.first)), try #require(SetDigest(hash: Self.second)))
        #expect(a + a != b + b)
        #expect((a + a).high != 0 && (b + b).low != 0)
    }

    @Test func sumsAreBeyond64Bits() throws {
        let row = ["3", "27670116110564327421", "-27670116110564327424"].map(Optional.some)
        let digest = try #require(SetDigest(row: row))
        #expect(digest.high == 3 * Int128(Int64.max) && digest.low == 3 * Int128(Int64.min))
        #expect(SetDigest(row: ["1", nil, "0"]) == nil)
        #expect(SetDigest(row: ["1", "0"]) == nil)
        #expect(SetDigest(row: ["1", "x", "0"]) == nil)
    }
}

import Replication
import Testing

@testable import Agent
@testable import Postgres

/// The one decision of a start and of `check`.
@Suite struct SourcePlaceTests {
    private static let state = PostgresSourceState(system: "7001", timeline: 3)

    private func claim(_ position: Int64?, newest: Int64? = nil) -> Checkpoint {
        Checkpoint(
            partition: TopicPartition(topic: "millrace_shop", partition: 0), position: position,
            decoderState: Self.state.json,
            marks: newest.map { [TableID(schema: "public", table: "a"): Version(epoch: 0, commit: $0, seq: 0)] } ?? [:])
    }

    private func place(
        system: String = "7001", timeline: Int64 = 3, end: Int64 = 1000, fork: Int64? = nil, confirmed: Int64? = 500,
        status: String = "reserved", invalidation: String? = nil, hasSlot: Bool = true
    ) -> SourcePlace {
        let slot = SourceServer.Slot(
            plugin: "pgoutput", database: "shop", confirmed: confirmed, walStatus: status, invalidation: invalidation)
        return SourcePlace(
            slot: "millrace_shop", system: .init(identifier: system, timeline: timeline, position: end), fork: fork,
            found: hasSlot ? slot : nil)
    }

    @Test func whatCanBeReadOn() {
        #expect(place().loss(since: claim(500)) == nil)
        #expect(place().loss(since: claim(1000)) == nil)
        #expect(place(hasSlot: false).loss(since: claim(nil)) == nil, "it is made")
        #expect(place().loss(since: claim(nil, newest: 1000)) == nil)
        #expect(place(timeline: 4, fork: 500).loss(since: claim(500)) == nil, "promoted in time")
    }

    /// Positions of another source are none of this one's: everything is copied anew.
    @Test func anotherSource() throws {
        let cases: [(SourcePlace, Checkpoint, String)] = [
            (place(system: "7002"), claim(500), "another server"),
            (place(timeline: 4, fork: 499), claim(500), "which left timeline 3"),
            (place(timeline: 4), claim(500), "at an unknown position"),
            (place(timeline: 2, fork: 900), claim(500), "on timeline 2"),
            (place(end: 499), claim(500), "before the checkpoint"),
            (place(end: 499), claim(nil, newest: 500), "of a state that was undone"),
        ]
        for (place, claim, says) in cases {
            let loss = try #require(place.loss(since: claim), "\(says)")
            #expect(loss.reason.contains(says) && !loss.mayGoOn, "\(loss.reason)")
            #expect(!loss.remedy().contains("--to-lsn latest"))
        }
    }

    @Test func aSlotThatIsLost() throws {
        let cases: [(SourcePlace, String)] = [
            (place(hasSlot: false), "is gone"), (place(status: "lost"), "was invalidated"),
            (place(invalidation: "wal_removed"), "(wal_removed)"), (place(confirmed: 501), "stands at"),
        ]
        for (place, says) in cases {
            let loss = try #require(place.loss(since: claim(500)), "\(says)")
            #expect(loss.reason.contains(says) && loss.mayGoOn, "\(loss.reason)")
            #expect(loss.remedy().contains("--to-lsn latest"))
            #expect(loss.remedy(isBackfill: true).contains("--restart"))
        }
    }
}

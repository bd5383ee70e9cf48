import Replication
import ReplicationTestKit
import Testing

/// Deferrable keys: several rows under one key inside of a transaction.
@Suite struct SharedKeysTests {
    private static let table = ModelHistory.table
    private static let key1: [Cell] = [.int(1), .unchanged, .unchanged]
    private static let key2: [Cell] = [.int(2), .unchanged, .unchanged]
    private static let key3: [Cell] = [.int(3), .unchanged, .unchanged]

    private static func row(_ id: Int64, _ n: Int64, _ note: String) -> [Cell] { [.int(id), .int(n), .text(note)] }
    private static func version(_ commit: Int64, _ place: Int64, moved: Bool = false) -> Version {
        .change(epoch: 0, commit: commit, place: place, createsMovedKey: moved)
    }

    private static func event(
        _ operation: Operation, _ commit: Int64, _ place: Int64, before: [Cell]? = nil, after: [Cell]? = nil,
        otherKey: [Cell]? = nil, filtered: Bool = false
    ) -> EventSpec {
        EventSpec(
            operation, table, version(commit, place, moved: operation == .create && otherKey != nil), before: before,
            after: after, otherKey: otherKey, filtered: filtered, transaction: commit)
    }

    /// Rows 1 and 2, then 1 → 2 and 2 → 3 in one transaction.
    private static func chain(hasImages: Bool) -> (before: [EventSpec], moves: [EventSpec]) {
        (
            [event(.create, 10, 1, after: row(1, 1, "one")), event(.create, 10, 2, after: row(2, 2, "two"))],
            [
                event(.delete, 20, 1, before: hasImages ? row(1, 1, "one") : key1, otherKey: key2),
                event(.create, 20, 1, after: [.int(2), .int(1), .unchanged], otherKey: key1),
                event(.delete, 20, 2, before: hasImages ? row(2, 2, "two") : key2, otherKey: key3),
                event(.create, 20, 2, after: [.int(3), .int(2), .unchanged], otherKey: key2),
            ]
        )
    }

    private final class Agent {
        let transaction = MemoryTransaction()
        var sum = LedgerEntry(table: nil)
        var steps: [String: Int] = [:]
        private var position: Int64?
        private let builder: BatchBuilder
        private let hasRaw: Bool

        init(hasRaw: Bool = true, isFiltered: Bool = false) {
            var definition = ModelHistory.definition
            definition.isFiltered = isFiltered
            builder = BatchBuilder([definition])
            self.hasRaw = hasRaw
            transaction.amend {
                $0.definitions[table] = definition
                $0.checkpoints[self.builder.partition] = Checkpoint(partition: self.builder.partition)
            }
            transaction.fault = { [unowned self] in steps[$0, default: 0] += 1 }
        }

        func apply(_ batches: [EventSpec]...) throws {
            for events in batches {
                let to = (position ?? 0) + Int64(events.count)
                let advance = CheckpointAdvance(
                    partition: builder.partition, from: position, to: to, token: 0, spans: [0])
                let outcome = try BatchApplier.applyWithRemedies(
                    builder.batch(events, from: position ?? 0), advancing: [advance],
                    layout: WarehouseLayout(pipeline: "p", hasRaw: hasRaw), in: transaction, loadedAt_us: to)
                position = to
                for entry in outcome.ledger { sum += entry }
            }
        }

        /// `1 1 "one"` for each live row.
        var live: [String] {
            transaction.committed.live(table).map { "\($0["id"] ?? "") \($0["n"] ?? "") \($0["note"] ?? "")" }
        }
    }

    private let moved = ["2 1 \"one\"", "3 2 \"two\""]

    @Test func aChainOfMovesInWhateverBatches() throws {
        let (before, moves) = Self.chain(hasImages: true)
        let whole = Agent()
        try whole.apply(before + moves)
        #expect(whole.live == moved)
        for cut in 0...4 {
            let agent = Agent()
            try agent.apply(before, Array(moves[..<cut]), Array(moves[cut...]))
            #expect(agent.live == moved, "cut at \(cut)")
            #expect(agent.sum.addsUp && agent.sum.quarantined == 0, "cut at \(cut)")
            try agent.apply(moves + before)
            #expect(agent.live == moved && agent.sum.duplicate == 6, "cut at \(cut): replayed")
        }
        let late = Agent()
        for event in (before + moves).reversed() { try late.apply([event]) }
        #expect(late.live == moved)
    }

    @Test func aSwap() throws {
        let agent = Agent()
        try agent.apply(
            [
                Self.event(.create, 10, 1, after: Self.row(1, 1, "one")),
                Self.event(.create, 10, 2, after: Self.row(2, 2, "two")),
            ],
            [
                Self.event(.delete, 20, 1, before: Self.row(1, 1, "one"), otherKey: Self.key2),
                Self.event(.create, 20, 1, after: [.int(2), .int(1), .unchanged], otherKey: Self.key1),
                Self.event(.delete, 20, 2, before: Self.row(2, 2, "two"), otherKey: Self.key1),
            ], [Self.event(.create, 20, 2, after: [.int(1), .int(2), .unchanged], otherKey: Self.key2)])
        #expect(agent.live == ["1 2 \"two\"", "2 1 \"one\""])
    }

    /// An older delete of the key, come late in the same batch, doesn't keep the newer one from being looked at.
    @Test func twoDeletesOfAKeyInOneBatch() throws {
        let agent = Agent()
        try agent.apply(
            [Self.event(.create, 10, 1, after: Self.row(1, 1, "old"))],
            [Self.event(.create, 20, 1, after: Self.row(1, 2, "new"))],
            [
                Self.event(.create, 4, 1, after: Self.row(1, 0, "gone")),
                Self.event(.delete, 5, 1, before: Self.row(1, 0, "gone")),
                Self.event(.delete, 20, 2, before: Self.row(1, 2, "new")),
            ])
        #expect(agent.live == ["1 1 \"old\""])
        #expect(agent.sum.addsUp && agent.sum.quarantined == 0)
    }

    /// Inserted onto a key that is freed later in the transaction; an update that follows keeps what it didn't send.
    @Test func anInsertOntoAKeyFreedLater() throws {
        let agent = Agent()
        try agent.apply(
            [
                Self.event(.create, 10, 1, after: Self.row(2, 1, "old")),
                Self.event(.create, 20, 1, after: Self.row(2, 2, "new")),
            ],
            [
                Self.event(.delete, 20, 2, before: Self.row(2, 1, "old")),
                Self.event(.update, 30, 1, after: [.int(2), .int(3), .unchanged]),
            ])
        #expect(agent.live == ["2 3 \"new\""])
        #expect(agent.transaction.committed.current[Self.table]?.values.first?.columnVersions.isIncomplete == false)
    }

    /// Without images the two rows of key 2 can't be told apart: the delete is put aside, and a row stays.
    @Test func whereNoImageTellsItIsPutAside() throws {
        for cut in 0...4 {
            let (before, moves) = Self.chain(hasImages: false)
            let agent = Agent()
            try agent.apply(before, Array(moves[..<cut]), Array(moves[cut...]))
            #expect(agent.live == ["2 null null", "3 2 null"], "cut at \(cut)")
            #expect(agent.sum.addsUp && agent.sum.quarantined == 1, "cut at \(cut)")
            let aside = agent.transaction.committed.quarantine
            #expect(aside.count == 1 && aside.first?.entry.operation == .delete, "cut at \(cut)")
            #expect(aside.first?.entry.reason.contains("deferrable") == true)
            let row = agent.transaction.committed.current[Self.table]?.values.first { $0.values["id"] == "2" }
            #expect(row?.columnVersions.isIncomplete == true, "cut at \(cut)")
            try agent.apply(moves, [Self.event(.update, 30, 1, after: Self.row(2, 7, "told"))])
            #expect(agent.live == ["2 7 \"told\"", "3 2 null"], "cut at \(cut): the next event of the row tells")
            #expect(agent.sum.quarantined == 1 && agent.sum.duplicate == 4, "cut at \(cut): put aside once")
        }
    }

    /// What transactions do every day: nothing is read from raw for it, and nothing is in doubt.
    @Test func anInsertThatIsDeletedAgainIsPlain() throws {
        let agent = Agent()
        try agent.apply(
            [
                Self.event(.create, 10, 1, after: Self.row(1, 1, "one")),
                Self.event(.create, 10, 2, after: Self.row(2, 2, "two")),
            ],
            [
                Self.event(.create, 20, 1, after: Self.row(3, 3, "three")),
                Self.event(.update, 20, 2, after: [.int(3), .int(4), .unchanged]),
                Self.event(.delete, 20, 3, before: Self.key3),
                Self.event(.delete, 20, 4, before: Self.key2),
                Self.event(.update, 20, 5, after: Self.row(1, 5, "five")),
            ])
        #expect(agent.live == ["1 5 \"five\""])
        #expect(agent.steps["rawEvents"] == nil && agent.sum.quarantined == 0)
        #expect(agent.steps["storedRows"] == 1, "what is there of key 3 is looked up, and nothing else")
        #expect(!agent.transaction.committed.states[Self.table, default: .init()].hasMoves)
    }

    /// An old row is deleted, a row inserted under its key, and that one deleted: all without images.
    @Test func aKeyUsedTwiceInOneTransaction() throws {
        let before = [Self.event(.create, 10, 1, after: Self.row(2, 1, "old"))]
        let events = [
            Self.event(.delete, 20, 1, before: Self.key2),
            Self.event(.create, 20, 2, after: Self.row(2, 2, "new")),
            Self.event(.delete, 20, 3, before: Self.key2),
            Self.event(.delete, 20, 4, before: Self.key1, otherKey: Self.key2),
            Self.event(.create, 20, 4, after: [.int(2), .int(1), .text("moved")], otherKey: Self.key1),
        ]
        for cut in 0...5 {
            let agent = Agent()
            try agent.apply(before, Array(events[..<cut]), Array(events[cut...]))
            #expect(agent.live == ["2 1 \"moved\""], "cut at \(cut)")
            #expect(agent.sum.quarantined == 0 && agent.sum.addsUp, "cut at \(cut)")
        }
    }

    /// Without raw the batch is all that is known.
    @Test func withoutRawTheBatchDecides() throws {
        let (before, moves) = Self.chain(hasImages: true)
        let whole = Agent(hasRaw: false)
        try whole.apply(before, moves)
        #expect(whole.live.count == 2 && whole.live.first?.hasPrefix("2 1 ") == true, "\(whole.live)")
        #expect(whole.sum.quarantined == 0)
        let (_, blind) = Self.chain(hasImages: false)
        let agent = Agent(hasRaw: false)
        try agent.apply(before, blind)
        #expect(agent.live.count == 1 && agent.sum.quarantined == 1 && agent.sum.addsUp)
        let plain = Agent(hasRaw: false)
        try plain.apply([
            Self.event(.create, 20, 1, after: Self.row(3, 3, "three")), Self.event(.delete, 20, 3, before: Self.key3),
        ])
        #expect(plain.live.isEmpty && plain.sum.quarantined == 0)
    }

    /// A row that the filter keeps out isn't let in by being spared.
    @Test func aFilteredRowStaysOut() throws {
        let before = [Self.event(.create, 10, 1, after: Self.row(2, 1, "old"))]
        let events = [
            Self.event(.create, 20, 1, after: Self.row(2, 2, "new"), filtered: true),
            Self.event(.delete, 20, 2, before: Self.row(2, 1, "old")),
        ]
        let whole = Agent(isFiltered: true)
        try whole.apply(before, events)
        #expect(whole.live.isEmpty && whole.sum.addsUp && whole.sum.quarantined == 0)
        let halves = Agent(isFiltered: true)
        try halves.apply(before, [events[0]], [events[1]])
        #expect(halves.live.isEmpty && halves.sum.addsUp)
        #expect(halves.sum.quarantined == 1, "what the filter said of a row of another batch isn't known")
    }
}

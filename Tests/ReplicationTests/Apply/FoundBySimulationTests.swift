import Replication
import ReplicationTestKit
import Testing

/// Histories that once ended wrong, as small as they get.
@Suite struct FoundBySimulationTests {
    private static let heap = TableDefinition(
        source: TableID(schema: "public", table: "heap"), target: "heap",
        columns: [Column(name: "v", type: .bigint), Column(name: "w", type: .text)], key: [])

    private static func event(
        _ operation: Operation, _ place: Int64, before: String? = nil, after: String? = nil
    ) -> EventSpec {
        EventSpec(
            operation, heap.source, .change(epoch: 0, commit: 10, place: place),
            before: before.map { [.int(1), .text($0)] }, after: after.map { [.int(1), .text($0)] }, ordinal: place)
    }

    private func apply(
        _ batch: ChangeBatch, of definition: TableDefinition, to transaction: MemoryTransaction = MemoryTransaction()
    ) throws -> (MemoryTables, LedgerEntry) {
        let partition = TopicPartition(topic: "test", partition: 0)
        transaction.amend { all in
            if all.definitions[definition.source] == nil { all.definitions[definition.source] = definition }
            all.checkpoints[partition] = Checkpoint(partition: partition)
        }
        let outcome = try BatchApplier.applyWithRemedies(
            batch,
            advancing: [CheckpointAdvance(partition: partition, from: nil, to: 9, token: 0, spans: [0])],
            layout: WarehouseLayout(pipeline: "test"), in: transaction, loadedAt_us: 1)
        return (transaction.committed, outcome.ledger.reduce(into: LedgerEntry(table: nil)) { $0 += $1 })
    }

    /// The change behind the truncate means the row behind it, not its twin before.
    @Test func aTruncateStandsBetweenTwins() throws {
        let events = [
            Self.event(.create, 1, after: "a"), Self.event(.truncate, 2), Self.event(.create, 3, after: "a"),
            Self.event(.update, 4, before: "a", after: "b"),
        ]
        let (tables, sum) = try apply(BatchBuilder([Self.heap]).batch(events), of: Self.heap)
        #expect(tables.live(Self.heap.source) == [["v": "1", "w": "\"b\""]])
        #expect(sum.addsUp && sum.quarantined == 0)
    }

    /// What is older than the last truncate has nothing left to end.
    @Test func aDeleteFromBeforeATruncateIsSuperseded() throws {
        let transaction = MemoryTransaction()
        _ = try apply(BatchBuilder([Self.heap]).batch([Self.event(.truncate, 5)]), of: Self.heap, to: transaction)
        let late = BatchBuilder([Self.heap]).batch([Self.event(.delete, 4, before: "a")])
        let (_, sum) = try apply(late, of: Self.heap, to: transaction)
        #expect(sum.superseded == 1 && sum.quarantined == 0)
    }

    /// Another agent has made the table, and this one knows its name only.
    @Test func aTruncateOfATableThatOthersMadeIsReadAgain() throws {
        let transaction = MemoryTransaction()
        let made = BatchBuilder([Self.heap]).batch([Self.event(.create, 1, after: "a")])
        _ = try apply(made, of: Self.heap, to: transaction)
        var shapeless = Self.heap
        shapeless.columns = []
        let batch = BatchBuilder([shapeless]).batch([Self.event(.truncate, 2)])
        #expect { try apply(batch, of: shapeless, to: transaction) } throws: {
            ($0 as? ReplicationError)?.kind == .restart
        }
        #expect(transaction.committed.live(Self.heap.source).count == 1)
    }

    /// A second delivery under another schema has another key, and the same id.
    @Test func anEventIsAppliedOnceWhateverItsKey() throws {
        let definition = ModelHistory.definition
        let row = EventSpec(
            .create, definition.source, .change(epoch: 0, commit: 10, place: 1),
            after: [.int(1), .int(1), .text("a")])
        var other = row
        other.after = [.int(2), .int(1), .text("a")]
        let batch = BatchBuilder([definition]).batch([row, other])
        batch.events[1].id = batch.events[0].id
        let (tables, sum) = try apply(batch, of: definition)
        #expect(tables.live(definition.source).count == 1 && tables.raw[definition.source]?.count == 1)
        #expect(sum.duplicate == 1 && sum.addsUp)
    }

    /// A key that is checked at each change holds one row at a time, however little of the transaction has come.
    @Test func immediateKeysAreNeverInDoubt() throws {
        let definition = ModelHistory.definition
        func event(_ operation: Operation, _ place: Int64) -> EventSpec {
            EventSpec(
                operation, definition.source, .change(epoch: 0, commit: 10 + place / 10, place: place),
                before: operation == .delete ? [.int(1), .unchanged, .unchanged] : nil,
                after: operation == .create ? [.int(1), .int(place), .text("\(place)")] : nil,
                transaction: 10 + place / 10)
        }
        // Its truncate is in another partition, and has not come.
        let events = [event(.create, 1), event(.create, 11), event(.delete, 12)]
        for isImmediate in [true, false] {
            let transaction = MemoryTransaction()
            _ = try apply(BatchBuilder([definition]).batch([events[0]]), of: definition, to: transaction)
            let batch = BatchBuilder([definition]).batch(Array(events[1...]))
            if isImmediate { batch.immediateKeys = [0] }
            let (tables, sum) = try apply(batch, of: definition, to: transaction)
            #expect(sum.quarantined == (isImmediate ? 0 : 1))
            if isImmediate { #expect(tables.live(definition.source).isEmpty) }
        }
    }

    /// A row of a table without columns is put aside, and counted.
    @Test func rowsWithoutColumnsAreCounted() throws {
        var shapeless = Self.heap
        shapeless.columns = []
        let event = EventSpec(.create, shapeless.source, .change(epoch: 0, commit: 10, place: 1), after: [])
        let (_, sum) = try apply(BatchBuilder([shapeless]).batch([event]), of: shapeless)
        #expect(sum.read == 1 && sum.quarantined == 1 && sum.addsUp)
    }

    /// A row that moves twice in one transaction takes what it carries from its first key, whose events come one after
    /// the other, and late.
    @Test func aLateValueReachesARowThatMovedTwice() throws {
        let model = ModelHistory.definition
        let transaction = MemoryTransaction()
        func row(_ id: Int64, _ note: Cell) -> [Cell] { [.int(id), .int(1), note] }
        func key(_ id: Int64) -> [Cell] { [.int(id), .unchanged, .unchanged] }
        func move(from: Int64, to: Int64, place: Int64) -> [EventSpec] {
            [
                EventSpec(
                    .delete, model.source, .change(epoch: 0, commit: 30, place: place), before: key(from),
                    otherKey: key(to), transaction: 7),
                EventSpec(
                    .create, model.source, .change(epoch: 0, commit: 30, place: place, createsMovedKey: true),
                    after: row(to, .unchanged), otherKey: key(from), transaction: 7),
            ]
        }
        let first = move(from: 1, to: 2, place: 1)
        let second = move(from: 2, to: 3, place: 2)
        func written(_ operation: Operation, _ commit: Int64, _ note: String) -> EventSpec {
            EventSpec(
                operation, model.source, .change(epoch: 0, commit: commit, place: 1), after: row(1, .text(note)),
                transaction: commit)
        }
        for events in [
            [first[1], second[0]], [second[1]], [written(.create, 10, "old")], [written(.update, 20, "new")],
            [first[0]],
        ] {
            let (_, sum) = try apply(BatchBuilder([model]).batch(events), of: model, to: transaction)
            #expect(sum.addsUp && sum.quarantined == 0)
        }
        #expect(transaction.committed.live(model.source) == [["id": "3", "n": "1", "note": "\"new\""]])
    }
}

import Replication
import ReplicationTestKit
import Testing

/// Rows that are new go into current without being staged; what isn't new after all must end as if they had been.
@Suite struct InsertNewTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()

    private func warehouse(
        _ engine: Engine, _ name: String, hasRaw: Bool = true, insertNew_min: Int = 1
    ) async throws -> Subject {
        let subject = try await engine.warehouse(name, hasRaw: hasRaw, insertNew_min: insertNew_min)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        return subject
    }

    private func row(_ id: Int64, at commit: Int64, note: String = "v") -> EventSpec {
        EventSpec(
            .create, model.source, .change(epoch: 0, commit: commit, place: id),
            after: [.int(id), .int(id), .text(note)],
            transaction: commit)
    }

    @Test(arguments: Engine.stored, [false, true]) func historiesConverge(engine: Engine, deferrable: Bool) async throws
    {
        let shape = ModelHistory.Shape(keys: 12, steps: 40, deferrable: deferrable)
        for seed in UInt64(100)..<110 {
            let history = ModelHistory(seed: seed, shape: shape)
            var random = SeededRandom(seed: seed)
            let orders = [history.events, (history.events + history.events).shuffled(using: &random)]
            for (index, events) in orders.enumerated() {
                let subject = try await warehouse(engine, "new\(deferrable)\(seed)_\(index)".lowercased())
                let sum = try await suite.replicate(suite.cut(events, &random), model, into: subject)
                #expect(try await subject.live(model, order: "id") == history.expected, "seed \(seed), order \(index)")
                #expect(sum.addsUp && sum.read == events.count, "seed \(seed), order \(index)")
                await subject.close()
            }
        }
    }

    /// A batch with new rows and others: each is answered for, the late one as late.
    @Test(arguments: Engine.stored) func newRowsBesideOthers(engine: Engine) async throws {
        let subject = try await warehouse(engine, "newbeside", insertNew_min: 500)
        var update = row(5, at: 40, note: "newer")
        update.operation = .update
        var late = row(6, at: 5, note: "older")
        late.operation = .update
        let sum = try await suite.replicate(
            [
                (1...10).map { row($0, at: 10) },
                (11...900).map { row($0, at: 20) } + [update, late],
                // Again, and one that isn't known yet.
                (11...900).map { row($0, at: 20) } + [row(901, at: 50)],
            ], model, into: subject)
        #expect(sum.addsUp && sum.applied == 902 && sum.superseded == 1 && sum.duplicate == 890)
        let notes = try await subject.warehouse.query(
            "select id, note from newbeside.model where note <> 'v' order by id", rows_max: 10)
        #expect(notes.rows == [["5", "newer"]])
        #expect(try await subject.warehouse.counts(model) == TableCounts(live: 901, deleted: 0, incomplete: 0))
        await subject.close()
    }

    /// Without raw nothing tells that rows come again: the index does.
    @Test(arguments: Engine.stored) func rowsThatAreThereAlreadyAreStaged(engine: Engine) async throws {
        let subject = try await warehouse(engine, "newtwice", hasRaw: false, insertNew_min: 500)
        let rows = (Int64(1)...700).map { row($0, at: 10) }
        let sum = try await suite.replicate(
            [
                rows, rows, (Int64(400)...1000).map { row($0, at: 20, note: "w") },
                (Int64(2000)...2700).map { row($0, at: 30) },
            ],
            model, into: subject)
        #expect(sum.addsUp && sum.applied == 700 + 601 + 701 && sum.superseded == 700)
        #expect(try await subject.warehouse.counts(model) == TableCounts(live: 1701, deleted: 0, incomplete: 0))
        await subject.close()
    }

    @Test func aRefusedValueIsFound() async throws {
        let subject = try await warehouse(.postgres, "newrefused", insertNew_min: 500)
        let rows = (Int64(1)...700).map { row($0, at: 10, note: $0 == 350 ? "nul \u{0}" : "v") }
        let sum = try await suite.replicate([rows], model, into: subject)
        #expect(sum.addsUp && sum.quarantined == 1 && sum.applied == 699)
        #expect(try await subject.warehouse.counts(model) == TableCounts(live: 699, deleted: 0, incomplete: 0))
        await subject.close()
    }

    /// Somebody took the key's index away: a second row of a key would be a duplicate.
    @Test func withoutItsIndexNothingIsInserted() async throws {
        let subject = try await warehouse(.postgres, "newindex", hasRaw: false, insertNew_min: 500)
        try await subject.execute("ALTER TABLE newindex.model DROP CONSTRAINT model_pkey")
        await #expect(throws: ReplicationError.self) {
            _ = try await suite.replicate([(Int64(1)...700).map { row($0, at: 10) }], model, into: subject)
        }
        await subject.close()
    }
}

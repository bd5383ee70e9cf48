import Replication
import ReplicationTestKit
import Testing

/// A held table's current stands still while raw goes on; released, it is as if it had never been held.
@Suite struct HoldTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()

    /// Applies the events, holding and releasing in between as `random` wants it.
    private func replicate(
        _ batches: [[EventSpec]], _ definition: TableDefinition, _ subject: Subject, _ random: inout SeededRandom
    ) async throws -> (sum: LedgerEntry, deferred: Int) {
        var released = LedgerEntry(table: definition.source)
        var choices = (0..<batches.count).map { _ in (random.below(4), 1 + random.below(9)) }
        choices[0] = (0, 1)
        let warehouse = subject.warehouse
        var sum = try await suite.replicate(batches, definition, into: subject) { index in
            let (choice, limit) = choices[index]
            if choice == 0 { try await warehouse.hold([definition.source], .paused, reason: "a test's") }
            if choice == 1 {
                let step = try await warehouse.release(definition, .paused, limit: limit)
                for entry in step.outcome.ledger { released += entry }
            }
        }
        let deferred = sum.deferred
        while true {
            let step = try await warehouse.release(definition, .paused, limit: 7)
            for entry in step.outcome.ledger { released += entry }
            if step.isDone { break }
        }
        sum += released
        return (sum, deferred)
    }

    @Test(arguments: Engine.allCases, [false, true])
    func historiesThatAreHeldEndAlike(engine: Engine, deferrable: Bool) async throws {
        let shape = deferrable ? ModelHistory.Shape(keys: 5, steps: 40, deferrable: true) : .init()
        var deferred = 0
        for seed in UInt64(0)..<8 {
            let history = ModelHistory(seed: seed, shape: shape)
            var random = SeededRandom(seed: seed &+ 77)
            var reference: [[String?]]?
            for (order, events) in [
                history.events, history.events, (history.events + history.events).shuffled(using: &random),
            ].enumerated() {
                let subject = try await engine.warehouse("held\(deferrable)\(seed)_\(order)".lowercased())
                try await subject.warehouse.open(readOnly: false)
                try await subject.warehouse.ensure([model])
                let batches = suite.cut(events, &random)
                if order == 0 {
                    _ = try await suite.replicate(batches, model, into: subject)
                } else {
                    let found = try await replicate(batches, model, subject, &random)
                    deferred += found.deferred
                    #expect(found.sum.addsUp && found.sum.deferred == 0 && found.sum.read == events.count)
                    let stored = try await subject.warehouse.ledger().tables.first { $0.table == model.source }
                    #expect(stored?.deferred == 0 && stored?.applied == found.sum.applied)
                    #expect(try await subject.warehouse.holds().isEmpty)
                }
                let note = "\(engine), seed \(seed), order \(order)"
                #expect(try await subject.live(model, order: "id") == history.expected, "\(note)")
                let versions = try await subject.versions(model, key: "id")
                #expect(versions == reference ?? versions, "\(note): versions")
                reference = reference ?? versions
                let raw = try await subject.rawCount(model)
                #expect(raw.rows == history.events.count && raw.events == raw.rows, "\(note): raw")
                await subject.close()
            }
        }
        #expect(deferred > 100)
    }

    @Test(arguments: Engine.allCases) func currentStandsStillMeanwhile(engine: Engine) async throws {
        let subject = try await engine.warehouse("still")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: 1) }
        func row(_ commit: Int64, _ n: Int64) -> EventSpec {
            EventSpec(commit == 1 ? .create : .update, model.source, version(commit), after: [.int(1), .int(n), .null])
        }
        _ = try await suite.replicate([[row(1, 1)]], model, into: subject)
        try await subject.warehouse.hold([model.source], .paused, reason: "why not")
        try await subject.warehouse.hold([model.source], .paused, reason: "again")
        try await subject.warehouse.hold([model.source], .restored, reason: "another")
        #expect(try await subject.warehouse.holds().map(\.reason) == ["why not", "another"])
        let sum = try await suite.replicate([[row(2, 2)], [row(2, 2), row(3, 3)]], model, into: subject)
        #expect(sum.deferred == 2 && sum.duplicate == 1 && sum.addsUp, "\(engine)")
        let still = [["id": "1", "n": "1", "note": "null"]]
        #expect(try await subject.live(model, order: "id") == still, "\(engine)")
        // One hold of two: nothing moves yet.
        var step = try await subject.warehouse.release(model, .paused)
        #expect(step.isDone && step.count == 0)
        #expect(try await subject.live(model, order: "id") == still, "\(engine)")
        step = try await subject.warehouse.release(model, .paused)
        #expect(step.isDone && step.count == 0, "a hold that isn't there is done")
        step = try await subject.warehouse.release(model, .restored, limit: 1)
        #expect(!step.isDone && step.count == 1)
        #expect(try await subject.live(model, order: "id") == [["id": "1", "n": "2", "note": "null"]], "\(engine)")
        step = try await subject.warehouse.release(model, .restored)
        #expect(step.isDone && step.count == 1 && step.outcome.ledger.first?.applied == 1)
        #expect(try await subject.live(model, order: "id") == [["id": "1", "n": "3", "note": "null"]], "\(engine)")
        await subject.close()
    }

    /// To go on would lose it under a ledger that adds up.
    @Test(arguments: [Engine.duckdb, .postgres]) func aReleaseStopsWhereRawLacksAnEvent(engine: Engine) async throws {
        let subject = try await engine.warehouse("heldlacks")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        try await subject.warehouse.hold([model.source], .paused, reason: "a test's")
        func row(_ id: Int64) -> EventSpec {
            EventSpec(
                .create, model.source, .change(epoch: 0, commit: id, place: 1), after: [.int(id), .int(1), .null])
        }
        _ = try await suite.replicate([[row(1), row(2)]], model, into: subject)
        try await subject.execute("delete from \"\(subject.layout.raw)\".\"\(model.target)\" where _version_commit = 1")
        await #expect { try await subject.warehouse.release(model, .paused) } throws: {
            ($0 as? ReplicationError)?.message.contains("raw lacks an event") == true
        }
        #expect(try await subject.warehouse.holds().count == 1, "\(engine)")
        #expect(try await subject.live(model, order: "id").isEmpty, "\(engine)")
        await subject.close()
    }

    /// Twins, ends that come before what they end, a truncate, and an end without a row.
    @Test(arguments: Engine.allCases) func keylessTablesAreHeldToo(engine: Engine) async throws {
        let table = TableID(schema: "public", table: "heldlog")
        let definition = TableDefinition(
            source: table, target: "heldlog",
            columns: [
                Column(name: "a", type: .bigint), Column(name: "b", type: .text), Column(name: "c", type: .double),
                Column(name: "d", type: .jsonb), Column(name: "e", type: .boolean),
            ], key: [])
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: commit) }
        let twin: [Cell] = [.int(1), .text("twin \"ü\" \\"), .null, .json("{\"k\":[1,null]}"), .bool(true)]
        let other: [Cell] = [.int(-9), .text(""), .null, .null, .bool(false)]
        let events = [
            EventSpec(.create, table, version(1), after: other),
            EventSpec(.truncate, table, version(2)),
            EventSpec(.create, table, version(3), after: twin, ordinal: 0),
            EventSpec(.create, table, version(3), after: twin, ordinal: 1),
            EventSpec(.create, table, version(4), after: twin),
            EventSpec(.delete, table, version(5), before: twin),
            EventSpec(.update, table, version(6), before: twin, after: other),
            EventSpec(.delete, table, version(7), before: [.int(77), .null, .null, .null, .null]),
        ]
        for (name, batches, limit) in [("whole", [events], 100), ("single", events.map { [$0] }, 1)] {
            let subject = try await engine.warehouse("heldlog_\(name)")
            try await subject.warehouse.open(readOnly: false)
            try await subject.warehouse.ensure([definition])
            try await subject.warehouse.hold([table], .paused, reason: "a test's")
            var sum = try await suite.replicate(batches, definition, into: subject)
            #expect(sum.deferred == events.count, "\(engine), \(name)")
            #expect(try await subject.live(definition, order: "a").isEmpty)
            while true {
                let step = try await subject.warehouse.release(definition, .paused, limit: limit)
                for entry in step.outcome.ledger { sum += entry }
                if step.isDone { break }
            }
            #expect(sum.addsUp && sum.deferred == 0 && sum.quarantined == 1, "\(engine), \(name): \(sum)")
            let live = try await subject.live(definition, order: "a").map { $0["b"] ?? "" }.sorted()
            #expect(live == ["\"\"", "\"twin \\\"ü\\\" \\\\\""], "\(engine), \(name)")
            sum = try await suite.replicate([events], definition, into: subject)
            #expect(sum.duplicate == events.count, "\(engine), \(name): a replay changes nothing")
            await subject.close()
        }
    }

    /// Keys that one engine calls equal and another doesn't, and the two nulls of JSON, in the forms of both decoders.
    @Test(arguments: Engine.allCases) func keysAndNullsAreAsTheyWere(engine: Engine) async throws {
        let table = TableID(schema: "public", table: "heldkeys")
        let definition = TableDefinition(
            source: table, target: "heldkeys",
            columns: [
                Column(name: "id", type: .numeric(precision: nil, scale: 0), isKey: true),
                Column(name: "j", type: .json),
                Column(name: "k", type: .jsonb),
            ], key: [0])
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: 1) }
        let moved = version(20)
        let events = [
            EventSpec(.create, table, version(10), after: [.text("1.0"), .json("null"), .null]),
            EventSpec(.create, table, version(11), after: [.text("2"), .null, .text(" null ")]),
            EventSpec(
                .delete, table, moved, before: [.text("1.0"), .absent, .absent],
                otherKey: [.text("1.00"), .null, .null]),
            EventSpec(
                .create, table, .change(epoch: 0, commit: 20, place: 1, createsMovedKey: true),
                after: [.text("1.00"), .json("null"), .null], otherKey: [.text("1.0"), .null, .null]),
        ]
        var reference: [[String: String]]?
        for isHeld in [false, true] {
            let subject = try await engine.warehouse("heldkeys\(isHeld)".lowercased())
            try await subject.warehouse.open(readOnly: false)
            try await subject.warehouse.ensure([definition])
            if isHeld { try await subject.warehouse.hold([table], .paused, reason: "a test's") }
            var sum = try await suite.replicate([events], definition, into: subject)
            if isHeld {
                let step = try await subject.warehouse.release(definition, .paused)
                for entry in step.outcome.ledger { sum += entry }
            }
            #expect(sum.addsUp && sum.deferred == 0 && sum.quarantined == 0, "\(engine): \(sum)")
            let live: [[String: String]]
            if engine == .memory {
                live = try await subject.live(definition, order: "id").map { row in
                    row.mapValues { $0.filter { $0 != " " } }
                }
            } else {
                let rows = try await subject.warehouse.query(
                    """
                    select id::text, case when j is null then 'NULL' else trim(j::text) end, \
                    case when k is null then 'NULL' else trim(k::text) end \
                    from "\(subject.layout.live)"."heldkeys" order by 1
                    """, rows_max: 10
                ).rows
                live = rows.map { ["id": $0[0] ?? "", "j": $0[1] ?? "", "k": $0[2] ?? ""] }
                #expect(
                    live.map { $0["j"] } == ["null", "NULL"] && live.map { $0["k"] } == ["NULL", "null"], "\(live)")
            }
            #expect(live.count == 2, "\(engine): \(live)")
            #expect(live == reference ?? live, "\(engine)")
            reference = reference ?? live
            await subject.close()
        }
    }

    /// What the engine refuses at the release is put aside, and stands in nobody's way.
    @Test(arguments: Engine.allCases) func aRefusedValueDoesNotStopARelease(engine: Engine) async throws {
        let subject = try await engine.warehouse("heldrefused")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        try await subject.warehouse.hold([model.source], .paused, reason: "a test's")
        func version(_ place: Int64) -> Version { .change(epoch: 0, commit: 20, place: place) }
        let events = (1...9).map { id in
            EventSpec(
                .create, model.source, version(Int64(id)),
                after: [.int(Int64(id)), .int(1), id == 5 ? .text("nul \u{0}") : .text("fine")])
        }
        var sum = try await suite.replicate([events], model, into: subject)
        let step = try await subject.warehouse.release(model, .paused)
        for entry in step.outcome.ledger { sum += entry }
        let refused = engine == .postgres ? 1 : 0
        #expect(step.isDone && sum.addsUp && sum.deferred == 0 && sum.quarantined == refused, "\(engine): \(sum)")
        #expect(try await subject.live(model, order: "id").count == 9 - refused)
        #expect(try await subject.warehouse.quarantine().count == refused)
        await subject.close()
    }
}

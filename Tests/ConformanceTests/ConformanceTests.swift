import Replication
import ReplicationTestKit
import Testing

/// What every warehouse must do, the in-memory one included.
@Suite struct ConformanceTests {
    private let model = ModelHistory.definition

    /// Applies cut events, batch after batch, from a fresh claim on.
    func replicate(
        _ batches: [[EventSpec]], _ definition: TableDefinition, into subject: Subject,
        after: (Int) async throws -> Void = { _ in }
    ) async throws -> LedgerEntry {
        let partition = TopicPartition(topic: "model", partition: 0)
        let claim = try await subject.warehouse.claim([partition], owner: "test")[0]
        var builder = BatchBuilder([definition])
        builder.partition = partition
        var position = claim.position
        var sum = LedgerEntry(table: nil)
        for (index, events) in batches.enumerated() {
            let from = position ?? 0
            let to = from + Int64(events.count)
            let batch = builder.batch(events, from: from)
            // As the runner does while the batch before is written.
            if index % 2 == 0 { batch.coalesceAhead() }
            let outcome = try await subject.warehouse.apply(
                batch,
                advancing: [
                    CheckpointAdvance(partition: partition, from: position, to: to, token: claim.token, spans: [0])
                ])
            position = to
            for entry in outcome.ledger { sum += entry }
            try await after(index)
        }
        return sum
    }

    func cut(_ events: [EventSpec], _ random: inout SeededRandom) -> [[EventSpec]] {
        var batches: [[EventSpec]] = []
        var at = 0
        while at < events.count {
            let size = 1 + random.below(12)
            batches.append(Array(events[at..<min(at + size, events.count)]))
            at += size
        }
        return batches
    }

    @Test(arguments: Engine.allCases) func historiesConverge(engine: Engine) async throws {
        for seed in UInt64(0)..<12 { try await converges(engine, seed, ModelHistory(seed: seed), "conf") }
    }

    /// Several rows have one key inside of a transaction.
    @Test(arguments: Engine.allCases) func historiesOfDeferrableKeysConverge(engine: Engine) async throws {
        let shape = ModelHistory.Shape(keys: 5, steps: 40, deferrable: true)
        for seed in UInt64(0)..<8 { try await converges(engine, seed, ModelHistory(seed: seed, shape: shape), "defer") }
    }

    private func converges(_ engine: Engine, _ seed: UInt64, _ history: ModelHistory, _ pipeline: String) async throws {
        var random = SeededRandom(seed: seed &+ 1)
        let orders: [(String, [EventSpec])] = [
            ("in order", history.events),
            ("shuffled", history.events.shuffled(using: &random)),
            ("doubled and shuffled", (history.events + history.events).shuffled(using: &random)),
        ]
        var reference: [[String?]]?
        for (index, (name, events)) in orders.enumerated() {
            let subject = try await engine.warehouse("\(pipeline)\(seed)_\(index)")
            try await subject.warehouse.open(readOnly: false)
            try await subject.warehouse.ensure([model])
            let sum = try await replicate(cut(events, &random), model, into: subject)
            let live = try await subject.live(model, order: "id")
            #expect(live == history.expected, "\(engine), seed \(seed), \(name)")
            let versions = try await subject.versions(model, key: "id")
            #expect(versions == reference ?? versions, "\(engine), seed \(seed), \(name): versions")
            reference = reference ?? versions
            let raw = try await subject.rawCount(model)
            #expect(
                raw.rows == history.events.count && raw.events == raw.rows, "\(engine), seed \(seed), \(name): raw")
            #expect(sum.addsUp && sum.read == events.count)
            let stored = try await subject.warehouse.ledger().tables.first { $0.table == model.source }
            #expect(stored?.read == sum.read && stored?.applied == sum.applied, "the stored ledger is the one told")
            await subject.close()
        }
    }

    /// Only its name is known of a table when its truncate comes: the truncate is in raw, and known when it comes again.
    @Test(arguments: Engine.allCases) func aTruncateComesBeforeAnyRow(engine: Engine) async throws {
        let unseen = TableDefinition(source: model.source, target: model.target, columns: [], key: [])
        let subject = try await engine.warehouse("unseen")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([unseen])
        try await subject.warehouse.ensure([unseen])
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: 1) }
        let truncate = EventSpec(.truncate, model.source, version(20))
        var sum = try await replicate([[truncate, truncate]], unseen, into: subject)
        #expect(sum.applied == 1 && sum.duplicate == 1 && sum.addsUp, "\(engine)")
        sum = try await replicate([[truncate], [truncate]], unseen, into: subject)
        #expect(sum.duplicate == 2 && sum.addsUp, "\(engine): it is known when it comes again")
        var raw = try await subject.rawCount(unseen)
        #expect(raw.rows == 1 && raw.events == 1, "\(engine)")

        try await subject.warehouse.ensure([model])
        let late = EventSpec(.create, model.source, version(10), after: [.int(1), .int(1), .text("before")])
        let new = EventSpec(.create, model.source, version(30), after: [.int(2), .int(2), .text("after")])
        sum = try await replicate([[late, new], [truncate, late, new]], model, into: subject)
        #expect(sum.duplicate == 3 && sum.addsUp, "\(engine)")
        #expect(
            try await subject.live(model, order: "id") == [["id": "2", "n": "2", "note": "\"after\""]],
            "\(engine): the floor holds")
        raw = try await subject.rawCount(model)
        #expect(raw.rows == 3 && raw.events == 3, "\(engine)")
        #expect(try await subject.warehouse.counts(model) == TableCounts(live: 1, deleted: 1, incomplete: 0))
        if engine != .memory {
            let states = try await subject.warehouse.query(
                "select count(*) from \"\(subject.layout.history)\".\"\(model.target)\"", rows_max: 1)
            #expect(states.rows == [["2"]], "\(engine): the history view is there")
        }
        await subject.close()
    }

    /// Postgres takes no NUL in a text. The create goes to quarantine; the delete's before-image has the value too, and
    /// of that only the key is needed.
    @Test(arguments: Engine.allCases) func aRefusedValueInABeforeImageIsInNobodysWay(engine: Engine) async throws {
        let subject = try await engine.warehouse("refused")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        func version(_ place: Int64) -> Version { .change(epoch: 0, commit: 20, place: place) }
        let row: [Cell] = [.int(1), .int(1), .text("nul \u{0}")]
        let sum = try await replicate(
            [
                [
                    EventSpec(.create, model.source, version(1), after: row, transaction: 7),
                    EventSpec(.delete, model.source, version(2), before: row, transaction: 7),
                ]
            ], model, into: subject)
        #expect(sum.addsUp && sum.quarantined == (engine == .postgres ? 1 : 0), "\(engine)")
        #expect(try await subject.warehouse.counts(model) == TableCounts(live: 0, deleted: 1, incomplete: 0))
        await subject.close()
    }

    @Test(arguments: Engine.allCases) func withoutRawRowsConverge(engine: Engine) async throws {
        for seed in UInt64(0)..<6 {
            let history = ModelHistory(seed: seed, shape: .init(moves: false))
            var random = SeededRandom(seed: seed &+ 9)
            let subject = try await engine.warehouse("noraw\(seed)", hasRaw: false)
            try await subject.warehouse.open(readOnly: false)
            try await subject.warehouse.ensure([model])
            let sum = try await replicate(
                cut((history.events + history.events).shuffled(using: &random), &random), model, into: subject)
            #expect(try await subject.live(model, order: "id") == history.expected, "\(engine), seed \(seed)")
            #expect(sum.addsUp)
            await subject.close()
        }
    }

    @Test(arguments: Engine.allCases) func anotherClaimFencesTheFirst(engine: Engine) async throws {
        let subject = try await engine.warehouse("fence")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        let partition = TopicPartition(topic: "model", partition: 0)
        let first = try await subject.warehouse.claim([partition], owner: "first")[0]
        let second = try await subject.warehouse.claim([partition], owner: "second")[0]
        #expect(second.token > first.token)
        let events = ModelHistory(seed: 1).events
        var builder = BatchBuilder([model])
        builder.partition = partition
        let advance = CheckpointAdvance(
            partition: partition, from: nil, to: Int64(events.count), token: first.token, spans: [0])
        await #expect { try await subject.warehouse.apply(builder.batch(events), advancing: [advance]) } throws: {
            ($0 as? ReplicationError)?.kind == .fenced
        }
        #expect(try await subject.live(model, order: "id").isEmpty, "nothing of a fenced batch is written")
        #expect(try await subject.rawCount(model).rows == 0)
        var right = advance
        right.token = second.token
        _ = try await subject.warehouse.apply(builder.batch(events), advancing: [right])
        // The position moved on, so the same batch again is refused too.
        await #expect { try await subject.warehouse.apply(builder.batch(events), advancing: [right]) } throws: {
            ($0 as? ReplicationError)?.kind == .fenced
        }
        await subject.close()
    }

    @Test(arguments: Engine.allCases) func checkpointsComeBack(engine: Engine) async throws {
        let subject = try await engine.warehouse("back")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        let partition = TopicPartition(topic: "model \"odd\"; name", partition: 7)
        let claim = try await subject.warehouse.claim([partition], owner: "test")[0]
        #expect(claim.position == nil)
        let events = ModelHistory(seed: 3).events
        var builder = BatchBuilder([model])
        builder.partition = partition
        _ = try await subject.warehouse.apply(
            builder.batch(events),
            advancing: [
                CheckpointAdvance(
                    partition: partition, from: nil, to: 41, token: claim.token, lastOffset: 40, lastHash: "h",
                    decoderState: "{\"a\":[1]}", spans: [0])
            ])
        let stored = try await subject.warehouse.checkpoints().first { $0.partition == partition }
        #expect(stored?.position == 41)
        #expect(stored?.lastOffset == 40 && stored?.lastHash == "h" && stored?.decoderState == "{\"a\":[1]}")
        #expect(stored?.marks[model.source] == events.map(\.version).max())
        try await subject.warehouse.set(positions: [partition: 10])
        let again = try await subject.warehouse.claim([partition], owner: "test")[0]
        #expect(again.position == 10)
        #expect(again.token > claim.token + 1, "setting a position fences whoever runs")
        #expect(again.marks[model.source] == events.map(\.version).max(), "what is read again is known as such")
        let known = try await subject.warehouse.knownTables()
        #expect(known == [model])
        await subject.close()
    }

    @Test(arguments: Engine.allCases) func keylessTablesAreMultisets(engine: Engine) async throws {
        let table = TableID(schema: "public", table: "keyless")
        let definition = TableDefinition(
            source: table, target: "keyless",
            columns: [Column(name: "a", type: .bigint), Column(name: "b", type: .text)],
            key: [])
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: commit) }
        let twin: [Cell] = [.int(1), .text("twin")]
        let events = [
            EventSpec(.create, table, version(1), after: twin, ordinal: 0),
            EventSpec(.create, table, version(1), after: twin, ordinal: 1),
            EventSpec(.create, table, version(2), after: twin, ordinal: 0),
            EventSpec(.create, table, version(3), after: [.int(2), .null]),
            EventSpec(.delete, table, version(4), before: twin),
            EventSpec(.update, table, version(5), before: twin, after: [.int(9), .text("was a twin")]),
            EventSpec(.delete, table, version(6), before: [.int(77), .text("never seen")]),
        ]
        for (name, batches) in [("whole", [events]), ("one by one", events.map { [$0] })] {
            let subject = try await engine.warehouse("keyless_\(name.filter(\.isLetter))")
            try await subject.warehouse.open(readOnly: false)
            try await subject.warehouse.ensure([definition])
            var sum = try await replicate(batches, definition, into: subject)
            let expected: [[String: String]] = [
                ["a": "1", "b": "\"twin\""], ["a": "2", "b": "null"], ["a": "9", "b": "\"was a twin\""],
            ]
            var live = try await subject.live(definition, order: "a")
            live.sort { ($0["a"] ?? "") < ($1["a"] ?? "") }
            #expect(live == expected, "\(engine), \(name)")
            #expect(sum.addsUp && sum.quarantined == 1, "an end without a row is put aside: \(engine), \(name)")
            sum = try await replicate([events], definition, into: subject)
            #expect(sum.duplicate == events.count, "\(engine), \(name): a replay changes nothing")
            live = try await subject.live(definition, order: "a")
            live.sort { ($0["a"] ?? "") < ($1["a"] ?? "") }
            #expect(live == expected, "\(engine), \(name): replayed")
            await subject.close()
        }
    }

    @Test(arguments: Engine.allCases) func columnsAreAdded(engine: Engine) async throws {
        let subject = try await engine.warehouse("widen")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        let history = ModelHistory(seed: 4, shape: .init(truncates: false))
        _ = try await replicate([history.events], model, into: subject)
        var wider = model
        wider.columns.append(Column(name: "extra \"quoted\"", type: .integer))
        try await subject.warehouse.ensure([wider])
        try await subject.warehouse.ensure([wider])
        let version = Version.change(epoch: 0, commit: 1_000_000, place: 1)
        _ = try await replicate(
            [[EventSpec(.create, model.source, version, after: [.int(1000), .int(1), .null, .int(5)])]], wider,
            into: subject)
        #expect(try await subject.warehouse.knownTables() == [wider])
        let counts = try await subject.warehouse.counts(wider)
        #expect(counts.live == history.rows.count + 1)
        await subject.close()
    }
}

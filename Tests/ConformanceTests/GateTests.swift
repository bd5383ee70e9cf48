import Replication
import ReplicationTestKit
import Testing

/// Rows that aren't as expected don't come into current: the table is held, or they are put aside. However the events are cut
/// into batches, the verdicts are the same; released or replayed, it is as if there had been no gate.
@Suite struct GateTests {
    private let model = ModelHistory.definition
    private let shape = ModelHistory.Shape(keys: 5, steps: 60)

    /// A history as its source transactions.
    private func transactions(_ history: ModelHistory) -> [[EventSpec]] {
        var all: [[EventSpec]] = []
        for event in history.events {
            if let last = all.last?.last, last.transaction == event.transaction {
                all[all.count - 1].append(event)
            } else {
                all.append([event])
            }
        }
        return all
    }

    /// `n` of some rows, and notes that aren't there.
    private func rules(_ onFail: Expectation.OnFail, _ numbers: [Int]) -> [Expectation] {
        [
            Expectation(.set("n", values: numbers.map(String.init), isIn: false), onFail: onFail, origin: "a"),
            Expectation(.notNull("note"), onFail: onFail, origin: "b"),
            // Of values that later events of the row leave out.
            Expectation(.set("note", values: Self.badNotes, isIn: false), onFail: onFail, origin: "c"),
        ]
    }

    private static let badNotes = [6, 17, 28, 34].map { "note \($0)" }

    private static func isBad(_ row: (n: Int64, note: String?), _ numbers: [Int]) -> Bool {
        numbers.contains(Int(row.n)) || row.note.map { badNotes.contains($0) } ?? true
    }

    private func gate(_ rules: [Expectation]) -> @Sendable (TableDefinition) -> TableGate? {
        { TableGate(rules, of: $0) }
    }

    private final class Feed {
        let warehouse: any Warehouse
        let gate: @Sendable (TableDefinition) -> TableGate?
        let definition: TableDefinition
        let partition = TopicPartition(topic: "model", partition: 0)
        private var token: Int64 = 0
        private var position: Int64?
        var sum = LedgerEntry(table: nil)
        var counts: [GateCount] = []

        init(
            _ warehouse: any Warehouse, _ definition: TableDefinition,
            _ gate: @escaping @Sendable (TableDefinition) -> TableGate?
        ) async throws {
            self.warehouse = warehouse
            self.definition = definition
            self.gate = gate
            let claim = try await warehouse.claim([partition], owner: "test")[0]
            (token, position) = (claim.token, claim.position)
        }

        /// In so many parts, one source transaction then.
        func apply(_ events: [EventSpec], parts: Int = 1) async throws {
            // What has to come again comes again.
            for _ in 0..<5 {
                do {
                    try await tryApply(events, parts)
                    return
                } catch let error as ReplicationError where error.kind == .restart {}
            }
            throw ReplicationError(.permanent, "it has to come again without end")
        }

        private func tryApply(_ events: [EventSpec], _ parts: Int) async throws {
            var builder = BatchBuilder([definition])
            builder.partition = partition
            let start = position ?? 0
            let size = (events.count + parts - 1) / parts
            let cut = stride(from: 0, to: events.count, by: size).map {
                Array(events[$0..<min($0 + size, events.count)])
            }
            var from = start
            for (index, some) in cut.enumerated() {
                let batch = builder.batch(some, from: from)
                // As of a source whose key isn't deferrable.
                batch.immediateKeys = definition.isKeyless ? [] : [0]
                var desk = RowDesk()
                if let gate = gate(definition) {
                    batch.findings[0] = gate.judge(
                        batch, batch.events.indices.map(Int32.init), byTransaction: true, &desk)
                }
                let part: BatchPart =
                    cut.count == 1 ? .whole : index == 0 ? .first : index == cut.count - 1 ? .last : .middle
                from += Int64(some.count)
                let outcome = try await warehouse.apply(
                    batch,
                    advancing: [
                        CheckpointAdvance(partition: partition, from: position, to: from, token: token, spans: [0])
                    ], part: part, probesAll: false)
                guard part.isLast else { continue }
                position = from
                for entry in outcome.ledger { sum += entry }
                counts += outcome.gates
            }
        }

        /// - Parameter look: at what is there behind each step.
        func release(
            _ kind: TableHold.Kind, _ options: ReleaseOptions, _ look: () async throws -> Void = {}
        ) async throws -> ReleaseStep {
            while true {
                let step = try await warehouse.release(definition, kind, options)
                for entry in step.outcome.ledger { sum += entry }
                try await look()
                if step.isDone { return step }
            }
        }
    }

    private func options(_ gate: @escaping @Sendable (TableDefinition) -> TableGate?, limit: Int = 7) -> ReleaseOptions
    {
        var options = ReleaseOptions(limit: limit)
        options.gate = gate
        return options
    }

    /// Whole transactions by chance, some of them in parts.
    private func feed(_ transactions: [[EventSpec]], _ feed: Feed, _ random: inout SeededRandom) async throws {
        var at = 0
        while at < transactions.count {
            if random.chance(30) {
                try await feed.apply(transactions[at], parts: 1 + random.below(3))
                at += 1
            } else {
                let end = min(at + 1 + random.below(5), transactions.count)
                try await feed.apply(Array(transactions[at..<end].joined()))
                at = end
            }
        }
    }

    private func model(_ rows: [Int64: (n: Int64, note: String?)]) -> [[String: String]] {
        rows.sorted { $0.key < $1.key }.map {
            ["id": "\($0.key)", "n": "\($0.value.n)", "note": $0.value.note.map { JSONText.quoted($0) } ?? "null"]
        }
    }

    /// Rows at the source behind each transaction.
    private func states(_ transactions: [[EventSpec]]) -> [[Int64: (n: Int64, note: String?)]] {
        var rows: [Int64: (n: Int64, note: String?)] = [:]
        var all: [[Int64: (n: Int64, note: String?)]] = []
        func id(_ cells: [Cell]?) -> Int64 { if case .int(let id)? = cells?[0] { id } else { -1 } }
        for events in transactions {
            for event in events {
                switch event.operation {
                case .truncate: rows = [:]
                case .delete: if event.otherKey == nil { rows[id(event.before)] = nil }
                default:
                    let own = id(event.after)
                    var row: (n: Int64, note: String?) = (0, nil)
                    if case .int(let n)? = event.after?[1] { row.n = n }
                    switch event.after?[2] {
                    case .text(let text)?: row.note = text
                    case .unchanged?: row.note = rows[event.otherKey == nil ? own : id(event.otherKey)]?.note
                    default: break
                    }
                    if let other = event.otherKey { rows[id(other)] = nil }
                    rows[own] = row
                }
            }
            all.append(rows)
        }
        return all
    }

    @Test(arguments: Engine.allCases) func aHeldTableStandsAtItsLastGoodVersion(engine: Engine) async throws {
        var (heldTimes, mendedTimes) = (0, 0)
        for seed in UInt64(0)..<6 {
            let history = ModelHistory(seed: seed, shape: shape)
            let transactions = transactions(history)
            let states = states(transactions)
            #expect(model(states.last ?? [:]) == history.expected, "the model itself")
            let numbers = [20 + Int(seed), 31]
            let rules = rules(.hold, numbers)
            let isBad: ((n: Int64, note: String?)) -> Bool = { Self.isBad($0, numbers) }
            // Rows stay as they were before the first transaction that leaves one that isn't as expected.
            let first = states.indices.first { index in
                states[index].contains { id, row in
                    let before = index > 0 ? states[index - 1][id] : nil
                    return isBad(row) && (before == nil || before! != row)
                }
            }
            let good = first.map { $0 > 0 ? states[$0 - 1] : [:] } ?? states.last ?? [:]
            for cut in 0..<3 {
                let note = "\(engine), seed \(seed), cut \(cut)"
                let subject = try await engine.warehouse("gatehold\(seed)_\(cut)")
                try await subject.warehouse.open(readOnly: false)
                try await subject.warehouse.ensure([model])
                var random = SeededRandom(seed: seed &* 31 &+ UInt64(cut))
                let feed = try await Feed(subject.warehouse, model, gate(rules))
                try await self.feed(transactions, feed, &random)
                #expect(try await subject.live(model, order: "id") == model(good), "\(note): where it stands")
                let holds = try await subject.warehouse.holds()
                #expect(holds.map(\.kind) == (first == nil ? [] : [.quality]), "\(note): \(holds)")
                #expect(feed.sum.addsUp && feed.sum.read == history.events.count, "\(note)")
                if first != nil {
                    heldTimes += 1
                    #expect(holds.first?.reason.contains(" fails in ") == true, "\(holds)")
                    let allGood = [[]] + states.filter { !$0.values.contains(where: isBad) }.map(model)
                    let again = try await feed.release(.quality, options(gate(rules), limit: 3)) {
                        let live = try await subject.live(model, order: "id")
                        #expect(
                            allGood.contains(live),
                            "\(note): a state that the source never had, or one that fails: \(live)")
                    }
                    if states.last?.values.contains(where: isBad) == true {
                        // Not before all was mended.
                        #expect(again.closed != nil, "\(note): \(again)")
                        let step = try await feed.release(.quality, options { _ in nil })
                        #expect(step.closed == nil, "\(note)")
                    } else {
                        // The source has set it right by itself.
                        mendedTimes += 1
                        #expect(again.closed == nil, "\(note): \(again)")
                    }
                }
                #expect(try await subject.warehouse.holds().isEmpty, "\(note)")
                #expect(try await subject.live(model, order: "id") == history.expected, "\(note): at the end")
                let stored = try await subject.warehouse.ledger().tables.first { $0.table == model.source }
                #expect(stored?.addsUp == true && stored?.deferred == 0 && stored?.quarantined == 0, "\(note)")
                await subject.close()
            }
        }
        #expect(heldTimes > 9 && mendedTimes > 0 && mendedTimes < heldTimes, "\(heldTimes), \(mendedTimes)")
    }

    @Test(arguments: Engine.allCases) func rowsThatArePutAsideAreNeverMixed(engine: Engine) async throws {
        var asides = 0
        for seed in UInt64(0)..<6 {
            let history = ModelHistory(seed: seed, shape: shape)
            let transactions = transactions(history)
            let states = states(transactions)
            let numbers = [12, 20 + Int(seed), 31, 40]
            let isBad: ((n: Int64, note: String?)) -> Bool = { Self.isBad($0, numbers) }
            var reference: [[String: String]]?
            for cut in 0..<4 {
                let note = "\(engine), seed \(seed), cut \(cut)"
                let subject = try await engine.warehouse("gateaside\(seed)_\(cut)")
                try await subject.warehouse.open(readOnly: false)
                try await subject.warehouse.ensure([model])
                var random = SeededRandom(seed: seed &* 31 &+ UInt64(cut))
                // The last one is held first, and its rows are put aside by the release.
                let isReleased = cut == 3
                let rules = rules(isReleased ? .hold : .quarantineRow, numbers)
                let feed = try await Feed(subject.warehouse, model, gate(rules))
                try await self.feed(transactions, feed, &random)
                if isReleased, try await !subject.warehouse.holds().isEmpty {
                    var options = options(gate(rules))
                    options.quarantinesAll = true
                    let step = try await feed.release(.quality, options)
                    #expect(step.closed == nil, "\(note)")
                }
                #expect(try await subject.warehouse.holds().isEmpty, "\(note)")
                let live = try await subject.live(model, order: "id")
                #expect(live == reference ?? live, "\(note): another cut has other rows")
                reference = reference ?? live
                func check(_ live: [[String: String]], _ note: String) {
                    for row in live {
                        let was = states.contains { state in
                            guard let id = row["id"].flatMap({ Int64($0) }), let found = state[id] else { return false }
                            return model([id: found]) == [row] && !isBad(found)
                        }
                        #expect(was, "\(note): \(row) was never so at the source, or isn't as expected")
                    }
                }
                check(live, note)
                let records = try await subject.warehouse.quarantine()
                // The rules are the same: nothing that isn't as expected comes through.
                for part in [Array(records.map(\.id).shuffled(using: &random).prefix(5)), records.map(\.id)] {
                    let found = try await subject.warehouse.replay(
                        part, of: model, options(gate(self.rules(.quarantineRow, numbers))))
                    for entry in found.outcome.ledger { feed.sum += entry }
                    check(try await subject.live(model, order: "id"), "\(note), replayed too early")
                }
                asides += records.count
                let waiting = try await subject.warehouse.quarantine().count { $0.state == .waiting }
                #expect(waiting == feed.sum.quarantined && feed.sum.addsUp, "\(note)")
                #expect(records.allSatisfy { $0.entry.gate != nil && $0.entry.reason.contains(" fails") }, "\(note)")
                let raw = try await subject.rawCount(model)
                #expect(raw.rows == history.events.count && raw.events == raw.rows, "\(note): raw")
                // In two goes, as the first may lack what the second has.
                let ids = try await subject.warehouse.quarantine().filter { $0.state == .waiting }.map(\.id).shuffled(
                    using: &random)
                for part in [Array(ids.prefix(ids.count / 3)), Array(ids.suffix(ids.count / 2)), ids] {
                    let waiting = try await subject.warehouse.quarantine().filter { $0.state == .waiting }.map(\.id)
                    let chosen = part.filter(waiting.contains)
                    let found = try await subject.warehouse.replay(chosen, of: model, options { _ in nil })
                    for entry in found.outcome.ledger { feed.sum += entry }
                    #expect(found.promoted.isSubset(of: chosen), "\(note)")
                }
                let left = try await subject.warehouse.quarantine().filter { $0.state != .replayed }
                #expect(left.isEmpty, "\(note): \(left)")
                #expect(try await subject.live(model, order: "id") == history.expected, "\(note): at the end")
                let stored = try await subject.warehouse.ledger().tables.first { $0.table == model.source }
                #expect(
                    stored?.addsUp == true && stored?.deferred == 0 && stored?.quarantined == 0, "\(note): \(stored!)")
                await subject.close()
            }
        }
        #expect(asides > 40)
    }

    // MARK: Single cases

    private func row(
        _ commit: Int64, _ id: Int64, _ n: Cell, _ note: Cell, _ operation: Operation = .update, place: Int64 = 1,
        transaction: Int64? = nil
    ) -> EventSpec {
        EventSpec(
            operation, model.source, .change(epoch: 0, commit: commit, place: place), after: [.int(id), n, note],
            transaction: transaction ?? commit)
    }

    private func subject(_ engine: Engine, _ name: String, _ rules: [Expectation]) async throws -> (Subject, Feed) {
        let subject = try await engine.warehouse(name)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        return (subject, try await Feed(subject.warehouse, model, gate(rules)))
    }

    /// What a row was inside of a transaction nobody ever saw.
    @Test(arguments: Engine.allCases, [1, 3]) func statesInsideOfATransactionArentJudged(
        engine: Engine, parts: Int
    ) async throws {
        let (subject, feed) = try await subject(engine, "gateinside\(parts)", rules(.hold, [7]))
        try await feed.apply(
            [
                row(1, 1, .int(7), .null, .create, place: 1, transaction: 1),
                row(1, 2, .int(7), .text("b"), .create, place: 2, transaction: 1),
                EventSpec(
                    .delete, model.source, .change(epoch: 0, commit: 1, place: 3),
                    before: [.int(2), .int(7), .text("b")],
                    transaction: 1),
                row(1, 1, .int(8), .text("a"), place: 4, transaction: 1),
            ], parts: parts)
        #expect(try await subject.warehouse.holds().isEmpty)
        let live = try await subject.live(model, order: "id")
        #expect(live == [["id": "1", "n": "8", "note": "\"a\""]], "\(engine): \(live)")
        await subject.close()
    }

    /// What later transactions have set right when somebody asks for the release stands in nobody's way, however far behind
    /// it is; what they leave as it is does.
    @Test(arguments: Engine.allCases) func aReleasePassesOverWhatWasSetRight(engine: Engine) async throws {
        for isMended in [true, false] {
            let (subject, feed) = try await subject(engine, "gatemended\(isMended)", rules(.hold, [7]))
            try await feed.apply([row(1, 1, .int(1), .text("a"), .create)])
            try await feed.apply([row(2, 1, .int(1), .text("note 6"))])
            for commit in Int64(3)..<40 { try await feed.apply([row(commit, 2, .int(100 + commit), .text("b"))]) }
            try await feed.apply([row(40, 1, .int(2), isMended ? .text("c") : .unchanged)])
            for commit in Int64(41)..<60 { try await feed.apply([row(commit, 2, .int(100 + commit), .text("b"))]) }
            #expect(try await subject.warehouse.holds().count == 1)
            let step = try await feed.release(.quality, options(gate(rules(.hold, [7])), limit: 2))
            let live = try await subject.live(model, order: "id")
            if isMended {
                #expect(step.closed == nil && feed.sum.deferred == 0 && feed.sum.addsUp, "\(engine): \(step)")
                #expect(
                    live == [
                        ["id": "1", "n": "2", "note": "\"c\""], ["id": "2", "n": "159", "note": "\"b\""],
                    ], "\(engine): \(live)")
                #expect(try await subject.warehouse.holds().isEmpty)
            } else {
                #expect(step.closed?.contains("fails in 1 row") == true && step.count == 0, "\(engine): \(step)")
                #expect(live == [["id": "1", "n": "1", "note": "\"a\""]], "\(engine): \(live)")
            }
            await subject.close()
        }
    }

    /// What would set a row right is put aside itself: the row stays as it was.
    @Test(arguments: Engine.allCases) func whatIsPutAsideSetsNothingRight(engine: Engine) async throws {
        let rules = [
            Expectation(.set("n", values: ["7"], isIn: false), onFail: .hold, origin: "a"),
            Expectation(.notNull("note"), onFail: .quarantineRow, origin: "b"),
        ]
        let (subject, feed) = try await subject(engine, "gatemixed", rules)
        try await feed.apply([row(1, 1, .int(1), .text("a"), .create)])
        try await feed.apply([row(2, 1, .int(7), .text("b"))])
        try await feed.apply([row(3, 1, .int(8), .null)])
        let step = try await feed.release(.quality, options(gate(rules)))
        #expect(step.closed?.contains("n") == true, "\(engine): \(step)")
        let live = try await subject.live(model, order: "id")
        #expect(live == [["id": "1", "n": "1", "note": "\"a\""]], "\(engine): \(live)")
        await subject.close()
    }

    /// A step that ends between a key's end and its beginning under another sets nothing right.
    @Test(arguments: Engine.allCases) func aRowOnItsWayIsNotSetRight(engine: Engine) async throws {
        let (subject, feed) = try await subject(engine, "gateway", rules(.hold, [7]))
        func version(_ commit: Int64) -> Version { .change(epoch: 0, commit: commit, place: 1) }
        try await feed.apply([row(1, 1, .int(1), .text("a"), .create)])
        try await feed.apply([row(2, 1, .int(1), .text("note 6"))])
        // Without a transaction that is told: cut anywhere.
        try await feed.apply([
            EventSpec(
                .delete, model.source, version(3).deleteHalf, before: [.int(1), .absent, .absent], otherKey: [.int(2)]),
            EventSpec(
                .create, model.source, version(3), after: [.int(2), .int(2), .unchanged], otherKey: [.int(1)]),
        ])
        let step = try await feed.release(.quality, options(gate(rules(.hold, [7])), limit: 2)) {
            let live = try await subject.live(model, order: "id")
            #expect(live == [["id": "1", "n": "1", "note": "\"a\""]], "\(engine): \(live)")
        }
        #expect(step.closed != nil, "\(engine): \(step)")
        await subject.close()
    }

    /// What the transaction's last event doesn't tell is what the one before has left.
    @Test(arguments: Engine.allCases, [1, 2]) func valuesThatAreLeftOutAreJudgedAsTheyAre(
        engine: Engine, parts: Int
    ) async throws {
        let bad: Cell = .text("note 6")
        let moved = [
            EventSpec(
                .delete, model.source, .change(epoch: 0, commit: 2, place: 2),
                before: [.int(1), .unchanged, .unchanged],
                otherKey: [.int(9), .unchanged, .unchanged], transaction: 2),
            EventSpec(
                .create, model.source, .change(epoch: 0, commit: 2, place: 2, createsMovedKey: true),
                after: [.int(9), .int(3), .unchanged], otherKey: [.int(1), .unchanged, .unchanged], transaction: 2),
        ]
        let updated = [row(2, 1, .int(3), .unchanged, place: 2, transaction: 2)]
        for (number, later) in [updated, moved].enumerated() {
            for onFail in [Expectation.OnFail.hold, .quarantineRow] {
                let name = "gateleft\(parts)\(number)\(onFail == .hold)".lowercased()
                let (subject, feed) = try await subject(engine, name, rules(onFail, []))
                try await feed.apply([row(1, 1, .int(1), .text("a"), .create, transaction: 1)])
                try await feed.apply([row(2, 1, .int(2), bad, place: 1, transaction: 2)] + later, parts: parts)
                let holds = try await subject.warehouse.holds()
                #expect(holds.count == (onFail == .hold ? 1 : 0), "\(name): \(holds)")
                let live = try await subject.live(model, order: "id")
                let isGone = number == 1 && onFail == .quarantineRow
                #expect(live == (isGone ? [] : [["id": "1", "n": "1", "note": "\"a\""]]), "\(name): \(live)")
                await subject.close()
            }
        }
    }

    /// Of two rows that are alike the transaction ends one.
    @Test(arguments: Engine.allCases, [1, 3]) func twinsAreRowsOfTheirOwn(engine: Engine, parts: Int) async throws {
        let table = TableID(schema: "public", table: "twins")
        let definition = TableDefinition(
            source: table, target: "twins",
            columns: [Column(name: "a", type: .bigint), Column(name: "b", type: .text)],
            key: [])
        let subject = try await engine.warehouse("gatetwins\(parts)")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([definition])
        let rules = [Expectation(.notNull("b"), onFail: .quarantineRow, origin: "t")]
        let feed = try await Feed(subject.warehouse, definition, gate(rules))
        func event(_ operation: Operation, _ place: Int64, _ before: [Cell]?, _ after: [Cell]?, _ commit: Int64)
            -> EventSpec
        {
            EventSpec(
                operation, table, .change(epoch: 0, commit: commit, place: place), before: before, after: after,
                ordinal: place, transaction: commit)
        }
        let bad: [Cell] = [.int(1), .null]
        try await feed.apply(
            [event(.create, 1, nil, bad, 1), event(.update, 2, bad, [.int(1), .text("x")], 1)], parts: min(parts, 2))
        #expect(try await subject.warehouse.holds().isEmpty, "it was put right")
        try await feed.apply(
            [
                event(.create, 1, nil, bad, 2), event(.create, 2, nil, bad, 2),
                event(.update, 3, bad, [.int(2), .text("y")], 2),
            ], parts: parts)
        #expect(try await subject.warehouse.holds().map(\.kind) == [.quality], "rows without a key aren't put aside")
        let live = try await subject.live(definition, order: "a")
        #expect(live == [["a": "1", "b": "\"x\""]], "\(engine): \(live)")
        await subject.close()
    }

    @Test(arguments: Engine.allCases) func aRuleThatSaysStopStops(engine: Engine) async throws {
        for parts in [1, 2] {
            let (subject, feed) = try await subject(engine, "gatestop\(parts)", rules(.stop, [7]))
            try await feed.apply([row(1, 1, .int(1), .text("a"), .create)])
            await #expect {
                try await feed.apply(
                    [
                        row(2, 1, .int(2), .text("a"), transaction: 2),
                        row(2, 2, .int(7), .text("b"), .create, place: 2, transaction: 2),
                    ], parts: parts)
            } throws: {
                let error = $0 as? ReplicationError
                return error?.kind == .quality && error?.message.contains("not_in_set(n) (a) fails at") == true
            }
            #expect(try await subject.live(model, order: "id") == [["id": "1", "n": "1", "note": "\"a\""]])
            #expect(try await subject.rawCount(model).rows == 1, "nothing of it is durable")
            await subject.close()
        }
    }

    @Test(arguments: Engine.allCases) func warningsAreCounted(engine: Engine) async throws {
        let (subject, feed) = try await subject(engine, "gatewarn", rules(.warn, [7]))
        try await feed.apply([row(1, 1, .int(7), .text("a"), .create)])
        try await feed.apply(
            [
                row(2, 2, .int(7), .null, .create, transaction: 2),
                row(3, 3, .int(1), .text("c"), .create, transaction: 3),
            ],
            parts: 2)
        #expect(try await subject.live(model, order: "id").count == 3)
        #expect(feed.counts.filter { $0.rule.origin == "a" }.reduce(0) { $0 + $1.rows } == 2)
        #expect(feed.counts.filter { $0.rule.origin == "b" }.reduce(0) { $0 + $1.rows } == 1)
        if let memory = subject.warehouse as? MemoryWarehouse {
            #expect(await memory.tables.gates.reduce(0) { $0 + $1.rows } == 3)
        } else {
            let rows = try await subject.warehouse.query(
                """
                select rule, on_fail, rows, first_position, last_position from _millrace.gates
                where pipeline = '\(subject.layout.pipeline)' order by origin
                """, rows_max: 10
            ).rows
            let expected = [
                ["not_in_set(n)", "warn", "2", "model:0@0", "model:0@1"],
                ["not_null(note)", "warn", "1", "model:0@1", "model:0@1"],
            ]
            #expect(rows == expected, "\(rows)")
        }
        await subject.close()
    }

    /// A rule that can't be held against the table lets nothing pass.
    @Test(arguments: Engine.allCases) func aRuleThatDoesntFitHolds(engine: Engine) async throws {
        let rules = [Expectation(.notNull("nope"), onFail: .quarantineRow, origin: "c")]
        for parts in [1, 2] {
            let (subject, feed) = try await subject(engine, "gatemisfit\(parts)", rules)
            try await feed.apply(
                [
                    row(1, 1, .int(1), .text("a"), .create, transaction: 1),
                    row(1, 2, .int(1), .text("a"), .create, place: 2, transaction: 1),
                ], parts: parts)
            let holds = try await subject.warehouse.holds()
            #expect(holds.first?.kind == .quality && holds.first?.reason.contains("no column nope") == true, "\(holds)")
            #expect(try await subject.live(model, order: "id").isEmpty)
            await subject.close()
        }
    }

    /// The same events twice in a batch: what is left of them is judged.
    @Test(arguments: Engine.allCases) func secondDeliveriesHideNothing(engine: Engine) async throws {
        let (subject, feed) = try await subject(engine, "gatetwice", rules(.hold, [7]))
        try await feed.apply([row(1, 1, .int(1), .text("a"), .create, transaction: 1)])
        let bad = [
            row(2, 1, .int(7), .text("b"), place: 1, transaction: 2),
            row(2, 1, .int(7), .text("c"), place: 2, transaction: 2),
        ]
        try await feed.apply(bad + bad)
        #expect(try await subject.warehouse.holds().map(\.kind) == [.quality], "\(engine)")
        #expect(try await subject.live(model, order: "id").map { $0["n"] } == ["1"], "\(engine)")
        await subject.close()
    }

    /// A sweep's mend comes through the gate, too.
    @Test(arguments: Engine.allCases) func mendsArentLetThrough(engine: Engine) async throws {
        let (subject, feed) = try await subject(engine, "gatemend", rules(.hold, [7]))
        try await feed.apply([row(1, 1, .int(1), .text("a"), .create)])
        let batch = BatchBuilder([model]).batch([
            EventSpec(
                .read, model.source, Version(epoch: 0, commit: 9, seq: 0), after: [.int(1), .int(7), .text("b")]),
            EventSpec(
                .read, model.source, Version(epoch: 0, commit: 9, seq: 0), after: [.int(2), .int(2), .text("b")]),
        ])
        batch.immediateKeys = [0]
        batch.judge(by: gate(rules(.hold, [7])))
        let outcome = try await subject.warehouse.mend(RowMend(batch, unseen: .since(9), isAboveStored: false))
        #expect(outcome.unmended == ["{\"id\":1}"] || outcome.unmended == ["{\"id\": 1}"], "\(outcome.unmended)")
        let live = try await subject.live(model, order: "id")
        #expect(live.map { $0["n"] } == ["1", "2"], "\(engine): \(live)")
        await subject.close()
    }

    /// With very many rows the table is at fault.
    @Test(arguments: [Engine.memory, .duckdb]) func tooManyRowsHoldTheTable(engine: Engine) async throws {
        let (subject, feed) = try await subject(engine, "gatemany", rules(.quarantineRow, [7]))
        let count = BatchApplier.putAside_max + 1
        try await feed.apply([row(1, 0, .int(1), .text("a"), .create)])
        try await feed.apply((1...count).map { row(2, Int64($0), .int(7), .text("a"), .create, place: Int64($0)) })
        let holds = try await subject.warehouse.holds()
        #expect(holds.first?.reason.contains("more than \(BatchApplier.putAside_max) rows") == true, "\(holds)")
        #expect(feed.sum.deferred == count && feed.sum.quarantined == 0, "\(feed.sum)")
        await subject.close()
    }
}

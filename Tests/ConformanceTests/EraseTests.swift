import Replication
import ReplicationTestKit
import Testing

/// An erased row's values are nowhere, and none of its events brings them back, in whatever order and however often they
/// come; what the source writes later is news.
@Suite struct EraseTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()
    /// Later than any test runs: the year 2100.
    private let later_us: Int64 = 4_102_444_800_000_000

    private func subject(_ engine: Engine, _ name: String) async throws -> Subject {
        let subject = try await engine.warehouse(name)
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        return subject
    }

    private func request(_ id: Int64, quarantined: [Int64] = []) -> ErasureRequest {
        ErasureRequest(table: model, key: "{\"id\":\(id)}", reason: "a test's", quarantined: quarantined)
    }

    /// All that the warehouse's tables and views show of the pipeline, as one text.
    private func everything(_ subject: Subject) async throws -> String {
        if let memory = subject.warehouse as? MemoryWarehouse {
            let tables = await memory.tables
            let rows = tables.current[model.source]?.values.map { "\($0.key) \($0.values)" } ?? []
            // Printed values have their quotes escaped.
            return "\(rows) \(tables.raw) \(tables.late) \(tables.moves)".replacing("\\", with: "")
        }
        var text = ""
        for schema in [subject.layout.current, subject.layout.raw, subject.layout.live, subject.layout.history] {
            let rows = try await subject.warehouse.query(
                "select * from \"\(schema)\".\"\(model.target)\"", rows_max: 10_000
            ).rows
            for row in rows { text += row.map { $0 ?? "null" }.joined(separator: " ") + "\n" }
        }
        for table in ["late_events", "moves", "quarantine", "deferred", "checkpoints"] {
            let rows = try await subject.warehouse.query(
                "select * from _millrace.\(table) where pipeline = '\(subject.layout.pipeline)'", rows_max: 10_000
            ).rows
            for row in rows { text += row.map { $0 ?? "null" }.joined(separator: " ") + "\n" }
        }
        return text
    }

    @Test(arguments: Engine.allCases) func whateverTheOrderOfArrival(engine: Engine) async throws {
        var erased = 0
        for seed in UInt64(0)..<10 {
            let history = ModelHistory(seed: seed, shape: .init(moves: false))
            var random = SeededRandom(seed: seed &+ 5)
            for (order, events) in [
                history.events, (history.events + history.events).shuffled(using: &random),
            ].enumerated() {
                let subject = try await subject(engine, "erase\(seed)_\(order)")
                let batches = suite.cut(events, &random)
                let id = Int64(random.below(6))
                let at = random.below(batches.count)
                let pauses = random.chance(50)
                let target = subject.warehouse
                var gone: Set<Int64> = []
                var released = LedgerEntry(table: model.source)
                let sum = try await suite.replicate(batches, model, into: subject) { index in
                    if pauses, index == at / 2 { try await target.hold([model.source], .paused, reason: "a test's") }
                    if index == at {
                        let report = try await target.erase(request(id))
                        if !report.foundNothing { gone.insert(id) }
                        #expect(report.earlierKeys == 0 && !report.wasErased)
                    }
                }
                while true {
                    let step = try await target.release(model, .paused, limit: 5)
                    for entry in step.outcome.ledger { released += entry }
                    if step.isDone { break }
                }
                let note = "\(engine), seed \(seed), order \(order), id \(id)"
                erased += gone.count
                let expected = history.expected.filter { row in !gone.contains { row["id"] == "\($0)" } }
                #expect(try await subject.live(model, order: "id") == expected, "\(note)")
                #expect(sum.addsUp && sum.read == events.count)
                let stored = try await target.ledger().tables.first { $0.table == model.source }
                #expect(stored?.addsUp == true && stored?.deferred == 0 && stored?.read == events.count, "\(note)")
                let raw = try await subject.rawCount(model)
                #expect(raw.rows == history.events.count && raw.events == raw.rows, "\(note): raw")
                for id in gone {
                    let all = try await everything(subject)
                    #expect(!all.contains("{\"id\":\(id)}") && !all.contains("\"id\":\(id),"), "\(note)")
                    #expect(try await subject.versions(model, key: "id").allSatisfy { $0[0] != "\(id)" }, "\(note)")
                }
                await subject.close()
            }
        }
        #expect(erased > 8)
    }

    private func row(
        _ operation: Replication.Operation, _ id: Int64, commit: Int64, _ note: String, isLater: Bool = false,
        otherKey: Int64? = nil, unchanged: Bool = false
    ) -> EventSpec {
        var version = Version.change(epoch: 0, commit: commit, place: 1)
        if otherKey != nil, operation != .delete { version.seq += 1 }
        let cells: [Cell] = [.int(id), .int(commit), unchanged ? .unchanged : .text(note)]
        return EventSpec(
            operation, model.source, version, before: operation == .delete ? cells : nil,
            after: operation == .delete ? nil : cells, otherKey: otherKey.map { [.int($0), .unchanged, .unchanged] },
            time_us: isLater ? later_us + commit : nil)
    }

    @Test(arguments: Engine.allCases) func whatTheSourceWritesLaterIsNews(engine: Engine) async throws {
        let subject = try await subject(engine, "erasenews")
        defer { Task { await subject.close() } }
        _ = try await suite.replicate(
            [[row(.create, 1, commit: 10, "secret-a"), row(.create, 2, commit: 11, "plain")]], model, into: subject)
        let report = try await subject.warehouse.erase(request(1))
        #expect(report.hadRow && report.wasLive && report.events == 1 && report.version.commit == 10)
        // Its delete was under way, with the whole row; so was an update.
        let sum = try await suite.replicate(
            [
                [row(.update, 1, commit: 12, "secret-b")],
                [row(.delete, 1, commit: 13, "secret-c", isLater: true)],
            ], model, into: subject)
        #expect(sum.superseded == 2 && sum.addsUp)
        #expect(try await !everything(subject).contains("secret"), "\(engine)")
        #expect(try await subject.live(model, order: "id").map { $0["id"] } == ["2"])

        // A row of the same key, later. What comes late of the old one stays hidden.
        _ = try await suite.replicate(
            [
                [row(.create, 1, commit: 20, "fresh-row", isLater: true)], [row(.update, 1, commit: 12, "secret-b")],
                [row(.delete, 1, commit: 14, "secret-d", isLater: true)],
            ], model, into: subject)
        #expect(
            try await subject.live(model, order: "id").map { $0["note"] } == ["\"fresh-row\"", "\"plain\""], "\(engine)"
        )
        #expect(try await !everything(subject).contains("secret"), "\(engine)")
        _ = try await suite.replicate([[row(.delete, 1, commit: 21, "fresh-row", isLater: true)]], model, into: subject)
        #expect(try await subject.live(model, order: "id").map { $0["id"] } == ["2"], "a delete of the new row counts")

        let again = try await subject.warehouse.erase(request(1))
        #expect(again.wasErased && again.hadRow && !again.wasLive && again.keyHash == report.keyHash)
        #expect(try await subject.warehouse.erase(request(99)).foundNothing)
        #expect(try await !everything(subject).contains("fresh-row"), "\(engine)")
    }

    @Test(arguments: Engine.allCases) func theRowsEarlierKeysAreFollowed(engine: Engine) async throws {
        let subject = try await subject(engine, "erasemoves")
        defer { Task { await subject.close() } }
        // 1 becomes 2; another row takes 1, and then 3 becomes its key.
        let events = [
            row(.create, 1, commit: 10, "secret-a"), row(.delete, 1, commit: 11, "secret-a", otherKey: 2),
            row(.create, 2, commit: 11, "", otherKey: 1, unchanged: true), row(.create, 1, commit: 12, "other"),
            row(.update, 2, commit: 13, "secret-b"), row(.delete, 1, commit: 14, "other", otherKey: 3),
            row(.create, 3, commit: 14, "", otherKey: 1, unchanged: true),
        ]
        _ = try await suite.replicate([events], model, into: subject)
        #expect(try await subject.live(model, order: "id").map { $0["note"] } == ["\"secret-b\"", "\"other\""])
        let report = try await subject.warehouse.erase(request(2))
        #expect(report.earlierKeys == 1 && report.events == 4 && !report.movedOn && report.hadRow)
        var all = try await everything(subject)
        #expect(!all.contains("secret") && !all.contains("\"id\":2") && all.contains("other"), "\(engine)")
        // Everything once more, twice over.
        var random = SeededRandom(seed: 3)
        for _ in 0..<3 {
            let sum = try await suite.replicate([events.shuffled(using: &random)], model, into: subject)
            #expect(sum.duplicate == events.count)
        }
        all = try await everything(subject)
        #expect(!all.contains("secret") && !all.contains("\"id\":2"), "\(engine)")
        #expect(try await subject.live(model, order: "id").map { $0["note"] } == ["\"other\""], "\(engine)")
        // Of one that moved on it is told.
        let moved = try await subject.warehouse.erase(request(1))
        #expect(moved.movedOn)
        #expect(try await subject.live(model, order: "id").map { $0["note"] } == ["\"other\""], "\(engine)")
    }

    @Test(arguments: Engine.allCases) func aRowThatMovedAwayBeforeIsARowLikeAny(engine: Engine) async throws {
        let subject = try await subject(engine, "eraseaway")
        defer { Task { await subject.close() } }
        _ = try await suite.replicate([[row(.create, 1, commit: 10, "secret")]], model, into: subject)
        _ = try await subject.warehouse.erase(request(1))
        _ = try await suite.replicate(
            [
                [
                    row(.delete, 1, commit: 11, "secret", otherKey: 2),
                    row(.create, 2, commit: 11, "moved", otherKey: 1),
                ]
            ], model, into: subject)
        #expect(try await subject.live(model, order: "id").map { $0["note"] } == ["\"moved\""], "\(engine)")
        let all = try await everything(subject)
        #expect(!all.contains("secret") && !all.contains("\"id\":1"), "\(engine)")
    }

    /// A move away from an erased key carries nothing, also where its batch was coalesced before that was known: what comes
    /// late of the row's own fills it.
    @Test(arguments: Engine.allCases) func aMoveThatWasCoalescedAhead(engine: Engine) async throws {
        for isAhead in [true, false] {
            let subject = try await subject(engine, "eraseahead\(isAhead)")
            defer { Task { await subject.close() } }
            _ = try await suite.replicate([[row(.create, 1, commit: 10, "secret")]], model, into: subject)
            _ = try await subject.warehouse.erase(request(1))
            let moved = [row(.create, 2, commit: 11, "", otherKey: 1, unchanged: true)]
            // Every other batch is coalesced ahead, the first one too.
            let batches = isAhead ? [moved] : [[row(.create, 9, commit: 10, "before")], moved]
            _ = try await suite.replicate(batches, model, into: subject)
            _ = try await suite.replicate([[row(.update, 2, commit: 9, "late")]], model, into: subject)
            #expect(
                try await subject.live(model, order: "id").first.map { $0["note"] } == "\"late\"",
                "\(engine), ahead: \(isAhead)")
        }
    }

    /// The engine refuses another row of the batch: the hidden events are neither tried nor put aside.
    @Test(arguments: Engine.stored) func besideARowThatIsRefused(engine: Engine) async throws {
        let subject = try await subject(engine, "eraserefused")
        defer { Task { await subject.close() } }
        _ = try await suite.replicate([[row(.create, 1, commit: 10, "secret-a")]], model, into: subject)
        _ = try await subject.warehouse.erase(request(1))
        let refused = EventSpec(
            .create, model.source, .change(epoch: 0, commit: 20, place: 1), after: [.int(5), .text("no number"), .null])
        let sum = try await suite.replicate(
            [
                [
                    row(.update, 1, commit: 11, "secret-b"), row(.update, 1, commit: 12, "secret-c"), refused,
                    row(.create, 6, commit: 21, "plain"),
                ]
            ], model, into: subject)
        #expect(sum.superseded == 2 && sum.quarantined == 1 && sum.applied == 1 && sum.addsUp, "\(sum)")
        #expect(try await subject.live(model, order: "id").map { $0["note"] } == ["\"plain\""], "\(engine)")
        #expect(try await !everything(subject).contains("secret"), "\(engine)")
    }

    /// O was erased once and is erased again as the earlier key of another row: what was noted first stays. Who had O before
    /// that row isn't meant.
    @Test(arguments: Engine.allCases) func anEarlierKeyKeepsItsOwnErasure(engine: Engine) async throws {
        let subject = try await subject(engine, "eraseearlier")
        defer { Task { await subject.close() } }
        _ = try await suite.replicate([[row(.create, 1, commit: 10, "secret-a")]], model, into: subject)
        _ = try await subject.warehouse.erase(request(1))
        _ = try await suite.replicate(
            [
                [
                    row(.create, 1, commit: 20, "second", isLater: true),
                    row(.delete, 1, commit: 21, "second", isLater: true),
                ],
                [row(.create, 1, commit: 22, "third", isLater: true)],
                [
                    row(.delete, 1, commit: 23, "third", isLater: true, otherKey: 2),
                    row(.create, 2, commit: 23, "third", isLater: true, otherKey: 1),
                ],
            ], model, into: subject)
        let report = try await subject.warehouse.erase(request(2))
        #expect(report.earlierKeys == 1 && report.events == 3, "\(report)")
        let all = try await everything(subject)
        #expect(!all.contains("third") && all.contains("second"), "the one who had the key before isn't meant")
        // In flight since before the first erasure.
        _ = try await suite.replicate([[row(.update, 1, commit: 11, "secret-b")]], model, into: subject)
        #expect(try await !everything(subject).contains("secret"), "\(engine)")
    }

    /// Who had the key before moved on to another: neither that row nor what it was is touched.
    @Test(arguments: Engine.allCases) func whoHadTheKeyBeforeIsntMeant(engine: Engine) async throws {
        let subject = try await subject(engine, "erasebefore")
        defer { Task { await subject.close() } }
        _ = try await suite.replicate(
            [
                [
                    row(.create, 1, commit: 10, "first"), row(.delete, 1, commit: 11, "first", otherKey: 9),
                    row(.create, 9, commit: 11, "first", otherKey: 1), row(.create, 1, commit: 12, "secret"),
                    row(.delete, 1, commit: 13, "secret", otherKey: 2),
                    row(.create, 2, commit: 13, "secret", otherKey: 1),
                ]
            ], model, into: subject)
        let report = try await subject.warehouse.erase(request(2))
        #expect(report.earlierKeys == 1 && report.events == 3 && !report.movedOn, "\(report)")
        let all = try await everything(subject)
        #expect(!all.contains("secret") && all.contains("\"id\":1,"), "\(engine)")
        #expect(try await subject.live(model, order: "id").map { $0["note"] } == ["\"first\""], "\(engine)")
    }

    @Test func withoutItsGuardTheRowComesBack() throws {
        let layout = WarehouseLayout(pipeline: "eraseguard")
        let transaction = MemoryTransaction()
        transaction.amend { $0.definitions[model.source] = model }
        var builder = BatchBuilder([model])
        builder.partition = TopicPartition(topic: "model", partition: 0)
        var writer = BatchWriter()
        _ = try writer.apply(
            builder.batch([row(.create, 1, commit: 10, "secret")]), advancing: [], part: .whole, layout: layout,
            in: transaction, loadedAt_us: 1_800_000_000_000_000)
        _ = try writer.erase(
            request(1), layout: layout, in: transaction, erasedAt_us: 1_800_000_000_000_001)
        for (without, count) in [(Set<MemoryTransaction.Guard>(), 0), ([.erasures], 1)] {
            transaction.without = without
            _ = try writer.apply(
                builder.batch([row(.update, 1, commit: 11, "secret")]), advancing: [], part: .whole, layout: layout,
                in: transaction, loadedAt_us: 1_800_000_000_000_002, probesAll: !without.isEmpty)
            if without.isEmpty { transaction.amend { $0.rawIDs[model.source] = [] } }
            #expect(transaction.committed.live(model.source).count == count)
        }
    }
}

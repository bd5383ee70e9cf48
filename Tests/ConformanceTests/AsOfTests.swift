import Replication
import ReplicationTestKit
import Testing

/// Tables as they were: at each commit of generated histories, whatever order the events came in.
@Suite struct AsOfTests {
    private let model = ModelHistory.definition
    private let suite = ConformanceTests()

    private func query(_ sql: String, at moment: AsOf, _ subject: Subject, isDirect: Bool = true) async throws
        -> QueryResult
    {
        let query = try AsOfQuery(
            sql, at: moment, known: try await subject.warehouse.knownTables(), isDirect: isDirect,
            refusal: AsOfRefusal(subject.layout) { "\($0)" })
        return try await subject.warehouse.query(query, rows_max: 1000)
    }

    private func rows(at moment: AsOf, _ subject: Subject) async throws -> [String] {
        try await query("select id, n, note from model order by id", at: moment, subject).rows.map {
            $0.map { $0 ?? "null" }.joined(separator: " ")
        }
    }

    /// After each commit, by its number.
    private func states(_ seed: UInt64, _ shape: ModelHistory.Shape) -> [(commit: Int64, rows: [String])] {
        var states: [Int64: [String]] = [:]
        for steps in 0...shape.steps {
            var part = shape
            part.steps = steps
            let history = ModelHistory(seed: seed, shape: part)
            guard let commit = history.events.last?.version.commit else { continue }
            states[commit] = history.rows.sorted { $0.key < $1.key }.map {
                "\($0.key) \($0.value.n) \($0.value.note ?? "null")"
            }
        }
        return states.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    @Test(arguments: Engine.stored, [false, true]) func historiesAreSeenAtEachCommit(
        engine: Engine, deferrable: Bool
    ) async throws {
        var seen = 0
        for seed in UInt64(0)..<6 {
            var random = SeededRandom(seed: seed)
            let shape = ModelHistory.Shape(keys: 5, steps: 40, deferrable: deferrable)
            let subject = try await engine.warehouse("asof\(deferrable ? "d" : "")\(seed)")
            try await subject.warehouse.open(readOnly: false)
            try await subject.warehouse.ensure([model])
            var events = ModelHistory(seed: seed, shape: shape).events
            if seed % 2 == 1 { events.shuffle(using: &random) }
            _ = try await suite.replicate(suite.cut(events, &random), model, into: subject)
            var before: [String] = []
            for (commit, expected) in states(seed, shape) {
                let what = "\(engine), seed \(seed), commit \(commit)"
                // From a transaction on in which a row left a key that another had before it, nobody can tell.
                if deferrable, try await isUndecided(at: .position(commit + 1), subject) { break }
                seen += 1
                #expect(try await rows(at: .position(commit), subject) == before, "\(what) isn't before itself")
                #expect(try await rows(at: .position(commit + 1), subject) == expected, "\(what)")
                #expect(try await rows(at: .time(commit * 1_000_000), subject) == expected, "\(what), by time")
                before = expected
            }
            await subject.close()
        }
        #expect(seen > (deferrable ? 5 : 60), "\(engine): \(seen)")
    }

    private func isUndecided(at moment: AsOf, _ subject: Subject) async throws -> Bool {
        do {
            _ = try await rows(at: moment, subject)
            return false
        } catch let error as ReplicationError where error.message.contains("shared a key") {
            return true
        }
    }

    private func change(
        _ operation: Replication.Operation, _ id: Int64, _ n: Cell, _ note: Cell, at commit: Int64, epoch: Int64 = 0,
        time_us: Int64? = nil
    ) -> EventSpec {
        let version =
            operation == .read
            ? Version(epoch: epoch, commit: commit, seq: 0) : .change(epoch: epoch, commit: commit, place: 1)
        let image = [Cell.int(id), n, note]
        return EventSpec(
            operation, model.source, version, before: operation == .delete ? [.int(id), .unchanged, .unchanged] : nil,
            after: operation == .delete ? nil : image, time_us: time_us)
    }

    @Test(arguments: Engine.stored) func whatASnapshotReadIsThereFromItsPositionOn(engine: Engine) async throws {
        let subject = try await engine.warehouse("asofread")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        _ = try await suite.replicate(
            [
                [
                    change(.read, 1, .int(1), .text("long"), at: 50), change(.update, 1, .int(2), .unchanged, at: 50),
                    change(.update, 1, .null, .absent, at: 60), change(.update, 1, .int(4), .null, at: 70),
                ]
            ], model, into: subject)
        #expect(try await rows(at: .position(50), subject) == ["1 1 long"])
        #expect(try await rows(at: .position(51), subject) == ["1 2 long"])
        #expect(try await rows(at: .position(61), subject) == ["1 null long"])
        #expect(try await rows(at: .position(71), subject) == ["1 4 null"])
        // What the row was before it was read nobody knows.
        await #expect(throws: ReplicationError.self) { try await rows(at: .position(49), subject) }
        await #expect(throws: ReplicationError.self) { try await rows(at: .time(49_000_000), subject) }
        await subject.close()
    }

    @Test(arguments: Engine.stored) func aNewEpochIsBehindAllOfTheOldOne(engine: Engine) async throws {
        let subject = try await engine.warehouse("asofepoch")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        _ = try await suite.replicate(
            [
                [
                    change(.create, 1, .int(1), .null, at: 100), change(.create, 2, .int(1), .null, at: 200),
                    change(.update, 1, .int(2), .null, at: 60, epoch: 1, time_us: 300_000_000),
                ]
            ], model, into: subject)
        #expect(try await rows(at: .time(250_000_000), subject) == ["1 1 null", "2 1 null"])
        #expect(try await rows(at: .time(300_000_000), subject) == ["1 2 null", "2 1 null"])
        await subject.close()
    }

    /// Names that need quotes, a column twice, and what may stand around a query.
    @Test(arguments: Engine.stored) func queriesOfAnyFormWork(engine: Engine) async throws {
        let subject = try await engine.warehouse("asofform")
        try await subject.warehouse.open(readOnly: false)
        let odd = TableDefinition(
            source: TableID(schema: "public", table: "odd"), target: "Odd \"name\"",
            columns: [Column(name: "I\"d", type: .bigint, isKey: true), Column(name: "it's/~", type: .jsonb)], key: [0])
        try await subject.warehouse.ensure([model, odd])
        _ = try await suite.replicate(
            [[3, 1, 2].map { change(.create, $0, .int($0), .text("a;b--c"), at: 10) }], model, into: subject)
        _ = try await suite.replicate(
            [
                [
                    EventSpec(
                        .create, odd.source, .change(epoch: 0, commit: 10, place: 2),
                        after: [.int(1), .json("{\"a\":12345678901234567890.123}")])
                ]
            ], odd, into: subject)
        func cells(_ sql: String) async throws -> String {
            try await query(sql, at: .position(11), subject).rows.map { $0.map { $0 ?? "null" }.joined(separator: " ") }
                .joined(separator: ",")
        }
        #expect(try await cells("select id from model order by id desc; -- the end") == "3,2,1")
        #expect(
            try await cells("-- first\nwith m as (select id from model) select id from m order by id desc limit 2;")
                == "3,2")
        #expect(try await cells("with model as (select id from model where id > 1) select count(*) from model") == "2")
        #expect(try await cells("select note from model where note = 'a;b--c' /* ; */ limit 1") == "a;b--c")
        #expect(
            try await cells("(select id from model where id = 1) union all select 9 from model where id = 2 order by 1")
                == "1,9")
        #expect(
            try await cells("select a.id, b.id from model a join MODEL b on a.id = b.id + 1 order by 1") == "2 1,3 2")
        #expect(
            try await query("select a.id, a.id from model a", at: .position(11), subject).columns.map(\.name) == [
                "id", "id",
            ])
        #expect(
            try await cells("select \"I\"\"d\", \"it's/~\" from \"Odd \"\"name\"\"\"").replacing(" ", with: "")
                == "1{\"a\":12345678901234567890.123}")
        #expect(
            try await query("select * from model", at: .position(11), subject).columns.map(\.name) == [
                "id", "n", "note",
            ])
        for wrong in ["select nothing from model", "select 1 from model, nowhere", "select 1 from model where"] {
            do {
                _ = try await query(wrong, at: .position(11), subject)
                Issue.record("\(wrong) works")
            } catch let error as ReplicationError {
                #expect(error.kind == .configuration, "\(wrong): \(error)")
            }
        }
        await subject.close()
    }

    @Test(arguments: Engine.stored) func erasedRowsDontShow(engine: Engine) async throws {
        let subject = try await engine.warehouse("asoferase")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        _ = try await suite.replicate(
            [
                [
                    change(.create, 1, .int(1), .text("secret"), at: 10), change(.create, 2, .int(1), .null, at: 10),
                    change(.delete, 1, .null, .null, at: 20),
                ]
            ], model, into: subject)
        #expect(try await rows(at: .position(11), subject) == ["1 1 secret", "2 1 null"])
        _ = try await subject.warehouse.erase(ErasureRequest(table: model, key: "{\"id\":1}", reason: "asked"))
        #expect(try await rows(at: .position(11), subject) == ["2 1 null"])
        await subject.close()
    }

    @Test(arguments: Engine.stored) func trimmedRawIsRefused(engine: Engine) async throws {
        let subject = try await engine.warehouse("asoftrim")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([model])
        _ = try await suite.replicate([[change(.create, 1, .int(1), .null, at: 10)]], model, into: subject)
        #expect(try await rows(at: .position(11), subject) == ["1 1 null"])
        _ = try await subject.warehouse.trimRaw(model, before: .max / 4, limit: 10)
        do {
            _ = try await rows(at: .position(11), subject)
            Issue.record("it is shown without what was trimmed")
        } catch let error as ReplicationError {
            #expect(error.kind == .configuration && error.message.contains("trimmed"))
        }
        await subject.close()
    }
}

import Replication
import ReplicationTestKit
import Testing

/// What a warehouse does with a table whose source shows another schema, and with what people decide on it.
@Suite struct SchemaChangeTests {
    private let suite = ConformanceTests()

    private func schema(_ position: Int64, _ columns: [(String, Int, ColumnType)]) -> SourceSchema {
        SourceSchema(
            oid: 1, position: position,
            columns: columns.map { .init($0.0, number: $0.1, type: $0.2, isNullable: $0.0 != "id") }, key: ["id"],
            identity: .key)
    }

    private func evolve(_ table: TableDefinition, _ later: SourceSchema, _ initial: [String: String?] = [:])
        -> SchemaEvolution
    {
        var told = SchemaEvolution.Told()
        told.initial = initial
        return SchemaEvolution(
            table, wanted: table, to: later, told: told, choice: TableChoice(target: table.target),
            policy: SchemaPolicy())
    }

    private func row(_ table: TableDefinition, _ commit: Int64, _ id: Int64, _ rest: [Cell]) -> EventSpec {
        EventSpec(
            .create, table.source, .change(epoch: 0, commit: commit, place: 1), after: [.int(id)] + rest)
    }

    /// - Parameters:
    ///   - cells: of the columns behind `id`.
    ///   - other: the other `id` of a key change.
    private func change(
        _ table: TableDefinition, _ operation: Operation, _ id: Int64, _ commit: Int64, _ cells: [Cell],
        from other: Int64? = nil
    ) -> EventSpec {
        var version = Version.change(epoch: 0, commit: commit, place: 1)
        if other != nil, operation != .delete { version.seq += 1 }
        return EventSpec(
            operation, table.source, version, before: operation == .delete ? [.int(id)] + cells : nil,
            after: operation == .delete ? nil : [.int(id)] + cells,
            otherKey: other.map { [.int($0)] + cells.map { _ in .unchanged } }, transaction: commit)
    }

    @Test(arguments: Engine.allCases) func aTableFollows(engine: Engine) async throws {
        let subject = try await engine.warehouse("follows")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        var table = ModelHistory.definition
        table.followed = schema(1, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        try await warehouse.ensure([table])
        _ = try await suite.replicate(
            [[row(table, 1, 1, [.int(1), .text("one")]), row(table, 2, 2, [.int(2), .null])]], table, into: subject)

        // A column with a default, another one renamed, a third one dropped: at once as far as nothing is lost.
        let first = evolve(
            table, schema(3, [("id", 1, .bigint), ("m", 2, .bigint), ("d", 4, .integer)]), ["d": "5"])
        #expect(first.changes.map(\.kind) == [.dropColumn, .renameColumn, .addColumn])
        try await warehouse.ensure([first.applied], recording: first.changes)
        try await warehouse.ensure([first.applied], recording: first.changes)
        var changes = try await warehouse.schemaChanges()
        #expect(changes.map(\.id) == [1, 2, 3], "\(engine): told twice, it is one")
        #expect(changes.map(\.state) == [.waiting, .waiting, .applied])
        table = try #require(try await warehouse.knownTables().first)
        #expect(table == first.applied, "\(engine)")
        _ = try await suite.replicate([[row(table, 4, 3, [.int(3), .int(6)])]], table, into: subject)
        #expect(
            try await subject.live(table, order: "id") == [
                ["id": "1", "n": "1", "d": "5"], ["id": "2", "n": "2", "d": "5"], ["id": "3", "n": "3", "d": "6"],
            ], "\(engine)")
        // Nobody who knows the table as it was changes it back.
        try await warehouse.ensure([ModelHistory.definition])
        #expect(try await warehouse.knownTables() == [table], "\(engine)")

        // Decided: the name, and the column that is gone.
        for index in [1, 1, 0] {
            let change = try await warehouse.schemaChanges()[index]
            let now_us: Int64 = 4_000_000_000_000_000
            if change.state == .waiting { _ = try await warehouse.carryOut(.init(.approve, change.id, now_us: now_us)) }
            _ = try await warehouse.carryOut(.init(.goOn, change.id, now_us: now_us))
        }
        changes = try await warehouse.schemaChanges()
        #expect(changes.map(\.state) == [.done, .done, .applied], "\(engine)")
        table = try #require(try await warehouse.knownTables().first)
        #expect(table.columns.map(\.name) == ["id", "m", "d"] && table.retired.isEmpty && table.revision == 5)
        // Who made it begins anew.
        await #expect(throws: ReplicationError.self) { try await warehouse.ensure([first.applied]) }
        #expect(try await warehouse.knownTables() == [table], "\(engine): a decision outdates it")
        _ = try await suite.replicate([[row(table, 5, 4, [.int(4), .null])]], table, into: subject)
        #expect(
            try await subject.live(table, order: "id").map { $0["m"] } == ["1", "2", "3", "4"], "\(engine)")

        // Another type: what was there is kept beside it.
        let second = evolve(table, schema(6, [("id", 1, .bigint), ("m", 2, .text), ("d", 4, .bigint)]))
        #expect(second.isHeld)
        try await warehouse.ensure([second.applied], recording: second.changes)
        let change = try #require(try await warehouse.schemaChanges().first { $0.kind == .changeType })
        for kind in [SchemaDecision.Kind.approve, .goOn] {
            _ = try await warehouse.carryOut(.init(kind, change.id, now_us: 1))
        }
        table = try #require(try await warehouse.knownTables().first)
        _ = try await suite.replicate(
            [[row(table, 7, 5, [.text("five"), .int(1 << 40)])]], table, into: subject)
        let live = try await subject.live(table, order: "id")
        #expect(live.last == ["id": "5", "m": "\"five\"", "d": "1099511627776"], "\(engine)")
        #expect(table.retired.map(\.name) == ["m_retired_1"])
        if engine != .memory {
            #expect(live.first?["m"] == "\"1\"", "\(engine)")
            let kept = try await warehouse.query(
                "select m_retired_1 from \"\(subject.layout.current)\".\"model\" order by id", rows_max: 10)
            #expect(kept.rows.map { $0[0] } == ["1", "2", "3", "4", nil])
        }
        // And back.
        _ = try await warehouse.carryOut(.init(.rollBack, change.id, now_us: 2))
        table = try #require(try await warehouse.knownTables().first)
        #expect(table.columns[1].type == .bigint)
        #expect(
            try await subject.live(table, order: "id").prefix(4).map { $0["m"] } == ["1", "2", "3", "4"], "\(engine)")
        await subject.close()
    }

    /// Taken back, rows have what they had, also where that was made what can't be cast back; what was written since is cast.
    @Test(arguments: Engine.stored) func aTypeIsTakenBack(engine: Engine) async throws {
        let subject = try await engine.warehouse("takenback")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        var table = ModelHistory.definition
        table.followed = schema(1, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        try await warehouse.ensure([table])
        _ = try await suite.replicate(
            [(1...6).map { row(table, $0, $0, [.int($0 * 10), .null]) }], table, into: subject)
        let evolution = evolve(table, schema(10, [("id", 1, .bigint), ("n", 2, .text), ("note", 3, .text)]))
        try await warehouse.ensure([evolution.applied], recording: evolution.changes)
        let change = try #require(try await warehouse.schemaChanges().first)
        for kind in [SchemaDecision.Kind.approve, .goOn] {
            _ = try await warehouse.carryOut(.init(kind, change.id, now_us: 1))
        }
        // Decided once.
        guard case .refused = try await warehouse.carryOut(.init(.approve, change.id, now_us: 1)) else {
            Issue.record("\(engine): approved twice")
            return
        }
        table = try #require(try await warehouse.knownTables().first)
        // As the copy behind it reads two of them, and a write each of what fits, what doesn't, and nothing.
        func read(_ id: Int64, _ n: Cell) -> EventSpec {
            EventSpec(
                .read, table.source, Version(epoch: 0, commit: 20, seq: 0), after: [.int(id), n, .null])
        }
        func update(_ id: Int64, _ n: Cell) -> EventSpec {
            var spec = row(table, 30, id, [n, .null])
            spec.operation = .update
            return spec
        }
        let sum = try await suite.replicate(
            [
                [read(1, .text("ten")), read(2, .text("21"))],
                [update(3, .text("31")), update(4, .text("forty")), update(5, .null)],
            ], table, into: subject)
        #expect(sum.applied == 5 && sum.addsUp)
        _ = try await warehouse.carryOut(.init(.rollBack, change.id, now_us: 2))
        table = try #require(try await warehouse.knownTables().first)
        #expect(table.columns[1].type == .bigint)
        #expect(
            try await subject.live(table, order: "id").map { $0["n"] } == ["10", "21", "31", "null", "null", "60"],
            "\(engine)")
        // What it can't be is kept, beside it.
        let kept = try await warehouse.query(
            "select n_retired_2 from \"\(subject.layout.current)\".\"model\" order by id", rows_max: 10)
        #expect(kept.rows.map { $0[0] } == ["ten", "21", "31", "forty", nil, "60"])
        await subject.close()
    }

    /// Events that came while a table waited for its key are of the key of before in raw: each is applied under the new one, of
    /// which no two rows are made, and what doesn't tell it is put aside.
    @Test(arguments: Engine.stored) func whatWasDeferredComesUnderTheNewKey(engine: Engine) async throws {
        let subject = try await engine.warehouse("rekeyedlater")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        var table = ModelHistory.definition
        table.followed = schema(1, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        try await warehouse.ensure([table])
        _ = try await suite.replicate(
            [(1...4).map { row(table, $0, $0, [.int($0 * 10), .text("first")]) }], table, into: subject)
        var later = schema(5, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        later.key = ["n"]
        let evolution = evolve(table, later)
        try await warehouse.ensure([evolution.applied], recording: evolution.changes)
        try await warehouse.hold([table.source], .schema, reason: "a plan")
        let sum = try await suite.replicate(
            [
                [
                    change(table, .update, 1, 6, [.int(10), .unchanged]),
                    change(table, .update, 1, 7, [.int(10), .text("second")]),
                    // Under the old key two rows, and under the new one the same.
                    change(table, .delete, 2, 8, [.int(20), .text("first")], from: 5),
                    change(table, .create, 5, 8, [.int(20), .unchanged], from: 2),
                    change(table, .delete, 3, 9, [.unchanged, .unchanged]),
                    change(table, .update, 4, 10, [.int(40), .unchanged]),
                ]
            ], table, into: subject)
        #expect(sum.deferred == 6)
        let change = try #require(try await warehouse.schemaChanges().last)
        for kind in [SchemaDecision.Kind.approve, .goOn] {
            _ = try await warehouse.carryOut(.init(kind, change.id, now_us: 1))
        }
        table = try #require(try await warehouse.knownTables().first)
        #expect(try await warehouse.release(table, .schema).isDone)
        let rows = try await warehouse.query(
            "select n, id, note from \"\(subject.layout.live)\".model order by n", rows_max: 10
        ).rows
        #expect(
            rows == [["10", "1", "second"], ["20", "5", nil], ["30", "3", "first"], ["40", "4", "first"]],
            "\(engine): \(rows)")
        // What a change of the old key carried over is known as missing until the copy that follows.
        #expect(try await warehouse.counts(table) == TableCounts(live: 4, deleted: 0, incomplete: 1))
        let ledger = try await warehouse.ledger().tables.first { $0.table == table.source }
        #expect(ledger?.quarantined == 1 && ledger?.deferred == 0, "\(String(describing: ledger))")
        await subject.close()
    }

    /// Raw's keys have the columns' own names, also where its images have others.
    @Test(arguments: Engine.stored) func aKeyIsFoundByItsName(engine: Engine) async throws {
        let subject = try await engine.warehouse("keynames")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        var table = ModelHistory.definition
        table.columns[0].namesInRaw = ["id_2"]
        table.followed = schema(1, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        try await warehouse.ensure([table])
        _ = try await suite.replicate(
            [[row(table, 1, 1, [.int(1), .null]), row(table, 2, 2, [.int(2), .null])]], table, into: subject)
        let query = try AsOfQuery(
            "select id, n from model order by id", at: .position(9), known: try await warehouse.knownTables(),
            isDirect: true, refusal: AsOfRefusal(subject.layout) { "\($0)" })
        #expect(try await warehouse.query(query, rows_max: 10).rows == [["1", "1"], ["2", "2"]], "\(engine)")
        await subject.close()
    }

    /// A column has the name now under which raw has another one's events: each finds its own, in what is applied later, what
    /// a key change carries over, history and the past.
    @Test(arguments: Engine.allCases) func eachColumnFindsItsOwnEvents(engine: Engine) async throws {
        let subject = try await engine.warehouse("ownevents")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        var table = ModelHistory.definition
        table.followed = schema(1, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        try await warehouse.ensure([table])
        _ = try await suite.replicate(
            [(1...3).map { row(table, $0, $0, [.int($0), .text("first \($0)")]) }], table, into: subject)
        try await warehouse.hold([table.source], .paused, reason: "a test's")
        _ = try await suite.replicate([[row(table, 4, 4, [.int(4), .text("first 4")])]], table, into: subject)

        // `note` is `old` from here on, and another column is called `note`; `n` is gone, and there is one of that name again.
        let evolution = evolve(
            table,
            schema(5, [("id", 1, .bigint), ("old", 3, .text), ("note", 4, .text), ("n", 5, .text)]))
        #expect(evolution.changes.map(\.kind) == [.dropColumn, .renameColumn, .addColumn, .addColumn])
        try await warehouse.ensure([evolution.applied], recording: evolution.changes)
        table = try #require(try await warehouse.knownTables().first)
        #expect(table == evolution.applied && table.columns.map(\.name) == ["id", "old", "note", "n"])
        #expect(table.columns.map(\.nameInRaw) == ["id", "old", "note_2", "n_2"])
        _ = try await suite.replicate(
            [
                [
                    change(table, .update, 1, 6, [.unchanged, .text("new 1"), .text("text")]),
                    change(table, .delete, 2, 7, [.unchanged, .unchanged, .unchanged], from: 20),
                    change(table, .create, 20, 7, [.unchanged, .text("new 2"), .null], from: 2),
                ]
            ], table, into: subject)
        #expect(try await warehouse.release(table, .paused).isDone)
        let live = try await subject.live(table, order: "id").map { [$0["id"], $0["old"], $0["note"], $0["n"]] }
        // What the new ones had in rows that were there isn't told by anything of raw.
        #expect(
            live.sorted { ($0[0] ?? "") < ($1[0] ?? "") } == [
                ["1", "\"first 1\"", "\"new 1\"", "\"text\""], ["20", "\"first 2\"", "\"new 2\"", "null"],
                ["3", "\"first 3\"", "null", "null"], ["4", "\"first 4\"", "null", "null"],
            ], "\(engine): \(live)")
        guard engine != .memory else { return await subject.close() }
        let history = try await warehouse.query(
            "select old, note from \"\(subject.layout.history)\".model where id = 1 order by note nulls first",
            rows_max: 10)
        #expect(history.rows == [["first 1", nil], ["first 1", "new 1"]], "\(engine)")
        let query = try AsOfQuery(
            "select id, old, note from model order by id", at: .position(6), known: try await warehouse.knownTables(),
            isDirect: true, refusal: AsOfRefusal(subject.layout) { "\($0)" })
        let past = try await warehouse.query(query, rows_max: 10)
        #expect(
            past.rows == [
                ["1", "first 1", nil], ["2", "first 2", nil], ["3", "first 3", nil], ["4", "first 4", nil],
            ])
        await subject.close()
    }

    @Test(arguments: Engine.stored) func aTableGetsAnotherKey(engine: Engine) async throws {
        let subject = try await engine.warehouse("rekeyed")
        let warehouse = subject.warehouse
        try await warehouse.open(readOnly: false)
        var table = ModelHistory.definition
        table.followed = schema(1, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        try await warehouse.ensure([table])
        _ = try await suite.replicate(
            [
                [
                    row(table, 1, 1, [.int(10), .text("old")]), row(table, 2, 2, [.int(10), .text("new")]),
                    row(table, 3, 3, [.null, .text("without")]), row(table, 4, 4, [.int(40), .null]),
                ]
            ], table, into: subject)
        var later = schema(5, [("id", 1, .bigint), ("n", 2, .bigint), ("note", 3, .text)])
        later.key = ["n"]
        let evolution = evolve(table, later)
        try await warehouse.ensure([evolution.applied], recording: evolution.changes)
        let change = try #require(try await warehouse.schemaChanges().last)
        for kind in [SchemaDecision.Kind.approve, .goOn] {
            _ = try await warehouse.carryOut(.init(kind, change.id, now_us: 1))
        }
        table = try #require(try await warehouse.knownTables().first)
        #expect(table.keyNames == ["n"])
        // Of two rows under one key the newer; what isn't known under it waits for the copy.
        #expect(try await subject.live(table, order: "n").map { $0["note"] } == ["\"new\"", "null"], "\(engine)")
        let kept = try await warehouse.query(
            "select count(*) from \"\(subject.layout.current)\".\"model_retired_1\"", rows_max: 1)
        #expect(kept.rows == [["4"]] && table.keptTables == ["model_retired_1"])
        // What stands under the old key would be left.
        await #expect(throws: ReplicationError.self) {
            try await warehouse.erase(ErasureRequest(table: table, key: "{\"n\":10}", reason: "asked"))
        }
        try await warehouse.drop(tables: true)
        let left = try await warehouse.query(
            "select count(*) from information_schema.tables where table_schema = '\(subject.layout.current)'",
            rows_max: 1)
        #expect(left.rows == [["0"]])
        await subject.close()
    }
}

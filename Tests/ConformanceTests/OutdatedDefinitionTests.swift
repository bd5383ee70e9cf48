import Postgres
import Replication
import ReplicationTestKit
import Testing

/// An agent that knows a table as it was before another one changed it writes nothing by that, unless what came since only
/// adds to it.
@Suite struct OutdatedDefinitionTests {
    private let choice = TableChoice(target: ModelHistory.definition.target)

    /// Two agents' views of one pipeline. Of an engine that one process has the file of, both are one.
    private struct Pair {
        let ours: Subject
        let theirs: any Warehouse
        let partition = TopicPartition(topic: "model", partition: 0)
        var token: Int64 = 0
        var position: Int64?

        mutating func apply(
            _ events: [EventSpec], by definition: TableDefinition, _ part: BatchPart = .whole
        ) async throws -> BatchApplier.Outcome {
            var builder = BatchBuilder([definition])
            builder.partition = partition
            let from = position ?? 0
            let to = from + Int64(events.count)
            let outcome = try await ours.warehouse.apply(
                builder.batch(events, from: from),
                advancing: [CheckpointAdvance(partition: partition, from: position, to: to, token: token, spans: [0])],
                part: part, probesAll: false)
            if part.isLast { position = to }
            return outcome
        }

        func close() async {
            if ours.layout.pipeline.hasSuffix("postgres") { await theirs.close() }
            await ours.close()
        }
    }

    private func pair(_ engine: Engine, _ name: String, _ tables: [TableDefinition], _ lockWait: String = "10s")
        async throws -> Pair
    {
        let subject = try await engine.warehouse("\(name)_\(engine)")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure(tables)
        var pair = Pair(ours: subject, theirs: subject.warehouse)
        if engine == .postgres {
            let other = PostgresWarehouse(
                url: try await SharedServer.shared.url(), layout: subject.layout, lockWait: lockWait)
            try await other.open(readOnly: false)
            pair = Pair(ours: subject, theirs: other)
        }
        let claim = try await subject.warehouse.claim([pair.partition], owner: "test")[0]
        (pair.token, pair.position) = (claim.token, claim.position)
        return pair
    }

    private static let first: [(String, ColumnType)] = [("id", .bigint), ("n", .integer), ("note", .text)]

    private func schema(_ position: Int64, _ columns: [(String, ColumnType)]) -> SourceSchema {
        SourceSchema(
            position: position, columns: columns.map { .init($0.0, type: $0.1, isNullable: $0.0 != "id") },
            key: ["id"])
    }

    private var table: TableDefinition {
        var table = ModelHistory.definition
        table.columns[1].type = .integer
        table.followed = schema(1, Self.first)
        table.identify()
        return table
    }

    private func evolve(_ table: TableDefinition, _ position: Int64, _ columns: [(String, ColumnType)])
        -> SchemaEvolution
    {
        SchemaEvolution(
            table, wanted: table, to: schema(position, columns), told: .init(), choice: choice, policy: SchemaPolicy())
    }

    private func row(_ commit: Int64, _ id: Int64, _ cells: Cell...) -> EventSpec {
        EventSpec(
            .create, ModelHistory.definition.source, .change(epoch: 0, commit: commit, place: 1),
            after: [.int(id)] + cells)
    }

    private func refusal(_ body: () async throws -> Void) async -> ReplicationError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? ReplicationError
        }
    }

    /// `note` was dropped, and another one added: what is called so is another column now.
    private func reused(_ pair: Pair) async throws -> TableDefinition {
        let dropped = evolve(table, 10, [("id", .bigint), ("n", .integer)])
        try await pair.theirs.ensure([dropped.applied], recording: dropped.changes)
        let added = evolve(dropped.applied, 20, Self.first)
        try await pair.theirs.ensure([added.applied], recording: added.changes)
        #expect(added.applied.retired.map(\.name) == ["note_retired_1"])
        return added.applied
    }

    @Test(arguments: Engine.allCases) func aNameThatIsAnothersIsntWrittenTo(engine: Engine) async throws {
        var pair = try await pair(engine, "reused", [table])
        _ = try await pair.apply([row(2, 1, .int(1), .text("old"))], by: table)
        let now = try await reused(pair)
        let before = pair.position
        let error = await refusal { _ = try await pair.apply([row(5, 2, .int(2), .text("old"))], by: table) }
        #expect(error?.kind == .restart, "\(engine): \(String(describing: error))")
        #expect(error?.table == table.source && error?.message.contains("public.model") == true, "\(engine)")
        #expect(try await pair.ours.rawCount(table).rows == 1, "\(engine): nothing is written")
        #expect(try await pair.ours.warehouse.checkpoints().first?.position == before, "\(engine)")
        // Read again, the table is known as it is: an event of before goes to the column that it is about.
        #expect(try await pair.ours.warehouse.knownTables() == [now], "\(engine)")
        var behind = now
        behind.columns[2] = now.retired[0]
        _ = try await pair.apply([row(5, 2, .int(2), .text("old"))], by: behind)
        _ = try await pair.apply([row(25, 3, .int(3), .text("new"))], by: now)
        #expect(
            try await pair.ours.live(now, order: "id").map { $0["note"] ?? "null" } == ["null", "null", "\"new\""],
            "\(engine)")
        await pair.close()
    }

    /// Also where it was noticed before anything of the batch was written, and its source transaction has parts.
    @Test(arguments: Engine.allCases) func aTransactionInPartsComesAgain(engine: Engine) async throws {
        var pair = try await pair(engine, "parts", [table])
        _ = try await reused(pair)
        let error = await refusal { _ = try await pair.apply([row(5, 1, .int(1), .text("a"))], by: table, .first) }
        #expect(error?.kind == .restart, "\(engine)")
        let last = await refusal { _ = try await pair.apply([row(6, 2, .int(1), .text("a"))], by: table, .last) }
        #expect(last?.kind == .restart, "\(engine)")
        #expect(try await pair.ours.rawCount(table).rows == 0, "\(engine)")
        await pair.close()
    }

    @Test(arguments: Engine.allCases) func whatOnlyAddsRefusesNothing(engine: Engine) async throws {
        var pair = try await pair(engine, "adds", [table])
        _ = try await pair.apply([row(2, 1, .int(1), .text("a"))], by: table)
        let wider = evolve(
            table, 10, [("id", .bigint), ("n", .bigint), ("note", .text), ("more", .text)])
        try await pair.theirs.ensure([wider.applied], recording: wider.changes)
        // As many as are written without being staged, too.
        _ = try await pair.apply((2..<700).map { row(3, $0, .int(7), .text("b")) }, by: table)
        _ = try await pair.apply([row(4, 1, .int(8), .text("c"))], by: table)
        _ = try await pair.apply([row(12, 701, .int(1 << 40), .text("d"), .text("e"))], by: wider.applied)
        #expect(try await pair.ours.warehouse.counts(table) == TableCounts(live: 700, deleted: 0, incomplete: 0))
        // A column that is dropped, and nothing else, keeps its name: events of before have it.
        let dropped = evolve(wider.applied, 20, [("id", .bigint), ("n", .bigint), ("more", .text)])
        try await pair.theirs.ensure([dropped.applied], recording: dropped.changes)
        _ = try await pair.apply([row(5, 2, .int(2), .text("f"))], by: table)
        await pair.close()
    }

    /// Made by somebody who knows what isn't so any more, a table would lose what came since.
    @Test(arguments: Engine.allCases) func whatRestsOnItIsntMade(engine: Engine) async throws {
        let pair = try await pair(engine, "rests", [table])
        let added = evolve(table, 10, Self.first + [("more", .text)])
        try await pair.theirs.ensure([added.applied], recording: added.changes)
        // Dropped since, which this one never saw: it would be forgotten.
        let ours = evolve(table, 20, Self.first + [("other", .text)])
        let error = await refusal { try await pair.ours.warehouse.ensure([ours.applied], recording: ours.changes) }
        #expect(error?.kind == .restart, "\(engine)")
        #expect(try await pair.ours.warehouse.knownTables() == [added.applied], "\(engine)")
        // The same at an older position is there already; another at one isn't.
        let same = evolve(table, 5, Self.first + [("more", .text)])
        try await pair.ours.warehouse.ensure([same.applied], recording: same.changes)
        let older = evolve(table, 5, [("id", .bigint), ("n", .integer)])
        let plan = await refusal { try await pair.ours.warehouse.ensure([older.applied], recording: older.changes) }
        #expect(plan?.kind == .restart, "\(engine)")
        #expect(try await pair.ours.warehouse.schemaChanges().map(\.kind) == [.addColumn], "\(engine)")
        #expect(try await pair.ours.warehouse.knownTables() == [added.applied], "\(engine)")
        await pair.close()
    }

    /// What events bring that tell no schema: each agent has met others of it, and nobody begins anew.
    @Test(arguments: Engine.allCases) func columnsOfSeveralAgentsAreTakenTogether(engine: Engine) async throws {
        var pair = try await pair(engine, "several", [table])
        func adding(_ name: String) -> TableDefinition {
            var wanted = table
            wanted.columns.append(Column(name: name, type: .text))
            return table.adding(what: wanted, beside: nil).made
        }
        let (x, y) = (adding("x"), adding("y"))
        try await pair.theirs.ensure([x])
        try await pair.ours.warehouse.ensure([y])
        let both = try #require(try await pair.ours.warehouse.knownTables().first)
        #expect(both.columns.map(\.name) == ["id", "n", "note", "x", "y"], "\(engine)")
        #expect(Set(both.columns.map(\.identity)).count == 5, "\(engine)")
        _ = try await pair.apply([row(2, 1, .int(1), .null, .text("y"))], by: y)
        _ = try await pair.apply([row(3, 2, .int(2), .null, .text("x"))], by: x)
        let rows = try await pair.ours.live(both, order: "id")
        #expect(
            rows.map { [$0["x"] ?? "null", $0["y"] ?? "null"] }.joined().sorted() == ["\"x\"", "\"y\"", "null", "null"])
        await pair.close()
    }

    /// A plan that was decided isn't raised again, and nobody who doesn't know of it writes.
    @Test(arguments: Engine.allCases) func aDecisionIsNews(engine: Engine) async throws {
        let pair = try await pair(engine, "decided", [table])
        let typed: [(String, ColumnType)] = [("id", .bigint), ("n", .text), ("note", .text)]
        let changed = evolve(table, 10, typed)
        try await pair.theirs.ensure([changed.applied], recording: changed.changes)
        _ = try await pair.theirs.carryOut(.init(.rollBack, 1, now_us: 1))
        let again = evolve(table, 20, typed)
        let error = await refusal { try await pair.ours.warehouse.ensure([again.applied], recording: again.changes) }
        #expect(error?.kind == .restart, "\(engine)")
        #expect(try await pair.ours.warehouse.schemaChanges().map(\.state) == [.rolledBack], "\(engine)")
        // What moves no checkpoint isn't fenced.
        var builder = BatchBuilder([table])
        builder.partition = pair.partition
        let batch = builder.batch([row(2, 1, .int(1), .null)])
        let replayed = await refusal { _ = try await pair.ours.warehouse.apply(batch, advancing: []) }
        #expect(replayed?.kind == .restart, "\(engine)")
        await pair.close()
    }

    /// What raw has is read by a definition that knows all of it.
    @Test(arguments: Engine.allCases) func rawIsReadByWhatTheTableIs(engine: Engine) async throws {
        var pair = try await pair(engine, "raw", [table])
        _ = try await pair.apply([row(2, 1, .int(1), .text("a"))], by: table)
        try await pair.theirs.hold([table.source], .paused, reason: "a test's")
        let wider = evolve(table, 10, Self.first + [("more", .text)])
        try await pair.theirs.ensure([wider.applied], recording: wider.changes)
        _ = try await pair.apply([row(12, 2, .int(2), .text("b"), .text("more"))], by: wider.applied)
        _ = try await pair.apply([row(3, 3, .int(2), .text("b"))], by: table)
        let released = await refusal { _ = try await pair.ours.warehouse.release(table, .paused) }
        #expect(released?.kind == .restart, "\(engine)")
        #expect(try await pair.ours.warehouse.holds().count == 1)
        #expect(try await pair.ours.warehouse.release(wider.applied, .paused).isDone)
        #expect(
            try await pair.ours.live(wider.applied, order: "id").map { $0["more"] ?? "null" } == [
                "null", "\"more\"", "null",
            ], "\(engine)")
        let request = RefoldRequest(
            table: table, keys: ["{\"id\":2}"], way: .over, options: ReleaseOptions(), reconciles: nil)
        let refolded = await refusal { _ = try await pair.ours.warehouse.refold(request) }
        #expect(refolded?.kind == .restart, "\(engine)")
        let erased = await refusal {
            _ = try await pair.ours.warehouse.erase(ErasureRequest(table: table, key: "{\"id\":2}", reason: "a test's"))
        }
        #expect(erased?.kind == .restart, "\(engine)")
        await pair.close()
    }

    /// A commit in hand goes by the definition that it found: nobody changes it meanwhile, also where only raw is written.
    @Test func aCommitInHandIsWaitedFor() async throws {
        var pair = try await pair(.postgres, "inhand", [table], "200ms")
        try await pair.theirs.hold([table.source], .paused, reason: "a test's")
        _ = try await pair.apply([row(2, 1, .int(1), .text("a"))], by: table, .first)
        let dropped = evolve(table, 10, [("id", .bigint), ("n", .integer)])
        let error = await refusal { try await pair.theirs.ensure([dropped.applied], recording: dropped.changes) }
        #expect(error?.kind == .passing && error?.isLock == true)
        _ = try await pair.apply([row(3, 2, .int(1), .text("a"))], by: table, .last)
        try await pair.theirs.ensure([dropped.applied], recording: dropped.changes)
        await pair.close()
    }
}

import Replication
import Testing

/// Plans from the change to their end, on definitions alone.
@Suite struct SchemaPlanTests {
    private let choice = TableChoice(target: "t")

    private func evolve(
        _ before: String, _ after: String, policy: SchemaPolicy = .init()
    ) -> (before: TableDefinition, evolution: SchemaEvolution) {
        let table = SchemaTableTests.definition(SchemaTableTests.schema(before, position: 10))
        let evolution = SchemaEvolution(
            table, wanted: table, to: SchemaTableTests.schema(after, position: 20), told: .init(), choice: choice,
            policy: policy)
        return (table, evolution)
    }

    private func approved(_ change: SchemaChange, due_us: Int64 = 0) -> SchemaChange {
        var change = change
        change.state = .approved
        change.dueAt_us = change.dueAt_us.map { _ in due_us }
        return change
    }

    @Test func aDroppedColumnStaysUntilItsTime() throws {
        let (_, evolution) = evolve("id bigint, v text, w text", "id bigint, w text #3")
        let table = evolution.applied
        #expect(table.columns.map(\.name) == ["id", "w"])
        #expect(table.liveColumns.map(\.name) == ["id", "v", "w"], "in its place")
        #expect(table.withHistory.columns.map(\.name) == ["id", "v", "w"])
        let change = approved(evolution.changes[0], due_us: 100)
        #expect(try SchemaPlan.step(change, table, now_us: 99) == nil)
        let step = try #require(try SchemaPlan.step(change, table, now_us: 100))
        #expect(step.operations == [.dropColumn("v")])
        #expect(step.definition.liveColumns.map(\.name) == ["id", "w"])
        #expect(step.change.state == .done)
    }

    @Test func aRenamedColumnHasBothNamesInBetween() throws {
        let (before, evolution) = evolve("id bigint, v text", "id bigint, w text")
        let table = evolution.applied
        #expect(table == evolution.wanted)
        #expect(table.columns[1].name == "v" && table.columns[1].nameAtSource == "w")
        #expect(table.liveColumns.map(\.name) == ["id", "v", "w"])
        let change = approved(evolution.changes[0], due_us: 100)
        let step = try #require(try SchemaPlan.step(change, table, now_us: 1))
        #expect(step.operations == [.renameColumn("v", to: "w")])
        #expect(step.definition.columns[1].name == "w" && step.definition.columns[1].formerNames == ["v"])
        #expect(step.definition.liveColumns.map(\.name) == ["id", "v", "w"])
        #expect(try SchemaPlan.step(step.change, step.definition, now_us: 99) == nil)
        let end = try #require(try SchemaPlan.step(step.change, step.definition, now_us: 100))
        #expect(end.definition.liveColumns.map(\.name) == ["id", "w"])
        // Back from either.
        let early = try SchemaPlan.rollback(evolution.changes[0], table, now_us: 1)
        #expect(early.definition.liveColumns == before.liveColumns && early.definition.columns[1].name == "v")
        let late = try SchemaPlan.rollback(step.change, step.definition, now_us: 1)
        #expect(late.operations == [.renameColumn("w", to: "v")])
        #expect(late.definition.liveColumns == before.liveColumns)
        #expect(late.definition.columns[1].nameAtSource == "w")
    }

    @Test func anotherTypeWaitsAndIsMetAgain() throws {
        let (before, evolution) = evolve("id bigint, v text", "id bigint, v jsonb")
        #expect(evolution.applied.columns[1].type == .text && evolution.wanted.columns[1].type == .jsonb)
        // As a start meets it, that knows what is applied.
        let again = SchemaEvolution(
            evolution.applied, wanted: evolution.applied,
            to: SchemaTableTests.schema("id bigint, v jsonb", position: 30),
            told: .init(), choice: choice, policy: SchemaPolicy())
        #expect(again.changes.count == 1 && again.changes[0].isSame(as: evolution.changes[0]))
        #expect(SchemaChange.new(again.changes, beside: evolution.changes, now_us: 1).isEmpty)
        let step = try #require(try SchemaPlan.step(approved(evolution.changes[0]), evolution.applied, now_us: 1))
        #expect(step.operations == [.retype(step.definition.columns[1], aside: "v_retired_1")])
        #expect(step.copiesAnew && step.definition.liveColumns == before.liveColumns)
        #expect(step.definition.columns == evolution.wanted.columns)
        #expect(step.definition.followed == evolution.wanted.followed)
        // Refused, it isn't met any more.
        let refused = try SchemaPlan.rollback(evolution.changes[0], evolution.applied, now_us: 1)
        #expect(refused.definition.columns == evolution.applied.columns)
        #expect(refused.definition.followed == evolution.wanted.followed)
        // Back from its end.
        let back = try SchemaPlan.rollback(step.change, step.definition, now_us: 2)
        #expect(back.definition.columns.map(\.type) == before.columns.map(\.type))
        #expect(back.operations == [.restore("v", from: "v_retired_1", aside: "v_retired_2", until: nil)])
    }

    @Test func anotherKey() throws {
        let (_, evolution) = evolve("id bigint, v bigint; key id", "id bigint, v bigint; key v")
        #expect(evolution.applied.keyNames == ["id"] && evolution.wanted.keyNames == ["v"])
        let step = try #require(try SchemaPlan.step(approved(evolution.changes[0]), evolution.applied, now_us: 1))
        #expect(step.operations == [.rekey] && step.copiesAnew && step.definition.keyNames == ["v"])
        #expect(step.definition.followed == evolution.wanted.followed)
        let refused = try SchemaPlan.rollback(evolution.changes[0], evolution.applied, now_us: 1)
        #expect(refused.definition.keyNames == ["id"] && refused.definition.followed?.key == ["v"])
    }

    @Test func additiveChangesThatWait() throws {
        var policy = SchemaPolicy()
        policy.additive = .plan
        let (_, evolution) = evolve("id bigint", "id bigint, v text", policy: policy)
        #expect(evolution.isHeld && evolution.applied.columns.count == 1 && evolution.wanted.columns.count == 2)
        let step = try #require(try SchemaPlan.step(approved(evolution.changes[0]), evolution.applied, now_us: 1))
        #expect(step.definition.columns == evolution.wanted.columns)
        #expect(step.definition.followed == evolution.wanted.followed)
        policy.additive = .stop
        #expect(evolve("id bigint", "id bigint, v text", policy: policy).evolution.stops != nil)
    }

    /// What isn't told of a column that was renamed twice is told by its place.
    @Test func placesTellWhereNumbersDoNot() {
        let before = SchemaTableTests.schema("id bigint, a text, b text", position: 1)
        var later = SchemaTableTests.schema("id bigint, x text, b text", position: 2)
        later.columns[1].number = nil
        let diff = SchemaDiff(from: before, to: later)
        #expect(diff.differences == [.renamed(from: before.columns[1], to: later.columns[1])])
        later.columns = [later.columns[0], before.columns[1], later.columns[1]]
        #expect(SchemaDiff(from: before, to: later).differences.count == 2, "at the end it may be a new one")
    }

    @Test func evolutionsAreStored() throws {
        let (_, evolution) = evolve("id bigint, v text, w numeric(6,2)", "id bigint, x text, y text #4")
        var read = evolution.applied
        read.followed = nil
        read.retired = []
        read.shown = []
        for index in read.columns.indices {
            read.columns[index].number = nil
            read.columns[index].sourceName = nil
            read.columns[index].initial = nil
        }
        read.take(evolution: evolution.applied.evolution)
        #expect(read == evolution.applied)
        for var change in evolution.changes {
            change.id = 3
            #expect(SchemaChange(values: change.values) == change)
        }
    }
}

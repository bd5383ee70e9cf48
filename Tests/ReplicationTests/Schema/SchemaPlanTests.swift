import Testing

@testable import Replication

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

    /// Agents of one group number the columns that their events bring for themselves.
    @Test func aNumberOfAnothersColumnRenamesNothing() {
        let known = evolve("id bigint", "id bigint, g text").evolution.applied
        let ours = evolve("id bigint", "id bigint, d text").evolution.applied
        #expect(known.columns[1].identity == ours.columns[1].identity)
        let changes = TableChanges(from: known, to: ours)
        #expect(changes.renames.isEmpty && changes.additions.map(\.name) == ["d"])
        // A rename is one all the same.
        let renamed = evolve("id bigint, v text", "id bigint, w text #2")
        let plan = approved(renamed.evolution.changes[0])
        let step = try? SchemaPlan.step(plan, renamed.evolution.applied, now_us: 0)
        let after = TableChanges(from: renamed.evolution.applied, to: step?.definition ?? renamed.before)
        #expect(after.renames.map(\.to) == ["w"] && after.additions.isEmpty)
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

    private func next(_ table: TableDefinition, _ after: String, position: Int64) -> SchemaEvolution {
        SchemaEvolution(
            table, wanted: table, to: SchemaTableTests.schema(after, position: position), told: .init(), choice: choice,
            policy: SchemaPolicy())
    }

    /// Plans are decided in any order, and the column may have another name by then.
    @Test func aColumnIsFoundByItsNumber() throws {
        let (_, renamed) = evolve("id bigint, v text", "id bigint, w text")
        let typed = next(renamed.applied, "id bigint, w jsonb", position: 30)
        #expect(typed.changes.map(\.kind) == [.changeType] && typed.changes[0].column == "v")
        let rename = try #require(try SchemaPlan.step(approved(renamed.changes[0]), typed.applied, now_us: 1))
        let step = try #require(try SchemaPlan.step(approved(typed.changes[0]), rename.definition, now_us: 2))
        #expect(step.operations == [.retype(step.definition.columns[1], aside: "w_retired_1")])
        #expect(step.definition.columns[1].name == "w" && step.definition.columns[1].type == .jsonb)
        let back = try SchemaPlan.rollback(step.change, step.definition, now_us: 3)
        #expect(back.operations == [.restore("w", from: "w_retired_1", aside: "w_retired_2", until: nil)])
        // One that was dropped since takes the plan with it.
        var without = typed.applied
        without.retire("v")
        let moot = try #require(try SchemaPlan.step(approved(typed.changes[0]), without, now_us: 2))
        #expect(moot.operations.isEmpty && moot.change.state == .done && !moot.copiesAnew)
        // Where names alone tell, nothing is done, and nobody is told that it was.
        var unnamed = typed.changes[0]
        unnamed.identity = nil
        #expect(throws: SchemaPlan.Refusal.self) {
            try SchemaPlan.step(approved(unnamed), without, now_us: 2)
        }
    }

    /// The name of a column that was dropped may be another's by then.
    @Test func anApprovedDropTakesItsOwnColumn() throws {
        let (_, first) = evolve("id bigint, v text", "id bigint")
        let added = next(first.applied, "id bigint, v text #3", position: 30)
        let second = next(added.applied, "id bigint", position: 40)
        #expect(second.applied.retired.map(\.name) == ["v_retired_1", "v"])
        #expect(!second.changes[0].isSame(as: first.changes[0]))
        for (change, name) in [(first.changes[0], "v_retired_1"), (second.changes[0], "v")] {
            let step = try #require(try SchemaPlan.step(approved(change), second.applied, now_us: 100))
            #expect(step.operations == [.dropColumn(name)])
        }
        // What a change of its type keeps beside it stays.
        let (_, typed) = evolve("id bigint, v text", "id bigint, v jsonb")
        let retyped = try #require(try SchemaPlan.step(approved(typed.changes[0]), typed.applied, now_us: 1))
        let dropped = next(retyped.definition, "id bigint", position: 50)
        let step = try #require(try SchemaPlan.step(approved(dropped.changes[0]), dropped.applied, now_us: 100))
        #expect(step.operations == [.dropColumn("v")])
        #expect(step.definition.retired.map(\.name) == ["v_retired_1"])
    }

    /// A plan that still waits is about the column that it was about.
    @Test func anIdentityIsNobodysAgain() throws {
        let (_, first) = evolve("id bigint, v text", "id bigint")
        let gone = try #require(try SchemaPlan.step(approved(first.changes[0]), first.applied, now_us: 100))
        let added = next(gone.definition, "id bigint, w text #3", position: 40)
        #expect(added.applied.columns.map(\.identity) == [1, 3])
        var read = gone.definition
        read.spentIdentity = 0
        read.take(evolution: gone.definition.evolution)
        #expect(read == gone.definition)
    }

    @Test func namesThatCantBeGivenEndAllTheSame() {
        let (before, _) = evolve("id bigint, a text, b text", "id bigint, a text, b text")
        var known = before
        known.identify()
        var wanted = known
        // Raw has their events under the names that they had.
        func name(_ index: Int, _ name: String) {
            let inRaw = known.columns[index].namesInRaw
            wanted.columns[index].name = name
            wanted.columns[index].namesInRaw = inRaw
        }
        name(1, "c")
        name(2, "c")
        #expect(TableChanges(from: known, to: wanted).renames.count <= 4)
        name(1, "b")
        name(2, "a")
        let renames = TableChanges(from: known, to: wanted).renames
        #expect(renames.map(\.from) == ["a", "b", "millrace_renamed"])
        #expect(renames.map(\.to) == ["millrace_renamed", "a", "b"])
    }

    /// A key's column that was renamed and dropped stays until the key changes, and what it stands for comes to no end.
    @Test func namesThatWantEachOthersPlace() {
        var table = SchemaTableTests.definition(SchemaTableTests.schema("id bigint, n bigint, v text", position: 1))
        table.columns[0].sourceName = "n"
        table.columns[1].sourceName = "id"
        table.makeRoom(for: "n")
        #expect(Set(table.columns.map(\.name)).count == 3)
    }

    /// Rows that came between may have been taken for those of the other column.
    @Test func aNameThatAnotherColumnHadIsReadAtTheSource() {
        for after in ["id bigint, w text, v text #3", "id bigint, w text, v text", "id bigint, v text #3"] {
            let (_, evolution) = evolve("id bigint, v text", after)
            #expect(evolution.needsCopy, "\(after)")
        }
        #expect(!evolve("id bigint, v text", "id bigint, w text").evolution.needsCopy)
        // Names that were swapped.
        var swapped = SchemaTableTests.schema("id bigint, b text, a text", position: 20)
        (swapped.columns[1].number, swapped.columns[2].number) = (2, 3)
        let before = SchemaTableTests.schema("id bigint, a text, b text", position: 10)
        #expect(SchemaDiff(from: before, to: swapped).reusesName)
        #expect(SchemaDiff(from: before, to: swapped).differences.count == 2)
        // Where one of them had another name here already, too.
        let (_, first) = evolve("id bigint, a text, b integer", "id bigint, c text, b integer")
        var second = SchemaTableTests.schema("id bigint, b text, c integer", position: 30)
        (second.columns[1].number, second.columns[2].number) = (2, 3)
        let evolution = SchemaEvolution(
            first.applied, wanted: first.wanted, to: second, told: .init(), choice: choice, policy: SchemaPolicy())
        #expect(evolution.changes.map(\.kind) == [.renameColumn, .renameColumn])
        #expect(evolution.applied.columns.map(\.name) == ["id", "a", "b"])
        #expect(evolution.applied.columns.map(\.nameAtSource) == ["id", "b", "c"])
        #expect(Set(evolution.applied.liveColumns.map(\.name)).count == evolution.applied.liveColumns.count)
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

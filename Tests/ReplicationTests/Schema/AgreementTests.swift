import Testing

@testable import Replication

/// Who knows a table as it was, beside those who know what became of it.
@Suite struct AgreementTests {
    private func evolve(_ before: String, _ after: String) -> (before: TableDefinition, evolution: SchemaEvolution) {
        var table = SchemaTableTests.definition(SchemaTableTests.schema(before, position: 10))
        table.identify()
        let evolution = SchemaEvolution(
            table, wanted: table, to: SchemaTableTests.schema(after, position: 20), told: .init(),
            choice: TableChoice(target: "t"), policy: SchemaPolicy())
        return (table, evolution)
    }

    /// Of all changes that are done at once one alone gives a name to another column.
    @Test(arguments: SchemaTableTests.rows) func whatIsDoneAtOnce(row: SchemaTableTests.Row) throws {
        let (before, evolution) = evolve(row.before, row.after)
        let now = evolution.applied
        let isReused = row.change == "dropped and added anew"
        #expect((before.conflict(with: now) != nil) == isReused, "\(row.change)")
        #expect(now.conflict(with: now) == nil)
        #expect(try now.made(over: before, recording: evolution.changes, beside: { [] }) == now, "\(row.change)")
        #expect(try now.made(over: now, recording: evolution.changes, beside: { [] }) == now, "\(row.change)")
        let again = try? before.made(over: now, recording: [], beside: { [] })
        if isReused {
            #expect(throws: ReplicationError.self) { try before.made(over: now, recording: [], beside: { [] }) }
        } else {
            #expect(again == .some(nil), "\(row.change): it is there")
        }
    }

    /// Names that go round, and a decision.
    @Test func whatIsDecided() throws {
        let (before, evolution) = evolve("id bigint, v text", "id bigint, w text")
        var change = evolution.changes[0]
        change.state = .approved
        let step = try #require(try SchemaPlan.step(change, evolution.applied, now_us: 1))
        #expect(evolution.applied.conflict(with: step.definition) != nil)
        #expect(before.conflict(with: step.definition) != nil)
        // Raw has it under either name.
        var unaware = evolution.applied
        unaware.revision = step.definition.revision
        #expect(unaware.conflict(with: step.definition) == "column v is called w")
        #expect(unaware.conflict(with: step.definition, hasCurrent: false) == nil)
        #expect(step.definition.conflict(with: step.definition) == nil)
    }
}

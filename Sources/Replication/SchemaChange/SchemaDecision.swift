/// What a person, or its time, wants done with a plan. What that means hangs on the plan and on its table, which another agent
/// may change meanwhile: it is told by a warehouse behind the lock under which both are written.
package struct SchemaDecision: Sendable {
    package enum Kind: Sendable, Equatable {
        case approve
        /// Of an approved plan what is due of it.
        case goOn
        case rollBack
        /// It couldn't be gone on with, and says why.
        case wait(String)
    }

    package enum Outcome: Sendable {
        /// The plan as it is from now on.
        case done(SchemaChange)
        /// Its time hasn't come, or somebody else was faster.
        case nothing
        case refused(SchemaPlan.Refusal)
    }

    package var id: Int64
    package var kind: Kind
    package var now_us: Int64

    package init(_ kind: Kind, _ id: Int64, now_us: Int64) {
        self.kind = kind
        self.id = id
        self.now_us = now_us
    }

    /// - Parameters:
    ///   - changes: those of the pipeline, and `tables` its tables, as they are stored.
    package func step(
        _ changes: [SchemaChange], _ tables: [TableDefinition]
    ) throws(SchemaPlan.Refusal) -> SchemaStep? {
        guard var change = changes.first(where: { $0.id == id }) else {
            throw SchemaPlan.Refusal(
                message: "there is no schema change \(id)", remedy: "millrace schema list --all")
        }
        let definition = tables.first { $0.source == change.table }
        switch kind {
        case .approve:
            guard change.state == .waiting else {
                throw SchemaPlan.Refusal(
                    message: "change \(id) doesn't wait: it is \(change.state.rawValue)",
                    remedy: "millrace schema list")
            }
            change.state = .approved
            change.decidedAt_us = now_us
            change.note("approved", at_us: now_us)
            // What can't be done is refused before anybody relies on it.
            _ = try SchemaPlan.step(change, definition, beside: changes, now_us: now_us)
            return SchemaStep(definition ?? change.nothing, change)
        case .goOn:
            guard change.state == .approved else { return nil }
            return try SchemaPlan.step(change, definition, beside: changes, now_us: now_us)
        case .rollBack: return try SchemaPlan.rollback(change, definition, now_us: now_us)
        case .wait(let reason):
            let what = "waits: \(reason)"
            guard change.state == .approved, change.steps.last?.what != what else { return nil }
            change.note(what, at_us: now_us)
            var step = SchemaStep(change.nothing, change)
            step.isNote = true
            return step
        }
    }
}

extension SchemaChange {
    /// The place of a table that isn't there.
    var nothing: TableDefinition { TableDefinition(source: table, target: "", columns: [], key: []) }
}

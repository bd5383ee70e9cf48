import Replication

extension WarehouseControl {
    package func schemaChanges() async throws -> [SchemaChange] { try await atWork().schemaChanges() }

    package func approve(schemaChange id: Int64) async throws -> SchemaChange {
        try await decide(.init(.approve, id, now_us: Moment.now_us()))
    }

    package func rollBack(schemaChange id: Int64) async throws -> SchemaChange {
        try await decide(.init(.rollBack, id, now_us: Moment.now_us()))
    }

    /// The runner has decoders that know the tables as they were: it begins anew.
    private func decide(_ decision: SchemaDecision) async throws -> SchemaChange {
        let warehouse = try atWork()
        // It needn't begin anew for what is refused anyway.
        let (changes, tables) = (try await warehouse.schemaChanges(), try await warehouse.knownTables())
        do throws(SchemaPlan.Refusal) {
            _ = try decision.step(changes, tables)
        } catch {
            throw Self.failure(error)
        }
        if let running {
            try await running.rejoin { try await Self.carryOut(decision, warehouse) }
        } else {
            try await Self.carryOut(decision, warehouse)
        }
        let decided = try await warehouse.schemaChanges()
        running?.status.update { $0.schemaChanges = decided }
        return try await find(decision.id, warehouse)
    }

    private static func carryOut(_ decision: SchemaDecision, _ warehouse: any Warehouse) async throws {
        if case .refused(let refusal) = try await warehouse.carryOut(decision) { throw failure(refusal) }
        guard decision.kind == .approve else { return }
        try await SchemaDecisions.settle(warehouse, only: [decision.id], logger: nil)
    }

    private static func failure(_ refusal: SchemaPlan.Refusal) -> CommandFailure {
        CommandFailure(ExitStatus.usage, refusal.message, try: refusal.remedy)
    }

    private func find(_ id: Int64, _ warehouse: any Warehouse) async throws -> SchemaChange {
        guard let change = try await warehouse.schemaChanges().first(where: { $0.id == id }) else {
            throw CommandFailure(ExitStatus.usage, "there is no schema change \(id)", try: "millrace schema list --all")
        }
        return change
    }
}

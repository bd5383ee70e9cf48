import Replication

extension WarehouseControl {
    package func schemaChanges() async throws -> [SchemaChange] { try await atWork().schemaChanges() }

    package func approve(schemaChange id: Int64) async throws -> SchemaChange {
        let warehouse = try atWork()
        let change = try await find(id, warehouse)
        guard change.state == .waiting else {
            throw CommandFailure(
                ExitStatus.usage, "change \(id) doesn't wait: it is \(change.state.rawValue)",
                try: "millrace schema list")
        }
        var approved = change
        approved.state = .approved
        approved.decidedAt_us = Moment.now_us()
        approved.note("approved", at_us: Moment.now_us())
        let definition = try await definition(of: change, warehouse)
        // What can't be done is refused before anybody relies on it.
        try Self.refusing { () throws(SchemaPlan.Refusal) in
            _ = try SchemaPlan.step(approved, definition, now_us: Moment.now_us())
        }
        let step = SchemaStep(definition ?? Self.nothing(change.table), approved)
        return try await decide(id) { warehouse in
            try await warehouse.carryOut(step)
            try await SchemaDecisions.settle(warehouse, logger: nil)
        }
    }

    package func rollBack(schemaChange id: Int64) async throws -> SchemaChange {
        let warehouse = try atWork()
        let change = try await find(id, warehouse)
        let definition = try await definition(of: change, warehouse)
        let step = try Self.refusing { () throws(SchemaPlan.Refusal) in
            try SchemaPlan.rollback(change, definition, now_us: Moment.now_us())
        }
        return try await decide(id) { try await $0.carryOut(step) }
    }

    /// The runner has decoders that know the tables as they were: it begins anew.
    private func decide(
        _ id: Int64, _ work: @escaping @Sendable (any Warehouse) async throws -> Void
    ) async throws -> SchemaChange {
        let warehouse = try atWork()
        if let running {
            try await running.rejoin { try await work(warehouse) }
        } else {
            try await work(warehouse)
        }
        let changes = try await warehouse.schemaChanges()
        running?.status.update { $0.schemaChanges = changes }
        return try await find(id, warehouse)
    }

    private func find(_ id: Int64, _ warehouse: any Warehouse) async throws -> SchemaChange {
        guard let change = try await warehouse.schemaChanges().first(where: { $0.id == id }) else {
            throw CommandFailure(ExitStatus.usage, "there is no schema change \(id)", try: "millrace schema list --all")
        }
        return change
    }

    private func definition(of change: SchemaChange, _ warehouse: any Warehouse) async throws -> TableDefinition? {
        try await warehouse.knownTables().first { $0.source == change.table }
    }

    private static func nothing(_ table: TableID) -> TableDefinition {
        TableDefinition(source: table, target: "", columns: [], key: [])
    }

    private static func refusing<R>(_ body: () throws(SchemaPlan.Refusal) -> R) throws -> R {
        do throws(SchemaPlan.Refusal) {
            return try body()
        } catch {
            throw CommandFailure(ExitStatus.usage, error.message, try: error.remedy)
        }
    }
}

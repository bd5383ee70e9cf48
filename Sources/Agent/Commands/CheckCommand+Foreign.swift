import Replication

extension CheckCommand {
    /// What becomes of a table that stands where one of ours shall be.
    static func foreign(
        _ definition: TableDefinition, _ warehouse: any Warehouse, _ setup: PipelineSetup
    ) async throws -> [Finding] {
        guard setup.layout.hasCurrent, try await warehouse.foreignTable(at: definition) != nil else { return [] }
        let name = definition.source.description
        let target = "\(setup.layout.current).\(definition.target)"
        switch definition.existing {
        case .error:
            return [
                Finding(
                    .error, name, "\(target) is there already and isn't ours",
                    remedy: "set `existing: adopt` or `existing: replace` for the table, or another `target:`")
            ]
        case .adopt:
            guard let adoption = try await warehouse.adoption(of: definition) else {
                return [
                    Finding(
                        .error, name, "\(target) is there already and is no table, so that it can't be adopted",
                        remedy: "set `existing: replace` for the table, or another `target:`")
                ]
            }
            return adoption.findings(name) + copied(adoption, name, setup) + inClear(adoption, name, setup)
        case .replace:
            return [Finding(.warning, name, "\(target) is there already and will be renamed aside")]
        }
    }

    /// What is masked is so from now on.
    private static func inClear(_ adoption: Adoption, _ name: String, _ setup: PipelineSetup) -> [Finding] {
        guard let columns = setup.pipeline.table(source: name)?.columns, adoption.refusal == nil else { return [] }
        let there = (columns.hash + columns.exclude).filter { adoption.plan.table.column($0) != nil }
        guard adoption.rows > 0, !there.isEmpty else { return [] }
        return [
            Finding(
                .warning, name,
                "\(there.joined(separator: ", ")) of its rows stay as they are, in clear: hashed columns until a row is written anew, excluded ones for ever",
                remedy: "set existing: replace for the table, and drop what was set aside")
        ]
    }

    /// What becomes of the rows that are there.
    private static func copied(_ adoption: Adoption, _ name: String, _ setup: PipelineSetup) -> [Finding] {
        guard adoption.refusal == nil, adoption.rows > 0 else { return [] }
        if case .postgres = setup.pipeline.source.input, setup.pipeline.source.snapshot != .never {
            return [
                Finding(
                    .ok, name,
                    "its rows will be copied anew in place; those that the source no longer has are marked as deleted")
            ]
        }
        return [
            Finding(
                .warning, name,
                "each of its rows stays as it is until an event of its key comes; of what was deleted before, none will",
                remedy: "compare with the source, or let source.postgres with snapshot: initial copy it in place")
        ]
    }
}

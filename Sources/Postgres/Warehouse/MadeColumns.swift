import Replication

/// The columns that a table of current is made with in a Postgres warehouse, told without asking the server: a type of the
/// source's own has the source's name, though a server that lacks it has a text.
package enum PostgresColumns {
    /// Names and types, in order: the source's columns, ours, and those that are kept.
    package static func current(_ definition: TableDefinition) -> [(name: String, type: String)] {
        let types = TypeNames(assumingTypesOf: definition)
        let kept = types.byName(definition)
        return zip(definition.columns, types.types(definition)).map { ($0.name, $1) }
            + TableSQL.metadataColumns(of: definition)
            + definition.retired.map { ($0.name, kept[$0.name] ?? $0.type.sql) }
    }

    package static var raw: [(name: String, type: String)] {
        WarehouseSchema.rawColumns.map { ($0.name, $0.type.sql) }
    }
}

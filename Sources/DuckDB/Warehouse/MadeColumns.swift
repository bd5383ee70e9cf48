import Replication

/// The columns that tables are made with in a DuckDB warehouse, told without looking into the file.
package enum DuckDBColumns {
    /// Names and types, in order: the source's columns, ours, and those that are kept.
    package static func current(_ definition: TableDefinition) -> [(name: String, type: String)] {
        TableSQL(definition, WarehouseLayout(pipeline: "")).allColumns
    }

    package static var raw: [(name: String, type: String)] { TableSQL.rawColumns }
}

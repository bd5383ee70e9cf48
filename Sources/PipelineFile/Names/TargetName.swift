/// Names of tables in the warehouse where `tables[].target` says nothing.
package enum TargetName {
    /// Schemas whose name isn't put before the table's.
    package static let defaultSchemas: Set<String> = ["public", "dbo"]

    /// `table` where the schema is the default one or there is none, else `schema__table`.
    ///
    /// `soleSchema`: the schema is a MySQL database and the only one, so that naming it says nothing.
    package static func standard(schema: String?, table: String, soleSchema: Bool = false) -> String {
        guard let schema, !soleSchema, !defaultSchemas.contains(schema) else { return table }
        return "\(schema)__\(table)"
    }

    /// Sources that would share a table: each target with its sources, sorted; empty where all differ.
    /// `ignoringCase`: DuckDB calls `Orders` and `orders` one table.
    package static func collisions(
        _ targets: [(source: String, target: String)], ignoringCase: Bool
    ) -> [(target: String, sources: [String])] {
        Dictionary(grouping: targets) { ignoringCase ? $0.target.lowercased() : $0.target }
            .values
            .filter { $0.count > 1 }
            .map { (target: $0[0].target, sources: $0.map(\.source).sorted()) }
            .sorted { $0.target < $1.target }
    }
}

/// What a warehouse's identifier may be: any characters, quoted where need be, but not none, no NUL and
/// not longer than the engine keeps.
package enum Identifier {
    /// Postgres cuts longer names without a word, so that two could become one.
    package static let postgres_bytes_max = 63
    package static let duckdb_bytes_max = 255

    /// What is wrong with it; nil where nothing is.
    package static func problem(_ name: String, bytes_max: Int) -> String? {
        if name.isEmpty { return "a name can't be empty" }
        if name.utf8.contains(0) { return "a name can't hold a NUL character" }
        if name.utf8.count > bytes_max {
            return "the name has \(name.utf8.count) bytes, the warehouse keeps \(bytes_max)"
        }
        return nil
    }
}

extension Pipeline.Engine {
    /// The longest name that the engine keeps.
    package var identifier_bytes_max: Int {
        switch self {
        case .duckdb: Identifier.duckdb_bytes_max
        case .postgres: Identifier.postgres_bytes_max
        }
    }

    /// Whether names that differ by case only are one.
    package var ignoresCase: Bool {
        if case .duckdb = self { true } else { false }
    }
}

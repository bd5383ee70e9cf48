/// A table that somebody else made, in the place of one of ours, as the engine's catalog has it.
package struct ForeignTable: Sendable, Equatable {
    package struct Column: Sendable, Equatable {
        package var name: String
        package var type: ColumnType
        /// The engine's own name of the type, for messages.
        package var typeName: String
        package var isNullable: Bool
        /// It gets a value where an insert names none: a default, an identity, a generated column.
        package var hasDefault: Bool
        /// Of a primary key that stays while the table is ours.
        package var isInPrimaryKey: Bool

        package init(
            name: String, type: ColumnType, typeName: String, isNullable: Bool = true, hasDefault: Bool = false,
            isInPrimaryKey: Bool = false
        ) {
            self.name = name
            self.type = type
            self.typeName = typeName
            self.isNullable = isNullable
            self.hasDefault = hasDefault
            self.isInPrimaryKey = isInPrimaryKey
        }
    }

    /// `schema.table`, for messages.
    package var name: String
    package var columns: [Column]
    /// The engine's names know no case.
    package var ignoresCase: Bool

    package init(name: String, columns: [Column], ignoresCase: Bool) {
        self.name = name
        self.columns = columns
        self.ignoresCase = ignoresCase
    }

    package func column(_ name: String) -> Column? {
        columns.first { ignoresCase ? $0.name.lowercased() == name.lowercased() : $0.name == name }
    }
}

/// Tools whose columns we know, by what they add to a table (docs/coming-from-elsewhere.md has the sources of these facts).
package enum ForeignMaker: String, Sendable, CaseIterable {
    case fivetran = "Fivetran"
    case airbyte = "Airbyte"
    case peerdb = "PeerDB"
    /// A JDBC sink behind ExtractNewRecordState; the sink itself adds no column.
    case debezium = "the Debezium JDBC sink"

    /// Of a column that isn't the source's; names are compared without case, as some destinations change it.
    init?(column name: String) {
        let name = name.lowercased()
        if name.hasPrefix("_fivetran_") {
            self = .fivetran
        } else if name.hasPrefix("_airbyte_") || name.hasPrefix("_ab_cdc_") {
            self = .airbyte
        } else if name.hasPrefix("_peerdb_") {
            self = .peerdb
        } else if Self.flattened.contains(name) || name.hasPrefix("__source_") {
            self = .debezium
        } else {
            return nil
        }
    }

    /// What ExtractNewRecordState adds under its usual prefix.
    private static let flattened: Set<String> = ["__deleted", "__op", "__ts_ms", "__ts_us", "__ts_ns", "__lsn"]
}

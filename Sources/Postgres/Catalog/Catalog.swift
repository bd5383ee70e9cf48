/// What a source database says of its tables and of the types they use.
package struct Catalog: Sendable, Equatable {
    /// By schema and name.
    package var tables: [CatalogTable]
    /// All types of the tables' columns, and those they are made of, by OID.
    package var types: [UInt32: CatalogType]
    /// Tables that were asked for and aren't there, or that the user may not see.
    package var missing: [CatalogTable.Name]

    package func table(_ schema: String, _ name: String) -> CatalogTable? {
        tables.first { $0.name == CatalogTable.Name(schema: schema, name: name) }
    }
}

package struct CatalogTable: Sendable, Equatable {
    package struct Name: Sendable, Hashable, CustomStringConvertible {
        package var schema: String
        package var name: String

        package init(schema: String, name: String) {
            self.schema = schema
            self.name = name
        }

        package var description: String { "\(schema).\(name)" }
    }

    package enum Kind: String, Sendable {
        case table = "r"
        case partitioned = "p"
        case view = "v"
        case materializedView = "m"
        case foreign = "f"
    }

    /// `REPLICA IDENTITY`: what the WAL tells of an old row.
    package enum ReplicaIdentity: String, Sendable {
        case primaryKey = "d"
        case nothing = "n"
        case full = "f"
        case index = "i"
    }

    package var oid: UInt32
    package var name: Name
    package var kind: Kind
    /// Temporary and unlogged tables aren't in the WAL: they can be copied, never followed.
    package var isLogged: Bool
    package var isPartition: Bool
    /// The topmost table of the tree, for partitions at any depth; nil for others.
    package var partitionRoot: Name?
    /// In the table's order, dropped ones left out.
    package var columns: [CatalogColumn]
    /// Names in the key's order; empty without a key.
    package var primaryKey: [String]
    /// The server checks the key at commit; such a key is no replica identity.
    package var isPrimaryKeyDeferrable: Bool
    package var replicaIdentity: ReplicaIdentity
    /// Names in the order of the identity's index, for `index`.
    package var identityIndex: [String]

    /// The columns whose old values updates and deletes carry; empty: they can't be published.
    package var identityColumns: [String] {
        switch replicaIdentity {
        case .primaryKey: isPrimaryKeyDeferrable ? [] : primaryKey
        case .index: identityIndex
        case .full: columns.filter { !$0.isGenerated }.map(\.name)
        case .nothing: []
        }
    }

    package func column(_ name: String) -> CatalogColumn? {
        columns.first { $0.name == name }
    }
}

package struct CatalogColumn: Sendable, Equatable {
    /// `attnum`: from 1, with gaps where columns were dropped. It survives renames.
    package var number: Int16
    package var name: String
    /// As Postgres writes it, with modifiers and, outside pg_catalog, its schema: `numeric(12,2)`, `public.mood[]`.
    package var type: String
    package var typeOID: UInt32
    /// `atttypmod`; -1 for none.
    package var typmod: Int32
    /// Behind all domains; the type itself where it is no domain.
    package var baseType: String
    package var baseTypeOID: UInt32
    package var baseTypmod: Int32
    /// Of the base type.
    package var kind: CatalogType.Kind
    /// For arrays: the type of the elements, domains not followed.
    package var elementType: String?
    package var elementTypeOID: UInt32?
    package var isNotNull: Bool
    package var hasDefault: Bool
    /// What rows have that were there before the column was added with a default, as text (`attmissingval`).
    package var missingValue: String?
    package var isIdentity: Bool
    /// `GENERATED ALWAYS AS (…)`: not published before Postgres 18, and never to be written.
    package var isGenerated: Bool
    /// As declared for an array, which Postgres holds no value to; 0 where nobody said.
    package var dimensions: Int
    /// What a warehouse is told: behind all domains, elements' too, `integer[][]` where two dimensions are declared, and
    /// composites with their fields, as `ColumnType.stored` writes them.
    package var replicatedType: String
}

/// A type that columns use, directly or inside another.
package struct CatalogType: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case base = "b"
        case array = "A"
        case composite = "c"
        case domain = "d"
        case `enum` = "e"
        case range = "r"
        case multirange = "m"
        case pseudo = "p"
    }

    /// A field of a composite type.
    package struct Field: Sendable, Equatable {
        package var name: String
        /// With modifiers.
        package var type: String
        package var typeOID: UInt32
        package var typmod: Int32
        /// As declared for an array.
        package var dimensions: Int
    }

    package var oid: UInt32
    package var schema: String
    /// `typname`: `int4`, `_int4`, `mood`.
    package var name: String
    /// As Postgres writes it, without modifiers.
    package var type: String
    package var kind: Kind
    /// Array: of its elements; range: of its bounds.
    package var elementOID: UInt32?
    /// Domain: what it is over, with the domain's modifiers.
    package var baseOID: UInt32?
    package var baseType: String?
    package var baseTypmod: Int32
    /// Enum: in the order in which they sort.
    package var labels: [String]
    /// Composite: in order.
    package var fields: [Field]
}

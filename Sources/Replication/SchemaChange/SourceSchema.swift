/// A table's schema at a position of its source, as far as the source tells it: what two of them differ in is a schema
/// change (`SchemaDiff`).
package struct SourceSchema: Hashable, Sendable {
    package struct Column: Hashable, Sendable {
        package var name: String
        /// The source's number for it (`attnum`), which survives renames; nil: not told.
        package var number: Int?
        /// Nil: not told, as of a type that the catalog no longer knows.
        package var type: ColumnType?
        package var isNullable: Bool?

        package init(_ name: String, number: Int? = nil, type: ColumnType?, isNullable: Bool? = nil) {
            self.name = name
            self.number = number
            self.type = type
            self.isNullable = isNullable
        }
    }

    /// How much of a row its old values show.
    package enum Identity: Int, Hashable, Sendable, Comparable {
        case nothing, key, full
        package static func < (a: Identity, b: Identity) -> Bool { a.rawValue < b.rawValue }
    }

    /// The source's number for the table: another one is another table, whose columns are numbered anew. 0: not told.
    package var oid: UInt32 = 0
    /// Positions began again from lower ones that often.
    package var epoch: Int64 = 0
    /// Commit position of the first transaction that showed it, and the changes in front of it there: an older schema that
    /// comes again changes nothing.
    package var position: Int64
    package var place: Int64 = 0
    package var columns: [Column]
    /// Names, in order; nil: not told, or chosen by the pipeline file.
    package var key: [String]?
    package var identity: Identity?

    package init(
        oid: UInt32 = 0, position: Int64, columns: [Column], key: [String]? = nil, identity: Identity? = nil
    ) {
        self.oid = oid
        self.position = position
        self.columns = columns
        self.key = key
        self.identity = identity
    }

    /// Of what showed it first.
    package var version: Version { Version(epoch: epoch, commit: position, seq: place) }

    /// What isn't told is as it was.
    package func completed(from before: SourceSchema) -> SourceSchema {
        var schema = self
        schema.oid = oid == 0 ? before.oid : oid
        schema.key = key ?? before.key
        schema.identity = identity ?? before.identity
        for (index, column) in columns.enumerated() {
            guard let known = before.columns.first(where: { $0.name == column.name }) else { continue }
            // Of a table that was made anew neither number nor type goes on.
            if schema.oid == before.oid { schema.columns[index].number = column.number ?? known.number }
            schema.columns[index].type = column.type ?? known.type
            schema.columns[index].isNullable = column.isNullable ?? known.isNullable
        }
        return schema
    }

    package func isOlder(than other: SourceSchema) -> Bool {
        (epoch, position, place) < (other.epoch, other.position, other.place)
    }

    /// The same, whenever it was first seen.
    package func isSame(as other: SourceSchema) -> Bool {
        oid == other.oid && columns == other.columns && key == other.key && identity == other.identity
    }
}

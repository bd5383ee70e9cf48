import JSON
import Replication

/// What the source's catalog says of a published relation, beyond what pgoutput's own message tells: it travels among
/// the records, in front of what it is about, so that decoding hangs on nothing else. As JSON:
///
/// `{"oid":16385,"schema":"public","table":"orders","key":["id"],"identity":"d","columns":[["id","bigint"]…]}`
package struct RelationFacts: Sendable, Equatable {
    package var oid: UInt32
    package var table: TableID
    /// The primary key's columns in order; empty without one.
    package var key: [String]
    /// Columns whose old values deletes and updates carry; empty with REPLICA IDENTITY NOTHING.
    package var identity: [String]
    package var isFull: Bool
    /// What is published of it, in the order of copied rows, types as `ColumnType.stored` writes them. Domains are
    /// named by their base types.
    package var columns: [(name: String, type: String)]
    /// What the catalog says of them besides, by name; where it was asked (`SchemaEvolution`).
    package var traits: [String: Trait] = [:]
    /// Of a table without a key: the snapshot that its copy was read from. What committed before is in the copy.
    package var copiedAt: Int64?

    package struct Trait: Sendable, Equatable {
        /// `attnum`.
        package var number: Int
        package var isNotNull: Bool
        /// What rows have that were there before the column, as text (`attmissingval`); nil: nothing is kept of that.
        package var missing: String?
        /// Rows that were there before could have any value: a default that isn't kept, an identity, a rewritten table.
        package var isFilled: Bool

        package init(number: Int, isNotNull: Bool, missing: String? = nil, isFilled: Bool = false) {
            self.number = number
            self.isNotNull = isNotNull
            self.missing = missing
            self.isFilled = isFilled
        }
    }

    package init(
        oid: UInt32, table: TableID, key: [String], identity: [String], isFull: Bool,
        columns: [(name: String, type: String)], copiedAt: Int64? = nil
    ) {
        self.oid = oid
        self.table = table
        self.key = key
        self.identity = identity
        self.isFull = isFull
        self.columns = columns
        self.copiedAt = copiedAt
    }

    package static func == (a: RelationFacts, b: RelationFacts) -> Bool { a.json == b.json }

    package var json: String {
        JSONValue.object([
            ("oid", .number(String(oid))), ("schema", .string(table.schema)), ("table", .string(table.table)),
            ("key", .array(key.map(JSONValue.string))), ("identity", .array(identity.map(JSONValue.string))),
            ("full", .bool(isFull)),
            ("columns", .array(columns.map { .array([.string($0.name), .string($0.type)]) })),
            (
                "traits",
                .object(
                    columns.compactMap { column in
                        traits[column.name].map { trait in
                            (
                                column.name,
                                .array([
                                    .number(String(trait.number)), .bool(trait.isNotNull),
                                    trait.missing.map(JSONValue.string) ?? .null, .bool(trait.isFilled),
                                ])
                            )
                        }
                    })
            ),
            ("copiedAt", copiedAt.map { .number(String($0)) } ?? .null),
        ]).serialized
    }

    package init?(json: UnsafeRawBufferPointer) {
        guard let value = try? JSONValue(parsing: Array(json)), let oid = value["oid"]?.int64,
            let schema = value["schema"]?.string, let table = value["table"]?.string,
            let key = value["key"]?.array?.compactMap(\.string),
            let identity = value["identity"]?.array?.compactMap(\.string), let columns = value["columns"]?.array
        else { return nil }
        self.init(
            oid: UInt32(truncatingIfNeeded: oid), table: TableID(schema: schema, table: table), key: key,
            identity: identity, isFull: value["full"]?.bool ?? false,
            columns: columns.compactMap { pair in
                guard let pair = pair.array, pair.count == 2, let name = pair[0].string, let type = pair[1].string
                else {
                    return nil
                }
                return (name, type)
            }, copiedAt: value["copiedAt"]?.int64)
        for member in value["traits"]?.members ?? [] {
            guard let parts = member.value.array, parts.count == 4, let number = parts[0].int64,
                let isNotNull = parts[1].bool, let isFilled = parts[3].bool
            else { continue }
            traits[member.key] = Trait(
                number: Int(truncatingIfNeeded: number), isNotNull: isNotNull, missing: parts[2].string,
                isFilled: isFilled)
        }
    }

    /// The key that rows are kept under: the primary key where the old values cover it, else what they do cover.
    package var effectiveKey: [String] {
        if isFull || Set(key).isSubset(of: identity) { return key }
        return identity.isEmpty ? key : identity
    }
}

import JSON
import Replication

/// JSON of `_millrace`'s columns.
enum MetaJSON {
    /// `[["public","orders",epoch,commit,seq]…]`: a name may contain anything.
    static func text(marks: [TableID: Version]) -> String {
        let items = marks.sorted { $0.key < $1.key }.map { table, version in
            JSONValue.array(
                [.string(table.schema), .string(table.table)]
                    + [version.epoch, version.commit, version.seq].map { .number(String($0)) })
        }
        return JSONValue.array(items).serialized
    }

    static func marks(_ text: String?) throws -> [TableID: Version] {
        guard let text else { return [:] }
        guard let items = (try? JSONValue(parsing: text))?.array else { throw damaged("checkpoints.marks") }
        var marks: [TableID: Version] = [:]
        for item in items {
            guard let parts = item.array, parts.count == 5, let schema = parts[0].string, let table = parts[1].string,
                let epoch = parts[2].int64, let commit = parts[3].int64, let seq = parts[4].int64
            else { throw damaged("checkpoints.marks") }
            marks[TableID(schema: schema, table: table)] = Version(epoch: epoch, commit: commit, seq: seq)
        }
        return marks
    }

    /// `[{"name":"id","type":"bigint","key":true,"nullable":false}…]`.
    static func text(columns: [Column]) -> String {
        JSONValue.array(
            columns.map { column in
                .object([
                    ("name", .string(column.name)), ("type", .string(column.type.stored)), ("key", .bool(column.isKey)),
                    ("nullable", .bool(column.nullable)),
                ])
            }
        ).serialized
    }

    static func columns(_ text: String) throws -> [Column] {
        guard let items = (try? JSONValue(parsing: text))?.array else { throw damaged("tables.columns") }
        return try items.map { item in
            guard let name = item["name"]?.string, let type = item["type"]?.string else {
                throw damaged("tables.columns")
            }
            return Column(
                name: name, type: ColumnType(stored: type), isKey: item["key"]?.bool ?? false,
                nullable: item["nullable"]?.bool ?? true)
        }
    }

    static func text(names: [String]) -> String { JSONValue.array(names.map(JSONValue.string)).serialized }

    static func names(_ text: String, of column: String) throws -> [String] {
        guard let items = (try? JSONValue(parsing: text))?.array else { throw damaged(column) }
        return items.compactMap(\.string)
    }

    static func text(metadata: MetadataNames) -> String {
        JSONValue.object([
            ("is_deleted", .string(metadata.isDeleted)), ("deleted_at", .string(metadata.deletedAt)),
            ("_source_updated_at", .string(metadata.sourceUpdatedAt)), ("_loaded_at", .string(metadata.loadedAt)),
        ]).serialized
    }

    static func metadata(_ text: String) throws -> MetadataNames {
        guard let value = try? JSONValue(parsing: text), let isDeleted = value["is_deleted"]?.string,
            let deletedAt = value["deleted_at"]?.string, let updatedAt = value["_source_updated_at"]?.string,
            let loadedAt = value["_loaded_at"]?.string
        else { throw damaged("tables.metadata") }
        return MetadataNames(
            isDeleted: isDeleted, deletedAt: deletedAt, sourceUpdatedAt: updatedAt, loadedAt: loadedAt)
    }

    /// Where a batch's events stood: `[{"topic":…,"partition":0,"from":12,"to":50}]`.
    static func text(range advances: [CheckpointAdvance]) -> String {
        JSONValue.array(
            advances.map { advance in
                .object([
                    ("topic", .string(advance.partition.topic)),
                    ("partition", .number(String(advance.partition.partition))),
                    ("from", advance.from.map { .number(String($0)) } ?? .null), ("to", .number(String(advance.to))),
                ])
            }
        ).serialized
    }

    private static func damaged(_ column: String) -> ReplicationError {
        ReplicationError(
            .environment, "_millrace.\(column) holds something that millrace didn't write",
            remedy: "restore _millrace from a backup, or drop the pipeline and copy it anew")
    }
}

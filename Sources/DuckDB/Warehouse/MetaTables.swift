import JSON
import Replication

/// The engine's `_millrace`: what it consists of, and its version.
///
/// No table has a key or index: the engine checks those against rows that the same transaction has deleted. One
/// writer and few rows make them needless.
enum MetaTables {
    static let schema = SQLName.quoted(WarehouseSchema.metaSchema)

    static func name(_ table: String) -> String { "\(schema).\(table)" }

    /// The version that the database's `_millrace` has; nil if it has none.
    static func version(_ session: Session) throws -> Int? {
        let purpose = "looking for _millrace"
        let found = try session.int64(
            """
            SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() \
            AND schema_name = '\(WarehouseSchema.metaSchema)' AND table_name = 'meta'
            """, purpose: purpose)
        guard found == 1 else { return nil }
        let text = try session.string(
            "SELECT value FROM \(name("meta")) WHERE key = 'version'", purpose: purpose)
        return text.flatMap(Int.init) ?? 0
    }

    static func refuseNewer(_ version: Int?) throws {
        guard let version, version > WarehouseSchema.version else { return }
        throw ReplicationError(
            .environment,
            "_millrace in this database has version \(version), and this program knows \(WarehouseSchema.version)",
            remedy: "use a newer millrace")
    }

    /// Makes `_millrace`, or brings it to this program's version, in one transaction.
    static func migrate(_ session: Session) throws {
        let found = try version(session)
        try refuseNewer(found)
        guard found != WarehouseSchema.version else { return }
        try session.transaction(purpose: "making _millrace") {
            try session.run(script, purpose: "making _millrace")
            try session.execute("DELETE FROM \(name("meta")) WHERE key = 'version'", purpose: "making _millrace")
            try session.execute(
                "INSERT INTO \(name("meta")) VALUES ('version', ?)", [.text(String(WarehouseSchema.version))],
                purpose: "making _millrace")
        }
    }

    private static var script: String {
        """
        CREATE SCHEMA IF NOT EXISTS \(schema);
        CREATE TABLE IF NOT EXISTS \(name("meta")) (key VARCHAR, value VARCHAR);
        CREATE TABLE IF NOT EXISTS \(name("checkpoints")) (
            pipeline VARCHAR, topic VARCHAR, partition INTEGER, position BIGINT, token BIGINT, owner VARCHAR,
            last_offset BIGINT, last_hash VARCHAR, decoder_state VARCHAR, marks VARCHAR,
            source_time TIMESTAMP WITH TIME ZONE, updated_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("ledger")) (
            pipeline VARCHAR, batch BIGINT, source_schema VARCHAR, source_table VARCHAR, source_range VARCHAR,
            read BIGINT, applied BIGINT, superseded BIGINT, duplicate BIGINT, compacted BIGINT, filtered BIGINT,
            quarantined BIGINT, deferred BIGINT, filled BIGINT, control BIGINT,
            committed_at TIMESTAMP WITH TIME ZONE);
        ALTER TABLE \(name("ledger")) ADD COLUMN IF NOT EXISTS late BIGINT;
        ALTER TABLE \(name("ledger")) ADD COLUMN IF NOT EXISTS too_late BIGINT;
        CREATE TABLE IF NOT EXISTS \(name("late_events")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, event_id UUID, op VARCHAR, key JSON,
            _version_epoch BIGINT, _version_commit BIGINT, _version_seq BIGINT, source_ts TIMESTAMP WITH TIME ZONE,
            behind_row_ms BIGINT, behind_watermark_ms BIGINT, superseded BOOLEAN, too_late BOOLEAN,
            arrived_at TIMESTAMP WITH TIME ZONE, reconciled_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("quarantine")) (
            pipeline VARCHAR, id BIGINT, source_schema VARCHAR, source_table VARCHAR, topic VARCHAR,
            partition INTEGER, record_offset BIGINT, reason VARCHAR, op VARCHAR, key BLOB, value BLOB,
            headers VARCHAR, state VARCHAR, loaded_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("tables")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, target VARCHAR,
            current_schema VARCHAR, raw_schema VARCHAR, live_schema VARCHAR, history_schema VARCHAR,
            has_current BOOLEAN, has_raw BOOLEAN,
            columns VARCHAR, key VARCHAR, metadata VARCHAR, existing VARCHAR, is_filtered BOOLEAN,
            floor_epoch BIGINT, floor_commit BIGINT, floor_seq BIGINT, floor_time TIMESTAMP WITH TIME ZONE,
            is_sparse BOOLEAN, has_moves BOOLEAN, made_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("moves")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, new_key VARCHAR, old_key VARCHAR,
            create_epoch BIGINT, create_commit BIGINT, create_seq BIGINT,
            recorded_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("backfills")) (
            pipeline VARCHAR, job VARCHAR, source_schema VARCHAR, source_table VARCHAR, part VARCHAR, chunk BIGINT,
            state VARCHAR, from_block BIGINT, to_block BIGINT, snapshot_lsn BIGINT, rows BIGINT,
            committed_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("holds")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, kind VARCHAR, reason VARCHAR,
            since TIMESTAMP WITH TIME ZONE, from_time TIMESTAMP WITH TIME ZONE, epoch BIGINT);
        CREATE TABLE IF NOT EXISTS \(name("deferred")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, event_id UUID, _version_epoch BIGINT,
            _version_commit BIGINT, _version_seq BIGINT, marks INTEGER, json_nulls VARCHAR);
        CREATE TABLE IF NOT EXISTS \(name("epochs")) (
            pipeline VARCHAR, epoch BIGINT, topic VARCHAR, partition INTEGER, first_offset BIGINT,
            from_time TIMESTAMP WITH TIME ZONE, decided_at TIMESTAMP WITH TIME ZONE);
        CREATE TABLE IF NOT EXISTS \(name("erasures")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, key_hash VARCHAR, _version_epoch BIGINT,
            _version_commit BIGINT, _version_seq BIGINT, erased_at TIMESTAMP WITH TIME ZONE, revived_epoch BIGINT,
            revived_commit BIGINT, revived_seq BIGINT, reason VARCHAR);
        CREATE TABLE IF NOT EXISTS \(name("sweeps")) (
            pipeline VARCHAR, source_schema VARCHAR, source_table VARCHAR, started_at TIMESTAMP WITH TIME ZONE,
            finished_at TIMESTAMP WITH TIME ZONE, snapshot VARCHAR, position BIGINT, rows BIGINT, columns VARCHAR,
            uncovered VARCHAR, digest_source VARCHAR, digest_warehouse VARCHAR, missing BIGINT, extra BIGINT,
            different BIGINT, moved BIGINT, repaired BIGINT, is_equal BOOLEAN);
        ALTER TABLE \(name("tables")) ADD COLUMN IF NOT EXISTS has_erasures BOOLEAN DEFAULT false;
        ALTER TABLE \(name("tables")) ADD COLUMN IF NOT EXISTS raw_from TIMESTAMP WITH TIME ZONE;
        \(schemaChangesScript)
        \(gatesScript)
        \(freshnessScript)
        """
    }

    /// Tables of `_millrace` that have rows of a pipeline.
    static let perPipeline = [
        "checkpoints", "ledger", "quarantine", "tables", "moves", "backfills", "late_events", "holds", "deferred",
        "epochs", "erasures", "sweeps", "schema_changes", "gates", "freshness",
    ]
}

/// JSON of `_millrace`'s columns.
enum MetaJSON {
    /// `{"[\"public\",\"orders\"]":[epoch,commit,seq]}`: a name may contain anything, so both parts are JSON too.
    static func text(marks: [TableID: Version]) -> String {
        let members = marks.sorted { $0.key < $1.key }.map { table, version -> JSONValue.Member in
            let key = JSONValue.array([.string(table.schema), .string(table.table)]).serialized
            let numbers = [version.epoch, version.commit, version.seq].map { JSONValue.number(String($0)) }
            return (key, .array(numbers))
        }
        return JSONValue.object(members).serialized
    }

    static func marks(_ text: String?) throws -> [TableID: Version] {
        guard let text, text != "{}" else { return [:] }
        var marks: [TableID: Version] = [:]
        guard let members = (try? JSONValue(parsing: text))?.members else { throw damaged("checkpoints.marks") }
        for (key, value) in members {
            let names = (try? JSONValue(parsing: key))?.array?.compactMap(\.string) ?? []
            let numbers = value.array?.compactMap(\.int64) ?? []
            guard names.count == 2, numbers.count == 3 else { throw damaged("checkpoints.marks") }
            marks[TableID(schema: names[0], table: names[1])] = Version(
                epoch: numbers[0], commit: numbers[1], seq: numbers[2])
        }
        return marks
    }

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

    static func text(names: [String]) -> String {
        JSONValue.array(names.map(JSONValue.string)).serialized
    }

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
                    ("from", advance.from.map { .number(String($0)) } ?? .null),
                    ("to", .number(String(advance.to))),
                ])
            }
        ).serialized
    }

    private static func damaged(_ column: String) -> ReplicationError {
        ReplicationError(
            .environment, "_millrace.\(column) holds something that millrace didn't write",
            remedy: "restore the database file from a backup, or drop the pipeline and copy it anew")
    }
}

import Replication

/// Tables as other tools make them, with the same rows in each: of five rows at the source one is as it is there, one has
/// another cell, one is missing, one is flagged as deleted, one isn't; and three more that the source doesn't have, one of
/// which is flagged.
struct ForeignKind: Sendable {
    let name: String
    let maker: ForeignMaker?
    /// For `tables:`, what our four columns are called.
    var yaml: String?
    var metadata = MetadataNames()
    /// Columns after `id`, `status` and `note`, with types; `{json}` is the engine's.
    let columns: String
    /// Their values in a live row and in a deleted one; nil: the tool takes such rows away.
    let live: String
    let deleted: String?
    /// Those of theirs that nobody writes any more.
    let kept: [String]
    /// What becomes of `deleted_at` in the row that both call deleted, as the epoch's seconds.
    var deletedAt_s: String?
    var key = ", primary key (id)"

    static let sourceRows = [
        "(1, 'paid', 'a')", "(2, 'open', 'b')", "(3, 'new', 'c')", "(4, 'open', 'd')", "(6, 'paid', 'f')",
    ]
    private static let rows: [(id: Int, status: String, note: String, isDeleted: Bool)] = [
        (1, "paid", "a", false), (2, "WRONG", "b", false), (4, "open", "d", true), (5, "gone", "e", false),
        (6, "paid", "f", false), (7, "gone", "g", true), (8, "never", "h", false),
    ]
    static let differences = [
        "row 2 column status: different", "row 3: missing", "row 4: missing", "row 5: extra", "row 8: extra",
    ]

    /// - Parameter schema: as SQL has it.
    func sql(_ schema: String, _ engine: Engine) -> String {
        let rows = Self.rows.compactMap { row -> String? in
            guard let more = row.isDeleted ? deleted : live else { return nil }
            return "(\(row.id), '\(row.status)', '\(row.note)'\(more.isEmpty ? "" : ", " + more))"
        }
        let json = engine == .duckdb ? "json" : "jsonb"
        let columns = columns.isEmpty ? "" : ", " + columns.replacing("{json}", with: json)
        return """
            create table \(schema).\(name) (id bigint, status varchar, note varchar\(columns)\(key));
            insert into \(schema).\(name) values \(rows.joined(separator: ", "));
            """
    }

    static let all: [ForeignKind] = [
        ForeignKind(
            name: "fivetran", maker: .fivetran, columns: "_fivetran_deleted boolean, _fivetran_synced timestamptz",
            live: "false, '2026-01-02 00:00:00Z'", deleted: "true, '2026-01-03 00:00:00Z'",
            kept: ["_fivetran_deleted", "_fivetran_synced"]),
        ForeignKind(
            name: "fivetran_in_place", maker: .fivetran, yaml: "fivetran",
            metadata: MetadataNames(
                isDeleted: "_fivetran_deleted", deletedAt: "deleted_at", sourceUpdatedAt: "_source_updated_at",
                loadedAt: "_fivetran_synced"),
            columns: "_fivetran_deleted boolean, _fivetran_synced timestamptz", live: "null, '2026-01-02 00:00:00Z'",
            deleted: "true, '2026-01-03 00:00:00Z'", kept: []),
        // What source-postgres sent as plain strings and numbers.
        ForeignKind(
            name: "airbyte_text", maker: .airbyte,
            columns: """
                _airbyte_raw_id varchar not null, _airbyte_extracted_at timestamptz not null, \
                _airbyte_meta {json} not null, _airbyte_generation_id bigint, _ab_cdc_lsn numeric(38,9), \
                _ab_cdc_updated_at varchar, _ab_cdc_deleted_at varchar
                """,
            live: "'r', '2026-01-02 00:00:00Z', '{}', 1, 100, '2026-01-01T10:00:00.123456Z', null",
            deleted: "'r', '2026-01-02 00:00:00Z', '{}', 1, 100, '2026-01-03T00:00:00Z', '2026-01-03T00:00:00Z'",
            kept: [
                "_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta", "_ab_cdc_updated_at", "_ab_cdc_deleted_at",
            ],
            deletedAt_s: "1767398400", key: ""),
        ForeignKind(
            name: "airbyte_in_place", maker: .airbyte, yaml: "airbyte",
            metadata: MetadataNames(
                isDeleted: "is_deleted", deletedAt: "_ab_cdc_deleted_at", sourceUpdatedAt: "_ab_cdc_updated_at",
                loadedAt: "_airbyte_extracted_at"),
            columns: """
                _airbyte_raw_id varchar not null, _airbyte_extracted_at timestamptz not null, \
                _airbyte_meta {json} not null, _airbyte_generation_id bigint, _ab_cdc_lsn bigint, \
                _ab_cdc_updated_at timestamptz, _ab_cdc_deleted_at timestamptz
                """,
            live: "'r', '2026-01-02 00:00:00Z', '{}', 1, 100, '2026-01-01T10:00:00Z', null",
            deleted: "'r', '2026-01-02 00:00:00Z', '{}', 1, 100, '2026-01-03T00:00:00Z', '2026-01-03T00:00:00Z'",
            kept: ["_airbyte_raw_id", "_airbyte_meta", "_ab_cdc_lsn"], deletedAt_s: "1767398400", key: ""),
        ForeignKind(
            name: "peerdb", maker: .peerdb,
            columns: """
                "_PEERDB_IS_DELETED" boolean default false, "_PEERDB_SYNCED_AT" timestamp default current_timestamp
                """,
            live: "false, '2026-01-02 00:00:00'", deleted: "true, '2026-01-03 00:00:00'",
            kept: ["_PEERDB_IS_DELETED", "_PEERDB_SYNCED_AT"]),
        ForeignKind(
            name: "peerdb_in_place", maker: .peerdb, yaml: "{ is_deleted: _PEERDB_IS_DELETED }",
            metadata: MetadataNames(
                isDeleted: "_PEERDB_IS_DELETED", deletedAt: "deleted_at", sourceUpdatedAt: "_source_updated_at",
                loadedAt: "_loaded_at"),
            columns: """
                "_PEERDB_IS_DELETED" boolean default false, "_PEERDB_SYNCED_AT" timestamp default current_timestamp
                """,
            live: "false, '2026-01-02 00:00:00'", deleted: "true, '2026-01-03 00:00:00'",
            kept: ["_PEERDB_SYNCED_AT"]),
        // Behind ExtractNewRecordState with rewritten deletes and add.fields.
        ForeignKind(
            name: "debezium_flagged", maker: .debezium,
            columns: "__deleted text, __op text, __lsn bigint, __source_ts_ms bigint",
            live: "'false', 'u', 100, 1767261600000",
            deleted: "'true', 'd', 100, 1767398400000", kept: ["__deleted", "__op", "__source_ts_ms"],
            deletedAt_s: "1767398400"),
        ForeignKind(name: "debezium", maker: nil, columns: "", live: "", deleted: nil, kept: []),
    ]

    var hasFlags: Bool { deleted != nil }
}

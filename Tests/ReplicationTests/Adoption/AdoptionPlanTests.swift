import Replication
import Testing

/// What of a table that somebody else made tells what of ours.
@Suite struct AdoptionPlanTests {
    private let metadata: [(name: String, type: ColumnType)] = [
        ("is_deleted", .boolean), ("deleted_at", .timestamptz), ("_source_updated_at", .timestamptz),
        ("_loaded_at", .timestamptz), (MetadataNames.epoch, .bigint), (MetadataNames.commit, .bigint),
        (MetadataNames.seq, .bigint), (MetadataNames.columns, .text),
    ]
    private let orders = TableDefinition(
        source: TableID(schema: "public", table: "orders"), target: "orders",
        columns: [Column(name: "id", type: .bigint, isKey: true), Column(name: "note", type: .text)], key: [0])

    private func column(
        _ name: String, _ type: ColumnType, isNullable: Bool = true, hasDefault: Bool = false, isInKey: Bool = false
    ) -> ForeignTable.Column {
        ForeignTable.Column(
            name: name, type: type, typeName: type.sql, isNullable: isNullable, hasDefault: hasDefault,
            isInPrimaryKey: isInKey)
    }

    private func plan(
        _ columns: [ForeignTable.Column], as definition: TableDefinition? = nil, ignoresCase: Bool = false
    ) -> AdoptionPlan {
        var definition = definition ?? orders
        definition.existing = .adopt
        let names = definition.metadata
        let ours = [names.isDeleted, names.deletedAt, names.sourceUpdatedAt, names.loadedAt]
        return AdoptionPlan(
            ForeignTable(
                name: "shop.orders", columns: [column("id", .bigint), column("note", .text)] + columns,
                ignoresCase: ignoresCase),
            as: definition, metadata: zip(ours, metadata).map { ($0, $1.type) } + metadata.dropFirst(4))
    }

    private func readings(_ columns: [ForeignTable.Column]) -> [String] {
        plan(columns).readings.map { "\($0.column) → \($0.field.rawValue) \($0.form)" }
    }

    @Test func eachToolIsToldByItsColumns() {
        #expect(plan([]).maker == nil)
        #expect(plan([column("_fivetran_synced", .timestamptz)]).maker == .fivetran)
        #expect(plan([column("_airbyte_raw_id", .text)]).maker == .airbyte)
        #expect(plan([column("_AB_CDC_LSN", .text)]).maker == .airbyte)
        #expect(plan([column("_peerdb_is_deleted", .boolean)]).maker == .peerdb)
        #expect(plan([column("__op", .text)]).maker == .debezium)
        #expect(plan([column("_loaded_by", .text), column("__x", .text)]).maker == nil)
        // A column of the source's is nobody else's.
        var own = orders
        own.columns.append(Column(name: "__deleted", type: .text))
        let found = plan([column("__deleted", .text)], as: own)
        #expect(found.maker == nil && found.readings.isEmpty)
    }

    @Test func flagsAndTimesAreReadByTheirTypes() {
        #expect(
            readings([column("_fivetran_deleted", .boolean), column("_fivetran_synced", .timestamp(digits: 6))])
                == ["_fivetran_deleted → is_deleted flag", "_fivetran_synced → _loaded_at utc"])
        #expect(
            readings([
                column("_ab_cdc_deleted_at", .text), column("_ab_cdc_updated_at", .other("character varying(40)")),
                column("_airbyte_extracted_at", .timestamptz),
            ]) == [
                "_ab_cdc_deleted_at → is_deleted presence", "_ab_cdc_deleted_at → deleted_at momentText",
                "_ab_cdc_updated_at → _source_updated_at momentText", "_airbyte_extracted_at → _loaded_at moment",
            ])
        #expect(readings([column("_airbyte_emitted_at", .timestamptz)]) == ["_airbyte_emitted_at → _loaded_at moment"])
        #expect(readings([column("_PEERDB_IS_DELETED", .smallint)]) == ["_PEERDB_IS_DELETED → is_deleted flagNumber"])
        #expect(
            readings([column("__deleted", .text), column("__source_ts_ms", .bigint), column("__source_ts_us", .bigint)])
                == [
                    "__deleted → is_deleted flagText", "__source_ts_us → deleted_at since1970(perSecond: 1000000)",
                    "__source_ts_us → _source_updated_at since1970(perSecond: 1000000)",
                ])
        #expect(readings([column("__source_ts_ms", .text)]).isEmpty, "a number is meant")
        // No flag, and so no time of a delete.
        #expect(
            readings([column("__source_ts_ms", .bigint)])
                == ["__source_ts_ms → _source_updated_at since1970(perSecond: 1000)"])
    }

    @Test func whatIsOursAlreadyIsNotFilledFromTheirs() {
        // Of a pipeline that was dropped, which had kept its own flag up.
        let again = plan([column("is_deleted", .boolean), column("_fivetran_deleted", .boolean)])
        #expect(again.readings.isEmpty && again.flag == nil && again.inPlace == ["is_deleted"])
        var named = orders
        named.metadata.isDeleted = "_fivetran_deleted"
        let preset = plan([column("_FIVETRAN_DELETED", .boolean)], as: named, ignoresCase: true)
        #expect(preset.readings.isEmpty && preset.inPlace == ["_fivetran_deleted"] && preset.refusal == nil)
    }

    @Test func notNullsInTheWayAreTold() {
        var named = orders
        named.metadata.loadedAt = "_airbyte_extracted_at"
        named.metadata.deletedAt = "_ab_cdc_deleted_at"
        let found = plan(
            [
                column("_airbyte_raw_id", .text, isNullable: false), column("_airbyte_meta", .jsonb, isNullable: false),
                column("_airbyte_extracted_at", .timestamptz, isNullable: false),
                column("_ab_cdc_deleted_at", .timestamptz, isNullable: false),
                column("made_at", .timestamptz, isNullable: false, hasDefault: true),
            ], as: named)
        #expect(found.freed == ["_airbyte_raw_id", "_airbyte_meta", "_ab_cdc_deleted_at"])
        #expect(found.tight.isEmpty)
        var wide = orders
        wide.columns.append(Column(name: "amount", type: .integer))
        #expect(plan([column("amount", .integer, isNullable: false)], as: wide).tight == ["amount"])
    }

    @Test func whatCannotBeSaysWhy() {
        func refusal(_ columns: [ForeignTable.Column], as definition: TableDefinition? = nil) -> (String, String) {
            let error = plan(columns, as: definition).refusal
            #expect(error?.kind == .configuration)
            return (error?.message ?? "", error?.remedy ?? "")
        }
        #expect(refusal([column("_fivetran_active", .boolean)]).0.contains("history mode"))
        #expect(
            refusal([column("_fivetran_id", .text, isNullable: false, isInKey: true)]).0.contains(
                "has the column _fivetran_id"))
        #expect(refusal([column("_fivetran_deleted", .date)]).0.contains("doesn't tell what is deleted"))
        var keyed = orders
        keyed.columns.append(Column(name: "line", type: .integer))
        keyed.key = [0, 2]
        #expect(refusal([], as: keyed).0.contains("lacks the key column line"))
        #expect(refusal([column("_version_epoch", .text)]).1.contains("rename that column"))
    }

    @Test func aTypeThatIsNotOursHasAWayOut() {
        var airbyte = orders
        airbyte.metadata = MetadataNames(
            isDeleted: "is_deleted", deletedAt: "_ab_cdc_deleted_at", sourceUpdatedAt: "_ab_cdc_updated_at",
            loadedAt: "_airbyte_extracted_at")
        let texts = plan(
            [
                column("_ab_cdc_deleted_at", .text), column("_ab_cdc_updated_at", .text),
                column("_airbyte_extracted_at", .timestamptz),
            ], as: airbyte)
        #expect(
            texts.refusal?.message
                == "public.orders: column _ab_cdc_deleted_at of shop.orders has type text, not timestamptz")
        #expect(
            texts.refusal?.remedy == """
                have ours beside theirs, with this in the pipeline file:
                tables:
                  - source: public.orders
                    metadata_columns: { _loaded_at: _airbyte_extracted_at }
                """)
        var peerdb = orders
        peerdb.metadata.isDeleted = "_PEERDB_IS_DELETED"
        peerdb.metadata.loadedAt = "_PEERDB_SYNCED_AT"
        let times = plan(
            [column("_PEERDB_IS_DELETED", .boolean), column("_PEERDB_SYNCED_AT", .timestamp(digits: 6))], as: peerdb)
        #expect(times.refusal?.remedy?.hasSuffix("metadata_columns: { is_deleted: _PEERDB_IS_DELETED }") == true)
        #expect(
            plan([column("is_deleted", .text)]).refusal?.remedy?.hasSuffix("{ is_deleted: _millrace_is_deleted }")
                == true)
    }

    @Test func aTableWithoutAKeyIsAdoptedEmptyOnly() {
        var log = orders
        log.key = []
        let found = plan([], as: log)
        func adoption(_ rows: Int) -> Adoption {
            Adoption(plan: found, rows: rows, deleted: 0, repeatedKeys: 0, repeatedRows: 0)
        }
        #expect(adoption(0).refusal == nil)
        #expect(adoption(1).refusal?.message.contains("has no key") == true)
    }
}

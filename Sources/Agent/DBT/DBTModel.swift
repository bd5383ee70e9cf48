import Replication

/// A staging model: a table's columns under plain names, in the types that the warehouse has now.
///
/// With a key it is incremental. It reads current, as only there a deleted row can be seen: rows that were loaded since the
/// newest that the model has, less the look-back window, are merged by key, deleted ones with their mark; a hook then
/// deletes the marked ones in the same transaction. Rows that left current by another way, an erasure or a table that was
/// made anew, are looked for in the hook before, and only when there was such a thing.
///
/// Without a key it is a view of the live rows.
struct DBTModel {
    let table: DBTProject.Table
    let project: DBTProject

    /// How far behind the newest row others may have become visible: a long transaction has the time of its beginning.
    static let lookback = "3 hours"

    private struct Column {
        var name: String
        /// Of what is read.
        var source: String
        var type: String?

        var sql: String {
            let value = DBTText.name(source)
            return "\(type.map { "cast(\(value) as \(DBTText.jinja($0)))" } ?? value) as \(DBTText.quoted(name))"
        }
    }

    private var definition: TableDefinition { table.definition }

    var text: String { definition.isKeyless ? view : incremental }

    private func source(_ suffix: String = "") -> String { "{{ \(relation(suffix)) }}" }

    private func relation(_ suffix: String) -> String {
        "source('\(project.layout.pipeline)\(suffix)', '\(project.modelName(table))')"
    }

    private static func list(_ columns: [Column]) -> String { columns.map { "    " + $0.sql }.joined(separator: ",\n") }

    // MARK: Without a key

    private var view: String {
        var names = DBTTakenNames()
        let columns = definition.liveColumns.map { shown in
            Column(
                name: names.take(DBTNames.plain(shown.name, or: "column")), source: shown.name,
                type: table.types[shown.column])
        }
        return """
            -- The table has no key to merge by, so this is a view.
            {{ config(materialized='view') }}

            select
            \(Self.list(columns))
            from \(source())

            """
    }

    // MARK: With a key

    private var incremental: String {
        let metadata = definition.metadata
        var names = DBTTakenNames()
        let (isDeleted, updatedAt, loadedAt) = (
            names.take(DBTNames.plain(metadata.isDeleted, or: "is_deleted")),
            names.take(DBTNames.plain(metadata.sourceUpdatedAt, or: "updated_at")),
            names.take(DBTNames.plain(metadata.loadedAt, or: "loaded_at"))
        )
        let columns = definition.liveColumns.map { shown in
            Column(
                name: names.take(DBTNames.plain(shown.name, or: "column")), source: shown.column,
                type: table.types[shown.column])
        }
        let own = [
            Column(name: updatedAt, source: metadata.sourceUpdatedAt),
            Column(name: loadedAt, source: metadata.loadedAt), Column(name: isDeleted, source: metadata.isDeleted),
        ]
        let key = definition.keyNames.compactMap { name in columns.first { $0.source == name } }
        let uniqueKey = "[\(key.map { "'\(DBTText.quoted($0.name))'" }.joined(separator: ", "))]"
        let indexes =
            project.dialect == .postgres ? "\n    indexes=[{'columns': \(uniqueKey), 'unique': true}]," : ""
        let loaded = DBTText.quoted(loadedAt)
        let since = """
            (
                select coalesce(
                    max(\(loaded)) - interval '{{ var("millrace_lookback", "\(Self.lookback)") }}',
                    timestamp with time zone '1970-01-01 00:00:00+00'
                ) from {{ this }}
            )
            """
        let same = key.map { "c.\(DBTText.name($0.source)) = t.\(DBTText.quoted($0.name))" }
        return """
            {#- Rows that left the warehouse without a mark: erased ones, and those of a table that was made anew. #}
            {%- set drop_erased %}{% raw %}
            {%- if is_incremental() %}
            delete from {{ this }} as t
            where exists (
                \(Self.indented(happened("erasures", "erased_at", since), 4))
                union all
                \(Self.indented(happened("tables", "made_at", since), 4))
            )
            and not exists (
                select 1 from \(source("_current")) as c
                where \(same.joined(separator: " and "))
            )
            {%- endif %}
            {% endraw %}{% endset %}
            {{ config(
                materialized='incremental',
                incremental_strategy='\(project.hasMerge ? "merge" : "delete+insert")',
                unique_key=\(uniqueKey),
                on_schema_change='sync_all_columns',\(indexes)
                pre_hook=drop_erased,
                post_hook='delete from {{ this }} where \(DBTText.quoted(isDeleted))'
            ) }}
            {#- A column that the model didn't have before: all rows are read once more. #}
            {%- set columns = [\((columns + own).map { "'\($0.name)'" }.joined(separator: ", "))] %}
            {%- set known = adapter.get_columns_in_relation(this) | map(attribute='name') | list if is_incremental() else [] %}
            {%- set is_known = columns | reject('in', known) | list | length == 0 %}

            -- depends_on: \(source())
            select
            \(Self.list(columns + own))
            from \(source("_current"))
            {%- if not is_incremental() %}
            where \(DBTText.name(metadata.isDeleted)) is not true
            {%- elif is_known %}
            where \(DBTText.name(metadata.loadedAt)) >= \(since)
            {%- endif %}

            """
    }

    /// Whether something was done to the table since.
    private func happened(_ meta: String, _ column: String, _ since: String) -> String {
        let names = [
            ("pipeline", project.layout.pipeline), ("source_schema", definition.source.schema),
            ("source_table", definition.source.table),
        ].map { "\($0) = \(DBTText.jinja(RowDigest.literal($1)))" }.joined(separator: " and ")
        return """
            select 1 from \(DBTText.meta(meta, beside: relation("_current")))
            where \(names)
            and \(column) >= \(since)
            """
    }

    private static func indented(_ text: String, _ blanks: Int) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).joined(
            separator: "\n" + String(repeating: " ", count: blanks))
    }
}

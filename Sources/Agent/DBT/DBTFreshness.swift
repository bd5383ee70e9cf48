import Replication

/// When a table counts as stale, in dbt's terms.
///
/// A quiet table isn't stale: what counts is when the pipeline last had all that its source held, and not when a row came.
struct DBTFreshness {
    let table: TableDefinition
    let layout: WarehouseLayout
    /// Above this it is stale.
    let staleness_max: Duration

    /// dbt counts in minutes: what is between two of them is rounded up.
    var minutes: Int64 {
        let (seconds, attoseconds) = staleness_max.components
        return max(1, (seconds + (attoseconds > 0 ? 1 : 0) + 59) / 60)
    }

    var isRounded: Bool { Duration.seconds(minutes * 60) != staleness_max }

    /// One moment: what the source had committed by then is in current. The agent writes it once a minute, of quiet tables
    /// too; of one that was never complete there is none, which dbt takes for stale.
    var query: String {
        let names = [
            ("pipeline", layout.pipeline), ("source_schema", table.source.schema), ("source_table", table.source.table),
        ].map { "\($0) = \(DBTText.jinja(RowDigest.literal($1)))" }.joined(separator: " and ")
        return """
            select complete_as_of from \(DBTText.meta("freshness", beside: "this")) \
            where \(names) and until is null
            """
    }
}

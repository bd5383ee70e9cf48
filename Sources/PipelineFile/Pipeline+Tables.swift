import Replication

extension Pipeline {
    /// One entry of `tables`: what differs for one source table. It doesn't choose the table.
    package struct Table: Sendable, Equatable {
        /// `source`: the name as `schema.table`, literally. Required. Example: `public.orders`.
        package var source: String
        /// `topic`: of flattened events that don't name their table, where its own name doesn't either. Default none.
        package var topic: String?
        /// `target`: the table's name in the warehouse. Default: see `TargetName`. Example: `orders`.
        package var target: String?
        /// `key`: columns. Default: the primary key or record key (nil). Example: `[order_id]`.
        package var key: [String]?
        /// `existing`: a table in our place that we didn't make. Default `error`.
        package var existing = Existing.error
        /// `columns`.
        package var columns = Columns()
        /// `where`: which rows are live. Default all. Example: `"status <> 'draft'"`.
        package var filter: Predicate?
        /// `metadata_columns`: default the pipeline's (nil); names that a map leaves out are the pipeline's.
        package var metadataColumns: MetadataColumns?
        /// `allowed_lateness`: how far an event may be behind the newest of its partition, by the source's clock. What is
        /// later is applied all the same, and called too late. Default: however far (nil). Example: `1h`.
        package var allowedLateness: Duration?
        /// `quality`, and behind it what `quality_suite` says.
        package var quality = TableQuality()
        /// `freshness`: how far what the warehouse shows may lie behind the source. Default: nothing is promised (nil).
        package var freshness: Freshness?

        package init(source: String) {
            self.source = source
        }
    }

    /// `tables[].existing`.
    package enum Existing: String, Sendable, CaseIterable {
        /// Refuse to write.
        case error
        /// Make it ours as it is.
        case adopt
        /// Drop it and make our own.
        case replace
    }

    /// `tables[].columns`: what is left out, masked or typed anew. No column stands in two of them.
    package struct Columns: Sendable, Equatable {
        /// `exclude`: left out everywhere. Default none. Example: `[card_number]`. Never a key column.
        package var exclude: [String] = []
        /// `hash`: masked everywhere. Default none. Example: `[email]`.
        package var hash: [String] = []
        /// `types`: column to type, in the warehouse's own words. Default none.
        /// Example: `{ amount: "numeric(12,2)" }`.
        package var types: [String: String] = [:]

        package init() {}
    }

    /// `tables[].freshness`.
    package struct Freshness: Sendable, Equatable {
        /// `max_staleness`: 1s to 366d. Required. Example: `15m`.
        package var maxStaleness: Duration
        /// `alert`: whom an alert is for, as a word that goes out with it. Default: nobody in particular (nil). Example:
        /// `"#data-alerts"`.
        package var alert: String?

        package init(maxStaleness: Duration, alert: String? = nil) {
            self.maxStaleness = maxStaleness
            self.alert = alert
        }
    }

    /// The entry of `tables` for a source table named as `schema.table`, if there is one.
    package func table(source: String) -> Table? {
        tables.first { $0.source == source }
    }

    /// The names of our columns in a source table's current table.
    package func metadataColumns(source: String) -> MetadataColumns {
        table(source: source)?.metadataColumns ?? metadataColumns
    }

    /// The name of a source table's current table, in `warehouse.schemas.current`.
    /// `soleSchema`: see `TargetName.standard`.
    package func target(schema: String?, table name: String, soleSchema: Bool = false) -> String {
        let source = schema.map { "\($0).\(name)" } ?? name
        return table(source: source)?.target
            ?? TargetName.standard(schema: schema, table: name, soleSchema: soleSchema)
    }
}

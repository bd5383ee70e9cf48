/// The pipeline file, validated, with every default filled in, every `${NAME}` replaced and every
/// path resolved against the file's folder.
///
/// Made by `Pipeline.load(path:environment:)` or `Pipeline.parse(text:file:environment:)`.
package struct Pipeline: Sendable, Equatable {
    /// `pipeline`: `[a-z][a-z0-9_]{0,40}`; names group, schemas and checkpoint. Required. Example: `shop`.
    package var name: String
    /// `source`: where changes come from, and which tables. Required.
    package var source: Source
    /// `warehouse`: where they go. Required.
    package var warehouse: Warehouse
    /// `layers`: what is kept there.
    package var layers = Layers()
    /// `metadata_columns`: names of the columns that we add. Default `default`; example `fivetran`.
    package var metadataColumns = MetadataColumns.standard
    /// `tables`: overrides, one a source table. Default none.
    package var tables: [Table] = []
    /// `batch`: upper bounds under load.
    package var batch = Batch()
    /// `agent`: the running program itself.
    package var agent = Agent()
    /// `alerts`: who is told when something needs a person. Default none.
    package var alerts: [AlertTarget] = []
    /// `lineage`: who is told what is made of what. Default none.
    package var lineage: OpenLineage?
    /// `sweeps`: when the running agent compares tables by itself.
    package var sweeps = Sweeps()
    /// `schema_changes`: what is done when the source's tables change.
    package var schemaChanges = SchemaChanges()
    /// `quality`: how tables are held against what is expected of them.
    package var quality = Quality()

    package init(name: String, source: Source, warehouse: Warehouse) {
        self.name = name
        self.source = source
        self.warehouse = warehouse
    }

    /// `layers`. At least one of the two is on.
    package struct Layers: Sendable, Equatable {
        /// `raw`: an append-only table of events per source table. Default `true`. Without it there is
        /// no hold, pause, release, explain, history or as-of.
        package var raw = true
        /// `current`: a table of rows per source table. Default `true`.
        package var current = true
        /// `raw_retention`: how long raw keeps an event after it was loaded. Default `forever` (nil); at least `2d`, as
        /// late events are reconciled from it. Example: `90d`.
        package var raw_retention: Duration?

        package init(raw: Bool = true, current: Bool = true, raw_retention: Duration? = nil) {
            self.raw_retention = raw_retention
            self.raw = raw
            self.current = current
        }
    }

    /// `sweeps`: comparisons that the running agent makes by itself, one at a time.
    package struct Sweeps: Sendable, Equatable {
        /// `full`: when all tables are swept, as a cron expression in UTC. Default `never` (nil). Example: `0 3 * * *`.
        package var full: CronSchedule?
        /// `late.after`: how long after its arrival a late event's row is folded from raw again; 10s to 365d. Default `6h`.
        package var lateAfter = Duration.seconds(6 * 3600)
        /// `late.lookback`: how far behind that it looks for such events; 1m to 365d. Default `24h`.
        package var lateLookback = Duration.seconds(24 * 3600)
        /// `repair`: what a sweep finds is mended. Default `false`.
        package var repairs = false

        package init() {}
    }

    /// `schema_changes`: see docs/schema-changes.md for which are which.
    package struct SchemaChanges: Sendable, Equatable {
        package enum Additive: String, Sendable, CaseIterable { case apply, plan, stop }
        package enum Breaking: String, Sendable, CaseIterable { case plan, stop, ignore }

        /// `additive`: `apply` at once, `plan` (the table is held until somebody decides), or `stop` the agent. Default `apply`.
        package var additive = Additive.apply
        /// `breaking`: `plan`, `stop` the agent, or `ignore`. Default `plan`.
        package var breaking = Breaking.plan
        /// `deprecate_after`: how long what the source dropped is shown at least, though it was approved. Default `30d`.
        package var deprecateAfter = Duration.seconds(30 * 86_400)

        package init() {}
    }

    /// `batch`: upper bounds; with no lag a batch commits at once.
    package struct Batch: Sendable, Equatable {
        /// `max_rows`: 1 to 100,000,000. Default `100000`.
        package var rows_max = 100_000
        /// `max_bytes`: 1KiB to 1TiB. Default `32MiB`.
        package var bytes_max = ByteCount.mebibytes(32)
        /// `max_delay`: 0ms to 1h. Default `500ms`.
        package var delay_max = Duration.milliseconds(500)

        package init() {}
    }

    /// `agent`.
    package struct Agent: Sendable, Equatable {
        /// `listen`: the HTTP API's address. Default `127.0.0.1:8642`; `[::1]:8642` for IPv6; port 0 lets
        /// the system choose.
        package var listen = ListenAddress(host: "127.0.0.1", port: 8642)
        /// `token`: what `/api` asks for. Default `${MILLRACE_TOKEN}`; nil where that isn't set: the agent
        /// then makes one in `dir`.
        package var token: Secret?
        /// `dir`: the agent's own files. Default `.millrace` beside the pipeline file.
        package var dir = ".millrace"
        /// `drain`: how long after SIGTERM or SIGINT the batch in hand may take to be written. Default `30s`; 1s to 1d.
        package var drain = Duration.seconds(30)

        package init() {}
    }

    /// A host and a port, printed as `127.0.0.1:8642` or `[::1]:8642`.
    package struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
        /// Without brackets.
        package var host: String
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }
}

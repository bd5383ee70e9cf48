/// The keys of each mapping of the pipeline file, those of later steps included.
enum Keys {
    static let sweeps = ["full", "late", "repair"]
    static let schemaChanges = ["additive", "breaking", "deprecate_after"]
    static let lateSweeps = ["after", "lookback"]
    static let root = [
        "pipeline", "source", "warehouse", "layers", "metadata_columns", "tables", "schema_changes", "sweeps", "alerts",
        "quality", "lineage", "batch", "agent",
    ]
    static let quality = ["every", "held_max", "deferred_max"]
    static let source = ["kafka", "postgres", "file", "include", "exclude", "snapshot", "debezium"]
    static let kafka = [
        "brokers", "topics", "group", "start", "format", "schema_registry", "catalog", "connector_slot", "properties",
    ]
    static let postgresSource = ["url", "publication", "slot", "copy_workers"]
    static let file = ["path", "format", "schema_registry"]
    static let schemaRegistry = ["url", "basic_auth", "ca_file", "file", "timeout"]
    static let debezium = [
        "unavailable_value_placeholder", "decimal_handling_mode", "time_precision_mode", "binary_handling_mode",
        "connector", "add_fields", "add_fields_prefix", "add_headers", "add_headers_prefix",
    ]
    static let warehouse = ["duckdb", "postgres", "clickhouse", "schemas"]
    static let duckdb = ["path", "memory_limit", "library"]
    static let postgres = ["url"]
    static let schemas = ["current", "raw", "live", "history"]
    static let layers = ["raw", "current", "raw_retention"]
    static let table = [
        "source", "topic", "target", "key", "existing", "columns", "where", "metadata_columns", "allowed_lateness",
        "quality",
        "quality_suite", "freshness",
    ]
    static let columns = ["exclude", "hash", "types"]
    static let freshness = ["max_staleness", "alert"]
    static let expectation = ["expect", "severity", "on_fail"]
    static let batch = ["max_rows", "max_bytes", "max_delay"]
    static let alert = ["webhook", "format", "exec", "log", "lag_over", "on"]
    static let lineage = ["openlineage"]
    static let openLineage = ["url", "endpoint", "api_key", "file", "namespace"]
    static let agent = ["listen", "token", "dir", "drain"]

    private static let all: [(path: String, keys: [String])] = [
        ("", root), ("source", source), ("source.kafka", kafka), ("source.postgres", postgresSource),
        ("source.debezium", debezium), ("warehouse", warehouse), ("warehouse.duckdb", duckdb),
        ("layers", layers), ("tables[]", table), ("tables[].columns", columns), ("batch", batch), ("agent", agent),
        ("tables[].freshness", freshness),
        ("source.kafka.schema_registry", schemaRegistry), ("alerts[]", alert), ("schema_changes", schemaChanges),
        ("lineage", lineage), ("lineage.openlineage", openLineage),
    ]

    /// Where a key belongs that was put elsewhere: `warehouse.duckdb`; nil where no mapping has it.
    static func home(of key: String) -> String? {
        all.first { $0.keys.contains(key) }.map { Section.join($0.path, key) }
    }
}

extension Pipeline {
    /// `source`: exactly one input, and the choice of tables.
    package struct Source: Sendable, Equatable {
        package var input: Input
        /// `include` and `exclude`: `schema.table` globs. Default `["*.*"]` and none.
        package var tables = TableSelector()
        /// `snapshot`. Default `initial`.
        package var snapshot = Snapshot.initial
        /// `debezium`: settings of the connector that its events don't show.
        package var debezium = Debezium()

        package init(_ input: Input) {
            self.input = input
        }
    }

    /// Exactly one of `source.kafka`, `source.postgres` and `source.file`.
    package enum Input: Sendable, Equatable {
        case kafka(Kafka)
        case postgres(PostgresServer)
        case file(EventFile)
    }

    /// `source.postgres`: a server read by logical replication.
    package struct PostgresServer: Sendable, Equatable {
        /// `url`: required. Example: `postgres://replicator@db/shop`.
        package var url: ConnectionURL
        /// `publication`: made if missing and permitted. Default `millrace_<pipeline>`.
        package var publication: String
        /// `slot`: made if missing. Default `millrace_<pipeline>`.
        package var slot: String
        /// `copy_workers`: connections that read the initial copy, 1 to 32. Default 2.
        package var copyWorkers = 2

        package init(url: ConnectionURL, publication: String, slot: String) {
            self.url = url
            self.publication = publication
            self.slot = slot
        }
    }

    /// `source.snapshot`: what becomes of reads of rows that were there before the stream began.
    package enum Snapshot: String, Sendable, CaseIterable {
        /// Snapshot first, then changes.
        case initial
        /// Changes only.
        case never
        /// Snapshot only.
        case only
    }

    /// `source.debezium`: what the connector was told that can't be read off its events. The keys have the names of
    /// Debezium's own, with `_` for `.`.
    package struct Debezium: Sendable, Equatable {
        /// `unavailable_value_placeholder`: stands for a TOASTed column that didn't change. As with Debezium, `hex:` and
        /// digits name its bytes. Default `__debezium_unavailable_value`.
        package var unavailable_value_placeholder = "__debezium_unavailable_value"
        /// `decimal_handling_mode`. Default `auto`.
        package var decimal_handling_mode = DecimalHandling.auto
        /// `time_precision_mode`. Default `adaptive`.
        package var time_precision_mode = TimePrecision.adaptive
        /// `binary_handling_mode`. Default `auto`.
        package var binary_handling_mode = BinaryHandling.auto
        /// `connector`: which one wrote events that don't name it. Default `auto`.
        package var connector = Connector.auto
        /// `add_fields`: what ExtractNewRecordState adds to rows. Default: known names behind the prefix (nil).
        /// Example: `[op, source.lsn, "source.ts_ms:changed_at"]`.
        package var add_fields: [String]?
        /// `add_fields_prefix`. Default `__`.
        package var add_fields_prefix = "__"
        /// `add_headers`: the same for headers.
        package var add_headers: [String]?
        /// `add_headers_prefix`. Default `__`.
        package var add_headers_prefix = "__"

        package init() {}
    }

    /// `source.debezium.connector`.
    package enum Connector: String, Sendable, CaseIterable {
        /// As the events name it, or as only its positions look, or `kafka.catalog`'s.
        case auto
        case postgresql, mysql, mariadb, sqlserver, oracle, mongodb
    }

    /// `source.debezium.decimal_handling_mode`.
    package enum DecimalHandling: String, Sendable, CaseIterable {
        /// Found out from each value, where that can be.
        case auto
        case precise, double, string
    }

    /// `source.debezium.time_precision_mode`.
    package enum TimePrecision: String, Sendable, CaseIterable {
        case adaptive
        case adaptive_time_microseconds
        case isostring, microseconds, nanoseconds, connect
    }

    /// `source.debezium.binary_handling_mode`.
    package enum BinaryHandling: String, Sendable, CaseIterable {
        /// Base64, or what the events' schema says.
        case auto
        case bytes, base64
        case base64_url_safe = "base64-url-safe"
        case hex
    }

    /// `source.kafka`.
    package struct Kafka: Sendable, Equatable {
        /// `brokers`: `host:port`, several with commas. Required. Example: `localhost:9092`.
        package var brokers: String
        /// `topics`: names or globs. Required. Example: `["shop.public.*"]`.
        package var topics: [Glob]
        /// `group`: the consumer group. Default `millrace-<pipeline>`.
        package var group: String
        /// `start`: where a pipeline without a checkpoint begins. Default `earliest`.
        package var start = Start.earliest
        /// `format`: of the records. Default `auto`.
        package var format = Format.auto
        /// `schema_registry`: for records in Confluent's wire format. Default none.
        package var schemaRegistry: SchemaRegistry?
        /// `catalog`: the source database, for types, sweeps and backfill. Default none.
        /// Example: `postgres://replicator@db/shop`.
        package var catalog: ConnectionURL?
        /// `connector_slot`: the connector's `slot.name` in the catalog's database, which sweeps look at. Default: the only
        /// logical slot there, or `debezium`.
        package var connectorSlot: String?
        /// `properties`: anything librdkafka knows, except what the keys above say or what would let
        /// Kafka and not the warehouse decide where reading resumes. Default none. Values are hidden
        /// when printed, since passwords are among them.
        package var properties: [String: Secret] = [:]

        package init(brokers: String, topics: [Glob], group: String) {
            self.brokers = brokers
            self.topics = topics
            self.group = group
        }
    }

    /// `source.kafka.start`.
    package enum Start: Sendable, Equatable {
        case earliest
        case latest
        /// The first record at or after this time: ISO 8601 (`2026-05-01T00:00:00Z`; without a zone it is
        /// UTC) or milliseconds since 1970.
        case timestamp(since1970_ms: Int64)
        /// `group:<name>`: where another consumer group stands, to take over from it.
        case group(String)
    }

    /// `source.kafka.format` and `source.file.format`.
    package enum Format: String, Sendable, CaseIterable {
        /// Found out from the records.
        case auto
        /// Debezium's envelope in JSON.
        case debezium
        /// Rows without their envelope (ExtractNewRecordState), in JSON.
        case flattened
        /// CloudEvents in JSON, with JSON data.
        case cloudevents
        /// Confluent's wire format, with schemas of this kind and no others.
        case avro, json_schema, protobuf

        package var needsRegistry: Bool {
            switch self {
            case .avro, .json_schema, .protobuf: true
            case .auto, .debezium, .flattened, .cloudevents: false
            }
        }
    }

    /// `source.file`.
    package struct EventFile: Sendable, Equatable {
        /// `path`: one JSON object a line; `.gz` too. Required. Example: `events.jsonl`.
        package var path: String
        /// `format`: of the records. Default `auto`.
        package var format = Format.auto
        /// `schema_registry`: for records in Confluent's wire format. Default none.
        package var schemaRegistry: SchemaRegistry?

        package init(path: String) {
            self.path = path
        }
    }
}

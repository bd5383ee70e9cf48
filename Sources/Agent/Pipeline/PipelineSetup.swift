import Crypto
import Debezium
import DuckDB
import Foundation
import Logging
import PipelineFile
import Postgres
import Replication

/// Makes the parts of a pipeline from its file.
package struct PipelineSetup: Sendable {
    package let pipeline: Pipeline
    package let layout: WarehouseLayout
    package let logger: Logger
    /// For records in Confluent's wire format, where the pipeline file says where their schemas are.
    package let schemas: SchemaResolver?

    package init(_ pipeline: Pipeline, logger: Logger) {
        self.pipeline = pipeline
        self.logger = logger
        self.schemas = SchemaResolver(pipeline.source)
        let schemas = pipeline.warehouse.schemas
        var layout = WarehouseLayout(
            pipeline: pipeline.name, current: schemas.current, raw: schemas.raw, live: schemas.live,
            history: schemas.history, hasRaw: pipeline.layers.raw, hasCurrent: pipeline.layers.current)
        for table in pipeline.tables {
            layout.allowedLateness_us[table.source] = table.allowedLateness.map { Int64($0 / .microseconds(1)) }
        }
        switch pipeline.source.input {
        case .kafka: layout.suspectsRestore = true
        case .postgres: layout.hasOrderedIDs = true
        default: break
        }
        self.layout = layout
    }

    package func makeWarehouse() -> any Warehouse {
        switch pipeline.warehouse.engine {
        case .duckdb(let settings): duckDB(settings, layout, at: settings.path, memory: settings.memory_limit)
        case .postgres(let settings): PostgresWarehouse(url: settings.url.text, layout: layout)
        }
    }

    /// For what isn't to last: of the same engine, beside the pipeline's own.
    ///
    /// - Parameter path: the file that it is in, where the engine has files.
    func makeSecondWarehouse(_ layout: WarehouseLayout, path: String) -> any Warehouse {
        switch pipeline.warehouse.engine {
        case .duckdb(let settings):
            // A part more than what the first may take.
            duckDB(
                settings, layout, at: path,
                memory: max(.mebibytes(128), ByteCount(bytes: settings.memory_limit.bytes / 4)))
        case .postgres(let settings): PostgresWarehouse(url: settings.url.text, layout: layout)
        }
    }

    private func duckDB(
        _ settings: Pipeline.DuckDB, _ layout: WarehouseLayout, at path: String, memory: ByteCount
    ) -> DuckDBWarehouse {
        DuckDBWarehouse(
            path: path, memoryLimit: "\(memory.bytes / 1024)KiB", library: settings.library, layout: layout)
    }

    /// - Parameters:
    ///   - warehouse: which keeps what of a copy is durable.
    ///   - isAnew: the agent has read the source before, and lost it.
    ///   - commits: is told what a Postgres source shows of them.
    package func makeSource(
        _ warehouse: any Warehouse, isAnew: Bool = false, commits: RecentCommits? = nil
    ) throws -> any RecordSource {
        switch pipeline.source.input {
        case .postgres(let server):
            var settings = PostgresSource.Settings(
                server: server, tables: pipeline.source.tables, snapshot: pipeline.source.snapshot,
                limits: pipeline.batch)
            for table in pipeline.tables { settings.keys[table.source] = table.key }
            settings.adopted = adopted
            settings.isOwnSlot = isAnew
            settings.commits = commits
            settings.bytes = bytes
            return PostgresSource(settings, ledger: WarehouseCopyLedger(warehouse: warehouse), logger: logger)
        case .kafka(let settings):
            var limits = pipeline.batch
            // One is filled while another is decoded and a third written, each of them in several times its size.
            limits.bytes_max = min(limits.bytes_max, ByteCount(bytes: bytes.kafka))
            // Who wants larger batches may have larger transactions.
            var hold = TransactionHold.Limits()
            hold.bytes_max = max(hold.bytes_max, 2 * pipeline.batch.bytes_max.bytes)
            return try WholeTransactionSource(
                KafkaSource(
                    settings, limits: limits, ahead_bytes: bytes.ahead,
                    gathers: bytes.gathers, hasMetBrokers: isAnew, logger: logger), limits: limits,
                hold: hold, schemas: schemas?.store, logger: logger, prepare: { try await prepare($0) })
        case .file(let settings):
            return FileSource(path: settings.path, limits: pipeline.batch, withholdsBytes: withholdsAny)
        }
    }

    /// What a table that is adopted becomes, as far as the pipeline file tells.
    @Sendable func adopted(_ table: TableID) -> TableDefinition? {
        guard let definition = Self.choice(table, in: pipeline).map({ $0.definition(of: table, columns: [], key: []) }),
            definition.existing == .adopt
        else { return nil }
        return definition
    }

    /// A source table as it would be made, before a row of it was decoded; nil: it isn't replicated.
    func definition(_ facts: RelationFacts) -> TableDefinition? {
        guard let choice = Self.choice(facts.table, in: pipeline) else { return nil }
        let columns = facts.columns.filter { !choice.excluded.contains($0.name) }.map { column in
            let type = choice.hashed.contains(column.name) ? .text : choice.types[column.name]
            return Column(name: column.name, type: type ?? ColumnType(sql: column.type) ?? .unknown)
        }
        let key = (choice.key ?? facts.effectiveKey).compactMap { name in columns.firstIndex { $0.name == name } }
        return choice.definition(of: facts.table, columns: columns, key: key)
    }

    var bytes: BatchBytes {
        switch pipeline.warehouse.engine {
        case .duckdb: .forDuckDB
        case .postgres: .forPostgres
        }
    }

    private var withholdsAny: Bool {
        pipeline.tables.contains { !$0.columns.exclude.isEmpty || !$0.columns.hash.isEmpty }
    }

    // MARK: Decoder

    /// What makes events of the source's records.
    package func makeDecoder(known: [TableDefinition], catalog: SourceCatalog?) throws -> any RecordDecoder {
        if case .postgres = pipeline.source.input { return PgOutputDecoder(pgOutputConfiguration(known: known)) }
        var configuration = decoderConfiguration(known: known, catalog: catalog)
        configuration.followsSchemas = true
        configuration.schemaPolicy = schemaSettings.policy
        return try DebeziumDecoder(configuration: configuration)
    }

    /// Fetches what decoding the records needs beside them.
    package func prepare(_ records: RecordBatch) async throws { try await schemas?.prepare(records) }

    /// What decodes a backfill: the stream of its slot brings all that is published, and only what is copied counts.
    ///
    /// - Parameter followsSchemas: false: what is copied changes no table.
    func makeCopyDecoder(
        known: [TableDefinition], of tables: TableSelector, followsSchemas: Bool = true
    ) throws -> any RecordDecoder {
        var configuration = pgOutputConfiguration(known: known)
        let select = configuration.select
        configuration.select = { tables.chooses($0.description) ? select($0) : nil }
        // Kafka's and files' schemas are told by their events alone.
        if case .postgres = pipeline.source.input {
            configuration.followsSchemas = followsSchemas
        } else {
            configuration.followsSchemas = false
        }
        return PgOutputDecoder(configuration)
    }

    /// What decodes quarantined records once more.
    /// - Throws: of a Postgres source: its messages mean nothing without the stream around them.
    func decoderForReplay(known: [TableDefinition], catalog: SourceCatalog?) throws -> DebeziumDecoder {
        if case .postgres = pipeline.source.input {
            throw CommandFailure(
                ExitStatus.usage, "changes of a Postgres source can't be replayed from quarantine (not yet)",
                try: "millrace quarantine show, mend the row at the source, then millrace quarantine discard")
        }
        return try DebeziumDecoder(configuration: decoderConfiguration(known: known, catalog: catalog))
    }

    var keyEquality: KeyEquality {
        if case .duckdb = pipeline.warehouse.engine { .duckdb } else { .postgres }
    }

    /// As the warehouse has a hashed column's value.
    static func hash(_ text: String) -> String {
        let arena = ByteArena(capacity: 128)
        return Array(text.utf8).withUnsafeBytes { arena.string(appendHash($0, arena)) }
    }

    /// Columns of a table that the warehouse has as hashes.
    func hashedColumns(of table: TableID) -> Set<String> { choice(table)?.hashed ?? [] }

    /// Nil: it isn't replicated.
    func choice(_ table: TableID) -> TableChoice? { Self.choice(table, in: pipeline) }

    private static func appendHash(_ bytes: UnsafeRawBufferPointer, _ arena: ByteArena) -> ByteRange {
        let digest = SHA256.hash(data: bytes)
        let range = arena.appendUninitialized(64)
        let out = arena.mutableBytes(range)
        let digits = StaticString("0123456789abcdef").utf8Start
        for (index, byte) in digest.enumerated() {
            out[2 * index] = digits[Int(byte >> 4)]
            out[2 * index + 1] = digits[Int(byte & 15)]
        }
        return range
    }

    private func pgOutputConfiguration(known: [TableDefinition]) -> PgOutputConfiguration {
        let pipeline = pipeline
        var configuration = PgOutputConfiguration(
            select: { Self.choice($0, in: pipeline) }, hash: { Self.appendHash($0, $1) })
        configuration.knownTables = known
        configuration.keyEquality = keyEquality
        configuration.schemaPolicy = schemaSettings.policy
        configuration.withholdsBytes = { table in
            guard let columns = pipeline.table(source: table.description)?.columns else { return false }
            return !columns.exclude.isEmpty || !columns.hash.isEmpty
        }
        return configuration
    }

    package func decoderConfiguration(known: [TableDefinition], catalog: SourceCatalog?) -> DecoderConfiguration {
        let pipeline = pipeline
        var configuration = DecoderConfiguration(
            select: { table in Self.choice(table, in: pipeline) },
            hash: { Self.appendHash($0, $1) })
        configuration.knownTables = known
        configuration.keyEquality = keyEquality
        let withholdsAny = withholdsAny
        configuration.withholdsBytes = { table in
            guard let table else { return withholdsAny }
            guard let columns = pipeline.table(source: table.description)?.columns else { return false }
            return !columns.exclude.isEmpty || !columns.hash.isEmpty
        }
        configuration.placeholder = pipeline.source.debezium.unavailable_value_placeholder
        configuration.modes = EncodingModes(pipeline.source.debezium)
        configuration.schemas = schemas?.store
        configuration.format = Self.format(pipeline.source)
        configuration.added = AddedNames(pipeline.source.debezium)
        configuration.connector = Connector(rawValue: pipeline.source.debezium.connector.rawValue) ?? .unknown
        for table in pipeline.tables {
            guard let id = Self.tableID(table.source) else { continue }
            configuration.namedTables.append(id)
            if let topic = table.topic { configuration.topicTables[topic] = id }
        }
        switch pipeline.source.snapshot {
        case .initial: break
        case .never: configuration.operations.remove(.read)
        case .only: configuration.operations = [.read]
        }
        if let catalog {
            configuration.catalogTypes = catalog.types
            configuration.catalogShortTimes = catalog.shortTimes
            configuration.catalogKeys = catalog.keys
            configuration.replicaIdentity = catalog.identities
        }
        return configuration
    }

    private static func format(_ source: Pipeline.Source) -> EventFormat? {
        switch source.format {
        // A wire format says nothing of the events' shape.
        case .auto, .avro, .json_schema, .protobuf: nil
        case .debezium: .envelope
        case .flattened: .flattened
        case .cloudevents: .cloudEvents
        }
    }

    /// `schema.table`, where the table's name may have dots.
    private static func tableID(_ source: String) -> TableID? {
        guard let dot = source.firstIndex(of: ".") else { return nil }
        return TableID(schema: String(source[..<dot]), table: String(source[source.index(after: dot)...]))
    }

    package var schemaSettings: Replicator.SchemaSettings {
        var settings = Replicator.SchemaSettings()
        let file = pipeline.schemaChanges
        settings.policy.additive = SchemaPolicy.Additive(rawValue: file.additive.rawValue) ?? .apply
        settings.policy.breaking = SchemaPolicy.Breaking(rawValue: file.breaking.rawValue) ?? .plan
        settings.policy.deprecateAfter_us = Int64(file.deprecateAfter / .microseconds(1))
        settings.hasCurrent = layout.hasCurrent
        settings.mayHold = layout.hasRaw && layout.hasCurrent
        if case .postgres(let server) = pipeline.source.input, pipeline.source.snapshot == .initial {
            settings.copyJob = server.slot
        }
        return settings
    }

    package func releaseOptions(of table: TableID) -> ReleaseOptions {
        let choice = choice(table)
        var options = ReleaseOptions(filter: choice?.filter)
        options.excluded = choice?.excluded ?? []
        options.gate = { gate(of: $0) }
        return options
    }

    /// What is expected of a table's rows before they are promoted; nil: nothing.
    @Sendable package func gate(of table: TableDefinition) -> TableGate? {
        guard layout.hasCurrent, let quality = pipeline.table(source: table.source.description)?.quality else {
            return nil
        }
        return TableGate(quality.expectations, of: table, hashed: hashedColumns(of: table.source))
    }

    private static func choice(_ table: TableID, in pipeline: Pipeline) -> TableChoice? {
        let name = table.description
        guard pipeline.source.tables.chooses(name) else { return nil }
        let entry = pipeline.table(source: name)
        let metadata = pipeline.metadataColumns(source: name)
        let types = (entry?.columns.types ?? [:]).compactMapValues { ColumnType(sql: $0) }
        var choice = TableChoice(
            target: pipeline.target(schema: table.schema, table: table.table), key: entry?.key,
            excluded: Set(entry?.columns.exclude ?? []), hashed: Set(entry?.columns.hash ?? []), types: types,
            metadata: MetadataNames(
                isDeleted: metadata.is_deleted, deletedAt: metadata.deleted_at,
                sourceUpdatedAt: metadata.source_updated_at, loadedAt: metadata.loaded_at),
            existing: ExistingPolicy(rawValue: entry?.existing.rawValue ?? "error") ?? .error,
            filter: entry?.filter.map(PipelineRowFilter.init))
        let short = (entry?.columns.types ?? [:]).filter { ColumnType.isShortTime(sql: $0.value) }
        choice.shortTimes = Set(short.keys)
        choice.isTargetGiven = entry?.target != nil
        return choice
    }

    // MARK: What must hold before a table is made

    /// Throws `.configuration` where a table's names collide with ours or with another table's.
    package func validate(_ definition: TableDefinition, beside others: [TableDefinition]) throws {
        let engine = pipeline.warehouse.engine
        let source = definition.source.description
        let reserved = Array(WarehouseSchema.reservedColumns)
        if let collision = pipeline.metadataColumns(source: source).collision(
            source: source, columns: definition.columns.map(\.name), reserved: reserved,
            ignoringCase: engine.ignoresCase)
        {
            throw ReplicationError(
                .configuration,
                "\(source): the source has columns named like ours: \(collision.columns.joined(separator: ", "))",
                remedy: "put this into the pipeline file:\n\(collision.remedy)", table: definition.source)
        }
        func folded(_ name: String) -> String { engine.ignoresCase ? name.lowercased() : name }
        if let other = others.first(where: { folded($0.target) == folded(definition.target) }) {
            throw ReplicationError(
                .configuration,
                "\(source) and \(other.source) would both be table \(definition.target) in the warehouse",
                remedy:
                    "give one of them a name of its own:\ntables:\n  - source: \(source)\n    target: \(definition.target)_2",
                table: definition.source)
        }
        var seen = Set<String>()
        if let twin = definition.columns.map(\.name).first(where: { !seen.insert(folded($0)).inserted }) {
            throw ReplicationError(
                .configuration,
                "\(source): the warehouse can't tell column \(twin) from another that differs by case only",
                remedy: "leave one out:\ntables:\n  - source: \(source)\n    columns: { exclude: [\(twin)] }",
                table: definition.source)
        }
        for name in [definition.target] + definition.columns.map(\.name) {
            if let problem = Identifier.problem(name, bytes_max: engine.identifier_bytes_max) {
                throw ReplicationError(
                    .configuration, "\(source): \(name.prefix(80)): \(problem)",
                    remedy: "set `target:` for the table, or exclude the column", table: definition.source)
            }
        }
        for column in pipeline.table(source: source)?.columns.exclude ?? []
        where definition.columns.contains(where: { $0.name == column }) {
            throw ReplicationError(
                .configuration, "\(source): column \(column) is excluded now and stands in the warehouse already",
                remedy: "drop the pipeline's tables and replicate anew, or take the column off `exclude`",
                table: definition.source)
        }
    }
}

extension AddedNames {
    init(_ settings: Pipeline.Debezium) {
        self.init()
        fields = settings.add_fields
        fieldsPrefix = settings.add_fields_prefix
        headers = settings.add_headers
        headersPrefix = settings.add_headers_prefix
    }
}

extension EncodingModes {
    init(_ settings: Pipeline.Debezium) {
        self.init()
        decimal =
            switch settings.decimal_handling_mode {
            case .auto: .automatic
            case .precise: .precise
            case .double: .double
            case .string: .string
            }
        time =
            switch settings.time_precision_mode {
            // ISO texts are told by their form.
            case .adaptive, .isostring: .adaptive
            case .adaptive_time_microseconds: .adaptiveTimeMicroseconds
            case .microseconds: .microseconds
            case .nanoseconds: .nanoseconds
            case .connect: .connect
            }
        binary =
            switch settings.binary_handling_mode {
            case .auto: .automatic
            // Both alphabets are read.
            case .bytes, .base64, .base64_url_safe: .base64
            case .hex: .hex
            }
    }
}

/// What a source database says of its tables, for decoding.
package struct SourceCatalog: Sendable {
    package var types: [TableID: [String: ColumnType]] = [:]
    /// Columns that are `time(0)` to `time(3)`.
    package var shortTimes: [TableID: Set<String>] = [:]
    package var keys: [TableID: [String]] = [:]
    package var identities: [TableID: ReplicaIdentity] = [:]
    /// Tables whose key is checked at commit at the latest, not at each change.
    package var deferrableKeys: Set<TableID> = []

    package init() {}
}

import Debezium
import EventSchemas
import PipelineFile
import Replication

extension CheckCommand {
    /// The source's side: reachable, what is there, and what a few records of it say.
    static func source(_ setup: PipelineSetup, _ catalog: SourceCatalog?, _ warehouse: (any Warehouse)?) async
        -> [Finding]
    {
        if case .postgres(let server) = setup.pipeline.source.input {
            return await PostgresCheck(server: server, setup: setup).findings(warehouse)
        }
        let look: any SourceLook
        do {
            look = try setup.makeLook()
        } catch {
            return [finding(error, "source")]
        }
        var findings: [Finding] = []
        do {
            let (reach, partitions) = try await reach(look, setup)
            findings += reach
            if let look = look as? KafkaLook, let warehouse {
                findings += try await places(look, setup, try await warehouse.checkpoints(), partitions)
            }
            let known = (try? await warehouse?.knownTables()) ?? []
            let batches = try await look.sample()
            findings += await registry(setup, batches)
            findings += try await tables(setup, catalog, warehouse, known, batches, partitions)
        } catch {
            findings.append(finding(error, "source"))
        }
        await look.close()
        return findings
    }

    /// - Returns: findings, and how many partitions each topic has.
    private static func reach(
        _ look: any SourceLook, _ setup: PipelineSetup
    ) async throws -> ([Finding], [String: Int]) {
        switch setup.pipeline.source.input {
        case .postgres: return ([], [:])
        case .file(let file):
            return ([Finding(.ok, "source", "file \(file.path)")], [:])
        case .kafka(let kafka):
            guard let look = look as? KafkaLook else { return ([], [:]) }
            let topics = try await look.topics()
            var findings = [Finding(.ok, "source", "brokers \(kafka.brokers) answer")]
            for topic in topics {
                let noun = topic.partitions == 1 ? "partition" : "partitions"
                findings.append(Finding(.ok, "topic \(topic.name)", "\(topic.partitions) \(noun)"))
            }
            for glob in kafka.topics where !topics.contains(where: { glob.matches($0.name) }) {
                findings.append(
                    Finding(
                        .warning, "source.kafka.topics", "no topic matches \(glob.pattern) so far",
                        remedy: "see the connector's topic.prefix; a connector makes a topic with its first event"))
            }
            return (findings, Dictionary(topics.map { ($0.name, $0.partitions) }, uniquingKeysWith: max))
        }
    }

    /// Checkpoints that lie outside of what the topics still have.
    private static func places(
        _ look: KafkaLook, _ setup: PipelineSetup, _ checkpoints: [Checkpoint], _ partitions: [String: Int]
    ) async throws -> [Finding] {
        guard case .kafka(let kafka) = setup.pipeline.source.input else { return [] }
        func isThere(_ partition: TopicPartition) -> Bool {
            partition.partition < partitions[partition.topic] ?? 0
        }
        var findings: [Finding] = []
        for checkpoint in checkpoints where checkpoint.position != nil && !isThere(checkpoint.partition) {
            // Of another kind of source, or of topics that the file had before, there may be some, too.
            guard kafka.topics.contains(where: { $0.matches(checkpoint.partition.topic) }) else { continue }
            findings.append(
                Finding(
                    .warning, checkpoint.partition.description,
                    "it was read before, and isn't there any more",
                    remedy: "if it was deleted, nothing is to be done: a connector makes a topic with its next event"))
        }
        let lost = try await look.lostPartitions(checkpoints.filter { isThere($0.partition) })
        findings += lost.map { Finding(.error, $0.partition.description, $0.reason, remedy: $0.remedy) }
        return findings
    }

    static func tables(
        _ setup: PipelineSetup, _ catalog: SourceCatalog?, _ warehouse: (any Warehouse)?, _ known: [TableDefinition],
        _ batches: [RecordBatch], _ partitions: [String: Int]
    ) async throws -> [Finding] {
        var samples = RecordSample.byTable(batches, try setup.schemas.map { try FramedReader($0.store) })
        let decoder = try DebeziumDecoder(
            configuration: setup.decoderConfiguration(known: known, catalog: catalog))
        var definitions: [TableID: TableDefinition] = [:]
        var findings: [Finding] = []
        var undecoded: [String: (reason: String, count: Int)] = [:]
        for batch in batches {
            let decoded = decoder.decode(batch)
            for definition in decoded.tables { definitions[definition.source] = definition }
            for entry in decoded.quarantined {
                let subject = entry.table?.description ?? entry.partition.topic
                undecoded[subject, default: (entry.reason, 0)].count += 1
            }
        }
        let flattened = decoder.flattenedTables
        for (id, traits) in flattened where samples[id] == nil { samples[id] = RecordSample(topics: traits.topics) }
        for (subject, trouble) in undecoded.sorted(by: { $0.key < $1.key }) {
            findings.append(
                Finding(
                    .warning, subject, "\(trouble.count) of the records looked at can't be decoded: \(trouble.reason)",
                    remedy: "they would go to quarantine: millrace quarantine list"))
        }
        var others: [TableDefinition] = known
        for (id, sample) in samples.sorted(by: { $0.key < $1.key }) {
            guard setup.pipeline.source.tables.chooses(id.description) else {
                findings.append(
                    Finding(.ok, id.description, "not replicated: source.include and source.exclude leave it out"))
                continue
            }
            guard let definition = definitions[id] else { continue }
            findings += table(definition, sample, setup, partitions)
            if decoder.connector(of: id) == .postgres, catalog?.identities[id] != .full {
                findings += silentNulls(definition, setup)
            }
            if let traits = flattened[id] { findings += Self.flattened(definition, traits) }
            do {
                try setup.validate(definition, beside: others.filter { $0.source != id })
            } catch {
                findings.append(finding(error, id.description))
            }
            others.append(definition)
            if let warehouse, !known.contains(where: { $0.source == id }) {
                findings += try await foreign(definition, warehouse, setup)
            }
        }
        findings += untested(Set(samples.keys.compactMap { decoder.connector(of: $0) }))
        if samples.isEmpty {
            findings.append(
                Finding(
                    .warning, "source", "no change event was found in the records looked at, so tables aren't known yet"
                ))
        }
        findings += transactions(
            samples, partitions,
            others: Set(flattened.keys.filter { setup.pipeline.source.tables.chooses($0.description) }))
        return findings + absent(setup, catalog, samples)
    }

    /// Columns that Debezium sends as NULL when an update leaves a large value alone, having no placeholder of their type
    /// (of scalar numerics that only concerns those of thousands of digits).
    private static func silentNulls(_ definition: TableDefinition, _ setup: PipelineSetup) -> [Finding] {
        let mode = setup.pipeline.source.debezium.binary_handling_mode
        let lacksBytes = mode == .base64 || mode == .base64_url_safe
        func isSilent(_ type: ColumnType) -> Bool {
            switch type {
            case .bytea: lacksBytes
            case .other(let name): name.hasPrefix("bit varying") || name.hasPrefix("varbit")
            case .array(let element):
                switch element {
                case .text, .smallint, .integer, .bigint, .date, .uuid, .json, .jsonb, .unknown: false
                case .bytea: lacksBytes
                default: true
                }
            default: false
            }
        }
        let columns = definition.columns.filter { isSilent($0.type) }.map(\.name)
        guard !columns.isEmpty else { return [] }
        return [
            Finding(
                .warning, definition.source.description,
                "an update that leaves a large (TOASTed) value of \(columns.joined(separator: ", ")) alone sends NULL for it, "
                    + "which looks like a real one: Debezium has no placeholder for such types",
                remedy:
                    "ALTER TABLE … REPLICA IDENTITY FULL, or source.postgres, which tells them apart"
            )
        ]
    }

    /// Connectors of which no event was ever recorded for the tests.
    private static func untested(_ connectors: Set<Connector>) -> [Finding] {
        let names = [Connector.sqlserver: "SQL Server", .oracle: "Oracle", .mongodb: "MongoDB"]
        return names.filter { connectors.contains($0.key) }.sorted { $0.value < $1.value }.map { connector, name in
            Finding(
                .warning, "source",
                "events of Debezium's connector for \(name) are read as its documentation has them; none was ever recorded for our tests",
                remedy: "compare with the source, and read connectors/debezium-\(connector.rawValue)/README.md")
        }
    }

    private static func table(
        _ definition: TableDefinition, _ sample: RecordSample, _ setup: PipelineSetup, _ partitions: [String: Int]
    ) -> [Finding] {
        let name = definition.source.description
        let target = "\(setup.layout.current).\(definition.target)"
        let key = definition.key.map { definition.columns[$0].name }.joined(separator: ", ")
        var findings = [
            Finding(.ok, name, "→ \(target), \(definition.isKeyless ? "without a key" : "key (\(key))")")
        ]
        let untyped = definition.columns.filter { $0.type == .unknown }.map(\.name)
        if !untyped.isEmpty {
            findings.append(
                Finding(
                    .warning, name,
                    "columns \(untyped.joined(separator: ", ")) are stored as the JSON that carried them: "
                        + "their events have no schema part and nothing else tells their types",
                    remedy: "columns.types for the table, or source.kafka.catalog"))
        }
        if sample.mayReplaceNulls {
            findings.append(
                Finding(
                    .warning, name,
                    "the connector sends a column's default where the source has NULL, and nothing can tell them apart",
                    remedy:
                        "value.converter.\(sample.isFramed ? "ignore.default.for.nullables=true" : "replace.null.with.default=false")"
                        + " in the connector's configuration"))
        }
        if definition.isKeyless, !definition.columns.isEmpty, sample.records > 0 {
            findings += keyless(name, sample, partitions: sample.topics.compactMap { partitions[$0] }.max() ?? 1)
        }
        if !setup.pipeline.layers.raw {
            let filtered = definition.isFiltered ? ", and rows whose `where` hangs on one aren't judged right" : ""
            findings.append(
                Finding(
                    .warning, name,
                    "without the raw layer, unchanged (TOAST) columns of rows that moved to another key stay empty\(filtered)",
                    remedy: "layers: { raw: true }"))
        }
        return findings
    }

    /// What can't be told of a table without a key (semantics 1).
    private static func keyless(_ name: String, _ sample: RecordSample, partitions: Int) -> [Finding] {
        let metadata = "provide.transaction.metadata=true in the connector's configuration"
        var findings: [Finding] = []
        if partitions > 1, !sample.hasTransactions {
            findings.append(
                Finding(
                    sample.hasStreamed ? .error : .warning, name,
                    "the table has no key and its topic has \(partitions) partitions: the order of its events can't be told"
                        + (sample.hasStreamed
                            ? ", and they are refused" : "; without transaction metadata they will be refused"),
                    remedy: "\(metadata), one partition for the topic, or a key in `tables:`"))
        }
        findings.append(
            sample.lacksBefore
                ? Finding(
                    .error, name,
                    "the table has no key and its events no full before-images: its updates and deletes can't be applied",
                    remedy: "ALTER TABLE … REPLICA IDENTITY FULL at the source, or a key in `tables:`")
                : Finding(
                    .ok, name, "without a key, its updates and deletes can be applied with full before-images only"))
        findings.append(
            Finding(
                .warning, name,
                "without a key, a snapshot read that is delivered again at another offset can't be told from a second equal row",
                remedy: "a key in `tables:`, or snapshot.mode=no_data once the table was read"))
        if !sample.hasTransactions {
            findings.append(
                Finding(
                    .warning, name,
                    "without a key, a redelivery that begins inside a run of equal rows can't be told from more of them",
                    remedy: metadata))
        }
        return findings
    }

    /// What the pipeline file or the catalog names and no record showed.
    private static func absent(
        _ setup: PipelineSetup, _ catalog: SourceCatalog?, _ samples: [TableID: RecordSample]
    ) -> [Finding] {
        let seen = Set(samples.keys.map(\.description))
        var findings: [Finding] = []
        for table in setup.pipeline.tables where !seen.contains(table.source) {
            let isKnown = catalog?.identities.keys.contains { $0.description == table.source } ?? false
            findings.append(
                Finding(
                    isKnown ? .ok : .warning, table.source,
                    "no event of it among the records looked at",
                    remedy: isKnown ? nil : "see that `source:` is the table's schema and name"))
        }
        guard let catalog else { return findings }
        let chosen = catalog.identities.keys.filter {
            setup.pipeline.source.tables.chooses($0.description) && seen.contains($0.description)
        }
        return findings + keys(of: chosen.sorted(), catalog, hasRaw: setup.pipeline.layers.raw)
    }

    /// What the source's keys and replica identities don't tell.
    static func keys(of tables: [TableID], _ catalog: SourceCatalog, hasRaw: Bool) -> [Finding] {
        var findings: [Finding] = []
        for id in tables {
            if catalog.identities[id] == .incomplete {
                findings.append(
                    Finding(
                        .warning, id.description,
                        catalog.keys[id] != nil
                            ? "its replica identity doesn't cover the key (a deferrable key is none): deletes can't be told apart"
                            : "it has no key and no full replica identity: its updates and deletes can't be told apart",
                        remedy: "ALTER TABLE … REPLICA IDENTITY FULL"))
            }
            guard catalog.deferrableKeys.contains(id) else { continue }
            let isFull = catalog.identities[id] == .full
            findings.append(
                Finding(
                    .warning, id.description,
                    "its key is deferrable, so that several rows can have one key inside of a transaction: "
                        + (isFull && hasRaw
                            ? "which one a delete means is told by before-images and by what raw has of the key"
                            : isFull
                                ? "without the raw layer, deletes of such rows are told apart within one batch only"
                                : "deletes of such rows can't be told apart and go to quarantine"),
                    remedy: isFull
                        ? (hasRaw ? "make the key NOT DEFERRABLE, if nothing needs it" : "layers: { raw: true }")
                        : "make the key NOT DEFERRABLE, or ALTER TABLE … REPLICA IDENTITY FULL"))
        }
        return findings
    }
}

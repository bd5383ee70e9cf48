extension PipelineDecoder {
    func source(_ root: Section, pipeline: String) -> Pipeline.Source? {
        guard let section = root.section("source", keys: Keys.source) else {
            if root.entry("source") == nil {
                root.fail("source", "there is no source", try: "source: { kafka: { brokers: …, topics: […] } }")
            }
            return nil
        }
        let kinds = ["kafka", "postgres", "file"].filter { section.entry($0) != nil }
        if kinds.isEmpty {
            section.fail("", "one of kafka, postgres and file must be here", try: "kafka: { brokers: …, topics: […] }")
        }
        let inOrder = kinds.sorted { mark(section, $0) < mark(section, $1) }
        if inOrder.count > 1 {
            context.fail(
                section.entry(inOrder[1])?.keyMark ?? section.mark, section.path(inOrder[1]),
                "a pipeline has one source, this one has \(inOrder.joined(separator: " and "))",
                try: "keep one of them here, and make a second pipeline for the other")
        }
        let postgres = self.postgres(section, pipeline: pipeline)
        let kafka = self.kafka(section, pipeline: pipeline)
        let file = self.file(section)
        let tables = selector(section)
        let snapshot = section.choice("snapshot", Pipeline.Snapshot.self)
        let debezium = self.debezium(section)
        guard
            let input = kafka.map(Pipeline.Input.kafka) ?? postgres.map(Pipeline.Input.postgres)
                ?? file.map(Pipeline.Input.file)
        else { return nil }
        var source = Pipeline.Source(input)
        source.tables = tables
        source.snapshot = snapshot ?? .initial
        source.debezium = debezium
        return source
    }

    private func mark(_ section: Section, _ key: String) -> (Int, Int) {
        section.entry(key).map { ($0.keyMark.line, $0.keyMark.column) } ?? (0, 0)
    }

    private func selector(_ section: Section) -> TableSelector {
        var selector = TableSelector()
        if let include = globs(section, "include") {
            selector.include = include
            if case .list(let items, _) = section.node("include"), items.isEmpty {
                section.fail("include", "an empty list chooses no table", try: "include: [\"*.*\"]")
            }
        }
        selector.exclude = globs(section, "exclude") ?? []
        return selector
    }

    private func globs(_ section: Section, _ key: String) -> [Glob]? {
        section.texts(key, example: "[\"public.*\"]")?.map { value in
            if !value.text.contains(where: { ".*?".contains($0) }) {
                context.fail(
                    value.mark, value.keyPath, "a glob is over schema.table, \(value.shown) can match nothing",
                    try: value.isSubstituted ? nil : "\"*.\(value.text)\"")
            }
            return Glob(value.text)
        }
    }

    private func file(_ section: Section) -> Pipeline.EventFile? {
        guard let file = section.section("file", keys: Keys.file) else { return nil }
        guard file.node("path") != nil else {
            file.fail("path", "which file to read isn't said", try: "path: events.jsonl")
            return nil
        }
        let format = self.format(file)
        let registry = schemaRegistry(file)
        checkFormat(format, file)
        return file.text("path").map { path in
            var file = Pipeline.EventFile(path: context.resolve(path: path.text))
            file.format = format
            file.schemaRegistry = registry
            return file
        }
    }

    private func format(_ section: Section) -> Pipeline.Format {
        section.choice("format") ?? .auto
    }

    private func postgres(_ section: Section, pipeline: String) -> Pipeline.PostgresServer? {
        guard let postgres = section.section("postgres", keys: Keys.postgresSource) else { return nil }
        let example = "url: postgres://replicator@db/shop"
        guard postgres.node("url") != nil else {
            postgres.fail("url", "which server to read isn't said", try: example)
            return nil
        }
        guard let value = postgres.text("url") else { return nil }
        guard let url = ConnectionURL(value.text, schemes: Self.postgresSchemes) else {
            postgres.fail("url", "this is no Postgres URL", try: example)
            return nil
        }
        var server = Pipeline.PostgresServer(
            url: url, publication: postgres.text("publication")?.text ?? "millrace_\(pipeline)",
            slot: postgres.text("slot")?.text ?? "millrace_\(pipeline)")
        let isSlot = server.slot.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F
        }
        if !isSlot || server.slot.isEmpty || server.slot.utf8.count > 50 {
            postgres.fail(
                "slot", "a slot's name has up to 50 lower-case letters, digits and underscores",
                try: "slot: millrace_\(pipeline)")
        }
        if server.publication.isEmpty || server.publication.utf8.count > 63 {
            postgres.fail(
                "publication", "a publication's name has 1 to 63 bytes", try: "publication: millrace_\(pipeline)")
        }
        if let workers = postgres.integer("copy_workers", in: 1...32, example: 2) { server.copyWorkers = workers }
        return server
    }

    private func kafka(_ section: Section, pipeline: String) -> Pipeline.Kafka? {
        guard let kafka = section.section("kafka", keys: Keys.kafka) else { return nil }
        let brokers = self.brokers(kafka)
        let topics = self.topics(kafka)
        let group = kafka.text("group")?.text ?? "millrace-\(pipeline)"
        var settings = Pipeline.Kafka(brokers: brokers ?? "", topics: topics ?? [], group: group)
        settings.start = start(kafka, group: group) ?? .earliest
        settings.format = format(kafka)
        settings.schemaRegistry = schemaRegistry(kafka)
        checkFormat(settings.format, kafka)
        settings.catalog = catalog(kafka)
        settings.connectorSlot = kafka.text("connector_slot")?.text
        settings.properties = properties(kafka)
        if let brokers { refuseOther(kafka, brokers, settings.properties) }
        return brokers == nil || topics == nil ? nil : settings
    }

    private func brokers(_ kafka: Section) -> String? {
        guard kafka.node("brokers") != nil else {
            kafka.fail("brokers", "no broker is named", try: "brokers: localhost:9092")
            return nil
        }
        guard let value = kafka.text("brokers") else { return nil }
        let parts = value.text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        for part in parts where !Self.isBroker(part) {
            kafka.fail("brokers", "\(value.shown) is no list of host:port", try: "brokers: localhost:9092")
            return nil
        }
        return parts.joined(separator: ",")
    }

    private static func isBroker(_ text: String) -> Bool {
        let address = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).last ?? ""
        if address.isEmpty || address.contains(where: { $0.isWhitespace || $0 == "/" }) { return false }
        guard let colon = address.lastIndex(of: ":"), !address.hasSuffix("]") else { return true }
        guard let port = Int(address[address.index(after: colon)...]) else { return false }
        return colon > address.startIndex && (1...65_535).contains(port)
    }

    private func topics(_ kafka: Section) -> [Glob]? {
        guard let node = kafka.node("topics") else {
            kafka.fail("topics", "no topic is named", try: "topics: [\"shop.public.*\"]")
            return nil
        }
        if case .list(let items, _) = node, items.isEmpty {
            kafka.fail("topics", "no topic is named", try: "topics: [\"shop.public.*\"]")
            return nil
        }
        return kafka.texts("topics", example: "[\"shop.public.*\"]")?.map { value in
            let isTopic = value.text.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte)
                    || "._-*?".utf8.contains(byte)
            }
            if !isTopic || value.text.utf8.count > 249 {
                context.fail(
                    value.mark, value.keyPath,
                    "\(value.shown) is no topic's name or glob of letters, digits, . _ - and * ?",
                    try: "\"shop.public.*\"")
            }
            return Glob(value.text)
        }
    }

    private func start(_ kafka: Section, group: String) -> Pipeline.Start? {
        guard let value = kafka.text("start") else { return nil }
        switch value.text {
        case "earliest": return .earliest
        case "latest": return .latest
        default: break
        }
        if value.text.hasPrefix("group:") {
            let name = String(value.text.dropFirst(6))
            if name.isEmpty {
                kafka.fail("start", "the group to take over from has no name", try: "start: group:old-consumer")
            } else if name == group {
                kafka.fail(
                    "start", "this is the pipeline's own group, taking over needs another", try: "start: earliest")
            }
            return .group(name)
        }
        if let milliseconds = Int64(value.text), milliseconds >= 0 { return .timestamp(since1970_ms: milliseconds) }
        if let instant = Instant(value.text) {
            let milliseconds = instant.seconds * 1_000 + instant.nanoseconds / 1_000_000
            if milliseconds >= 0 { return .timestamp(since1970_ms: milliseconds) }
        }
        kafka.fail(
            "start", "\(value.shown) is none of earliest, latest, a time, group:<name>",
            try: "start: 2026-05-01T00:00:00Z")
        return nil
    }

    private func catalog(_ kafka: Section) -> ConnectionURL? {
        guard let value = kafka.text("catalog") else { return nil }
        if let url = ConnectionURL(value.text, schemes: Self.postgresSchemes) { return url }
        if let scheme = ["mysql", "mariadb", "sqlserver", "oracle", "mongodb"].first(where: { value.text.hasPrefix($0) }
        ) {
            kafka.notYet("catalog", "a catalog in \(scheme)")
        } else {
            kafka.fail("catalog", "this is no Postgres URL", try: "catalog: postgres://replicator@db/shop")
        }
        return nil
    }

    static let postgresSchemes = ["postgres", "postgresql"]

    /// Each property that the agent sets itself, and the key to use instead.
    private static let ownProperties = [
        "bootstrap.servers": "brokers", "metadata.broker.list": "brokers", "group.id": "group",
        "auto.offset.reset": "start", "topic.auto.offset.reset": "start",
    ]
    /// Properties by which Kafka, not the warehouse, would decide where reading resumes.
    private static let offProperties = ["enable.auto.commit", "auto.commit.enable", "enable.auto.offset.store"]

    private func properties(_ kafka: Section) -> [String: Secret] {
        guard let node = kafka.node("properties") else { return [:] }
        guard case .map(let entries, _) = node else {
            kafka.fail(
                "properties", "this must be a mapping, not \(node.kind)", try: "properties: { security.protocol: ssl }")
            return [:]
        }
        var properties: [String: Secret] = [:]
        for entry in entries {
            let path = Section.join(kafka.path("properties"), entry.key)
            if let key = Self.ownProperties[entry.key] {
                context.fail(entry.keyMark, path, "the agent sets this itself", try: "\(kafka.path(key)): …")
                continue
            }
            guard case .scalar(let scalar) = entry.value, let value = context.value(of: scalar, at: path) else {
                if case .scalar = entry.value { continue }
                context.fail(entry.value.mark, path, "this must be a single value, not \(entry.value.kind)")
                continue
            }
            if Self.offProperties.contains(entry.key), value.text != "false" {
                context.fail(
                    value.mark, path, "the warehouse's checkpoint says where reading resumes, so this stays off",
                    try: "take \(path) out")
                continue
            }
            properties[entry.key] = Secret(value.text)
        }
        let protocolName = properties["security.protocol"]?.value.lowercased() ?? "plaintext"
        for entry in entries where properties[entry.key] != nil {
            refuseUnused(entry, at: Section.join(kafka.path("properties"), entry.key), protocolName)
        }
        return properties
    }

    /// librdkafka takes certificates and passwords that its protocol has no use for, and talks in the clear, or as
    /// nobody.
    private func refuseUnused(_ entry: FileEntry, at path: String, _ protocolName: String) {
        let isEncrypted = protocolName.hasSuffix("ssl")
        let asks = protocolName.hasPrefix("sasl_")
        if entry.key.hasPrefix("ssl."), !isEncrypted {
            context.fail(
                entry.keyMark, path, "nothing is encrypted: security.protocol is \(protocolName)",
                try: "security.protocol: \(asks ? "sasl_ssl" : "ssl")")
        }
        if entry.key.hasPrefix("sasl."), !asks {
            context.fail(
                entry.keyMark, path, "nobody is told who we are: security.protocol is \(protocolName)",
                try: "security.protocol: sasl_ssl")
        }
    }

    /// A broker's own protocol goes before the property's.
    private func refuseOther(_ kafka: Section, _ brokers: String, _ properties: [String: Secret]) {
        let protocolName = properties["security.protocol"]?.value.lowercased() ?? "plaintext"
        for broker in brokers.split(separator: ",") {
            guard let end = broker.firstRange(of: "://")?.lowerBound else { continue }
            let own = broker[..<end].lowercased()
            if own != protocolName {
                kafka.fail(
                    "brokers", "\(own):// isn't what security.protocol says, which is \(protocolName)",
                    try: "brokers without ://, and properties: { security.protocol: \(own) }")
                return
            }
        }
    }
}

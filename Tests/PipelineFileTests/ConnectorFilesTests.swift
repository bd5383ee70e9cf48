import Foundation
import PipelineFile
import Testing

/// What stands in connectors/ and on the pages of docs/ is read as it is: pipeline files have no problems, and
/// Debezium's connectors the settings without which events can't be replicated exactly.
@Suite struct ConnectorFilesTests {
    /// Of Kafka Connect's REST interface, where every value is a text.
    private struct Connector: Decodable {
        let name: String
        let config: [String: String]
    }

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let environment = [
        "SOURCE_URL": "postgres://replicator@db/shop", "WAREHOUSE_URL": "postgres://loader@warehouse/analytics",
    ]

    private static func names(in folder: String) -> [String] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)
        return (names ?? []).sorted()
    }

    /// `connectors/debezium-mysql/to-duckdb.yaml`
    private static let pipelines = names(in: "connectors").flatMap { folder in
        names(in: "connectors/\(folder)").filter { $0.hasSuffix(".yaml") }.map { "connectors/\(folder)/\($0)" }
    }
    private static let connectors = names(in: "connectors").flatMap { folder in
        names(in: "connectors/\(folder)").filter { $0.hasPrefix("connector") && $0.hasSuffix(".json") }
            .map { "connectors/\(folder)/\($0)" }
    }

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    private static func connector(_ path: String) throws -> Connector {
        try JSONDecoder().decode(Connector.self, from: Data(contentsOf: root.appending(path: path)))
    }

    @Test func allOfThemAreFound() {
        let kinds = ["mysql", "sqlserver", "oracle", "mongodb"]
        for kind in kinds {
            for file in ["to-duckdb.yaml", "to-postgres.yaml"] {
                #expect(Self.pipelines.contains("connectors/debezium-\(kind)/\(file)"))
            }
        }
        for kind in kinds + ["postgres"] {
            #expect(Self.connectors.contains("connectors/debezium-\(kind)/connector.json"))
        }
        #expect(Self.connectors.contains("connectors/debezium-mysql/connector-mariadb.json"))
    }

    @Test(arguments: pipelines) func aPipelineFileHasNoProblems(path: String) throws {
        #expect(problems(try Self.text(path), Self.environment) == [])
    }

    /// Whole pipeline files on pages: those that have a name.
    @Test(arguments: ["docs/from-the-jdbc-sink.md"]) func aPagesPipelineFilesHaveNoProblems(path: String) throws {
        let files = Self.yaml(in: try Self.text(path)).filter { $0.hasPrefix("pipeline:") }
        #expect(files.count == 2)
        for file in files { #expect(problems(file, Self.environment) == [], "\(file)") }
    }

    /// Fenced blocks of YAML, without the indentation of the list that they stand in.
    private static func yaml(in page: String) -> [String] {
        var blocks: [String] = []
        var block: [Substring]?
        var indentation = 0
        for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
            let bare = line.drop { $0 == " " }
            if let lines = block {
                if bare == "```" {
                    blocks.append(lines.joined(separator: "\n") + "\n")
                    block = nil
                } else {
                    block = lines + [line.dropFirst(indentation)]
                }
            } else if bare == "```yaml" {
                block = []
                indentation = line.count - bare.count
            }
        }
        return blocks
    }

    @Test(arguments: connectors) func aConnectorSendsAllThatReplicationNeeds(path: String) throws {
        let connector = try Self.connector(path)
        let config = connector.config
        let type = try #require(config["connector.class"])
        #expect(connector.name == config["topic.prefix"])
        for (key, value) in [
            ("snapshot.mode", "initial"), ("skipped.operations", "none"), ("tombstones.on.delete", "true"),
            ("provide.transaction.metadata", "true"), ("heartbeat.interval.ms", "10000"),
            ("key.converter.schemas.enable", "true"), ("value.converter.schemas.enable", "true"),
            ("key.converter.replace.null.with.default", "false"),
            ("value.converter.replace.null.with.default", "false"),
        ] { #expect(config[key] == value, "\(key)") }
        let password = config["database.password"] ?? config["mongodb.password"]
        #expect(password?.hasPrefix("${file:") == true)

        if type.hasSuffix(".MongoDbConnector") { return try Self.checkMongoDB(config) }
        for (key, value) in [
            ("decimal.handling.mode", "precise"), ("binary.handling.mode", "bytes"),
            ("column.propagate.source.type", ".*"),
        ] { #expect(config[key] == value, "\(key)") }
        #expect(config["transforms"] == nil, "events stay in their envelope")
        let isBinlog = type.hasSuffix(".MySqlConnector") || type.hasSuffix(".MariaDbConnector")
        #expect(config["time.precision.mode"] == (isBinlog ? "adaptive_time_microseconds" : "adaptive"))
        #expect(config["bigint.unsigned.handling.mode"] == (isBinlog ? "precise" : nil))
        let hasIntervals = type.hasSuffix(".PostgresConnector") || type.hasSuffix(".OracleConnector")
        #expect(config["interval.handling.mode"] == (hasIntervals ? "string" : nil))

        if type.hasSuffix(".PostgresConnector") { return }
        #expect(config["event.converting.failure.handling.mode"] == "fail")
        #expect(config["schema.history.internal.kafka.topic"] == "schema-history.shop")
        #expect(config["schema.history.internal.kafka.bootstrap.servers"]?.isEmpty == false)
        #expect(config["heartbeat.action.query"]?.hasPrefix("UPDATE ") == true)
        #expect(config["signal.enabled.channels"] == "source")
        // The signal table has to be captured. Its name may have the database or the container before it.
        let signals = try #require(config["signal.data.collection"]).split(separator: ".").suffix(2)
        let name = signals.joined(separator: ".")
        let tables = try #require(config["table.include.list"])
        let isCaptured = try tables.split(separator: ",").contains { try Regex(String($0)).wholeMatch(in: name) != nil }
        #expect(isCaptured, "\(name) in \(tables)")
        // A snapshot of all tables as of one moment would rank above changes made while it is read.
        #expect(config["snapshot.isolation.mode"] != "snapshot")
        #expect(config["snapshot.locking.mode"] != "none")
        // Debezium refuses the two together.
        #expect(!(config["log.mining.strategy"] == "hybrid" && config["lob.enabled"] == "true"))
    }

    private static func checkMongoDB(_ config: [String: String]) throws {
        for (key, value) in [
            ("capture.mode", "change_streams_update_full"), ("capture.mode.full.update.type", "post_image"),
            ("transforms", "unwrap"), ("transforms.unwrap.delete.tombstone.handling.mode", "rewrite"),
            ("transforms.unwrap.type", "io.debezium.connector.mongodb.transforms.ExtractNewDocumentState"),
        ] { #expect(config[key] == value, "\(key)") }
        for key in ["transforms.unwrap.add.fields", "transforms.unwrap.add.headers"] {
            let added = try #require(config[key]).split(separator: ",")
            for field in ["op", "source.ts_ms", "source.db", "source.collection"] {
                #expect(added.contains(Substring(field)), "\(key): \(field)")
            }
        }
    }

    /// The file reads the tables' topics, and none of the others that the connector writes.
    @Test(arguments: [
        ("postgres", "shop.public.orders", "public.orders"), ("mysql", "shop.shop.orders", "shop.orders"),
        ("sqlserver", "shop.shop.dbo.orders", "dbo.orders"), ("oracle", "shop.SHOP.ORDERS", "SHOP.ORDERS"),
        ("mongodb", "shop.shop.orders", "shop.orders"),
    ])
    func aPipelineReadsItsConnectorsTopics(kind: String, topic: String, table: String) throws {
        let own = Self.pipelines.filter { $0.hasPrefix("connectors/debezium-\(kind)/") }
        #expect(!own.isEmpty)
        for path in own {
            let pipeline = try parse(try Self.text(path), file: path, Self.environment)
            let topics = try #require(pipeline.kafka).topics
            #expect(topics.contains { $0.matches(topic) }, "\(path)")
            #expect(pipeline.source.tables.chooses(table), "\(path)")
            // Its signals stand in the database itself, for the change stream over it.
            if kind == "mongodb" { #expect(!pipeline.source.tables.chooses("shop.debezium_signal"), "\(path)") }
            // Where an END's names of tables are measured.
            let hasTransactions = kind == "postgres" || kind == "mysql"
            #expect(topics.contains { $0.matches("shop.transaction") } == hasTransactions, "\(path)")
            let others = [
                "shop", "__debezium-heartbeat.shop", "schema-history.shop",
                "shop.debezium.debezium_signal", "shop.debezium.heartbeat", "shop.C__DEBEZIUM.DEBEZIUM_SIGNAL",
            ]
            for other in others { #expect(!topics.contains { $0.matches(other) }, "\(path): \(other)") }
        }
    }

    /// Settings that say nothing but where and who.
    private static let plain: Set<String> = [
        "connector.class", "tasks.max", "database.hostname", "database.port", "database.user", "database.password",
        "database.dbname", "topic.prefix", "snapshot.mode", "key.converter", "value.converter", "predicates",
    ]

    @Test(arguments: connectors) func eachSettingIsExplainedBesideIt(path: String) throws {
        let folder = path.split(separator: "/").dropLast().joined(separator: "/")
        let page = try Self.text("\(folder)/README.md")
        for key in try Self.connector(path).config.keys where !Self.plain.contains(key) {
            let prefixes = ["key.converter.", "value.converter.", "transforms.unwrap."]
            let name = prefixes.first { key.hasPrefix($0) }.map { String(key.dropFirst($0.count)) } ?? key
            #expect(page.contains(name), "\(key)")
        }
    }
}

import Agent
import Foundation
import JSON
import Kafka
import Logging
import Replication
import Testing
import ThrowawayPostgres

/// The keys below `source`: set, and their effect seen in both warehouses.
@Suite(.serialized) struct SourceKeysTests {
    private static let logger: Logger = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    // MARK: source.kafka

    private static let partition = TopicPartition(topic: SyntheticEvents.topic, partition: 0)

    /// A broker with 20 events of `public.items` and 10 of `public.more`, each in a topic of its own.
    private func withBroker(_ body: (MockBroker) async throws -> Void) async throws {
        let broker = try MockBroker(topics: [SyntheticEvents.topic: 1, "shop.public.more": 1], logger: Self.logger)
        defer { broker.close() }
        let more = SyntheticEvents.inserts(0..<10).map { record in
            let value = String(decoding: record.value ?? [], as: UTF8.self)
            return OutgoingRecord(
                topic: "shop.public.more", key: record.key,
                value: Array(value.replacing("\"table\":\"items\"", with: "\"table\":\"more\"").utf8))
        }
        try await produce(SyntheticEvents.inserts(0..<20) + more, to: broker)
        try await body(broker)
    }

    private func produce(_ records: [OutgoingRecord], to broker: MockBroker) async throws {
        let producer = try Producer(brokers: broker.bootstrap, logger: Self.logger)
        try await producer.send(records)
        _ = try await producer.flush()
        await producer.close()
    }

    private func run(
        _ name: String, _ engine: Engine, _ broker: MockBroker, topics: String = "\"shop.*\"",
        properties: String = ", session.timeout.ms: 6000",
        more: String = "", rest: String = ""
    ) async throws -> PipelineRun {
        try await PipelineRun(
            name, engine,
            source: """
                  kafka:
                    brokers: \(broker.bootstrap)
                    topics: [\(topics)]
                    properties: { fetch.wait.max.ms: 10\(properties) }
                \(more)
                """, rest: rest, folder: TestFolder())
    }

    private func tables(_ run: PipelineRun) async throws -> [String] {
        try await run.looking { warehouse, _ in try await warehouse.knownTables().map(\.target) }
    }

    private func rows(_ run: PipelineRun, _ sql: String) async throws -> [[String?]] {
        try await run.looking { warehouse, _ in try await warehouse.query(sql, rows_max: 1000).rows }
    }

    @Test(arguments: Engine.allCases) func topicsAreNamesOrGlobs(engine: Engine) async throws {
        try await withBroker { broker in
            for (index, (topics, wanted)) in [
                ("shop.public.items", ["items"]), ("\"*.more\"", ["more"]), ("\"shop.*\"", ["items", "more"]),
                ("shop.public.items, shop.public.more", ["items", "more"]),
            ].enumerated() {
                let run = try await run("topics\(index)", engine, broker, topics: topics)
                try await run.untilEnd()
                #expect(try await tables(run) == wanted, "\(topics)")
            }
        }
    }

    /// librdkafka has the last word on them.
    @Test(arguments: Engine.allCases) func propertiesReachTheClient(engine: Engine) async throws {
        try await withBroker { broker in
            for (index, (property, name)) in [
                (", no.such.property: 1", "no.such.property"), (", session.timeout.ms: soon", "session.timeout.ms"),
            ].enumerated() {
                let wrong = try await run("properties\(index)", engine, broker, properties: property)
                await #expect {
                    try await wrong.untilEnd()
                } throws: { "\($0)".contains(name) }
            }
            let right = try await run("properties2", engine, broker, properties: ", session.timeout.ms: 6000")
            #expect(try await right.untilEnd().events == 30)
        }
    }

    /// The group is told what is durable.
    @Test(arguments: Engine.allCases) func theGroupHasItsName(engine: Engine) async throws {
        try await withBroker { broker in
            let consumer = try Consumer(brokers: broker.bootstrap, group: "onlooker", logger: Self.logger)
            for (name, more, group) in [
                ("grouped", "    group: the-loaders", "the-loaders"), ("ungrouped", "", "millrace-ungrouped"),
            ] {
                #expect(try await consumer.committed(group: group, [Self.partition]).isEmpty)
                let run = try await run(name, engine, broker, more: more)
                #expect(try await run.untilEnd().events == 30)
                #expect(try await consumer.committed(group: group, [Self.partition]) == [Self.partition: 20], "\(name)")
            }
            await consumer.close()
        }
    }

    /// The mock broker takes every time to be in the future, where a log's end is.
    @Test(arguments: Engine.allCases) func startsAtATime(engine: Engine) async throws {
        try await withBroker { broker in
            let run = try await run("attime", engine, broker, more: "    start: 2026-05-01T00:00:00Z")
            #expect(try await run.untilEnd().events == 0)
            try await produce(SyntheticEvents.inserts(20..<25), to: broker)
            #expect(try await run.untilEnd().events == 5)
            let ids = try await rows(run, "select id from attime_live.items order by id").map { $0[0] }
            #expect(ids == ["20", "21", "22", "23", "24"])
            // The default is the beginning.
            #expect(try await self.run("atstart", engine, broker).untilEnd().events == 35)
        }
    }

    @Test(arguments: Engine.allCases, ["auto", "debezium"])
    func formatsAreRead(engine: Engine, format: String) async throws {
        try await withBroker { broker in
            let run = try await run("format_\(format)", engine, broker, more: "    format: \(format)")
            #expect(try await run.untilEnd().events == 30)
            #expect(try await rows(run, "select count(*) from format_\(format)_live.items") == [["20"]])
        }
    }

    /// Types of events without a schema, keys of records without one, and what before-images hold.
    @Test(arguments: Engine.allCases) func theCatalogTellsTypes(engine: Engine) async throws {
        let source = try await ThrowawayPostgres.start()
        _ = try await source.psql(
            "create table public.items (id int primary key, v varchar(9), n numeric(9,2), at timestamp(3))")
        let broker = try MockBroker(topics: [SyntheticEvents.topic: 1], logger: Self.logger)
        defer { broker.close() }
        let value =
            #"{"before":null,"after":{"id":1,"v":"x","n":"AJY=","at":1709212455123},"source":{"connector":"postgresql","#
            + #""schema":"public","table":"items","ts_ms":1,"snapshot":null,"txId":1,"lsn":8,"sequence":"[\"7\",\"8\"]"},"#
            + #""op":"c","ts_ms":1,"transaction":null}"#
        try await produce(
            [OutgoingRecord(topic: SyntheticEvents.topic, key: nil, value: Array(value.utf8))], to: broker)
        let typed = try await run("typed", engine, broker, more: "    catalog: \"\(source.url())\"")
        try await typed.untilEnd()
        let known = try await typed.looking { warehouse, _ in try await warehouse.knownTables() }
        #expect(known.first?.key.map { known[0].columns[$0].name } == ["id"])
        #expect(
            known.first?.columns.map(\.type.sql) == [
                "integer", "character varying(9)", "numeric(9,2)", "timestamp(3)",
            ])
        #expect(
            try await rows(typed, "select id, v, n, cast(\"at\" as varchar) from typed_live.items") == [
                ["1", "x", "1.50", "2024-02-29 13:14:15.123"]
            ])
        // Without it the JSON is kept.
        let untyped = try await run("untyped", engine, broker)
        try await untyped.untilEnd()
        let plain = try await untyped.looking { warehouse, _ in try await warehouse.knownTables() }
        #expect(plain.first?.columns.allSatisfy { $0.type == .unknown } == true)
        await source.remove()
    }

    // MARK: source.debezium

    /// One event of `public.t` without a schema, and an update of it.
    private func written(
        _ name: String, _ engine: Engine, keys: String, types: String, insert: String, update: String? = nil
    ) async throws -> PipelineRun {
        func line(_ op: String, _ lsn: Int, _ after: String) -> String {
            let value =
                #"{"before":null,"after":{"id":1,\#(after)},"source":{"connector":"postgresql","schema":"public","#
                + #""table":"t","ts_ms":1,"snapshot":null,"txId":\#(lsn),"lsn":\#(lsn),"sequence":"[\"\#(lsn)\",\"\#(lsn)\"]"},"#
                + #""op":"\#(op)","ts_ms":1,"transaction":null}"#
            return #"{"topic":"t","key":"{\"id\":1}","value":\#(JSONText.quoted(value))}"#
        }
        let folder = try TestFolder()
        let path = folder.path("\(name).jsonl")
        let lines = [line("c", 10, insert)] + (update.map { [line("u", 20, $0)] } ?? [])
        try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
        let run = try await PipelineRun(
            name, engine, source: "  file: { path: \(JSONText.quoted(path)) }\n  debezium: { \(keys) }",
            rest: "tables:\n  - source: public.t\n    columns: { types: { id: int, \(types) } }", folder: folder)
        let status = try await run.untilEnd()
        #expect(status.quarantined == 0, "\(keys)")
        return run
    }

    @Test(arguments: Engine.allCases) func debeziumPlaceholder(engine: Engine) async throws {
        let run = try await written(
            "placeholder", engine, keys: "unavailable_value_placeholder: \"(gone)\"",
            types: "v: text, w: text, a: \"int[]\", b: bytea",
            insert: #""v":"kept","w":"x","a":[1],"b":"AQI=""#,
            update: #""v":"(gone)","w":"__debezium_unavailable_value","a":[40,103,111,110,101,41],"b":"KGdvbmUp""#)
        let hex = engine == .duckdb ? "lower(hex(b))" : "encode(b, 'hex')"
        #expect(
            try await rows(run, "select v, w, a[1], \(hex) from placeholder_live.t") == [
                ["kept", "__debezium_unavailable_value", "1", "0102"]
            ])
    }

    @Test(arguments: Engine.allCases) func debeziumDecimals(engine: Engine) async throws {
        // Digits that could be base64.
        for (index, (mode, json, wanted)) in [
            ("string", "\"1234\"", "1234"), ("precise", "\"1234\"", "-2658824"), ("precise", "\"BNI=\"", "1234"),
            ("double", "1234.0", "1234"), ("auto", "\"12345\"", "12345"),
        ].enumerated() {
            let run = try await written(
                "decimal\(index)", engine, keys: "decimal_handling_mode: \(mode)", types: "n: \"numeric(9,0)\"",
                insert: "\"n\":\(json)")
            #expect(
                try await rows(run, "select cast(n as varchar) from decimal\(index)_live.t") == [[wanted]], "\(mode)")
        }
    }

    @Test(arguments: Engine.allCases) func debeziumTimes(engine: Engine) async throws {
        let types = "t: timestamp(6), t3: timestamp(3), c: time"
        for (mode, t, t3, c) in [
            ("adaptive", "1709212455123456", "1709212455123", "47655123000"),
            ("adaptive_time_microseconds", "1709212455123456", "1709212455123", "47655123000"),
            ("connect", "1709212455123", "1709212455123", "47655123"),
            ("microseconds", "1709212455123456", "1709212455123000", "47655123000"),
            ("nanoseconds", "1709212455123456000", "1709212455123000000", "47655123000000"),
            ("isostring", "\"2024-02-29T13:14:15.123456Z\"", "\"2024-02-29T13:14:15.123Z\"", "\"13:14:15.123Z\""),
        ] {
            let run = try await written(
                "time_\(mode)", engine, keys: "time_precision_mode: \(mode)", types: types,
                insert: "\"t\":\(t),\"t3\":\(t3),\"c\":\(c)")
            let digits = mode == "connect" ? "123" : "123456"
            #expect(
                try await rows(
                    run,
                    "select cast(t as varchar), cast(t3 as varchar), cast(c as varchar) from time_\(mode)_live.t")
                    == [["2024-02-29 13:14:15.\(digits)", "2024-02-29 13:14:15.123", "13:14:15.123"]], "\(mode)")
        }
    }

    @Test(arguments: Engine.allCases) func debeziumBinaries(engine: Engine) async throws {
        let hex = engine == .duckdb ? "lower(hex(b))" : "encode(b, 'hex')"
        for (index, (mode, json)) in [
            ("auto", "+/8="), ("bytes", "+/8="), ("base64", "+/8="), ("base64-url-safe", "-_8="), ("hex", "fbff"),
        ].enumerated() {
            let run = try await written(
                "binary\(index)", engine, keys: "binary_handling_mode: \(mode)", types: "b: bytea",
                insert: "\"b\":\"\(json)\"")
            #expect(try await rows(run, "select \(hex) from binary\(index)_live.t") == [["fbff"]], "\(mode)")
        }
    }
}

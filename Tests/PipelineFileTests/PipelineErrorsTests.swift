import Foundation
import PipelineFile
import Testing

@Suite struct PipelineErrorsTests {
    /// What stands after the smallest file (so from line 6 on), and the one problem that it must be.
    @Test(arguments: [
        // Unknown keys.
        ("batsh: {}", "6: batsh: there is no such key"),
        ("batch: { max_row: 1 }", "6: batch.max_row: there is no such key"),
        ("duckdb: {}", "6: duckdb: there is no such key here"),
        ("tables:\n  - source: public.a\n    colums: {}", "8: tables[0].colums: there is no such key"),
        // Wrong types.
        ("batch: [1]", "6: batch: this must be a mapping, not a list"),
        ("batch:\n  max_rows: many", "7: batch.max_rows: this must be a whole number, not many"),
        ("batch: { max_rows: [1] }", "6: batch.max_rows: this must be a single value, not a list"),
        ("batch: { max_rows: 1.5 }", "6: batch.max_rows: this must be a whole number, not 1.5"),
        ("batch: { max_bytes: 32 parsecs }", "6: batch.max_bytes: this must be a size such as 32MiB, not 32 parsecs"),
        (
            "batch: { max_delay: 500 }",
            "6: batch.max_delay: this must be a time with its unit (ms, s, m, h or d) such as 500ms, not 500"
        ),
        ("layers: { raw: yes }", "6: layers.raw: this must be true or false, not yes"),
        ("tables: { source: public.a }", "6: tables: this must be a list, not a mapping"),
        ("tables: [public.a]", "6: tables[0]: this must be a mapping, not a single value"),
        ("tables: [{ source: public.a, key: id }]", "6: tables[0].key: this must be a list, not a single value"),
        ("tables: [{ source: public.a, key: [[id]] }]", "6: tables[0].key[0]: this must be a single value, not a list"),
        ("agent: { dir: \"\" }", "6: agent.dir: this can't be empty"),
        ("agent: { listen: 8642 }", "6: agent.listen: 8642 is no host:port"),
        ("agent: { listen: \":8642\" }", "6: agent.listen: :8642 is no host:port"),
        ("agent: { listen: \"::1:8642\" }", "6: agent.listen: ::1:8642 is no host:port"),
        ("agent: { drain: 100ms }", "6: agent.drain: 100ms is outside of 1s to 1d"),
        (
            "agent: { drain: 30 }",
            "6: agent.drain: this must be a time with its unit (ms, s, m, h or d) such as 30s, not 30"
        ),
        ("agent: { listen: h:65536 }", "6: agent.listen: h:65536 is no host:port"),
        ("agent: { token: a b }", "6: agent.token: a token holds ASCII characters without spaces"),
        // Out of range.
        ("batch: { max_rows: 0 }", "6: batch.max_rows: 0 is outside of 1 to 100000000"),
        ("batch: { max_bytes: 1 }", "6: batch.max_bytes: 1 is outside of 1KiB to 1TiB"),
        ("batch: { max_delay: 2h }", "6: batch.max_delay: 2h is outside of 0ms to 1h"),
        ("layers: { raw_retention: 47h }", "6: layers.raw_retention: 47h is outside of 2d to 36500d"),
        // Contradictions.
        (
            "layers: { raw: false, current: false }",
            "6: layers.current: raw and current are both off, nothing would be written"
        ),
        (
            "tables:\n  - source: public.a\n    key: [id]\n    columns:\n      exclude:\n        - x\n        - id",
            "12: tables[0].columns.exclude[1]: id is part of the key, which can't be left out"
        ),
        (
            "tables: [{ source: public.a, columns: { exclude: [x], hash: [x] } }]",
            "6: tables[0].columns.hash[0]: x is excluded already"
        ),
        (
            "tables: [{ source: public.a, columns: { hash: [x], types: { x: text } } }]",
            "6: tables[0].columns.types.x: the column is hashed, its type can't be chosen"
        ),
        ("tables: [{ source: public.a, key: [x, x] }]", "6: tables[0].key[1]: x is here twice"),
        ("tables: [{ source: public.a, key: [] }]", "6: tables[0].key: a key has at least one column"),
        (
            "tables:\n  - source: public.a\n  - source: public.a",
            "8: tables[1].source: this table is in tables[0] already"
        ),
        (
            "tables:\n  - { source: public.a, target: x }\n  - { source: public.b, target: X }",
            "8: tables[1].target: tables[0] has the same target"
        ),
        (
            "tables:\n  - { source: public.a, target: b }\n  - { source: public.b }",
            "8: tables[1].source: tables[0] has the same target"
        ),
        // Names.
        ("tables: [{ target: x }]", "6: tables[0].source: which table this is about isn't said"),
        ("tables: [{ source: orders }]", "6: tables[0].source: orders is no schema.table"),
        (
            "tables: [{ source: \"public.*\" }]",
            "6: tables[0].source: this names one table, no glob; source.include and source.exclude choose tables"
        ),
        (
            "tables: [{ source: public.a, target: sales.a }]",
            "6: tables[0].target: a target is a table's name, its schema is warehouse.schemas.current"
        ),
        (
            "tables: [{ source: public.a, existing: adapt }]",
            "6: tables[0].existing: adapt is none of error, adopt, replace"
        ),
        (
            "tables: [{ source: public.a, columns: { types: { x: \"text; drop\" } } }]",
            "6: tables[0].columns.types.x: text; drop is no type's name"
        ),
        (
            "tables: [{ source: public.a, where: \"status = = 1\" }]",
            "6: tables[0].where: at character 10: a column or a value is expected here, not ="
        ),
        (
            "metadata_columns: fivetan",
            "6: metadata_columns: fivetan is none of default, fivetran, airbyte, peerdb, nor a map of the four names"
        ),
        (
            "metadata_columns: { is_deleted: x, deleted_at: X }",
            "6: metadata_columns.deleted_at: deleted_at and is_deleted would be one column"
        ),
        (
            "metadata_columns: { is_deleted: _version_seq }",
            "6: metadata_columns.is_deleted: _version_seq is a column of the row's version"
        ),
    ])
    func oneProblem(extra: String, problem: String) {
        #expect(problems(minimal(extra)) == [problem])
    }

    @Test(arguments: [
        (
            "decimal_handling_mode: exact",
            "5: source.debezium.decimal_handling_mode: exact is none of auto, precise, double, string"
        ),
        (
            "time_precision_mode: fine",
            "5: source.debezium.time_precision_mode: fine is none of adaptive, adaptive_time_microseconds, isostring, microseconds, nanoseconds, connect"
        ),
        (
            "binary_handling_mode: base64url",
            "5: source.debezium.binary_handling_mode: base64url is none of auto, bytes, base64, base64-url-safe, hex"
        ),
        (
            "unavailable_value_placeholder: \"\"",
            "5: source.debezium.unavailable_value_placeholder: this can't be empty"
        ),
        (
            "unavailable_value_placeholder: hex:c3",
            "5: source.debezium.unavailable_value_placeholder: behind hex: there are no pairs of hex digits that are UTF-8"
        ),
        (
            "connector: db2",
            "5: source.debezium.connector: db2 is none of auto, postgresql, mysql, mariadb, sqlserver, oracle, mongodb"
        ),
        ("add_fields: op", "5: source.debezium.add_fields: this must be a list, not a single value"),
        ("add_fields: [after.id]", "5: source.debezium.add_fields[0]: after.id is no field of an event, or field:name"),
        ("add_headers: [\"op:\"]", "5: source.debezium.add_headers[0]: op: is no field of an event, or field:name"),
        ("add_fields_prefix: [a]", "5: source.debezium.add_fields_prefix: this must be a single value, not a list"),
        ("decimal.handling.mode: string", "5: source.debezium.decimal.handling.mode: there is no such key"),
    ])
    func oneProblemOfDebezium(key: String, problem: String) {
        let text = "pipeline: p\nsource:\n  file: { path: f }\n  debezium:\n    \(key)\nwarehouse: { duckdb: {} }"
        #expect(problems(text) == [problem])
    }

    @Test(arguments: [
        ("brokers: b", "2: source.kafka.topics: no topic is named"),
        ("topics: [t]", "2: source.kafka.brokers: no broker is named"),
        ("brokers: b, topics: []", "2: source.kafka.topics: no topic is named"),
        ("brokers: \"b:\", topics: [t]", "2: source.kafka.brokers: b: is no list of host:port"),
        ("brokers: \"a,,b\", topics: [t]", "2: source.kafka.brokers: a,,b is no list of host:port"),
        (
            "brokers: b, topics: [\"^shop.*\"]",
            "2: source.kafka.topics[0]: ^shop.* is no topic's name or glob of letters, digits, . _ - and * ?"
        ),
        (
            "brokers: b, topics: [t], start: yesterday",
            "2: source.kafka.start: yesterday is none of earliest, latest, a time, group:<name>"
        ),
        (
            "brokers: b, topics: [t], start: \"group:\"",
            "2: source.kafka.start: the group to take over from has no name"
        ),
        (
            "brokers: b, topics: [t], start: group:millrace-p",
            "2: source.kafka.start: this is the pipeline's own group, taking over needs another"
        ),
        (
            "brokers: b, topics: [t], format: xml",
            "2: source.kafka.format: xml is none of auto, debezium, flattened, cloudevents, avro, json_schema, protobuf"
        ),
        ("brokers: b, topics: [t], catalog: db", "2: source.kafka.catalog: this is no Postgres URL"),
        (
            "brokers: b, topics: [t], properties: { group.id: x }",
            "2: source.kafka.properties.group.id: the agent sets this itself"
        ),
        (
            "brokers: b, topics: [t], properties: { enable.auto.commit: true }",
            "2: source.kafka.properties.enable.auto.commit: "
                + "the warehouse's checkpoint says where reading resumes, so this stays off"
        ),
        // What would be talked in the clear, or as nobody.
        (
            "brokers: b, topics: [t], properties: { ssl.ca.location: /ca.pem }",
            "2: source.kafka.properties.ssl.ca.location: nothing is encrypted: security.protocol is plaintext"
        ),
        (
            "brokers: b, topics: [t], properties: { security.protocol: SASL_PLAINTEXT, ssl.ca.location: /ca.pem }",
            "2: source.kafka.properties.ssl.ca.location: nothing is encrypted: security.protocol is sasl_plaintext"
        ),
        (
            "brokers: b, topics: [t], properties: { sasl.password: hush, security.protocol: ssl }",
            "2: source.kafka.properties.sasl.password: nobody is told who we are: security.protocol is ssl"
        ),
        (
            "brokers: \"a,PLAINTEXT://b\", topics: [t], properties: { security.protocol: ssl }",
            "2: source.kafka.brokers: plaintext:// isn't what security.protocol says, which is ssl"
        ),
        (
            "brokers: \"SSL://b\", topics: [t]",
            "2: source.kafka.brokers: ssl:// isn't what security.protocol says, which is plaintext"
        ),
    ])
    func kafkaProblem(keys: String, problem: String) {
        let text = "pipeline: p\nsource: { kafka: { \(keys) } }\nwarehouse: { duckdb: {} }"
        #expect(problems(text) == [problem])
    }

    @Test(arguments: [
        ("{}", "3: warehouse: one of duckdb and postgres must be here"),
        ("{ postgres: {} }", "3: warehouse.postgres.url: where the warehouse is isn't said"),
        ("{ postgres: { url: mysql://u:hush@h/d } }", "3: warehouse.postgres.url: this is no Postgres URL"),
        (
            "{ duckdb: {}, postgres: { url: postgres://h/d } }",
            "3: warehouse.postgres: a pipeline has one warehouse, this one has duckdb and postgres"
        ),
        (
            "{ duckdb: { path: \":memory:\" } }",
            "3: warehouse.duckdb.path: a warehouse in memory is gone when the agent stops"
        ),
        ("{ duckdb: { memory_limit: 1MiB } }", "3: warehouse.duckdb.memory_limit: 1MiB is outside of 16MiB to 1024TiB"),
        ("{ duckdb: {}, schemas: { raw: P } }", "3: warehouse.schemas.raw: raw and current would be one schema"),
        (
            "{ duckdb: {}, schemas: { current: p_raw } }",
            "3: warehouse.schemas.current: current and raw would be one schema"
        ),
        (
            "{ duckdb: {}, schemas: { live: _millrace } }",
            "3: warehouse.schemas.live: the schema _millrace isn't ours to write in"
        ),
        ("{ duckdb: {}, schemas: { live: \"a\\0b\" } }", "3: warehouse.schemas.live: this can't hold a NUL character"),
        (
            "{ postgres: { url: postgres://h/d }, schemas: { live: \(String(repeating: "é", count: 32)) } }",
            "3: warehouse.schemas.live: the name has 64 bytes, the warehouse keeps 63"
        ),
    ])
    func warehouseProblem(yaml: String, problem: String) {
        #expect(problems("pipeline: p\nsource: { file: { path: f } }\nwarehouse: \(yaml)") == [problem])
    }

    @Test func postgresSources() {
        func found(_ postgres: String) -> [String] {
            problems("pipeline: p\nsource: { postgres: \(postgres) }\nwarehouse: { duckdb: {} }")
        }
        #expect(found("{ url: postgres://h/d }").isEmpty)
        #expect(found("{ slot: s }") == ["2: source.postgres.url: which server to read isn't said"])
        #expect(found("{ url: mysql://h/d }") == ["2: source.postgres.url: this is no Postgres URL"])
        #expect(
            found("{ url: postgres://h/d, slot: \"A-b\" }").first?.hasPrefix("2: source.postgres.slot: a slot's name")
                == true)
        #expect(
            found("{ url: postgres://h/d, copy_workers: 0 }").first?.hasPrefix("2: source.postgres.copy_workers: ")
                == true)
        #expect(found("{ url: postgres://h/d, tables: [] }").count == 1)
    }

    /// The schemas' default names come of the pipeline's, which the engine may keep for itself.
    @Test func namesThatTheEngineKeeps() {
        let source = "source: { file: { path: f } }\n"
        let postgres = problems("pipeline: pg\n\(source)warehouse: { postgres: { url: postgres://h/d } }")
        #expect(postgres.count == 1 && postgres[0].contains("makes the schema pg_raw"), "\(postgres)")
        let duckdb = problems("pipeline: memory\n\(source)warehouse: { duckdb: {} }")
        #expect(duckdb.count == 1 && duckdb[0].contains("makes the schema memory"), "\(duckdb)")
        #expect(problems("pipeline: memory\n\(source)warehouse: { postgres: { url: postgres://h/d } }").isEmpty)
    }

    @Test(arguments: ["Shop", "1shop", "", "a-b", "é", String(repeating: "a", count: 42)])
    func noPipelineName(name: String) {
        let found = problems("pipeline: \"\(name)\"\nsource: { file: { path: f } }\nwarehouse: { duckdb: {} }")
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("1: pipeline: ") == true)
    }

    @Test func longestPipelineName() {
        let name = "a" + String(repeating: "_", count: 40)
        #expect(problems("pipeline: \(name)\nsource: { file: { path: f } }\nwarehouse: { duckdb: {} }").isEmpty)
    }

    @Test func nothingIsMissedAndAllIsSortedByLine() {
        let text = """
            pipeline: Shop
            source:
              file: { path: e.jsonl }
              kafka: { brokers: b, topics: [t], grup: x }
              include: [orders]
              snapshot: sometimes
            batch: { max_rows: -1 }
            agent: { listen: here, tokn: x }
            """
        #expect(
            problems(text) == [
                "1: warehouse: there is no warehouse",
                "1: pipeline: Shop is no pipeline's name ([a-z][a-z0-9_]{0,40})",
                "4: source.kafka: a pipeline has one source, this one has file and kafka",
                "4: source.kafka.grup: there is no such key",
                "5: source.include[0]: a glob is over schema.table, orders can match nothing",
                "6: source.snapshot: sometimes is none of initial, never, only",
                "7: batch.max_rows: -1 is outside of 1 to 100000000",
                "8: agent.listen: here is no host:port",
                "8: agent.tokn: there is no such key",
            ])
    }

    @Test func missingEverything() {
        #expect(
            problems("layers: {}") == [
                "1: pipeline: the pipeline has no name", "1: source: there is no source",
                "1: warehouse: there is no warehouse",
            ])
        #expect(
            problems("pipeline: p\nsource: {}\nwarehouse: { duckdb: {} }") == [
                "2: source: one of kafka, postgres and file must be here"
            ])
        #expect(
            problems("pipeline: p\nsource: { file: }\nwarehouse: { duckdb: }") == [
                "2: source.file.path: which file to read isn't said"
            ])
    }

    @Test func anOverrideOfATableThatIsntChosen() {
        let text = """
            pipeline: p
            source: { file: { path: f }, exclude: ["public.a"] }
            warehouse: { duckdb: {} }
            tables: [{ source: public.a }]
            """
        #expect(problems(text) == ["4: tables[0].source: source.include and source.exclude don't choose public.a"])
    }

    @Test func printedAsErrorAndTry() throws {
        let error = try #require(throws: PipelineFileError.self) {
            _ = try parse(minimal("tables:\n  - source: public.a\n    columns: { hashs: [x] }\n    key: id"))
        }
        #expect(
            error.description == """
                Error: millrace.yaml:8:16: tables[0].columns.hashs: there is no such key
                Try: tables[0].columns.hash: …
                Error: millrace.yaml:9:10: tables[0].key: this must be a list, not a single value
                Try: key: [order_id]
                """)
    }

    @Test func aKeyInTheWrongPlaceIsToldItsHome() throws {
        let error = try #require(throws: PipelineFileError.self) { _ = try parse(minimal("max_delay: 1s")) }
        #expect(error.problems.first?.remedy == "put it where it belongs: batch.max_delay")
    }

    @Test func loadingReadsTheFileAndSaysWhyItCant() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "pipelinefile-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "millrace.yaml").path
        func message() -> String? {
            do {
                _ = try Pipeline.load(path: path, environment: [:])
                return nil
            } catch {
                return error.problems.first.map { "\($0.line): \($0.message)" }
            }
        }
        #expect(message() == "0: there is no such file")
        try Data(minimal().utf8).write(to: URL(fileURLWithPath: path))
        #expect(message() == nil)
        #expect(try Pipeline.load(path: path, environment: [:]).duckdb?.path == folder.path + "/shop.duckdb")
        try Data([0x61, 0x3A, 0x0A, 0xFF, 0x0A]).write(to: URL(fileURLWithPath: path))
        #expect(message() == "2: this is no UTF-8")
        try Data(repeating: 0x20, count: Pipeline.file_bytes_max + 1).write(to: URL(fileURLWithPath: path))
        #expect(message() == "0: a pipeline file has at most 1MiB")
    }
}

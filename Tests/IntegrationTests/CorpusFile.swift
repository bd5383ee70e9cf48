import Agent
import Foundation
import JSON
import Replication
import Synchronization
import Testing

/// A recorded file of the real Debezium, and what has to be known to replay it.
struct CorpusFile: Sendable, CustomTestStringConvertible {
    /// What a file's events can't give, with the fact of the real connector that says why. Everything else must be equal.
    struct Exception: Sendable {
        var table: String
        /// Nil: rows.
        var column: String?
        var reason: String
        /// Nil: in both warehouses.
        var engine: Engine?
    }

    var name: String
    /// Partitions of each topic on the broker; tables without a key need one.
    var partitions = 1
    var exceptions: [Exception] = []
    /// Further lines of `tables:` entries.
    var overrides: [String: String] = [:]
    /// `source.debezium`.
    var debezium: String?
    /// Tables without a key can't be replayed in another order, and neither their snapshot reads nor twins at one
    /// position can be told from a second delivery at other offsets (semantics 1).
    var keyless: Set<String> = []
    /// `source.kafka.format`, `source.file.format`.
    var format = "auto"
    /// The records show no position of the source, so that a second delivery is another version of the same row.
    var isOfArrival = false
    /// Its records are in Confluent's wire format, their schemas in a file beside it.
    var isFramed = false
    /// It is replayed in other orders too, not only as it came.
    var isReplayed = true
    /// Records that the test replays of it; nil: all.
    var prefix: Int?
    var testDescription: String { name }
    /// As a pipeline's name can have it.
    var slug: String { name.lowercased() }
}

extension CorpusFile {
    private static let partialIdentity =
        "fact 3: REPLICA IDENTITY USING INDEX doesn't cover the key; deletes and key changes name no row"
    private static let customKey =
        "fact 3: message.key.columns on other columns than the key; deletes and key changes name no row"
    private static let literalPlaceholder =
        "fact 4: an update to the literal placeholder text is what an unchanged column looks like"
    private static let bareNull = "fact 4: an unchanged value of this type is a plain null, same as a real null"
    private static let bareNullInMode =
        "fact 4: an unchanged value of this type is a plain null in the connector's mode, same as a real null"
    private static let unknownType =
        "fact 11: a type that Debezium doesn't know is absent unless include.unknown.datatypes"
    static let notANumber = "fact 7: NaN is null in precise mode"
    private static let rootReads =
        "fact 18: the snapshot emits rows under root and leaf, streaming only under leaves"

    private static func bareNulls(_ columns: [String], inMode: [String]) -> [Exception] {
        columns.map { Exception(table: "public.tt", column: $0, reason: bareNull) }
            + inMode.map { Exception(table: "public.tt", column: $0, reason: bareNullInMode) }
    }

    static let all: [CorpusFile] =
        [
            CorpusFile(name: "basic", partitions: 3),
            CorpusFile(name: "basic_noschema", partitions: 3),
            CorpusFile(name: "basic_avro", partitions: 3, format: "avro", isFramed: true),
            CorpusFile(name: "pk_update", partitions: 3),
            CorpusFile(name: "pk_update_schema", partitions: 3),
            CorpusFile(
                name: "toast",
                exceptions: [
                    Exception(table: "public.t_index", reason: partialIdentity),
                    Exception(table: "public.custkey", reason: customKey),
                    Exception(table: "public.t_default", column: "big", reason: literalPlaceholder),
                ], keyless: ["public.nopk_full", "public.nopk_nothing", "public.nopk_default"]),
            CorpusFile(
                name: "toast_custom",
                exceptions: [
                    Exception(table: "public.t_index", reason: partialIdentity),
                    Exception(table: "public.t_default", column: "bigb", reason: bareNullInMode),
                ],
                debezium: """
                    unavailable_value_placeholder: "%%MISSING%%", decimal_handling_mode: string, binary_handling_mode: base64
                    """, keyless: ["public.nopk_full", "public.nopk_nothing", "public.nopk_default"]),
            CorpusFile(
                name: "toast_types_a",
                exceptions: bareNulls(
                    ["c_varbit", "a_num", "a_bool", "a_double", "a_ts", "a_tstz", "a_enum"], inMode: ["c_num"])
                    + [Exception(table: "public.tt", column: "c_path", reason: unknownType)]),
            CorpusFile(
                name: "toast_types_b",
                exceptions: bareNulls(
                    ["c_varbit", "a_num", "a_bool", "a_double", "a_ts", "a_tstz", "a_enum"], inMode: ["a_bytea"]),
                debezium: "decimal_handling_mode: string, binary_handling_mode: hex"),
            CorpusFile(name: "throughput", partitions: 40),
            CorpusFile(
                name: "unicode_edge", partitions: 2,
                exceptions: [Exception(table: "public.edge", column: "n", reason: notANumber)],
                // DuckDB calls "Order" and "order" one table.
                overrides: ["public.order": "target: order_lower"]),
            CorpusFile(
                name: "truncate_msg_heartbeat_tx",
                exceptions: [
                    Exception(table: "public.part", reason: rootReads)
                ]),
            CorpusFile(name: "snapshot", keyless: ["public.nopk"]),
            CorpusFile(name: "basic_cloudevents", partitions: 3),
            flattened("plain", format: "flattened", isOfArrival: true),
            flattened("drop", [Exception(table: "public.orders", reason: droppedDeletes)]),
            flattened("tombstone"), flattened("rewrite"), flattened("delete_to_tombstone"),
        ] + values

    func lines() throws -> [Data] {
        let lines = try Corpus.lines(name)
        return prefix.map { Array(lines.prefix($0)) } ?? lines
    }

    private static let known = Mutex<[String: ExpectedTables]>([:])

    /// The source's tables at the end of what is replayed.
    func expected() throws -> ExpectedTables {
        let id = "\(name) \(prefix ?? -1)"
        if let tables = Self.known.withLock({ $0[id] }) { return tables }
        var tables =
            if prefix == nil {
                try ExpectedTables(json: String(decoding: Corpus.data(name + ".expected.json"), as: UTF8.self))
            } else {
                try PlainFold.throughput(lines())
            }
        if name.hasPrefix("mysql_types") {
            for index in tables.tables.indices {
                tables.tables[index].rows = tables.tables[index].rows.map(MySQLText.asInTheWarehouse)
            }
        }
        Self.known.withLock { $0[id] = tables }
        return tables
    }

    // MARK: Running

    private var sourceKeys: String { debezium.map { "\n  debezium: { \($0) }" } ?? "" }

    private var registry: String? {
        isFramed ? "schema_registry: { file: \(JSONText.quoted(Corpus.path(name + ".registry.jsonl"))) }" : nil
    }

    func run(
        _ name: String, _ engine: Engine, path: String, rest: String = "", folder: TestFolder
    ) async throws -> PipelineRun {
        try await PipelineRun(
            name, engine,
            source: "  file: { path: \(JSONText.quoted(path)), format: \(format)\(registry.map { ", \($0)" } ?? "") }"
                + sourceKeys,
            rest: try Corpus.tablesYAML(self.name, overrides: overrides) + rest, folder: folder)
    }

    func run(_ name: String, _ engine: Engine, brokers: String) async throws -> PipelineRun {
        try await PipelineRun(
            name, engine,
            source: """
                  kafka:
                    brokers: \(brokers)
                    topics: ["*"]
                    format: \(format)
                    properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000 }\(registry.map { "\n    \($0)" } ?? "")\(sourceKeys)
                """, rest: try Corpus.tablesYAML(self.name, overrides: overrides), folder: TestFolder())
    }

    // MARK: Judging

    /// Live rows against the expected ones; exceptions are left out, and must be needed.
    func expectEqual(
        _ run: PipelineRun, leavingOut: Set<String> = [], _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let expected = try expected()
        let engine = run.engine.rawValue
        let differences = try await run.looking { warehouse, layout in
            var all: [ExpectedTables.Difference] = []
            let known = try await warehouse.knownTables()
            for table in expected.tables where !leavingOut.contains(table.name) {
                let definition = expected.definition(of: table, in: known)
                var rows: [[String?]] = []
                if let definition {
                    rows = try await warehouse.query(
                        ExpectedTables.query(definition, layout: layout, engine: engine), rows_max: 1_000_000
                    ).rows
                }
                all += ExpectedTables.differences(table, definition: definition, rows: rows)
            }
            return all
        }
        let exceptions = exceptions.filter { $0.engine == nil || $0.engine == run.engine }
        let unexplained = differences.filter { difference in !exceptions.contains { $0.covers(difference) } }
        #expect(
            unexplained.isEmpty, "\(name), \(run.engine), \(what): \(unexplained.prefix(10).map(\.description))",
            sourceLocation: sourceLocation)
        for exception in exceptions where !leavingOut.contains(exception.table) {
            #expect(
                differences.contains { exception.covers($0) },
                "\(name): the exception for \(exception.table) \(exception.column ?? "") isn't needed any more",
                sourceLocation: sourceLocation)
        }
    }

    /// Raw has each event once, and the ledger adds up.
    ///
    /// - Parameter events: how many events raw must have; nil: not known.
    func expectRawOnce(
        _ run: PipelineRun, events: Int? = nil, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let counts = try await run.looking { warehouse, layout in
            var rows = 0
            var distinct = 0
            for table in try await warehouse.knownTables() {
                let target = table.target.replacing("\"", with: "\"\"")
                let result = try await warehouse.query(
                    "select count(*), count(distinct event_id) from \"\(layout.raw)\".\"\(target)\"", rows_max: 1)
                rows += Int(result.rows[0][0] ?? "") ?? 0
                distinct += Int(result.rows[0][1] ?? "") ?? 0
            }
            let ledger = try await warehouse.ledger().tables
            return (rows, distinct, ledger)
        }
        #expect(counts.0 == counts.1, "\(name), \(what): raw holds an event twice", sourceLocation: sourceLocation)
        if let events { #expect(counts.0 == events, "\(name), \(what): raw", sourceLocation: sourceLocation) }
        for entry in counts.2 { #expect(entry.addsUp, "\(name), \(what): ledger", sourceLocation: sourceLocation) }
    }

    /// Keys, deletion and version of every row of the keyed tables, deleted ones too.
    func versions(_ run: PipelineRun) async throws -> [String: [[String?]]] {
        try await run.looking { warehouse, layout in
            func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
            var all: [String: [[String?]]] = [:]
            for table in try await warehouse.knownTables() where !table.isKeyless {
                let key = table.key.map { "cast(\(quoted(table.columns[$0].name)) as varchar)" }
                let columns =
                    key + ["is_deleted", "deleted_at", "_version_epoch", "_version_commit", "_version_seq"]
                all[table.source.description] = try await warehouse.query(
                    "select \(columns.joined(separator: ", ")) from \(quoted(layout.current)).\(quoted(table.target)) "
                        + "order by \((1...columns.count).map(String.init).joined(separator: ", "))",
                    rows_max: 1_000_000
                ).rows
            }
            return all
        }
    }
}

extension CorpusFile.Exception {
    /// Of `column`: missing and further rows, no cells.
    static let rows = ""

    func covers(_ difference: ExpectedTables.Difference) -> Bool {
        guard table == difference.table, let column else { return table == difference.table }
        return column == (difference.column ?? Self.rows)
    }
}

/// What MySQL's own text of bits, bytes and geometry is in a warehouse. Bytes as hex digits there; a geometry is its
/// id in four bytes and its WKB, which Debezium sends as an object.
private enum MySQLText {
    static func asInTheWarehouse(_ row: JSONValue) -> JSONValue {
        .object(
            (row.members ?? []).map { name, value in
                guard let text = value.string else { return (name, value) }
                switch name {
                case "t_bin", "t_vb", "t_blob": return (name, .string("\\x" + text.lowercased()))
                case "t_bit20":
                    let bits = text.compactMap(\.hexDigitValue).map { String($0 + 16, radix: 2).dropFirst() }.joined()
                    return (name, .string(bits))
                case "t_point", "t_geom":
                    let bytes = stride(from: 8, to: text.utf8.count, by: 2).compactMap { at in
                        UInt8(text.dropFirst(at).prefix(2), radix: 16)
                    }
                    let wkb = JSONValue.string(Data(bytes).base64EncodedString())
                    let place: [JSONValue.Member] =
                        name == "t_point" ? [("x", .number("1.5")), ("y", .number("-2.5"))] : []
                    return (name, .object(place + [("wkb", wkb), ("srid", .null)]))
                default: return (name, value)
                }
            })
    }
}

/// What `throughput`'s events make of its one table when they are simply done one after the other: for a part of the
/// file, whose end the source's own tables don't show.
private enum PlainFold {
    static func throughput(_ lines: [Data]) throws -> ExpectedTables {
        var rows: [String: JSONValue] = [:]
        for line in lines {
            let record = try JSONValue(parsing: line)
            guard let value = try record["value"]?.string.map({ try JSONValue(parsing: $0) }) else { continue }
            guard let image = value["op"]?.string == "d" ? value["before"] : value["after"],
                let id = image["id"]?.serialized, let members = image.members
            else { continue }
            guard value["op"]?.string != "d" else {
                rows[id] = nil
                continue
            }
            rows[id] = .object(
                members.map { name, value in
                    // timestamp(3): milliseconds.
                    guard name == "updated_at", let time_ms = value.int64, let text = Moment.text(time_ms * 1000) else {
                        return (name, value)
                    }
                    return (name, .string(String(text.dropLast())))
                })
        }
        return try ExpectedTables(
            json: JSONValue.object([("public.orders", .array(Array(rows.values)))]).serialized)
    }
}

extension CorpusFile {
    /// Each file with each engine, or with one of them by turns.
    /// All but the large ones, which have no value that the others haven't.
    static var held: [CorpusFile] {
        (all + everyType + documented).filter { !["throughput", "throughput_noschema"].contains($0.name) }
    }

    static func withEngines(_ files: [CorpusFile], isWhole: Bool) -> [(CorpusFile, Engine)] {
        files.enumerated().flatMap { index, file in
            (isWhole ? Engine.allCases : [Engine.allCases[index % 2]]).map { (file, $0) }
        }
    }
}

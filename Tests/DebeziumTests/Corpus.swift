import ChildProcess
import EventSchemas
import Foundation
import JSON
import Replication
import ReplicationTestKit

@testable import Debezium

/// The captured files of real connectors, as records and with their tables' types.
enum Corpus {
    struct Line {
        var topic: String
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [(String, [UInt8])] = []
    }

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/corpus")

    static func data(_ name: String) throws -> Data {
        let plain = folder.appendingPathComponent(name)
        if FileManager.default.fileExists(atPath: plain.path) { return try Data(contentsOf: plain) }
        return try Command.data(of: ["gzip", "-dc", plain.path + ".gz"])
    }

    static func lines(_ name: String, limit: Int = .max) throws -> [Line] {
        var lines: [Line] = []
        let parser = try JSONParser()
        let arena = ByteArena()
        for line in try data(name + ".jsonl").split(separator: 0x0A) {
            if lines.count == limit { break }
            arena.removeAll()
            let range = line.withUnsafeBytes { arena.append($0) }
            let tape = try parser.parse(arena.bytes(range))
            var record = Line(topic: "")
            for i in tape.children(tape.root) {
                if tape.key(i, equals: "topic") { record.topic = tape.string(i) ?? "" }
                if tape.key(i, equals: "key") { record.key = text(tape, i) }
                if tape.key(i, equals: "value") { record.value = text(tape, i) }
                if tape.key(i, equals: "key_b64") { record.key = base64(tape, i) }
                if tape.key(i, equals: "value_b64") { record.value = base64(tape, i) }
                guard tape.key(i, equals: "headers") else { continue }
                for header in tape.children(i) {
                    let parts = Array(tape.children(header))
                    guard let name = tape.string(parts[0]), !name.hasPrefix("__debezium.context.") else { continue }
                    record.headers.append((name, text(tape, parts[1]) ?? Array(tape.rawValue(parts[1]))))
                }
            }
            lines.append(record)
        }
        return lines
    }

    private static func base64(_ tape: JSONTape, _ i: Int) -> [UInt8]? {
        tape.string(i).flatMap { Data(base64Encoded: $0) }.map { Array($0) }
    }

    /// The schemas that a file's records name.
    static func registry(_ name: String) throws -> SchemaStore {
        let store = SchemaStore()
        for line in try data(name + ".registry.jsonl").split(separator: 0x0A) {
            let value = try JSONValue(parsing: line)
            guard let id = value["id"]?.int64, let text = value["schema"]?.string else { continue }
            store.put(
                .schema(RegisteredSchema(id: UInt32(id), format: .avro, text: text)), for: UInt32(id))
        }
        return store
    }

    private static func text(_ tape: JSONTape, _ i: Int) -> [UInt8]? {
        guard tape.kind(i) == .string else { return nil }
        let raw = tape.rawValue(i)
        guard tape.isEscaped(i) else { return Array(raw) }
        return Array(unsafeUninitializedCapacity: raw.count) { room, count in
            count = room.baseAddress.flatMap { JSONString.unescape(raw, into: UnsafeMutableRawPointer($0)) } ?? 0
        }
    }

    /// Records of one topic are one partition; their offsets are their places in the file.
    static func batch(_ lines: ArraySlice<Line>) -> RecordBatch {
        let batch = RecordBatch()
        for (index, line) in zip(lines.indices, lines) {
            let span = batch.span(
                of: TopicPartition(topic: line.topic, partition: 0), startingAt: Int64(lines.startIndex))
            append(line, offset: Int64(index), span, to: batch)
        }
        for span in batch.spans.indices { batch.advance(span: Int32(span), to: Int64(lines.endIndex)) }
        return batch
    }

    static func append(_ line: Line, offset: Int64, _ span: Int32, to batch: RecordBatch) {
        func raw(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
            if let bytes { bytes.withUnsafeBytes { body($0) } } else { body(nil) }
        }
        raw(line.key) { key in
            raw(line.value) { value in batch.append(span: span, offset: offset, key: key, value: value) }
        }
        for (name, value) in line.headers {
            raw(Array(name.utf8)) { name in
                raw(value) { value in
                    if let name { batch.appendHeader(name: name, value: value) }
                }
            }
        }
    }

    static func batch(_ lines: [Line]) -> RecordBatch { batch(lines[...]) }

    struct Table {
        var types: [String: ColumnType]
        var key: [String]
        var identity: String
    }

    static func tables(_ name: String) throws -> [TableID: Table] {
        let all = try JSONValue(parsing: try data("types.json"))
        var tables: [TableID: Table] = [:]
        for (full, table) in all[name + ".jsonl"]?.members ?? [] {
            // Schemas of the corpus have no dot in their names.
            let dot = full.firstIndex(of: ".") ?? full.startIndex
            let id = TableID(schema: String(full[..<dot]), table: String(full[full.index(after: dot)...]))
            var types: [String: ColumnType] = [:]
            for (column, type) in table["columns"]?.members ?? [] {
                types[column] = type.string.map { columnType($0) } ?? .unknown
            }
            tables[id] = Table(
                types: types, key: table["key"]?.array?.compactMap(\.string) ?? [],
                identity: table["replicaIdentity"]?.string ?? "")
        }
        return tables
    }

    /// `time(0)` to `time(3)` are in milliseconds, which `ColumnType.time` can't say.
    static func columnType(_ sql: String) -> ColumnType {
        sql.hasPrefix("time(") && sql.hasSuffix("without time zone") ? .other(sql) : ColumnType(stored: sql)
    }

    static func configuration(_ name: String, typed: Bool = true) throws -> DecoderConfiguration {
        var configuration = DecoderConfiguration { TableChoice(target: $0.table) }
        if typed {
            for (id, table) in try tables(name) { configuration.catalogTypes[id] = table.types }
        }
        return configuration
    }

    static func decode(_ name: String, typed: Bool = true, limit: Int = .max) throws -> ChangeBatch {
        let decoder = try DebeziumDecoder(configuration: try configuration(name, typed: typed))
        return decoder.decode(batch(try lines(name, limit: limit)))
    }

    static func expected(_ name: String) throws -> [String: [JSONValue]] {
        let value = try JSONValue(parsing: try data(name + ".expected.json"))
        return Dictionary(
            (value.members ?? []).map { ($0.key, $0.value.array ?? []) }, uniquingKeysWith: { first, _ in first })
    }
}

/// An event with its bytes as text, so that events of different batches can be compared.
struct FlatEvent: Equatable, CustomStringConvertible {
    var table: TableID
    var operation: Replication.Operation
    var flags: UInt8
    var version: Version
    var id: EventID
    var offset: Int64
    var time_us: Int64
    var transaction: Int64
    var key: String?
    var group: String?
    var otherKey: String?
    var imageBefore: EventID
    var imageAfter: EventID
    /// By column name; columns that are absent aren't in it.
    var before: [String: String]?
    var after: [String: String]?

    var description: String {
        "\(table) \(operation.letter) \(key ?? "-") \(version) \(flags) \(after ?? [:])"
    }
}

extension ChangeBatch {
    func flat(_ event: ChangeEvent) -> FlatEvent {
        let definition = tables[Int(event.table)]
        func text(_ range: ByteRange) -> String? { range.isNull ? nil : arena.string(range) }
        func image(_ start: Int32) -> [String: String]? {
            guard start >= 0 else { return nil }
            var image: [String: String] = [:]
            for (index, column) in definition.columns.enumerated() {
                let field = field(start, index, width: event.width)
                switch field.kind {
                case .absent: continue
                case .unchanged: image[column.name] = "unchanged"
                default:
                    let sink = ByteArena()
                    image[column.name] = sink.string(FieldText.appendJSON(field, column.type, from: arena, to: sink))
                }
            }
            return image
        }
        return FlatEvent(
            table: definition.source, operation: event.operation, flags: event.flags.rawValue, version: event.version,
            id: event.id, offset: event.offset, time_us: event.sourceTime_us, transaction: event.transaction,
            key: text(event.key), group: text(event.group), otherKey: text(event.otherKey),
            imageBefore: event.imageBefore, imageAfter: event.imageAfter, before: image(event.before),
            after: image(event.after))
    }

    var flat: [FlatEvent] { events.map { flat($0) } }

    func flat(_ table: String) -> [FlatEvent] { flat.filter { $0.table.table == table } }

    /// `schema.table:op` → how many.
    var counts: [String: Int] {
        var counts: [String: Int] = [:]
        for event in events { counts["\(tables[Int(event.table)].source):\(event.operation.letter)", default: 0] += 1 }
        return counts
    }

    var reasons: [String] { quarantined.map(\.reason) }
}

/// What the events make of the tables, by the rules of versions: enough of an applier to look at values.
struct Fold {
    private struct Row {
        var version: Version
        var isDeleted: Bool
        var values: [String: String]
    }

    private var rows: [TableID: [String: Row]] = [:]
    private var floors: [TableID: Version] = [:]

    init(_ events: [FlatEvent]) {
        // A move's create takes what it lacks from its delete's row.
        for event in events.sorted(by: { $0.version < $1.version }) { apply(event) }
    }

    private mutating func apply(_ event: FlatEvent) {
        guard event.operation != .truncate else {
            rows[event.table] = rows[event.table]?.mapValues {
                Row(version: $0.version, isDeleted: true, values: $0.values)
            }
            return
        }
        let key = event.key ?? event.id.text
        if let row = rows[event.table]?[key], row.version >= event.version, event.operation == .read { return }
        if event.operation == .delete {
            rows[event.table]?[key]?.isDeleted = true
            return
        }
        var values = event.after ?? [:]
        let donor = rows[event.table]?[event.otherKey ?? key]?.values ?? [:]
        for (name, value) in values where value == "unchanged" { values[name] = donor[name] ?? value }
        rows[event.table, default: [:]][key] = Row(version: event.version, isDeleted: false, values: values)
    }

    /// Live rows.
    func rows(_ table: TableID) -> [[String: String]] {
        (rows[table] ?? [:]).values.filter { !$0.isDeleted }.map(\.values)
    }
}

extension EventForms {
    static func cloudEvent(_ line: Corpus.Line, schema: JSONValue? = nil) throws -> Corpus.Line {
        let record = try cloudEvent(Record(value: line.value, headers: line.headers), schema: schema)
        return Corpus.Line(topic: line.topic, key: line.key, value: record.value, headers: record.headers)
    }

    /// Nil: the transformation drops it.
    static func flattened(_ line: Corpus.Line, _ unwrap: Unwrap) throws -> Corpus.Line? {
        try flattened(Record(value: line.value, headers: line.headers), unwrap).map {
            Corpus.Line(topic: line.topic, key: line.key, value: $0.value, headers: $0.headers)
        }
    }
}

import Foundation
import JSON
import Replication
import ReplicationTestKit
import Testing

/// One topic in which the form changes from record to record, versions of the row's schema are mixed, and each
/// thousandth record is bad: only the bad ones are put aside.
@Suite struct PoisonedTopicTests {
    private static let records = 20_000

    /// `id int, v text`, in version 2 `n bigint`, in version 3 `w numeric(10,2)` too.
    private struct Row: Equatable {
        var v: String
        var n: Int64?
        var w_cents: Int64?
    }

    private struct Event {
        var op: String
        var lsn: Int
        var id: Int
        var row: Row
        /// Of the row's schema.
        var version: Int
    }

    /// Columns that a version doesn't have keep what an earlier event of the row's life said.
    private static func history() -> (events: [Event], rows: [Int: Row]) {
        var random = SeededRandom(seed: 11)
        var rows: [Int: Row] = [:]
        var events: [Event] = []
        for number in 0..<records {
            // A delete of key 0 is never trusted.
            let id = 1 + random.below(400)
            let lsn = 1000 + number * 10
            let version = 1 + random.below(3)
            if let row = rows[id], random.chance(15) {
                events.append(Event(op: "d", lsn: lsn, id: id, row: row, version: version))
                rows[id] = nil
                continue
            }
            var row = Row(v: "v\(number) \"é\" 😀")
            if version >= 2 { row.n = 1 << 53 + Int64(number) }
            if version >= 3 { row.w_cents = Int64(number) - 9000 }
            events.append(Event(op: rows[id] == nil ? "c" : "u", lsn: lsn, id: id, row: row, version: version))
            if let before = rows[id] {
                row.n = row.n ?? before.n
                row.w_cents = row.w_cents ?? before.w_cents
            }
            rows[id] = row
        }
        return (events, rows)
    }

    // MARK: Forms

    private static func decimal(_ cents: Int64) -> Data {
        var bytes = withUnsafeBytes(of: cents.bigEndian) { Array($0) }
        while bytes.count > 1, bytes[0] == (bytes[1] >= 0x80 ? 0xFF : 0) { bytes.removeFirst() }
        return Data(bytes)
    }

    private static func image(_ event: Event) -> JSONValue {
        var members: [JSONValue.Member] = [("id", .number("\(event.id)")), ("v", .string(event.row.v))]
        if event.version >= 2 { members.append(("n", event.row.n.map { .number("\($0)") } ?? .null)) }
        if event.version >= 3 {
            members.append(
                ("w", event.row.w_cents.map { .string(decimal($0).base64EncodedString()) } ?? .null))
        }
        return .object(members)
    }

    private static func payload(_ event: Event) -> JSONValue {
        let image = image(event)
        let isDelete = event.op == "d"
        return .object([
            ("before", isDelete ? image : .null), ("after", isDelete ? .null : image),
            (
                "source",
                .object([
                    ("connector", "postgresql"), ("name", "shop"),
                    ("ts_ms", .number("\(1_700_000_000_000 + event.lsn)")),
                    ("snapshot", "false"), ("db", "shop"),
                    ("sequence", .string("[\"\(event.lsn)\",\"\(event.lsn + 1)\"]")),
                    ("schema", "public"), ("table", "items"), ("txId", .number("\(event.lsn)")),
                    ("lsn", .number("\(event.lsn + 1)")),
                ])
            ), ("op", .string(event.op)), ("ts_ms", .number("1")),
        ])
    }

    /// Connect's schema of a version.
    private static func schema(_ version: Int) -> JSONValue {
        func field(_ name: String, _ rest: [JSONValue.Member]) -> JSONValue {
            .object(rest + [("field", .string(name))])
        }
        var fields = [
            field("id", [("type", "int32"), ("optional", .bool(false))]),
            field("v", [("type", "string"), ("optional", .bool(true))]),
        ]
        if version >= 2 { fields.append(field("n", [("type", "int64"), ("optional", .bool(true))])) }
        if version >= 3 {
            fields.append(
                field(
                    "w",
                    [
                        ("type", "bytes"), ("optional", .bool(true)),
                        ("name", "org.apache.kafka.connect.data.Decimal"), ("version", .number("1")),
                        ("parameters", .object([("scale", "2"), ("connect.decimal.precision", "10")])),
                    ]))
        }
        let images = ["before", "after"].map { name in
            field(name, [("type", "struct"), ("fields", .array(fields)), ("optional", .bool(true))])
        }
        return .object([("type", "struct"), ("fields", .array(images)), ("optional", .bool(false)), ("name", "E")])
    }

    private static func avroSchema(_ version: Int) -> String {
        let n = version >= 2 ? #",{"name":"n","type":["null","long"],"default":null}"# : ""
        let w =
            version >= 3
            ? #",{"name":"w","type":["null",{"type":"bytes","scale":2,"precision":10,"connect.version":1,"connect.parameters":{"scale":"2","connect.decimal.precision":"10"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null}"#
            : ""
        return
            #"{"type":"record","name":"Envelope","namespace":"shop.public.items","fields":[{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"v","type":["null","string"],"default":null}"#
            + n + w
            + #"]}],"default":null},{"name":"after","type":["null","Value"],"default":null},{"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"connector","type":"string"},{"name":"ts_ms","type":"long"},{"name":"sequence","type":["null","string"]},{"name":"schema","type":"string"},{"name":"table","type":"string"},{"name":"txId","type":["null","long"]},{"name":"lsn","type":["null","long"]}]}},{"name":"op","type":"string"}]}"#
    }

    private struct Avro {
        var bytes: [UInt8]

        init(schema id: Int) { bytes = [0, 0, 0, 0, UInt8(id)] }

        mutating func long(_ value: Int64) {
            var rest = UInt64(bitPattern: value << 1 ^ value >> 63)
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7F | 0x80))
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }

        mutating func data(_ data: some Collection<UInt8>) {
            long(Int64(data.count))
            bytes += data
        }

        mutating func some(_ write: ((inout Avro) -> Void)?) {
            long(write == nil ? 0 : 1)
            write?(&self)
        }
    }

    private static func avro(_ event: Event) -> [UInt8] {
        var out = Avro(schema: event.version)
        func image(_ out: inout Avro) {
            out.long(Int64(event.id))
            out.some { $0.data(event.row.v.utf8) }
            if event.version >= 2 { out.some(event.row.n.map { n in { $0.long(n) } }) }
            if event.version >= 3 { out.some(event.row.w_cents.map { w in { $0.data(decimal(w)) } }) }
        }
        out.some(event.op == "d" ? image : nil)
        out.some(event.op == "d" ? nil : image)
        out.data("postgresql".utf8)
        out.long(Int64(1_700_000_000_000 + event.lsn))
        out.some { $0.data("[\"\(event.lsn)\",\"\(event.lsn + 1)\"]".utf8) }
        out.data("public".utf8)
        out.data("items".utf8)
        out.some { $0.long(Int64(event.lsn)) }
        out.some { $0.long(Int64(event.lsn + 1)) }
        out.data(event.op.utf8)
        return out.bytes
    }

    private static let unwrap = EventForms.Unwrap(
        deletes: .rewrite,
        fields: ["op", "source.lsn", "source.sequence", "source.schema", "source.table", "source.ts_us"])

    private static func record(_ event: Event, form: Int) throws -> EventForms.Record {
        let payload = payload(event)
        let plain = EventForms.Record(value: Array(payload.serialized.utf8), headers: [])
        switch form {
        case 0: return plain
        case 1:
            let whole = JSONValue.object([("schema", schema(event.version)), ("payload", payload)])
            return EventForms.Record(value: Array(whole.serialized.utf8), headers: [])
        case 2: return EventForms.Record(value: avro(event), headers: [])
        case 3: return try EventForms.cloudEvent(plain)
        default: return try #require(try EventForms.flattened(plain, unwrap))
        }
    }

    /// A good record made bad; what it says isn't in the model.
    private static func poisoned(_ kind: Int, _ event: Event) throws -> [UInt8] {
        let good = payload(event).serialized
        switch kind % 7 {
        case 0: return Array(good.utf8.dropLast(7))
        // A schema that the registry doesn't have.
        case 1: return [0, 0, 0, 0, 99] + avro(event).dropFirst(5)
        // A payload that isn't of its schema.
        case 2: return Array(avro(event).dropLast(5))
        case 3: return Array(good.replacing("\"op\":\"\(event.op)\"", with: "\"op\":\"q\"").utf8)
        case 4: return Array(good.replacing("\"id\":\(event.id),", with: "\"id\":\"poison\",").utf8)
        case 5: return [0xFF, 0xFE, 0x7B]
        // Apicurio's framing, of eight bytes.
        default: return [0, 0, 0, 0, 0, 0, 0, 0, 7] + avro(event).dropFirst(5)
        }
    }

    @Test(arguments: Engine.allCases) func onlyTheBadOnesArePutAside(engine: Engine) async throws {
        let (events, rows) = Self.history()
        var random = SeededRandom(seed: 3)
        var lines: [String] = []
        var poison = 0
        func append(_ key: Int, _ record: EventForms.Record) {
            let headers = record.headers.map {
                "[\(JSONText.quoted($0.0)),\(JSONText.quoted(String(decoding: $0.1, as: UTF8.self)))]"
            }
            lines.append(
                "{\"topic\":\"shop.public.items\",\"key\":\"{\\\"id\\\":\(key)}\",\"value_b64\":\""
                    + Data(record.value ?? []).base64EncodedString()
                    + "\",\"headers\":[\(headers.joined(separator: ","))]}")
        }
        for (number, event) in events.enumerated() {
            // The first says the columns' types.
            append(event.id, try Self.record(event, form: number < 3 ? 1 : random.below(5)))
            guard number % 1000 == 999 else { continue }
            var bad = event
            bad.lsn += 5
            bad.row.v = "poison"
            bad.op = "u"
            append(bad.id, EventForms.Record(value: try Self.poisoned(poison, bad), headers: []))
            poison += 1
        }
        let folder = try TestFolder()
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: folder.path("events.jsonl")))
        let registry = (1...3).map { id in
            "{\"id\":\(id),\"schema\":\(JSONText.quoted(Self.avroSchema(id))),\"schemaType\":\"AVRO\"}"
        }
        try folder.write(registry.map { Data($0.utf8) }, to: "registry.jsonl")
        let run = try await PipelineRun(
            "poison", engine,
            source:
                "  file: { path: \(JSONText.quoted(folder.path("events.jsonl"))), schema_registry: { file: registry.jsonl } }",
            rest:
                "tables: [{ source: public.items, columns: { types: { w: \"numeric(10,2)\", n: bigint, v: text } } }]",
            folder: folder)
        try await run.untilEnd()
        let found = try await run.looking { warehouse, _ in
            (
                try await warehouse.query("select id, v, n, w from poison_live.items order by id", rows_max: 1000).rows,
                try await warehouse.quarantine(), try await warehouse.ledger().tables
            )
        }
        #expect(poison == Self.records / 1000)
        #expect(
            found.1.count == poison,
            "\(found.1.map(\.entry.reason))")
        #expect(found.1.allSatisfy { !$0.entry.reason.contains("poison") })
        let expected = rows.sorted { $0.key < $1.key }.map { id, row -> [String?] in
            let w = row.w_cents.map { cents in
                "\(cents < 0 ? "-" : "")\(abs(cents) / 100).\(String(abs(cents) % 100 + 100).dropFirst())"
            }
            return ["\(id)", row.v, row.n.map(String.init), w]
        }
        #expect(found.0.count == expected.count)
        for (row, wanted) in zip(found.0, expected) where row != wanted {
            Issue.record("\(row) instead of \(wanted)")
            break
        }
        for entry in found.2 { #expect(entry.addsUp) }
        #expect(found.2.reduce(0) { $0 + $1.read } == events.count + poison)
    }
}

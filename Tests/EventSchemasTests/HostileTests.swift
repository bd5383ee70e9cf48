import EventSchemas
import Foundation
import JSON
import Replication
import Testing

/// Bytes that nobody wrote: each ends in JSON or in a reason, within bounds.
@Suite struct HostileTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fixtures/corpus")

    private static func lines(_ name: String) throws -> [JSONValue] {
        try Data(contentsOf: folder.appending(path: name)).split(separator: 0x0A).map { try JSONValue(parsing: $0) }
    }

    private static func schemas(_ name: String) throws -> [RegisteredSchema] {
        try lines(name + ".registry.jsonl").map { line in
            RegisteredSchema(
                id: UInt32(line["id"]?.int64 ?? 0), format: .avro, text: try #require(line["schema"]?.string))
        }
    }

    private static func payloads(_ name: String) throws -> [[UInt8]] {
        try lines(name + ".jsonl").flatMap { line in
            [line["key_b64"], line["value_b64"]].compactMap { value in
                value?.string.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
            }
        }
    }

    /// A sequence that begins with `seed` and is the same everywhere.
    private struct Random {
        var state: UInt64

        mutating func below(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(limit, 1)
        }

        mutating func mutate(_ bytes: [UInt8], keeping: Int) -> [UInt8] {
            var bytes = bytes
            for _ in 0...below(4) where bytes.count > keeping {
                let at = keeping + below(bytes.count - keeping)
                switch below(6) {
                case 0: bytes[at] ^= UInt8(1 << below(8))
                case 1: bytes[at] = UInt8(below(256))
                case 2: bytes.removeSubrange(at...)
                case 3: bytes.insert(contentsOf: [UInt8](repeating: UInt8(below(256)), count: below(12)), at: at)
                case 4: bytes.remove(at: at)
                default:
                    let from = keeping + below(bytes.count - keeping)
                    bytes.insert(contentsOf: bytes[from..<min(from + below(40), bytes.count)], at: at)
                }
            }
            return bytes
        }
    }

    private func reader(_ schemas: [RegisteredSchema]) throws -> Framed {
        let framed = try Framed()
        for schema in schemas { framed.store.put(.schema(schema), for: schema.id) }
        return framed
    }

    /// How many bytes came out, or 0.
    private func read(_ framed: Framed, _ bytes: [UInt8]) -> Int {
        let arena = ByteArena()
        let range = bytes.withUnsafeBytes { arena.append($0) }
        return (try? framed.reader.json(arena.bytes(range)).count) ?? 0
    }

    @Test(arguments: ["basic_avro", "types_avro"])
    func recordedPayloadsAreRead(name: String) throws {
        let framed = try reader(try Self.schemas(name))
        for payload in try Self.payloads(name) {
            let value = try framed.value(payload)
            #expect(value["schema"]?["type"]?.string == "struct" && value["payload"]?.members != nil)
        }
    }

    @Test(arguments: ["basic_avro", "types_avro"], [1, 2, 3] as [UInt64])
    func changedPayloads(name: String, seed: UInt64) throws {
        let framed = try reader(try Self.schemas(name))
        let payloads = try Self.payloads(name)
        var random = Random(state: seed)
        var read = 0
        for _ in 0..<4_000 {
            let bytes = random.mutate(payloads[random.below(payloads.count)], keeping: random.below(8) == 0 ? 0 : 5)
            let length = self.read(framed, bytes)
            #expect(length < 256 * bytes.count + 8 << 20)
            if length > 0 { read += 1 }
        }
        #expect(read > 0, "some changes leave a value of the schema")
    }

    /// Every payload under every other schema.
    @Test func strangersSchemas() throws {
        let schemas = try Self.schemas("basic_avro")
        let framed = try reader(schemas)
        for payload in try Self.payloads("basic_avro") {
            for schema in schemas {
                var bytes = payload
                bytes[4] = UInt8(schema.id)
                _ = read(framed, bytes)
            }
        }
    }

    @Test(arguments: [11, 12] as [UInt64])
    func changedSchemas(seed: UInt64) throws {
        let proto = """
            syntax = "proto3"; package p; import "google/protobuf/wrappers.proto";
            message M { optional int64 a = 1; repeated M m = 2; map<string, M> s = 3; E e = 4; oneof o { bytes b = 5; }
              enum E { X = 0; Y = 1; } confluent.type.Decimal d = 6 [(confluent.field_meta) = { params: [{ key: "scale", value: "2" }] }];
              google.protobuf.StringValue v = 7; }
            """
        let json =
            ##"{"type":"object","title":"t","properties":{"a":{"oneOf":[{"type":"null"},{"$ref":"#/x"}]}},"x":{"type":"integer"}}"##
        let avro = try Self.schemas("basic_avro").map(\.text) + [#"{"type":"map","values":["null","long"]}"#]
        let texts = [(SchemaFormat.protobuf, proto), (.jsonSchema, json)] + avro.map { (SchemaFormat.avro, $0) }
        let payloads = try Self.payloads("basic_avro").map { Array($0.dropFirst(5)) } + [Array("{}".utf8), [0, 8, 1]]
        var random = Random(state: seed)
        for i in 0..<1_500 {
            let (format, text) = texts[i % texts.count]
            let changed = String(decoding: random.mutate(Array(text.utf8), keeping: 0), as: UTF8.self)
            let framed = try reader([RegisteredSchema(id: 1, format: format, text: changed)])
            for _ in 0..<3 {
                _ = read(framed, [0, 0, 0, 0, 1] + payloads[random.below(payloads.count)])
            }
        }
    }

    @Test(arguments: [21, 22] as [UInt64])
    func changedProtobuf(seed: UInt64) throws {
        let framed = try reader([
            RegisteredSchema(
                id: 1, format: .protobuf,
                text: """
                    syntax = "proto3";
                    message M { int64 a = 1; repeated M m = 2; map<string, M> s = 3; repeated double d = 4; string t = 5;
                      google.protobuf.Timestamp w = 6; confluent.type.Decimal c = 7; }
                    """)
        ])
        var start = Bytes(id: 1)
        start.all.append(0)
        start.field(1, 7 as Int64)
        start.message(2) { inner in
            inner.field(5, "text")
            inner.message(2) { $0.field(1, 1 as Int64) }
        }
        start.message(3) { entry in
            entry.field(1, "key")
            entry.message(2) { $0.field(5, "v") }
        }
        start.field(4, [UInt8](repeating: 1, count: 16))
        start.message(6) { $0.field(1, 5 as Int64) }
        start.message(7) { $0.field(1, [1] as [UInt8]) }
        var random = Random(state: seed)
        for _ in 0..<6_000 {
            let bytes = random.mutate(start.all, keeping: 6)
            #expect(read(framed, bytes) < 256 * bytes.count + 8 << 20)
        }
    }

    /// Two bytes for a message of many fields: what comes of it has an end.
    @Test func amplificationIsBounded() throws {
        let fields = (1...1600).map { "optional string \(String(repeating: "n", count: 60))\($0) = \($0);" }
        let framed = try reader([
            RegisteredSchema(
                id: 1, format: .protobuf,
                text: "message R { repeated M m = 1; } message M { \(fields.joined(separator: " ")) }")
        ])
        let many = (0..<50_000).flatMap { _ in [10, 0] as [UInt8] }
        #expect(framed.reason([0, 0, 0, 0, 1, 0] + many).hasSuffix("it becomes too large when decoded"))
    }

    @Test func framesThatAreNone() throws {
        let framed = try Framed()
        #expect(framed.reason([0]) == "it begins with a zero byte and is too short for a schema id")
        #expect(framed.reason([0, 0, 0, 0, 0, 0, 0, 0, 7, 2]).hasPrefix("it is framed as Apicurio does"))
        #expect(framed.reason([0, 0, 0, 0, 9, 1]) == "its schema (id 9) is not at hand")
        framed.store.put(.refused("nobody knows it"), for: 9)
        #expect(framed.reason([0, 0, 0, 0, 9, 1]) == "its schema (id 9) can't be had: nobody knows it")
        // It came late.
        framed.store.put(.schema(.init(id: 9, format: .avro, text: "\"int\"")), for: 9)
        #expect(try framed.payload([0, 0, 0, 0, 9, 2]) == "1")
    }

    @Test func theStoreIsBounded() {
        let store = SchemaStore()
        for id in 1...UInt32(SchemaStore.schemas_max) {
            store.put(.schema(.init(id: id, format: .avro, text: "\"int\"")), for: id)
        }
        #expect(store.makeRoom(for: [1, 2]).isEmpty)
        #expect(store[3] != nil)
        #expect(store.makeRoom(for: [1, 1_000_000]).isEmpty)
        #expect(store[1] != nil && store[3] == nil)
        let wanted = Set(1...UInt32(SchemaStore.schemas_max + 10))
        #expect(store.makeRoom(for: wanted).count == 10)
    }
}

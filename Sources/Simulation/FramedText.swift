import JSON
import ReplicationTestKit

/// Events of a small table in Confluent's wire format: with a JSON Schema, and in Protobuf.
enum FramedText {
    static let jsonSchema = """
        {"type":"object","title":"shop.public.items.Envelope","properties":{
          "before":{"connect.index":0,"oneOf":[{"type":"null"},{"$ref":"#/definitions/Value"}]},
          "after":{"connect.index":1,"oneOf":[{"type":"null"},{"$ref":"#/definitions/Value"}]},
          "source":{"type":"object","connect.index":2,"properties":{
            "connector":{"type":"string"},"ts_ms":{"type":"integer","connect.type":"int64"},
            "sequence":{"oneOf":[{"type":"null"},{"type":"string"}]},"schema":{"type":"string"},
            "table":{"type":"string"},"txId":{"type":"integer","connect.type":"int64"},
            "lsn":{"type":"integer","connect.type":"int64"}}},
          "op":{"type":"string","connect.index":3}},
         "definitions":{"Value":{"type":"object","title":"shop.public.items.Value","properties":{
            "id":{"type":"integer","connect.index":0,"connect.type":"int32"},
            "v":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"string"}]},
            "n":{"connect.index":2,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int64"}]},
            "tags":{"type":"array","items":{"type":"string"},"connect.index":3},
            "counts":{"type":"object","connect.type":"map","additionalProperties":{"type":"integer"},"connect.index":4}}}}}
        """

    static let protobuf = """
        syntax = "proto3";
        package shop.public.items;
        message Envelope {
          Value before = 1; Value after = 2; Source source = 3; string op = 4;
          message Value {
            int32 id = 1; optional string v = 2; optional int64 n = 3;
            repeated string tags = 4; map<string, int64> counts = 5;
          }
          message Source {
            string connector = 1; int64 ts_ms = 2; optional string sequence = 3; string schema = 4; string table = 5;
            optional int64 txId = 6; optional int64 lsn = 7;
          }
        }
        """

    struct Event {
        var key: [UInt8]
        var json: [UInt8]
        var protobuf: [UInt8]
    }

    static func events(_ count: Int, seed: UInt64) -> [Event] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { number in
            let id = 1 + random.below(40)
            let op = ["c", "u", "d", "r"][random.below(4)]
            let lsn = 1000 + 10 * number
            let v = random.chance(80) ? "v\(number) \"é\"" : nil
            let n = random.chance(60) ? Int64(bitPattern: random.next()) : nil
            let tags = (0..<random.below(3)).map { "t\($0)" }
            return Event(
                key: Array("{\"id\":\(id)}".utf8), json: json(id, op, lsn, v, n, tags),
                protobuf: message(id, op, lsn, v, n, tags))
        }
    }

    private static func json(_ id: Int, _ op: String, _ lsn: Int, _ v: String?, _ n: Int64?, _ tags: [String])
        -> [UInt8]
    {
        let row = JSONValue.object([
            ("id", .number("\(id)")), ("v", v.map { .string($0) } ?? .null),
            ("n", n.map { .number("\($0)") } ?? .null), ("tags", .array(tags.map { .string($0) })),
            ("counts", .object(tags.map { ($0, .number("1")) })),
        ])
        let source = JSONValue.object([
            ("connector", "postgresql"), ("ts_ms", .number("\(lsn)")),
            ("sequence", .string("[\"\(lsn)\",\"\(lsn + 1)\"]")), ("schema", "public"), ("table", "items"),
            ("txId", .number("\(lsn)")), ("lsn", .number("\(lsn + 1)")),
        ])
        let value = JSONValue.object([
            ("before", op == "d" ? row : .null), ("after", op == "d" ? .null : row), ("source", source),
            ("op", .string(op)),
        ])
        return [0, 0, 0, 0, 1] + Array(value.serialized.utf8)
    }

    private static func message(_ id: Int, _ op: String, _ lsn: Int, _ v: String?, _ n: Int64?, _ tags: [String])
        -> [UInt8]
    {
        var row = Message()
        row.put(1, Int64(id))
        if let v { row.put(2, Array(v.utf8)) }
        if let n { row.put(3, n) }
        for tag in tags { row.put(4, Array(tag.utf8)) }
        for tag in tags {
            var entry = Message()
            entry.put(1, Array(tag.utf8))
            entry.put(2, 1)
            row.put(5, entry.bytes)
        }
        var source = Message()
        source.put(1, Array("postgresql".utf8))
        source.put(2, Int64(lsn))
        source.put(3, Array("[\"\(lsn)\",\"\(lsn + 1)\"]".utf8))
        source.put(4, Array("public".utf8))
        source.put(5, Array("items".utf8))
        source.put(6, Int64(lsn))
        source.put(7, Int64(lsn + 1))
        var envelope = Message()
        envelope.put(op == "d" ? 1 : 2, row.bytes)
        envelope.put(3, source.bytes)
        envelope.put(4, Array(op.utf8))
        // The schema's id, and the first of its messages.
        return [0, 0, 0, 0, 1, 0] + envelope.bytes
    }

    private struct Message {
        var bytes: [UInt8] = []

        private mutating func varint(_ value: UInt64) {
            var rest = value
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7F | 0x80))
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }

        mutating func put(_ field: Int, _ value: Int64) {
            varint(UInt64(field << 3))
            varint(UInt64(bitPattern: value))
        }

        mutating func put(_ field: Int, _ value: [UInt8]) {
            varint(UInt64(field << 3 | 2))
            varint(UInt64(value.count))
            bytes += value
        }
    }
}

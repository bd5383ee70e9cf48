import EventSchemas
import JSON
import Replication

/// Builds payloads byte by byte.
struct Bytes {
    var all: [UInt8] = []

    init() {}

    /// Confluent's header.
    init(id: UInt32) { all = [0, UInt8(id >> 24), UInt8(id >> 16 & 255), UInt8(id >> 8 & 255), UInt8(id & 255)] }

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            all.append(UInt8(rest & 0x7F | 0x80))
            rest >>= 7
        }
        all.append(UInt8(rest))
    }

    mutating func zigzag(_ value: Int64) { varint(UInt64(bitPattern: value << 1 ^ value >> 63)) }

    mutating func fixed(_ value: UInt64, bytes: Int) {
        for i in 0..<bytes { all.append(UInt8(value >> UInt64(8 * i) & 255)) }
    }
}

extension Bytes {
    // Avro.
    mutating func avro(_ text: String) { avro(Array(text.utf8)) }

    mutating func avro(_ bytes: [UInt8]) {
        zigzag(Int64(bytes.count))
        all += bytes
    }

    mutating func avro(_ value: Double) { fixed(value.bitPattern, bytes: 8) }
    mutating func avro(_ value: Float) { fixed(UInt64(value.bitPattern), bytes: 4) }

    // Protobuf.
    mutating func tag(_ number: Int, _ wire: Int) { varint(UInt64(number << 3 | wire)) }

    mutating func field(_ number: Int, _ value: Int64) {
        tag(number, 0)
        varint(UInt64(bitPattern: value))
    }

    mutating func field(_ number: Int, _ bytes: [UInt8]) {
        tag(number, 2)
        varint(UInt64(bytes.count))
        all += bytes
    }

    mutating func field(_ number: Int, _ text: String) { field(number, Array(text.utf8)) }

    mutating func field(_ number: Int, _ value: Double) {
        tag(number, 1)
        fixed(value.bitPattern, bytes: 8)
    }

    mutating func field(_ number: Int, _ value: Float) {
        tag(number, 5)
        fixed(UInt64(value.bitPattern), bytes: 4)
    }

    mutating func message(_ number: Int, _ fill: (inout Bytes) -> Void) {
        var inner = Bytes()
        fill(&inner)
        field(number, inner.all)
    }
}

/// What a reader with these schemas makes of framed bytes.
struct Framed {
    let store = SchemaStore()
    let reader: FramedReader

    init(_ schemas: RegisteredSchema...) throws {
        reader = try FramedReader(store)
        for schema in schemas { store.put(.schema(schema), for: schema.id) }
    }

    static func avro(_ text: String) throws -> Framed { try Framed(.init(id: 1, format: .avro, text: text)) }

    func text(_ bytes: [UInt8]) throws(SchemaTrouble) -> String {
        let arena = ByteArena()
        let range = bytes.withUnsafeBytes { arena.append($0) }
        return String(decoding: try reader.json(arena.bytes(range)), as: UTF8.self)
    }

    func value(_ bytes: [UInt8]) throws -> JSONValue { try JSONValue(parsing: text(bytes)) }

    /// The payload's JSON as it stands.
    func payload(_ bytes: [UInt8]) throws -> String { try value(bytes)["payload"]?.serialized ?? "nothing" }

    func schema(_ bytes: [UInt8]) throws -> JSONValue { try value(bytes)["schema"] ?? .null }

    /// Why the bytes aren't read.
    func reason(_ bytes: [UInt8]) -> String {
        do throws(SchemaTrouble) {
            return "read: \(try text(bytes))"
        } catch {
            return error.reason
        }
    }
}

/// A payload under schema 1.
func framed(_ fill: (inout Bytes) -> Void) -> [UInt8] {
    var bytes = Bytes(id: 1)
    fill(&bytes)
    return bytes.all
}

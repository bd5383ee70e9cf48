import JSON

@testable import Replication

/// A generator whose every run is the same.
struct SampleGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// What the functions of the value codecs append, as strings.
struct Sample {
    let arena = ByteArena()

    func text(_ value: String) -> Field { .stretch(.text, arena.append(value)) }
    func json(_ value: String) -> Field { .stretch(.json, arena.append(value)) }
    func bytes(_ value: [UInt8]) -> Field { .stretch(.bytes, value.withUnsafeBytes { arena.append($0) }) }

    func postgres(_ field: Field, _ type: ColumnType) -> String {
        let scratch = ByteArena(capacity: 64)
        let text = FieldText.withPostgresText(field, type, in: arena, scratch: scratch) {
            String(decoding: $0, as: UTF8.self)
        }
        return scratch.count == 0 ? text : "scratch was left behind"
    }

    /// Into the arena that the field itself lies in: the harder case.
    func json(_ field: Field, _ type: ColumnType) -> String {
        arena.string(FieldText.appendJSON(field, type, from: arena, to: arena))
    }

    func decode(_ json: String, _ type: ColumnType) throws -> Field? {
        let document = ByteArena(capacity: json.utf8.count + 128)
        let range = document.append(json)
        let parser = try JSONParser()
        let tape = try parser.parse(document.bytes(range))
        return FieldJSONDecode.field(tape, tape.root, type, to: arena)
    }
}

func withBytes<R>(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    var text = text
    return try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
}

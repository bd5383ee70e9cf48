import JSON
import Replication

/// Takes an event file's lines apart. What a line says is kept until the next one, as plain bytes in a
/// buffer of its own, so that a line found wrong late leaves no trace in the batch.
final class EventLine {
    /// Its texts are named by where they lie, for `bytes`; its headers are in `headers`.
    struct Record {
        var topic = ByteRange.null
        var partition: Int32 = 0
        var offset: Int64?
        var timestamp_ms: Int64 = -1
        var key: ByteRange?
        var value: ByteRange?
    }

    private(set) var headers: [(name: ByteRange, value: ByteRange?)] = []
    private let parser: JSONParser
    private let plain = ByteArena()

    init() throws(JSONError) {
        // Values are JSON in JSON, so one escape after another: unescaping checks them.
        parser = try JSONParser(checksEscapes: false)
    }

    var buffered_bytes: Int { plain.allocated }

    /// Valid until the next line is read.
    func bytes(_ range: ByteRange) -> UnsafeRawBufferPointer { plain.bytes(range) }

    /// Reads a line that has `JSONParser.padding` readable bytes behind it. Unknown members are passed
    /// over, so that files of other tools' making can be read.
    func read(_ line: UnsafeRawBufferPointer) throws(MalformedLine.Reason) -> Record {
        plain.removeAll(keepingCapacity: plain.allocated <= 4 << 20)
        plain.reserve(line.count)
        if !headers.isEmpty { headers.removeAll(keepingCapacity: true) }

        let tape: JSONTape
        do {
            tape = try parser.parse(line)
        } catch {
            throw .notJSON(error)
        }
        guard tape.kind(tape.root) == .object else { throw .notAnObject }
        var record = Record()
        for member in tape.children(tape.root) {
            if tape.isNull(member) || tape.isKeyEscaped(member) { try checkEscapes(tape, member) }
            if tape.isNull(member) { continue }
            if tape.key(member, equals: "value") {
                guard record.value == nil else { throw .ambiguous(key: "value") }
                record.value = try text(tape, member, "value", wanted: "a string or null")
            } else if tape.key(member, equals: "key") {
                guard record.key == nil else { throw .ambiguous(key: "key") }
                record.key = try text(tape, member, "key", wanted: "a string or null")
            } else if tape.key(member, equals: "topic") {
                record.topic = try text(tape, member, "topic", wanted: "a string")
            } else if tape.key(member, equals: "headers") {
                try readHeaders(tape, member)
            } else if tape.key(member, equals: "value_b64") {
                guard record.value == nil else { throw .ambiguous(key: "value") }
                record.value = try base64(tape, member, "value_b64")
            } else if tape.key(member, equals: "key_b64") {
                guard record.key == nil else { throw .ambiguous(key: "key") }
                record.key = try base64(tape, member, "key_b64")
            } else {
                try readNumber(tape, member, into: &record)
            }
        }
        guard record.topic.length > 0 else { throw .noTopic }
        return record
    }

    private func readNumber(
        _ tape: JSONTape, _ member: Int, into record: inout Record
    ) throws(MalformedLine.Reason) {
        let number = tape.int64(member)
        if tape.key(member, equals: "partition") {
            guard let number, let partition = Int32(exactly: number), partition >= 0 else {
                throw .wrongType(key: "partition", wanted: "a number from 0 to \(Int32.max), or null")
            }
            record.partition = partition
        } else if tape.key(member, equals: "offset") {
            // The position behind it must fit too.
            guard let number, number >= 0, number < Int64.max else {
                throw .wrongType(key: "offset", wanted: "a number from 0 on, or null")
            }
            record.offset = number
        } else if tape.key(member, equals: "timestamp") {
            guard let number, number >= -1 else {
                throw .wrongType(key: "timestamp", wanted: "milliseconds since 1970, or null")
            }
            record.timestamp_ms = number
        } else {
            try checkEscapes(tape, member)
        }
    }

    /// What is passed over must be JSON all the same.
    private func checkEscapes(_ tape: JSONTape, _ i: Int) throws(MalformedLine.Reason) {
        guard tape.escapesAreValid(i) else {
            throw .notJSON(JSONError(reason: .badString, offset: tape.offset(i)))
        }
    }

    private func readHeaders(_ tape: JSONTape, _ member: Int) throws(MalformedLine.Reason) {
        let wanted = "a list of [name, value] pairs of text"
        guard tape.kind(member) == .array else { throw .wrongType(key: "headers", wanted: wanted) }
        for pair in tape.children(member) {
            guard tape.kind(pair) == .array, tape.childCount(pair) == 2 else {
                throw .wrongType(key: "headers", wanted: wanted)
            }
            let name = pair + 1
            let value = tape.next(name)
            // Connect's own context carries nothing that replication needs.
            if tape.rawValue(name).starts(with: UnsafeRawBufferPointer("__debezium.context.")) {
                try checkEscapes(tape, pair)
                continue
            }
            headers.append(
                (
                    name: try text(tape, name, "headers", wanted: wanted),
                    value: tape.isNull(value) ? nil : try text(tape, value, "headers", wanted: wanted)
                )
            )
        }
    }

    /// A string's UTF-8, appended to `plain`.
    private func text(
        _ tape: JSONTape, _ i: Int, _ name: String, wanted: String
    ) throws(MalformedLine.Reason) -> ByteRange {
        guard tape.kind(i) == .string else { throw .wrongType(key: name, wanted: wanted) }
        let raw = tape.rawValue(i)
        guard tape.isEscaped(i) else { return plain.append(raw) }
        let room = plain.appendUninitialized(raw.count)
        guard let start = plain.mutableBytes(room).baseAddress, let length = JSONString.unescape(raw, into: start)
        else {
            try checkEscapes(tape, i)
            throw .loneSurrogate(key: name)
        }
        plain.truncate(to: room.offset + length)
        return ByteRange(offset: room.offset, length: length)
    }

    private func base64(
        _ tape: JSONTape, _ i: Int, _ name: String
    ) throws(MalformedLine.Reason) -> ByteRange {
        // Escapes (`\/`) are legal in it: they are taken away first.
        let digits = try text(tape, i, name, wanted: "a string or null")
        let room = plain.appendUninitialized(digits.length / 4 * 3 + 1)
        guard let start = plain.mutableBytes(room).baseAddress,
            let length = Base64.decode(plain.bytes(digits), into: start)
        else { throw .badBase64(key: name) }
        plain.truncate(to: room.offset + length)
        return ByteRange(offset: room.offset, length: length)
    }
}

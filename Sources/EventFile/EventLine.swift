import JSON
import Replication

/// Takes an event file's lines apart. What a line says is kept until the next one: its topic, key, value
/// and headers as plain bytes in a buffer of its own, so that a line found wrong late leaves no trace in
/// the batch.
final class EventLine {
    private let parser: JSONParser
    private let plain = ByteArena()

    private(set) var topic = ByteRange.null
    private(set) var partition: Int32 = 0
    private(set) var offset: Int64?
    private(set) var timestamp_ms: Int64 = -1
    private(set) var key = ByteRange.null
    private(set) var value = ByteRange.null
    private(set) var headers: [(name: ByteRange, value: ByteRange)] = []

    private enum Text { case plain, base64 }

    init() throws(JSONError) {
        parser = try JSONParser()
    }

    func bytes(_ range: ByteRange) -> UnsafeRawBufferPointer? {
        range.isNull ? nil : plain.bytes(range)
    }

    /// Reads a line that has `JSONParser.padding` readable bytes behind it; nil if it is a record, else
    /// what is wrong with it.
    func read(_ line: UnsafeRawBufferPointer) -> MalformedLine.Reason? {
        reset(capacity: line.count)
        let tape: JSONTape
        do {
            tape = try parser.parse(line)
        } catch {
            return .notJSON(error)
        }
        guard tape.kind(tape.root) == .object else { return .notAnObject }
        for member in tape.children(tape.root) {
            if let wrong = read(tape, member) { return wrong }
        }
        return topic.isNull || topic.length == 0 ? .noTopic : nil
    }

    private func reset(capacity: Int) {
        plain.removeAll(keepingCapacity: plain.allocated <= 4 << 20)
        plain.reserve(capacity)
        topic = .null
        partition = 0
        offset = nil
        timestamp_ms = -1
        key = .null
        value = .null
        headers.removeAll(keepingCapacity: true)
    }

    /// Unknown members are passed over, so that files of other tools' making can be read.
    private func read(_ tape: JSONTape, _ member: Int) -> MalformedLine.Reason? {
        if tape.key(member, equals: "value") { return text(tape, member, .plain, "value", &value) }
        if tape.key(member, equals: "key") { return text(tape, member, .plain, "key", &key) }
        if tape.key(member, equals: "topic") { return readTopic(tape, member) }
        if tape.key(member, equals: "headers") { return readHeaders(tape, member) }
        if tape.key(member, equals: "partition") {
            if tape.isNull(member) { return nil }
            guard let number = tape.int64(member), let partition = Int32(exactly: number), partition >= 0 else {
                return .wrongType(key: "partition", wanted: "a number from 0 to \(Int32.max), or null")
            }
            self.partition = partition
        } else if tape.key(member, equals: "offset") {
            if tape.isNull(member) { return nil }
            // The position behind it must fit too.
            guard let number = tape.int64(member), number >= 0, number < Int64.max else {
                return .wrongType(key: "offset", wanted: "a number from 0 on, or null")
            }
            offset = number
        } else if tape.key(member, equals: "timestamp") {
            if tape.isNull(member) { return nil }
            guard let number = tape.int64(member), number >= -1 else {
                return .wrongType(key: "timestamp", wanted: "milliseconds since 1970, or null")
            }
            timestamp_ms = number
        } else if tape.key(member, equals: "key_b64") {
            return text(tape, member, .base64, "key", &key)
        } else if tape.key(member, equals: "value_b64") {
            return text(tape, member, .base64, "value", &value)
        }
        return nil
    }

    private func readTopic(_ tape: JSONTape, _ member: Int) -> MalformedLine.Reason? {
        if tape.isNull(member) { return .noTopic }
        guard tape.kind(member) == .string else { return .wrongType(key: "topic", wanted: "a string") }
        return unescape(tape, member, "topic", &topic)
    }

    /// A key's or value's bytes, in the form that the member's name says; null leaves what the other form
    /// may have given.
    private func text(
        _ tape: JSONTape, _ member: Int, _ form: Text, _ name: String, _ into: inout ByteRange
    ) -> MalformedLine.Reason? {
        if tape.isNull(member) { return nil }
        if !into.isNull { return .ambiguous(key: name) }
        if form == .plain { return unescape(tape, member, name, &into) }
        guard tape.kind(member) == .string else { return .wrongType(key: name + "_b64", wanted: "a string or null") }
        // Escapes in base64 (`\/`) are legal JSON: they are taken away first, to a place of their own.
        var escaped = ByteRange.null
        if let wrong = unescape(tape, member, name + "_b64", &escaped) { return wrong }
        let room = plain.appendUninitialized(escaped.length / 4 * 3 + 3)
        let length = plain.mutableBytes(room).baseAddress.flatMap { Base64.decode(plain.bytes(escaped), into: $0) }
        guard let length else { return .badBase64(key: name + "_b64") }
        into = ByteRange(offset: room.offset, length: length)
        plain.truncate(to: room.offset + length)
        return nil
    }

    private func readHeaders(_ tape: JSONTape, _ member: Int) -> MalformedLine.Reason? {
        let wrong = MalformedLine.Reason.wrongType(key: "headers", wanted: "a list of [name, value] pairs of text")
        if tape.isNull(member) { return nil }
        guard tape.kind(member) == .array else { return wrong }
        for pair in tape.children(member) {
            guard tape.kind(pair) == .array, tape.childCount(pair) == 2 else { return wrong }
            let name = pair + 1
            guard tape.kind(name) == .string else { return wrong }
            // Connect's own context carries nothing that replication needs.
            if tape.rawValue(name).starts(with: UnsafeRawBufferPointer("__debezium.context.")) { continue }
            var header = (name: ByteRange.null, value: ByteRange.null)
            if let wrong = unescape(tape, name, "headers", &header.name) { return wrong }
            let value = tape.next(name)
            if !tape.isNull(value) {
                guard tape.kind(value) == .string else { return wrong }
                if let wrong = unescape(tape, value, "headers", &header.value) { return wrong }
            }
            headers.append(header)
        }
        return nil
    }

    /// A string's UTF-8, appended to `plain`.
    private func unescape(
        _ tape: JSONTape, _ i: Int, _ name: String, _ into: inout ByteRange
    ) -> MalformedLine.Reason? {
        guard tape.kind(i) == .string else { return .wrongType(key: name, wanted: "a string or null") }
        let raw = tape.rawValue(i)
        guard tape.isEscaped(i) else {
            into = plain.append(raw)
            return nil
        }
        let room = plain.appendUninitialized(raw.count)
        let length = plain.mutableBytes(room).baseAddress.flatMap { JSONString.unescape(raw, into: $0) }
        guard let length else { return .loneSurrogate(key: name) }
        into = ByteRange(offset: room.offset, length: length)
        plain.truncate(to: room.offset + length)
        return nil
    }
}

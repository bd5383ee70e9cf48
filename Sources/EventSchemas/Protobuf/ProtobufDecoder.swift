import JSON
import Replication

/// Reads messages with their schema and writes them as JSON, fields in the schema's order.
///
/// On the wire fields come in any order, and repeated ones between others: a message is first walked once, noting what
/// stands where, and then written.
final class ProtobufDecoder {
    static let depth_max = 40

    /// What becomes of a field without presence that isn't there.
    enum Absent {
        /// Left out: in an envelope and its `source`, where a zero says nothing.
        case omitted
        /// Its type's default, as Protobuf has it: in row images and keys.
        case defaults
    }

    /// One value of a field, where the message has it.
    private struct Occurrence {
        /// The next of the same field, or -1.
        var next: Int32 = -1
        /// A number as it stands, or a stretch's start.
        var raw: UInt64
        /// Of a stretch; -1: a number.
        var length: Int
    }

    private let schema: ProtobufSchema
    private var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    private var text = PayloadText(prefix: [])
    /// Of all messages that are being written, the innermost's last.
    private var occurrences: ContiguousArray<Occurrence> = []
    /// First and last occurrence of each field of these messages.
    private var heads: ContiguousArray<Int32> = []
    private var tails: ContiguousArray<Int32> = []

    init(_ schema: ProtobufSchema) { self.schema = schema }

    func decode(
        _ payload: UnsafeRawBufferPointer, as message: Int32, isEnvelope: Bool, to text: PayloadText
    ) throws(SchemaTrouble) {
        bytes = payload
        self.text = text
        occurrences.removeAll(keepingCapacity: true)
        heads.removeAll(keepingCapacity: true)
        tails.removeAll(keepingCapacity: true)
        defer { bytes = UnsafeRawBufferPointer(start: nil, count: 0) }
        try write(message, 0..<payload.count, isEnvelope ? .omitted : .defaults, isEnvelope: isEnvelope, depth: 1)
    }

    // MARK: - Messages

    private func write(
        _ index: Int32, _ range: Range<Int>, _ absent: Absent, isEnvelope: Bool = false, depth: Int
    ) throws(SchemaTrouble) {
        guard depth <= Self.depth_max else { throw SchemaTrouble("it is nested too deeply") }
        let mark = (occurrences.count, heads.count)
        let own = schema.messages[Int(index)].fields
        for _ in own {
            heads.append(-1)
            tails.append(-1)
        }
        defer {
            occurrences.removeLast(occurrences.count - mark.0)
            heads.removeLast(heads.count - mark.1)
            tails.removeLast(tails.count - mark.1)
        }
        try walk(index, range, heads: mark.1)
        text.arena.append(byte: 0x7B)
        var isFirst = true
        for slot in own {
            try text.count()
            let head = heads[mark.1 + Int(slot - own.lowerBound)]
            let (kind, isRepeated, hasPresence, label) = facts(slot)
            if head < 0, !hasPresence, absent == .omitted { continue }
            if !isFirst { text.arena.append(byte: 0x2C) }
            isFirst = false
            _ = text.arena.append(schema.labels.bytes(label))
            let inner: Absent = isEnvelope && schema.fields[Int(slot)].isImage ? .defaults : absent
            if kind == .map {
                try map(slot, head, inner, depth: depth)
            } else if isRepeated {
                try array(slot, head, inner, depth: depth)
            } else if head >= 0 {
                try value(slot, occurrences[Int(head)], inner, depth: depth)
            } else if hasPresence {
                text.null()
            } else {
                fallback(slot)
            }
        }
        text.arena.append(byte: 0x7D)
    }

    @inline(__always)
    private func facts(_ slot: Int32) -> (ProtobufSchema.Kind, Bool, Bool, ByteRange) {
        let i = Int(slot)
        return (
            schema.fields[i].kind, schema.fields[i].isRepeated, schema.fields[i].hasPresence, schema.fields[i].label
        )
    }

    /// Notes where the message's fields stand.
    private func walk(_ index: Int32, _ range: Range<Int>, heads first: Int) throws(SchemaTrouble) {
        var reader = ProtobufReader(bytes, range)
        let start = schema.messages[Int(index)].fields.lowerBound
        while !reader.isAtEnd {
            let (number, wire) = try reader.tag()
            guard let slot = schema.slot(of: number, in: index) else {
                try reader.skip(wire, number: number)
                continue
            }
            let (kind, isRepeated, _, _) = facts(slot)
            let place = first + Int(slot - start)
            if wire == 2, kind.wire != 2, isRepeated {
                try unpack(try reader.stretch(), kind.wire, place)
                continue
            }
            guard wire == kind.wire else {
                throw SchemaTrouble(
                    "field \(number) of \(schema.messages[Int(index)].name.prefix(80)) is of another type")
            }
            var found = Occurrence(raw: 0, length: -1)
            switch wire {
            case 0: found.raw = try reader.varint()
            case 1: found.raw = try reader.fixed64()
            case 5: found.raw = try reader.fixed32()
            default:
                let stretch = try reader.stretch()
                found.raw = UInt64(stretch.lowerBound)
                found.length = stretch.count
            }
            if isRepeated {
                append(found, place)
            } else {
                // The last one counts; of messages Protobuf would merge them, which no producer makes use of.
                guard heads[place] < 0 || kind != .message else { throw SchemaTrouble("a field stands there twice") }
                if heads[place] < 0 { append(found, place) } else { occurrences[Int(heads[place])] = found }
            }
        }
    }

    private func append(_ occurrence: Occurrence, _ place: Int) {
        let index = Int32(truncatingIfNeeded: occurrences.count)
        occurrences.append(occurrence)
        if tails[place] >= 0 { occurrences[Int(tails[place])].next = index } else { heads[place] = index }
        tails[place] = index
    }

    /// Numbers of a repeated field in one stretch.
    private func unpack(_ stretch: Range<Int>, _ wire: UInt8, _ place: Int) throws(SchemaTrouble) {
        var reader = ProtobufReader(bytes, stretch)
        while !reader.isAtEnd {
            let raw =
                switch wire {
                case 0: try reader.varint()
                case 1: try reader.fixed64()
                default: try reader.fixed32()
                }
            append(Occurrence(raw: raw, length: -1), place)
        }
    }

    // MARK: - Values

    private func array(_ slot: Int32, _ head: Int32, _ absent: Absent, depth: Int) throws(SchemaTrouble) {
        text.arena.append(byte: 0x5B)
        var next = head
        while next >= 0 {
            if next != head { text.arena.append(byte: 0x2C) }
            let occurrence = occurrences[Int(next)]
            try value(slot, occurrence, absent, depth: depth)
            next = occurrence.next
        }
        text.arena.append(byte: 0x5D)
    }

    /// A JSON object; of entries with one key the last one counts.
    private func map(_ slot: Int32, _ head: Int32, _ absent: Absent, depth: Int) throws(SchemaTrouble) {
        let entry = schema.fields[Int(slot)].target
        guard let key = schema.slot(of: 1, in: entry), let value = schema.slot(of: 2, in: entry) else {
            throw SchemaTrouble("a map's entry has no key and value")
        }
        let kind = schema.fields[Int(key)].kind
        var places: [[UInt8]: Int32] = [:]
        var order: [(key: [UInt8], at: Int32)] = []
        var next = head
        while next >= 0 {
            let occurrence = occurrences[Int(next)]
            let name = try mapKey(occurrence, kind)
            if places.updateValue(next, forKey: name) == nil { order.append((name, next)) }
            next = occurrence.next
        }
        text.arena.append(byte: 0x7B)
        for (index, item) in order.enumerated() {
            try text.count()
            if index > 0 { text.arena.append(byte: 0x2C) }
            item.key.withUnsafeBytes { text.string($0) }
            text.arena.append(byte: 0x3A)
            let entry = occurrences[Int(places[item.key] ?? item.at)]
            if let found = try find(2, schema.fields[Int(value)].kind, in: entry) {
                try self.value(value, found, absent, depth: depth + 1)
            } else if schema.fields[Int(value)].hasPresence {
                text.null()
            } else {
                fallback(value)
            }
        }
        text.arena.append(byte: 0x7D)
    }

    private func mapKey(_ entry: Occurrence, _ kind: ProtobufSchema.Kind) throws(SchemaTrouble) -> [UInt8] {
        guard kind.isScalar, kind != .bytes, kind != .double, kind != .float else {
            throw SchemaTrouble("a map has keys of no scalar type")
        }
        guard let found = try find(1, kind, in: entry) else {
            return kind == .string ? [] : Array((kind == .bool ? "false" : "0").utf8)
        }
        if kind == .string { return Array(bytes[Int(found.raw)..<Int(found.raw) + found.length]) }
        switch ProtobufScalar.number(found.raw, kind) {
        case .signed(let value): return Array(String(value).utf8)
        case .unsigned(let value): return Array(String(value).utf8)
        case .bool(let value): return Array(String(value).utf8)
        case .floating: return []
        }
    }

    /// The last value of this number in a map's entry.
    private func find(
        _ number: Int32, _ kind: ProtobufSchema.Kind, in entry: Occurrence
    ) throws(SchemaTrouble) -> Occurrence? {
        var reader = ProtobufReader(bytes, Int(entry.raw)..<Int(entry.raw) + entry.length)
        var found: Occurrence?
        while !reader.isAtEnd {
            let (field, wire) = try reader.tag()
            guard field == number else {
                try reader.skip(wire, number: field)
                continue
            }
            guard wire == kind.wire else { throw SchemaTrouble("a map's entry is of another type") }
            switch wire {
            case 0: found = Occurrence(raw: try reader.varint(), length: -1)
            case 1: found = Occurrence(raw: try reader.fixed64(), length: -1)
            case 5: found = Occurrence(raw: try reader.fixed32(), length: -1)
            default:
                let stretch = try reader.stretch()
                found = Occurrence(raw: UInt64(stretch.lowerBound), length: stretch.count)
            }
        }
        return found
    }

    private func value(
        _ slot: Int32, _ found: Occurrence, _ absent: Absent, depth: Int
    ) throws(SchemaTrouble) {
        try text.count()
        let kind = schema.fields[Int(slot)].kind
        if found.length < 0 {
            if kind == .enumeration { return try symbol(found.raw, slot) }
            return ProtobufScalar.write(found.raw, kind, to: text)
        }
        let range = Int(found.raw)..<Int(found.raw) + found.length
        let stretch = UnsafeRawBufferPointer(rebasing: bytes[range])
        switch kind {
        case .string: text.string(stretch)
        case .bytes, .opaque: text.base64(stretch)
        case .message: try write(schema.fields[Int(slot)].target, range, absent, depth: depth + 1)
        default:
            let inner = schema.fields[Int(slot)].inner
            try WellKnown(bytes, range).write(kind, inner, scale: schema.fields[Int(slot)].scale, to: text)
        }
    }

    private func symbol(_ raw: UInt64, _ slot: Int32) throws(SchemaTrouble) {
        let symbols = schema.enums[Int(schema.fields[Int(slot)].target)]
        guard let label = symbols[Int32(truncatingIfNeeded: raw)] else {
            throw SchemaTrouble("an enum has no such value")
        }
        _ = text.arena.append(schema.labels.bytes(label))
    }

    private func fallback(_ slot: Int32) {
        switch schema.fields[Int(slot)].kind {
        case .string, .bytes: _ = text.arena.append(UnsafeRawBufferPointer("\"\"" as StaticString))
        case .bool: text.bool(false)
        case .enumeration:
            let label = schema.enumDefaults[Int(schema.fields[Int(slot)].target)]
            if label.isNull { text.null() } else { _ = text.arena.append(schema.labels.bytes(label)) }
        default: text.integer(0)
        }
    }
}

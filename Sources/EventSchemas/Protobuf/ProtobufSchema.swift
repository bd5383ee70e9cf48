import JSON
import Replication

/// A Protobuf schema, ready to decode with: messages and fields name each other by index.
final class ProtobufSchema {
    enum Kind: UInt8 {
        case double, float, int64, uint64, int32, fixed64, fixed32, bool, string, bytes, uint32, sfixed32, sfixed64
        case sint32, sint64
        case enumeration, message, map
        /// `google.protobuf.*Value`, around a scalar.
        case wrapper
        /// `confluent.type.Decimal`, `google.type.Date`, `google.type.TimeOfDay`, `google.protobuf.Timestamp`.
        case decimal, date, timeOfDay, timestamp
        /// Of a well-known type that Connect doesn't write: its bytes.
        case opaque

        /// How the value of such a field stands on the wire: 0 varint, 1 eight bytes, 2 a stretch, 5 four bytes.
        var wire: UInt8 {
            switch self {
            case .double, .fixed64, .sfixed64: 1
            case .float, .fixed32, .sfixed32: 5
            case .int64, .uint64, .int32, .uint32, .bool, .sint32, .sint64, .enumeration: 0
            default: 2
            }
        }

        var isScalar: Bool { rawValue <= Kind.sint64.rawValue || self == .enumeration }
    }

    struct Field {
        /// `"name":` in `labels`.
        var label: ByteRange
        var number: Int32
        var kind: Kind
        /// A wrapper's scalar.
        var inner = Kind.int32
        var isRepeated = false
        /// Absent is null, and not a default.
        var hasPresence = true
        /// The message's or enum's index.
        var target: Int32 = -1
        /// A decimal's scale, where the field says it; else -1.
        var scale: Int32 = -1
        /// An envelope's `before` or `after`.
        var isImage = false
        var name: String
        var parameters: [(name: String, value: String)]
    }

    struct Message {
        var name: String
        var fullName: String
        var fields: Range<Int32> = 0..<0
        /// By number; fields with high numbers are looked for in `rare`.
        var slots: [Int32] = []
        var rare: [Int32: Int32] = [:]
        /// In the order of the file, as message indexes count.
        var nested: [Int32] = []
        var isMapEntry = false
    }

    private(set) var messages: [Message] = []
    private(set) var fields: ContiguousArray<Field> = []
    /// Symbols as `"symbol"` in `labels`, by number.
    private(set) var enums: [[Int32: ByteRange]] = []
    let labels = ByteArena(capacity: 1024)
    /// The file's messages at its top.
    private(set) var roots: [Int32] = []
    private(set) var enumDefaults: [ByteRange] = []

    private enum Named { case message(Int32), enumeration(Int32) }
    private var names: [String: Named] = [:]

    static let messages_max = 4096
    static let name_max_bytes = 1024
    private static let slots_max: Int32 = 1024

    init(_ schema: RegisteredSchema) throws(SchemaTrouble) {
        var files: [ProtoFile] = []
        for reference in schema.references { files.append(try ProtoParser.parse(reference.text)) }
        let file = try ProtoParser.parse(schema.text)
        files.append(file)
        // All names first: messages may refer to later ones.
        var declared: [[Int32]] = []
        for file in files {
            var tops: [Int32] = []
            for message in file.messages { tops.append(try declare(message, in: file.package)) }
            for enumeration in file.enums { declare(enumeration, in: file.package) }
            declared.append(tops)
        }
        roots = declared.last ?? []
        guard !roots.isEmpty else { throw SchemaTrouble("its .proto has no message") }
        for (file, tops) in zip(files, declared) {
            for (message, index) in zip(file.messages, tops) { try define(message, as: index, of: file) }
        }
    }

    // MARK: - Names

    private func declare(_ message: ProtoMessage, in scope: String) throws(SchemaTrouble) -> Int32 {
        guard messages.count < Self.messages_max else { throw SchemaTrouble("its .proto has too many messages") }
        let index = Int32(messages.count)
        let fullName = scope.isEmpty ? message.name : "\(scope).\(message.name)"
        // Names are looked up in each scope around them.
        guard fullName.utf8.count <= Self.name_max_bytes else {
            throw SchemaTrouble("its .proto has a name that is too long")
        }
        messages.append(.init(name: message.name, fullName: fullName, isMapEntry: message.isMapEntry))
        if names[fullName] == nil { names[fullName] = .message(index) }
        for inner in message.messages {
            let nested = try declare(inner, in: fullName)
            messages[Int(index)].nested.append(nested)
        }
        for enumeration in message.enums { declare(enumeration, in: fullName) }
        return index
    }

    private func declare(_ enumeration: ProtoEnum, in scope: String) {
        let fullName = scope.isEmpty ? enumeration.name : "\(scope).\(enumeration.name)"
        if names[fullName] == nil { names[fullName] = .enumeration(Int32(enums.count)) }
        var symbols: [Int32: ByteRange] = [:]
        for value in enumeration.values where symbols[value.number] == nil {
            symbols[value.number] = labels.append(JSONValue.string(value.name).serialized)
        }
        enums.append(symbols)
        enumDefaults.append(enumeration.values.first.flatMap { symbols[$0.number] } ?? .null)
    }

    /// From the innermost scope outwards, as Protobuf's own compiler looks a name up.
    private func look(up name: String, from scope: String) -> (name: String, Named?) {
        if name.hasPrefix(".") {
            let full = String(name.dropFirst())
            return (full, names[full])
        }
        var scope = scope
        while true {
            let full = scope.isEmpty ? name : "\(scope).\(name)"
            if let named = names[full] { return (full, named) }
            if Self.known[full] != nil { return (full, nil) }
            guard !scope.isEmpty else { return (name, nil) }
            scope = scope.lastIndex(of: ".").map { String(scope[..<$0]) } ?? ""
        }
    }

    // MARK: - Fields

    private func define(_ message: ProtoMessage, as index: Int32, of file: ProtoFile) throws(SchemaTrouble) {
        for (inner, nested) in zip(message.messages, messages[Int(index)].nested) {
            try define(inner, as: nested, of: file)
        }
        var own: [Field] = []
        for field in message.fields {
            own.append(try self.field(field, in: messages[Int(index)].fullName, hasPresence: file.hasPresence))
        }
        let first = Int32(fields.count)
        messages[Int(index)].fields = first..<first + Int32(own.count)
        for (offset, field) in own.enumerated() {
            let slot = first + Int32(offset)
            guard self.slot(of: field.number, in: index) == nil else {
                throw SchemaTrouble("its .proto has a field number twice in \(message.name.prefix(80))")
            }
            if field.number < Self.slots_max {
                let missing = Int(field.number) + 1 - messages[Int(index)].slots.count
                if missing > 0 { messages[Int(index)].slots += [Int32](repeating: -1, count: missing) }
                messages[Int(index)].slots[Int(field.number)] = slot
            } else {
                messages[Int(index)].rare[field.number] = slot
            }
        }
        fields += own
    }

    /// The field of this number; nil: an unknown one.
    @inline(__always)
    func slot(of number: Int32, in message: Int32) -> Int32? {
        let i = Int(message)
        if number < messages[i].slots.count {
            let slot = messages[i].slots[Int(number)]
            return slot >= 0 ? slot : nil
        }
        return messages[i].rare.isEmpty ? nil : messages[i].rare[number]
    }

    private func field(_ field: ProtoField, in scope: String, hasPresence: Bool) throws(SchemaTrouble) -> Field {
        var made = Field(
            label: label(field.name), number: field.number, kind: .message, name: field.name,
            parameters: field.parameters)
        made.isRepeated = field.label == .repeated
        made.isImage = field.name == "before" || field.name == "after"
        if let key = field.key {
            made.kind = .map
            made.isRepeated = true
            made.hasPresence = false
            made.target = try entry(of: field, key, in: scope)
            return made
        }
        try resolve(field.type, in: scope, to: &made)
        // Of lists nothing tells an empty one from none.
        made.hasPresence =
            !made.isRepeated
            && (hasPresence || field.label == .optional || field.isInOneof || !made.kind.isScalar)
        if made.kind == .message, made.isRepeated, messages[Int(made.target)].isMapEntry { made.kind = .map }
        if made.kind == .decimal, let scale = field.parameters.first(where: { $0.name == "scale" })?.value {
            made.scale = Int32(scale) ?? -1
        }
        return made
    }

    private func resolve(_ type: String, in scope: String, to field: inout Field) throws(SchemaTrouble) {
        if let scalar = Self.scalars[type] {
            field.kind = scalar
            return
        }
        let (full, named) = look(up: type, from: scope)
        if let known = Self.known[full] {
            (field.kind, field.inner) = known
            return
        }
        switch named {
        case .message(let index)?:
            field.kind = .message
            field.target = index
        case .enumeration(let index)?:
            field.kind = .enumeration
            field.target = index
        case nil:
            guard full.hasPrefix("google.protobuf.") else {
                throw SchemaTrouble("its .proto names a type that is not there: \(type.prefix(80))")
            }
            field.kind = .opaque
        }
    }

    /// `map<key, value>` is a repeated message of a key and a value.
    private func entry(of field: ProtoField, _ key: String, in scope: String) throws(SchemaTrouble) -> Int32 {
        let message = ProtoMessage(
            name: "\(field.name)Entry",
            fields: [
                ProtoField(name: "key", number: 1, type: key),
                ProtoField(name: "value", number: 2, type: field.type),
            ], isMapEntry: true)
        let index = try declare(message, in: "\(scope).\(field.name)")
        try define(message, as: index, of: ProtoFile(hasPresence: false))
        return index
    }

    private func label(_ name: String) -> ByteRange {
        let start = labels.count
        _ = labels.append(JSONValue.string(name).serialized)
        labels.append(byte: 0x3A)
        return ByteRange(offset: start, length: labels.count - start)
    }

    private static let scalars: [String: Kind] = [
        "double": .double, "float": .float, "int64": .int64, "uint64": .uint64, "int32": .int32, "fixed64": .fixed64,
        "fixed32": .fixed32, "bool": .bool, "string": .string, "bytes": .bytes, "uint32": .uint32,
        "sfixed32": .sfixed32, "sfixed64": .sfixed64, "sint32": .sint32, "sint64": .sint64,
    ]

    private static let known: [String: (Kind, Kind)] = [
        "google.protobuf.DoubleValue": (.wrapper, .double), "google.protobuf.FloatValue": (.wrapper, .float),
        "google.protobuf.Int64Value": (.wrapper, .int64), "google.protobuf.UInt64Value": (.wrapper, .uint64),
        "google.protobuf.Int32Value": (.wrapper, .int32), "google.protobuf.UInt32Value": (.wrapper, .uint32),
        "google.protobuf.BoolValue": (.wrapper, .bool), "google.protobuf.StringValue": (.wrapper, .string),
        "google.protobuf.BytesValue": (.wrapper, .bytes), "google.protobuf.Timestamp": (.timestamp, .int32),
        "google.type.Date": (.date, .int32), "google.type.TimeOfDay": (.timeOfDay, .int32),
        "confluent.type.Decimal": (.decimal, .int32),
    ]
}

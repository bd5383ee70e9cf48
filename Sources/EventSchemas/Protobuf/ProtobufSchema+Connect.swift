/// What a Protobuf schema says of a record's types. ProtobufConverter keeps Connect's names of structs, decimals, dates
/// and timestamps, but not those of scalars: an `int64` may be a time, a `string` a uuid. So scalars are *assumed*.
extension ProtobufSchema {
    /// A message index as the wire format gives it: the place of a message at the top, then of one inside of it, ….
    func message(at path: [Int]) -> Int32? {
        guard let first = path.first, roots.indices.contains(first) else { return nil }
        var message = roots[first]
        for step in path.dropFirst() {
            let nested = messages[Int(message)].nested
            guard nested.indices.contains(step) else { return nil }
            message = nested[step]
        }
        return message
    }

    /// Whether a message is Debezium's envelope.
    func isEnvelope(_ message: Int32) -> Bool {
        let own = messages[Int(message)].fields.map { fields[Int($0)] }
        // A row may have columns of these names.
        return own.contains { $0.name == "op" }
            && own.contains { $0.name == "source" && $0.kind == .message && !$0.isRepeated }
    }

    /// Whether a column of the message, or of its row images, can't show whether it is null or its type's default.
    func hidesNulls(_ message: Int32) -> Bool {
        let own = messages[Int(message)].fields
        if isEnvelope(message) {
            return own.contains { slot in
                let field = fields[Int(slot)]
                return field.isImage && field.kind == .message && hidesNulls(field.target)
            }
        }
        return own.contains { !fields[Int($0)].hasPresence && !fields[Int($0)].isRepeated }
    }

    func connect(_ message: Int32) throws(SchemaTrouble) -> ConnectNode {
        var budget = ConnectBudget()
        var open: [Int32] = []
        return try structure(message, &budget, &open)
    }

    private func structure(
        _ index: Int32, _ budget: inout ConnectBudget, _ open: inout [Int32]
    ) throws(SchemaTrouble) -> ConnectNode {
        let message = messages[Int(index)]
        var connect = ConnectNode("struct")
        connect.name = Self.debeziumNames[message.name] ?? message.fullName
        guard !open.contains(index), open.count < ConnectNode.depth_max else { return connect }
        open.append(index)
        for slot in message.fields { connect.children.append(try field(fields[Int(slot)], &budget, &open)) }
        open.removeLast()
        return connect
    }

    /// Structs that Debezium makes of single values.
    private static let debeziumNames = [
        "VariableScaleDecimal": "io.debezium.data.VariableScaleDecimal", "Point": "io.debezium.data.geometry.Point",
        "Geometry": "io.debezium.data.geometry.Geometry", "Geography": "io.debezium.data.geometry.Geography",
    ]

    private func field(
        _ field: Field, _ budget: inout ConnectBudget, _ open: inout [Int32]
    ) throws(SchemaTrouble) -> ConnectNode {
        try budget.take()
        var connect = try value(field, &budget, &open)
        connect.parameters += field.parameters.filter {
            !$0.name.hasPrefix("connect.") && $0.name != "precision" && $0.name != "scale"
        }
        if let name = field.parameters.first(where: { $0.name == "connect.name" })?.value {
            connect.name = name
            connect.isAssumed = false
        }
        if field.isRepeated, field.kind != .map {
            var array = ConnectNode("array")
            array.isAssumed = connect.isAssumed
            array.children = [connect]
            connect = array
        }
        connect.isOptional = field.hasPresence
        connect.field = field.name
        return connect
    }

    private func value(
        _ field: Field, _ budget: inout ConnectBudget, _ open: inout [Int32]
    ) throws(SchemaTrouble) -> ConnectNode {
        func named(_ type: String, _ name: String) -> ConnectNode {
            var connect = ConnectNode(type)
            connect.name = name
            return connect
        }
        switch field.kind {
        case .message: return try structure(field.target, &budget, &open)
        case .map:
            var connect = ConnectNode("map")
            guard let slot = slot(of: 2, in: field.target) else { return connect }
            connect.children = [ConnectNode("string"), try self.field(fields[Int(slot)], &budget, &open)]
            return connect
        case .decimal:
            guard field.scale >= 0 else { return named("struct", "io.debezium.data.VariableScaleDecimal") }
            var connect = named("bytes", "org.apache.kafka.connect.data.Decimal")
            connect.parameters = [("scale", String(field.scale))]
            if let precision = field.parameters.first(where: { $0.name == "precision" })?.value {
                connect.parameters.append(("connect.decimal.precision", precision))
            }
            return connect
        case .date: return named("int32", "org.apache.kafka.connect.data.Date")
        case .timeOfDay: return named("int64", "io.debezium.time.NanoTime")
        case .timestamp: return named("int64", "io.debezium.time.MicroTimestamp")
        case .wrapper: return scalar(field.inner, field)
        default: return scalar(field.kind, field)
        }
    }

    private func scalar(_ kind: Kind, _ field: Field) -> ConnectNode {
        let told = field.parameters.first { $0.name == "connect.type" }?.value
        let type =
            switch kind {
            case .double: "double"
            case .float: "float"
            case .bool: "boolean"
            case .string, .enumeration: "string"
            case .int32, .sint32, .sfixed32: ["int8", "int16"].first { $0 == told } ?? "int32"
            case .bytes, .opaque: "bytes"
            default: "int64"
            }
        var connect = ConnectNode(type)
        connect.isAssumed = true
        return connect
    }
}

/// How records of one Protobuf schema are read: as whichever of its messages they name.
final class ProtobufPlan {
    private static let path_max = 32

    private let schema: ProtobufSchema
    private let decoder: ProtobufDecoder
    private var texts: [Int32: Text] = [:]

    private struct Text {
        var text: PayloadText
        var isEnvelope: Bool
    }

    init(_ schema: ProtobufSchema) {
        self.schema = schema
        decoder = ProtobufDecoder(schema)
    }

    var bytes: Int { texts.reduce(schema.labels.allocated) { $0 + $1.value.text.bytes } }

    /// - Parameter payload: a list of message indexes, and the message.
    func json(_ payload: UnsafeRawBufferPointer) throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        var reader = ProtobufReader(payload, 0..<payload.count)
        let message: Int32
        // A single zero is the most common list, of the file's first message.
        if payload.first == 0 {
            reader.at = 1
            message = schema.roots[0]
        } else {
            message = try Self.path(&reader, schema)
        }
        let kept = try text(message)
        let rest = UnsafeRawBufferPointer(rebasing: payload[reader.at...])
        kept.text.begin(payload_bytes: rest.count)
        try decoder.decode(rest, as: message, isEnvelope: kept.isEnvelope, to: kept.text)
        kept.text.end()
        return kept.text.text
    }

    private func text(_ message: Int32) throws(SchemaTrouble) -> Text {
        if let text = texts[message] { return text }
        let text = Text(
            text: PayloadText(prefix: try schema.connect(message).prefix), isEnvelope: schema.isEnvelope(message))
        texts[message] = text
        return text
    }

    private static func path(_ reader: inout ProtobufReader, _ schema: ProtobufSchema) throws(SchemaTrouble) -> Int32 {
        func number() throws(SchemaTrouble) -> Int64 {
            let raw = try reader.varint()
            return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
        }
        let count = try number()
        guard (0...Int64(path_max)).contains(count) else { throw SchemaTrouble("its message indexes are none") }
        var path: [Int] = []
        for _ in 0..<count { path.append(Int(try number())) }
        guard let message = schema.message(at: path.isEmpty ? [0] : path) else {
            throw SchemaTrouble("its message indexes name no message of it")
        }
        return message
    }
}

extension RegisteredSchema {
    /// Whether fields of its first message's row images can't show whether they are null: Protobuf's, without
    /// `optional` or wrappers. Lists don't count: no Protobuf schema can show it of them.
    package var hidesNulls: Bool {
        guard format == .protobuf, let schema = try? ProtobufSchema(self) else { return false }
        return schema.hidesNulls(schema.roots[0])
    }
}

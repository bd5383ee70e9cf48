import JSON

/// What Confluent's JsonSchemaConverter tells of a record's types: `connect.type`, `title` for Connect's name,
/// `connect.parameters`, `connect.version`, and `oneOf` with null for what is optional.
struct JSONSchemaReader {
    private static let text_bytes_max = 8 << 20
    private static let references_max = 64

    private let root: JSONValue
    private var documents: [String: JSONValue] = [:]
    private var budget = ConnectBudget()

    static func connect(_ schema: RegisteredSchema) throws(SchemaTrouble) -> ConnectNode {
        var reader = try JSONSchemaReader(schema)
        return try reader.node(reader.root, reader.root, depth: 0, references: 0)
    }

    private init(_ schema: RegisteredSchema) throws(SchemaTrouble) {
        root = try Self.parse(schema.text)
        for reference in schema.references { documents[reference.name] = try Self.parse(reference.text) }
    }

    private static func parse(_ text: String) throws(SchemaTrouble) -> JSONValue {
        guard text.utf8.count <= text_bytes_max else { throw SchemaTrouble("its JSON Schema is too long") }
        do {
            return try JSONValue(parsing: text)
        } catch {
            throw SchemaTrouble("its JSON Schema is no JSON: \(error)")
        }
    }

    /// - Parameters:
    ///   - document: what `$ref`s begin from.
    ///   - references: followed on the way here.
    private mutating func node(
        _ value: JSONValue, _ document: JSONValue, depth: Int, references: Int
    ) throws(SchemaTrouble) -> ConnectNode {
        try budget.take()
        guard depth <= ConnectNode.depth_max else { return ConnectNode(nil) }
        if let reference = value["$ref"]?.string {
            guard references < Self.references_max, let (target, document) = resolve(reference, document) else {
                throw SchemaTrouble("its JSON Schema refers to what isn't there, or to itself: \(reference.prefix(80))")
            }
            return try node(target, document, depth: depth, references: references + 1)
        }
        if let choices = (value["oneOf"] ?? value["anyOf"])?.array {
            return try choice(choices, document, depth, references)
        }
        let (type, isNullable) = Self.type(of: value)
        var connect = ConnectNode(nil)
        let told = value["connect.type"]?.string
        switch type {
        case "boolean": connect.type = "boolean"
        case "integer": connect.type = Self.numbers.contains(told ?? "") ? told : "int64"
        case "number":
            switch told {
            case "bytes"?: connect.type = "bytes"
            case "float32"?: connect.type = "float"
            case let told? where Self.numbers.contains(told): connect.type = told
            default: connect.type = "double"
            }
        case "string": connect.type = told == "bytes" ? "bytes" : "string"
        case "array":
            if told != "map", let items = value["items"], items.members != nil {
                connect.type = "array"
                connect.children = [try node(items, document, depth: depth + 1, references: references)]
            }
        case "object":
            if told == "map" {
                connect.type = "map"
                if let values = value["additionalProperties"], values.members != nil {
                    let inner = try node(values, document, depth: depth + 1, references: references)
                    connect.children = [ConnectNode("string"), inner]
                }
            } else {
                connect.type = "struct"
                connect.children = try fields(value, document, depth, references)
            }
        default:
            if value["enum"]?.array?.allSatisfy({ $0.string != nil }) == true { connect.type = "string" }
        }
        describe(value, &connect)
        connect.isOptional = isNullable
        return connect
    }

    private static let numbers: Set<String> = ["int8", "int16", "int32", "int64"]

    /// `"type": ["null", "string"]` is an optional string; an object may leave its type out.
    private static func type(of value: JSONValue) -> (String?, isNullable: Bool) {
        if let types = value["type"]?.array {
            let others = types.compactMap(\.string).filter { $0 != "null" }
            return (others.count == 1 ? others.first : nil, others.count < types.count)
        }
        if let type = value["type"]?.string { return (type == "null" ? nil : type, type == "null") }
        return (value["properties"] != nil ? "object" : nil, false)
    }

    /// One of null and T is an optional T. Of other choices nothing is told: their values stay JSON.
    private mutating func choice(
        _ choices: [JSONValue], _ document: JSONValue, _ depth: Int, _ references: Int
    ) throws(SchemaTrouble) -> ConnectNode {
        let others = choices.filter { $0["type"]?.string != "null" }
        var connect = ConnectNode(nil)
        if others.count == 1, let other = others.first {
            connect = try node(other, document, depth: depth + 1, references: references)
        }
        connect.isOptional = connect.isOptional || others.count < choices.count
        return connect
    }

    private mutating func fields(
        _ value: JSONValue, _ document: JSONValue, _ depth: Int, _ references: Int
    ) throws(SchemaTrouble) -> [ConnectNode] {
        var fields: [(place: Int64, node: ConnectNode)] = []
        for (index, member) in (value["properties"]?.members ?? []).enumerated() {
            var child = try node(member.value, document, depth: depth + 1, references: references)
            child.field = member.key
            fields.append((member.value["connect.index"]?.int64 ?? Int64(index), child))
        }
        return fields.sorted { $0.place < $1.place }.map(\.node)
    }

    private func describe(_ value: JSONValue, _ connect: inout ConnectNode) {
        connect.name = value["title"]?.string
        connect.version = value["connect.version"]?.int64
        connect.parameters = (value["connect.parameters"]?.members ?? []).compactMap { member in
            member.value.string.map { (member.key, $0) }
        }
        switch value["default"] {
        case .string?, .number?, .bool?: connect.fallback = Array((value["default"] ?? .null).serialized.utf8)
        default: break
        }
    }

    /// `#`, `#/definitions/x`, another schema's name, or one with a place in it.
    private func resolve(_ reference: String, _ document: JSONValue) -> (JSONValue, JSONValue)? {
        let parts = reference.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let start = name.isEmpty ? document : documents[name] else { return nil }
        guard parts.count == 2, !parts[1].isEmpty else { return (start, start) }
        var place = start
        for step in parts[1].split(separator: "/") {
            let key = String(step.replacing("~1", with: "/").replacing("~0", with: "~"))
            if let next = place[key] {
                place = next
            } else if let elements = place.array, let index = Int(key), elements.indices.contains(index) {
                place = elements[index]
            } else {
                return nil
            }
        }
        return (place, start)
    }
}

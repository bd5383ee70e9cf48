import JSON
import Replication

/// An Avro schema, ready to decode with: nodes of fixed size that name each other by index, so that recursive types
/// need no references.
final class AvroSchema {
    enum Kind: UInt8 {
        case null, boolean, int, long, float, double, bytes, string, record, `enum`, array, map, fixed, union
    }

    struct Node {
        var kind: Kind
        /// A record's first field, a union's first branch, an enum's first symbol; an array's or map's element.
        var first: Int32 = -1
        /// Of fields, branches, symbols; a fixed's bytes.
        var count: Int32 = 0
    }

    struct Field {
        /// `,"name":` in `labels`, the first of a record without the comma.
        var label: ByteRange
        var node: Int32
        var name: String
        var fallback: JSONValue?
    }

    /// What a type says of its logical type, for Connect.
    struct Facts {
        var connectType: String?
        var connectName: String?
        var version: Int64?
        var parameters: [(name: String, value: String)] = []
        var fallback: JSONValue?
        var logicalType: String?
        var precision: Int64?
        var scale: Int64?
        /// A named type's own name.
        var fullName: String?
    }

    var nodes: ContiguousArray<Node> = []
    var fields: ContiguousArray<Field> = []
    var branches: ContiguousArray<Int32> = []
    /// `"symbol"` in `labels`.
    var symbols: ContiguousArray<ByteRange> = []
    let labels = ByteArena(capacity: 1024)
    /// By node.
    var facts: [Int32: Facts] = [:]
    var root: Int32 = -1

    /// - Throws: where the text, or one that it refers to, is no Avro schema.
    init(_ schema: RegisteredSchema) throws(SchemaTrouble) {
        var parser = AvroParser(schema: self)
        for reference in schema.references { _ = try parser.parse(text: reference.text) }
        root = try parser.parse(text: schema.text)
    }
}

/// Reads the JSON of Avro schemas. Later texts know the named types of earlier ones.
struct AvroParser {
    static let text_bytes_max = 8 << 20
    private static let nodes_max = 100_000
    private static let fixed_bytes_max = 64 << 20

    let schema: AvroSchema
    private var named: [String: Int32] = [:]

    init(schema: AvroSchema) { self.schema = schema }

    mutating func parse(text: String) throws(SchemaTrouble) -> Int32 {
        guard text.utf8.count <= Self.text_bytes_max else { throw SchemaTrouble("its Avro schema is too long") }
        let value: JSONValue
        do {
            value = try JSONValue(parsing: text)
        } catch {
            // A primitive's name alone, without quotes, is how some registries keep it.
            guard let kind = Self.primitives[text] else { throw SchemaTrouble("its Avro schema is no JSON: \(error)") }
            return try add(kind)
        }
        return try type(value, namespace: "")
    }

    private static let primitives: [String: AvroSchema.Kind] = [
        "null": .null, "boolean": .boolean, "int": .int, "long": .long, "float": .float, "double": .double,
        "bytes": .bytes, "string": .string,
    ]

    private func add(_ kind: AvroSchema.Kind) throws(SchemaTrouble) -> Int32 {
        guard schema.nodes.count < Self.nodes_max else { throw SchemaTrouble("its Avro schema is too large") }
        schema.nodes.append(.init(kind: kind))
        return Int32(schema.nodes.count - 1)
    }

    private mutating func type(_ value: JSONValue, namespace: String) throws(SchemaTrouble) -> Int32 {
        switch value {
        case .string(let name):
            if let kind = Self.primitives[name] { return try add(kind) }
            if let node = named[Self.fullName(name, in: namespace)] ?? named[name] { return node }
            throw SchemaTrouble("its Avro schema names a type that it doesn't define: \(Self.shown(name))")
        case .array(let branches): return try union(branches, namespace)
        case .object: return try object(value, namespace)
        default: throw SchemaTrouble("its Avro schema has a type that is neither a name, a union nor an object")
        }
    }

    private mutating func union(_ values: [JSONValue], _ namespace: String) throws(SchemaTrouble) -> Int32 {
        let node = try add(.union)
        var branches: ContiguousArray<Int32> = []
        for value in values { branches.append(try type(value, namespace: namespace)) }
        guard !branches.isEmpty, branches.allSatisfy({ schema.nodes[Int($0)].kind != .union }) else {
            throw SchemaTrouble("its Avro schema has a union that is empty, or directly in another")
        }
        schema.nodes[Int(node)].first = Int32(schema.branches.count)
        schema.nodes[Int(node)].count = Int32(branches.count)
        schema.branches += branches
        return node
    }

    private mutating func object(_ value: JSONValue, _ namespace: String) throws(SchemaTrouble) -> Int32 {
        guard let inner = value["type"] else { throw SchemaTrouble("its Avro schema has a type without `type`") }
        guard let name = inner.string else { return try type(inner, namespace: namespace) }
        let node: Int32
        switch name {
        case "record", "error": node = try record(value, namespace)
        case "enum": node = try enumeration(value, namespace)
        case "fixed":
            guard let size = value["size"]?.int64, (0...Int64(Self.fixed_bytes_max)).contains(size) else {
                throw SchemaTrouble("its Avro schema has a fixed type without a size")
            }
            node = try add(.fixed)
            schema.nodes[Int(node)].count = Int32(size)
            _ = try define(value, namespace, as: node)
        case "array", "map":
            node = try add(name == "array" ? .array : .map)
            guard let element = value[name == "array" ? "items" : "values"] else {
                throw SchemaTrouble("its Avro schema has an \(name) without its elements' type")
            }
            let inner = try type(element, namespace: namespace)
            schema.nodes[Int(node)].first = inner
        default:
            // A named type said over again; what stands beside its name is of no matter for decoding.
            guard let kind = Self.primitives[name] else { return try type(inner, namespace: namespace) }
            node = try add(kind)
        }
        note(value, of: node)
        return node
    }

    private mutating func record(_ value: JSONValue, _ namespace: String) throws(SchemaTrouble) -> Int32 {
        let node = try add(.record)
        // Known before its fields, which may be of its own type.
        let own = try define(value, namespace, as: node)
        guard let members = value["fields"]?.array else {
            throw SchemaTrouble("its Avro schema has a record without fields")
        }
        var fields: ContiguousArray<AvroSchema.Field> = []
        var names = Set<String>()
        for member in members {
            guard let name = member["name"]?.string, let inner = member["type"], names.insert(name).inserted else {
                throw SchemaTrouble("its Avro schema has a field without name or type, or two of one name")
            }
            let type = try type(inner, namespace: own)
            let label = label(name, isFirst: fields.isEmpty)
            fields.append(.init(label: label, node: type, name: name, fallback: member["default"]))
        }
        schema.nodes[Int(node)].first = Int32(schema.fields.count)
        schema.nodes[Int(node)].count = Int32(fields.count)
        schema.fields += fields
        return node
    }

    private func label(_ name: String, isFirst: Bool) -> ByteRange {
        let start = schema.labels.count
        if !isFirst { schema.labels.append(byte: 0x2C) }
        _ = schema.labels.append(JSONValue.string(name).serialized)
        schema.labels.append(byte: 0x3A)
        return ByteRange(offset: start, length: schema.labels.count - start)
    }

    private mutating func enumeration(_ value: JSONValue, _ namespace: String) throws(SchemaTrouble) -> Int32 {
        guard let symbols = value["symbols"]?.array, symbols.allSatisfy({ $0.string != nil }) else {
            throw SchemaTrouble("its Avro schema has an enum without symbols")
        }
        let node = try add(.enum)
        _ = try define(value, namespace, as: node)
        schema.nodes[Int(node)].first = Int32(schema.symbols.count)
        schema.nodes[Int(node)].count = Int32(symbols.count)
        for symbol in symbols { schema.symbols.append(schema.labels.append(symbol.serialized)) }
        return node
    }

    // MARK: - Names

    /// Gives a named type its name and aliases. Returns the namespace of what is in it.
    private mutating func define(
        _ value: JSONValue, _ namespace: String, as node: Int32
    ) throws(SchemaTrouble) -> String {
        guard let name = value["name"]?.string, !name.isEmpty else {
            throw SchemaTrouble("its Avro schema has a named type without a name")
        }
        let full = Self.fullName(name, in: value["namespace"]?.string ?? namespace)
        guard named.updateValue(node, forKey: full) == nil else {
            throw SchemaTrouble("its Avro schema defines a type twice: \(Self.shown(full))")
        }
        schema.facts[node, default: .init()].fullName = full
        let own = full.lastIndex(of: ".").map { String(full[..<$0]) } ?? ""
        for alias in value["aliases"]?.array ?? [] {
            guard let alias = alias.string.map({ Self.fullName($0, in: own) }) else { continue }
            if named[alias] == nil { named[alias] = node }
        }
        return own
    }

    private static func fullName(_ name: String, in namespace: String) -> String {
        name.contains(".") || namespace.isEmpty ? name : "\(namespace).\(name)"
    }

    private static func shown(_ name: String) -> String { String(name.prefix(80)) }

    private func note(_ value: JSONValue, of node: Int32) {
        var facts = schema.facts[node] ?? .init()
        facts.connectType = value["connect.type"]?.string
        facts.connectName = value["connect.name"]?.string
        facts.version = value["connect.version"]?.int64
        facts.parameters = (value["connect.parameters"]?.members ?? []).compactMap { member in
            member.value.string.map { (member.key, $0) }
        }
        facts.fallback = value["connect.default"]
        facts.logicalType = value["logicalType"]?.string
        facts.precision = value["precision"]?.int64
        facts.scale = value["scale"]?.int64
        schema.facts[node] = facts
    }
}

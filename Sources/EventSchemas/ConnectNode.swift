import JSON

/// A Kafka Connect schema, which every format's schema becomes, and as which the JSON converter writes it.
struct ConnectNode {
    /// `struct`, `int64`, `array` …; nil: not one that Connect knows, its values stay JSON.
    var type: String?
    var isOptional = false
    var name: String?
    var version: Int64?
    var parameters: [(name: String, value: String)] = []
    /// The default in the form of the payload's JSON; empty where there is none.
    var fallback: [UInt8] = []
    /// The format doesn't tell logical types: what anybody else says of the column counts more.
    var isAssumed = false
    /// As a struct's field.
    var field: String?
    /// A struct's fields, an array's items, or a map's keys and values.
    var children: [ConnectNode] = []

    init(_ type: String?) { self.type = type }

    /// Structs deeper than this are told without their fields: a parser of JSON takes 64 containers.
    static let depth_max = 20
    static let nodes_max = 100_000
}

extension ConnectNode {
    func write(to writer: JSONWriter) {
        writer.beginObject()
        if let type { writer.member("type", type) }
        switch (type, children.count) {
        case ("struct", 1...):
            writer.key("fields")
            writer.beginArray()
            for child in children { child.write(to: writer) }
            writer.endArray()
        case ("array", 1):
            writer.key("items")
            children[0].write(to: writer)
        case ("map", 2):
            writer.key("keys")
            children[0].write(to: writer)
            writer.key("values")
            children[1].write(to: writer)
        default: break
        }
        writer.member("optional", isOptional)
        if !fallback.isEmpty {
            writer.key("default")
            fallback.withUnsafeBytes { writer.raw($0) }
        }
        if let name { writer.member("name", name) }
        if let version { writer.member("version", version) }
        if !parameters.isEmpty {
            writer.key("parameters")
            writer.beginObject()
            for parameter in parameters { writer.member(parameter.name, parameter.value) }
            writer.endObject()
        }
        if isAssumed { writer.member("assumed", true) }
        if let field { writer.member("field", field) }
        writer.endObject()
    }

    /// `{"schema":…,"payload":`, as the JSON converter begins an event.
    var prefix: [UInt8] {
        let writer = JSONWriter(capacity: 4096)
        writer.beginObject()
        writer.key("schema")
        write(to: writer)
        writer.key("payload")
        return Array(writer.bytes)
    }
}

/// How many nodes a schema's expansion has had; named types may refer to each other without an end.
struct ConnectBudget {
    private(set) var left = ConnectNode.nodes_max

    mutating func take() throws(SchemaTrouble) {
        left -= 1
        guard left > 0 else { throw SchemaTrouble("it has more than \(ConnectNode.nodes_max) fields") }
    }
}

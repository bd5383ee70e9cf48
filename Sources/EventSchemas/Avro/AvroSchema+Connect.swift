import JSON

/// What Confluent's AvroConverter makes of an Avro schema on its way back to Connect.
extension AvroSchema {
    func connect() throws(SchemaTrouble) -> ConnectNode {
        var budget = ConnectBudget()
        var open: [Int32] = []
        return try connect(root, &budget, &open)
    }

    /// - Parameter open: records around, so that a recursive one ends.
    private func connect(
        _ index: Int32, _ budget: inout ConnectBudget, _ open: inout [Int32]
    ) throws(SchemaTrouble) -> ConnectNode {
        try budget.take()
        let node = nodes[Int(index)]
        let facts = facts[index] ?? Facts()
        var connect: ConnectNode
        switch node.kind {
        case .null:
            connect = ConnectNode(nil)
            connect.isOptional = true
        case .boolean: connect = ConnectNode("boolean")
        case .int: connect = ConnectNode(["int8", "int16"].first { $0 == facts.connectType } ?? "int32")
        case .long: connect = ConnectNode("int64")
        case .float: connect = ConnectNode("float")
        case .double: connect = ConnectNode("double")
        case .bytes, .fixed: connect = ConnectNode("bytes")
        case .string, .enum: connect = ConnectNode("string")
        case .union: return try union(node, &budget, &open)
        case .array:
            connect = ConnectNode("array")
            connect.children = [try self.connect(node.first, &budget, &open)]
        case .map:
            connect = ConnectNode("map")
            connect.children = [ConnectNode("string"), try self.connect(node.first, &budget, &open)]
        case .record:
            connect = ConnectNode("struct")
            connect.name = facts.fullName
            guard !open.contains(index), open.count < ConnectNode.depth_max else { break }
            open.append(index)
            connect.children = try children(of: node, &budget, &open)
            open.removeLast()
        }
        if let name = facts.connectName { connect.name = name }
        connect.version = facts.version
        connect.parameters = facts.parameters
        if facts.connectName == nil { addLogicalType(facts, to: &connect) }
        if let fallback = facts.fallback { connect.fallback = json(fallback, index) }
        return connect
    }

    private func children(
        of node: Node, _ budget: inout ConnectBudget, _ open: inout [Int32]
    ) throws(SchemaTrouble) -> [ConnectNode] {
        var children: [ConnectNode] = []
        for field in fields[Int(node.first)..<Int(node.first) + Int(node.count)] {
            var child = try connect(field.node, &budget, &open)
            child.field = field.name
            if child.fallback.isEmpty, let fallback = field.fallback { child.fallback = json(fallback, field.node) }
            children.append(child)
        }
        return children
    }

    /// `["null", T]` is an optional T. Of other unions nothing is told: their values stay JSON.
    private func union(
        _ node: Node, _ budget: inout ConnectBudget, _ open: inout [Int32]
    ) throws(SchemaTrouble) -> ConnectNode {
        let all = branches[Int(node.first)..<Int(node.first) + Int(node.count)]
        let others = all.filter { nodes[Int($0)].kind != .null }
        var connect = ConnectNode(nil)
        if others.count == 1, let other = others.first { connect = try self.connect(other, &budget, &open) }
        connect.isOptional = others.count < all.count
        return connect
    }

    /// Avro's own logical types, of producers that aren't Connect.
    private func addLogicalType(_ facts: Facts, to connect: inout ConnectNode) {
        switch (facts.logicalType, connect.type) {
        case ("decimal", "bytes"):
            connect.name = "org.apache.kafka.connect.data.Decimal"
            guard connect.parameters.isEmpty else { return }
            connect.parameters = [("scale", String(facts.scale ?? 0))]
            if let precision = facts.precision {
                connect.parameters.append(("connect.decimal.precision", String(precision)))
            }
        case ("date", "int32"): connect.name = "org.apache.kafka.connect.data.Date"
        case ("time-millis", "int32"): connect.name = "org.apache.kafka.connect.data.Time"
        case ("time-micros", "int64"): connect.name = "io.debezium.time.MicroTime"
        case ("timestamp-millis", "int64"), ("local-timestamp-millis", "int64"):
            connect.name = "org.apache.kafka.connect.data.Timestamp"
        case ("timestamp-micros", "int64"), ("local-timestamp-micros", "int64"):
            connect.name = "io.debezium.time.MicroTimestamp"
        case ("timestamp-nanos", "int64"), ("local-timestamp-nanos", "int64"):
            connect.name = "io.debezium.time.NanoTimestamp"
        case ("uuid", "string"): connect.name = "io.debezium.data.Uuid"
        default: break
        }
    }

    /// A default of this type as the payload's JSON would have it; empty for null, and for containers.
    private func json(_ fallback: JSONValue, _ index: Int32) -> [UInt8] {
        let node = nodes[Int(index)]
        switch (node.kind, fallback) {
        case (.union, _):
            guard !fallback.isNull else { return [] }
            let all = branches[Int(node.first)..<Int(node.first) + Int(node.count)]
            return all.first { nodes[Int($0)].kind != .null }.map { json(fallback, $0) } ?? []
        case (.bytes, .string(let text)), (.fixed, .string(let text)):
            // Code points up to 255 are the bytes.
            let bytes = text.unicodeScalars.compactMap { UInt8(exactly: $0.value) }
            return [0x22] + Base64.text(bytes) + [0x22]
        case (_, .number), (_, .bool), (_, .string): return Array(fallback.serialized.utf8)
        default: return []
        }
    }
}

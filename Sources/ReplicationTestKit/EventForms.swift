import JSON

/// Writes an envelope's record in the other forms, as Debezium's transformation and converter do.
package enum EventForms {
    package struct Record: Sendable {
        package var value: [UInt8]?
        package var headers: [(String, [UInt8])]

        package init(value: [UInt8]?, headers: [(String, [UInt8])]) {
            self.value = value
            self.headers = headers
        }
    }

    /// What ExtractNewRecordState is told.
    package struct Unwrap: Sendable {
        package enum Deletes: Sendable { case drop, tombstone, rewrite, rewriteWithTombstone, deleteToTombstone }
        package var deletes: Deletes
        /// References as in `add.fields` and `add.headers`.
        package var fields: [String]
        package var headers: [String]

        package init(deletes: Deletes, fields: [String] = [], headers: [String] = []) {
            self.deletes = deletes
            self.fields = fields
            self.headers = headers
        }
    }

    /// Nil: the transformation drops it.
    package static func flattened(_ line: Record, _ unwrap: Unwrap) throws -> Record? {
        guard let value = line.value, value.count != 4 else {
            switch unwrap.deletes {
            case .rewriteWithTombstone:
                var tombstone = line
                if unwrap.headers.contains("op") { tombstone.headers.append(("__op", Array("d".utf8))) }
                return tombstone
            default: return nil
            }
        }
        let envelope = try JSONValue(parsing: value)
        guard let op = envelope["op"]?.string, op != "m", envelope["source"] != nil else { return line }
        if op == "t" { return nil }
        var record = line
        for reference in unwrap.headers {
            let (name, found) = added(reference, envelope)
            record.headers.append((name, Array((found.string ?? found.serialized).utf8)))
        }
        let isDelete = op == "d"
        if isDelete, [.drop, .tombstone, .deleteToTombstone].contains(unwrap.deletes) {
            record.value = unwrap.deletes == .tombstone ? Array("null".utf8) : nil
            return unwrap.deletes == .drop ? nil : record
        }
        var members = (isDelete ? envelope["before"] : envelope["after"])?.members ?? []
        if [.rewrite, .rewriteWithTombstone].contains(unwrap.deletes) {
            members.append(("__deleted", .string(isDelete ? "true" : "false")))
        }
        for reference in unwrap.fields { members.append(added(reference, envelope)) }
        record.value = Array(JSONValue.object(members).serialized.utf8)
        return record
    }

    private static func added(_ reference: String, _ envelope: JSONValue) -> (String, JSONValue) {
        let parts = reference.split(separator: ".").map(String.init)
        let name = "__" + parts.joined(separator: "_")
        if parts.count == 2 { return (name, envelope[parts[0]]?[parts[1]] ?? .null) }
        let isOwn = ["op", "ts_ms"].contains(reference)
        return (name, (isOwn ? envelope[reference] : envelope["source"]?[reference]) ?? .null)
    }

    /// The same event as a CloudEvent in JSON; a record that isn't an event has a null value.
    package static func cloudEvent(_ line: Record, schema: JSONValue? = nil) throws -> Record {
        guard let value = line.value, value.count != 4 else { return line }
        let envelope = try JSONValue(parsing: value)
        var record = line
        guard let op = envelope["op"]?.string, let source = envelope["source"]?.members else {
            record.value = nil
            return record
        }
        let connector = envelope["source"]?["connector"]?.string ?? ""
        var members: [JSONValue.Member] = [
            ("id", "name:x"), ("source", .string("/debezium/\(connector)/x")), ("specversion", "1.0"),
            ("type", .string("io.debezium.connector.\(connector).DataChangeEvent")),
            ("datacontenttype", "application/json"), ("iodebeziumop", .string(op)),
        ]
        func text(_ value: JSONValue) -> JSONValue {
            if case .number(let digits) = value { .string(digits) } else { value }
        }
        for (name, value) in source { members.append(("iodebezium" + name.replacing("_", with: ""), text(value))) }
        let transaction = envelope["transaction"]
        members.append(("iodebeziumtxid", transaction?["id"] ?? .null))
        members.append(("iodebeziumtxtotalorder", text(transaction?["total_order"] ?? .null)))
        let images = JSONValue.object([
            ("before", envelope["before"] ?? .null), ("after", envelope["after"] ?? .null),
        ])
        members.append(("data", schema.map { .object([("schema", $0), ("payload", images)]) } ?? images))
        record.value = Array(JSONValue.object(members).serialized.utf8)
        return record
    }
}
